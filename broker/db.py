"""Engines, sessions and `transaction()`: the one way to write, for handlers, jobs and the command line.

A transaction works, flushes, locks the log's head, appends its entries and commits; what was
registered for after the commit runs then. On SQLite every writing transaction takes a file lock
before BEGIN IMMEDIATE: SQLite's own busy handler sleeps up to 100 ms and starves, ours at most 4 ms.
"""

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

from consent.ledger.entries import Entry, append
from vault.errors import VaultError

LOCK_TIMEOUT_SECONDS: Final = 10
_log: Final = logging.getLogger(__name__)
_FIRST_PAUSE_SECONDS: Final = 0.0005
_LONGEST_PAUSE_SECONDS: Final = 0.004


class LockTimeoutError(Exception):
    """Another writer held the database for too long; nothing was begun."""


class UnfinishedError(Exception):
    """The commit holds, and what should follow at once did not all happen; duties repeat it."""


class Database:
    """One database, and the two ways into it: `read()` and `write()`."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.url = _with_driver(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._engine = _sqlite_engine(self.url, pool_size=pool_size, read_only=False)
            self._read_engine = _sqlite_engine(self.url, pool_size=pool_size, read_only=True)
        else:
            self._engine = _postgres_engine(self.url, pool_size=pool_size)
            self._read_engine = self._engine.execution_options(postgresql_readonly=True)

    @property
    def engine(self) -> Engine:
        """The engine that writes: for migrations and for `write()`."""
        return self._engine

    @property
    def path(self) -> Path:
        """The file of a SQLite database."""
        return Path(self.url.database or "")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A read-only session; it never upgrades to a writing one."""
        with Session(self._read_engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A writing session that begins at its first statement and commits at the end."""
        with Session(self._engine, expire_on_commit=False) as session:
            yield session
            session.commit()

    def close(self) -> None:
        """Give every connection back."""
        self._read_engine.dispose()
        self._engine.dispose()


class Transaction:
    """What a handler holds: the session, and what belongs to its commit."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.acting: Mapping[str, str] | None = None
        self._entries: list[Entry] = []
        self._after_commit: list[Callable[[], None]] = []

    def record(self, entry: Entry) -> None:
        """Put an entry into the log with this transaction's commit: both or neither."""
        self._entries.append(entry)

    def after_commit(self, work: Callable[[], None]) -> None:
        """Run `work` once the commit holds, before the answer leaves."""
        self._after_commit.append(work)

    def seal_into_log(self) -> None:
        """Flush, lock the head and append the entries: the last thing before the commit."""
        self.session.flush()
        if self._entries:
            append(self.session, self._entries)

    def discard(self) -> None:
        """Undo what was done so far, and begin anew with the next statement."""
        self.session.rollback()
        self._entries.clear()
        self._after_commit.clear()

    def run_after_commit(self) -> None:
        """What was registered for after the commit, in order; one that fails does not stop the others.

        Raises UnfinishedError: the caller must not hear that nothing happened.
        """
        failed = 0
        for work in self._after_commit:
            try:
                work()
            except (SQLAlchemyError, VaultError, LockTimeoutError) as error:
                failed += 1
                _log.error("unfinished after commit", extra={"error": type(error).__name__})
        if failed:
            raise UnfinishedError


@contextmanager
def transaction(database: Database) -> Iterator[Transaction]:
    """The one way to write. Raising rolls everything back, the log's entries too."""
    with database.write() as session:
        work = Transaction(session)
        yield work
        work.seal_into_log()
    work.run_after_commit()


def take_file_lock(database: Path) -> int:
    """Wait for the exclusive lock beside a SQLite file; closing the descriptor gives it back.

    Raises LockTimeoutError after LOCK_TIMEOUT_SECONDS: a writer that was stopped must not stop everybody.
    """
    descriptor = os.open(f"{database}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise LockTimeoutError from None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        else:
            return descriptor


def _with_driver(url: str) -> URL:
    parsed = make_url(url)
    if parsed.drivername in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _sqlite_engine(url: URL, *, pool_size: int, read_only: bool) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,  # an error's text must not quote what was being written
        connect_args={"timeout": LOCK_TIMEOUT_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _: ConnectionPoolEntry) -> None:  # noqa: ANN401 - a driver's object
        connection.isolation_level = None  # the driver's own BEGIN is late and deferred: ours is neither
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA secure_delete=ON")
        if read_only:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        if read_only:
            connection.exec_driver_sql("BEGIN")
            return
        connection.info["flock"] = take_file_lock(Path(url.database or ""))
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    @event.listens_for(engine, "checkin")
    def _on_checkin(_: Any, record: ConnectionPoolEntry) -> None:  # noqa: ANN401 - a driver's object
        descriptor = record.info.pop("flock", None)
        if descriptor is not None:
            os.close(descriptor)

    return engine


def _postgres_engine(url: URL, *, pool_size: int) -> Engine:
    milliseconds = LOCK_TIMEOUT_SECONDS * 1000
    options = f"-c lock_timeout={milliseconds} -c idle_in_transaction_session_timeout={6 * milliseconds}"
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=LOCK_TIMEOUT_SECONDS,
        hide_parameters=True,
        connect_args={"options": options},
    )
