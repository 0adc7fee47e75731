"""CSV files: wrong encodings, headers and rows, each named by line, column and rule; then good ones."""

import copy
import json
import tracemalloc
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import SourceRefusedError
from connectors.sources.base import SourceFault, SourceRecord
from connectors.sources.catalog import source_of
from connectors.sources.csv_file import CsvSource, encoding_of
from tests.connectors.sources.clinic import BILL, bill, saved, text_of
from vault.errors import Fault
from vault.record_types.catalogue import Catalogue

CATALOGUE = Catalogue.load()
COLUMNS = list(BILL)


def read(path: Path) -> list[SourceRecord | SourceFault]:
    return list(source_of(path).read(path, CATALOGUE))


def refused(path: Path) -> tuple[str, list[Fault]]:
    with pytest.raises(SourceRefusedError) as caught:
        read(path)
    assert caught.value.file == path.name
    return caught.value.place, list(caught.value.faults)


def faults(path: Path) -> list[tuple[str, str, str]]:
    """Place, path and rule of each fault; every other row was read."""
    return [(one.place, one.path, one.rule) for one in read(path) if isinstance(one, SourceFault)]


def raw(folder: Path, content: bytes) -> Path:
    path = folder / "clinic.csv"
    path.write_bytes(content)
    return path


# Encodings


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "iso2022_kr"])
def test_another_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    path = saved(tmp_path, [bill()], encoding=encoding)
    with pytest.raises(SourceRefusedError):
        read(path)


def test_a_byte_of_no_encoding_is_named_by_line_and_byte(tmp_path: Path) -> None:
    good = text_of([bill(number) for number in range(1, 4)]).encode()
    lines = good.split(b"\r\n")
    lines[2] = lines[2][:10] + b"\xff" + lines[2][10:]
    place, found = refused(raw(tmp_path, b"\r\n".join(lines)))
    assert (place, found) == ("line 3, byte 11", [Fault("$", "neither_utf8_nor_cp949")])


def test_a_byte_far_into_a_long_file_is_found(tmp_path: Path) -> None:
    good = text_of([bill(number) for number in range(2000)]).encode()
    lines = good.split(b"\r\n")
    lines[1500] = lines[1500][:7] + b"\xff" + lines[1500][7:]
    assert refused(raw(tmp_path, b"\r\n".join(lines)))[0] == "line 1501, byte 8"


def test_a_character_that_is_cut_at_the_end_is_found(tmp_path: Path) -> None:
    content = text_of([bill()]).encode() + "가".encode()[:2]
    place, _ = refused(raw(tmp_path, content))
    assert place == "line 3, byte 1"


def test_with_the_mark_of_utf8_it_must_be_that(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + text_of([bill()]).encode("cp949")
    place, found = refused(raw(tmp_path, content))
    assert (place, found) == ("line 1, byte 4", [Fault("$", "not_utf8")])


def test_what_somebody_decoded_wrongly_before_is_found(tmp_path: Path) -> None:
    path = saved(tmp_path, [bill(환자명="김\N{REPLACEMENT CHARACTER}늘"), bill(2)])
    column = COLUMNS.index("환자명") + 1
    assert faults(path) == [(f"line 2, column {column}", "$.환자명", "replacement_character")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_utf8_with_and_without_mark_and_cp949_say_the_same(tmp_path: Path, encoding: str) -> None:
    path = saved(tmp_path, [bill(1), bill(2, 환자명="뷁쀍", 진료과="소아청소년과")], encoding=encoding)
    one, two = read(path)
    assert isinstance(one, SourceRecord)
    assert isinstance(two, SourceRecord)
    assert (one.person.name, two.person.name, two.data["department"]) == ("김하늘", "뷁쀍", "소아청소년과")
    assert encoding_of(path) == ("cp949" if encoding == "cp949" else "utf-8-sig")


# Headers


@pytest.mark.parametrize("content", [b"", b"\r\n", b",,,\r\n"])
def test_a_file_without_a_header(tmp_path: Path, content: bytes) -> None:
    assert refused(raw(tmp_path, content)) == ("line 1", [Fault("$", "header_missing")])


def test_a_header_that_is_no_csv(tmp_path: Path) -> None:
    assert refused(raw(tmp_path, b'"a"b,c\n')) == ("line 1", [Fault("$", "header_not_csv")])
    assert refused(raw(tmp_path, b"x" * 1_200_000)) == ("line 1", [Fault("$", "header_not_csv")])


def test_a_file_of_which_nobody_knows_a_column(tmp_path: Path) -> None:
    assert refused(raw(tmp_path, b"a,b,c\n1,2,3\n")) == ("line 1", [Fault("$", "unknown_format")])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert refused(tmp_path / "nothing.csv")[1] == [Fault("$", "cannot_be_read")]


def test_columns_that_are_unknown_missing_or_twice_are_all_named(tmp_path: Path) -> None:
    columns = [name for name in COLUMNS if name not in {"발급일", "요양기관기호"}]
    columns += ["담당자 메모", "환자명"]
    path = raw(tmp_path, text_of([bill()], columns).encode())
    place, found = refused(path)
    assert place == "line 1"
    assert found == [
        Fault(f"column {len(columns) - 1}", "unknown_column"),  # not quoted: it could be anything
        Fault("$.환자명", "column_twice"),
        Fault("$.요양기관기호", "column_missing"),
        Fault("$.발급일", "column_missing"),
    ]


def test_optional_columns_may_be_missing(tmp_path: Path) -> None:
    columns = [name for name in COLUMNS if name != "생년월일"]
    (record,) = read(raw(tmp_path, text_of([bill()], columns).encode()))
    assert isinstance(record, SourceRecord)
    assert record.person.born_on is None


# Rows


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("발급일", "2026-02-30", "impossible_date"),
        ("발급일", "20260230", "impossible_date"),
        ("발급일", "2026-13-01", "impossible_date"),
        ("발급일", "어제", "not_a_date"),
        ("발급일", "", "required"),
        ("생년월일", "1997-02-29", "impossible_date"),
        ("미납금", "-100", "negative_amount"),
        ("미납금", "−1,000", "negative_amount"),
        ("미납금", "△500", "negative_amount"),
        ("미납금", "(500)", "negative_amount"),
        ("미납금", "12.5", "not_a_whole_number"),
        ("미납금", "무료", "not_a_whole_number"),
        ("초음파_비급여", "-60,000", "negative_amount"),
        ("진료구분", "왕진", "unknown_code"),
        ("환자번호", "970302-2000000", "contains_resident_registration_number"),
        ("환자명", "970302-2000000", "contains_resident_registration_number"),
        ("환자번호", "a b", "not_an_identifier"),
        ("요양기관기호", "31100024", "foreign_institution"),
        ("진료종료일", "2026-11-01", "period_in_order"),
        ("진료비총액", "78,001", "total_adds_up"),
        ("환자부담총액", "65,399", "patient_total_adds_up"),
    ],
)
def test_a_wrong_cell_is_named_by_line_column_and_rule_and_the_other_rows_are_kept(
    tmp_path: Path, column: str, value: str, rule: str
) -> None:
    path = saved(tmp_path, [bill(1), bill(2, **{column: value}), bill(3)])
    found = faults(path)
    number = COLUMNS.index(column) + 1
    assert (f"line 3, column {number}", f"$.{column}", rule) in found
    assert {place.partition(",")[0] for place, _, _ in found} == {"line 3"}
    assert len(read(path)) - len(found) == 2
    if value:
        assert value not in repr(found)


def test_too_many_and_too_few_cells(tmp_path: Path) -> None:
    lines = text_of([bill(1), bill(2), bill(3)]).split("\r\n")
    lines[1] += ",x"
    lines[2] = lines[2].rpartition(",")[0]
    path = raw(tmp_path, "\r\n".join(lines).encode())
    assert faults(path) == [(f"line {number}", "$", "wrong_number_of_columns") for number in (2, 3)]
    assert len(read(path)) == 3


def test_after_a_quote_that_is_not_closed_nothing_is_guessed(tmp_path: Path) -> None:
    text = text_of([bill(1), bill(2), bill(3)]).replace("C-0002", '"C-0002')
    path = raw(tmp_path, text.encode())
    assert faults(path) == [("line 3", "$", "quoting_broken_rest_not_read")]
    assert len(read(path)) == 2


def test_a_row_that_no_record_needs_is_not_held_in_memory(tmp_path: Path) -> None:
    content = text_of([bill(1)]).encode() + b"x" * 3_000_000 + b"\r\n"
    path = raw(tmp_path, content)
    assert faults(path) == [("line 3", "$", "row_too_long_rest_not_read")]


def test_lines_are_counted_by_their_breaks_inside_quotes_too(tmp_path: Path) -> None:
    path = saved(tmp_path, [bill(1, 진료과="내과\n2층"), bill(2, 발급일="x")])
    found = faults(path)
    assert {place.partition(",")[0] for place, _, _ in found} == {"line 2", "line 4"}


# Good ones


def test_a_row_becomes_a_record(tmp_path: Path) -> None:
    (record,) = read(saved(tmp_path, [bill()]))
    assert isinstance(record, SourceRecord)
    assert (record.place, record.natural_key, record.record_type) == (
        "line 2",
        "C-0001",
        "health.medical_bill",
    )
    assert (record.person.number, record.person.name, record.person.born_on) == (
        "K-0001",
        "김하늘",
        "1997-03-02",
    )
    assert record.data["institution"]["name"] == "한빛의원"
    assert [line["category"] for line in record.data["lines"]] == ["consultation", "ultrasound"]
    assert record.data["lines"][0] == {
        "category": "consultation",
        "covered_copay": 5400,
        "covered_nhis": 12600,
        "covered_full_self": 0,
        "noncovered": 0,
    }
    assert "born_on" not in json.dumps(record.data)
    assert "김하늘" not in repr(record)


@pytest.mark.parametrize("day", ["2026-11-02", "20261102", "2026.11.2", "2026. 11. 2.", "2026/11/02"])
def test_days_as_spreadsheets_write_them(tmp_path: Path, day: str) -> None:
    (record,) = read(saved(tmp_path, [bill(발급일=day)]))
    assert isinstance(record, SourceRecord)
    assert record.data["issue_date"] == "2026-11-02"


def test_blank_rows_and_blanks_around_cells_say_nothing(tmp_path: Path) -> None:
    text = text_of([bill(환자명="  김하늘 ")]) + "\r\n" + "," * (len(COLUMNS) - 1) + "\r\n"
    (record,) = read(raw(tmp_path, text.encode()))
    assert isinstance(record, SourceRecord)
    assert record.person.name == "김하늘"


def test_the_suffix_tells_a_csv_whatever_its_case(tmp_path: Path) -> None:
    assert len(read(saved(tmp_path, [bill()], name="CLINIC.CSV"))) == 1


def test_memory_stays_flat(tmp_path: Path) -> None:
    path = saved(tmp_path, [bill(number) for number in range(6000)], encoding="cp949")
    assert path.stat().st_size > 1_000_000
    source = source_of(path)
    next(iter(source.read(path, CATALOGUE)))
    tracemalloc.start()
    count = sum(1 for _ in source.read(path, CATALOGUE))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (count, peak < 1_000_000) == (6000, True)


# Mappings


def mapping() -> dict[str, Any]:
    text = resources.files("connectors.sources").joinpath("hanbit_clinic.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@pytest.mark.parametrize("member", ["format", "holder", "columns", "line_groups", "known_by", "person"])
def test_a_mapping_that_lacks_something_is_no_source(member: str) -> None:
    told = mapping()
    del told[member]
    with pytest.raises(KeyError):
        CsvSource.from_mapping(told)


def test_a_mapping_with_a_conversion_of_nobody_is_no_source() -> None:
    told = copy.deepcopy(mapping())
    told["columns"][0]["convert"] = "magic"
    with pytest.raises(KeyError):
        CsvSource.from_mapping(told)
