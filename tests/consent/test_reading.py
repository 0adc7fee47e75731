"""What people read of their consents: their own only, with everything that happened, after an erasure too."""

from datetime import timedelta
from typing import Any, Final

import pytest
from sqlmodel import col, select, update

from broker.db import Database
from consent.collection import unlink
from consent.delivery import receive_decision
from consent.errors import NotFoundError
from consent.ledger.models import LedgerEntry
from consent.models import ConsentVersion
from consent.reading import (
    ConsentView,
    LinkView,
    Party,
    consent_of,
    consents_of,
    links_of,
    receipt_of,
    state_at,
)
from consent.terms import narrow
from consent.vocabulary import ConsentState, EventType
from tests.consent.details import BILL, HOSPITAL, PURPOSE, REGISTER, terms_with
from tests.consent.office import RECIPIENT, Office, consent_in
from vault.errors import TamperedError

BODY: Final[dict[str, Any]] = {"status": "approved", "payable": 114200}


def view(office: Office, grant_id: str, subject_id: str | None = None) -> ConsentView:
    with office.installation.data.read() as session:
        return consent_of(session, office.keyring, subject_id or office.subject_id, grant_id, office.clock())


def views(office: Office, subject_id: str | None = None) -> list[ConsentView]:
    with office.installation.data.read() as session:
        return consents_of(session, office.keyring, subject_id or office.subject_id, office.clock())


def receipt(office: Office, grant_id: str, subject_id: str | None = None) -> str:
    with office.installation.data.read() as session:
        return receipt_of(session, office.keyring, subject_id or office.subject_id, grant_id)


def links(office: Office, subject_id: str | None = None) -> list[LinkView]:
    with office.installation.data.read() as session:
        return links_of(session, office.keyring, subject_id or office.subject_id)


def decide(office: Office, delivery_id: str) -> str:
    with office.work() as work:
        return receive_decision(
            work, office.keyring, delivery_id, recipient_id=RECIPIENT, body=BODY, now=office.clock()
        ).decision_id


def sealed_details(database: Database) -> dict[int, bytes]:
    with database.read() as session:
        return {row.idx: row.detail_sealed for row in session.exec(select(LedgerEntry))}


# Not yours


def test_a_foreign_consent_and_its_receipt_are_as_unknown(office: Office) -> None:
    given, stranger = office.agree(), office.newcomer()
    for asked, who in ((given.grant_id, stranger), ("no-such-consent", office.subject_id)):
        with pytest.raises(NotFoundError) as reading:
            view(office, asked, who)
        with pytest.raises(NotFoundError) as fetching:
            receipt(office, asked, who)
        assert reading.value.args == fetching.value.args == ()


def test_a_stranger_sees_nothing(office: Office) -> None:
    office.agree()
    office.link()
    stranger = office.newcomer()
    assert (views(office, stranger), links(office, stranger)) == ([], [])


@pytest.mark.parametrize("state", [ConsentState.REQUESTED, ConsentState.REFUSED])
def test_what_was_not_given_has_no_receipt(office: Office, state: ConsentState) -> None:
    grant_id = consent_in(office, state)
    assert not view(office, grant_id).has_receipt
    with pytest.raises(NotFoundError):
        receipt(office, grant_id)


def test_details_that_changed_places_in_the_log_are_found_out(office: Office) -> None:
    given = office.agree()
    details = sealed_details(office.installation.data)
    first, second = sorted(details)
    with office.work() as work:
        for place, source in ((first, second), (second, first)):
            statement = update(LedgerEntry).where(col(LedgerEntry.idx) == place)
            work.session.execute(statement.values(detail_sealed=details[source]))
    with pytest.raises(TamperedError):
        view(office, given.grant_id)


def test_terms_of_another_consent_in_the_row_are_found_out(office: Office) -> None:
    given, other = office.agree(), office.agree()
    with office.work() as work:
        mine = work.session.get_one(ConsentVersion, given.version_id)
        mine.terms_sealed = work.session.get_one(ConsentVersion, other.version_id).terms_sealed
        mine.receipt_sealed = work.session.get_one(ConsentVersion, other.version_id).receipt_sealed
        work.session.add(mine)
    with pytest.raises(TamperedError):
        view(office, given.grant_id)
    with pytest.raises(TamperedError):
        receipt(office, given.grant_id)


# One consent


def test_a_request_shows_what_is_asked(office: Office) -> None:
    shown = view(office, office.request())
    assert (shown.state, shown.purpose, shown.language) == (ConsentState.REQUESTED, PURPOSE, "ko")
    assert shown.terms == terms_with()
    assert (shown.created_at, shown.given_at, shown.ended_at) == (office.clock(), None, None)
    assert (shown.pulls, shown.decisions) == ((), ())
    assert [event.type for event in shown.timeline] == [EventType.CONSENT_REQUESTED]


def test_a_given_consent_shows_what_was_agreed_and_to_whom(office: Office) -> None:
    asked_at = office.clock()
    grant_id = office.request()
    office.clock.advance(timedelta(minutes=5))
    given = office.give(grant_id, [BILL])
    shown = view(office, grant_id)
    assert shown.terms == given.terms == narrow(terms_with(), frozenset({BILL}))
    assert (shown.created_at, shown.given_at) == (asked_at, office.clock())
    assert shown.valid_until == given.terms.access.valid_until
    assert shown.has_receipt
    assert shown.recipient.organisation_id == RECIPIENT
    assert (shown.recipient.name("en"), shown.recipient.name("ko")) == ("Hanbit Insurance", "한빛손해보험")


def test_everything_that_happened_is_told_in_order(office: Office) -> None:
    given = office.agree()
    office.agree()
    delivery_id = office.deliver(given.grant_id)
    delivered_at = office.clock()
    office.clock.advance(timedelta(hours=1))
    office.acknowledge(delivery_id)
    decision_id = decide(office, delivery_id)
    office.withdraw(given.grant_id)
    shown = view(office, given.grant_id)
    (pull,), (decision,) = shown.pulls, shown.decisions
    assert (pull.delivery_id, pull.as_of, pull.record_count) == (delivery_id, delivered_at, 3)
    assert pull.acknowledged_at == decision.received_at == shown.ended_at == office.clock()
    assert (decision.decision_id, decision.body) == (decision_id, BODY)
    assert [event.type for event in shown.timeline] == [
        EventType.CONSENT_REQUESTED,
        EventType.CONSENT_GIVEN,
        EventType.DELIVERY_ACKNOWLEDGED,
        EventType.CONSENT_FULFILLED,
        EventType.DECISION_RECEIVED,
        EventType.CONSENT_WITHDRAWN,
    ]
    indexes = [event.index for event in shown.timeline]
    assert indexes == sorted(set(indexes))
    assert all(event.detail["grant_id"] == given.grant_id for event in shown.timeline)


def test_the_receipt_is_kept_byte_for_byte(office: Office) -> None:
    given = office.agree()
    office.withdraw(given.grant_id)
    assert receipt(office, given.grant_id) == given.receipt_jws


def test_after_an_erasure_the_proof_stays_and_the_decision_is_gone(office: Office) -> None:
    given = office.agree()
    decision_id = decide(office, office.deliver(given.grant_id))
    office.withdraw(given.grant_id)
    before = view(office, given.grant_id)
    office.keyring.erase_subject(office.subject_id, office.clock())
    after = view(office, given.grant_id)
    assert [(decision.decision_id, decision.body) for decision in after.decisions] == [(decision_id, None)]
    assert (after.terms, after.timeline) == (before.terms, before.timeline)
    assert receipt(office, given.grant_id) == given.receipt_jws


# All of them


def test_consents_are_listed_the_newest_first(office: Office) -> None:
    grant_ids = []
    for _ in range(3):
        office.clock.advance(timedelta(seconds=1))
        grant_ids.append(office.request())
    assert [shown.grant_id for shown in views(office)] == grant_ids[::-1]


@pytest.mark.parametrize("state", list(ConsentState))
def test_the_state_is_told_as_it_is(sqlite_office: Office, state: ConsentState) -> None:
    consent = sqlite_office.consent(consent_in(sqlite_office, state))
    assert state_at(consent, consent.valid_until - timedelta(microseconds=1)) is state
    late = ConsentState.EXPIRED if state in {ConsentState.GIVEN, ConsentState.PAUSED} else state
    assert state_at(consent, consent.valid_until) is late


# Links


def test_links_are_listed_living_ones_first(office: Office) -> None:
    ended = office.link(HOSPITAL, "1")
    started_at = office.clock()
    office.clock.advance(timedelta(days=1))
    living = office.link(REGISTER, "1")
    with office.work() as work:
        unlink(work, office.keyring, ended, office.subject_id, office.clock())
    first, second = links(office)
    assert (first.link_id, first.given_at, first.ended_at) == (living, office.clock(), None)
    assert (second.link_id, second.given_at, second.ended_at) == (ended, started_at, office.clock())
    assert first.record_types == second.record_types == (BILL,)
    assert first.holder == Party(
        REGISTER, "보험계약정보원", "Policy Register", "104-82-00001", "privacy@insurance-register.example"
    )
