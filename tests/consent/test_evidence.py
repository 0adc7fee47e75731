"""Evidence: a detail that was changed, moved or opened under another key is always found out."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.evidence import Occurrence, evidence, open_detail, record_consent_event
from consent.ledger.entries import OPENING_BYTES, Entry, commit
from consent.ledger.events import Event
from consent.vocabulary import EventType
from tests.consent.office import RECIPIENT, Office
from vault.errors import TamperedError
from vault.seal import SealingKey, context_of, new_key, seal

NOW: Final = datetime(2026, 12, 1, tzinfo=UTC)
HANDLE: Final = "handle"
KEY: Final = new_key()
DETAIL: Final = {"grant_id": "g", "이름": ["가", 1, None]}
DETAILS: Final = st.dictionaries(
    st.text(max_size=5), st.one_of(st.text(), st.integers(-(2**53) + 1, 2**53 - 1), st.none()), max_size=4
)


def made(detail: dict[str, Any] | None = None, handle: str = HANDLE) -> Entry:
    return evidence(KEY, Occurrence(EventType.CONSENT_GIVEN, handle, NOW, detail=detail or DETAIL))


def opened(entry: Entry, key: SealingKey = KEY) -> dict[str, Any]:
    """As a reader opens it: by what the leaf says."""
    event = Event.from_leaf(entry.leaf())
    return open_detail(
        key, handle=event.handle, commitment=event.commitment, detail_sealed=entry.detail_sealed
    )


def resealed(entry: Entry, opening: bytes, detail: bytes) -> Entry:
    """The entry with another content, sealed properly by somebody who holds the audit key."""
    context = context_of("mydata/ledger/detail@v1", entry.handle, entry.commitment)
    return replace(entry, detail_sealed=seal(KEY, context, opening + detail))


# Found out


@given(place=st.integers(0), bit=st.integers(0, 7))
def test_one_flipped_bit_of_a_sealed_detail_is_found_out(place: int, bit: int) -> None:
    entry = made()
    sealed = bytearray(entry.detail_sealed)
    sealed[place % len(sealed)] ^= 1 << bit
    with pytest.raises(TamperedError):
        opened(replace(entry, detail_sealed=bytes(sealed)))


@given(keep=st.integers(0))
def test_a_detail_that_was_cut_is_found_out(keep: int) -> None:
    entry = made()
    with pytest.raises(TamperedError):
        opened(replace(entry, detail_sealed=entry.detail_sealed[: keep % len(entry.detail_sealed)]))


@given(place=st.integers(0, 31), bit=st.integers(0, 7))
def test_one_flipped_bit_of_a_commitment_is_found_out(place: int, bit: int) -> None:
    entry = made()
    commitment = bytearray(entry.commitment)
    commitment[place] ^= 1 << bit
    with pytest.raises(TamperedError):
        opened(replace(entry, commitment=bytes(commitment)))


@given(first=DETAILS, second=DETAILS)
def test_details_that_changed_places_are_found_out(first: dict[str, Any], second: dict[str, Any]) -> None:
    one, other = made(first), made(second)
    for swapped in (
        replace(one, detail_sealed=other.detail_sealed),
        replace(other, detail_sealed=one.detail_sealed),
    ):
        with pytest.raises(TamperedError):
            opened(swapped)


def test_a_detail_under_another_handle_or_key_is_found_out() -> None:
    with pytest.raises(TamperedError):
        opened(replace(made(), handle="another"))
    with pytest.raises(TamperedError):
        opened(made(), new_key())


@pytest.mark.parametrize("detail", [b"{}", b'{"grant_id":"h"}', b""])
def test_a_detail_that_was_resealed_does_not_open_the_commitment(detail: bytes) -> None:
    with pytest.raises(TamperedError):
        opened(resealed(made(), b"o" * OPENING_BYTES, detail))


def test_an_opening_of_another_length_opens_nothing() -> None:
    entry = made()
    with pytest.raises(TamperedError):
        opened(resealed(entry, b"short", b""))


# Said and not said


@given(detail=DETAILS)
def test_a_detail_comes_back_as_it_was(detail: dict[str, Any]) -> None:
    entry = evidence(KEY, Occurrence(EventType.CONSENT_GIVEN, HANDLE, NOW, detail=detail))
    assert opened(entry) == detail


def test_the_commitment_is_opened_by_what_is_sealed() -> None:
    entry = made()
    opening = b"o" * OPENING_BYTES
    again = replace(entry, commitment=commit(b"{}", opening))
    assert opened(resealed(again, opening, b"{}")) == {}


def test_the_same_detail_twice_has_two_commitments() -> None:
    assert made().commitment != made().commitment


def test_a_leaf_holds_the_facts_and_nothing_of_the_detail() -> None:
    occurrence = Occurrence(
        EventType.DELIVERY_REFUSED,
        HANDLE,
        NOW,
        recipient="r",
        purpose="p",
        facts={"reason": "no_place_left", "records": 2},
        detail={"bill": "20261110-0031"},
    )
    entry = evidence(KEY, occurrence)
    event = Event.from_leaf(entry.leaf())
    assert (event.type, event.at, event.handle) == (EventType.DELIVERY_REFUSED, NOW, HANDLE)
    assert (event.recipient, event.purpose, event.facts) == ("r", "p", occurrence.facts)
    assert event.commitment == entry.commitment
    assert b"20261110-0031" not in entry.leaf() + entry.detail_sealed


def test_an_event_of_a_consent_names_its_parties_and_its_change(office: Office) -> None:
    given_consent = office.agree()
    with office.work() as work:
        consent = office.consent(given_consent.grant_id)
        record_consent_event(
            work,
            office.keyring,
            consent,
            EventType.DELIVERY_ACKNOWLEDGED,
            detail={"delivery_id": "d"},
            now=office.clock(),
        )
    newest = office.timeline(given_consent.grant_id)[-1]
    assert (newest.type, newest.facts) == (EventType.DELIVERY_ACKNOWLEDGED, {"change": 1})
    assert newest.detail == {"grant_id": given_consent.grant_id, "delivery_id": "d"}
    assert consent.recipient_id == RECIPIENT
