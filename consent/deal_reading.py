"""What may be read of a deal by the people and the clients in it: never who the others are."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from consent.deal_holding import open_matter, state_at
from consent.errors import NotFoundError
from consent.models import Deal, DealMember, Organisation
from consent.reading import Party, party
from consent.vocabulary import DealState
from vault.keys.keyring import Keyring


@dataclass(frozen=True, slots=True)
class MemberView:
    """One role: which purpose, for whom, and whether it was signed. `grant_id` only of one's own."""

    role: str
    purpose: str
    recipient: Party
    has_signed: bool
    grant_id: str | None


@dataclass(frozen=True, slots=True)
class DealView:
    """A deal as somebody in it sees it: kinds of what others share, nothing of theirs."""

    deal_id: str
    kind: str
    state: DealState
    state_reason: str | None
    matter: str
    opener: Party
    deadline: datetime
    ended_at: datetime | None
    members: tuple[MemberView, ...]


@dataclass(frozen=True, slots=True)
class DealStatus:
    """A deal as its clients see it: no persons. `has_signed` by role."""

    deal_id: str
    kind: str
    state: DealState
    state_reason: str | None
    deadline: datetime
    has_signed: dict[str, bool]


def deal_of(session: Session, keyring: Keyring, subject_id: str, deal_id: str, now: datetime) -> DealView:
    """A deal that this person is in; NotFoundError for any other."""
    deal, members = _found(session, deal_id)
    if all(member.subject_id != subject_id for member in members):
        raise NotFoundError
    return DealView(
        deal_id=deal.deal_id,
        kind=deal.kind,
        state=state_at(deal, now),
        state_reason=deal.state_reason,
        matter=open_matter(keyring, deal),
        opener=party(session.get_one(Organisation, deal.recipient_id)),
        deadline=deal.deadline,
        ended_at=deal.ended_at,
        members=tuple(
            MemberView(
                role=member.role,
                purpose=member.purpose,
                recipient=party(session.get_one(Organisation, member.recipient_id)),
                has_signed=member.signed_at is not None,
                grant_id=member.grant_id if member.subject_id == subject_id else None,
            )
            for member in members
        ),
    )


def deal_status(session: Session, client_id: str, deal_id: str, now: datetime) -> DealStatus:
    """A deal that this client opened, or asks in; NotFoundError for any other."""
    deal, members = _found(session, deal_id)
    if client_id not in {deal.client_id, *(member.client_id for member in members)}:
        raise NotFoundError
    return DealStatus(
        deal_id=deal.deal_id,
        kind=deal.kind,
        state=state_at(deal, now),
        state_reason=deal.state_reason,
        deadline=deal.deadline,
        has_signed={member.role: member.signed_at is not None for member in members},
    )


def _found(session: Session, deal_id: str) -> tuple[Deal, list[DealMember]]:
    deal = session.get(Deal, deal_id)
    if deal is None:
        raise NotFoundError
    members = select(DealMember).where(DealMember.deal_id == deal_id).order_by(col(DealMember.role))
    return deal, list(session.exec(members))
