"""What every source must do, whatever its format: one contract, for all of them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import SourceRefusedError
from connectors.sources.base import ExportSource, Source, SourceFault, SourceRecord
from connectors.sources.catalog import all_sources, export_sources, source_of, sources_of
from connectors.sources.demo_hospital import write_exports
from connectors.sources.demo_registers import write_register_exports
from tests.connectors.sources import clinic
from vault.identifiers import looks_like_rrn
from vault.record_types.catalogue import Catalogue

CATALOGUE = Catalogue.load()
RRN = "970302-2000000"


@dataclass(frozen=True)
class Case:
    """A source with a good file of it, and a way to write that file with one record's text fields changed."""

    source: Source
    write: Callable[[Path, Callable[[dict[str, Any]], None] | None], Path]


def exported(source: ExportSource) -> Case:
    def write(folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
        for file in (*write_exports(folder), *write_register_exports(folder)):
            header, *records = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
            if header["format"] != source.format:
                continue
            if change is not None:
                change(records[1])
            lines = [json.dumps(one, ensure_ascii=False) + "\n" for one in (header, *records)]
            file.write_text("".join(lines), "utf-8")
            return file
        raise AssertionError(f"nobody writes {source.format}")

    return Case(source, write)


def spreadsheet(source: Source) -> Case:
    def write(folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
        rows = [clinic.bill(number) for number in range(1, 6)]
        if change is not None:
            change(rows[1])
        return clinic.saved(folder, rows)

    return Case(source, write)


CASES = [
    pytest.param(exported(one) if isinstance(one, ExportSource) else spreadsheet(one), id=one.format)
    for one in all_sources()
]
every_source = pytest.mark.parametrize("case", CASES)


def read(case: Case, path: Path) -> list[SourceRecord | SourceFault]:
    return list(source_of(path).read(path, CATALOGUE))


def spoil(name: str, value: str, record: dict[str, Any]) -> None:
    record[name] = value


def texts(record: Mapping[str, Any]) -> list[str]:
    """The record's own members that hold text and nothing else."""
    return [name for name, value in record.items() if isinstance(value, str) and value]


@every_source
def test_it_has_a_format_of_its_own_a_holder_and_a_known_record_type(case: Case) -> None:
    assert case.source.record_type in CATALOGUE.codes()
    assert case.source.holder_id
    assert [source.format for source in all_sources()].count(case.source.format) == 1


@every_source
def test_a_good_file_is_read_whole_and_the_same_each_time(case: Case, tmp_path: Path) -> None:
    path = case.write(tmp_path, None)
    assert source_of(path).format == case.source.format
    first, second = read(case, path), read(case, path)
    assert first == second
    assert all(isinstance(one, SourceRecord) for one in first)
    assert len(first) >= 5


@every_source
def test_every_record_is_valid_somebodys_and_has_a_name_and_a_place(case: Case, tmp_path: Path) -> None:
    records = [one for one in read(case, case.write(tmp_path, None)) if isinstance(one, SourceRecord)]
    for record in records:
        CATALOGUE.validate(case.source.record_type, record.data)
        assert record.record_type == case.source.record_type
        assert record.person.number
        assert record.person.name
        assert record.place.startswith("line ")
        assert record.natural_key == CATALOGUE.get(record.record_type).natural_key_of(record.data)
    assert len({(record.person.number, record.natural_key) for record in records}) == len(records)


@every_source
def test_nothing_personal_is_in_the_text_of_what_is_read(case: Case, tmp_path: Path) -> None:
    for record in read(case, case.write(tmp_path, None)):
        assert isinstance(record, SourceRecord)
        for secret in (record.person.number, record.person.name, record.natural_key):
            assert str(secret) not in repr(record)
        assert not any(looks_like_rrn(text) for text in (record.person.number, record.natural_key))


@every_source
def test_a_bad_record_costs_itself_alone_and_its_value_is_told_nobody(case: Case, tmp_path: Path) -> None:
    for name in texts(_second(case, tmp_path)):
        path = case.write(tmp_path, partial(spoil, name, RRN))
        results = read(case, path)
        found = [one for one in results if isinstance(one, SourceFault)]
        assert found, name
        assert {one.place.partition(",")[0] for one in found} == {"line 3"}, name
        assert {one.file for one in found} == {path.name}
        assert all(one.path.startswith("$") and one.rule for one in found)
        assert RRN not in repr(found)
        assert len(results) - len(found) == len(read(case, case.write(tmp_path, None))) - 1


@every_source
def test_no_fault_is_told_twice(case: Case, tmp_path: Path) -> None:
    for name in texts(_second(case, tmp_path)):
        path = case.write(tmp_path, partial(spoil, name, "?"))
        found = [one for one in read(case, path) if isinstance(one, SourceFault)]
        assert len(found) == len(set(found)), name


@every_source
def test_a_bad_record_comes_along_as_it_was_read_once_and_without_its_text(
    case: Case, tmp_path: Path
) -> None:
    for name in texts(_second(case, tmp_path)):
        found = [
            one for one in read(case, case.write(tmp_path, partial(spoil, name, "?"))) if not _is_good(one)
        ]
        if not found:  # a member that takes any text
            continue
        borne = [one.of for one in found if isinstance(one, SourceFault) and one.of is not None]
        assert len(borne) == 1, name
        assert (borne[0].record_type, borne[0].place) == (case.source.record_type, "line 3")
        assert borne[0].fingerprint
        assert "?" not in repr(found).replace(".?", ""), name
        assert borne[0].raw is None or "?" in borne[0].raw


@every_source
def test_of_a_record_with_a_residents_number_nothing_comes_along(case: Case, tmp_path: Path) -> None:
    for name in texts(_second(case, tmp_path)):
        results = read(case, case.write(tmp_path, partial(spoil, name, RRN)))
        borne = [one.of for one in results if isinstance(one, SourceFault) and one.of is not None]
        assert [(one.person, one.natural_key, one.raw) for one in borne] == [(None, None, None)], name


@every_source
def test_broken_bytes_end_in_named_faults_and_nothing_else(case: Case, tmp_path: Path) -> None:
    path = case.write(tmp_path, None)
    content = path.read_bytes()
    for at in range(0, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:at] + b"\xff" + content[at + 1 :])
        _expect_only_named_faults(case, path)
        path.write_bytes(content[:at])
        _expect_only_named_faults(case, path)


@every_source
def test_a_file_that_cannot_be_opened_is_refused_by_name(case: Case, tmp_path: Path) -> None:
    folder = case.write(tmp_path, None).with_name("gone")
    path = folder / f"x{'.csv' if case.source.format.endswith('csv') else '.jsonl'}"
    with pytest.raises(SourceRefusedError) as caught:
        source_of(path)
    assert str(folder) not in str(caught.value)


def test_a_holders_own_sources_are_found_by_what_is_agreed_to() -> None:
    bills = ("health.medical_bill",)
    assert [source.record_type for source in sources_of("seoul-hospital", bills)] == list(bills)
    assert sources_of("seoul-hospital", ()) == ()
    assert sources_of("nobody", bills) == ()
    assert {source.format for source in export_sources()} < {source.format for source in all_sources()}


def _second(case: Case, folder: Path) -> dict[str, Any]:
    """The second record of a good file, as its holder writes it."""
    kept: list[dict[str, Any]] = []
    case.write(folder, lambda record: kept.append(dict(record)))
    return kept[0]


def _is_good(one: SourceRecord | SourceFault) -> bool:
    return isinstance(one, SourceRecord)


def _expect_only_named_faults(case: Case, path: Path) -> None:
    try:
        results = read(case, path)
    except SourceRefusedError:
        return
    assert all(one.rule for one in results if isinstance(one, SourceFault))
