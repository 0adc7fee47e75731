"""The one way to write: commit order, rollback, readers that only read, writers that wait."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlmodel import Session, select

from broker import db
from broker.db import Database, UnfinishedError, take_file_lock, transaction
from broker.deps import Installed, Tx
from broker.errors import install_error_handlers
from broker.installation import Installation
from consent.auditing import events, head
from consent.ledger.entries import Entry
from consent.models import Subject
from tests.broker.asking import ask
from tests.databases import Databases
from tests.installation import Clock
from vault.errors import UnknownKeyError
from vault.schema import random_id

PATIENCE = 120


def subject(clock: Clock, subject_id: str | None = None) -> Subject:
    return Subject(subject_id=subject_id or random_id(), created_at=clock())


def entry(clock: Clock, kind: str) -> Entry:
    return Entry(kind, clock(), random_id(), None, None, {}, bytes(32), b"sealed")


def subjects(database: Database) -> int:
    with database.read() as session:
        return len(session.exec(select(Subject.subject_id)).all())


def log_size(database: Database) -> int:
    with database.read() as session:
        return head(session).size


# Nothing half done.


def test_an_error_takes_rows_entries_and_what_was_to_follow_back(databases: Databases, clock: Clock) -> None:
    followed: list[str] = []

    def fail() -> None:
        with transaction(databases.data) as work:
            work.session.add(subject(clock))
            work.record(entry(clock, "source.linked"))
            work.after_commit(lambda: followed.append("after"))
            work.session.flush()
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert (subjects(databases.data), log_size(databases.data), followed) == (0, 0, [])


def test_a_refused_row_takes_the_entry_with_it(databases: Databases, clock: Clock) -> None:
    followed: list[str] = []
    with transaction(databases.data) as work:
        work.session.add(subject(clock, "taken"))

    def repeat() -> None:
        with transaction(databases.data) as work:
            work.record(entry(clock, "source.linked"))
            work.after_commit(lambda: followed.append("after"))
            work.session.add(subject(clock, "taken"))  # only the flush before the commit finds it

    with pytest.raises(IntegrityError):
        repeat()
    assert (subjects(databases.data), log_size(databases.data), followed) == (1, 0, [])


def test_an_entry_that_cannot_be_logged_takes_the_rows_with_it(databases: Databases, clock: Clock) -> None:
    def log_nonsense() -> None:
        with transaction(databases.data) as work:
            work.session.add(subject(clock))
            work.record(Entry("source.linked", clock(), "h", None, None, {}, b"short", b""))

    with pytest.raises(ValueError, match="32 bytes"):
        log_nonsense()
    assert (subjects(databases.data), log_size(databases.data)) == (0, 0)


def test_after_an_error_the_next_writer_is_not_kept_waiting(databases: Databases, clock: Clock) -> None:
    for _ in range(2 * 10):  # more often than the pool has connections, or files have descriptors to lose
        test_an_error_takes_rows_entries_and_what_was_to_follow_back(databases, clock)
    with transaction(databases.data) as work:
        work.session.add(subject(clock))
    assert subjects(databases.data) == 1


# In order.


def test_entries_are_in_the_log_in_their_order_with_the_commit(databases: Databases, clock: Clock) -> None:
    kinds = ["source.linked", "records.collected", "source.unlinked"]
    with transaction(databases.data) as work:
        for kind in kinds:
            work.record(entry(clock, kind))
        assert log_size(databases.data) == 0
    with databases.data.read() as session:
        assert [(event.index, event.type) for event in reversed(events(session))] == list(enumerate(kinds))


def test_what_follows_the_commit_sees_it_and_comes_in_order(databases: Databases, clock: Clock) -> None:
    seen: list[tuple[str, int, int]] = []

    def look(name: str) -> None:
        seen.append((name, subjects(databases.data), log_size(databases.data)))
        with transaction(databases.data) as more:  # the lock is free again
            more.session.add(subject(clock))

    with transaction(databases.data) as work:
        work.after_commit(lambda: look("first"))
        work.after_commit(lambda: look("second"))
        work.session.add(subject(clock))
        work.record(entry(clock, "source.linked"))
        assert seen == []
    assert seen == [("first", 1, 1), ("second", 2, 1)]


def test_what_fails_after_the_commit_does_not_undo_it(databases: Databases, clock: Clock) -> None:
    def fail() -> None:
        raise LookupError

    def write() -> None:
        with transaction(databases.data) as work:
            work.session.add(subject(clock))
            work.after_commit(fail)

    with pytest.raises(LookupError):
        write()
    assert subjects(databases.data) == 1


def test_one_that_fails_after_the_commit_does_not_stop_the_next(databases: Databases, clock: Clock) -> None:
    followed: list[str] = []

    def fail() -> None:
        raise UnknownKeyError("a share")

    def write() -> None:
        with transaction(databases.data) as work:
            work.session.add(subject(clock))
            work.after_commit(fail)
            work.after_commit(lambda: followed.append("second"))

    with pytest.raises(UnfinishedError):
        write()
    assert (subjects(databases.data), followed) == (1, ["second"])


def test_what_was_discarded_never_was(databases: Databases, clock: Clock) -> None:
    followed: list[str] = []
    with transaction(databases.data) as work:
        work.session.add(subject(clock))
        work.session.flush()
        work.record(entry(clock, "source.linked"))
        work.after_commit(lambda: followed.append("first"))
        work.discard()
        work.session.add(subject(clock, "second"))
        work.record(entry(clock, "source.unlinked"))
        work.after_commit(lambda: followed.append("second"))
    with databases.data.read() as session:
        assert session.exec(select(Subject.subject_id)).all() == ["second"]
        assert [event.type for event in events(session)] == ["source.unlinked"]
    assert followed == ["second"]


def test_a_transaction_without_events_leaves_the_log_alone(databases: Databases, clock: Clock) -> None:
    with transaction(databases.data) as work:
        work.session.add(subject(clock))
    assert log_size(databases.data) == 0


# Readers.


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO subject (subject_id, created_at) VALUES ('s', 1)",
        "UPDATE ledger_head SET size = 5",
        "DELETE FROM ledger_head",
        "CREATE TABLE own (id int)",
    ],
)
def test_a_reader_cannot_write(databases: Databases, statement: str) -> None:
    def write() -> None:
        with databases.data.read() as session:
            session.connection().execute(text(statement))
            session.commit()

    with pytest.raises(DBAPIError, match=r"(?i)read-?only"):
        write()
    assert log_size(databases.data) == 0


def test_a_reader_sees_what_was_when_it_began_and_keeps_no_writer_waiting(
    sqlite_databases: Databases, clock: Clock
) -> None:
    with sqlite_databases.data.read() as session:
        assert session.exec(select(Subject)).all() == []
        with transaction(sqlite_databases.data) as work:
            work.session.add(subject(clock))
        assert session.exec(select(Subject)).all() == []
    assert subjects(sqlite_databases.data) == 1


# Writers.


def test_many_writers_wait_for_each_other_and_none_fails(databases: Databases, clock: Clock) -> None:
    threads, rounds = 8, 5
    at_once = threading.Barrier(threads)
    failed: list[BaseException] = []

    def write() -> None:
        at_once.wait(PATIENCE)
        try:
            for _ in range(rounds):
                with transaction(databases.data) as work:
                    work.session.add(subject(clock))
                    work.session.flush()
                    work.record(entry(clock, "source.linked"))
        except BaseException as error:  # noqa: BLE001 - told in the test's own thread
            failed.append(error)

    workers = [threading.Thread(target=write) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    assert failed == []
    assert subjects(databases.data) == threads * rounds
    with databases.data.read() as session:
        indexes = [event.index for event in events(session, limit=100)]
    assert indexes == list(reversed(range(threads * rounds)))  # dense: no gap, none twice


def test_a_second_writer_on_sqlite_waits_for_the_first(sqlite_databases: Databases, clock: Clock) -> None:
    order: list[str] = []
    second_waits = threading.Event()

    def second() -> None:
        second_waits.set()
        with transaction(sqlite_databases.data) as work:
            work.session.add(subject(clock))
            work.session.flush()
            order.append("second")

    waiting = threading.Thread(target=second)
    with transaction(sqlite_databases.data) as work:
        work.session.add(subject(clock))
        work.session.flush()
        waiting.start()
        assert second_waits.wait(PATIENCE)
        waiting.join(0.3)
        assert waiting.is_alive()
        order.append("first")
    waiting.join(PATIENCE)
    assert order == ["first", "second"]


def test_a_writer_in_another_process_is_waited_for(sqlite_databases: Databases, clock: Clock) -> None:
    """The lock is the kernel's, on a file beside the database: any process may hold it."""
    path = sqlite_databases.data.path
    descriptor = take_file_lock(path)
    written = threading.Event()

    def write() -> None:
        with transaction(sqlite_databases.data) as work:
            work.session.add(subject(clock))
        written.set()

    waiting = threading.Thread(target=write)
    waiting.start()
    assert not written.wait(0.3)
    os.close(descriptor)
    waiting.join(PATIENCE)
    assert written.is_set()
    assert Path(f"{path}.lock").stat().st_mode & 0o077 == 0


def test_a_lock_that_is_held_too_long_answers_503(
    postgresql_databases: Databases, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "LOCK_TIMEOUT_SECONDS", 0.2)
    database = Database(postgresql_databases.data_url, pool_size=2)
    app = app_that_logs(database, clock)
    with holding_the_head(postgresql_databases.data):
        answer = ask(app, "POST", "/write")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["code"] == "overloaded"
    assert "ledger_head" not in answer.text
    assert ask(app, "POST", "/write").status_code == 200
    database.close()


def test_a_file_lock_that_is_held_too_long_answers_503(
    sqlite_databases: Databases, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "LOCK_TIMEOUT_SECONDS", 0.2)
    app = app_that_logs(sqlite_databases.data, clock)
    descriptor = take_file_lock(sqlite_databases.data.path)
    for _ in range(3):
        answer = ask(app, "POST", "/write")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["code"] == "overloaded"
    os.close(descriptor)
    assert ask(app, "POST", "/write").status_code == 200


def test_an_empty_pool_answers_503(sqlite_databases: Databases, clock: Clock) -> None:
    database = Database(sqlite_databases.data_url, pool_size=1)
    database.engine.pool._timeout = 0.1  # type: ignore[attr-defined]  # a queue pool's own; 30 s is long to wait
    app = app_that_logs(database, clock)
    with database.write() as session:
        session.add(subject(clock))
        session.flush()
        assert ask(app, "POST", "/write").json()["code"] == "overloaded"
    assert ask(app, "POST", "/write").status_code == 200
    database.close()


def test_a_database_that_is_away_answers_503(clock: Clock) -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none", pool_size=1)
    with pytest.raises(OperationalError), database.write() as session:
        session.connection()
    assert ask(app_that_logs(database, clock), "POST", "/write").status_code == 503
    database.close()


def test_addresses_of_postgresql_get_our_driver() -> None:
    for url in ("postgresql://u@h/d", "postgresql+psycopg://u@h/d"):
        database = Database(url)
        assert (database.url.drivername, database.is_sqlite) == ("postgresql+psycopg", False)
        database.close()


def app_that_logs(database: Database, clock: Clock) -> FastAPI:
    app = FastAPI()
    app.state.installation = _Bare(database)
    install_error_handlers(app)

    @app.post("/write")
    def write(work: Tx, installation: Installed) -> dict[str, bool]:
        del installation
        work.session.add(subject(clock))
        work.record(entry(clock, "source.linked"))
        return {"written": True}

    return app


class _Bare(Installation):
    """Only a database: what a writing handler needs of an installation."""

    def __init__(self, data: Database) -> None:
        object.__setattr__(self, "data", data)


@contextmanager
def holding_the_head(database: Database) -> Iterator[Session]:
    with database.write() as session:
        session.connection().execute(text("SELECT size FROM ledger_head FOR UPDATE"))
        yield session


def test_the_commit_holds_before_the_answer_leaves(sqlite_databases: Databases, clock: Clock) -> None:
    app = app_that_logs(sqlite_databases.data, clock)
    for number in range(1, 4):
        assert ask(app, "POST", "/write").status_code == 200
        assert (subjects(sqlite_databases.data), log_size(sqlite_databases.data)) == (number, number)
