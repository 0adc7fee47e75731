"""The life of a consent: every state with every event, who may do what, and what each step leaves behind."""

from datetime import timedelta
from functools import partial
from itertools import product
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from consent.errors import (
    ReceiptInvalidError,
    WrongStateError,
)
from consent.lifecycle import Given, expire, lock, withdraw
from consent.models import ConsentCompartment, Duty
from consent.outbox import DutyKind
from consent.states import replay
from consent.vocabulary import ConsentState, EventType
from tests.consent.office import Office, at_once, consent_in

STEPS: Final = (
    "give",
    "complete",
    "refuse",
    "pause",
    "resume",
    "withdraw",
    "revoke",
    "invalidate",
    "fulfil",
    "expire",
)
MOVES: Final = {
    (ConsentState.REQUESTED, "give"): ConsentState.GIVEN,
    (ConsentState.REQUESTED, "refuse"): ConsentState.REFUSED,
    (ConsentState.REQUESTED, "expire"): ConsentState.EXPIRED,
    (ConsentState.PARTIALLY_SIGNED, "complete"): ConsentState.GIVEN,
    (ConsentState.PARTIALLY_SIGNED, "refuse"): ConsentState.REFUSED,
    (ConsentState.PARTIALLY_SIGNED, "expire"): ConsentState.EXPIRED,
    (ConsentState.PARTIALLY_SIGNED, "withdraw"): ConsentState.WITHDRAWN,
    (ConsentState.GIVEN, "revoke"): ConsentState.REVOKED,
    (ConsentState.GIVEN, "invalidate"): ConsentState.INVALIDATED,
    (ConsentState.PAUSED, "revoke"): ConsentState.REVOKED,
    (ConsentState.PAUSED, "invalidate"): ConsentState.INVALIDATED,
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
    "complete": EventType.CONSENT_GIVEN,
    "revoke": EventType.CONSENT_REVOKED,
    "invalidate": EventType.CONSENT_INVALIDATED,
    "refuse": EventType.CONSENT_REFUSED,
    "pause": EventType.CONSENT_PAUSED,
    "resume": EventType.CONSENT_RESUMED,
    "withdraw": EventType.CONSENT_WITHDRAWN,
    "fulfil": EventType.CONSENT_FULFILLED,
    "expire": EventType.CONSENT_EXPIRED,
}
AGAIN: Final = {
    (ConsentState.WITHDRAWN, "withdraw"),
    (ConsentState.REVOKED, "revoke"),
    (ConsentState.INVALIDATED, "invalidate"),
    (ConsentState.PAUSED, "pause"),
    (ConsentState.GIVEN, "resume"),
}
IMPOSSIBLE: Final = [pair for pair in product(ConsentState, STEPS) if pair not in MOVES and pair not in AGAIN]


def take(office: Office, step: str, grant_id: str) -> None:
    getattr(office, step)(grant_id)


def duties(office: Office) -> list[Duty]:
    with office.installation.data.read() as session:
        return list(session.exec(select(Duty)))


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
    assert caught.value.state == state
    assert caught.value.event in {step, EVENT_OF_STEP[step]}
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
    assert newest.facts["change"] == after.change_count
    assert set(newest.facts) <= {"change", "access"}
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
    assert replay(event.type for event in timeline) == stored.state == expected
    assert [event.facts["change"] for event in timeline] == list(range(stored.change_count + 1))
    when = {event.type: event.at for event in timeline}
    assert stored.created_at == when[EventType.CONSENT_REQUESTED]
    assert stored.given_at == when.get(EventType.CONSENT_GIVEN)
    assert stored.ended_at == (None if not stored_has_ended(stored.state) else timeline[-1].at)


def stored_has_ended(state: str) -> bool:
    return state not in {ConsentState.REQUESTED, ConsentState.GIVEN, ConsentState.PAUSED}


# Ending


@pytest.mark.parametrize("step", ["withdraw", "fulfil", "expire"])
def test_an_end_takes_the_shares_away_and_owes_it_once_more(office: Office, step: str) -> None:
    given = office.agree()
    other = office.agree()
    take(office, step, given.grant_id)
    assert office.shares(given.grant_id) == set()
    assert office.shares(other.grant_id) == compartments(office, other)
    owed = [(duty.kind, duty.target, duty.done_at) for duty in duties(office)]
    assert owed.count((DutyKind.DESTROY_SHARES, given.grant_id, None)) == 1
    assert not any(other.grant_id in target for _, target, _ in owed)
    assert office.consent(given.grant_id).ended_at is not None


def test_an_end_that_is_rolled_back_leaves_consent_log_and_shares(office: Office) -> None:
    given = office.agree()
    shares, size = office.shares(given.grant_id), office.log_size()
    with pytest.raises(ReceiptInvalidError):
        withdraw_and_fail(office, given.grant_id)
    assert office.consent(given.grant_id).state == ConsentState.GIVEN
    assert (office.shares(given.grant_id), office.log_size(), duties(office)) == (shares, size, [])


def test_a_refusal_shares_nothing(office: Office) -> None:
    grant_id = consent_in(office, ConsentState.REFUSED)
    assert office.shares(grant_id) == set()
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
    assert [duty.kind for duty in duties(office)].count(DutyKind.DESTROY_SHARES) == 1


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
