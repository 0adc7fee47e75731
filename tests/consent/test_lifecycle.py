"""The life of a consent: every state with every event, who may do what, and what each step leaves behind."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import product
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from consent.collection import VALID_FOR, unlink
from consent.errors import (
    InvalidTermsError,
    NoHolderError,
    NotFoundError,
    NoticeChangedError,
    ReceiptInvalidError,
    RequiredItemMissingError,
    UnknownOrganisationError,
    WrongStateError,
)
from consent.lifecycle import Given, Signature, expire, lock, withdraw
from consent.models import ConsentCompartment, ConsentVersion, Duty
from consent.organisations import suspend
from consent.outbox import DutyKind
from consent.purposes import Purpose
from consent.receipt_signature import verify_receipt
from consent.terms import Terms
from consent.versions import open_terms
from consent.vocabulary import ConsentState, EventType
from tests.consent.details import ABSENT, BILL, HOSPITAL, POLICY, REGISTER, terms_with
from tests.consent.office import RECIPIENT, Office, at_once, consent_in
from vault.errors import ErasedError

STEPS: Final = ("give", "refuse", "pause", "resume", "withdraw", "fulfil", "expire")
MOVES: Final = {
    (ConsentState.REQUESTED, "give"): ConsentState.GIVEN,
    (ConsentState.REQUESTED, "refuse"): ConsentState.REFUSED,
    (ConsentState.REQUESTED, "expire"): ConsentState.EXPIRED,
    (ConsentState.GIVEN, "pause"): ConsentState.PAUSED,
    (ConsentState.PAUSED, "resume"): ConsentState.GIVEN,
    (ConsentState.PAUSED, "withdraw"): ConsentState.WITHDRAWN,
    (ConsentState.PAUSED, "expire"): ConsentState.EXPIRED,
    (ConsentState.GIVEN, "withdraw"): ConsentState.WITHDRAWN,
    (ConsentState.GIVEN, "fulfil"): ConsentState.FULFILLED,
    (ConsentState.GIVEN, "expire"): ConsentState.EXPIRED,
    (ConsentState.FULFILLED, "withdraw"): ConsentState.WITHDRAWN,
    (ConsentState.EXPIRED, "withdraw"): ConsentState.WITHDRAWN,
}
EVENT_OF_STEP: Final = {
    "give": EventType.CONSENT_GIVEN,
    "refuse": EventType.CONSENT_REFUSED,
    "pause": EventType.CONSENT_PAUSED,
    "resume": EventType.CONSENT_RESUMED,
    "withdraw": EventType.CONSENT_WITHDRAWN,
    "fulfil": EventType.CONSENT_FULFILLED,
    "expire": EventType.CONSENT_EXPIRED,
}
STATE_AFTER: Final = {
    EventType.CONSENT_REQUESTED: ConsentState.REQUESTED,
    EventType.CONSENT_GIVEN: ConsentState.GIVEN,
    EventType.CONSENT_REFUSED: ConsentState.REFUSED,
    EventType.CONSENT_PAUSED: ConsentState.PAUSED,
    EventType.CONSENT_RESUMED: ConsentState.GIVEN,
    EventType.CONSENT_FULFILLED: ConsentState.FULFILLED,
    EventType.CONSENT_EXPIRED: ConsentState.EXPIRED,
    EventType.CONSENT_WITHDRAWN: ConsentState.WITHDRAWN,
}
AGAIN: Final = {
    (ConsentState.WITHDRAWN, "withdraw"),
    (ConsentState.PAUSED, "pause"),
    (ConsentState.GIVEN, "resume"),
}
IMPOSSIBLE: Final = [pair for pair in product(ConsentState, STEPS) if pair not in MOVES and pair not in AGAIN]


def take(office: Office, step: str, grant_id: str) -> None:
    getattr(office, step)(grant_id)


def signature_for(office: Office, grant_id: str) -> Signature:
    digest = office.purpose.notice_digest("ko")
    return Signature(grant_id, office.subject_id, frozenset({BILL, POLICY}), digest, "ko")


def duties(office: Office) -> list[Duty]:
    with office.installation.data.read() as session:
        return list(session.exec(select(Duty)))


def version(office: Office, version_id: str) -> ConsentVersion:
    with office.installation.data.read() as session:
        return session.get_one(ConsentVersion, version_id)


def compartments(office: Office, given: Given) -> set[tuple[str, str]]:
    with office.installation.data.read() as session:
        rows = session.exec(select(ConsentCompartment)).all()
    return {(row.version_id, row.compartment_id) for row in rows if row.version_id == given.version_id}


def fail_to_sign(_: object) -> str:
    raise ReceiptInvalidError


def withdraw_and_fail(office: Office, grant_id: str) -> None:
    with office.work() as work:
        withdraw(work, office.keyring, grant_id, office.subject_id, office.clock())
        fail_to_sign(None)


# The state machine


@pytest.mark.parametrize(("state", "step"), IMPOSSIBLE)
def test_a_step_that_the_state_does_not_have_changes_nothing(
    sqlite_office: Office, state: ConsentState, step: str
) -> None:
    grant_id = consent_in(sqlite_office, state)
    before, size = sqlite_office.consent(grant_id), sqlite_office.log_size()
    shares, owed = sqlite_office.shares(grant_id), len(duties(sqlite_office))
    with pytest.raises(WrongStateError) as caught:
        take(sqlite_office, step, grant_id)
    assert (caught.value.state, caught.value.event) == (state, step)
    assert sqlite_office.consent(grant_id) == before
    assert (sqlite_office.log_size(), len(duties(sqlite_office))) == (size, owed)
    assert sqlite_office.shares(grant_id) == shares


@pytest.mark.parametrize(("state", "step"), list(MOVES))
def test_a_step_moves_the_state_raises_the_count_and_puts_one_event_into_the_log(
    office: Office, state: ConsentState, step: str
) -> None:
    grant_id = consent_in(office, state)
    before, size = office.consent(grant_id), office.log_size()
    take(office, step, grant_id)
    after = office.consent(grant_id)
    assert after.state == MOVES[state, step]
    assert after.change_count == before.change_count + 1
    assert office.log_size() == size + 1
    newest = office.timeline(grant_id)[-1]
    assert newest.type == EVENT_OF_STEP[step]
    assert newest.facts == {"change": after.change_count}
    assert newest.detail["grant_id"] == grant_id


@pytest.mark.parametrize(("state", "step"), sorted(AGAIN))
def test_the_same_step_a_second_time_changes_nothing(office: Office, state: ConsentState, step: str) -> None:
    grant_id = consent_in(office, state)
    before, size, owed = office.consent(grant_id), office.log_size(), len(duties(office))
    office.clock.advance(timedelta(days=1))
    take(office, step, grant_id)
    assert office.consent(grant_id) == before
    assert (office.log_size(), len(duties(office))) == (size, owed)


def test_a_window_that_is_not_over_cannot_expire(sqlite_office: Office) -> None:
    given = sqlite_office.agree()
    early = sqlite_office.consent(given.grant_id).valid_until - timedelta(microseconds=1)
    with pytest.raises(WrongStateError), sqlite_office.work() as work:
        expire(work, sqlite_office.keyring, lock(work, given.grant_id), early)
    assert sqlite_office.consent(given.grant_id).state == ConsentState.GIVEN


@pytest.mark.parametrize(("state", "step"), [("GIVEN", "pause"), ("PAUSED", "resume")])
def test_after_its_window_a_consent_is_neither_paused_nor_resumed(
    office: Office, state: str, step: str
) -> None:
    grant_id = consent_in(office, ConsentState(state))
    office.clock.now = office.consent(grant_id).valid_until
    with pytest.raises(WrongStateError):
        take(office, step, grant_id)
    assert office.consent(grant_id).state == state


def test_a_pause_keeps_the_shares(office: Office) -> None:
    grant_id = consent_in(office, ConsentState.GIVEN)
    shares = office.shares(grant_id)
    office.pause(grant_id)
    assert office.shares(grant_id) == shares != set()
    office.resume(grant_id)
    assert office.shares(grant_id) == shares


def test_a_request_that_nobody_answered_has_nothing_to_withdraw(office: Office) -> None:
    grant_id = office.request()
    office.expire(grant_id)
    before, size = office.consent(grant_id), office.log_size()
    for step in ("give", "refuse", "withdraw", "expire"):
        with pytest.raises(WrongStateError):
            take(office, step, grant_id)
    assert (office.consent(grant_id), office.log_size()) == (before, size)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(STEPS), max_size=6))
def test_replaying_the_log_gives_the_stored_consent(sqlite_office: Office, steps: list[str]) -> None:
    grant_id = sqlite_office.request()
    expected = ConsentState.REQUESTED
    for step in steps:
        sqlite_office.clock.advance(timedelta(seconds=1))
        try:
            take(sqlite_office, step, grant_id)
        except WrongStateError:
            assert (expected, step) not in MOVES or sqlite_office.consent(grant_id).given_at is None
        else:
            expected = MOVES.get((expected, step), expected)
    stored, timeline = sqlite_office.consent(grant_id), sqlite_office.timeline(grant_id)
    replayed = [STATE_AFTER[EventType(event.type)] for event in timeline]
    assert replayed[0] == ConsentState.REQUESTED
    assert replayed[-1] == stored.state == expected
    assert [event.facts["change"] for event in timeline] == list(range(stored.change_count + 1))
    when = {event.type: event.at for event in timeline}
    assert stored.created_at == when[EventType.CONSENT_REQUESTED]
    assert stored.given_at == when.get(EventType.CONSENT_GIVEN)
    assert stored.ended_at == (None if not stored_has_ended(stored.state) else timeline[-1].at)


def stored_has_ended(state: str) -> bool:
    return state not in {ConsentState.REQUESTED, ConsentState.GIVEN, ConsentState.PAUSED}


# What cannot be given


def test_signing_another_text_is_refused(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    signature = signature_for(sqlite_office, grant_id)
    for wrong in (replace(signature, notice_digest=b"x" * 32), replace(signature, language="en")):
        with pytest.raises(NoticeChangedError):
            sqlite_office.sign(wrong)
    assert sqlite_office.consent(grant_id).state == ConsentState.REQUESTED


def test_a_notice_that_changed_after_it_was_shown_is_refused(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    raw = sqlite_office.purpose.model_dump(mode="json")
    revised = Purpose.model_validate(raw | {"notice": raw["notice"] | {"revision": "2026-12-24"}})
    with pytest.raises(NoticeChangedError):
        sqlite_office.sign(signature_for(sqlite_office, grant_id), purpose=revised)


def test_the_text_of_another_purpose_is_refused(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    other = sqlite_office.purpose.model_copy(update={"code": "insurance.other"})
    signature = replace(signature_for(sqlite_office, grant_id), notice_digest=other.notice_digest("ko"))
    with pytest.raises(NoticeChangedError):
        sqlite_office.sign(signature, purpose=other)


def test_a_required_item_cannot_be_left_off(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    for granted in ([POLICY], []):
        with pytest.raises(RequiredItemMissingError) as caught:
            sqlite_office.give(grant_id, granted)
        assert caught.value.record_types == [BILL]
    assert sqlite_office.consent(grant_id).state == ConsentState.REQUESTED


def test_nothing_that_was_not_asked_for_can_be_given(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    with pytest.raises(InvalidTermsError):
        sqlite_office.give(grant_id, [BILL, POLICY, "resident.household"])


def test_a_request_whose_window_is_over_cannot_be_given(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    sqlite_office.clock.now = sqlite_office.consent(grant_id).valid_until
    with pytest.raises(WrongStateError):
        sqlite_office.give(grant_id)


def test_a_holder_that_was_suspended_meanwhile_is_refused(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    with sqlite_office.work() as work:
        suspend(work.session, HOSPITAL)
    with pytest.raises(UnknownOrganisationError) as caught:
        sqlite_office.give(grant_id)
    assert caught.value.organisation_ids == [HOSPITAL]


@pytest.mark.parametrize("step", ["refuse", "withdraw", "give"])
def test_a_foreign_consent_is_as_unknown(office: Office, step: str) -> None:
    given = office.agree() if step == "withdraw" else None
    grant_id = office.request() if given is None else given.grant_id
    stranger = replace(office, subject_id=office.newcomer())
    before = office.consent(grant_id)
    answers = []
    for asked in (grant_id, "no-such-consent"):
        with pytest.raises(NotFoundError) as caught:
            take(stranger, step, asked)
        answers.append(caught.value.args)
    assert answers[0] == answers[1]
    assert office.consent(grant_id) == before


def test_a_person_who_was_erased_cannot_be_asked(sqlite_office: Office) -> None:
    sqlite_office.keyring.erase_subject(sqlite_office.subject_id, sqlite_office.clock())
    with pytest.raises(ErasedError):
        sqlite_office.request()


def test_a_receipt_that_cannot_be_signed_leaves_no_consent(office: Office) -> None:
    grant_id = office.request()
    with pytest.raises(ReceiptInvalidError):
        office.sign(signature_for(office, grant_id), sign_receipt=fail_to_sign)
    assert office.event_types(grant_id) == [EventType.CONSENT_REQUESTED]
    assert office.consent(grant_id).version_number == 0


def test_what_an_attempt_that_failed_had_shared_does_not_outlive_the_next_one(office: Office) -> None:
    grant_id = office.request()
    with pytest.raises(ReceiptInvalidError):
        office.sign(signature_for(office, grant_id), sign_receipt=fail_to_sign)
    given = office.give(grant_id, [BILL])
    assert office.shares(grant_id) == compartments(office, given)


# What giving makes


def test_a_request_keeps_what_was_asked_and_opens_nothing(office: Office) -> None:
    terms = terms_with()
    grant_id = office.request(terms)
    consent = office.consent(grant_id)
    asked = version(office, f"{grant_id}.0")
    assert (consent.state, consent.change_count, consent.version_number) == (ConsentState.REQUESTED, 0, 0)
    assert (consent.valid_from, consent.valid_until) == (terms.access.valid_from, terms.access.valid_until)
    assert open_terms(office.keyring, office.subject_id, asked) == terms
    assert asked.terms_digest == keyed_digest(office, terms)
    assert asked.receipt_sealed is None
    assert office.shares(grant_id) == set()


def test_giving_makes_a_share_for_every_granted_item_of_every_named_holder(office: Office) -> None:
    given = office.agree(granted=[BILL])
    expected = {
        (given.version_id, office.keyring.compartment_id(office.subject_id, holder, BILL))
        for holder in (HOSPITAL, REGISTER)
    }
    assert office.shares(given.grant_id) == compartments(office, given) == expected


def test_without_named_holders_the_linked_ones_are_shared(office: Office) -> None:
    office.clock.advance(-VALID_FOR)
    office.link(REGISTER, "over")
    office.clock.advance(VALID_FOR)
    office.link(HOSPITAL, "1")
    office.link(HOSPITAL, "2")
    ended = office.link(REGISTER, "1")
    with office.work() as work:
        unlink(work, office.keyring, ended, office.subject_id, office.clock())
    given = office.give(office.request(terms_with({"holders": ABSENT})), [BILL], holders=[HOSPITAL])
    expected = {(given.version_id, office.keyring.compartment_id(office.subject_id, HOSPITAL, BILL))}
    assert office.shares(given.grant_id) == compartments(office, given) == expected
    assert given.terms.holders == (HOSPITAL,)


@pytest.mark.parametrize("shown", [[], [HOSPITAL], [HOSPITAL, REGISTER, "another"]])
def test_other_holders_than_were_shown_are_not_agreed_to(sqlite_office: Office, shown: list[str]) -> None:
    sqlite_office.link(HOSPITAL, "1")
    sqlite_office.link(REGISTER, "1")
    grant_id = sqlite_office.request(terms_with({"holders": ABSENT}))
    with pytest.raises(NoticeChangedError):
        sqlite_office.give(grant_id, [BILL], holders=shown)
    assert sqlite_office.consent(grant_id).state == ConsentState.REQUESTED


def test_a_consent_over_nothing_is_not_given(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request(terms_with({"holders": ABSENT}))
    with pytest.raises(NoHolderError):
        sqlite_office.give(grant_id, [BILL])
    assert sqlite_office.consent(grant_id).state == ConsentState.REQUESTED


def test_a_suspended_recipient_is_not_agreed_with(sqlite_office: Office) -> None:
    grant_id = sqlite_office.request()
    with sqlite_office.work() as work:
        suspend(work.session, RECIPIENT)
    with pytest.raises(UnknownOrganisationError):
        sqlite_office.give(grant_id, [BILL])


def keyed_digest(office: Office, terms: Terms) -> bytes:
    return office.keyring.index("consent.terms", terms.canonical().decode())


def test_giving_keeps_the_narrowed_terms_beside_what_was_asked(office: Office) -> None:
    given = office.agree(granted=[BILL])
    agreed, asked = version(office, given.version_id), version(office, f"{given.grant_id}.0")
    opened = open_terms(office.keyring, office.subject_id, agreed)
    assert opened == given.terms
    assert [item.record_type for item in opened.items] == [BILL]
    assert agreed.terms_digest == keyed_digest(office, given.terms) != asked.terms_digest
    assert agreed.terms_digest != given.terms.digest()
    assert open_terms(office.keyring, office.subject_id, asked) == terms_with()


def test_the_receipt_says_what_was_agreed(office: Office) -> None:
    given = office.agree(granted=[BILL])
    claims = verify_receipt(given.receipt_jws, office.receipt_jwks())
    assert claims["grant_id"] == given.grant_id
    assert claims["version"] == 1
    assert claims["terms"] == given.terms.to_detail()
    assert claims["holders"] == sorted([HOSPITAL, REGISTER])
    assert claims["notice"]["sha256"] == office.purpose.notice_digest("ko").hex()
    assert office.subject_id not in str(claims)


def test_the_event_of_giving_holds_the_terms_sealed_and_not_in_its_facts(office: Office) -> None:
    given = office.agree()
    event = office.timeline(given.grant_id)[-1]
    assert event.detail["terms"] == given.terms.to_detail()
    assert event.detail["notice"] == office.purpose.notice_digest("ko").hex()
    assert event.facts == {"change": 1}


# Ending


@pytest.mark.parametrize("step", ["withdraw", "fulfil", "expire"])
def test_an_end_takes_the_shares_away_and_owes_it_once_more(office: Office, step: str) -> None:
    given = office.agree()
    other = office.agree()
    take(office, step, given.grant_id)
    assert office.shares(given.grant_id) == set()
    assert office.shares(other.grant_id) == compartments(office, other)
    assert [(duty.kind, duty.target, duty.done_at) for duty in duties(office)] == [
        (DutyKind.DESTROY_SHARES, given.grant_id, None)
    ]
    assert office.consent(given.grant_id).ended_at is not None


def test_an_end_that_is_rolled_back_leaves_consent_log_and_shares(office: Office) -> None:
    given = office.agree()
    shares, size = office.shares(given.grant_id), office.log_size()
    with pytest.raises(ReceiptInvalidError):
        withdraw_and_fail(office, given.grant_id)
    assert office.consent(given.grant_id).state == ConsentState.GIVEN
    assert (office.shares(given.grant_id), office.log_size(), duties(office)) == (shares, size, [])


def test_a_refusal_shares_nothing_and_owes_nothing(office: Office) -> None:
    grant_id = consent_in(office, ConsentState.REFUSED)
    assert (office.shares(grant_id), duties(office)) == (set(), [])
    assert office.consent(grant_id).ended_at == office.clock()


# At the same time


@pytest.mark.parametrize(
    ("state", "first", "second"),
    [
        (ConsentState.REQUESTED, "give", "give"),
        (ConsentState.REQUESTED, "give", "refuse"),
        (ConsentState.REQUESTED, "refuse", "refuse"),
        (ConsentState.REQUESTED, "refuse", "expire"),
        (ConsentState.REQUESTED, "expire", "expire"),
        (ConsentState.GIVEN, "fulfil", "fulfil"),
        (ConsentState.GIVEN, "fulfil", "expire"),
    ],
)
def test_of_two_steps_at_once_one_happens(
    office: Office, state: ConsentState, first: str, second: str
) -> None:
    office.sign_receipt({})  # the receipt key is there
    grant_id = consent_in(office, state)
    before = office.event_types(grant_id)
    outcomes = at_once(*(partial(take, office, step, grant_id) for step in (first, second)))
    assert sorted(outcomes) == ["WrongStateError", "done"]
    winner = (first, second)[outcomes.index("done")]
    assert office.consent(grant_id).state == MOVES[state, winner]
    assert office.event_types(grant_id) == [*before, EVENT_OF_STEP[winner]]


def test_withdrawing_in_many_threads_is_one_withdrawal(office: Office) -> None:
    given = office.agree()
    outcomes = at_once(*[partial(office.withdraw, given.grant_id)] * 4)
    assert outcomes == ["done"] * 4
    assert office.event_types(given.grant_id)[2:] == [EventType.CONSENT_WITHDRAWN]
    assert office.consent(given.grant_id).change_count == 2
    assert len(duties(office)) == 1


def test_withdrawing_while_giving_leaves_no_share_behind(office: Office) -> None:
    office.sign_receipt({})
    grant_id = office.request()
    outcomes = at_once(partial(office.give, grant_id), partial(office.withdraw, grant_id))
    state = office.consent(grant_id).state
    assert outcomes[0] == "done"
    if outcomes[1] == "done":
        assert (state, office.shares(grant_id)) == (ConsentState.WITHDRAWN, set())
    else:
        assert state == ConsentState.GIVEN
        assert len(office.shares(grant_id)) == 4
