"""Reading lines: every way a line can be wrong, and that memory stays flat."""

import tracemalloc
from pathlib import Path

import pytest

from connectors.sources.json_lines import MAX_LINE_BYTES, LineFaultError, read_objects


def write(folder: Path, *lines: bytes) -> Path:
    path = folder / "export.jsonl"
    path.write_bytes(b"\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("line", "place", "rule"),
    [
        (b"{", "line 2, column 2", "not_json"),
        (b'{"a":1,}', "line 2, column 8", "not_json"),
        (b'{"a":1} {"b":2}', "line 2, column 9", "not_json"),
        (b"nonsense", "line 2, column 1", "not_json"),
        (b'{"a":"\xff"}', "line 2, byte 7", "not_utf8"),
        (b'{"a":1,"a":2}', "line 2", "member_twice"),
        (b'{"a":NaN}', "line 2", "number_refused"),
        (b'{"a":-Infinity}', "line 2", "number_refused"),
        (b'{"a":' + b"1" * 5000 + b"}", "line 2", "number_refused"),
        (b"[1]", "line 2", "not_an_object"),
        (b"null", "line 2", "not_an_object"),
        (b"[" * 100_000, "line 2", "nested_too_deeply"),
        (b'{"a":"' + b"x" * MAX_LINE_BYTES + b'"}', "line 2", "line_too_long"),
        (b'{"a":"' + b"x" * 5 * MAX_LINE_BYTES + b'"}', "line 2", "line_too_long"),
    ],
)
def test_a_bad_line_is_named_and_only_it_is_lost(tmp_path: Path, line: bytes, place: str, rule: str) -> None:
    path = write(tmp_path, b'{"n":1}', line, b'{"n":3}')
    first, (number, fault), last = read_objects(path)
    assert isinstance(fault, LineFaultError)
    assert (number, fault.place, fault.rule) == (2, place, rule)
    assert (first, last) == ((1, {"n": 1}), (3, {"n": 3}))


def test_a_last_line_that_is_too_long(tmp_path: Path) -> None:
    (_, fault) = next(read_objects(write(tmp_path, b"x" * (MAX_LINE_BYTES + 1))))
    assert isinstance(fault, LineFaultError)
    assert fault.rule == "line_too_long"


def test_faults_hold_no_value(tmp_path: Path) -> None:
    ((_, fault),) = read_objects(write(tmp_path, '{"name":"김하늘","name":"이정숙"}'.encode()))
    assert "김하늘" not in str(fault)


def test_blank_lines_windows_ends_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path, b'\xef\xbb\xbf{"n":1}\r', b"", b"  ", b'{"n":4}\r')
    assert list(read_objects(path)) == [(1, {"n": 1}), (4, {"n": 4})]


def test_an_empty_file(tmp_path: Path) -> None:
    assert list(read_objects(write(tmp_path))) == []


def test_memory_stays_flat(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        for _ in range(40):
            file.write(b'{"n":"' + b"x" * (MAX_LINE_BYTES // 4) + b'"}\n')
        file.write(b"y" * 10 * MAX_LINE_BYTES)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_objects(path)) == 41
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * MAX_LINE_BYTES
