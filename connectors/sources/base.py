"""What a source gives: records and faults, each with its place. And how a holder's own format is read.

An export file is JSON Lines: a header object, then one record a line in the holder's own field names. What
a holder answers or pushes over HTTP is the same header and the same records as one JSON object.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

from connectors.errors import SourceRefusedError
from connectors.sources.json_lines import LineFaultError, read_objects
from connectors.sources.mapping import Table, apply, in_source_names
from vault.errors import Fault, RecordInvalidError
from vault.identifiers import looks_like_rrn
from vault.record_types.catalogue import Catalogue

MOST_KEPT: Final = 64 * 1024
"""Characters of a faulty record that may be kept as they came; no record needs as many."""


@dataclass(frozen=True)
class Person:
    """Whose a record is, as its holder says: its number for the person, name and birth date (ISO) if told."""

    number: str = field(repr=False)
    name: str | None = field(default=None, repr=False)
    born_on: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class SourceRecord:
    """One valid record: where it stood, whose it is by the holder's words, and its data in our schema.

    `natural_key` is the value by which the holder tells it from others. `doubts` refuse nothing. `as_of` is
    the day (ISO) on which the holder said so, if it told one.
    """

    place: str
    record_type: str
    person: Person
    natural_key: str = field(repr=False)
    data: dict[str, Any] = field(repr=False)
    doubts: tuple[Fault, ...] = ()
    as_of: str | None = None

    @property
    def patient_no(self) -> str:
        """The holder's number for the person."""
        return self.person.number


@dataclass(frozen=True)
class Faulty:
    """A record that cannot be taken: everything that is wrong with it, and what could be read of it.

    `person` and `natural_key` are None where they could not be read. `raw` is the record as it came, as
    JSON text; None where it must not be kept, or was no record at all. `fingerprint` tells it from others.
    """

    place: str
    record_type: str
    faults: tuple[Fault, ...]
    person: Person | None = field(default=None, repr=False)
    natural_key: str | None = field(default=None, repr=False)
    raw: str | None = field(default=None, repr=False)
    fingerprint: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class SourceFault:
    """Why one line is not taken: file name, place, path in the holder's field names, rule.

    The first fault of a line bears the line itself, as far as it could be read (`of`).
    """

    file: str
    place: str
    path: str
    rule: str
    of: Faulty | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Header:
    """The checked first line of an export: day of export (ISO), and the rest of it in our names."""

    exported_on: str
    data: Mapping[str, Any]


Assemble = Callable[[Mapping[str, Any], dict[str, Any]], tuple[Person, dict[str, Any]]]


class Source(Protocol):
    """A way to read one holder's files of one record type. Every one passes the same contract tests."""

    @property
    def format(self) -> str: ...

    @property
    def holder_id(self) -> str: ...

    @property
    def record_type(self) -> str: ...

    def read(self, path: Path, catalogue: Catalogue) -> Iterator[SourceRecord | SourceFault]: ...


@dataclass(frozen=True)
class ExportSource:
    """A holder's export format: how to know it, and the tables that map it.

    `check_header` names what is wrong with a mapped header. `assemble` makes of a mapped header and a
    mapped line whose record it is, and the record. `institution_no` is the number (HIRA) of the one
    medical institution that it reads, if it is one.
    """

    format: str
    version: int
    holder_id: str
    record_type: str
    header_table: Table
    table: Table
    check_header: Callable[[Mapping[str, Any]], list[Fault]]
    assemble: Assemble
    institution_no: str | None = None

    def read_header(self, path: Path) -> Header:
        """Check the first line of the export. Raises SourceRefusedError with everything that is wrong."""
        return self.header_of(first_object(path), path.name)

    def header_of(self, raw: Mapping[str, Any], name: str) -> Header:
        """Check a header, wherever it stood; a refusal calls that `name`. Raises SourceRefusedError."""
        if raw.get("format") != self.format:
            raise SourceRefusedError(name, [Fault("$.format", "wrong_format")])
        if type(raw.get("version")) is not int or raw["version"] != self.version:
            raise SourceRefusedError(name, [Fault("$.version", "wrong_version")])
        told = {member: value for member, value in raw.items() if member not in {"format", "version"}}
        data, faults = apply(self.header_table, told)
        faults = faults or self.check_header(data)
        if faults:
            raise SourceRefusedError(name, faults)
        return Header(data["exported_on"], data)

    def read(self, path: Path, catalogue: Catalogue) -> Iterator[SourceRecord | SourceFault]:
        """Every line after the header: its record, or each of its faults.

        The header is checked before this returns. Raises SourceRefusedError.
        """
        header = self.read_header(path)
        return self._read_lines(path, header, catalogue)

    def record_of(
        self, place: str, raw: object, header: Header, catalogue: Catalogue
    ) -> SourceRecord | Faulty:
        """One record under a checked header, or everything that is wrong with it."""
        if not isinstance(raw, dict):
            return unread(place, self.record_type, Fault("$", "not_an_object"), raw=raw)
        mapped, faults = apply(self.table, raw)
        person, data = self.assemble(header.data, mapped)
        draft = SourceRecord(place, self.record_type, person, "", data, as_of=header.exported_on)
        return checked_record(draft, raw, catalogue, faults=faults, table=self.table)

    def _read_lines(
        self, path: Path, header: Header, catalogue: Catalogue
    ) -> Iterator[SourceRecord | SourceFault]:
        lines = read_objects(path)
        next(lines, None)
        for number, raw in lines:
            if isinstance(raw, LineFaultError):
                yield from faults_of(path.name, unread(raw.place, self.record_type, Fault("$", raw.rule)))
                continue
            record = self.record_of(f"line {number}", raw, header, catalogue)
            if isinstance(record, SourceRecord):
                yield record
            else:
                yield from faults_of(path.name, record)


def checked_record(
    draft: SourceRecord, raw: object, catalogue: Catalogue, *, faults: Sequence[Fault], table: Table
) -> SourceRecord | Faulty:
    """A mapped record, validated; or its faults, those of the mapping first, in the holder's names.

    `raw` is what it was mapped from, as its holder wrote it.
    """
    found = list(faults)
    try:
        catalogue.validate(draft.record_type, draft.data)
    except RecordInvalidError as error:
        # What the mapping has named already is missing here: not named twice.
        named = {fault.path for fault in found}
        told = (Fault(in_source_names(table, fault.path), fault.rule) for fault in error.faults)
        found += [fault for fault in told if fault.path not in named]
    if found:
        return _faulty(draft, raw, catalogue, tuple(found))
    natural_key = catalogue.get(draft.record_type).natural_key_of(draft.data)
    doubts = catalogue.doubts(draft.record_type, draft.data)
    return replace(draft, natural_key=natural_key, doubts=doubts)


def unread(place: str, record_type: str, fault: Fault, *, raw: object = None) -> Faulty:
    """What is no record that a table could map: nothing is known of whose it is."""
    fingerprint = None if raw is None else _fingerprint(json.dumps(raw))
    return Faulty(place, record_type, (fault,), fingerprint=fingerprint)


def faults_of(file: str, faulty: Faulty) -> Iterator[SourceFault]:
    """Each fault of a record, under the name of its file; the first one bears the record."""
    first, *others = faulty.faults
    yield SourceFault(file, faulty.place, first.path, first.rule, faulty)
    yield from (SourceFault(file, faulty.place, fault.path, fault.rule) for fault in others)


def _faulty(draft: SourceRecord, raw: object, catalogue: Catalogue, faults: tuple[Fault, ...]) -> Faulty:
    fingerprint = _fingerprint(json.dumps(raw))
    told = json.dumps(raw, ensure_ascii=False)
    if looks_like_rrn(told) or not _is_text(told):
        # A resident's number is not kept even as evidence (PIPA article 24-2): nothing but the place is.
        return Faulty(draft.place, draft.record_type, faults, fingerprint=fingerprint)
    try:
        natural_key = catalogue.get(draft.record_type).natural_key_of(draft.data)
    except KeyError:
        natural_key = None
    return Faulty(
        place=draft.place,
        record_type=draft.record_type,
        faults=faults,
        person=draft.person if draft.person.number else None,
        natural_key=natural_key,
        raw=told if len(told) <= MOST_KEPT else None,
        fingerprint=fingerprint,
    )


def _is_text(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def first_object(path: Path) -> dict[str, Any]:
    """The header line as it stands. Raises SourceRefusedError when there is none to read."""
    try:
        number, raw = next(read_objects(path), (0, None))
    except OSError:
        raise SourceRefusedError(path.name, [Fault("$", "cannot_be_read")]) from None
    if isinstance(raw, LineFaultError):
        raise SourceRefusedError(path.name, [Fault("$", f"header_{raw.rule}")]) from None
    if raw is None or number != 1:
        raise SourceRefusedError(path.name, [Fault("$", "header_missing")])
    return raw
