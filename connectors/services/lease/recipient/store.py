"""The service's leases and their people: each step is durable before the next begins."""

import secrets
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson

from connectors.services.lease.findings import Home
from connectors.services.relying_party.broker_client import Delivered, Granted
from connectors.services.relying_party.database import RecipientDatabase
from vault.schema import random_id

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS lease (
    lease_id TEXT PRIMARY KEY, deal_id TEXT NOT NULL, state TEXT NOT NULL, ended_by TEXT, home TEXT NOT NULL,
    deadline TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS party (
    lease_id TEXT NOT NULL REFERENCES lease, role TEXT NOT NULL, link TEXT NOT NULL UNIQUE,
    invitation TEXT NOT NULL, state TEXT NOT NULL, browser_digest TEXT, access_token TEXT,
    refresh_token TEXT, grant_id TEXT, delivery_key TEXT NOT NULL,
    delivery_id TEXT, records TEXT, refusal TEXT,
    PRIMARY KEY (lease_id, role)
);
CREATE INDEX IF NOT EXISTS ix_party_grant_id ON party (grant_id);
CREATE TABLE IF NOT EXISTS attempt (
    oauth_state TEXT PRIMARY KEY, lease_id TEXT NOT NULL, role TEXT NOT NULL, browser_digest TEXT NOT NULL,
    code_verifier TEXT NOT NULL, is_used INTEGER NOT NULL DEFAULT 0
)
"""


class LeaseState(StrEnum):
    """How far a lease is: people sign; all checks are there; it came to nothing."""

    SIGNING = "signing"
    READY = "ready"
    ENDED = "ended"


class PartyState(StrEnum):
    """How far one person is. FORGOTTEN: what came was deleted again."""

    INVITED = "invited"
    SIGNED = "signed"
    RECEIVED = "received"
    CLOSED = "closed"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class Party:
    """One person of a lease, by role; who it is, the service learns from the broker or not at all."""

    lease_id: str
    role: str
    state: PartyState
    link: str = field(repr=False)
    invitation: str = field(repr=False)
    browser_digest: str | None = field(repr=False)
    access_token: str | None = field(repr=False)
    refresh_token: str | None = field(repr=False)
    grant_id: str | None
    delivery_key: str
    delivery_id: str | None
    records: Mapping[str, list[dict[str, Any]]] = field(repr=False)
    refusal: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to the broker, from one browser. Whoever has a link may set out: the broker lets one sign."""

    oauth_state: str
    party: Party
    browser_digest: str = field(repr=False)
    code_verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Lease:
    """One lease with its people."""

    lease_id: str
    deal_id: str
    state: LeaseState
    ended_by: str | None
    home: Home
    deadline: datetime
    parties: Mapping[str, Party]


class Store:
    """Everything the service keeps, in one file."""

    def __init__(self, path: Path) -> None:
        self._database = RecipientDatabase(path, _SCHEMA)

    def add(self, deal_id: str, home: Home, deadline: datetime, invitations: Mapping[str, str]) -> str:
        """A new lease, with a link for each role; answers its id."""
        lease_id = random_id()
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO lease VALUES (?, ?, ?, NULL, ?, ?)",
                (lease_id, deal_id, LeaseState.SIGNING, orjson.dumps(home).decode(), deadline.isoformat()),
            )
            for role, invitation in invitations.items():
                connection.execute(
                    "INSERT INTO party (lease_id, role, link, invitation, state, delivery_key)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        lease_id,
                        role,
                        secrets.token_urlsafe(24),
                        invitation,
                        PartyState.INVITED,
                        random_id(),
                    ),
                )
        return lease_id

    def lease(self, lease_id: str) -> Lease | None:
        """One lease."""
        with self._database.transaction() as connection:
            return _lease(connection, lease_id)

    def leases(self) -> list[Lease]:
        """Every lease, in the order in which they began."""
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT lease_id FROM lease ORDER BY rowid").fetchall()
            found = [_lease(connection, row["lease_id"]) for row in rows]
            return [lease for lease in found if lease is not None]

    def party_of(self, link: str) -> Party | None:
        """The person with this link."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT * FROM party WHERE link = ?", (link,)).fetchone()
            return None if row is None else _party(row)

    def attempt(self, oauth_state: str) -> Attempt | None:
        """The way that this authorization response ends."""
        with self._database.transaction() as connection:
            found = connection.execute(
                "SELECT * FROM attempt WHERE oauth_state = ?", (oauth_state,)
            ).fetchone()
            if found is None:
                return None
            row = connection.execute(
                "SELECT * FROM party WHERE lease_id = ? AND role = ?", (found["lease_id"], found["role"])
            ).fetchone()
            return Attempt(oauth_state, _party(row), found["browser_digest"], found["code_verifier"])

    def leases_in(self, state: LeaseState) -> list[str]:
        """The ids of the leases in this state, the oldest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT lease_id FROM lease WHERE state = ? ORDER BY rowid", (state,)
            ).fetchall()
            return [row["lease_id"] for row in rows]

    def ask(self, party: Party, oauth_state: str, code_verifier: str, browser_digest: str) -> None:
        """Somebody with the link is on the way to the broker."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO attempt VALUES (?, ?, ?, ?, ?, 0)",
                (oauth_state, party.lease_id, party.role, browser_digest, code_verifier),
            )

    def begin_redeeming(self, attempt: Attempt) -> bool:
        """The answer is being looked at; False if it is already: a code is good once."""
        with self._database.transaction() as connection:
            begun = connection.execute(
                "UPDATE attempt SET is_used = 1 WHERE oauth_state = ? AND is_used = 0", (attempt.oauth_state,)
            )
            return begun.rowcount == 1

    def ask_again(self, attempt: Attempt) -> None:
        """The broker was not reached: the code may be tried again."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE attempt SET is_used = 0 WHERE oauth_state = ?", (attempt.oauth_state,))

    def come_back_without(self, party: Party, refusal: str) -> None:
        """The person or the broker said no; whether they may try again, the broker says."""
        self._set(party, {PartyState.INVITED}, refusal=refusal)

    def sign(self, attempt: Attempt, granted: Granted) -> None:
        """The person has signed: what comes of it is shown in their browser."""
        self._set(
            attempt.party,
            {PartyState.INVITED},
            state=PartyState.SIGNED,
            browser_digest=attempt.browser_digest,
            access_token=granted.access_token,
            refresh_token=granted.refresh_token,
            grant_id=granted.grant_id,
        )

    def refresh(self, party: Party, access_token: str) -> None:
        """A new access token."""
        self._set(party, {PartyState.SIGNED}, access_token=access_token)

    def receive(self, party: Party, delivered: Delivered) -> None:
        """The records are here and safe."""
        self._set(
            party,
            {PartyState.SIGNED},
            state=PartyState.RECEIVED,
            delivery_id=delivered.delivery_id,
            records=orjson.dumps(delivered.records).decode(),
        )

    def close_party(self, party: Party) -> None:
        """The delivery is acknowledged."""
        self._set(party, {PartyState.RECEIVED}, state=PartyState.CLOSED)

    def make_ready(self, lease_id: str) -> None:
        """All checks are there."""
        with self._database.transaction() as connection:
            _move(connection, lease_id, LeaseState.READY, None)

    def end(self, lease_id: str, ended_by: str) -> None:
        """It came to nothing: what was received for it already has no use any more, and goes."""
        with self._database.transaction() as connection:
            if _move(connection, lease_id, LeaseState.ENDED, ended_by):
                connection.execute(
                    "UPDATE party SET records = NULL, access_token = NULL, refresh_token = NULL"
                    " WHERE lease_id = ?",
                    (lease_id,),
                )

    def recover(self) -> None:
        """After a death in the middle of redeeming nobody waits for the answer: let the browser try again."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE attempt SET is_used = 0 WHERE EXISTS (SELECT 1 FROM party WHERE state = ?"
                " AND party.lease_id = attempt.lease_id AND party.role = attempt.role)",
                (PartyState.INVITED,),
            )

    def forget(self, grant_id: str, delivery_ids: Collection[str], *, is_over: bool) -> None:
        """Delete what came under a consent: records and tokens. What was read from them is read no more."""
        del delivery_ids, is_over  # there is one delivery for each consent, and no other trace of it
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE party SET records = NULL, access_token = NULL, refresh_token = NULL, state = ?"
                " WHERE grant_id = ?",
                (PartyState.FORGOTTEN, grant_id),
            )

    def _set(self, party: Party, before: set[PartyState], **values: str | None) -> bool:
        columns = ", ".join(f"{name} = ?" for name in values)
        places = ", ".join("?" * len(before))
        with self._database.transaction() as connection:
            done = connection.execute(
                f"UPDATE party SET {columns} WHERE lease_id = ? AND role = ? AND state IN ({places})",  # noqa: S608 - names of this file
                (*values.values(), party.lease_id, party.role, *sorted(before)),
            )
            return done.rowcount == 1


def _move(connection: sqlite3.Connection, lease_id: str, after: LeaseState, ended_by: str | None) -> bool:
    """From signing to what came of it; False if that is known already."""
    moved = connection.execute(
        "UPDATE lease SET state = ?, ended_by = ? WHERE lease_id = ? AND state = ?",
        (after, ended_by, lease_id, LeaseState.SIGNING),
    )
    return moved.rowcount == 1


def _lease(connection: sqlite3.Connection, lease_id: str) -> Lease | None:
    row = connection.execute("SELECT * FROM lease WHERE lease_id = ?", (lease_id,)).fetchone()
    if row is None:
        return None
    people = connection.execute("SELECT * FROM party WHERE lease_id = ?", (lease_id,)).fetchall()
    return Lease(
        lease_id=row["lease_id"],
        deal_id=row["deal_id"],
        state=LeaseState(row["state"]),
        ended_by=row["ended_by"],
        home=Home(**orjson.loads(row["home"])),
        deadline=datetime.fromisoformat(row["deadline"]),
        parties={one["role"]: _party(one) for one in people},
    )


def _party(row: sqlite3.Row) -> Party:
    return Party(
        lease_id=row["lease_id"],
        role=row["role"],
        state=PartyState(row["state"]),
        link=row["link"],
        invitation=row["invitation"],
        browser_digest=row["browser_digest"],
        access_token=row["access_token"],
        refresh_token=row["refresh_token"],
        grant_id=row["grant_id"],
        delivery_key=row["delivery_key"],
        delivery_id=row["delivery_id"],
        records=orjson.loads(row["records"]) if row["records"] else {},
        refusal=row["refusal"],
    )
