"""`decide`: never a yes without a living consent, a place and the right request; too late stays too late."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.policy import (
    NEVER_DISCLOSED,
    ConsentFacts,
    Disclosed,
    PastDelivery,
    Permit,
    PullRequest,
    Refusal,
    access_refused,
    decide,
    is_news,
)
from consent.vocabulary import ConsentState, Reason
from tests.consent.details import BILL, POLICY, terms_with

FROM: Final = datetime(2026, 12, 1, tzinfo=UTC)
UNTIL: Final = FROM + timedelta(days=30)
NOON: Final = FROM + timedelta(days=1)
WINDOW: Final = timedelta(hours=24)
TERMS: Final = terms_with()
FACTS: Final = ConsentFacts(
    state=ConsentState.GIVEN,
    version_is_current=True,
    recipient_is_active=True,
    valid_from=FROM,
    valid_until=UNTIL,
    max_pulls=1,
    places_taken=0,
    last_place_at=None,
    redelivery_window=WINDOW,
)
ALL: Final = PullRequest(record_type=None, request_digest=b"all", past=None)
PAST: Final = PastDelivery("delivery", b"all", NOON)
AGAIN: Final = replace(ALL, past=PAST)
TAKEN: Final = replace(FACTS, places_taken=1, last_place_at=NOON)

INSTANTS: Final = st.datetimes(
    FROM.replace(tzinfo=None) - timedelta(days=2),
    UNTIL.replace(tzinfo=None) + timedelta(days=2),
    timezones=st.just(UTC),
)


@st.composite
def facts(draw: st.DrawFn) -> ConsentFacts:
    taken, limit = draw(st.integers(0, 3)), draw(st.integers(1, 3))
    return ConsentFacts(
        state=draw(st.one_of(st.just(ConsentState.GIVEN), st.sampled_from(ConsentState))),
        version_is_current=draw(st.integers(0, 9)) > 0,
        recipient_is_active=draw(st.integers(0, 9)) > 0,
        valid_from=FROM,
        valid_until=draw(INSTANTS.filter(lambda at: at > FROM)),
        max_pulls=limit,
        places_taken=min(taken, limit),
        last_place_at=draw(INSTANTS) if taken else None,
        redelivery_window=draw(st.sampled_from([timedelta(0), timedelta(hours=1), WINDOW])),
        pause_at=draw(st.one_of(st.none(), INSTANTS)),
    )


@st.composite
def requests(draw: st.DrawFn) -> PullRequest:
    past = PastDelivery("delivery", draw(st.sampled_from([b"all", b"one"])), draw(INSTANTS))
    return PullRequest(
        record_type=draw(st.sampled_from([None, BILL, POLICY, "health.prescription"])),
        request_digest=draw(st.sampled_from([b"all", b"one"])),
        past=draw(st.sampled_from([None, past])),
    )


REFUSED: Final = (
    (replace(FACTS, state=ConsentState.REQUESTED), ALL, NOON, Reason.CONSENT_REQUESTED),
    (replace(FACTS, state=ConsentState.REFUSED), ALL, NOON, Reason.CONSENT_REFUSED),
    (replace(FACTS, state=ConsentState.PAUSED), ALL, NOON, Reason.CONSENT_PAUSED),
    (replace(TAKEN, state=ConsentState.PAUSED), AGAIN, NOON, Reason.CONSENT_PAUSED),
    (replace(FACTS, state=ConsentState.PAUSED), ALL, UNTIL, Reason.CONSENT_EXPIRED),
    (replace(FACTS, pause_at=NOON), ALL, NOON, Reason.CONSENT_PAUSED),
    (replace(TAKEN, pause_at=NOON), AGAIN, NOON, Reason.CONSENT_PAUSED),
    (replace(FACTS, pause_at=NOON), ALL, UNTIL, Reason.CONSENT_EXPIRED),
    (replace(FACTS, state=ConsentState.FULFILLED), ALL, NOON, Reason.CONSENT_FULFILLED),
    (replace(FACTS, state=ConsentState.EXPIRED), ALL, NOON, Reason.CONSENT_EXPIRED),
    (replace(FACTS, state=ConsentState.WITHDRAWN), ALL, NOON, Reason.CONSENT_WITHDRAWN),
    (replace(TAKEN, state=ConsentState.WITHDRAWN), AGAIN, NOON, Reason.CONSENT_WITHDRAWN),
    (replace(FACTS, version_is_current=False), ALL, NOON, Reason.CONSENT_SUPERSEDED),
    (replace(FACTS, recipient_is_active=False), ALL, NOON, Reason.RECIPIENT_SUSPENDED),
    (FACTS, ALL, FROM - timedelta(microseconds=1), Reason.OUTSIDE_WINDOW),
    (FACTS, ALL, UNTIL, Reason.CONSENT_EXPIRED),
    (TAKEN, AGAIN, NOON + WINDOW, Reason.CONSENT_FULFILLED),
    (FACTS, replace(ALL, record_type="health.prescription"), NOON, Reason.ITEM_NOT_GRANTED),
    (TAKEN, ALL, NOON, Reason.NO_PLACE_LEFT),
    (TAKEN, replace(AGAIN, request_digest=b"other"), NOON, Reason.KEY_REUSED),
    (replace(TAKEN, max_pulls=2), AGAIN, NOON + WINDOW, Reason.OUTSIDE_WINDOW),
    (replace(TAKEN, max_pulls=2), replace(AGAIN, record_type="x"), NOON, Reason.ITEM_NOT_GRANTED),
)


@pytest.mark.parametrize(("given_facts", "request_", "now", "reason"), REFUSED)
def test_each_refusal_has_its_reason(
    given_facts: ConsentFacts, request_: PullRequest, now: datetime, reason: Reason
) -> None:
    assert decide(TERMS, given_facts, request_, now) == Refusal(reason)


def test_the_end_of_a_consent_is_told_before_what_else_is_wrong() -> None:
    worst = replace(TAKEN, state=ConsentState.WITHDRAWN, version_is_current=False, recipient_is_active=False)
    assert decide(TERMS, worst, replace(ALL, record_type="x"), UNTIL) == Refusal(Reason.CONSENT_WITHDRAWN)


@pytest.mark.parametrize("now", [FROM, NOON, UNTIL - timedelta(microseconds=1)])
def test_a_first_pull_inside_the_window_takes_the_first_place(now: datetime) -> None:
    assert decide(TERMS, FACTS, ALL, now) == Permit(items=TERMS.items, ordinal=1, past=None)


def test_one_record_type_is_that_item_alone() -> None:
    permit = decide(TERMS, FACTS, replace(ALL, record_type=POLICY), NOON)
    assert permit == Permit(items=(TERMS.items[1],), ordinal=1, past=None)


def test_the_next_pull_takes_the_next_place() -> None:
    permit = decide(TERMS, replace(TAKEN, max_pulls=3, places_taken=2), ALL, NOON)
    assert permit == Permit(items=TERMS.items, ordinal=3, past=None)


def test_the_same_key_with_the_same_request_is_delivered_again_without_a_place() -> None:
    permit = decide(TERMS, TAKEN, AGAIN, NOON + WINDOW - timedelta(microseconds=1))
    assert permit == Permit(items=TERMS.items, ordinal=None, past=PAST)


def test_a_consent_is_used_up_when_the_last_redelivery_window_is_over() -> None:
    assert not FACTS.is_used_up(UNTIL)
    assert not replace(TAKEN, max_pulls=2).is_used_up(UNTIL)
    assert not TAKEN.is_used_up(NOON + WINDOW - timedelta(microseconds=1))
    assert TAKEN.is_used_up(NOON + WINDOW)


@given(known=facts(), request_=requests(), now=INSTANTS)
def test_a_permit_needs_everything(known: ConsentFacts, request_: PullRequest, now: datetime) -> None:
    permit = decide(TERMS, known, request_, now)
    if isinstance(permit, Refusal):
        return
    assert known.state is ConsentState.GIVEN
    assert known.version_is_current
    assert known.recipient_is_active
    assert known.valid_from <= now < known.valid_until
    assert set(permit.items) <= set(TERMS.items)
    assert permit.items
    assert request_.record_type is None or [item.record_type for item in permit.items] == [
        request_.record_type
    ]
    if request_.past is None:
        assert permit.past is None
        assert permit.ordinal == known.places_taken + 1 <= known.max_pulls
    else:
        assert permit.ordinal is None
        assert permit.past == request_.past
        assert request_.past.request_digest == request_.request_digest
        assert now < request_.past.as_of + known.redelivery_window


@given(
    known=facts(), request_=requests(), now=INSTANTS, later=st.timedeltas(timedelta(0), timedelta(days=40))
)
def test_what_was_refused_stays_refused_as_time_goes_by(
    known: ConsentFacts, request_: PullRequest, now: datetime, later: timedelta
) -> None:
    if now < known.valid_from:
        return  # only a window that has not opened yet can turn a refusal into a yes
    if isinstance(decide(TERMS, known, request_, now), Refusal):
        assert isinstance(decide(TERMS, known, request_, now + later), Refusal)


@given(known=facts(), request_=requests(), now=INSTANTS)
def test_the_same_question_has_the_same_answer(
    known: ConsentFacts, request_: PullRequest, now: datetime
) -> None:
    assert decide(TERMS, known, request_, now) == decide(TERMS, replace(known), replace(request_), now)


@given(known=facts(), request_=requests(), now=INSTANTS)
def test_a_consent_that_opens_nothing_permits_nothing(
    known: ConsentFacts, request_: PullRequest, now: datetime
) -> None:
    reason = access_refused(known, now)
    if reason is not None:
        assert decide(TERMS, known, request_, now) == Refusal(reason)


@given(known=facts(), request_=requests(), now=INSTANTS)
def test_taking_a_place_never_makes_room(known: ConsentFacts, request_: PullRequest, now: datetime) -> None:
    fuller = replace(known, places_taken=known.places_taken + 1, last_place_at=known.last_place_at or now)
    if isinstance(decide(TERMS, known, request_, now), Refusal):
        assert isinstance(decide(TERMS, fuller, request_, now), Refusal)


# Periodic consents: something new, or the next cycle.

WEEKLY: Final = terms_with({"access.kind": "periodic", "access.cycle": "P1W", "access.max_pulls": 9})
PULLED: Final = replace(TAKEN, max_pulls=9)
WEEK: Final = timedelta(days=7)


@pytest.mark.parametrize(
    ("after", "needs_news"),
    [(timedelta(0), True), (WEEK - timedelta(microseconds=1), True), (WEEK, False), (2 * WEEK, False)],
)
def test_within_the_cycle_a_pull_needs_news(after: timedelta, *, needs_news: bool) -> None:
    permit = decide(WEEKLY, PULLED, ALL, NOON + after)
    assert permit == Permit(items=WEEKLY.items, ordinal=2, past=None, needs_news=needs_news)


def test_the_first_pull_and_a_repeated_one_need_no_news() -> None:
    first = decide(WEEKLY, replace(FACTS, max_pulls=9), ALL, NOON)
    again = decide(WEEKLY, PULLED, AGAIN, NOON)
    assert [permit.needs_news for permit in (first, again) if isinstance(permit, Permit)] == [False, False]


def test_a_periodic_consent_has_a_last_place_too() -> None:
    assert decide(WEEKLY, replace(PULLED, max_pulls=1), ALL, NOON) == Refusal(Reason.NO_PLACE_LEFT)


@pytest.mark.parametrize(
    ("disclosed", "now", "news"),
    [
        (NEVER_DISCLOSED, NOON, True),
        (Disclosed(1, NOON, is_acknowledged=True), NOON, False),
        (Disclosed(1, NOON, is_acknowledged=True), NOON + 10 * WINDOW, False),
        (Disclosed(1, NOON, is_acknowledged=False), NOON + WINDOW - timedelta(microseconds=1), False),
        (Disclosed(1, NOON, is_acknowledged=False), NOON + WINDOW, True),
        (Disclosed(2, NOON, is_acknowledged=False), NOON + WINDOW, False),
    ],
)
def test_what_was_delivered_and_lost_is_new_again(disclosed: Disclosed, now: datetime, *, news: bool) -> None:
    assert is_news(disclosed, WINDOW, now) is news
