"""Importing holders' export files into the vault, in small commits, so that a broken run loses nothing.

A repeated run adds only what is missing: every record is known by its holder's own name for it. What is
not certain to be somebody's is named like a fault, and kept apart (broker/jobs/arriving.py).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.arriving import Outcome, take_in
from connectors.errors import SourceRefusedError
from connectors.sources.base import SourceFault, SourceRecord
from connectors.sources.catalog import source_of

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
        """Nothing was refused, and nothing is kept apart."""
        return not self.faults

    def count(self, file: str, outcomes: Sequence[Outcome]) -> None:
        """Add what became of one batch of a file."""
        for outcome in outcomes:
            self.added += outcome.what == "added"
            self.corrected += outcome.what == "corrected"
            self.unchanged += outcome.what == "unchanged"
            if outcome.rule is not None:
                self.faults.append(SourceFault(file, outcome.place, "$", outcome.rule))


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
                SourceFault(path.name, error.place, fault.path, fault.rule) for fault in error.faults
            ]
            continue
        seen: dict[tuple[str, str], int] = {}
        for batch in _batches(lines):
            records, faults = _sorted_out(path.name, batch, seen)
            report.faults += faults
            with transaction(installation.data) as work:
                outcomes = take_in(
                    work, installation, records, holder_id=source.holder_id, origin=path.name, now=now()
                )
            report.count(path.name, outcomes)
            if progress is not None:
                progress(len(batch))
    return report


def _sorted_out(
    file: str, batch: Sequence[SourceRecord | SourceFault], seen: dict[tuple[str, str], int]
) -> tuple[list[SourceRecord], list[SourceFault]]:
    """Records and faults of a batch; a record that contradicts an earlier line of its file is a fault.

    Which of the two is right, only the holder knows. `seen` holds a fingerprint for each record's name.
    """
    records: list[SourceRecord] = []
    faults: list[SourceFault] = []
    for line in batch:
        if isinstance(line, SourceFault):
            faults.append(line)
            continue
        fingerprint = hash(orjson.dumps(line.data, option=orjson.OPT_SORT_KEYS))
        if seen.setdefault((line.person.number, line.natural_key), fingerprint) != fingerprint:
            faults.append(SourceFault(file, line.place, "$", "contradicts_earlier_line"))
        else:
            records.append(line)
    return records, faults


def _batches(lines: Iterator[SourceRecord | SourceFault]) -> Iterator[list[SourceRecord | SourceFault]]:
    while batch := list(islice(lines, BATCH_RECORDS)):
        yield batch
