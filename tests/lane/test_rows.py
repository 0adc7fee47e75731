"""What holds under the head's lock, and what becomes of what does not. Pure."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from broker.lane.pulls import Answer, NewDelivery, Proposal, Pull, Rechecked, choose
from broker.lane.rows import answers_of, entry_rows, found_of, pinned_rows
from consent.ledger.entries import Entry, plan_append
from vault.schema import to_microseconds

NOW = datetime(2026, 12, 1, tzinfo=UTC)
ENTRY = Entry("delivery.released", NOW, "handle", None, None, {}, b"c" * 32, b"sealed")


def proposal(token: bytes, *, version_id: str = "g.1", takes_place: bool = True) -> Proposal:
    delivery = NewDelivery(
        delivery_id=f"delivery of {token.decode()}",
        grant_id="g",
        version_id=version_id,
        subject_id="s",
        recipient_id="r",
        ordinal=1,
        places_since=1,
        key_digest=b"k",
        request_digest=b"q",
        payload_digest=b"p",
        nonce_sealed=b"n",
        record_count=2,
        as_of=NOW,
        pinned=(("one", 1), ("two", 3)),
    )
    return Proposal(
        pull=Pull(token, "jkt:key", b"proof of " + token, NOW, None, b"k", b"q"),
        grant_id="g",
        version_id=version_id,
        change_count=4,
        places_taken=0,
        token_is_revoked=False,
        entry=ENTRY,
        delivery=delivery if takes_place else None,
        answer=Answer(body=token),
    )


SAME = Rechecked(change_count=4, places_taken=0, token_is_revoked=False)


@pytest.mark.parametrize(
    "now_true",
    [
        replace(SAME, change_count=5),
        replace(SAME, places_taken=1),
        replace(SAME, token_is_revoked=True),
        None,
    ],
)
@pytest.mark.parametrize("takes_place", [True, False])
def test_what_was_overtaken_does_not_hold(now_true: Rechecked | None, takes_place: bool) -> None:  # noqa: FBT001 - a case
    overtaken = proposal(b"a", takes_place=takes_place)
    assert choose([overtaken], {} if now_true is None else {b"a": now_true}) == []
    assert answers_of([overtaken], [], set()) == [None]


def test_one_of_a_version_takes_a_place() -> None:
    first, second, other = proposal(b"a"), proposal(b"b"), proposal(b"c", version_id="h.1")
    assert choose([first, second, other], dict.fromkeys((b"a", b"b", b"c"), SAME)) == [first, other]


def test_what_takes_no_place_holds_beside_what_does() -> None:
    first, refused, repeated = (proposal(b"a"), *(proposal(t, takes_place=False) for t in (b"b", b"c")))
    assert choose([refused, first, repeated], dict.fromkeys((b"a", b"b", b"c"), SAME)) == [
        refused,
        first,
        repeated,
    ]


def test_answers_stand_in_the_order_of_the_proposals() -> None:
    good, overtaken, replayed = proposal(b"a"), proposal(b"b"), proposal(b"c", version_id="h.1")
    answers = answers_of([overtaken, good, replayed], [good, replayed], {good.pull.jti_digest})
    assert answers == [None, good.answer, Answer(is_replayed_proof=True)]


def test_entries_get_dense_indexes_from_the_heads_size_on() -> None:
    accepted = [proposal(b"a"), proposal(b"b")]
    leaves = [one.entry.leaf() for one in accepted]
    _, _, hashes = plan_append(0, b"", leaves)
    rows = entry_rows(accepted, 7, leaves, hashes)
    assert [row[0] for row in rows] == [7, 8]
    assert rows[0][1:] == ("handle", leaves[0], hashes[0], b"sealed", to_microseconds(NOW))


def test_every_pinned_version_has_a_row() -> None:
    delivery = proposal(b"a").delivery
    assert delivery is not None
    assert pinned_rows([delivery]) == [(delivery.delivery_id, "one", 1), (delivery.delivery_id, "two", 3)]


def test_the_order_of_records_is_not_the_databases() -> None:
    """A collation sorts "B" after "a", and another day otherwise; a pinned payload must not notice."""
    token: dict[str, Any] = {
        "kind": "access",
        "cnf": "jkt:key",
        "scope": "records.read",
        "expires_at": 1,
        "revoked_at": None,
        "auth_time": None,
        "acr": None,
        "grant_id": None,
    }
    record = {
        "version": 1,
        "compartment_id": "c",
        "holder_id": "h",
        "record_type": "t",
        "schema_revision": 1,
        "ciphertext": b"x",
        "ciphertext_digest": b"d",
        "disclosed_times": None,
        "disclosed_at": None,
        "is_acknowledged": None,
    }
    rows = [token | record | {"record_id": record_id} for record_id in ("a", "B", "_", "-", "1")]
    orders = {
        tuple(one.record_id for one in found_of(order).records)
        for order in (rows, rows[::-1], rows[2:] + rows[:2])
    }
    assert orders == {("-", "1", "B", "_", "a")}
