"""Single-row durable commits: read, insert, commit. In C on PostgreSQL (pgbench), one thread on SQLite."""

import re
import sqlite3
import subprocess
import time
from pathlib import Path
from random import Random  # noqa: TID251 - which row is read decides nothing
from typing import Final

import psycopg

_ROWS: Final = 1000
_AUDIT: Final = "one pull of one record by one client under one consent"
_SCRIPT: Final = Path(__file__).with_name("pg1.sql")
_TABLES: Final = (
    "CREATE TABLE commit_record (id integer PRIMARY KEY, body {bytes} NOT NULL)",
    "CREATE TABLE commit_audit (id {serial}, record_id integer NOT NULL, body text NOT NULL)",
)


def furnish_sqlite(path: Path, record: bytes) -> None:
    """An empty file gets its tables; WAL, which stays with the file."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    for statement in _TABLES:
        connection.execute(statement.format(bytes="BLOB", serial="INTEGER PRIMARY KEY"))
    connection.executemany("INSERT INTO commit_record VALUES (?, ?)", [(row, record) for row in _ids()])
    connection.commit()
    connection.close()


def sqlite_rate(path: Path, *, seconds: float) -> float:
    """Commits a second with synchronous=FULL."""
    connection, random, commits = sqlite3.connect(path, isolation_level=None), Random(1), 0  # noqa: S311 - no secret
    connection.execute("PRAGMA synchronous=FULL")
    began = time.perf_counter()
    while time.perf_counter() < began + seconds:
        row = random.randint(1, _ROWS)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SELECT body FROM commit_record WHERE id = ?", (row,)).fetchone()
        connection.execute("INSERT INTO commit_audit (record_id, body) VALUES (?, ?)", (row, _AUDIT))
        connection.execute("COMMIT")
        commits += 1
    taken = time.perf_counter() - began
    connection.close()
    return commits / taken


def furnish_postgres(url: str, record: bytes) -> None:
    """An empty database gets its tables."""
    with psycopg.connect(url) as connection:
        for statement in _TABLES:
            filled = statement.format(bytes="bytea", serial="bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
            connection.execute(filled.encode())
        connection.cursor().executemany(
            "INSERT INTO commit_record VALUES (%s, %s)", [(row, record) for row in _ids()]
        )


def postgres_rate(pgbench: Path, url: str, *, seconds: float) -> float:
    """Commits a second of eight connections. RuntimeError with pgbench's own words if it fails."""
    # pgbench counts in whole seconds.
    options = ["-n", "-M", "prepared", "-c", "8", "-T", str(max(1, round(seconds))), "-f", str(_SCRIPT)]
    done = subprocess.run([pgbench, *options, url], capture_output=True, text=True, check=False)  # noqa: S603 - found by us
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or found is None:
        raise RuntimeError(done.stderr)
    return float(found[1])


def _ids() -> range:
    return range(1, _ROWS + 1)
