"""Shielding a vulnerable person from somebody who holds an account with them (CDR rule 4A.15).

The other is not asked, not told, and sees nothing: what they may not know of is as unknown to them. All of it
is on the shielded person's record only. Their yes is still needed, and what waits for it waits, until the
staff has confirmed the danger: nobody does away with a co-holder's say by a wish.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session, col, delete, select
from sqlmodel.sql.expression import SelectOfScalar

from consent import lifecycle
from consent.coholding import lock_people
from consent.deal_holding import deal_id_of, hold_of
from consent.errors import NotFoundError, WrongStateError
from consent.evidence import Occurrence, Work, evidence
from consent.granting import misses_co_holder
from consent.models import Consent, ConsentParty, Shield
from consent.people_vocabulary import ShieldReason
from consent.staff import Staff
from consent.states import OPEN
from consent.vocabulary import ConsentState, EventType
from vault.keys.keyring import Keyring
from vault.schema import random_id
from vault.seal import context_of, open_sealed, seal

SHIELD_PURPOSE: Final = "subject.shield"


@dataclass(frozen=True, slots=True)
class Raised:
    """A shield stands. `ready` are the person's consents that wait for no co-holder.

    The caller commits the shield, and has each given in a transaction of its own.
    """

    shield_id: str
    ready: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShieldView:
    """A shield as the shielded person, or the staff, sees it."""

    shield_id: str
    subject_id: str
    other_id: str
    reason: ShieldReason
    is_confirmed: bool
    raised_at: datetime


def raise_shield(  # noqa: PLR0913 - who is shielded from whom, why, by whom
    work: Work,
    keyring: Keyring,
    subject_id: str,
    other_id: str,
    *,
    reason: ShieldReason,
    staff: Staff | None,
    now: datetime,
) -> Raised:
    """From now on the other is as a stranger. Idempotent; the staff confirms what was wished.

    `staff` None: the person wishes it themselves. Only what the staff raises for another reason than a wish
    is confirmed: what waited for the other waits no more. Raises NotFoundError for somebody who is nobody of
    ours, WrongStateError for themselves.
    """
    if subject_id == other_id:
        raise WrongStateError("alone", "shield")
    people = lock_people(work.session, [subject_id, other_id])
    if set(people) != {subject_id, other_id}:
        raise NotFoundError
    standing = work.session.exec(
        _standing().where(Shield.subject_id == subject_id, Shield.other_id == other_id),
    )
    row = standing.one_or_none()
    is_confirmed = staff is not None and reason is not ShieldReason.OWN_WISH
    if row is None or (is_confirmed and not row.is_confirmed):
        row = row or _new(subject_id, other_id, now)
        row.is_confirmed = is_confirmed
        row.reason_sealed = seal(keyring.audit_key(subject_id), _context(row.shield_id), reason.encode())
        work.session.add(row)
        work.session.flush()
        _record(work, keyring, row, EventType.SHIELD_RAISED, staff, now)
    return Raised(row.shield_id, _stop_waiting_for(work, subject_id, other_id) if row.is_confirmed else ())


def lift_shield(  # noqa: PLR0913 - whose, by whom
    work: Work,
    keyring: Keyring,
    shield_id: str,
    *,
    subject_id: str | None,
    staff: Staff | None,
    now: datetime,
) -> None:
    """The other is asked again from now on. Idempotent. Raises NotFoundError.

    `subject_id` None: the staff lifts it.
    """
    row = work.session.exec(
        select(Shield).where(Shield.shield_id == shield_id).with_for_update(key_share=True),
    ).one_or_none()
    if row is None or subject_id not in {None, row.subject_id}:
        raise NotFoundError
    if row.lifted_at is None:
        row.lifted_at = now
        _record(work, keyring, row, EventType.SHIELD_LIFTED, staff, now)


def shields(session: Session, keyring: Keyring, subject_id: str | None = None) -> list[ShieldView]:
    """The shields that stand; with a subject, theirs."""
    wanted = _standing().order_by(col(Shield.raised_at))
    if subject_id is not None:
        wanted = wanted.where(Shield.subject_id == subject_id)
    return [
        ShieldView(
            row.shield_id,
            row.subject_id,
            row.other_id,
            _reason(keyring, row),
            row.is_confirmed,
            row.raised_at,
        )
        for row in session.exec(wanted)
    ]


def _new(subject_id: str, other_id: str, now: datetime) -> Shield:
    return Shield(
        shield_id=random_id(),
        subject_id=subject_id,
        other_id=other_id,
        reason_sealed=b"",
        is_confirmed=False,
        handle=random_id(),
        raised_at=now,
    )


def _reason(keyring: Keyring, row: Shield) -> ShieldReason:
    opened = open_sealed(keyring.audit_key(row.subject_id), _context(row.shield_id), row.reason_sealed)
    return ShieldReason(opened.decode())


def _standing() -> SelectOfScalar[Shield]:
    return select(Shield).where(col(Shield.lifted_at).is_(None))


def _stop_waiting_for(work: Work, subject_id: str, other_id: str) -> tuple[str, ...]:
    """Take the other out of what waits for them; answers what waits for no co-holder, in order."""
    waiting = select(ConsentParty.grant_id).join(Consent, col(Consent.grant_id) == col(ConsentParty.grant_id))
    waiting = waiting.where(
        Consent.subject_id == subject_id,
        ConsentParty.subject_id == other_id,
        col(ConsentParty.decision).is_(None),
        col(Consent.state).in_(OPEN),
    )
    for grant_id in sorted(work.session.exec(waiting)):
        if deal_id_of(work.session, grant_id) is not None:
            hold_of(work, grant_id)  # a deal comes before its consents
        lifecycle.lock(work, grant_id)
        work.session.exec(
            delete(ConsentParty).where(
                col(ConsentParty.grant_id) == grant_id,
                col(ConsentParty.subject_id) == other_id,
                col(ConsentParty.decision).is_(None),
            ),
        )
    signed = select(Consent).where(
        Consent.subject_id == subject_id, Consent.state == ConsentState.PARTIALLY_SIGNED
    )
    return tuple(
        consent.grant_id
        for consent in work.session.exec(signed.order_by(col(Consent.grant_id)))
        if not misses_co_holder(work.session, consent)
    )


def _record(  # noqa: PLR0913, PLR0917 - an event has this many sides
    work: Work,
    keyring: Keyring,
    row: Shield,
    event: EventType,
    staff: Staff | None,
    now: datetime,
) -> None:
    acted: Mapping[str, str] = {} if staff is None else {"by": staff.by, "because": staff.reason}
    detail = {"shield_id": row.shield_id, "from": row.other_id, "reason": _reason(keyring, row), **acted}
    occurrence = Occurrence(event=event, handle=row.handle, at=now, purpose=SHIELD_PURPOSE, detail=detail)
    work.record(evidence(keyring.audit_key(row.subject_id), occurrence))


def _context(shield_id: str) -> bytes:
    return context_of("mydata/consent/shield@v1", shield_id)
