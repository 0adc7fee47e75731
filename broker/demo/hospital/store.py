"""The hospital's own store: patients, their documents in the order of changes, and who wants what is new."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import orjson

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS header (format TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS patient (patient_no TEXT PRIMARY KEY, refusal TEXT);
CREATE TABLE IF NOT EXISTS document (
    format TEXT NOT NULL REFERENCES header, number TEXT NOT NULL, patient_no TEXT NOT NULL REFERENCES patient,
    body TEXT NOT NULL, change INTEGER UNIQUE NOT NULL, is_pushed INTEGER NOT NULL,
    PRIMARY KEY (format, number)
);
CREATE TABLE IF NOT EXISTS transmission (
    patient_no TEXT NOT NULL REFERENCES patient, format TEXT NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (patient_no, format)
);
CREATE TABLE IF NOT EXISTS seen_request (jti TEXT PRIMARY KEY, expires_at INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Document:
    """A bill or the like in the hospital's own field names; `change` is its place in the order of changes."""

    format: str
    number: str
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

    def load(self, header: Mapping[str, Any], documents: Iterable[Mapping[str, Any]]) -> None:
        """Take over an export of the hospital's system. What is in it is asked for, not pushed."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO header VALUES (?, ?)", (header["format"], _json(header))
            )
            for body in documents:
                _put(connection, header["format"], body, is_pushed=True)

    def header(self, document_format: str) -> dict[str, Any]:
        """What stands above every export and every page of a format."""
        with self._transaction() as connection:
            (body,) = connection.execute(
                "SELECT body FROM header WHERE format = ?", (document_format,)
            ).fetchone()
            header: dict[str, Any] = orjson.loads(body)
            return header

    def put(self, documents: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """New documents, or corrected ones under their old numbers, each with its format: to be pushed."""
        with self._transaction() as connection:
            for document_format, body in documents:
                _put(connection, document_format, body, is_pushed=False)

    def documents(self) -> list[Document]:
        """Everything, in the order of changes."""
        with self._transaction() as connection:
            return [_document(row) for row in connection.execute("SELECT * FROM document ORDER BY change")]

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

    def begin_transmission(self, patient_no: str, formats: Collection[str], until: datetime) -> None:
        """The patient wants what is new in these formats to be sent by itself, until then."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO transmission VALUES (?, ?, ?)",
                [(patient_no, one, int(until.timestamp())) for one in formats],
            )

    def end_transmission(self, patient_no: str) -> None:
        """The broker says that nobody wants it any more."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM transmission WHERE patient_no = ?", (patient_no,))

    def newest_change(self) -> int:
        """The mark of everything that has changed so far."""
        with self._transaction() as connection:
            return int(connection.execute("SELECT coalesce(max(change), 0) FROM document").fetchone()[0])

    def changed(self, patient_no: str, formats: Collection[str], *, after: int, until: int) -> list[Document]:
        """A patient's documents that changed after one mark and up to another."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT * FROM document WHERE patient_no = ? AND change > ? AND change <= ? ORDER BY change",
                (patient_no, after, until),
            )
            return [_document(row) for row in rows if row["format"] in formats]

    def to_push(self, now: datetime, limit: int) -> list[Document]:
        """What is to be sent by itself next, all of one format: wanted, and nothing stands against it."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT document.* FROM document JOIN transmission USING (patient_no, format) "
                "JOIN patient USING (patient_no) "
                "WHERE is_pushed = 0 AND until > ? AND refusal IS NULL ORDER BY change LIMIT ?",
                (int(now.timestamp()), limit),
            )
            return of_one_format([_document(row) for row in rows])

    def mark_pushed(self, documents: Sequence[Document]) -> None:
        """The broker has them. One that was corrected in the meantime is sent again."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE document SET is_pushed = 1 WHERE format = ? AND number = ? AND change = ?",
                [(one.format, one.number, one.change) for one in documents],
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


def of_one_format(documents: Sequence[Document]) -> list[Document]:
    """The first ones that have one format: a page and a push have one header."""
    return list(takewhile(lambda one: one.format == documents[0].format, documents))


def _put(
    connection: sqlite3.Connection, document_format: str, body: Mapping[str, Any], *, is_pushed: bool
) -> None:
    number = body["RX_NO"] if "RX_NO" in body else body["RCPT_NO"]
    connection.execute("INSERT OR IGNORE INTO patient (patient_no) VALUES (?)", (body["PT_NO"],))
    connection.execute(
        "INSERT OR REPLACE INTO document "
        "VALUES (?, ?, ?, ?, (SELECT coalesce(max(change), 0) + 1 FROM document), ?)",
        (document_format, number, body["PT_NO"], _json(body), int(is_pushed)),
    )


def _document(row: sqlite3.Row) -> Document:
    return Document(
        format=row["format"],
        number=row["number"],
        patient_no=row["patient_no"],
        body=orjson.loads(row["body"]),
        change=row["change"],
        is_pushed=bool(row["is_pushed"]),
    )


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(dict(value)).decode()
