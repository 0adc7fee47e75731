"""After a pull: acknowledgement and decision, once each, by the right recipient, also after the end."""

from datetime import timedelta
from functools import partial
from typing import Any, Final

import pytest
from sqlmodel import select

from consent.delivery import (
    DecisionReceipt,
    decision_compartment,
    decision_context,
    receive_decision,
)
from consent.errors import AlreadyDecidedError, NotFoundError
from consent.models import Decision, Delivery
from consent.vocabulary import ConsentState, EventType
from tests.consent.details import HOSPITAL, terms_with
from tests.consent.office import RECIPIENT, Office, at_once
from vault.errors import ErasedError
from vault.seal import open_sealed

BODY: Final[dict[str, Any]] = {"status": "approved", "payable": 114200, "explanation": {"ko": "지급합니다"}}
TWICE: Final = {"access.max_pulls": 2}


def decide(
    office: Office, delivery_id: str, body: dict[str, Any] = BODY, by: str = RECIPIENT
) -> DecisionReceipt:
    with office.work() as work:
        return receive_decision(
            work, office.keyring, delivery_id, recipient_id=by, body=body, now=office.clock()
        )


def delivery(office: Office, delivery_id: str) -> Delivery:
    with office.installation.data.read() as session:
        return session.get_one(Delivery, delivery_id)


def decisions(office: Office) -> list[Decision]:
    with office.installation.data.read() as session:
        return list(session.exec(select(Decision)))


# Refused


@pytest.mark.parametrize("by", [HOSPITAL, "no-such-organisation"])
def test_a_foreign_delivery_is_as_unknown(office: Office, by: str) -> None:
    given = office.agree()
    delivery_id = office.deliver(given.grant_id)
    size = office.log_size()
    for asked, who in ((delivery_id, by), ("no-such-delivery", RECIPIENT)):
        with pytest.raises(NotFoundError) as acknowledging:
            office.acknowledge(asked, who)
        with pytest.raises(NotFoundError) as deciding:
            decide(office, asked, by=who)
        assert acknowledging.value.args == deciding.value.args == ()
    assert delivery(office, delivery_id).acknowledged_at is None
    assert (office.log_size(), decisions(office)) == (size, [])


def test_a_delivery_has_one_decision(office: Office) -> None:
    given = office.agree()
    delivery_id = office.deliver(given.grant_id)
    decide(office, delivery_id)
    size = office.log_size()
    with pytest.raises(AlreadyDecidedError):
        decide(office, delivery_id, BODY | {"payable": 0})
    assert office.log_size() == size
    assert len(decisions(office)) == 1


def test_an_erased_person_gets_no_decision(office: Office) -> None:
    given = office.agree()
    delivery_id = office.deliver(given.grant_id)
    office.keyring.erase_subject(office.subject_id, office.clock())
    with pytest.raises(ErasedError):
        decide(office, delivery_id)
    assert decisions(office) == []


# Acknowledged


def test_acknowledging_the_last_place_fulfils_the_consent(office: Office) -> None:
    given = office.agree()
    delivery_id = office.deliver(given.grant_id)
    office.clock.advance(timedelta(minutes=1))
    office.acknowledge(delivery_id)
    assert delivery(office, delivery_id).acknowledged_at == office.clock()
    assert office.consent(given.grant_id).state == ConsentState.FULFILLED
    assert office.shares(given.grant_id) == set()
    assert office.event_types(given.grant_id)[2:] == [
        EventType.DELIVERY_ACKNOWLEDGED,
        EventType.CONSENT_FULFILLED,
    ]
    assert office.timeline(given.grant_id)[2].detail["delivery_id"] == delivery_id


def test_acknowledging_again_changes_nothing(office: Office) -> None:
    given = office.agree()
    delivery_id = office.deliver(given.grant_id)
    office.acknowledge(delivery_id)
    before, size = delivery(office, delivery_id), office.log_size()
    office.clock.advance(timedelta(days=1))
    office.acknowledge(delivery_id)
    assert delivery(office, delivery_id) == before
    assert office.log_size() == size


def test_a_place_that_is_left_keeps_the_consent(office: Office) -> None:
    given = office.agree(terms_with(TWICE))
    first, second = office.deliver(given.grant_id, 1), office.deliver(given.grant_id, 2)
    office.acknowledge(second)
    assert office.consent(given.grant_id).state == ConsentState.GIVEN
    office.acknowledge(first)
    assert office.consent(given.grant_id).state == ConsentState.FULFILLED


def test_deliveries_of_another_consent_do_not_count(office: Office) -> None:
    given, other = office.agree(terms_with(TWICE)), office.agree()
    office.acknowledge(office.deliver(given.grant_id, 1))
    office.acknowledge(office.deliver(other.grant_id, 1))
    assert office.consent(given.grant_id).state == ConsentState.GIVEN


@pytest.mark.parametrize("step", ["withdraw", "expire", "fulfil"])
def test_acknowledging_after_the_end_is_recorded_and_moves_nothing(office: Office, step: str) -> None:
    given = office.agree()
    delivery_id = office.deliver(given.grant_id)
    getattr(office, step)(given.grant_id)
    before = office.consent(given.grant_id)
    office.acknowledge(delivery_id)
    assert office.consent(given.grant_id) == before
    assert office.event_types(given.grant_id)[-1] == EventType.DELIVERY_ACKNOWLEDGED


def test_acknowledging_at_once_is_one_acknowledgement_and_one_fulfilment(office: Office) -> None:
    given = office.agree()
    delivery_id = office.deliver(given.grant_id)
    assert at_once(*[partial(office.acknowledge, delivery_id)] * 3) == ["done"] * 3
    assert office.event_types(given.grant_id)[2:] == [
        EventType.DELIVERY_ACKNOWLEDGED,
        EventType.CONSENT_FULFILLED,
    ]
    assert office.consent(given.grant_id).change_count == 2


def test_the_last_two_places_acknowledged_at_once_fulfil_the_consent_once(office: Office) -> None:
    given = office.agree(terms_with(TWICE))
    places = [office.deliver(given.grant_id, ordinal) for ordinal in (1, 2)]
    assert at_once(*(partial(office.acknowledge, place) for place in places)) == ["done"] * 2
    assert office.event_types(given.grant_id)[2:] == [
        EventType.DELIVERY_ACKNOWLEDGED,
        EventType.DELIVERY_ACKNOWLEDGED,
        EventType.CONSENT_FULFILLED,
    ]


def test_acknowledging_while_withdrawing_ends_the_consent_withdrawn(office: Office) -> None:
    given = office.agree()
    delivery_id = office.deliver(given.grant_id)
    steps = (partial(office.acknowledge, delivery_id), partial(office.withdraw, given.grant_id))
    assert at_once(*steps) == ["done"] * 2
    assert office.consent(given.grant_id).state == ConsentState.WITHDRAWN
    types = office.event_types(given.grant_id)
    assert types.count(EventType.CONSENT_WITHDRAWN) == types.count(EventType.DELIVERY_ACKNOWLEDGED) == 1
    assert office.shares(given.grant_id) == set()


# Decided


def test_a_decision_is_sealed_in_a_compartment_of_its_own(office: Office) -> None:
    given = office.agree()
    delivery_id = office.deliver(given.grant_id)
    received = decide(office, delivery_id)
    (row,) = decisions(office)
    assert received == DecisionReceipt(row.decision_id, is_repeated=False)
    assert (row.grant_id, row.delivery_id, row.recipient_id) == (given.grant_id, delivery_id, RECIPIENT)
    assert row.compartment_id == office.keyring.compartment_id(
        office.subject_id, RECIPIENT, decision_compartment(given.grant_id)
    )
    assert row.compartment_id not in {compartment for _, compartment in office.shares(given.grant_id)}
    key = office.keyring.compartment_key(office.subject_id, row.compartment_id)
    opened = open_sealed(key, decision_context(row.decision_id), row.body_sealed)
    assert "지급합니다".encode() in opened
    assert "지급합니다".encode() not in row.body_sealed


def test_a_decision_is_on_record_by_its_digest_only(office: Office) -> None:
    given = office.agree()
    received = decide(office, office.deliver(given.grant_id))
    event = office.timeline(given.grant_id)[-1]
    assert event.type == EventType.DECISION_RECEIVED
    assert event.detail["decision_id"] == received.decision_id
    assert "payable" not in str(event.detail)
    assert event.facts == {"change": 1}


def test_the_same_decision_again_is_the_first_one(office: Office) -> None:
    given = office.agree()
    delivery_id = office.deliver(given.grant_id)
    first = decide(office, delivery_id)
    size = office.log_size()
    again = decide(office, delivery_id, dict(reversed(BODY.items())))
    assert again == DecisionReceipt(first.decision_id, is_repeated=True)
    assert office.log_size() == size


def test_a_decision_after_the_end_is_received(office: Office) -> None:
    given = office.agree()
    delivery_id = office.deliver(given.grant_id)
    office.withdraw(given.grant_id)
    assert not decide(office, delivery_id).is_repeated


def test_the_same_decision_at_once_is_one(office: Office) -> None:
    given = office.agree()
    delivery_id = office.deliver(given.grant_id)
    assert at_once(*[partial(decide, office, delivery_id)] * 3) == ["done"] * 3
    assert len(decisions(office)) == 1
    assert office.event_types(given.grant_id).count(EventType.DECISION_RECEIVED) == 1


def test_two_decisions_at_once_are_one(office: Office) -> None:
    given = office.agree()
    delivery_id = office.deliver(given.grant_id)
    bodies = (BODY, BODY | {"payable": 0})
    outcomes = at_once(*(partial(decide, office, delivery_id, body) for body in bodies))
    assert sorted(outcomes) == ["AlreadyDecidedError", "done"]
    assert len(decisions(office)) == 1
