"""How a representation ends, and what ends or waits with it (invariant 20).

What was asked through it and nobody had agreed to yet dies. What was given under a mandate stays: the person
can stop it at any time. What a guardian gave waits at the hand-over until the young person lets it go on.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session, col, or_, select

from consent.errors import NotFoundError
from consent.evidence import Work, record_consent_event
from consent.lifecycle import expire, lock, move
from consent.models import Consent, Representation
from consent.outbox import DutyKind, owe
from consent.party_records import lock_representation, record
from consent.people_vocabulary import RepresentationEnd, RepresentationKind, RepresentationState
from consent.staff import Staff
from consent.states import LIVING, OPEN
from consent.vocabulary import ConsentState, EventType, StateReason
from vault.keys.keyring import Keyring

OFFER_LASTS: Final = timedelta(days=7)


def end_representation(work: Work, keyring: Keyring, representation_id: str, by: str, now: datetime) -> None:
    """Either of the two ends it, or an offer. Idempotent. A child does not end their guardian's.

    Raises NotFoundError, for somebody else's too.
    """
    row = lock_representation(work.session, representation_id)
    if row is None or by not in {row.subject_id, row.representative_id}:
        raise NotFoundError
    is_subject = by == row.subject_id
    if is_subject and row.kind == RepresentationKind.GUARDIAN:
        raise NotFoundError
    if row.state == RepresentationState.ENDED:
        return
    reason = RepresentationEnd.BY_SUBJECT if is_subject else RepresentationEnd.BY_REPRESENTATIVE
    if row.state == RepresentationState.OFFERED and not is_subject:
        reason = RepresentationEnd.DECLINED
    close(work, keyring, row, reason, now)


def end_by_staff(work: Work, keyring: Keyring, representation_id: str, staff: Staff, now: datetime) -> None:
    """The staff ends it: custody was lost, or a doubt came up. Idempotent. Raises NotFoundError."""
    row = lock_representation(work.session, representation_id)
    if row is None:
        raise NotFoundError
    if row.state != RepresentationState.ENDED:
        close(work, keyring, row, RepresentationEnd.BY_STAFF, now, staff=staff)


def close(  # noqa: PLR0913 - what ends why, and by whom
    work: Work,
    keyring: Keyring,
    row: Representation,
    reason: RepresentationEnd,
    now: datetime,
    *,
    staff: Staff | None = None,
) -> None:
    """End a representation that is locked. Its open requests die."""
    row.state, row.ended_at, row.end_reason = RepresentationState.ENDED, now, reason
    work.session.add(row)
    detail = {} if staff is None else {"by": staff.by, "because": staff.reason}
    record(work, keyring, row, EventType.REPRESENTATION_ENDED, now, facts={"reason": reason}, detail=detail)
    if row.representative_id is None:
        return
    asked = (
        select(Consent)
        .where(
            Consent.subject_id == row.subject_id,
            Consent.signed_by == row.representative_id,
            col(Consent.state).in_(OPEN),
        )
        .order_by(col(Consent.grant_id))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    for consent in work.session.exec(asked).all():
        expire(work, keyring, consent, now, StateReason.MANDATE_ENDED)


def overdue(session: Session, now: datetime) -> list[str]:
    """Representations and offers whose time is over and that are not ended yet."""
    is_over = or_(
        col(Representation.valid_until) <= now,
        (col(Representation.state) == RepresentationState.OFFERED)
        & (col(Representation.created_at) <= now - OFFER_LASTS),
    )
    wanted = select(Representation.representation_id).where(
        col(Representation.state) != RepresentationState.ENDED,
        is_over,
    )
    return sorted(session.exec(wanted))


def lapse(work: Work, keyring: Keyring, representation_id: str, now: datetime) -> bool:
    """End one whose time is over; answers whether there was anything to end. Raises NotFoundError."""
    row = lock_representation(work.session, representation_id)
    if row is None:
        raise NotFoundError
    if row.state == RepresentationState.ENDED:
        return False
    is_guardian = row.kind == RepresentationKind.GUARDIAN
    reason = RepresentationEnd.HANDOVER if is_guardian else RepresentationEnd.EXPIRED
    close(work, keyring, row, reason, now)
    return True


def due_handovers(session: Session, now: datetime) -> list[str]:
    """Consents that a guardian gave, and that wait for the young person from now on."""
    wanted = select(Consent.grant_id).where(
        col(Consent.pause_at) <= now,
        col(Consent.valid_until) > now,
        col(Consent.state).in_(LIVING),
    )
    return sorted(session.exec(wanted))


def hand_over(work: Work, keyring: Keyring, grant_id: str, now: datetime) -> bool:
    """Pause what a guardian agreed to until the young person lets it go on; answers whether it did.

    Pulls are refused since `pause_at` (`consent.policy`). What waits anyway until a new text was read keeps
    that reason. Raises NotFoundError.
    """
    consent = lock(work, grant_id)
    if consent.pause_at is None or consent.state not in LIVING:
        return False
    if not consent.pause_at <= now < consent.valid_until:
        return False
    consent.pause_at = None
    consent.signed_by = None  # they decide for themselves from now on, and may renew it
    if consent.state_reason == StateReason.RECONSENT:
        return False
    if consent.state == ConsentState.GIVEN:
        owe(work.session, DutyKind.TELL_PAUSED, grant_id, now)
    move(consent, EventType.CONSENT_PAUSED, StateReason.HANDOVER)
    detail = {"reason": StateReason.HANDOVER}
    record_consent_event(work, keyring, consent, EventType.CONSENT_PAUSED, detail=detail, now=now)
    return True
