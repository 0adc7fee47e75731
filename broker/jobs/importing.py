"""Importing holders' export files into the vault, in small commits, so that a broken run loses nothing.

A repeated run adds only what is missing: every record is known by its holder's own name for it. What is
not certain to be somebody's is named like a fault, and kept apart (broker/jobs/arriving.py).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.arriving import Outcome, take_in
from broker.jobs.keeping import divide, keep_contradicting, keep_faulty
from broker.jobs.said_before import SaidBefore
from connectors.errors import SourceRefusedError
from connectors.sources.base import SourceFault, SourceRecord
from connectors.sources.catalog import source_of
from consent.errors import UnknownOrganisationError
from consent.organisations import require_holders
from consent.roles import Capability

BATCH_RECORDS: Final = 500
"""In one commit: many enough to be fast, few enough that nobody waits long for SQLite's one writer."""

_PIECE_BYTES: Final = 1024 * 1024

Progress = Callable[[int], None]


@dataclass(slots=True)
class ImportReport:
    """What became of every line. Faults name file, place, path and rule, never a value.

    `warnings` counts by file, path and rule what looks wrong in records that were not refused for it.
    """

    added: int = 0
    corrected: int = 0
    unchanged: int = 0
    faults: list[SourceFault] = field(default_factory=list)
    warnings: Counter[tuple[str, str, str]] = field(default_factory=Counter)

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

    A file whose header is wrong, or whose holder may not deliver, is refused whole, with its faults; the
    other files go on. Raises RoleForbidsError in a role that stores nothing.
    """
    installation.deployment.require(Capability.STORE)
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
        if not _is_active(installation, source.holder_id):
            report.faults.append(SourceFault(path.name, "line 1", "$", "holder_not_registered_or_suspended"))
            continue
        with SaidBefore() as said_before:
            for batch in _batches(lines):
                outcomes = _take(
                    installation, batch, said_before, holder_id=source.holder_id, file=path.name, now=now()
                )
                report.faults += [replace(one, of=None) for one in batch if isinstance(one, SourceFault)]
                report.count(path.name, outcomes)
                read = (line for line in batch if isinstance(line, SourceRecord))
                report.warnings.update(
                    (path.name, doubt.path, doubt.rule) for record in read for doubt in record.doubts
                )
                if progress is not None:
                    progress(len(batch))
    return report


def count_lines(paths: Sequence[Path]) -> int:
    """How many lines files have, for a progress bar; one that cannot be read has none."""
    total = 0
    for path in paths:
        with suppress(OSError), path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                total += piece.count(b"\n")
    return total


def _is_active(installation: Installation, holder_id: str) -> bool:
    try:
        with installation.data.read() as session:
            require_holders(session, [holder_id])
    except UnknownOrganisationError:
        return False
    return True


def _take(  # noqa: PLR0913 - where to, from whom, by which way, what came, what came before, and when
    installation: Installation,
    batch: Sequence[SourceRecord | SourceFault],
    said_before: SaidBefore,
    *,
    holder_id: str,
    file: str,
    now: datetime,
) -> list[Outcome]:
    """Commit one batch: what is certain is taken, and what has faults or contradicts another kept apart."""
    records, at_odds = _sorted_out(batch, said_before)
    faulty = [line.of for line in batch if isinstance(line, SourceFault) and line.of is not None]
    with transaction(installation.data) as work:
        outcomes = take_in(work, installation, records, holder_id=holder_id, origin=file, now=now)
        outcomes += keep_contradicting(work, installation, at_odds, holder_id=holder_id, origin=file, now=now)
        keep_faulty(work, installation, faulty, holder_id=holder_id, origin=file, now=now)
    return outcomes


def _sorted_out(
    batch: Sequence[SourceRecord | SourceFault], said_before: SaidBefore
) -> tuple[list[SourceRecord], list[SourceRecord]]:
    """Records of a batch, and those that contradict another line: which is right, only the holder knows."""
    records, at_odds = divide(line for line in batch if isinstance(line, SourceRecord))
    for record in at_odds:
        _is_contradicted(said_before, record, is_at_odds=True)  # and so is every later line of its name
    certain: list[SourceRecord] = []
    for record in records:
        (at_odds if _is_contradicted(said_before, record) else certain).append(record)
    return certain, at_odds


def _is_contradicted(said_before: SaidBefore, record: SourceRecord, *, is_at_odds: bool = False) -> bool:
    content = orjson.dumps(record.data, option=orjson.OPT_SORT_KEYS)
    name = (record.person.number, record.natural_key)
    return said_before.is_contradicted(name, content, is_at_odds=is_at_odds)


def _batches(lines: Iterator[SourceRecord | SourceFault]) -> Iterator[list[SourceRecord | SourceFault]]:
    while batch := list(islice(lines, BATCH_RECORDS)):
        yield batch
