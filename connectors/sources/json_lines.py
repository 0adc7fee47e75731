"""JSON Lines files from outside, one line at a time: memory stays flat however long the file is.

A line that cannot be read costs that line only. RFC 8259 with the strictness of RFC 7493 (no member twice).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

MAX_LINE_BYTES: Final = 1024 * 1024

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class LineFaultError(Exception):
    """A line that is no JSON object: `place` names line and, if known, column; `rule` what it breaks."""

    def __init__(self, place: str, rule: str) -> None:
        self.place = place
        self.rule = rule
        super().__init__(f"{place}: {rule}")


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any] | LineFaultError]]:
    """Each line that is not blank: its number, from 1, and its object or what is wrong with it.

    Raises OSError when the file cannot be read.
    """
    with path.open("rb") as file:
        for number, line in _lines(file):
            try:
                yield number, _parse(f"line {number}", line)
            except LineFaultError as fault:
                yield number, fault


def read_object(raw: bytes) -> dict[str, Any]:
    """One JSON object, read as strictly as a line of a file. Raises LineFaultError."""
    return _parse("body", raw)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Lines with their numbers; None for one that is too long, which is skipped without being held."""
    number = 0
    while piece := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if number == 1:
            piece = piece.removeprefix(_BYTE_ORDER_MARK)
        if len(piece) > MAX_LINE_BYTES:
            while piece and not piece.endswith(b"\n"):
                piece = file.readline(MAX_LINE_BYTES)
            yield number, None
        elif piece.strip():
            yield number, piece


def _parse(place: str, line: bytes | None) -> dict[str, Any]:
    if line is None:
        raise LineFaultError(place, "line_too_long")
    try:
        value = json.loads(
            line.rstrip(b"\r\n").decode(),
            object_pairs_hook=_members_once,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError as error:
        raise LineFaultError(f"{place}, byte {error.start + 1}", "not_utf8") from None
    except json.JSONDecodeError as error:
        raise LineFaultError(f"{place}, column {error.pos + 1}", "not_json") from None
    except _MemberTwiceError:
        raise LineFaultError(place, "member_twice") from None
    except RecursionError:
        raise LineFaultError(place, "nested_too_deeply") from None
    except ValueError:  # a number that Python will not read: thousands of digits, NaN, Infinity
        raise LineFaultError(place, "number_refused") from None
    if not isinstance(value, dict):
        raise LineFaultError(place, "not_an_object")
    return value


class _MemberTwiceError(ValueError):
    """Readers disagree on which of two members of one name counts: neither does here."""


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _MemberTwiceError
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
