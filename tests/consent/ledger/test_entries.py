"""Leaves and commitments, and the append that gives them their places."""

import dataclasses
import hashlib
import hmac
import json
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import delete, select

from broker.db import Database, transaction
from consent.ledger.entries import (
    MAX_LEAF_BYTES,
    Entry,
    append,
    check_opening,
    commit,
    ensure_head,
    plan_append,
    read_head,
)
from consent.ledger.errors import EntryTooLargeError, LogDamagedError
from consent.ledger.models import LedgerEntry, LedgerHead
from consent.ledger.tree import extend, leaf_hash, root
from tests.consent.ledger.making import NOW, fill, made_entry
from tests.databases import Databases


class _ChangedMindError(Exception):
    pass


def _append_and_change_mind(database: Database) -> None:
    with database.write() as session:
        append(session, [made_entry(9)])
        raise _ChangedMindError


def _record(database: Database, entries: list[Entry]) -> None:
    with transaction(database) as work:
        for entry in entries:
            work.record(entry)


def entries_of(database: Database) -> list[LedgerEntry]:
    with database.read() as session:
        return list(session.exec(select(LedgerEntry).order_by(LedgerEntry.idx)))  # type: ignore[arg-type] # a column


def test_a_commitment_of_another_length_is_refused() -> None:
    entry = dataclasses.replace(made_entry(), commitment=b"x" * 31)
    with pytest.raises(ValueError, match="32 bytes"):
        entry.leaf()


def test_an_instant_without_a_zone_is_refused() -> None:
    entry = dataclasses.replace(made_entry(), at=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the case
    with pytest.raises(ValueError, match="time zone"):
        entry.leaf()


def test_a_fact_that_is_not_exact_in_json_is_refused() -> None:
    with pytest.raises(rfc8785.IntegerDomainError):
        made_entry(facts={"number": 2**53}).leaf()


def test_a_leaf_may_have_65535_bytes_and_not_one_more() -> None:
    room = MAX_LEAF_BYTES - len(made_entry(facts={"fill": ""}).leaf())
    assert len(made_entry(facts={"fill": "x" * room}).leaf()) == MAX_LEAF_BYTES
    with pytest.raises(EntryTooLargeError) as caught:
        made_entry(facts={"fill": "x" * (room + 1)}).leaf()
    assert caught.value.size == MAX_LEAF_BYTES + 1


def test_a_plan_refuses_a_leaf_that_is_too_large() -> None:
    assert plan_append(0, b"", [b"x" * MAX_LEAF_BYTES])[0] == 1
    with pytest.raises(EntryTooLargeError):
        plan_append(0, b"", [b"", b"x" * (MAX_LEAF_BYTES + 1)])


def test_a_plan_refuses_a_head_that_is_none() -> None:
    with pytest.raises(LogDamagedError):
        plan_append(2, b"", [b"leaf"])


def test_a_leaf_is_canonical_json_with_nothing_of_the_sealed_detail() -> None:
    seoul = timezone(timedelta(hours=9))
    entry = dataclasses.replace(made_entry(7), at=NOW.astimezone(seoul), detail_sealed=b"canary")
    assert entry.leaf() == (
        b'{"at":"2026-11-23T09:30:15.123456Z","c":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAc",'
        b'"facts":{"number":7},"handle":"handle","purpose":"insurance.indemnity_claim",'
        b'"recipient":"hanbit-insurance","type":"delivery.released","v":1}'
    )


def test_recipient_and_purpose_are_left_out_where_there_is_none() -> None:
    leaf = json.loads(dataclasses.replace(made_entry(), recipient=None, purpose=None).leaf())
    assert set(leaf) == {"v", "type", "at", "handle", "facts", "c"}


@given(st.binary(max_size=200), st.binary(min_size=32, max_size=32))
def test_a_commitment_opens_to_its_detail_only(detail: bytes, opening: bytes) -> None:
    commitment = commit(detail, opening)
    assert commitment == hmac.new(opening, detail, hashlib.sha256).digest()
    assert check_opening(commitment, detail=detail, opening=opening)
    assert not check_opening(commitment, detail=detail + b"x", opening=opening)
    assert not check_opening(commitment, detail=detail, opening=bytes(byte ^ 1 for byte in opening))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_an_opening_has_32_bytes(length: int) -> None:
    # HMAC pads its key with zeros: without this rule b"\0" * 31 would open what b"\0" * 32 closed
    with pytest.raises(ValueError, match="32 bytes"):
        commit(b"detail", bytes(length))
    assert not check_opening(commit(b"detail", bytes(32)), detail=b"detail", opening=bytes(length))


@given(st.lists(st.binary(max_size=50), max_size=30), st.lists(st.binary(max_size=50), max_size=30))
def test_two_plans_are_one(first: list[bytes], second: list[bytes]) -> None:
    size, frontier, hashes = plan_append(0, b"", first)
    assert plan_append(size, frontier, second)[:2] == plan_append(0, b"", first + second)[:2]
    assert hashes == [leaf_hash(leaf) for leaf in first]


def test_an_append_gives_dense_indexes_in_the_order_of_the_entries(databases: Databases) -> None:
    with databases.data.write() as session:
        assert append(session, [made_entry(0), made_entry(1)]) == [0, 1]
        assert append(session, []) == []
        assert append(session, [made_entry(2, handle="other")]) == [2]
    rows = entries_of(databases.data)
    assert [row.idx for row in rows] == [0, 1, 2]
    assert [row.leaf for row in rows] == [
        made_entry(0).leaf(),
        made_entry(1).leaf(),
        made_entry(2, handle="other").leaf(),
    ]
    assert [row.detail_sealed for row in rows] == [b"sealed 0", b"sealed 1", b"sealed 2"]
    assert [row.handle for row in rows] == ["handle", "handle", "other"]
    assert {row.at for row in rows} == {NOW}
    with databases.data.read() as session:
        assert read_head(session) == extend(0, b"", [leaf_hash(row.leaf) for row in rows])


def test_what_is_rolled_back_is_not_in_the_log(databases: Databases) -> None:
    fill(databases.data, 2)
    with pytest.raises(_ChangedMindError):
        _append_and_change_mind(databases.data)
    with databases.data.write() as session:
        assert append(session, [made_entry(2)]) == [2]
    assert [json.loads(row.leaf)["facts"]["number"] for row in entries_of(databases.data)] == [0, 1, 2]


def test_an_entry_that_is_too_large_takes_the_whole_transaction_with_it(databases: Databases) -> None:
    with pytest.raises(EntryTooLargeError):
        _record(databases.data, [made_entry(0), made_entry(facts={"fill": "x" * MAX_LEAF_BYTES})])
    with databases.data.read() as session:
        assert read_head(session) == (0, b"")
    assert entries_of(databases.data) == []


def test_the_head_is_one_row_however_often_it_is_ensured(databases: Databases) -> None:
    with databases.data.write() as session:
        ensure_head(session)
        append(session, [made_entry()])
        ensure_head(session)
        assert [head.size for head in session.exec(select(LedgerHead))] == [1]


def test_the_first_append_makes_a_head_that_is_missing(databases: Databases) -> None:
    with databases.data.write() as session:
        session.exec(delete(LedgerHead))
    with databases.data.read() as session:
        assert read_head(session) == (0, b"")
    with databases.data.write() as session:
        assert append(session, [made_entry()]) == [0]


@pytest.mark.parametrize("first_commits", [True, False])
def test_who_appends_while_another_has_not_committed_waits_for_the_outcome(
    databases: Databases, *, first_commits: bool
) -> None:
    got: list[int] = []

    def append_second() -> None:
        with databases.data.write() as session:
            got.extend(append(session, [made_entry(2)]))

    second = threading.Thread(target=append_second)
    with databases.data.write() as session:
        append(session, [made_entry(1)])
        second.start()
        second.join(timeout=0.3)
        assert second.is_alive()
        if not first_commits:
            session.rollback()
    second.join(timeout=120)
    assert got == [1 if first_commits else 0]
    with databases.data.read() as session:
        assert root(*read_head(session)) == root(
            *extend(0, b"", [leaf_hash(row.leaf) for row in entries_of(databases.data)])
        )


def test_entries_keep_their_instants_in_utc() -> None:
    assert (
        b'"at":"2026-01-01T00:00:00.000000Z"'
        in dataclasses.replace(made_entry(), at=datetime(2026, 1, 1, tzinfo=UTC)).leaf()
    )
