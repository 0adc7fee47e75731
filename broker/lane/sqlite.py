"""The lane's stores on SQLite: a thread of its own, a file lock before BEGIN, one commit a flush."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from broker.db import LOCK_TIMEOUT_SECONDS, LockTimeoutError, take_file_lock
from broker.lane.pulls import Answer, Found, KeyMaterial, OverloadedError, Proposal, Pull, choose
from broker.lane.rows import (
    answers_of,
    delivery_row,
    entry_rows,
    found_of,
    key_material,
    leaves_of,
    obligation_rows,
    pinned_rows,
    rechecked_of,
)
from consent.ledger.entries import plan_append
from vault.schema import to_microseconds

T = TypeVar("T")

# What the lane knows of a token `t` and of the consent behind it, whatever asks.
KNOWN_COLUMNS: Final = """
t.kind, t.cnf, t.scope, t.expires_at, t.revoked_at, t.auth_time, t.acr,
c.grant_id, t.version_id, c.grant_id || '.' || c.version_number AS current_version_id,
c.subject_id, c.recipient_id, c.purpose, c.handle, c.state, c.change_count,
c.valid_from, c.valid_until, c.pause_at, c.max_pulls,
cl.status = 'active' AND o.status = 'active' AS recipient_is_active,
v.terms_sealed,
c.places_since,
(SELECT count(*) FROM delivery x WHERE x.grant_id = c.grant_id AND x.places_since = c.places_since)
    AS places_taken,
(SELECT max(x.as_of) FROM delivery x WHERE x.grant_id = c.grant_id AND x.places_since = c.places_since)
    AS last_place_at
"""

CONSENT_JOINS: Final = """
LEFT JOIN consent c ON c.grant_id = t.grant_id
LEFT JOIN consent_version v ON v.version_id = t.version_id
LEFT JOIN client cl ON cl.client_id = t.client_id
LEFT JOIN organisation o ON o.organisation_id = c.recipient_id
"""

_FIND: Final = f"""
SELECT {KNOWN_COLUMNS},
       d.delivery_id, d.request_digest, d.payload_digest, d.nonce_sealed, d.as_of,
       NULL AS record_id
FROM token t
{CONSENT_JOINS}
LEFT JOIN delivery d ON d.grant_id = c.grant_id AND d.places_since = c.places_since AND d.key_digest = ?
WHERE t.token_hash = ?
"""  # noqa: S608 - constants of this file

_RECORD_COLUMNS: Final = """
s.record_id, w.version, s.compartment_id, s.holder_id, s.record_type, w.schema_revision,
w.ciphertext, w.ciphertext_digest
"""

_FIND_CURRENT: Final = f"""
SELECT {_RECORD_COLUMNS}, count(x.delivery_id) AS disclosed_times, max(x.as_of) AS disclosed_at,
       max(x.acknowledged_at) IS NOT NULL AS is_acknowledged
FROM consent_compartment m
JOIN record s ON s.compartment_id = m.compartment_id
JOIN record_version w ON w.record_id = s.record_id AND w.version = s.current_version
LEFT JOIN delivery x ON x.grant_id = ? AND EXISTS (
    SELECT 1 FROM delivery_record y
    WHERE y.delivery_id = x.delivery_id AND y.record_id = s.record_id AND y.version = w.version
)
WHERE m.version_id = ?
GROUP BY s.record_id
"""  # noqa: S608 - a constant of this file

_FIND_PINNED: Final = """
SELECT q.record_id, q.version, s.compartment_id, s.holder_id, s.record_type, w.schema_revision,
       w.ciphertext, w.ciphertext_digest,
       NULL AS disclosed_times, NULL AS disclosed_at, NULL AS is_acknowledged
FROM delivery_record q
LEFT JOIN record s ON s.record_id = q.record_id
LEFT JOIN record_version w ON w.record_id = s.record_id AND w.version = q.version
WHERE q.delivery_id = ?
"""

_SHARES: Final = """
SELECT version_id, compartment_id, NULL AS subject_id, epoch_id, key_id, wrapped
FROM consent_share WHERE version_id = ?
"""

_AUDIT_KEY: Final = """
SELECT NULL AS version_id, NULL AS compartment_id, subject_id, epoch_id, key_id, wrapped
FROM audit_key WHERE subject_id = ?
"""

_HEAD: Final = "SELECT size, frontier FROM ledger_head WHERE name = 'log'"

_RECHECK: Final = """
SELECT t.token_hash, c.change_count, t.revoked_at IS NOT NULL AS token_is_revoked,
       (SELECT count(*) FROM delivery x WHERE x.grant_id = c.grant_id AND x.places_since = c.places_since)
           AS places_taken
FROM token t JOIN consent c ON c.grant_id = t.grant_id
WHERE t.token_hash = ?
"""

TAKE_PROOF: Final = "INSERT INTO seen_jti (jti_digest, expires_at) VALUES (?, ?) ON CONFLICT DO NOTHING"

_ADD_ENTRIES: Final = """
INSERT INTO ledger_entry (idx, handle, leaf, leaf_hash, detail_sealed, at) VALUES (?, ?, ?, ?, ?, ?)
"""

_ADD_DELIVERIES: Final = """
INSERT INTO delivery (delivery_id, grant_id, version_id, subject_id, recipient_id, ordinal, places_since,
                      key_digest, request_digest, payload_digest, nonce_sealed, record_count, as_of,
                      retention_days)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_OPEN_OBLIGATIONS: Final = """
INSERT INTO obligation (obligation_id, grant_id, subject_id, recipient_id, state, days_after_end, opened_at,
                        check_at, attested_count)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (grant_id) DO NOTHING
"""

_ADD_PINNED: Final = "INSERT INTO delivery_record (delivery_id, record_id, version) VALUES (?, ?, ?)"

_MOVE_HEAD: Final = "UPDATE ledger_head SET size = ?, frontier = ? WHERE name = 'log'"


class SqliteThread:
    """One connection in one thread of its own: SQLite's work never waits in the event loop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lane-sqlite")
        self._connection: sqlite3.Connection | None = None

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` with the connection, after what was handed in before. Raises OverloadedError."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, work)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The same in one writing transaction. The file lock stands in for the head's: a writer is alone."""
        return await self.run(lambda connection: self._in_transaction(connection, work))

    async def close(self) -> None:
        """Close the connection and end the thread."""
        await self.run(lambda connection: connection.close())
        self._executor.shutdown()

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = _connected(self.path)
            return work(self._connection)
        except LockTimeoutError as error:
            raise OverloadedError from error
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # a mistake of ours: it does not pass
                raise
            raise OverloadedError from error

    def _in_transaction(self, connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
        lock = take_file_lock(self.path)
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                done = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk has rolled back by itself
                    connection.execute("ROLLBACK")
                raise
            return done
        finally:
            os.close(lock)


class SqliteData:
    """`DataStore` on SQLite."""

    def __init__(self, path: Path) -> None:
        self._thread = SqliteThread(path)

    async def find(self, pulls: Sequence[Pull]) -> dict[int, Found]:
        """A few statements for each pull, all in one snapshot."""
        return await self._thread.run(lambda connection: _find(connection, pulls))

    async def commit(self, proposals: Sequence[Proposal]) -> list[Answer | None]:
        """Check again and insert, alone."""
        made = leaves_of(proposals)
        return await self._thread.write(lambda connection: _recheck_and_insert(connection, proposals, made))

    async def close(self) -> None:
        """Close the connection and end its thread."""
        await self._thread.close()


class SqliteKeyring:
    """`KeyringStore` on SQLite."""

    def __init__(self, path: Path) -> None:
        self._thread = SqliteThread(path)

    async def keys(self, version_ids: Sequence[str], subject_ids: Sequence[str]) -> KeyMaterial:
        """Two point reads for each pull."""
        return await self._thread.run(lambda connection: _keys(connection, version_ids, subject_ids))

    async def close(self) -> None:
        """Close the connection and end its thread."""
        await self._thread.close()


def _connected(path: Path) -> sqlite3.Connection:
    """A connection that is durable, or none: it must not be used before every pragma holds."""
    connection = sqlite3.connect(path, timeout=LOCK_TIMEOUT_SECONDS, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _find(connection: sqlite3.Connection, pulls: Sequence[Pull]) -> dict[int, Found]:
    found: dict[int, Found] = {}
    connection.execute("BEGIN")
    try:
        for place, pull in enumerate(pulls):
            row = connection.execute(_FIND, (pull.key_digest, pull.token_hash)).fetchone()
            if row is not None:
                found[place] = found_of(_with_records(connection, row))
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")
    return found


def _with_records(connection: sqlite3.Connection, row: sqlite3.Row) -> list[dict[str, Any]]:
    """The token's columns once for each record, as the one statement on PostgreSQL gives them."""
    known = dict(row)
    if known["state"] != "GIVEN":
        return [known]
    if known["delivery_id"] is None:
        records = connection.execute(_FIND_CURRENT, (known["grant_id"], known["version_id"])).fetchall()
    else:
        records = connection.execute(_FIND_PINNED, (known["delivery_id"],)).fetchall()
    return [{**known, **dict(record)} for record in records] or [known]


def _keys(
    connection: sqlite3.Connection, version_ids: Sequence[str], subject_ids: Sequence[str]
) -> KeyMaterial:
    rows: list[Any] = []
    for version_id in version_ids:
        rows += connection.execute(_SHARES, (version_id,)).fetchall()
    for subject_id in subject_ids:
        rows += connection.execute(_AUDIT_KEY, (subject_id,)).fetchall()
    return key_material(rows)


def _recheck_and_insert(
    connection: sqlite3.Connection, proposals: Sequence[Proposal], made: Mapping[bytes, bytes]
) -> list[Answer | None]:
    head = connection.execute(_HEAD).fetchone()
    now_true = {}
    for proposal in proposals:
        row = connection.execute(_RECHECK, (proposal.pull.token_hash,)).fetchone()
        if row is not None:
            now_true[proposal.pull.token_hash] = rechecked_of(row)
    chosen = choose(proposals, now_true)
    fresh = set()
    for proposal in chosen:
        proof = (proposal.pull.jti_digest, to_microseconds(proposal.pull.jti_expires_at))
        if connection.execute(TAKE_PROOF, proof).rowcount == 1:
            fresh.add(proposal.pull.jti_digest)
    accepted = [proposal for proposal in chosen if proposal.pull.jti_digest in fresh]
    if accepted:
        leaves = [made[proposal.pull.jti_digest] for proposal in accepted]
        new_size, new_frontier, hashes = plan_append(head["size"], head["frontier"], leaves)
        deliveries = [proposal.delivery for proposal in accepted if proposal.delivery is not None]
        connection.executemany(_ADD_DELIVERIES, [delivery_row(delivery) for delivery in deliveries])
        connection.executemany(_ADD_PINNED, pinned_rows(deliveries))
        connection.executemany(_OPEN_OBLIGATIONS, obligation_rows(deliveries))
        connection.executemany(_ADD_ENTRIES, entry_rows(accepted, head["size"], leaves, hashes))
        connection.execute(_MOVE_HEAD, (new_size, new_frontier))
    return answers_of(proposals, chosen, fresh)
