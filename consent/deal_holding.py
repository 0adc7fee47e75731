"""What every step of a deal holds: its row, its members and their consents, locked in one order.

The deal comes first, its consents sorted by id after it, and nobody locks them the other way round: an end
that comes from elsewhere owes `DutyKind.CLOSE_DEAL` and leaves the deal alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session, col, select

from consent import lifecycle, states
from consent.errors import NotFoundError, WrongStateError
from consent.evidence import Occurrence, Work, evidence
from consent.models import Consent, Deal, DealMember
from consent.versions import REQUESTED_NUMBER
from consent.vocabulary import ConsentState, DealState, EventType
from vault.keys.keyring import Keyring
from vault.seal import context_of, open_sealed, seal

_SEALING_KEY: Final = "deal"


@dataclass(frozen=True, slots=True)
class Held:
    """A deal with its members and their consents, locked. `consents` are those of members, by grant id."""

    deal: Deal
    members: Sequence[DealMember]
    consents: Mapping[str, Consent]

    def consent_of(self, member: DealMember) -> Consent | None:
        """The member's consent; None while nobody has come."""
        return None if member.grant_id is None else self.consents[member.grant_id]

    def is_taken(self, member: DealMember) -> bool:
        """Whether somebody has the role. Who let their request lapse without an answer has not."""
        consent = self.consent_of(member)
        return consent is not None and not _lapsed(consent)

    def fallen(self) -> list[Consent]:
        """Consents of members that have ended: with one of them the deal cannot come about."""
        going_on = {*states.OPEN, *states.LIVING}
        return [one for one in self.consents.values() if one.state not in going_on and not _lapsed(one)]

    def require_open(self, now: datetime, event: str) -> None:
        """Raises WrongStateError once it has ended, or one of its consents has."""
        state = state_at(self.deal, now)
        if state is not DealState.OPEN or self.fallen():
            raise WrongStateError(state, event)


def deal_id_of(session: Session, grant_id: str) -> str | None:
    """The deal that a consent belongs to, for good; None for one that stands alone or is unknown."""
    return session.exec(select(Consent.deal_id).where(Consent.grant_id == grant_id)).one_or_none()


def hold_of(work: Work, grant_id: str) -> Held:
    """The deal of a consent, which never changes. Raises NotFoundError for one of no deal."""
    deal_id = deal_id_of(work.session, grant_id)
    if deal_id is None:
        raise NotFoundError
    return hold(work, deal_id)


def hold(work: Work, deal_id: str) -> Held:
    """Lock the deal, then the consents of its members in the order of their ids."""
    deal = work.session.exec(
        select(Deal)
        .where(Deal.deal_id == deal_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()
    members = work.session.exec(
        select(DealMember)
        .where(DealMember.deal_id == deal_id)
        .order_by(col(DealMember.role))
        .execution_options(populate_existing=True)
    ).all()
    grant_ids = sorted(member.grant_id for member in members if member.grant_id is not None)
    return Held(deal, members, {grant_id: lifecycle.lock(work, grant_id) for grant_id in grant_ids})


def state_at(deal: Deal, now: datetime) -> DealState:
    """The state as it is now: the deadline counts from its very instant, not from a job's."""
    if deal.state == DealState.OPEN and now >= deal.deadline:
        return DealState.EXPIRED
    return DealState(deal.state)


def seal_matter(keyring: Keyring, deal_id: str, matter: str) -> bytes:
    """What the deal is about, under the key of deals."""
    return seal(keyring.sealing_key(_SEALING_KEY), _context(deal_id), matter.encode())


def open_matter(keyring: Keyring, deal: Deal) -> str:
    """What the deal is about. Raises TamperedError."""
    return open_sealed(keyring.sealing_key(_SEALING_KEY), _context(deal.deal_id), deal.matter_sealed).decode()


def record_deal_event(  # noqa: PLR0913, PLR0917 - an event has this many sides
    work: Work, keyring: Keyring, deal: Deal, event: EventType, now: datetime, facts: Mapping[str, str | int]
) -> None:
    """A deal is nobody's own: its events have its own handle, and their detail no person in it."""
    reason = {} if deal.state_reason is None else {"reason": deal.state_reason}
    occurrence = Occurrence(
        event=event,
        handle=deal.handle,
        at=now,
        recipient=deal.recipient_id,
        facts={"kind": deal.kind, **facts, **reason},
        detail={"deal_id": deal.deal_id},
    )
    work.record(evidence(keyring.sealing_key(_SEALING_KEY), occurrence))


def _lapsed(consent: Consent) -> bool:
    return consent.state == ConsentState.EXPIRED and consent.version_number == REQUESTED_NUMBER


def _context(deal_id: str) -> bytes:
    return context_of("mydata/consent/deal@v1", deal_id)
