"""100 000 bills of 20 000 people: killed once, run again, each there once, memory flat, progress told."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from sqlalchemy import text

from bench.crowd import link_people, write_bills
from broker.db import Database
from broker.demo.installing import DemoPlan, install
from broker.installation import open_installation
from broker.settings import load_settings
from consent.ledger.verify import verify_export
from tests.flows.demos import environment, mydata
from tests.postgres import Cluster

PEOPLE, BILLS = 20_000, 100_000
MOST_GROWTH_MB = 50
KILLED_AT = 50  # per cent
SETTLED_AT = 3  # per cent: by then the first batches are in, and everything is loaded
PATIENCE = 1200

pytestmark = pytest.mark.slow


@dataclass
class Watched:
    """An import as a person sees it in a terminal, and its memory, from when it has settled on."""

    process: "subprocess.Popen[str]"
    percents: list[int] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)

    @property
    def growth_mb(self) -> float:
        return max(self.resident_mb) - self.resident_mb[0]


@pytest.fixture(params=["sqlite", "postgresql"])
def crowded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The folder of an installation in which everybody is linked already."""
    if request.param == "sqlite":
        _install(tmp_path / "demo", *(f"sqlite:///{tmp_path / name}.db" for name in ("data", "keyring")))
        yield tmp_path / "demo"
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    names = ("crowd_data", "crowd_keyring")
    _install(tmp_path / "demo", *map(cluster.create_database, names))
    yield tmp_path / "demo"
    for name in names:
        cluster.drop_database(name)


def test_a_large_import_is_killed_repeated_complete_and_flat(crowded: Path, tmp_path: Path) -> None:
    export = tmp_path / "bills.jsonl"
    write_bills(export, people=PEOPLE, numbers=range(BILLS))
    before = _count(crowded, "SELECT count(*) FROM record")

    with _importing(crowded, export) as first:
        _watch(first, until=KILLED_AT)
        os.kill(first.process.pid, signal.SIGKILL)
        assert first.process.wait(PATIENCE) == -signal.SIGKILL
    there = _count(crowded, "SELECT count(*) FROM record") - before
    assert BILLS * KILLED_AT // 100 <= there < BILLS
    assert first.growth_mb < MOST_GROWTH_MB, first.resident_mb

    with _importing(crowded, export) as second:
        _watch(second, until=101)
        told = orjson.loads(second.process.communicate(timeout=PATIENCE)[0])
    assert told == {"added": BILLS - there, "corrected": 0, "unchanged": there, "faults": [], "warnings": []}
    assert second.growth_mb < MOST_GROWTH_MB, second.resident_mb
    assert len(set(second.percents)) > 30
    assert second.percents == sorted(second.percents)

    assert _count(crowded, "SELECT count(*) FROM record") == before + BILLS
    assert _count(crowded, "SELECT count(DISTINCT source_key) FROM record") == before + BILLS
    assert _count(crowded, "SELECT count(*) FROM record_version") == before + BILLS
    assert _count(crowded, "SELECT count(DISTINCT subject_id) FROM record") >= PEOPLE
    assert _collected(crowded) == before + BILLS
    assert _mydata(crowded, "audit", "export", str(tmp_path / "log")) == 0
    assert verify_export(tmp_path / "log").outcome == "verified"


def _install(directory: Path, data: str, keyring: str) -> None:
    plan = DemoPlan(
        directory=directory,
        database_url=data,
        keyring_url=keyring,
        port=1,
        insurer_port=2,
        client_port=3,
        acknowledge="at_once",
    )
    install(plan, _now)
    installation = open_installation(load_settings(directory / "config.toml", {}), _now)
    link_people(installation, PEOPLE)
    installation.close()


def _now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def _importing(directory: Path, export: Path) -> Iterator[Watched]:
    """`mydata source import` with a terminal for its errors: only there a progress bar is drawn."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "broker", "--config", str(directory / "config.toml")]
    command += ["source", "import", str(export), "-o", "json"]
    with subprocess.Popen(
        command, cwd="/", env=environment(), stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as process:
        os.close(theirs)
        watched = Watched(process)
        reader = threading.Thread(target=_read_bar, args=(ours, watched))
        reader.start()
        try:
            yield watched
        finally:
            process.kill()
            reader.join(PATIENCE)
            os.close(ours)


def _read_bar(terminal: int, watched: Watched) -> None:
    while True:
        try:
            drawn = os.read(terminal, 4096)
        except OSError:  # nobody writes to it any more
            return
        watched.percents += [int(found) for found in re.findall(rb"(\d+)%", drawn)]


def _watch(watched: Watched, *, until: int) -> None:
    """Until the bar has come so far, or the process has ended."""
    deadline = time.monotonic() + PATIENCE
    while watched.process.poll() is None and (watched.percents or [0])[-1] < until:
        assert time.monotonic() < deadline
        if watched.percents and watched.percents[-1] >= SETTLED_AT:
            resident = _resident_mb(watched.process.pid)
            watched.resident_mb += [] if resident is None else [resident]
        time.sleep(0.1)


def _resident_mb(process_id: int) -> float | None:
    """None for a process that has just ended."""
    status = Path(f"/proc/{process_id}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return None if found is None else int(found[1]) / 1024


def _count(directory: Path, query: str) -> int:
    database = Database(load_settings(directory / "config.toml", {}).database.url, pool_size=1)
    try:
        with database.read() as session:
            return int(session.connection().execute(text(query)).scalar_one())
    finally:
        database.close()


def _collected(directory: Path) -> int:
    """How many records the log says were collected."""
    database = Database(load_settings(directory / "config.toml", {}).database.url, pool_size=1)
    try:
        with database.read() as session:
            leaves = session.connection().execute(text("SELECT leaf FROM ledger_entry")).scalars().all()
    finally:
        database.close()
    read = [orjson.loads(bytes(leaf)) for leaf in leaves]
    return sum(leaf["facts"]["records"] for leaf in read if leaf["type"] == "records.collected")


def _mydata(directory: Path, *arguments: str) -> int:
    return mydata("--config", directory / "config.toml", *arguments).code
