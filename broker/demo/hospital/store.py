"""The hospital's own store: patients, their bills in the order in which they changed, and who asked for them."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS header (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS patient (patient_no TEXT PRIMARY KEY, refusal TEXT);
CREATE TABLE IF NOT EXISTS bill (
    bill_no TEXT PRIMARY KEY, patient_no TEXT NOT NULL REFERENCES patient,
    body TEXT NOT NULL, change INTEGER UNIQUE NOT NULL, is_pushed INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS transmission (patient_no TEXT PRIMARY KEY REFERENCES patient, until INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS seen_request (jti TEXT PRIMARY KEY, expires_at INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Bill:
    """One bill in the hospital's own field names; `change` is its place in the order of changes."""

    bill_no: str
    patient_no: str = field(repr=False)
    body: dict[str, Any] = field(repr=False)
    change: int
    is_pushed: bool


@dataclass(frozen=True, slots=True)
class Patient:
    """Somebody whom the hospital knows; `refusal` is the legal ground on which it sends nothing, if any."""

    patient_no: str = field(repr=False)
    refusal: str | None


class Store:
    """SQLite, synchronous=FULL; a connection for each call, so that threads may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._transaction() as connection:
            connection.executescript(_SCHEMA)

    def load(self, header: Mapping[str, Any], bills: Iterable[Mapping[str, Any]]) -> None:
        """Take over an export of the hospital's system. Its bills are there to be asked for, not to be pushed."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO header VALUES (1, ?)", (_json(header),))
            for bill in bills:
                _put(connection, bill, is_pushed=True)

    def header(self) -> dict[str, Any]:
        """What stands above every export and every page."""
        with self._transaction() as connection:
            (body,) = connection.execute("SELECT body FROM header").fetchone()
            header: dict[str, Any] = orjson.loads(body)
            return header

    def put(self, bill: Mapping[str, Any]) -> None:
        """A new bill, or a corrected one under its old number: it changes now, and is to be pushed."""
        with self._transaction() as connection:
            _put(connection, bill, is_pushed=False)

    def bills(self) -> list[Bill]:
        """Every bill, in the order of changes."""
        with self._transaction() as connection:
            return [_bill(row) for row in connection.execute("SELECT * FROM bill ORDER BY change")]

    def patient(self, patient_no: str) -> Patient | None:
        """Whoever has this number."""
        with self._transaction() as connection:
            row = connection.execute("SELECT * FROM patient WHERE patient_no = ?", (patient_no,)).fetchone()
        return None if row is None else Patient(row["patient_no"], row["refusal"])

    def set_refusal(self, patient_no: str, reason: str | None) -> bool:
        """Send nothing of this patient, on a legal ground, or send again; False for a number of nobody."""
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE patient SET refusal = ? WHERE patient_no = ?", (reason, patient_no)
            )
            return changed.rowcount == 1

    def take_request(self, jti: str, expires_at: datetime, now: datetime) -> bool:
        """Remember a request until it has expired; False if it was here before."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM seen_request WHERE expires_at < ?", (int(now.timestamp()),))
            inserted = connection.execute(
                "INSERT OR IGNORE INTO seen_request VALUES (?, ?)", (jti, int(expires_at.timestamp()) + 1)
            )
            return inserted.rowcount == 1

    def begin_transmission(self, patient_no: str, until: datetime) -> None:
        """The patient wants what is new to be sent by itself, until then."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO transmission VALUES (?, ?)", (patient_no, int(until.timestamp()))
            )

    def end_transmission(self, patient_no: str) -> None:
        """The broker says that nobody wants it any more."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM transmission WHERE patient_no = ?", (patient_no,))

    def newest_change(self) -> int:
        """The mark of everything that has changed so far."""
        with self._transaction() as connection:
            return int(connection.execute("SELECT coalesce(max(change), 0) FROM bill").fetchone()[0])

    def changed(self, patient_no: str, *, after: int, until: int, limit: int) -> list[Bill]:
        """A patient's bills that changed after one mark and up to another."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT * FROM bill WHERE patient_no = ? AND change > ? AND change <= ? "
                "ORDER BY change LIMIT ?",
                (patient_no, after, until, limit),
            )
            return [_bill(row) for row in rows]

    def to_push(self, now: datetime, limit: int) -> list[Bill]:
        """What is to be sent by itself, since its patient wants that and nothing stands against it."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT bill.* FROM bill JOIN transmission USING (patient_no) JOIN patient USING (patient_no) "
                "WHERE is_pushed = 0 AND until > ? AND refusal IS NULL ORDER BY change LIMIT ?",
                (int(now.timestamp()), limit),
            )
            return [_bill(row) for row in rows]

    def mark_pushed(self, bills: Sequence[Bill]) -> None:
        """The broker has them. One that was corrected in the meantime is sent again."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE bill SET is_pushed = 1 WHERE bill_no = ? AND change = ?",
                [(bill.bill_no, bill.change) for bill in bills],
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=10, isolation_level="IMMEDIATE")
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            with connection:
                yield connection
        finally:
            connection.close()


def _put(connection: sqlite3.Connection, bill: Mapping[str, Any], *, is_pushed: bool) -> None:
    connection.execute("INSERT OR IGNORE INTO patient (patient_no) VALUES (?)", (bill["PT_NO"],))
    connection.execute(
        "INSERT OR REPLACE INTO bill VALUES (?, ?, ?, (SELECT coalesce(max(change), 0) + 1 FROM bill), ?)",
        (bill["RCPT_NO"], bill["PT_NO"], _json(bill), int(is_pushed)),
    )


def _bill(row: sqlite3.Row) -> Bill:
    return Bill(
        bill_no=row["bill_no"],
        patient_no=row["patient_no"],
        body=orjson.loads(row["body"]),
        change=row["change"],
        is_pushed=bool(row["is_pushed"]),
    )


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(dict(value)).decode()
