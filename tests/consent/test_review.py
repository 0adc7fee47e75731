"""Decisions that a person looks at again: who may ask, once each, and which decision may then follow."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import pytest
from sqlmodel import select

from consent.delivery import DecisionReceipt, receive_decision
from consent.errors import AlreadyDecidedError, DecisionReplacedError, NotFoundError
from consent.models import Duty
from consent.outbox import DutyKind
from consent.reading import DecisionView, TimelineEvent, consent_of
from consent.review import ReviewReceipt, ask_for_review, reviews_of
from consent.vocabulary import ConsentState, EventType
from tests.consent.details import HOSPITAL, terms_with
from tests.consent.office import RECIPIENT, Office, at_once
from vault.errors import ErasedError, UnknownKeyError

APPROVED: Final[dict[str, Any]] = {"status": "approved", "payable": 114200}
WAITING: Final[dict[str, Any]] = {"status": "review", "payable": 0}
REJECTED: Final[dict[str, Any]] = {"status": "rejected", "payable": 0}


def decide(
    office: Office, delivery_id: str, body: dict[str, Any] = APPROVED, by: str = RECIPIENT
) -> DecisionReceipt:
    with office.work() as work:
        return receive_decision(
            work, office.keyring, delivery_id, recipient_id=by, body=body, now=office.clock()
        )


def ask(office: Office, decision_id: str, subject_id: str | None = None) -> ReviewReceipt:
    with office.work() as work:
        return ask_for_review(
            work, office.keyring, decision_id, subject_id or office.subject_id, office.clock()
        )


def decided(office: Office, body: dict[str, Any] = APPROVED) -> tuple[str, str, str]:
    """A fresh consent with a delivery and a decision on it: their ids."""
    grant_id = office.agree().grant_id
    delivery_id = office.deliver(grant_id)
    return grant_id, delivery_id, decide(office, delivery_id, body).decision_id


def seen(office: Office, grant_id: str) -> tuple[DecisionView, ...]:
    """The decisions as the person sees them."""
    with office.installation.data.read() as session:
        return consent_of(session, office.keyring, office.subject_id, grant_id, office.clock()).decisions


def owed(office: Office) -> list[str]:
    """The decisions whose recipients must be told."""
    with office.installation.data.read() as session:
        rows = session.exec(select(Duty).where(Duty.kind == DutyKind.ASK_REVIEW))
        return sorted(row.target for row in rows)


def events(office: Office, grant_id: str, event: EventType) -> list[TimelineEvent]:
    return [found for found in office.timeline(grant_id) if found.type == event]


# Refused


def test_a_foreign_decision_is_as_unknown(office: Office) -> None:
    grant_id, _, decision_id = decided(office)
    size, stranger = office.log_size(), office.newcomer()
    for asked, who in ((decision_id, stranger), ("no-such-decision", office.subject_id)):
        with pytest.raises(NotFoundError) as refused:
            ask(office, asked, who)
        assert refused.value.args == ()
    assert [decision.review_requested_at for decision in seen(office, grant_id)] == [None]
    assert (office.log_size(), owed(office)) == (size, [])


def test_a_decision_that_was_replaced_is_not_reviewed(office: Office) -> None:
    grant_id, delivery_id, older = decided(office, WAITING)
    decide(office, delivery_id)
    size = office.log_size()
    with pytest.raises(DecisionReplacedError):
        ask(office, older)
    assert [decision.review_requested_at for decision in seen(office, grant_id)] == [None, None]
    assert (office.log_size(), owed(office)) == (size, [])


def test_another_recipient_cannot_answer_a_review(office: Office) -> None:
    grant_id, delivery_id, decision_id = decided(office)
    ask(office, decision_id)
    with pytest.raises(NotFoundError):
        decide(office, delivery_id, REJECTED, by=HOSPITAL)
    assert len(seen(office, grant_id)) == 1


@pytest.mark.parametrize("first", [APPROVED, REJECTED, {"payable": 0}])
def test_without_a_review_the_decision_stands(office: Office, first: dict[str, Any]) -> None:
    grant_id, delivery_id, _ = decided(office, first)
    with pytest.raises(AlreadyDecidedError):
        decide(office, delivery_id, WAITING)
    assert [decision.body for decision in seen(office, grant_id)] == [first]


def test_a_review_of_one_delivery_opens_no_other(office: Office) -> None:
    grant_id = office.agree(terms_with({"access.max_pulls": 2})).grant_id
    first, second = office.deliver(grant_id, 1), office.deliver(grant_id, 2)
    ask(office, decide(office, first).decision_id)
    decide(office, second)
    with pytest.raises(AlreadyDecidedError):
        decide(office, second, REJECTED)


def test_a_review_is_answered_once(office: Office) -> None:
    grant_id, delivery_id, decision_id = decided(office)
    ask(office, decision_id)
    decide(office, delivery_id, REJECTED)
    with pytest.raises(AlreadyDecidedError):
        decide(office, delivery_id, APPROVED | {"payable": 1})
    assert len(seen(office, grant_id)) == 2


@pytest.mark.parametrize(("is_asked", "error"), [(False, UnknownKeyError), (True, ErasedError)])
def test_an_erased_person_gets_no_further_decision(
    office: Office, *, is_asked: bool, error: type[Exception]
) -> None:
    grant_id, delivery_id, decision_id = decided(office, WAITING)
    if is_asked:
        ask(office, decision_id)
    office.keyring.erase_subject(office.subject_id, office.clock())
    with pytest.raises(error):
        decide(office, delivery_id)
    assert [decision.body for decision in seen(office, grant_id)] == [None]


# Asked


def test_asking_goes_on_record_and_is_owed_to_the_recipient(office: Office) -> None:
    grant_id, delivery_id, decision_id = decided(office)
    asked = ask(office, decision_id)
    assert asked == ReviewReceipt(decision_id, grant_id, office.clock(), is_repeated=False)
    (event,) = events(office, grant_id, EventType.DECISION_REVIEW_REQUESTED)
    assert event.detail == {"grant_id": grant_id, "delivery_id": delivery_id, "decision_id": decision_id}
    assert event.facts == {"change": 1}
    (shown,) = seen(office, grant_id)
    assert (shown.number, shown.review_requested_at, shown.body) == (1, office.clock(), APPROVED)
    assert owed(office) == [decision_id]


def test_asking_twice_is_asking_once(office: Office) -> None:
    _, _, decision_id = decided(office)
    first, size = ask(office, decision_id), office.log_size()
    office.clock.advance(timedelta(minutes=1))
    again = ask(office, decision_id)
    assert again == ReviewReceipt(decision_id, first.grant_id, first.requested_at, is_repeated=True)
    assert (office.log_size(), owed(office)) == (size, [decision_id])


def test_asking_again_after_the_answer_changes_nothing(office: Office) -> None:
    grant_id, delivery_id, decision_id = decided(office)
    first = ask(office, decision_id)
    decide(office, delivery_id, REJECTED)
    assert ask(office, decision_id).requested_at == first.requested_at
    assert [decision.review_requested_at for decision in seen(office, grant_id)] == [
        first.requested_at,
        None,
    ]


@pytest.mark.parametrize("step", ["withdraw", "expire", "fulfil"])
def test_a_review_goes_on_after_the_end(office: Office, step: str) -> None:
    grant_id, delivery_id, decision_id = decided(office)
    getattr(office, step)(grant_id)
    before = office.consent(grant_id)
    ask(office, decision_id)
    assert not decide(office, delivery_id, REJECTED).is_repeated
    assert office.consent(grant_id) == before
    assert before.state != ConsentState.GIVEN


def test_asking_at_once_is_asking_once(office: Office) -> None:
    grant_id, _, decision_id = decided(office)
    assert at_once(*[partial(ask, office, decision_id)] * 3) == ["done"] * 3
    assert len(events(office, grant_id, EventType.DECISION_REVIEW_REQUESTED)) == 1
    assert owed(office) == [decision_id]


def test_asking_while_the_recipient_decides_ends_in_one_order_or_the_other(office: Office) -> None:
    grant_id, delivery_id, decision_id = decided(office, WAITING)
    outcomes = at_once(partial(ask, office, decision_id), partial(decide, office, delivery_id))
    first, second = seen(office, grant_id)
    (*_, received) = events(office, grant_id, EventType.DECISION_RECEIVED)
    was_first = first.review_requested_at is not None
    assert outcomes == ["done" if was_first else "DecisionReplacedError", "done"]
    assert (received.detail.get("answers_review_of") == decision_id) is was_first
    assert (second.body, second.review_requested_at) == (APPROVED, None)


# Decided again


def test_a_review_does_not_go_on_for_ever(sqlite_office: Office) -> None:
    _, delivery_id, _ = decided(sqlite_office, WAITING)
    for number in range(19):
        decide(sqlite_office, delivery_id, {**WAITING, "reference": str(number)})
    with pytest.raises(AlreadyDecidedError):
        decide(sqlite_office, delivery_id, APPROVED)


def test_after_a_status_of_review_comes_another_decision(office: Office) -> None:
    grant_id, delivery_id, first = decided(office, WAITING)
    second = decide(office, delivery_id)
    assert not second.is_repeated
    assert [
        (decision.decision_id, decision.number, decision.body) for decision in seen(office, grant_id)
    ] == [
        (first, 1, WAITING),
        (second.decision_id, 2, APPROVED),
    ]
    received = events(office, grant_id, EventType.DECISION_RECEIVED)
    assert [event.detail["decision_id"] for event in received] == [first, second.decision_id]
    assert not any("answers_review_of" in event.detail for event in received)


def test_a_decision_that_answers_a_request_says_so(office: Office) -> None:
    grant_id, delivery_id, first = decided(office)
    ask(office, first)
    second = decide(office, delivery_id, REJECTED).decision_id
    asked, answer = office.timeline(grant_id)[-2:]
    assert asked.type == EventType.DECISION_REVIEW_REQUESTED
    assert (answer.type, answer.detail["decision_id"]) == (EventType.DECISION_RECEIVED, second)
    assert answer.detail["answers_review_of"] == first
    assert {decision.delivery_id for decision in seen(office, grant_id)} == {delivery_id}


def test_every_decision_again_is_that_decision(office: Office) -> None:
    grant_id, delivery_id, first = decided(office, WAITING)
    second = decide(office, delivery_id).decision_id
    size = office.log_size()
    for body, known in ((WAITING, first), (APPROVED, second)):
        assert decide(office, delivery_id, body) == DecisionReceipt(known, is_repeated=True)
    assert office.log_size() == size
    assert len(seen(office, grant_id)) == 2


def test_a_second_decision_can_be_reviewed_in_its_turn(office: Office) -> None:
    grant_id, delivery_id, first = decided(office)
    ask(office, first)
    second = decide(office, delivery_id, REJECTED).decision_id
    ask(office, second)
    third = decide(office, delivery_id, APPROVED | {"payable": 114201}).decision_id
    assert [decision.number for decision in seen(office, grant_id)] == [1, 2, 3]
    assert office.timeline(grant_id)[-1].detail["answers_review_of"] == second
    assert seen(office, grant_id)[-1].decision_id == third
    assert owed(office) == sorted([first, second])


def test_two_answers_to_a_review_at_once_are_one(office: Office) -> None:
    grant_id, delivery_id, decision_id = decided(office)
    ask(office, decision_id)
    bodies = (REJECTED, APPROVED | {"payable": 1})
    outcomes = at_once(*(partial(decide, office, delivery_id, body) for body in bodies))
    assert sorted(outcomes) == ["AlreadyDecidedError", "done"]
    assert [decision.number for decision in seen(office, grant_id)] == [1, 2]


def test_reviews_are_listed_with_what_followed(office: Office) -> None:
    _, delivery_id, first = decided(office)
    ask(office, first)
    asked_at = office.clock()
    office.clock.advance(timedelta(hours=1))

    def listed(subject_id: str | None = None) -> list[tuple[str, datetime, datetime | None]]:
        with office.installation.data.read() as session:
            rows = reviews_of(session, subject_id or office.subject_id)
        return [(row.decision_id, row.requested_at, row.decided_at) for row in rows]

    assert listed(office.newcomer()) == []
    assert listed() == [(first, asked_at, None)]
    decide(office, delivery_id, REJECTED)
    assert listed() == [(first, asked_at, office.clock())]
