"""Sealed records: a ciphertext opens in its own row only (V01 to V03), and a record is stored once."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations
from threading import Barrier
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from broker.db import Database
from tests.databases import Databases
from vault.errors import SourceKeyTakenError, TamperedError
from vault.seal import SealingKey
from vault.store import (
    PutResult,
    Record,
    RecordDraft,
    RecordIdentity,
    RecordVersion,
    SealedRecord,
    canonical,
    latest,
    open_record,
    put,
    put_all,
    record_context,
    versions,
)

KEY = SealingKey(b"k" * 16, b"s" * 32)
CANARY = "카나리아-7f3a"
DATA = {"bill": CANARY, "totals": {"paid": 12_300}}
DRAFT = RecordDraft(
    subject_id="haneul",
    compartment_id="c" * 32,
    holder_id="seoul-hospital",
    record_type="health.medical_bill",
    schema_revision=1,
    source_key=b"source-1",
    content_key=b"content-1",
    canonical=canonical(DATA),
)


def store(databases: Databases, draft: RecordDraft, now: datetime, key: SealingKey = KEY) -> PutResult:
    with databases.data.write() as session:
        return put(session, key, draft, now)


def current(databases: Databases, draft: RecordDraft = DRAFT) -> list[SealedRecord]:
    with databases.data.read() as session:
        return latest(session, draft.subject_id, [draft.compartment_id])


def test_ciphertexts_exchanged_between_rows_open_nowhere(databases: Databases, now: datetime) -> None:
    """Rows of one subject, of two subjects, of two compartments, types and holders: all under one key."""
    drafts = [
        DRAFT,
        replace(DRAFT, source_key=b"source-2"),
        replace(DRAFT, source_key=b"source-3", subject_id="bora"),
        replace(DRAFT, source_key=b"source-4", compartment_id="d" * 32),
        replace(DRAFT, source_key=b"source-5", record_type="health.prescription"),
        replace(DRAFT, source_key=b"source-6", holder_id="insurance-register"),
        replace(DRAFT, source_key=b"source-7", schema_revision=2),
    ]
    sealed: list[SealedRecord] = []
    for draft in drafts:
        store(databases, draft, now)
    with databases.data.read() as session:
        for subject_id in ("haneul", "bora"):
            sealed += latest(session, subject_id, ["c" * 32, "d" * 32])
    assert len(sealed) == len(drafts)
    for one, other in permutations(sealed, 2):
        with pytest.raises(TamperedError):
            open_record(KEY, one.identity, other.ciphertext)


@pytest.mark.parametrize(
    "change",
    [
        {"record_id": "another"},
        {"version": 2},
        {"subject_id": "bora"},
        {"compartment_id": "d" * 32},
        {"holder_id": "insurance-register"},
        {"record_type": "health.prescription"},
        {"schema_revision": 2},
    ],
)
def test_a_row_with_one_column_changed_opens_nothing(
    databases: Databases, now: datetime, change: dict[str, Any]
) -> None:
    store(databases, DRAFT, now)
    sealed = current(databases)[0]
    with pytest.raises(TamperedError):
        open_record(KEY, replace(sealed.identity, **change), sealed.ciphertext)


def test_an_old_version_is_not_the_current_one(databases: Databases, now: datetime) -> None:
    record_id = store(databases, DRAFT, now).record_id
    store(
        databases, replace(DRAFT, content_key=b"content-2", canonical=canonical({"bill": "corrected"})), now
    )
    with databases.data.read() as session:
        first, second = versions(session, "haneul", record_id)
    with pytest.raises(TamperedError):
        open_record(KEY, second.identity, first.ciphertext)


def test_another_compartments_key_opens_nothing(databases: Databases, now: datetime) -> None:
    store(databases, DRAFT, now)
    sealed = current(databases)[0]
    with pytest.raises(TamperedError):
        open_record(SealingKey(b"k" * 16, b"t" * 32), sealed.identity, sealed.ciphertext)


@pytest.mark.parametrize(
    "change",
    [
        {"subject_id": "bora"},
        {"compartment_id": "d" * 32},
        {"holder_id": "insurance-register"},
        {"record_type": "health.prescription"},
    ],
)
def test_a_source_key_used_for_another_record_is_refused(
    databases: Databases, now: datetime, change: dict[str, Any]
) -> None:
    record_id = store(databases, DRAFT, now).record_id
    with pytest.raises(SourceKeyTakenError) as caught:
        store(databases, replace(DRAFT, content_key=b"content-2", **change), now)
    assert caught.value.record_id == record_id
    with databases.data.read() as session:
        assert len(session.exec(select(RecordVersion)).all()) == 1


def test_a_record_is_found_for_its_subject_and_compartment_only(databases: Databases, now: datetime) -> None:
    record_id = store(databases, DRAFT, now).record_id
    with databases.data.read() as session:
        assert latest(session, "bora", ["c" * 32]) == []
        assert latest(session, "haneul", ["d" * 32]) == []
        assert latest(session, "haneul", []) == []
        assert versions(session, "bora", record_id) == []


def test_the_same_record_again_changes_nothing(databases: Databases, now: datetime) -> None:
    added = store(databases, DRAFT, now)
    again = store(databases, DRAFT, now + timedelta(days=1))
    assert (added.outcome, added.is_new, again.is_new) == ("added", True, False)
    assert again == replace(added, outcome="unchanged")
    assert [sealed.received_at for sealed in current(databases)] == [now]


def test_a_corrected_record_is_a_new_version(databases: Databases, now: datetime) -> None:
    added = store(databases, DRAFT, now)
    later = now + timedelta(days=1)
    corrected = store(
        databases, replace(DRAFT, content_key=b"content-2", canonical=canonical({"bill": "2"})), later
    )
    back = store(databases, replace(DRAFT, schema_revision=2), later)
    assert [(one.record_id, one.version, one.outcome) for one in (corrected, back)] == [
        (added.record_id, 2, "corrected"),
        (added.record_id, 3, "corrected"),
    ]
    with databases.data.read() as session:
        all_versions = versions(session, "haneul", added.record_id)
        record = session.get_one(Record, added.record_id)
    assert (record.current_version, record.created_at) == (3, now)
    assert [sealed.identity.schema_revision for sealed in all_versions] == [1, 1, 2]
    opened = [open_record(KEY, sealed.identity, sealed.ciphertext) for sealed in all_versions]
    assert opened == [DATA, {"bill": "2"}, DATA]
    assert [sealed.identity.version for sealed in current(databases)] == [3]


def test_many_puts_in_one_transaction(databases: Databases, now: datetime) -> None:
    changed = replace(DRAFT, content_key=b"content-2", canonical=canonical({"bill": "2"}))
    with databases.data.write() as session:
        outcomes = [
            put(session, KEY, draft, now).outcome for draft in (DRAFT, DRAFT, changed, changed, DRAFT)
        ]
    assert outcomes == ["added", "unchanged", "corrected", "unchanged", "corrected"]
    assert [sealed.identity.version for sealed in current(databases)] == [3]


def store_all(databases: Databases, drafts: Sequence[RecordDraft], now: datetime) -> list[PutResult]:
    keys = {draft.compartment_id: KEY for draft in drafts}
    with databases.data.write() as session:
        return put_all(session, keys, drafts, now)


def test_nothing_is_put_of_nothing(databases: Databases, now: datetime) -> None:
    assert store_all(databases, [], now) == []


def test_many_are_put_one_after_the_other(databases: Databases, now: datetime) -> None:
    changed = replace(DRAFT, content_key=b"content-2", canonical=canonical({"bill": "2"}))
    other = replace(DRAFT, source_key=b"source-2")
    drafts = [DRAFT, other, DRAFT, changed, changed, other, DRAFT]
    results = store_all(databases, drafts, now)
    assert [(one.version, one.outcome) for one in results] == [
        (1, "added"),
        (1, "added"),
        (1, "unchanged"),
        (2, "corrected"),
        (2, "unchanged"),
        (1, "unchanged"),
        (3, "corrected"),
    ]
    with databases.data.read() as session:
        stored = versions(session, "haneul", results[0].record_id)
    assert [open_record(KEY, one.identity, one.ciphertext) for one in stored] == [DATA, {"bill": "2"}, DATA]
    assert [one.ciphertext_digest for one in stored] == [
        results[place].ciphertext_digest for place in (0, 3, 6)
    ]
    again = store_all(databases, [changed, other], now)
    assert [(one.version, one.outcome) for one in again] == [(4, "corrected"), (1, "unchanged")]


def test_one_source_key_for_two_of_many_is_refused(databases: Databases, now: datetime) -> None:
    with pytest.raises(SourceKeyTakenError):
        store_all(databases, [DRAFT, replace(DRAFT, subject_id="bora")], now)
    assert current(databases) == []


@pytest.mark.parametrize("round_number", range(3))
def test_batches_in_any_order_at_once_wait_for_each_other_and_store_each_once(
    databases: Databases, now: datetime, round_number: int
) -> None:
    """Half of the records are there before and are corrected, half of them are new."""
    count = 40
    drafts = [replace(DRAFT, source_key=f"source-{number}".encode()) for number in range(count)]
    store_all(databases, drafts[::2], now)
    corrected = [
        replace(draft, content_key=b"content-2", canonical=canonical({"bill": "2"})) for draft in drafts
    ]
    orders = [corrected, corrected[::-1], corrected[count // 2 :] + corrected[: count // 2]]
    barrier = Barrier(len(orders))

    def write(order: list[RecordDraft]) -> list[PutResult]:
        database = Database(databases.data_url)
        barrier.wait(timeout=120)
        with database.write() as session:
            results = put_all(session, {"c" * 32: KEY}, order, now)
        database.close()
        return results

    with ThreadPoolExecutor(len(orders)) as pool:
        outcomes = [result.outcome for written in pool.map(write, orders) for result in written]
    assert {outcome: outcomes.count(outcome) for outcome in set(outcomes)} == {
        "added": count // 2,
        "corrected": count // 2,
        "unchanged": 2 * count,
    }
    assert len(current(databases)) == count


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        ("2026-11-24", "2026-11-23", "outdated"),
        ("2026-11-23", "2026-11-23", "corrected"),
        ("2026-11-23", "2026-11-24", "corrected"),
        ("2026-11-23", None, "corrected"),
        (None, "2026-11-23", "corrected"),
    ],
)
def test_what_is_older_takes_nothing_back(
    databases: Databases, now: datetime, first: str | None, second: str | None, outcome: str
) -> None:
    changed = replace(DRAFT, content_key=b"content-2", canonical=canonical({"bill": "2"}), as_of=second)
    with databases.data.write() as session:
        put(session, KEY, replace(DRAFT, as_of=first), now)
        assert put(session, KEY, changed, now).outcome == outcome
    assert [sealed.identity.version for sealed in current(databases)] == [1 if outcome == "outdated" else 2]


def test_the_digest_is_of_the_ciphertext(databases: Databases, now: datetime) -> None:
    store(databases, DRAFT, now)
    sealed = current(databases)[0]
    assert sealed.ciphertext_digest == hashlib.sha256(sealed.ciphertext).digest()


@pytest.mark.parametrize("round_number", range(3))
def test_two_writers_never_make_the_same_version(
    databases: Databases, now: datetime, round_number: int
) -> None:
    workers, rounds = 4, 5
    barrier = Barrier(workers)

    def write(number: int) -> list[PutResult]:
        database = Database(databases.data_url)
        barrier.wait(timeout=120)
        results = []
        for turn in range(rounds):
            draft = replace(
                DRAFT,
                content_key=f"content-{number}-{turn}".encode(),
                canonical=canonical({"by": number, "turn": turn}),
            )
            with database.write() as session:
                results.append(put(session, KEY, draft, now))
        database.close()
        return results

    with ThreadPoolExecutor(workers) as pool:
        results = [result for written in pool.map(write, range(workers)) for result in written]
    assert sorted(result.version for result in results) == list(range(1, workers * rounds + 1))
    assert [result.outcome for result in results].count("added") == 1
    with databases.data.read() as session:
        stored = versions(session, "haneul", results[0].record_id)
    assert (
        len([open_record(KEY, sealed.identity, sealed.ciphertext) for sealed in stored]) == workers * rounds
    )


def test_no_plaintext_lies_in_the_database_files(sqlite_databases: Databases, now: datetime) -> None:
    store(sqlite_databases, DRAFT, now)
    folder = sqlite_databases.data.path.parent
    found = [
        path.name for path in folder.iterdir() if path.is_file() and CANARY.encode() in path.read_bytes()
    ]
    assert found == []


def test_no_plaintext_is_in_a_repr_or_an_error(sqlite_databases: Databases, now: datetime) -> None:
    store(sqlite_databases, DRAFT, now)
    with pytest.raises(SourceKeyTakenError) as caught:
        store(sqlite_databases, replace(DRAFT, subject_id="bora"), now)
    assert CANARY not in repr(DRAFT) + repr(caught.value) + repr(current(sqlite_databases))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=())), inner),
)


@given(st.dictionaries(st.text(), JSON))
def test_canonical_json_is_that_of_rfc_8785(data: dict[str, Any]) -> None:
    try:
        expected = rfc8785.dumps(data)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011 - whichever it is
            canonical(data)
    else:
        assert canonical(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        {"\U0001f600": 1, "\uffff": 2},  # sorts otherwise in UTF-8
        {"b": 1, "a": {"d": 1, "c": [True, None, "\x7f\x1f\u2028/<"]}},
        {"amount": 2**53 - 1, "less": -(2**53) + 1},
        {"fraction": 1.0},
    ],
)
def test_canonical_json_of_what_writers_differ_in(data: dict[str, Any]) -> None:
    assert canonical(data) == rfc8785.dumps(data)


@pytest.mark.parametrize("value", [2**53, "\ud800", float("nan"), b"bytes", {1: 2}])
def test_what_canonical_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical({"value": value})


@given(
    st.lists(st.text(max_size=4), min_size=5, max_size=5),
    st.lists(st.text(max_size=4), min_size=5, max_size=5),
)
def test_two_rows_share_a_context_only_if_they_are_one(one: list[str], two: list[str]) -> None:
    contexts = [
        record_context(RecordIdentity(parts[0], 1, parts[1], parts[2], parts[3], parts[4], 1))
        for parts in (one, two)
    ]
    assert (contexts[0] == contexts[1]) == (one == two)
