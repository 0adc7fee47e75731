"""Both data stores and both keyring stores say the same of the same rows, and commit the same way."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from sqlalchemy import MetaData, Table, delete, insert, select

from broker.db import Database
from broker.lane.postgres import PostgresData, PostgresKeyring, open_pool
from broker.lane.pulls import Answer, DataStore, Found, KeyringStore, NewDelivery, Proposal, Pull
from broker.lane.sqlite import SqliteData, SqliteKeyring
from broker.oauth.tokens import TokenKind
from consent.ledger.entries import Entry
from tests.databases import Databases
from tests.lane.world import VISITS, Granted, World, bill
from vault.schema import data_metadata, keyring_metadata

T = TypeVar("T")

Stores = tuple[DataStore, KeyringStore]

NOW = datetime(2026, 12, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Twins:
    """One world on SQLite, and a copy of all its rows on PostgreSQL."""

    world: World
    copy: Databases

    def on_both(self, work: Callable[[DataStore, KeyringStore], Awaitable[T]]) -> list[T]:
        """What the work says on SQLite and on PostgreSQL."""
        return [asyncio.run(self._on(opened, work)) for opened in (self._sqlite, self._postgresql)]

    def rows(self, table: str) -> list[list[tuple[Any, ...]]]:
        """All rows of a table in each of the two data databases, in one order."""
        found = []
        for database in (self.world.installation.data, self.copy.data):
            with database.read() as session:
                rows = session.connection().execute(select(data_metadata.tables[table]))
                found.append(sorted((tuple(row) for row in rows), key=str))
        return found

    @staticmethod
    async def _on(
        opened: Callable[[], Awaitable[Stores]], work: Callable[[DataStore, KeyringStore], Awaitable[T]]
    ) -> T:
        data, keyring = await opened()
        try:
            return await work(data, keyring)
        finally:
            await data.close()
            await keyring.close()

    async def _sqlite(self) -> Stores:
        installation = self.world.installation
        return SqliteData(installation.data.path), SqliteKeyring(installation.keyring_database.path)

    async def _postgresql(self) -> Stores:
        data, keyring = await open_pool(self.copy.data_url), await open_pool(self.copy.keyring_url)
        return PostgresData(data), PostgresKeyring(keyring)


@pytest.fixture
def twins(sqlite_world: World, postgresql_databases: Databases) -> Twins:
    """A world to be filled by a test; `copied` brings it over."""
    return Twins(sqlite_world, postgresql_databases)


def copied(twins: Twins) -> None:
    """Bring every row of both databases over to PostgreSQL."""
    installation = twins.world.installation
    _copy(installation.data, twins.copy.data, data_metadata)
    _copy(installation.keyring_database, twins.copy.keyring, keyring_metadata)


def _copy(source: Database, target: Database, metadata: MetaData) -> None:
    tables: list[Table] = list(metadata.sorted_tables)
    with source.read() as reading, target.write() as writing:
        for table in reversed(tables):
            writing.connection().execute(delete(table))
        for table in tables:
            rows = [dict(row._mapping) for row in reading.connection().execute(select(table))]
            if rows:
                writing.connection().execute(insert(table), rows)


def pull_of(token: str, key: str = "one", proof: str | None = None) -> Pull:
    return Pull(
        token_hash=hashlib.sha256(token.encode()).digest(),
        cnf="jkt:key",
        jti_digest=hashlib.sha256((proof or token + key).encode()).digest(),
        jti_expires_at=NOW,
        record_type=None,
        key_digest=hashlib.sha256(key.encode()).digest(),
        request_digest=b"r" * 32,
    )


def everything(world: World) -> dict[str, Pull]:
    """Pulls of tokens in every condition that the statements tell apart."""
    office = world.office
    fresh, used = world.granted(), world.granted({"access.max_pulls": 3})
    assert world.pull(used.token, idempotency_key="used").status_code == 200
    assert world.pull(used.token, idempotency_key="other").status_code == 200
    world.collect(bill(VISITS[0], night_holiday="night"))
    ended = {name: world.granted() for name in ("withdrawn", "fulfilled", "expired", "superseded")}
    office.withdraw(ended["withdrawn"].grant_id)
    office.fulfil(ended["fulfilled"].grant_id)
    office.expire(ended["expired"].grant_id)
    world.tamper(
        "UPDATE consent SET version_number = 2 WHERE grant_id = :id", id=ended["superseded"].grant_id
    )
    revoked = world.granted()
    world.tamper("UPDATE token SET revoked_at = issued_at + 1 WHERE grant_id = :id", id=revoked.grant_id)
    emptied = world.granted({"holders": ["insurance-register"], "items.0.filter": {"institution": ["1"]}})
    world.tamper("DELETE FROM consent_compartment WHERE version_id = :id", id=emptied.version_id)
    return {
        "fresh": pull_of(fresh.token),
        "fresh, by another token": pull_of(world.token(fresh.given)),
        "by a refresh token": pull_of(world.token(fresh.given, kind=TokenKind.REFRESH)),
        "a used key": pull_of(used.token, "used"),
        "a new key of a used consent": pull_of(world.token(used.given), "new"),
        "own": pull_of(world.own_token()),
        "unknown": pull_of("mda_unknown"),
        "revoked": pull_of(revoked.token),
        "no compartments": pull_of(emptied.token),
        **{name: pull_of(granted.token) for name, granted in ended.items()},
    }


def test_both_find_the_same(twins: Twins) -> None:
    pulls = everything(twins.world)
    copied(twins)

    async def find(data: DataStore, _: KeyringStore) -> dict[int, Found]:
        return await data.find(list(pulls.values()))

    one, other = twins.on_both(find)
    assert one == other
    found = {name: one.get(place) for place, name in enumerate(pulls)}
    assert found["unknown"] is None
    records = {name: len(known.records) for name, known in found.items() if known is not None}
    assert records == {
        "fresh": 6,
        "fresh, by another token": 6,
        "by a refresh token": 6,
        "a used key": 3,
        "a new key of a used consent": 6,
        "own": 0,
        "revoked": 6,
        "no compartments": 0,
        "withdrawn": 0,
        "fulfilled": 0,
        "expired": 0,
        "superseded": 6,
    }
    pinned, current = found["a used key"], found["fresh"]
    assert pinned is not None
    assert current is not None
    assert {record.version for record in pinned.records} == {1}
    assert {record.version for record in current.records} == {1, 2}
    assert pinned.grant is not None
    assert pinned.grant.places_taken == 2
    assert pinned.grant.past is not None


def test_both_find_nothing_for_nobody(twins: Twins) -> None:
    copied(twins)

    async def find(data: DataStore, _: KeyringStore) -> dict[int, Found]:
        return await data.find([pull_of("mda_unknown")])

    assert twins.on_both(find) == [{}, {}]


def test_both_keyrings_hold_the_same(twins: Twins) -> None:
    granted, other = twins.world.granted(), twins.world.granted()
    subject_id = twins.world.office.subject_id
    copied(twins)

    async def keys(_: DataStore, keyring: KeyringStore) -> tuple[Any, ...]:
        material = await keyring.keys([granted.version_id, "no such version"], [subject_id, "nobody"])
        nothing = await keyring.keys([], [])
        by_version = {
            version: sorted(shares, key=lambda share: share.compartment_id)
            for version, shares in material.shares.items()
        }
        return by_version, material.audit_keys, nothing

    one, same = twins.on_both(keys)
    assert one == same
    shares, audit_keys, nothing = one
    assert {version: len(found) for version, found in shares.items()} == {granted.version_id: 4}
    assert other.version_id not in shares
    assert set(audit_keys) == {subject_id}
    assert (nothing.shares, nothing.audit_keys) == ({}, {})


def proposal_of(pull: Pull, granted: Granted, found: Found, number: int) -> Proposal:
    """A proposal on what was found, with rows that can be told apart."""
    assert found.grant is not None
    grant = found.grant
    delivery = NewDelivery(
        delivery_id=f"delivery {number}",
        grant_id=granted.grant_id,
        version_id=granted.version_id,
        subject_id=grant.subject_id,
        recipient_id=grant.recipient_id,
        ordinal=grant.places_taken + 1,
        places_since=grant.places_since,
        key_digest=pull.key_digest,
        request_digest=pull.request_digest,
        payload_digest=b"p" * 32,
        nonce_sealed=b"n",
        record_count=len(found.records),
        as_of=NOW,
        pinned=tuple((record.record_id, record.version) for record in found.records),
    )
    return Proposal(
        pull=pull,
        grant_id=granted.grant_id,
        version_id=granted.version_id,
        change_count=grant.change_count,
        places_taken=grant.places_taken,
        token_is_revoked=found.revoked_at is not None,
        entry=Entry("delivery.released", NOW, grant.handle, None, None, {}, bytes([number]) * 32, b"sealed"),
        delivery=delivery,
        answer=Answer(body=b"%d" % number),
    )


def test_both_commit_the_same(twins: Twins) -> None:
    """Good ones with their rows, overtaken ones not at all, used proofs as replays; then all again."""
    world = twins.world
    granted = [world.granted() for _ in range(4)]
    pulls = [pull_of(one.token) for one in granted]
    pulls[2] = replace(pulls[2], jti_digest=b"used before".ljust(32))
    world.tamper("INSERT INTO seen_jti (jti_digest, expires_at) VALUES (:jti, 1)", jti=pulls[2].jti_digest)
    copied(twins)

    async def commit(data: DataStore, _: KeyringStore) -> list[list[Answer | None]]:
        found = await data.find(pulls)
        proposals = [
            proposal_of(pull, one, found[number], number)
            for number, (pull, one) in enumerate(zip(pulls, granted, strict=True))
        ]
        proposals[1] = replace(proposals[1], change_count=99)
        proposals.append(replace(proposals[0], pull=replace(pulls[0], jti_digest=b"another".ljust(32))))
        refused = replace(proposals[3], delivery=None)
        return [await data.commit([*proposals[:3], refused, proposals[4]]), await data.commit(proposals[:3])]

    one, other = twins.on_both(commit)
    assert one == other
    replay = Answer(is_replayed_proof=True)
    assert one == [[Answer(b"0"), None, replay, Answer(b"3"), None], [None, None, replay]]
    for table in ("delivery", "delivery_record", "ledger_entry", "ledger_head", "seen_jti"):
        on_sqlite, on_postgresql = twins.rows(table)
        assert on_sqlite == on_postgresql, table
    assert [len(twins.rows(table)[0]) for table in ("delivery", "delivery_record")] == [1, 6]
