"""Opening a deal, and coming to a role of it by an invitation."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session, select

from consent import lifecycle
from consent.deal_holding import Held, hold, record_deal_event, seal_matter, state_at
from consent.deal_shapes import DealShape, DealShapes
from consent.errors import DealInvalidError, InvitationInvalidError, WrongStateError
from consent.evidence import Work, record_consent_event
from consent.models import Consent, Deal, DealMember
from consent.vocabulary import ConsentState, DealState, EventType, StateReason
from vault.keys.keyring import Keyring
from vault.schema import random_id

MATTER_LENGTH: Final = 200
_INVITATION_PREFIX: Final = "mdi_"
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for a role: a client, and its organisation."""

    client_id: str
    recipient_id: str


@dataclass(frozen=True, slots=True)
class NewDeal:
    """A deal to be opened. `askers` has the client of every role that is to be in it."""

    opener: Asker
    askers: Mapping[str, Asker]
    matter: str
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """A new deal, with the one time that its invitations are told, by role."""

    deal_id: str
    invitations: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Joined:
    """A person came to a role. `is_refused`: it is not for them; their consent was refused at once."""

    grant_id: str
    is_refused: bool


def open_deal(  # noqa: PLR0913, PLR0917 - what is opened, and within which bounds
    work: Work, keyring: Keyring, shape: DealShape, new: NewDeal, longest: timedelta, now: datetime
) -> Opened:
    """A deal in state OPEN, with an invitation for each role. Raises DealInvalidError."""
    _check_new(shape, new, longest, now)
    deal_id, handle = random_id(), random_id()
    work.session.add(
        Deal(
            deal_id=deal_id,
            handle=handle,
            kind=shape.kind,
            client_id=new.opener.client_id,
            recipient_id=new.opener.recipient_id,
            matter_sealed=seal_matter(keyring, deal_id, new.matter),
            state=DealState.OPEN,
            deadline=new.deadline,
            created_at=now,
        )
    )
    work.session.flush()
    invitations = {role: _INVITATION_PREFIX + secrets.token_urlsafe(_SECRET_BYTES) for role in new.askers}
    for role, asker in new.askers.items():
        work.session.add(
            DealMember(
                member_id=random_id(),
                deal_id=deal_id,
                role=role,
                purpose=shape.role(role).purpose,
                client_id=asker.client_id,
                recipient_id=asker.recipient_id,
                invitation_digest=_digest_of(invitations[role]),
            )
        )
    deal = work.session.get_one(Deal, deal_id)
    record_deal_event(work, keyring, deal, EventType.DEAL_OPENED, now, {"members": len(invitations)})
    return Opened(deal_id, invitations)


def find_invited(session: Session, raw_invitation: str, client_id: str, purpose: str, now: datetime) -> str:
    """The member id of the role that an invitation opens for this client and purpose.

    Raises InvitationInvalidError: unknown and another client's are one answer.
    """
    found = session.exec(
        select(DealMember, Deal).where(
            DealMember.invitation_digest == _digest_of(raw_invitation),
            DealMember.client_id == client_id,
            Deal.deal_id == DealMember.deal_id,
        )
    ).one_or_none()
    if found is None:
        raise InvitationInvalidError("the invitation is not one of this client")
    member, deal = found
    if member.purpose != purpose:
        raise InvitationInvalidError("the invitation is for another purpose")
    if state_at(deal, now) is not DealState.OPEN:
        raise InvitationInvalidError("the deal has ended")
    if member.signed_at is not None:
        raise InvitationInvalidError("the invitation was used")
    return member.member_id


def join(  # noqa: PLR0913, PLR0917 - who comes to which role of what
    work: Work, keyring: Keyring, shapes: DealShapes, member_id: str, new: lifecycle.NewConsent, now: datetime
) -> Joined:
    """The person opens the request of a role: it becomes their consent, one of the deal's.

    Who has a role already that excludes this one is refused, on record; so is who comes to the role of
    somebody else. Their own request that they left unanswered is replaced. Raises WrongStateError once the
    deal has ended, or they have signed.
    """
    member = work.session.get_one(DealMember, member_id)
    held = hold(work, member.deal_id)
    held.require_open(now, "join")
    if not _may_take(shapes.get(held.deal.kind), held, member, new):
        grant_id = lifecycle.request(work, keyring, new, now)
        consent = lifecycle.lock(work, grant_id)
        lifecycle.refuse_locked(work, keyring, consent, StateReason.DEAL_ROLE, now)
        return Joined(grant_id, is_refused=True)
    earlier = held.consent_of(member)
    if earlier is not None and earlier.state == ConsentState.PARTIALLY_SIGNED:
        raise WrongStateError(earlier.state, "join")
    if earlier is not None and earlier.state == ConsentState.REQUESTED:
        lifecycle.expire(work, keyring, earlier, now)
    grant_id = lifecycle.request(work, keyring, replace(new, deal_id=held.deal.deal_id), now)
    member.grant_id, member.subject_id = grant_id, new.subject_id
    consent = lifecycle.lock(work, grant_id)
    facts = {"deal": held.deal.handle}
    detail = {"deal_id": held.deal.deal_id, "role": member.role}
    record_consent_event(work, keyring, consent, EventType.DEAL_JOINED, facts=facts, detail=detail, now=now)
    return Joined(grant_id, is_refused=False)


def _check_new(shape: DealShape, new: NewDeal, longest: timedelta, now: datetime) -> None:
    known = {role.role for role in shape.roles}
    needed = {role.role for role in shape.roles if not role.optional}
    faults = [
        *((f"members.{role}", "unknown_role") for role in sorted(new.askers.keys() - known)),
        *((f"members.{role}", "missing") for role in sorted(needed - new.askers.keys())),
    ]
    if not now < new.deadline <= now + longest:
        faults.append(("deadline", f"within {longest.days} days from now"))
    if not new.matter.strip() or len(new.matter) > MATTER_LENGTH or not new.matter.isprintable():
        faults.append(("matter", f"one line of at most {MATTER_LENGTH} characters"))
    if faults:
        raise DealInvalidError(faults)


def _may_take(shape: DealShape, held: Held, member: DealMember, new: lifecycle.NewConsent) -> bool:
    """Whether this person may come to this role, as the others' roles and the role itself stand.

    Roles that exclude each other are not in one hand either: nobody signs both sides for others.
    """
    if held.is_taken(member) and member.subject_id != new.subject_id:
        return False
    for other in held.members:
        consent = held.consent_of(other)
        if other.member_id == member.member_id or consent is None or not held.is_taken(other):
            continue
        is_same = consent.subject_id == new.subject_id
        is_one_hand = _hand(consent) == _hand(new)
        if (is_same or is_one_hand) and shape.exclude(member.role, other.role):
            return False
        if not is_same and shape.bind(member.role, other.role):
            return False
    return True


def _hand(consent: Consent | lifecycle.NewConsent) -> str:
    """Who signs: the person, or whoever decides for them."""
    return consent.signed_by or consent.subject_id


def _digest_of(raw_invitation: str) -> bytes:
    return hashlib.sha256(raw_invitation.encode()).digest()
