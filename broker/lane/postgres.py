"""The lane's stores on PostgreSQL: asyncpg, prepared statements, one read and one commit a flush."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]  # no stubs exist
from sqlalchemy import make_url

from broker.db import LOCK_TIMEOUT_SECONDS
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

# What the lane knows of a token `t` and of the consent behind it, whatever asks.
KNOWN_COLUMNS: Final = """
t.kind, t.cnf, t.scope, t.expires_at, t.revoked_at, t.auth_time, t.acr,
c.grant_id, t.version_id, c.grant_id || '.' || c.version_number AS current_version_id,
c.subject_id, c.recipient_id, c.purpose, c.handle, c.state, c.change_count,
c.valid_from, c.valid_until, c.pause_at, c.max_pulls,
cl.status = 'active' AND o.status = 'active' AS recipient_is_active,
v.terms_sealed, c.places_since, p.places_taken, p.last_place_at
"""

CONSENT_JOINS: Final = """
LEFT JOIN consent c ON c.grant_id = t.grant_id
LEFT JOIN consent_version v ON v.version_id = t.version_id
LEFT JOIN client cl ON cl.client_id = t.client_id
LEFT JOIN organisation o ON o.organisation_id = c.recipient_id
LEFT JOIN LATERAL (
    SELECT count(*) AS places_taken, max(x.as_of) AS last_place_at
    FROM delivery x WHERE x.grant_id = c.grant_id AND x.places_since = c.places_since
) p ON true
"""

_FIND: Final = f"""
SELECT a.place, {KNOWN_COLUMNS},
       d.delivery_id, d.request_digest, d.payload_digest, d.nonce_sealed, d.as_of,
       r.record_id, r.version, r.compartment_id, r.holder_id, r.record_type, r.schema_revision,
       r.ciphertext, r.ciphertext_digest, r.disclosed_times, r.disclosed_at, r.is_acknowledged
FROM unnest($1::bytea[], $2::bytea[], $3::int[]) AS a (token_hash, key_digest, place)
JOIN token t ON t.token_hash = a.token_hash
{CONSENT_JOINS}
LEFT JOIN delivery d ON d.grant_id = c.grant_id AND d.places_since = c.places_since
    AND d.key_digest = a.key_digest
LEFT JOIN LATERAL (
    SELECT s.record_id, w.version, s.compartment_id, s.holder_id, s.record_type, w.schema_revision,
           w.ciphertext, w.ciphertext_digest, e.disclosed_times, e.disclosed_at, e.is_acknowledged
    FROM consent_compartment m
    JOIN record s ON s.compartment_id = m.compartment_id
    JOIN record_version w ON w.record_id = s.record_id AND w.version = s.current_version
    LEFT JOIN LATERAL (
        SELECT count(*) AS disclosed_times, max(x.as_of) AS disclosed_at,
               bool_or(x.acknowledged_at IS NOT NULL) AS is_acknowledged
        FROM delivery x
        JOIN delivery_record y ON y.delivery_id = x.delivery_id
        WHERE p.places_taken > 0 AND x.grant_id = c.grant_id
          AND y.record_id = s.record_id AND y.version = w.version
    ) e ON true
    WHERE m.version_id = t.version_id AND d.delivery_id IS NULL AND c.state = 'GIVEN'
    UNION ALL
    SELECT q.record_id, q.version, s.compartment_id, s.holder_id, s.record_type, w.schema_revision,
           w.ciphertext, w.ciphertext_digest, NULL::bigint, NULL::bigint, NULL::boolean
    FROM delivery_record q
    LEFT JOIN record s ON s.record_id = q.record_id
    LEFT JOIN record_version w ON w.record_id = s.record_id AND w.version = q.version
    WHERE q.delivery_id = d.delivery_id AND c.state = 'GIVEN'
) r ON true
"""  # noqa: S608 - constants of this file

_KEYS: Final = """
SELECT version_id, compartment_id, NULL AS subject_id, epoch_id, key_id, wrapped
FROM consent_share WHERE version_id = ANY($1::text[])
UNION ALL
SELECT NULL, NULL, subject_id, epoch_id, key_id, wrapped
FROM audit_key WHERE subject_id = ANY($2::text[])
"""

_LOCK_HEAD: Final = "SELECT size, frontier FROM ledger_head WHERE name = 'log' FOR UPDATE"

_RECHECK: Final = """
SELECT t.token_hash, c.change_count, t.revoked_at IS NOT NULL AS token_is_revoked,
       (SELECT count(*) FROM delivery x WHERE x.grant_id = c.grant_id AND x.places_since = c.places_since)
           AS places_taken
FROM token t JOIN consent c ON c.grant_id = t.grant_id
WHERE t.token_hash = ANY($1::bytea[])
"""

TAKE_PROOFS: Final = """
INSERT INTO seen_jti (jti_digest, expires_at) SELECT * FROM unnest($1::bytea[], $2::bigint[])
ON CONFLICT DO NOTHING RETURNING jti_digest
"""

# One round trip for all that is written: every other flush waits for the head meanwhile. Obligations that are
# there are looked for before: ON CONFLICT alone would wait for whoever changes one and waits for the head.
_INSERT: Final = """
WITH deliveries AS (
    INSERT INTO delivery (delivery_id, grant_id, version_id, subject_id, recipient_id, ordinal, places_since,
                          key_digest, request_digest, payload_digest, nonce_sealed, record_count, as_of,
                          retention_days)
    SELECT * FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[], $9::int[],
                         $10::bytea[], $11::bytea[], $12::bytea[], $13::bytea[], $14::int[], $15::bigint[],
                         $16::int[])
), pinned AS (
    INSERT INTO delivery_record (delivery_id, record_id, version)
    SELECT * FROM unnest($17::text[], $18::text[], $19::int[])
), obligations AS (
    INSERT INTO obligation (obligation_id, grant_id, subject_id, recipient_id, state, days_after_end,
                            opened_at, check_at, attested_count)
    SELECT a.*, 0
    FROM unnest($20::text[], $21::text[], $22::text[], $23::text[], $24::text[], $25::int[], $26::bigint[],
                $27::bigint[])
         AS a (obligation_id, grant_id, subject_id, recipient_id, state, days_after_end, opened_at, check_at)
    WHERE NOT EXISTS (SELECT 1 FROM obligation o WHERE o.grant_id = a.grant_id)
    ON CONFLICT (grant_id) DO NOTHING
), entries AS (
    INSERT INTO ledger_entry (idx, handle, leaf, leaf_hash, detail_sealed, at)
    SELECT * FROM unnest($28::bigint[], $29::text[], $30::bytea[], $31::bytea[], $32::bytea[], $33::bigint[])
)
UPDATE ledger_head SET size = $1, frontier = $2 WHERE name = 'log'
"""
_DELIVERY_COLUMNS: Final = 14
_PINNED_COLUMNS: Final = 3
_OBLIGATION_COLUMNS: Final = 8

# What passes: a lock that came too late, a server that stops, restarts, has no room, or cannot be reached.
_PASSING: Final = (
    OSError,
    asyncpg.DeadlockDetectedError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    asyncpg.LockNotAvailableError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresConnectionError,
)


@contextmanager
def passing_is_overload() -> Iterator[None]:
    """What passes by itself is told to come again (OverloadedError); a mistake of ours stays what it is."""
    try:
        yield
    except _PASSING as error:
        raise OverloadedError from error


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection that only ever runs the lane's statements: nothing needs resetting on return."""

    async def reset(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's own
        """No round trip."""
        del timeout


async def open_pool(url: str, *, size: int = 2) -> asyncpg.Pool:
    """A small pool: one flush is in flight at a time."""
    return await asyncpg.create_pool(
        make_url(url).set(drivername="postgresql").render_as_string(hide_password=False),
        min_size=1,
        max_size=size,
        connection_class=_Connection,
        command_timeout=2 * LOCK_TIMEOUT_SECONDS,  # a server that never answers must not stop the worker
        server_settings={
            "plan_cache_mode": "force_generic_plan",
            "jit": "off",
            "lock_timeout": str(LOCK_TIMEOUT_SECONDS * 1000),
            "idle_in_transaction_session_timeout": str(6 * LOCK_TIMEOUT_SECONDS * 1000),
        },
    )


class PostgresData:
    """`DataStore` on PostgreSQL."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def find(self, pulls: Sequence[Pull]) -> dict[int, Found]:
        """One statement for the whole batch."""
        with passing_is_overload():
            rows = await self._pool.fetch(
                _FIND,
                [pull.token_hash for pull in pulls],
                [pull.key_digest for pull in pulls],
                list(range(len(pulls))),
            )
        by_place: dict[int, list[Any]] = {}
        for row in rows:
            by_place.setdefault(row["place"], []).append(row)
        return {place: found_of(found) for place, found in by_place.items()}

    async def commit(self, proposals: Sequence[Proposal]) -> list[Answer | None]:
        """Lock, recheck in a statement of its own (its snapshot is younger than the lock), insert."""
        made = leaves_of(proposals)
        with passing_is_overload():
            async with (
                self._pool.acquire() as connection,
                # Whatever the server's default is: a snapshot older than the lock would recheck nothing.
                connection.transaction(isolation="read_committed"),
            ):
                return await self._recheck_and_insert(connection, proposals, made)

    async def _recheck_and_insert(
        self, connection: asyncpg.Connection, proposals: Sequence[Proposal], made: Mapping[bytes, bytes]
    ) -> list[Answer | None]:
        head = await connection.fetchrow(_LOCK_HEAD)
        rows = await connection.fetch(_RECHECK, [proposal.pull.token_hash for proposal in proposals])
        chosen = choose(proposals, {row["token_hash"]: rechecked_of(row) for row in rows})
        taken = await connection.fetch(
            TAKE_PROOFS,
            [proposal.pull.jti_digest for proposal in chosen],
            [to_microseconds(proposal.pull.jti_expires_at) for proposal in chosen],
        )
        fresh = {row["jti_digest"] for row in taken}
        accepted = [proposal for proposal in chosen if proposal.pull.jti_digest in fresh]
        if accepted:
            leaves = [made[proposal.pull.jti_digest] for proposal in accepted]
            new_size, new_frontier, hashes = plan_append(head["size"], head["frontier"], leaves)
            deliveries = [proposal.delivery for proposal in accepted if proposal.delivery is not None]
            await connection.execute(
                _INSERT,
                new_size,
                new_frontier,
                *_columns([delivery_row(delivery) for delivery in deliveries], _DELIVERY_COLUMNS),
                *_columns(pinned_rows(deliveries), _PINNED_COLUMNS),
                *_columns(obligation_rows(deliveries), _OBLIGATION_COLUMNS),
                *zip(*entry_rows(accepted, head["size"], leaves, hashes), strict=True),
            )
        return answers_of(proposals, chosen, fresh)

    async def close(self) -> None:
        """Give the connections back."""
        await self._pool.close()


class PostgresKeyring:
    """`KeyringStore` on PostgreSQL."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def keys(self, version_ids: Sequence[str], subject_ids: Sequence[str]) -> KeyMaterial:
        """One statement for the whole batch."""
        with passing_is_overload():
            return key_material(await self._pool.fetch(_KEYS, version_ids, subject_ids))

    async def close(self) -> None:
        """Give the connections back."""
        await self._pool.close()


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[tuple[Any, ...]]:
    """Rows as one array for each column, empty ones if there are no rows."""
    return list(zip(*rows, strict=True)) if rows else [()] * width
