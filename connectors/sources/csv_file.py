"""CSV files (RFC 4180): one record a row, columns mapped by a JSON file beside this module.

The encoding is UTF-8, with or without a byte order mark, or CP949; which of them is found by decoding the
whole file strictly, never guessed from a part. Faults name line, column and rule, in the holder's own words.
"""

import codecs
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

from connectors.errors import SourceRefusedError
from connectors.sources.base import (
    Faulty,
    Person,
    SourceFault,
    SourceRecord,
    checked_record,
    faults_of,
    unread,
)
from connectors.sources.conversions import conversion
from connectors.sources.mapping import Column, apply
from vault.errors import Fault
from vault.record_types.catalogue import Catalogue

ENCODINGS: Final = ("utf-8-sig", "cp949")
_PIECE: Final = 1 << 16
_LONGEST_ROW: Final = 1 << 20
_MARK: Final = b"\xef\xbb\xbf"
_SPOILT: Final = "\ufffd"
_NOT_OF_THE_RECORD: Final = "_"  # targets below it tell whose a record is, and are no part of it


@dataclass(frozen=True)
class AmountGroup:
    """Columns that together are one line of a bill: its category, and the column of each of its amounts."""

    category: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class CsvSource:
    """One holder's CSV format, as its mapping file says.

    `constants` are members that every record has, such as the institution. `known_by` names the column that
    says which holder the file is of, and the value that it must have in every row. `person` names the
    columns that tell whose a record is.
    """

    format: str
    holder_id: str
    record_type: str
    columns: tuple[Column, ...]
    groups: tuple[AmountGroup, ...]
    constants: Mapping[str, Any]
    known_by: tuple[str, str]
    person: Mapping[str, str]

    @property
    def institution_no(self) -> str | None:
        """The number (HIRA) of the medical institution that it reads, if it is one."""
        institution = self.constants.get("institution", {})
        number: str | None = institution.get("hira_code")
        return number

    @classmethod
    def load(cls, name: str) -> "CsvSource":
        """Read a mapping file of this package."""
        text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
        return cls.from_mapping(json.loads(text))

    @classmethod
    def from_mapping(cls, raw: Mapping[str, Any]) -> "CsvSource":
        """A mapping as data. Raises KeyError for one that lacks a member or names an unknown conversion."""
        groups = tuple(
            AmountGroup(
                group["category"],
                tuple(
                    Column(column, name, conversion({"convert": "won"}), is_required=False)
                    for name, column in group["columns"].items()
                ),
            )
            for group in raw["line_groups"]
        )
        return cls(
            format=raw["format"],
            holder_id=raw["holder"],
            record_type=raw["record_type"],
            columns=tuple(
                Column(one["column"], one["target"], conversion(one), is_required=one.get("required", True))
                for one in raw["columns"]
            ),
            groups=groups,
            constants=raw["constants"],
            known_by=(raw["known_by"]["column"], raw["known_by"]["value"]),
            person=raw["person"],
        )

    @property
    def column_names(self) -> frozenset[str]:
        """Every column that a file of this format may have."""
        grouped = (column.source for group in self.groups for column in group.columns)
        return frozenset({self.known_by[0], *(column.source for column in self.columns), *grouped})

    def read(self, path: Path, catalogue: Catalogue) -> Iterator[SourceRecord | SourceFault]:
        """Every row after the header: its record, or each of its faults.

        Encoding and header are checked before this returns. Raises SourceRefusedError.
        """
        encoding = encoding_of(path)
        self._check_header(path, header_of(path, encoding))
        return self._read_rows(path, encoding, catalogue)

    def _check_header(self, path: Path, header: Sequence[str]) -> None:
        faults = []
        for number, name in enumerate(header, start=1):
            if name not in self.column_names:  # it could be anything, a person's name too: not quoted
                faults.append(Fault(f"column {number}", "unknown_column"))
            elif name in header[: number - 1]:
                faults.append(Fault(f"$.{name}", "column_twice"))
        needed = [self.known_by[0], *(column.source for column in self.columns if column.is_required)]
        faults += [Fault(f"$.{name}", "column_missing") for name in needed if name not in header]
        if faults:
            raise SourceRefusedError(path.name, faults)

    def _read_rows(
        self, path: Path, encoding: str, catalogue: Catalogue
    ) -> Iterator[SourceRecord | SourceFault]:
        header: list[str] = []
        with path.open(encoding=encoding, newline="") as file:
            rows = csv.reader(_limited(file), strict=True)
            begins = 1
            while True:
                try:
                    row = next(rows, None)
                except csv.Error:
                    # What follows a quote that is not closed cannot be told apart: nothing more is read.
                    yield from self._unread(path, begins, "quoting_broken_rest_not_read")
                    return
                except _RowTooLongError:
                    yield from self._unread(path, begins, "row_too_long_rest_not_read")
                    return
                if row is None:
                    return
                place, begins = f"line {begins}", rows.line_num + 1
                if not header:
                    header = [name.strip() for name in row]
                elif any(row):
                    yield from self._row(path.name, place, header, row=row, catalogue=catalogue)

    def _row(
        self, file: str, place: str, header: Sequence[str], *, row: Sequence[str], catalogue: Catalogue
    ) -> Iterator[SourceRecord | SourceFault]:
        if len(row) != len(header):
            told = unread(place, self.record_type, Fault("$", "wrong_number_of_columns"), raw=list(row))
            yield from faults_of(file, told)
            return
        found = self._record(place, dict(zip(header, row, strict=True)), catalogue)
        if isinstance(found, SourceRecord):
            yield found
            return
        numbers = {f"$.{name}": number for number, name in enumerate(header, start=1)}
        for fault in faults_of(file, found):
            number = numbers.get(fault.path)
            yield fault if number is None else replace(fault, place=f"{place}, column {number}")

    def _unread(self, path: Path, line: int, rule: str) -> Iterator[SourceFault]:
        return faults_of(path.name, unread(f"line {line}", self.record_type, Fault("$", rule)))

    def _record(self, place: str, cells: Mapping[str, str], catalogue: Catalogue) -> SourceRecord | Faulty:
        own_column, own_value = self.known_by
        if cells[own_column].strip() != own_value:
            fault = Fault(f"$.{own_column}", "foreign_institution")
            return unread(place, self.record_type, fault, raw=dict(cells))
        # An empty cell says nothing: what needs a value is then missing.
        told = {name: cell.strip() for name, cell in cells.items() if cell.strip() and name != own_column}
        grouped = {column.source for group in self.groups for column in group.columns}
        mapped, faults = apply(
            self.columns, {name: cell for name, cell in told.items() if name not in grouped}
        )
        lines, line_faults = self._lines(told)
        person = _person({member: _at(mapped, path) for member, path in self.person.items()})
        mapped.pop(_NOT_OF_THE_RECORD, None)
        data = {**self.constants, **mapped, "lines": lines}
        draft = SourceRecord(place, self.record_type, person, "", data)
        # Somebody decoded the file wrongly before it came here: what was there cannot be known.
        spoilt = [Fault(f"$.{name}", "replacement_character") for name in cells if _SPOILT in cells[name]]
        found = [*spoilt, *faults, *line_faults]
        return checked_record(draft, dict(cells), catalogue, faults=found, table=self.columns)

    def _lines(self, told: Mapping[str, str]) -> tuple[list[dict[str, Any]], list[Fault]]:
        """A line for each category of which an amount is told; what is not told of it is nothing."""
        lines: list[dict[str, Any]] = []
        faults: list[Fault] = []
        for group in self.groups:
            cells = {column.source: told[column.source] for column in group.columns if column.source in told}
            amounts, group_faults = apply(group.columns, cells)
            faults += group_faults
            if any(amounts.values()):
                lines.append({"category": group.category, **{c.target: 0 for c in group.columns}, **amounts})
        return lines, faults


def encoding_of(path: Path) -> str:
    """`utf-8-sig` or `cp949`, whichever the whole file is in; with the mark of UTF-8 it must be that.

    Raises SourceRefusedError with the place up to which it could have been one of them.
    """
    try:
        with path.open("rb") as file:
            has_mark = file.read(len(_MARK)) == _MARK
        ends = [_first_undecodable(path, encoding) for encoding in ENCODINGS[: 1 if has_mark else None]]
    except OSError:
        raise SourceRefusedError(path.name, [Fault("$", "cannot_be_read")]) from None
    for encoding, end in zip(ENCODINGS, ends, strict=False):
        if end is None:
            return encoding
    line, byte = max(end for end in ends if end is not None)
    rule = "not_utf8" if has_mark else "neither_utf8_nor_cp949"
    raise SourceRefusedError(path.name, [Fault("$", rule)], f"line {line}, byte {byte}")


def header_of(path: Path, encoding: str) -> list[str]:
    """The names in the first row. Raises SourceRefusedError."""
    with path.open(encoding=encoding, newline="") as file:
        try:
            row = next(csv.reader(_limited(file), strict=True), None)
        except (csv.Error, _RowTooLongError):
            raise SourceRefusedError(path.name, [Fault("$", "header_not_csv")]) from None
    if not row or not any(row):
        raise SourceRefusedError(path.name, [Fault("$", "header_missing")])
    return [name.strip() for name in row]


class _RowTooLongError(Exception):
    """A row, or a line of it, that no record needs: memory stays flat whatever the file is."""


def _limited(file: Any) -> Iterator[str]:  # noqa: ANN401 - an open text file
    while line := file.readline(_LONGEST_ROW + 1):
        if len(line) > _LONGEST_ROW:
            raise _RowTooLongError
        yield line


def _first_undecodable(path: Path, encoding: str) -> tuple[int, int] | None:
    """Where a file is not in an encoding: line and byte in it, from 1; None if it is, to its last byte."""
    decoder = codecs.getincrementaldecoder(encoding.removesuffix("-sig"))("strict")
    line, line_starts, done = 1, 0, 0
    with path.open("rb") as file:
        while True:
            piece = file.read(_PIECE)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                at = done - pending + error.start
                before = piece[: max(at - done, 0)]
                line += before.count(b"\n")
                if b"\n" in before:
                    line_starts = done + before.rindex(b"\n") + 1
                return line, at - line_starts + 1
            if not piece:
                return None
            line += piece.count(b"\n")
            if b"\n" in piece:
                line_starts = done + piece.rindex(b"\n") + 1
            done += len(piece)


def _person(told: Mapping[str, str | None]) -> Person:
    return Person(told.get("number") or "", told.get("name"), told.get("born_on"))


def _at(data: Mapping[str, Any], path: str) -> str | None:
    """The value at a dotted path, if there is one."""
    value: Any = data
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None
