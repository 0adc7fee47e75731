"""Whom an entry concerns: both sides of a representation, everybody of a deal, nobody behind a shield."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import pytest
from sqlmodel import SQLModel

from consent.coholding import remove_account
from consent.evidence import Occurrence, evidence
from consent.models import (
    CoHolding,
    ConsentParty,
    ConsentVersion,
    Deal,
    DealMember,
    EmergencyAccess,
    Representation,
    RightRequest,
    Shield,
)
from consent.notification_wishes import Schedule, Wishes
from consent.notifications import NoticeKind
from consent.staff import Staff
from consent.vocabulary import EventType, PartyDecision
from tests.consent.details import BILL, HOSPITAL, PURPOSE
from tests.consent.office import CLIENT, RECIPIENT, Office
from tests.consent.representing import Parties
from tests.consent.telling import happens, notifications, tell, wish
from tests.consent.test_emergency import linked
from tests.consent.test_emergency import opened as opened_emergency

RELEASED: Final = EventType.DELIVERY_RELEASED
HANDLE: Final = "a handle in the log"


def put(office: Office, *rows: SQLModel) -> None:
    with office.work() as work:
        for row in rows:
            work.session.add(row)
            work.session.flush()


def under(office: Office, event: str, handle: str = HANDLE) -> None:
    """An entry under a handle of somebody's."""
    with office.work() as work:
        told = Occurrence(EventType(event), handle, office.clock())
        work.record(evidence(office.keyring.audit_key(office.subject_id), told))


def who(office: Office, *events: str) -> set[str]:
    tell(office)
    return {one.subject_id for one in notifications(office, *events)}


def with_co_holder(office: Office, decision: str | None = PartyDecision.APPROVED) -> tuple[str, str]:
    """A consent that somebody else has to agree to, and who that is: they hold an account together."""
    other, grant_id = office.newcomer(), office.agree().grant_id
    put(office, ConsentParty(grant_id=grant_id, subject_id=other, kind="co_holder", decision=decision))
    hold_together(office, other)
    return grant_id, other


def hold_together(office: Office, other: str, record_type: str = BILL) -> None:
    put(
        office,
        *(
            CoHolding(
                account_id=f"account of {record_type}",
                subject_id=subject_id,
                organisation_id=HOSPITAL,
                record_type=record_type,
                handle=f"{record_type} {subject_id}",
                added_at=office.clock(),
            )
            for subject_id in (office.subject_id, other)
        ),
    )


def shield(office: Office, other_id: str, *, is_lifted: bool = False) -> Shield:
    lifted_at = office.clock() if is_lifted else None
    return Shield(
        shield_id=other_id,
        subject_id=office.subject_id,
        other_id=other_id,
        reason_sealed=b"",
        is_confirmed=True,
        handle=f"shield {other_id}",
        raised_at=office.clock(),
        lifted_at=lifted_at,
    )


def test_a_co_holder_who_approved_is_told_and_led_to_nobodys_consent(office: Office) -> None:
    grant_id, other = with_co_holder(office)
    happens(office, grant_id, RELEASED)
    assert who(office, RELEASED) == {office.subject_id, other}
    assert {one.subject_id: one.grant_id for one in notifications(office, RELEASED)} == {
        office.subject_id: grant_id,
        other: None,
    }


@pytest.mark.parametrize("event", [EventType.DELIVERY_REFUSED, EventType.CONSENT_WITHDRAWN])
def test_a_co_holder_is_told_of_refusals_and_of_the_end(sqlite_office: Office, event: EventType) -> None:
    grant_id, other = with_co_holder(sqlite_office)
    happens(sqlite_office, grant_id, event)
    assert who(sqlite_office, event) == {sqlite_office.subject_id, other}


@pytest.mark.parametrize(
    "event",
    [
        EventType.DECISION_RECEIVED,
        EventType.OBLIGATION_OVERDUE,
        EventType.CHANGE_REQUESTED,
        EventType.CONSENT_NARROWED,
        EventType.RECORD_INSPECTED,
    ],
)
def test_what_is_the_persons_own_matter_is_told_to_no_co_holder(office: Office, event: EventType) -> None:
    grant_id, _ = with_co_holder(office)
    happens(office, grant_id, event)
    assert who(office, event) <= {office.subject_id}


def test_who_held_an_account_once_is_not_told_any_more(office: Office) -> None:
    grant_id, other = with_co_holder(office)
    hold_together(office, other, "of something that the consent does not open")
    with office.work() as work:
        remove_account(work, office.keyring, f"account of {BILL}", staff=Staff("m", "r"), now=office.clock())
    happens(office, grant_id, RELEASED)
    assert who(office, RELEASED) == {office.subject_id}


def test_terms_that_cannot_be_opened_keep_the_person_from_no_notice(office: Office) -> None:
    grant_id, _ = with_co_holder(office)
    with office.work() as work:
        work.session.get_one(ConsentVersion, f"{grant_id}.1").terms_sealed = b"changed"
    happens(office, grant_id, RELEASED)
    assert who(office, RELEASED) == {office.subject_id}


@pytest.mark.parametrize("decision", [None, "refused"])
def test_a_co_holder_who_did_not_approve_is_not_told(sqlite_office: Office, decision: str | None) -> None:
    grant_id, _ = with_co_holder(sqlite_office, decision)
    happens(sqlite_office, grant_id, RELEASED)
    assert who(sqlite_office, RELEASED) == {sqlite_office.subject_id}


def test_nobody_is_told_who_the_person_is_shielded_from(office: Office) -> None:
    grant_id, other = with_co_holder(office)
    put(office, shield(office, other))
    happens(office, grant_id, RELEASED)
    assert who(office, RELEASED) == {office.subject_id}


def test_a_shield_that_was_lifted_hides_nothing(sqlite_office: Office) -> None:
    office = sqlite_office
    grant_id, other = with_co_holder(office)
    put(office, shield(office, other, is_lifted=True))
    happens(office, grant_id, RELEASED)
    assert who(office, RELEASED) == {office.subject_id, other}


def test_everybody_of_a_deal_is_told_with_their_own_consent(office: Office) -> None:
    other = office.newcomer()
    grants = {office.subject_id: office.agree().grant_id, other: office.request(subject_id=other)}
    deal = Deal(
        deal_id="deal",
        handle=HANDLE,
        kind="lease",
        client_id=CLIENT,
        recipient_id=RECIPIENT,
        matter_sealed=b"",
        state="COMPLETE",
        deadline=office.clock(),
        created_at=office.clock(),
    )
    members: Sequence[tuple[str, str | None]] = [
        *((one, grants[one]) for one in grants),
        ("nobody yet", None),
    ]
    put(
        office,
        deal,
        *(
            DealMember(
                member_id=f"m{number}",
                deal_id="deal",
                role=f"role {number}",
                purpose=PURPOSE,
                client_id=CLIENT,
                recipient_id=RECIPIENT,
                invitation_digest=bytes([number]),
                grant_id=grant_id,
                subject_id=None if grant_id is None else subject_id,
            )
            for number, (subject_id, grant_id) in enumerate(members)
        ),
    )
    under(office, EventType.DEAL_COMPLETED)
    tell(office)
    told = {one.subject_id: one.grant_id for one in notifications(office, EventType.DEAL_COMPLETED)}
    assert told == grants


@pytest.mark.parametrize("is_known", [True, False])
def test_both_sides_of_a_representation_are_told_each_by_their_own_entry(
    office: Office, *, is_known: bool
) -> None:
    other = office.newcomer() if is_known else None
    row = Representation(
        representation_id="r",
        subject_id=office.subject_id,
        representative_id=other,
        kind="mandate",
        state="OFFERED",
        actions="read",
        handle=HANDLE,
        notice_handle="the other side",
        valid_from=office.clock(),
        valid_until=office.clock(),
        created_at=office.clock(),
    )
    put(office, row)
    under(office, EventType.REPRESENTATION_OFFERED)
    assert who(office) == {office.subject_id}
    under(office, EventType.REPRESENTATION_OFFERED, "the other side")
    assert who(office) == {office.subject_id} | ({other} if other else set())
    assert len(notifications(office)) == 2 - (not is_known)


def test_who_is_asked_for_an_account_is_told(office: Office) -> None:
    holding = CoHolding(
        account_id="a",
        subject_id=office.subject_id,
        organisation_id=HOSPITAL,
        record_type=BILL,
        handle=HANDLE,
        added_at=office.clock(),
    )
    put(office, holding)
    under(office, EventType.APPROVAL_REQUESTED)
    assert who(office) == {office.subject_id}
    assert notifications(office)[0].organisation_id == HOSPITAL


def test_an_answer_to_a_request_by_right_is_told(office: Office) -> None:
    right = RightRequest(
        right_id="right",
        subject_id=office.subject_id,
        kind="correct",
        state="ANSWERED",
        handle=HANDLE,
        organisation_id=RECIPIENT,
        body_sealed=b"",
        filed_at=office.clock(),
        due_at=office.clock() + timedelta(days=10),
    )
    put(office, right)
    under(office, EventType.RIGHT_ANSWERED)
    assert who(office) == {office.subject_id}
    assert notifications(office)[0].kind == NoticeKind.DECISIONS


def test_an_emergency_is_told_at_once_whatever_happens_in_it(office: Office) -> None:
    access = EmergencyAccess(
        emergency_id="e",
        subject_id=office.subject_id,
        recipient_id=RECIPIENT,
        client_id=CLIENT,
        grant_id="none of the person's",
        statement_sealed=b"",
        handle=HANDLE,
        state="OPEN",
        opened_at=office.clock(),
        due_at=office.clock(),
    )
    put(office, access)
    wish(office, Wishes(Schedule.WEEKLY, Schedule.WEEKLY))
    under(office, RELEASED)
    tell(office)
    (one,) = notifications(office)
    assert (one.kind, one.batched_until, one.organisation_id) == (NoticeKind.SECURITY, None, RECIPIENT)


def test_a_childs_guardian_is_told_of_an_emergency_too(office: Office) -> None:
    guardian = office.newcomer()
    assert isinstance(Parties(office).guardian(office.subject_id, guardian), str)
    Parties(office).mandate(guardian, office.newcomer())
    linked(office)
    opened_emergency(office)
    assert who(office, EventType.EMERGENCY_OPENED) == {office.subject_id, guardian}
