"""From the committed head outwards: tiles, checkpoint, anchor; and never for a log that went back."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import select

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.publishing import log_key, publish
from broker.jobs.worker import work_until
from consent.ledger.anchor import read_anchor
from consent.ledger.checkpoint import NoteKey, newest_checkpoint
from consent.ledger.entries import Entry, read_head
from consent.ledger.errors import AnchorInvalidError, LedgerError, LogForkError
from consent.ledger.models import LedgerTile
from consent.models import Duty
from consent.outbox import DutyKind, owe
from vault.errors import KeyringMissingError
from vault.schema import random_id

PATIENCE = 120


@pytest.fixture
def anchored(installation: Installation, tmp_path: Path) -> Installation:
    ledger = installation.settings.ledger.model_copy(update={"anchor_file": tmp_path / "log.anchor"})
    return replace(installation, settings=installation.settings.model_copy(update={"ledger": ledger}))


def fill(installation: Installation, count: int) -> None:
    with transaction(installation.data) as work:
        for _ in range(count):
            now = installation.clock()
            work.record(Entry("source.linked", now, random_id(), None, None, {}, bytes(32), b"sealed"))


def anchor_of(installation: Installation) -> Path:
    assert installation.settings.ledger.anchor_file is not None
    return installation.settings.ledger.anchor_file


def execute(installation: Installation, statement: str, **values: object) -> None:
    with installation.data.write() as session:
        session.connection().execute(text(statement), values)


@contextmanager
def going_back(installation: Installation) -> Iterator[None]:
    """Afterwards the database is as it was before: an old backup, restored."""
    with installation.data.read() as session:
        size, frontier = read_head(session)
    yield
    execute(installation, "DELETE FROM ledger_entry WHERE idx >= :size", size=size)
    execute(installation, "DELETE FROM ledger_checkpoint WHERE size > :size", size=size)
    execute(installation, "UPDATE ledger_head SET size = :size, frontier = :it", size=size, it=frontier)


def test_a_database_that_was_rolled_back_is_not_signed(anchored: Installation) -> None:
    fill(anchored, 3)
    publish(anchored, anchored.clock())
    with going_back(anchored):
        fill(anchored, 2)
        newest = publish(anchored, anchored.clock())
    for more in (0, 1, 1, 5):  # also once it has grown past what was signed
        fill(anchored, more)
        with pytest.raises(LogForkError):
            publish(anchored, anchored.clock())
    assert anchor_of(anchored).read_text() == newest.note
    with anchored.data.read() as session:
        found = newest_checkpoint(session)
    assert found is not None
    assert found.size == 3


def test_an_edited_entry_is_not_signed_over(anchored: Installation) -> None:
    fill(anchored, 3)
    publish(anchored, anchored.clock())
    execute(anchored, "UPDATE ledger_entry SET leaf_hash = :other WHERE idx = 1", other=bytes(32))
    fill(anchored, 1)
    with pytest.raises(LedgerError):
        publish(anchored, anchored.clock())


def test_an_anchor_that_is_none_or_anothers_is_refused(anchored: Installation) -> None:
    fill(anchored, 1)
    anchor_of(anchored).write_text("no checkpoint\n")
    with pytest.raises(AnchorInvalidError):
        publish(anchored, anchored.clock())
    anchored.keyring.ensure_service_key("another", "Ed25519", anchored.clock())
    (other,) = anchored.keyring.service_keys("another")
    note = NoteKey(other.private_pem, anchored.settings.ledger.origin).sign(1, bytes(32)).note
    anchor_of(anchored).write_text(note)
    with pytest.raises(AnchorInvalidError):
        publish(anchored, anchored.clock())
    assert anchor_of(anchored).read_text() == note


def test_without_a_key_for_the_log_it_says_so(installation: Installation) -> None:
    with installation.keyring_database.write() as session:
        session.connection().execute(text("DELETE FROM service_key WHERE name = 'log'"))
    with pytest.raises(KeyringMissingError):
        publish(installation, installation.clock())


def test_tiles_checkpoint_and_anchor_follow_the_head(anchored: Installation) -> None:
    assert read_anchor(anchor_of(anchored)) is None
    fill(anchored, 513)
    checkpoint = publish(anchored, anchored.clock())
    with anchored.data.read() as session:
        size, _ = read_head(session)
        tiles = sorted((tile.level, tile.n) for tile in session.exec(select(LedgerTile)))
        assert newest_checkpoint(session) == checkpoint
    assert (checkpoint.size, size) == (513, 513)
    assert tiles == [(0, 0), (0, 1)]
    assert anchor_of(anchored).read_text() == checkpoint.note
    log_key(anchored).check(checkpoint)


def test_a_size_is_signed_once(anchored: Installation) -> None:
    fill(anchored, 2)
    notes = {publish(anchored, anchored.clock()).note for _ in range(3)}
    assert len(notes) == 1
    fill(anchored, 1)
    assert publish(anchored, anchored.clock()).size == 3
    with anchored.data.read() as session:
        count = text("SELECT count(*) FROM ledger_checkpoint")
        assert session.connection().execute(count).scalar_one() == 2


def test_an_anchor_that_is_lost_is_written_anew(anchored: Installation) -> None:
    fill(anchored, 2)
    first = publish(anchored, anchored.clock())
    anchor_of(anchored).unlink()
    assert publish(anchored, anchored.clock()) == first
    assert anchor_of(anchored).read_text() == first.note


# The worker around it.


def test_a_job_that_fails_stops_no_other(anchored: Installation, caplog: pytest.LogCaptureFixture) -> None:
    with going_back(anchored):
        fill(anchored, 2)
        publish(anchored, anchored.clock())
    with transaction(anchored.data) as work:
        owe(work.session, DutyKind.DESTROY_SHARES, "grant", anchored.clock())
    with caplog.at_level(logging.WARNING), working(anchored):
        _wait(lambda: _is_settled(anchored))
        _wait(lambda: "job failed" in caplog.messages)
    (record,) = (record for record in caplog.records if record.message == "job failed")
    assert (vars(record)["job"], vars(record)["error"]) == ("publishing", "LogForkError")


def test_the_worker_publishes_and_stops_when_it_is_told(anchored: Installation) -> None:
    fill(anchored, 1)
    with working(anchored):
        _wait(lambda: anchor_of(anchored).exists())


@contextmanager
def working(installation: Installation) -> Iterator[None]:
    stop = threading.Event()
    worker = threading.Thread(target=work_until, args=(stop, installation))
    worker.start()
    try:
        yield
        assert worker.is_alive()
    finally:
        stop.set()
        worker.join(PATIENCE)
    assert not worker.is_alive()


def _is_settled(installation: Installation) -> bool:
    with installation.data.read() as session:
        return all(duty.done_at is not None for duty in session.exec(select(Duty)))


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
