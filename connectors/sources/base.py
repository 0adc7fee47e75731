"""What a source gives: records and faults, each with its place. And how an export file is read.

An export is JSON Lines: a header object, then one record a line in the holder's own field names.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.errors import SourceRefusedError
from connectors.sources.json_lines import LineFaultError, read_objects
from connectors.sources.mapping import Table, apply, in_source_names
from vault.errors import Fault, RecordInvalidError
from vault.record_types.catalogue import Catalogue


@dataclass(frozen=True)
class SourceRecord:
    """One valid record: where it stood, whose it is by the holder's number, and its data in our schema.

    `natural_key` is the value by which the holder tells it from others. `doubts` refuse nothing.
    """

    place: str
    record_type: str
    patient_no: str = field(repr=False)
    natural_key: str = field(repr=False)
    data: dict[str, Any] = field(repr=False)
    doubts: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class SourceFault:
    """Why one line is lost: file name, place, path in the holder's field names, rule."""

    file: str
    place: str
    path: str
    rule: str


@dataclass(frozen=True)
class Header:
    """The checked first line of an export: day of export (ISO), and the rest of it in our names."""

    exported_on: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class ExportSource:
    """A holder's export format: how to know it, and the tables that map it.

    `check_header` names what is wrong with a mapped header. `assemble` makes of a mapped header and a
    mapped line the holder's number of the person and the record.
    """

    format: str
    version: int
    holder_id: str
    record_type: str
    header_table: Table
    table: Table
    check_header: Callable[[Mapping[str, Any]], list[Fault]]
    assemble: Callable[[Mapping[str, Any], dict[str, Any]], tuple[str, dict[str, Any]]]

    def read_header(self, path: Path) -> Header:
        """Check the first line of the export. Raises SourceRefusedError with everything that is wrong."""
        raw = first_object(path)
        if raw.get("format") != self.format:
            raise SourceRefusedError(path.name, [Fault("$.format", "wrong_format")])
        if type(raw.get("version")) is not int or raw["version"] != self.version:
            raise SourceRefusedError(path.name, [Fault("$.version", "wrong_version")])
        told = {name: value for name, value in raw.items() if name not in {"format", "version"}}
        data, faults = apply(self.header_table, told)
        faults = faults or self.check_header(data)
        if faults:
            raise SourceRefusedError(path.name, faults)
        return Header(data["exported_on"], data)

    def read(self, path: Path, catalogue: Catalogue) -> Iterator[SourceRecord | SourceFault]:
        """Every line after the header: its record, or each of its faults.

        The header is checked before this returns. Raises SourceRefusedError.
        """
        header = self.read_header(path)
        return self._read_lines(path, header, catalogue)

    def _read_lines(
        self, path: Path, header: Header, catalogue: Catalogue
    ) -> Iterator[SourceRecord | SourceFault]:
        lines = read_objects(path)
        next(lines, None)
        for number, raw in lines:
            if isinstance(raw, LineFaultError):
                yield SourceFault(path.name, raw.place, "$", raw.rule)
                continue
            place = f"line {number}"
            record = self._record(place, raw, header, catalogue)
            if isinstance(record, SourceRecord):
                yield record
            else:
                yield from (SourceFault(path.name, place, fault.path, fault.rule) for fault in record)

    def _record(
        self, place: str, raw: Mapping[str, Any], header: Header, catalogue: Catalogue
    ) -> SourceRecord | list[Fault]:
        mapped, faults = apply(self.table, raw)
        patient_no, data = self.assemble(header.data, mapped)
        try:
            catalogue.validate(self.record_type, data)
        except RecordInvalidError as error:
            # What the mapping has named already is missing here: not named twice.
            named = {fault.path for fault in faults}
            found = (Fault(in_source_names(self.table, fault.path), fault.rule) for fault in error.faults)
            faults += [fault for fault in found if fault.path not in named]
        if faults:
            return faults
        natural_key = catalogue.get(self.record_type).natural_key_of(data)
        doubts = catalogue.doubts(self.record_type, data)
        return SourceRecord(place, self.record_type, patient_no, natural_key, data, doubts)


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
