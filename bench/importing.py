"""The import of a large export: rate against raw inserts of the same bytes, memory, and what a kill leaves.

python -m bench.importing CONFIG FILE      imports one file and tells about it: a process of its own,
                                           so that the memory is the import's alone
"""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import psycopg
from sqlalchemy import func
from sqlmodel import Session, col, select

from bench.crowd import link_people, write_bills
from bench.judging import Bar, Ratio
from bench.machine import say
from bench.places import Place
from bench.runs import Plan
from broker.cli.opening import read_clock
from broker.installation import Installation, open_installation
from broker.jobs.importing import BATCH_RECORDS, import_files
from broker.settings import load_settings
from vault.store import Record, RecordVersion

MAX_GROWTH_MB: Final = 50

_ROOT: Final = Path(__file__).parents[1]
_KIB_PER_MB: Final = 1024
_KILLED_SHARE: Final = 10  # the file that is killed has a tenth of the bills
_KILLED_BATCHES: Final = 4  # and so many batches at least, to be killed between two


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to. Rates in records a second, memory in MB."""

    people: int
    bills: int
    seconds_linking: float
    rate: float
    raw_rate: float
    growth_mb: float
    late_growth_mb: float
    killed_after: int
    resumed_unchanged: int
    resumed_added: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class _Told:
    """What the process of one import says at its end."""

    added: int
    unchanged: int
    seconds: float
    growth_mb: float
    late_growth_mb: float


class ImportFailedError(Exception):
    """The import refused a record, or its process ended early: the output of it."""


def measure(place: Place, plan: Plan) -> Imported:
    """Link the people, import the bills, then import some more and kill that. Raises ImportFailedError."""
    export, killed = place.folder / "bills.jsonl", place.folder / "killed.jsonl"
    more = max(plan.bills // _KILLED_SHARE, _KILLED_BATCHES * BATCH_RECORDS)
    write_bills(export, people=plan.people, numbers=range(plan.bills))
    write_bills(killed, people=plan.people, numbers=range(plan.bills, plan.bills + more))
    with place.installation() as installation:
        began = time.perf_counter()
        link_people(installation, plan.people)
        linking = time.perf_counter() - began
        before = _count(installation)
        told = _run(place.config, export)
        raw_rate = _raw_rate(place, installation, plan.bills)
        killed_after = _run_and_kill(place.config, killed, after=more // 2)
        resumed = _run(place.config, killed)
        records, versions = _count(installation)
    expected = plan.bills + more
    return Imported(
        people=plan.people,
        bills=plan.bills,
        seconds_linking=linking,
        rate=plan.bills / told.seconds,
        raw_rate=raw_rate,
        growth_mb=told.growth_mb,
        late_growth_mb=told.late_growth_mb,
        killed_after=killed_after,
        resumed_unchanged=resumed.unchanged,
        resumed_added=resumed.added,
        is_complete=(records - before[0], versions - before[1]) == (expected, expected)
        and resumed.added + resumed.unchanged == more,
    )


def ratios(imported: Imported) -> list[Ratio]:
    """The import's lines of the verdict."""
    return [
        Ratio("import: rate / raw inserts of the same bytes", imported.rate / imported.raw_rate),
        Ratio("import: bills a second", imported.rate),
        Ratio("import: memory growth in MB", imported.growth_mb, Bar(MAX_GROWTH_MB, 30, is_floor=False)),
        Ratio("import: killed and repeated, each bill once", imported.is_complete, Bar(1, 1, is_floor=True)),
    ]


def main(arguments: Sequence[str]) -> int:
    """The process of one import: a line of progress for each batch, and a JSON object at the end."""
    config, export = map(Path, arguments)
    opened = open_installation(load_settings(config, {}), read_clock)
    done, sizes, began, before = 0, [_resident_mb()], time.perf_counter(), _resident_mb()

    def progress(lines: int) -> None:
        nonlocal done
        done += lines
        sizes.append(_resident_mb())
        say(str(done))

    report = import_files(opened, [export], read_clock, progress)
    seconds = time.perf_counter() - began
    opened.close()
    told = {
        "added": report.added,
        "unchanged": report.unchanged,
        "seconds": seconds,
        "growth_mb": max(sizes) - before,
        "late_growth_mb": max(sizes) - sizes[len(sizes) // 4],
    }
    say(orjson.dumps(told).decode())
    return 0 if report.is_clean else 1


def _run(config: Path, export: Path) -> _Told:
    command = [sys.executable, "-m", "bench.importing", str(config), str(export)]
    done = subprocess.run(  # noqa: S603 - ourselves
        command, cwd=_ROOT, capture_output=True, text=True, check=False, env={"PATH": os.defpath}
    )
    if done.returncode != 0:
        raise ImportFailedError(done.stdout[-500:] + done.stderr)
    return _Told(**orjson.loads(done.stdout.splitlines()[-1]))


def _run_and_kill(config: Path, export: Path, *, after: int) -> int:
    """Start an import and end it with SIGKILL once it has told of this many lines; how many it told of."""
    command = [sys.executable, "-m", "bench.importing", str(config), str(export)]
    process = subprocess.Popen(  # noqa: S603 - ourselves
        command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, env={"PATH": os.defpath}
    )
    with process:
        told = 0
        for line in process.stdout or ():
            told = int(line)
            if told >= after:
                process.kill()
                break
    return told


def _count(installation: Installation) -> tuple[int, int]:
    """Records and versions that are in the vault."""
    with installation.data.read() as session:
        of_records = session.exec(select(func.count()).select_from(Record)).one()
        return of_records, session.exec(select(func.count()).select_from(RecordVersion)).one()


def _raw_rate(place: Place, installation: Installation, count: int) -> float:
    """Rows a second when the same ciphertexts go into a bare table, in commits of the same size."""
    with installation.data.read() as session:
        batches = _ciphertexts(session, count)
        if place.kind == "sqlite":
            return _raw_sqlite(installation.data.path, batches)
        return _raw_postgres(place.url("data"), batches)


def _ciphertexts(session: Session, count: int) -> Iterator[list[tuple[str, bytes]]]:
    newest = (
        select(RecordVersion.record_id, RecordVersion.ciphertext)
        .order_by(col(RecordVersion.received_at).desc())
        .limit(count)
        .execution_options(yield_per=BATCH_RECORDS)
    )
    for rows in session.exec(newest).partitions():
        yield [(record_id, ciphertext) for record_id, ciphertext in rows]


def _raw_sqlite(path: Path, batches: Iterator[list[tuple[str, bytes]]]) -> float:
    connection = sqlite3.connect(path.with_name("raw.db"), isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE raw_record (record_id TEXT PRIMARY KEY, ciphertext BLOB NOT NULL)")
    rows, seconds = 0, 0.0
    for batch in batches:
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO raw_record VALUES (?, ?)", batch)
        connection.execute("COMMIT")
        seconds += time.perf_counter() - began
        rows += len(batch)
    connection.close()
    return rows / seconds


def _raw_postgres(url: str, batches: Iterator[list[tuple[str, bytes]]]) -> float:
    rows, seconds = 0, 0.0
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE raw_record (record_id text PRIMARY KEY, ciphertext bytea NOT NULL)")
        connection.commit()
        for batch in batches:
            began = time.perf_counter()
            connection.cursor().executemany("INSERT INTO raw_record VALUES (%s, %s)", batch)
            connection.commit()
            seconds += time.perf_counter() - began
            rows += len(batch)
    return rows / seconds


def _resident_mb() -> float:
    """The memory that this process holds now (proc(5), status)."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / _KIB_PER_MB
    raise RuntimeError("no VmRSS in /proc/self/status")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
