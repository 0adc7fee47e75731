"""Break-glass: opened without asking, told at once, always reviewed (feature row 38)."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlmodel import col, select

from consent.collection import NewLink, link
from consent.emergency import (
    PURPOSE,
    EmergencyRefused,
    EmergencyView,
    NewEmergency,
    OpenedEmergency,
    answer,
    emergencies,
    open_access,
    review,
)
from consent.emergency_limits import Limits
from consent.errors import NotFoundError, WrongStateError
from consent.evidence import open_detail
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.people_vocabulary import EmergencyAnswer, EmergencyFinding, EmergencyReason, EmergencyState
from consent.staff import STAFF_KEY, Staff
from consent.vocabulary import ConsentState, EventType, StateReason
from tests.consent.details import BILL, HOSPITAL, REGISTER
from tests.consent.office import CLIENT, PATIENT_NO, RECIPIENT, Office, at_once
from tests.consent.representing import Parties

STAFF = Staff("jimin", "spoke to the ward")
PRESCRIPTION = "health.prescription"
TEXT = "Found unconscious; which medicines?"
NEW = NewEmergency(HOSPITAL, PATIENT_NO, EmergencyReason.UNCONSCIOUS, TEXT, RECIPIENT, CLIENT)
LIMITS = Limits(unreviewed=2, refusals=3)


def linked(office: Office, record_type: str = PRESCRIPTION) -> None:
    new = NewLink(office.subject_id, HOSPITAL, PATIENT_NO, (record_type,), "ko")
    with office.work() as work:
        link(work, office.keyring, new, office.clock())


def opened(office: Office, new: NewEmergency = NEW) -> OpenedEmergency | EmergencyRefused:
    with office.work() as work:
        return open_access(
            work,
            office.keyring,
            new,
            purpose=office.installation.purposes.get(PURPOSE),
            sign_receipt=office.sign_receipt,
            review_within=timedelta(days=3),
            limits=LIMITS,
            now=office.clock(),
        )


def reviewed(office: Office, emergency_id: str, finding: EmergencyFinding) -> None:
    with office.work() as work:
        review(work, office.keyring, emergency_id, finding, staff=STAFF, now=office.clock())


def answered(office: Office, emergency_id: str, said: EmergencyAnswer, who: str | None = None) -> None:
    with office.work() as work:
        answer(work, office.keyring, emergency_id, who or office.subject_id, said, office.clock())


def seen(office: Office, subject_id: str | None = None) -> list[EmergencyView]:
    with office.installation.data.read() as session:
        return emergencies(session, office.keyring, office.clock(), subject_id=subject_id)


def events(office: Office) -> list[tuple[Event, LedgerEntry]]:
    with office.installation.data.read() as session:
        rows = session.exec(select(LedgerEntry).order_by(col(LedgerEntry.idx))).all()
    found = [(Event.from_leaf(row.leaf), row) for row in rows]
    return [(event, row) for event, row in found if event.type.startswith("emergency.")]


def test_an_unknown_number_is_refused_on_the_staffs_record(office: Office) -> None:
    linked(office)
    for new in (replace(NEW, number="P-9999"), replace(NEW, holder_id=REGISTER)):
        assert opened(office, new) == EmergencyRefused("unknown")
    key = office.keyring.sealing_key(STAFF_KEY)
    for event, row in events(office):
        assert event.type == EventType.EMERGENCY_REFUSED
        detail = open_detail(
            key, handle=event.handle, commitment=event.commitment, detail_sealed=row.detail_sealed
        )
        assert detail["client"] == CLIENT


def test_nothing_is_opened_where_nothing_is_for_an_emergency(sqlite_office: Office) -> None:
    linked(sqlite_office, BILL)
    assert opened(sqlite_office) == EmergencyRefused("nothing_there")
    ((event, _),) = events(sqlite_office)
    assert (event.type, event.facts) == (EventType.EMERGENCY_REFUSED, {})


def test_it_opens_one_pull_within_a_day_and_says_so_in_the_log(office: Office) -> None:
    linked(office)
    made = opened(office)
    assert isinstance(made, OpenedEmergency)
    consent = office.consent(made.grant_id)
    assert (consent.state, consent.max_pulls, consent.purpose) == (ConsentState.GIVEN, 1, PURPOSE)
    assert consent.valid_until - office.clock() == timedelta(days=1)
    assert len(office.shares(made.grant_id)) == 1
    requested, given = office.timeline(made.grant_id)
    assert requested.type == EventType.CONSENT_REQUESTED
    assert given.facts["basis"] == "vital_interest"
    ((event, row),) = events(office)
    assert (event.type, event.facts, event.recipient) == (
        EventType.EMERGENCY_OPENED,
        {},
        RECIPIENT,
    )
    assert TEXT.encode() not in row.leaf
    detail = open_detail(
        office.keyring.audit_key(office.subject_id),
        handle=event.handle,
        commitment=event.commitment,
        detail_sealed=row.detail_sealed,
    )
    assert detail["reason"] == "unconscious"
    (view,) = seen(office, office.subject_id)
    assert (view.state, view.text, view.reason) == (EmergencyState.OPEN, TEXT, EmergencyReason.UNCONSCIOUS)
    assert seen(office, office.newcomer()) == []


def test_it_opens_for_a_child_too(sqlite_office: Office) -> None:
    linked(sqlite_office)
    Parties(sqlite_office).guardian(sqlite_office.subject_id, sqlite_office.newcomer())
    assert isinstance(opened(sqlite_office), OpenedEmergency)


def test_a_review_that_is_late_is_seen_to_be(sqlite_office: Office) -> None:
    linked(sqlite_office)
    made = opened(sqlite_office)
    assert isinstance(made, OpenedEmergency)
    sqlite_office.clock.advance(timedelta(days=3))
    assert [view.state for view in seen(sqlite_office)] == [EmergencyState.OVERDUE]
    reviewed(sqlite_office, made.emergency_id, EmergencyFinding.JUSTIFIED)
    assert [view.state for view in seen(sqlite_office)] == [EmergencyState.REVIEWED]
    with pytest.raises(WrongStateError):
        reviewed(sqlite_office, made.emergency_id, EmergencyFinding.UNJUSTIFIED)


@pytest.mark.parametrize("is_stopped", [False, True])
def test_what_was_not_right_is_revoked(office: Office, *, is_stopped: bool) -> None:
    linked(office)
    made = opened(office)
    assert isinstance(made, OpenedEmergency)
    if is_stopped:
        office.withdraw(made.grant_id)
    reviewed(office, made.emergency_id, EmergencyFinding.UNJUSTIFIED)
    consent = office.consent(made.grant_id)
    expected = (ConsentState.WITHDRAWN, None) if is_stopped else (ConsentState.REVOKED, StateReason.SECURITY)
    assert (consent.state, consent.state_reason) == expected
    assert office.shares(made.grant_id) == set()


def test_the_person_says_what_they_think_of_it(office: Office) -> None:
    linked(office)
    made = opened(office)
    assert isinstance(made, OpenedEmergency)
    with pytest.raises(NotFoundError):
        answered(office, made.emergency_id, EmergencyAnswer.OBJECTED, office.newcomer())
    with pytest.raises(NotFoundError):
        answered(office, "unknown", EmergencyAnswer.OBJECTED)
    for said in (EmergencyAnswer.OBJECTED, EmergencyAnswer.OBJECTED, EmergencyAnswer.CONFIRMED):
        answered(office, made.emergency_id, said)
    assert [view.answer for view in seen(office)] == [EmergencyAnswer.CONFIRMED]
    assert [event.type for event, _ in events(office)].count(EventType.EMERGENCY_ANSWERED) == 2


# How much a client may have


def test_one_usable_access_per_person_and_client(office: Office) -> None:
    linked(office)
    made = opened(office)
    assert isinstance(made, OpenedEmergency)
    assert opened(office) == EmergencyRefused("open_already", is_open=True)
    assert isinstance(opened(office, replace(NEW, client_id="another")), OpenedEmergency)
    office.clock.advance(timedelta(days=1))
    assert isinstance(opened(office), OpenedEmergency)


def test_of_two_requests_at_once_one_opens(postgresql_office: Office) -> None:
    linked(postgresql_office)
    at_once(lambda: opened(postgresql_office), lambda: opened(postgresql_office))
    assert len(seen(postgresql_office)) == 1


def test_what_nobody_has_reviewed_keeps_a_client_from_more(office: Office) -> None:
    linked(office)
    for _ in range(LIMITS.unreviewed):
        made = opened(office)
        assert isinstance(made, OpenedEmergency)
        office.withdraw(made.grant_id)
        emergency_id = made.emergency_id
    assert opened(office) == EmergencyRefused("limit", wait=timedelta(hours=1))
    assert opened(office, replace(NEW, number="P-9999")) == EmergencyRefused("limit", wait=timedelta(hours=1))
    assert isinstance(opened(office, replace(NEW, client_id="another")), OpenedEmergency)
    reviewed(office, emergency_id, EmergencyFinding.JUSTIFIED)
    assert isinstance(opened(office), OpenedEmergency)


def test_who_tries_numbers_has_to_wait(office: Office) -> None:
    linked(office)
    for _ in range(LIMITS.refusals):
        assert opened(office, replace(NEW, number="P-9999")) == EmergencyRefused("unknown")
        office.clock.advance(timedelta(hours=1))
    wait = timedelta(days=1) - LIMITS.refusals * timedelta(hours=1)
    assert opened(office) == EmergencyRefused("limit", wait=wait)
    office.clock.advance(wait)
    assert opened(office, replace(NEW, number="P-9999")) == EmergencyRefused("unknown")
    assert opened(office).wait == timedelta(hours=1)  # type: ignore[union-attr]
