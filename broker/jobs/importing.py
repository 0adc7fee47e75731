"""Importing holders' export files into the vault, in small commits, so that a broken run loses nothing.

A repeated run adds only what is missing: every record is known by its holder's own name for it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

from broker.db import Transaction, transaction
from broker.installation import Installation
from connectors.errors import SourceRefusedError
from connectors.sources.base import SourceFault, SourceRecord
from connectors.sources.catalog import source_of
from consent.collection import Arrival, collect, find_link, record_types_of
from consent.models import SourceLink

BATCH_RECORDS: Final = 100

Progress = Callable[[int], None]


@dataclass(slots=True)
class ImportReport:
    """What became of every line. Faults name file, place, path and rule, never a value."""

    added: int = 0
    corrected: int = 0
    unchanged: int = 0
    faults: list[SourceFault] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Nothing was refused."""
        return not self.faults


def import_files(
    installation: Installation,
    paths: Sequence[Path],
    now: Callable[[], datetime],
    progress: Progress | None = None,
) -> ImportReport:
    """Import export files; `progress` is called with the number of lines done since the last call.

    A file whose header is wrong is refused whole, with its faults; the other files go on.
    """
    report = ImportReport()
    for path in paths:
        try:
            source = source_of(path)
            lines = source.read(path, installation.catalogue)
        except SourceRefusedError as error:
            report.faults += [
                SourceFault(path.name, "line 1", fault.path, fault.rule) for fault in error.faults
            ]
            continue
        for batch in _batches(lines):
            records = [line for line in batch if isinstance(line, SourceRecord)]
            report.faults += [line for line in batch if isinstance(line, SourceFault)]
            with transaction(installation.data) as work:
                _import_batch(
                    work,
                    installation,
                    records,
                    holder_id=source.holder_id,
                    file=path.name,
                    report=report,
                    now=now(),
                )
            if progress is not None:
                progress(len(batch))
    return report


def _batches(lines: Iterator[SourceRecord | SourceFault]) -> Iterator[list[SourceRecord | SourceFault]]:
    while batch := list(islice(lines, BATCH_RECORDS)):
        yield batch


def _import_batch(  # noqa: PLR0913 - one batch of one file of one holder, and the report it adds to
    work: Transaction,
    installation: Installation,
    records: Sequence[SourceRecord],
    *,
    holder_id: str,
    file: str,
    report: ImportReport,
    now: datetime,
) -> None:
    linked: dict[str, tuple[SourceLink, list[Arrival]]] = {}
    for record in records:
        if record.patient_no not in linked:
            link = find_link(work.session, installation.keyring, holder_id, record.patient_no)
            if link is not None:
                linked[record.patient_no] = (link, [])
        known = linked.get(record.patient_no)
        if known is None:
            report.faults.append(SourceFault(file, record.place, "$", "person_not_linked"))
        elif record.record_type not in record_types_of(installation.keyring, known[0]):
            report.faults.append(
                SourceFault(file, record.place, "$", "record_type_not_covered_by_collection_consent")
            )
        else:
            known[1].append(Arrival(record.record_type, record.natural_key, record.data))
    for link, arrivals in linked.values():
        if not arrivals:
            continue
        for result in collect(
            work, installation.keyring, installation.catalogue, link, arrivals=arrivals, now=now
        ):
            report.added += result.outcome == "added"
            report.corrected += result.outcome == "corrected"
            report.unchanged += result.outcome == "unchanged"
