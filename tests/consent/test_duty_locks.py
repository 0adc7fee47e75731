"""Several duties at once, on PostgreSQL: nobody waits for ever, and who is told to wait is not forgotten."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from broker.db import Database
from consent.models import Duty
from consent.outbox import (
    DutyKind,
    hold_back_client,
    hurry,
    owe_once,
    postpone,
    release_client,
    replay,
    restart_client,
    take_told,
)
from tests.databases import Databases
from tests.installation import Clock

CLIENT: Final = "a-client"
SECOND: Final = timedelta(seconds=1)
PATIENCE: Final = 120

Change = Callable[[Session], object]


@pytest.fixture
def database(postgresql_databases: Databases, clock: Clock) -> Database:
    """Three duties of a client, written in the order in which whoever scans the table would not want them."""
    with postgresql_databases.data.write() as session:
        for duty_id in ("c", "b", "a"):
            owe_once(session, duty_id, DutyKind.TELL_STREAM, CLIENT, clock())
            session.flush()
    return postgresql_databases.data


def due(database: Database) -> dict[str, object]:
    with database.read() as session:
        return {duty.duty_id: duty.due_at for duty in session.exec(select(Duty).order_by(col(Duty.duty_id)))}


def held(session: Session, duty_id: str) -> Duty:
    duty = take_told(session, duty_id)
    assert duty is not None
    return duty


def is_free(database: Database, duty_id: str) -> bool:
    """Whether nobody holds it now."""
    try:
        with database.write() as session:
            session.exec(select(Duty).where(Duty.duty_id == duty_id).with_for_update(nowait=True)).one()
    except OperationalError:
        return False
    return True


@contextmanager
def meanwhile(database: Database, change: Change) -> Iterator[None]:
    """Another transaction that does this, and has come to the point where it waits; ended at the end."""

    def run() -> None:
        with database.write() as session:
            change(session)

    with ThreadPoolExecutor(1) as threads, database.read() as session:
        running = threads.submit(run)
        deadline = time.monotonic() + PATIENCE
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        while not session.connection().execute(waiting).scalar_one():
            assert time.monotonic() < deadline
            assert not running.done()
            time.sleep(0.02)
        yield
        running.result(PATIENCE)


def test_two_who_hold_a_duty_each_release_the_others_without_waiting(
    database: Database, clock: Clock
) -> None:
    """As when a client polls twice at once: each would wait for the other's."""
    with database.write() as session:
        for duty_id in ("a", "b", "c"):
            duty = held(session, duty_id)
            duty.fault = "answered_503"
            postpone(duty, clock())
    later = clock() + SECOND
    with database.write() as one, database.write() as other:
        held(one, "a").done_at = held(other, "b").done_at = later
        release_client(one, CLIENT, later)
        release_client(other, CLIENT, later)
    assert due(database)["c"] == later


def test_who_holds_a_duty_holds_back_the_others_without_waiting(database: Database, clock: Clock) -> None:
    until = clock() + 9 * SECOND
    with database.write() as one, database.write() as other:
        for session, duty_id in ((one, "c"), (other, "a")):
            postpone(held(session, duty_id), clock(), longest=5 * SECOND)
        hold_back_client(one, CLIENT, until, clock())
        hold_back_client(other, CLIENT, until, clock())
    own = clock() + 2 * SECOND
    assert due(database) == {"a": own, "b": until, "c": own}


@pytest.mark.parametrize("name", ["restart", "hurry", "replay"])
def test_who_holds_none_takes_all_in_one_order(database: Database, clock: Clock, name: str) -> None:
    """It waits for whoever holds one, has locked those before it by then, and none that come after it."""
    later = clock() + timedelta(hours=1)
    changes: dict[str, Change] = {
        "restart": lambda session: restart_client(session, CLIENT, later),
        "hurry": lambda session: hurry(session, DutyKind.TELL_STREAM, CLIENT, later),
        "replay": lambda session: replay(session, None, later),
    }
    if name == "replay":
        with database.write() as session:
            for duty_id in ("a", "b", "c"):
                held(session, duty_id).dead_at = clock()
    with database.write() as session:
        postpone(held(session, "b"), clock())
        session.flush()
        with meanwhile(database, changes[name]):
            assert [is_free(database, duty_id) for duty_id in ("a", "b", "c")] == [False, False, True]
            session.commit()
    assert due(database) == dict.fromkeys(("a", "b", "c"), later)
