"""What introspection reads and writes: one statement and one insert a flush, on PostgreSQL and on SQLite.

A token of another organisation is not even read: to whoever asks it is as unknown. So is one of a client of
FAPI 2.0 to a client of the profile `oidc`, whose secret proves less.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]  # no stubs exist

from broker.lane import postgres, sqlite
from broker.lane.introspecting import Inquiry, Known, KnownToken
from broker.lane.rows import found_of
from broker.oauth.client_assertion import Proven
from consent.superseding import KEEPS_TOKENS
from vault.schema import from_microseconds, to_microseconds

_KEEPING: Final = ", ".join(f"'{kind.value}'" for kind in sorted(KEEPS_TOKENS))

# A refresh token of an earlier version opens the one that stands if nothing since gave more, as at `/token`.
_COLUMNS: Final = f"""
i.client_id AS asking_id, i.jwks, i.client_metadata AS asking_metadata,
i.security_profile = 'oidc' AS is_asking_plain,
t.client_id AS owner_id, t.subject_id AS person_id, t.issued_at, cl.status = 'active' AS is_owner_active,
cl.security_profile = 'oidc' AS is_owner_plain,
i.organisation_id,
f.terms_sealed AS standing_terms_sealed,
t.kind = 'refresh' AND NOT EXISTS (
    SELECT 1 FROM consent_version n
    WHERE n.grant_id = c.grant_id AND n.number > v.number AND n.kind NOT IN ({_KEEPING})
) AS opens_standing,
NULL AS delivery_id, NULL AS record_id
"""  # noqa: S608 - constants of ours

_STANDING: Final = """
LEFT JOIN consent_version f ON f.version_id = c.grant_id || '.' || c.version_number
"""

_OWN_ONLY: Final = """
JOIN organisation g ON g.organisation_id = i.organisation_id AND g.status = 'active'
LEFT JOIN token t ON t.token_hash = a.token_hash
     AND EXISTS (SELECT 1 FROM client x
                 WHERE x.client_id = t.client_id AND x.organisation_id = i.organisation_id
                 AND (i.security_profile <> 'oidc' OR x.security_profile = 'oidc'))
"""

_LOOK_UP_POSTGRES: Final = f"""
SELECT a.place, {_COLUMNS}, {postgres.KNOWN_COLUMNS}
FROM unnest($1::text[], $2::bytea[], $3::int[]) AS a (client_id, token_hash, place)
JOIN client i ON i.client_id = a.client_id AND i.status = 'active'
{_OWN_ONLY} {postgres.CONSENT_JOINS} {_STANDING}
"""  # noqa: S608 - constants of ours

_LOOK_UP_SQLITE: Final = f"""
SELECT {_COLUMNS}, {sqlite.KNOWN_COLUMNS}
FROM (SELECT ? AS client_id, ? AS token_hash) a
JOIN client i ON i.client_id = a.client_id AND i.status = 'active'
{_OWN_ONLY} {sqlite.CONSENT_JOINS} {_STANDING}
"""  # noqa: S608 - constants of ours


class PostgresInquiries:
    """`InquiryStore` on PostgreSQL."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def look_up(self, inquiries: Sequence[Inquiry]) -> dict[int, Known]:
        """One statement for the whole batch."""
        with postgres.passing_is_overload():
            rows = await self._pool.fetch(
                _LOOK_UP_POSTGRES,
                [inquiry.credential.unverified_client_id for inquiry in inquiries],
                [inquiry.token_hash for inquiry in inquiries],
                list(range(len(inquiries))),
            )
        return {row["place"]: _known(row) for row in rows}

    async def use_up(self, proven: Sequence[Proven]) -> set[bytes]:
        """One statement, one commit. In the order of the digests: two workers cannot wait for each other."""
        ordered = sorted(proven, key=lambda one: one.jti_digest)
        with postgres.passing_is_overload():
            rows = await self._pool.fetch(
                postgres.TAKE_PROOFS,
                [one.jti_digest for one in ordered],
                [to_microseconds(one.expires_at) for one in ordered],
            )
        return {row["jti_digest"] for row in rows}

    async def close(self) -> None:
        """Give the connections back."""
        await self._pool.close()


class SqliteInquiries:
    """`InquiryStore` on SQLite."""

    def __init__(self, path: Path) -> None:
        self._thread = sqlite.SqliteThread(path)

    async def look_up(self, inquiries: Sequence[Inquiry]) -> dict[int, Known]:
        """A statement for each inquiry."""
        return await self._thread.run(lambda connection: _look_up(connection, inquiries))

    async def use_up(self, proven: Sequence[Proven]) -> set[bytes]:
        """All in one commit."""
        return await self._thread.write(lambda connection: _use_up(connection, proven))

    async def close(self) -> None:
        """Close the connection and end its thread."""
        await self._thread.close()


def _look_up(connection: sqlite3.Connection, inquiries: Sequence[Inquiry]) -> dict[int, Known]:
    known: dict[int, Known] = {}
    for place, inquiry in enumerate(inquiries):
        asked = (inquiry.credential.unverified_client_id, inquiry.token_hash)
        row = connection.execute(_LOOK_UP_SQLITE, asked).fetchone()
        if row is not None:
            known[place] = _known(row)
    return known


def _use_up(connection: sqlite3.Connection, proven: Sequence[Proven]) -> set[bytes]:
    fresh = set()
    for one in proven:
        row = (one.jti_digest, to_microseconds(one.expires_at))
        if connection.execute(sqlite.TAKE_PROOF, row).rowcount == 1:
            fresh.add(one.jti_digest)
    return fresh


def _known(row: Mapping[str, Any]) -> Known:
    token = None
    if row["owner_id"] is not None:
        judged = dict(row)
        if row["opens_standing"] and row["standing_terms_sealed"] is not None:
            judged |= {"version_id": row["current_version_id"], "terms_sealed": row["standing_terms_sealed"]}
        token = KnownToken(
            found=found_of([judged]),
            client_id=row["owner_id"],
            organisation_id=row["organisation_id"],
            subject_id=row["person_id"],
            is_client_active=bool(row["is_owner_active"]),
            issued_at=from_microseconds(row["issued_at"]),
            is_plain=bool(row["is_owner_plain"]),
        )
    is_plain = bool(row["is_asking_plain"])
    return Known(row["asking_id"], row["jwks"], row["asking_metadata"], token, is_plain)
