"""Amending a consent by proposal (consent/changing.py, consent/superseding.py; invariant 16)."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlmodel import select

from consent import changing
from consent.errors import (
    InvalidTermsError,
    NotFoundError,
    NoticeChangedError,
    RequiredItemMissingError,
    WrongStateError,
)
from consent.lifecycle import lock, pause_locked
from consent.models import ConsentChange, ConsentVersion, Duty
from consent.outbox import DutyKind
from consent.receipt_signature import verify_receipt
from consent.superseding import keeps_tokens
from consent.terms import Terms
from consent.vocabulary import ChangeState, ConsentState, EventType, StateReason, VersionKind
from tests.consent.changes import agreed, narrow_down, periodic, propose, sign, sign_with
from tests.consent.details import BILL, POLICY
from tests.consent.office import CLIENT, Office, at_once


def change(office: Office, change_id: str) -> ConsentChange:
    with office.installation.data.read() as session:
        return session.get_one(ConsentChange, change_id)


def refuse(office: Office, change_id: str, subject_id: str | None = None) -> None:
    with office.work() as work:
        changing.refuse_change(
            work, office.keyring, change_id, subject_id or office.subject_id, office.clock()
        )


# Proposing


@pytest.mark.parametrize("whose", ["subject_id", "client_id"])
def test_a_change_of_a_foreign_consent_is_as_unknown(sqlite_office: Office, whose: str) -> None:
    given = agreed(sqlite_office)
    before = sqlite_office.log_size()
    others = {"subject_id": sqlite_office.newcomer(), "client_id": "another"}
    with pytest.raises(NotFoundError):
        propose(sqlite_office, given.grant_id, periodic(), **{whose: others[whose]})
    with pytest.raises(NotFoundError):
        propose(sqlite_office, "unknown", periodic())
    assert sqlite_office.log_size() == before


def test_a_consent_keeps_its_purpose(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    with pytest.raises(InvalidTermsError):
        propose(sqlite_office, given.grant_id, periodic().model_copy(update={"purpose": "another.purpose"}))


@pytest.mark.parametrize("state", [ConsentState.REQUESTED, ConsentState.WITHDRAWN, ConsentState.FULFILLED])
def test_only_a_living_consent_can_be_changed(sqlite_office: Office, state: ConsentState) -> None:
    grant_id = sqlite_office.request(periodic())
    if state is not ConsentState.REQUESTED:
        sqlite_office.give(grant_id)
        getattr(sqlite_office, {"WITHDRAWN": "withdraw", "FULFILLED": "fulfil"}[state])(grant_id)
    with pytest.raises(WrongStateError):
        propose(sqlite_office, grant_id, periodic())


def test_until_it_is_signed_the_consent_stands_as_it_is(office: Office) -> None:
    given = agreed(office)
    before, shares = office.consent(given.grant_id), office.shares(given.grant_id)
    change_id = propose(office, given.grant_id, periodic({"retention.period": "P30D"}))
    assert office.consent(given.grant_id) == before
    assert office.shares(given.grant_id) == shares
    assert office.event_types(given.grant_id)[-1] == EventType.CHANGE_REQUESTED
    refuse(office, change_id)
    assert office.consent(given.grant_id) == before
    assert change(office, change_id).state == ChangeState.REFUSED
    assert office.event_types(given.grant_id)[-1] == EventType.CHANGE_REFUSED


def test_a_later_proposal_takes_the_place_of_an_earlier_one(office: Office) -> None:
    given = agreed(office)
    first = propose(office, given.grant_id, periodic({"retention.period": "P30D"}))
    second = propose(office, given.grant_id, periodic({"retention.period": "P20D"}))
    with pytest.raises(WrongStateError):
        sign(office, first)
    with pytest.raises(WrongStateError):
        refuse(office, first)
    assert sign(office, second).terms.retention.days == 20


# Reading


def test_a_proposal_is_its_persons_and_only_while_it_waits(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    asked = periodic({"retention.period": "P30D"})
    change_id = propose(sqlite_office, given.grant_id, asked)

    def read(subject_id: str) -> changing.Proposal:
        with sqlite_office.work() as work:
            return changing.proposal_of(
                work, sqlite_office.keyring, change_id, subject_id, sqlite_office.clock()
            )

    found = read(sqlite_office.subject_id)
    assert (found.terms, found.grant_id) == (asked, given.grant_id)
    with pytest.raises(NotFoundError):
        read(sqlite_office.newcomer())
    sqlite_office.clock.now = found.expires_at
    with pytest.raises(NotFoundError):
        read(sqlite_office.subject_id)


# Signing


def test_signing_supersedes_the_old_version_at_once(office: Office) -> None:
    given = agreed(office)
    change_id = propose(office, given.grant_id, periodic({"retention.period": "P30D", "access.max_pulls": 9}))
    changed = sign(office, change_id)
    consent = office.consent(given.grant_id)
    assert (consent.state, consent.version_number, consent.max_pulls) == (ConsentState.GIVEN, 2, 9)
    assert changed.version_id == f"{given.grant_id}.2"
    assert {version for version, _ in office.shares(given.grant_id)} == {changed.version_id}
    event = office.timeline(given.grant_id)[-1]
    assert event.type == EventType.CONSENT_AMENDED
    assert event.facts["version"] == 2
    assert event.detail["terms"] == changed.terms.to_detail()
    claims = verify_receipt(changed.receipt_jws, office.receipt_jwks())
    assert (claims["grant_id"], claims["version"]) == (given.grant_id, 2)
    with office.installation.data.read() as session:
        owed = {(duty.kind, duty.target) for duty in session.exec(select(Duty))}
    assert (DutyKind.RETIRE_SHARES, changed.version_id) in owed


def test_an_optional_item_may_be_left_off_and_a_required_one_may_not(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    change_id = propose(sqlite_office, given.grant_id, periodic())
    with pytest.raises(RequiredItemMissingError):
        sign(sqlite_office, change_id, frozenset({POLICY}))
    changed = sign(sqlite_office, change_id, frozenset({BILL}))
    assert [item.record_type for item in changed.terms.items] == [BILL]


def test_another_text_than_the_one_that_was_shown_is_not_signed(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    change_id = propose(sqlite_office, given.grant_id, periodic())
    signature = changing.ChangeSignature(
        change_id, sqlite_office.subject_id, frozenset({BILL}), b"another text", "ko"
    )
    with pytest.raises(NoticeChangedError):
        sign_with(sqlite_office, signature)
    assert change(sqlite_office, change_id).state == ChangeState.OPEN


def test_a_foreign_change_is_as_unknown(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    change_id = propose(sqlite_office, given.grant_id, periodic())
    digest = sqlite_office.purpose.notice_digest("ko")
    for name, subject_id in ((change_id, sqlite_office.newcomer()), ("unknown", sqlite_office.subject_id)):
        with pytest.raises(NotFoundError):
            sign_with(
                sqlite_office,
                changing.ChangeSignature(name, subject_id, frozenset({BILL}), digest, "ko"),
            )
    with pytest.raises(NotFoundError):
        refuse(sqlite_office, change_id, sqlite_office.newcomer())


def test_what_has_changed_or_ended_meanwhile_is_not_amended(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    change_id = propose(sqlite_office, given.grant_id, periodic())
    with sqlite_office.work() as work:
        lock(work, given.grant_id).version_number += 1
    with pytest.raises(WrongStateError):
        sign(sqlite_office, change_id)
    sqlite_office.withdraw(given.grant_id)
    with pytest.raises(WrongStateError):
        sign(sqlite_office, change_id)


@pytest.mark.parametrize("reason", [StateReason.RECONSENT, StateReason.RECIPIENT_SUSPENDED])
def test_what_others_paused_is_not_amended(sqlite_office: Office, reason: StateReason) -> None:
    given = agreed(sqlite_office)
    change_id = propose(sqlite_office, given.grant_id, periodic())
    with sqlite_office.work() as work:
        pause_locked(work, sqlite_office.keyring, lock(work, given.grant_id), reason, sqlite_office.clock())
    with pytest.raises(WrongStateError):
        sign(sqlite_office, change_id)


def test_signing_and_stopping_at_once_leaves_no_share(office: Office) -> None:
    given = agreed(office)
    change_id = propose(office, given.grant_id, periodic({"retention.period": "P30D"}))
    outcomes = at_once(partial(sign, office, change_id), partial(office.withdraw, given.grant_id))
    assert outcomes[1] == "done"
    assert outcomes[0] in {"done", "WrongStateError"}
    assert office.consent(given.grant_id).state == ConsentState.WITHDRAWN
    assert office.shares(given.grant_id) == set()


def test_of_two_signatures_at_once_one_makes_a_version(office: Office) -> None:
    given = agreed(office)
    change_id = propose(office, given.grant_id, periodic({"retention.period": "P30D"}))
    outcomes = at_once(*[partial(sign, office, change_id)] * 2)
    assert sorted(outcomes) == ["WrongStateError", "done"]
    assert office.consent(given.grant_id).version_number == 2


# Time


@pytest.mark.parametrize("ending", ["time", "consent"])
def test_a_change_ends_with_its_time_and_with_its_consent(office: Office, ending: str) -> None:
    given = agreed(office)
    change_id = propose(office, given.grant_id, periodic())
    if ending == "consent":
        office.withdraw(given.grant_id)
    else:
        office.clock.advance(timedelta(hours=2))
        with pytest.raises(WrongStateError):
            sign(office, change_id)

    def close() -> int:
        with office.work() as work:
            consent = lock(work, given.grant_id)
            return changing.expire_changes(work, office.keyring, consent, office.clock())

    assert [close(), close()] == [1, 0]
    assert change(office, change_id).state == ChangeState.EXPIRED
    assert office.event_types(given.grant_id)[-1] == EventType.CHANGE_EXPIRED


def test_a_change_that_waits_does_not_expire(sqlite_office: Office) -> None:
    given = agreed(sqlite_office)
    propose(sqlite_office, given.grant_id, periodic())
    with sqlite_office.work() as work:
        consent = lock(work, given.grant_id)
        ended: Any = changing.expire_changes(work, sqlite_office.keyring, consent, sqlite_office.clock())
    assert ended == 0


def test_a_refresh_token_outlives_only_what_gave_nothing_more() -> None:
    assert keeps_tokens([VersionKind.RENEWAL, VersionKind.NARROWING, VersionKind.RECONSENT])
    assert not keeps_tokens([VersionKind.RENEWAL, VersionKind.AMENDMENT])


# Merging


def propose_merge(office: Office, grant_id: str, asked: Terms, **others: Any) -> str:  # noqa: ANN401 - who
    whose = {"subject_id": office.subject_id, "client_id": CLIENT, **others}
    with office.work() as work:
        return changing.propose_merge(
            work,
            office.keyring,
            grant_id,
            **whose,
            asked=asked,
            purpose=office.purpose,
            catalogue=office.installation.catalogue,
            expires_at=office.clock() + timedelta(hours=1),
            now=office.clock(),
        )


def only(terms: Terms, record_type: str) -> Terms:
    items = tuple(item for item in terms.items if item.record_type == record_type)
    return terms.model_copy(update={"items": items})


@pytest.mark.parametrize("whose", ["subject_id", "client_id"])
def test_nothing_is_merged_into_a_foreign_consent(sqlite_office: Office, whose: str) -> None:
    given = agreed(sqlite_office)
    others = {"subject_id": sqlite_office.newcomer(), "client_id": "another"}
    with pytest.raises(NotFoundError):
        propose_merge(sqlite_office, given.grant_id, periodic(), **{whose: others[whose]})


def test_nothing_is_merged_into_what_has_ended_or_was_never_given(sqlite_office: Office) -> None:
    asked = sqlite_office.request(periodic())
    ended = agreed(sqlite_office).grant_id
    sqlite_office.withdraw(ended)
    for grant_id in (asked, ended):
        with pytest.raises(WrongStateError):
            propose_merge(sqlite_office, grant_id, periodic())


@pytest.mark.parametrize(
    ("changes", "path"),
    [({"holders": ["another"]}, "holders"), ({"access.valid_until": "2029-01-01T00:00:00Z"}, "access")],
)
def test_a_merge_that_is_no_whole_or_beyond_the_purpose_is_refused(
    sqlite_office: Office, changes: dict[str, Any], path: str
) -> None:
    given = sqlite_office.agree(periodic(), granted=(BILL,))
    before = sqlite_office.log_size()
    with pytest.raises(InvalidTermsError) as refused:
        propose_merge(sqlite_office, given.grant_id, periodic(changes))
    assert any(fault.startswith(path) for fault, _ in refused.value.faults)
    assert sqlite_office.log_size() == before


def test_a_merge_that_is_signed_allows_both_and_ends_the_tokens(office: Office) -> None:
    given = office.agree(periodic(), granted=(BILL,))
    asked = only(periodic(), POLICY)
    change_id = propose_merge(office, given.grant_id, asked)
    with office.work() as work:
        proposal = changing.proposal_of(work, office.keyring, change_id, office.subject_id, office.clock())
    assert [item.record_type for item in proposal.terms.items] == [BILL, POLICY]
    changed = sign(office, change_id)
    assert changed.terms == periodic()
    assert changed.version_id == f"{given.grant_id}.2"
    with office.installation.data.read() as session:
        kind = session.get_one(ConsentVersion, changed.version_id).kind
    assert kind == VersionKind.AMENDMENT
    assert not keeps_tokens([kind])


def test_a_merge_takes_what_stands_at_that_moment(sqlite_office: Office) -> None:
    """What the person has taken away since the request was pushed does not come back with it."""
    given = agreed(sqlite_office)
    narrow_down(sqlite_office, given.grant_id)
    change_id = propose_merge(sqlite_office, given.grant_id, only(periodic(), BILL))
    signed = sign(sqlite_office, change_id, frozenset({BILL}))
    assert [item.record_type for item in signed.terms.items] == [BILL]
