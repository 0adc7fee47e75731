"""A deal as somebody in it sees it: what it is about, who has yet to sign, and what is shared in kind.

Who is not in it gets the answer of an unknown one: the reading raises NotFoundError (404).
"""

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Depends
from sqlmodel import Session
from starlette.responses import Response

from broker.installation import Installation
from broker.web.citizen import wording
from broker.web.citizen.desk import ReaderOf
from broker.web.i18n import Words
from broker.web.rendering import PageOf
from broker.web.signin.guards import require_citizen
from consent.deal_reading import DealView, MemberView, deal_of
from consent.deal_shapes import DealShape
from consent.vocabulary import DealState

router = APIRouter(prefix="/deals", dependencies=[Depends(require_citizen)])


@dataclass(frozen=True, slots=True)
class RoleWords:
    """One role in plain words: for others only the purpose, never what is in it."""

    name: str
    shares: str
    recipient_name: str
    has_signed: bool
    grant_id: str | None


@dataclass(frozen=True, slots=True)
class DealWords:
    """A deal in plain words."""

    deal_id: str
    kind: str
    matter: str
    opener_name: str
    state: str
    reason: str | None
    group: str
    is_open: bool
    deadline: datetime
    roles: tuple[RoleWords, ...]

    @property
    def own(self) -> tuple[RoleWords, ...]:
        """One's own roles."""
        return tuple(role for role in self.roles if role.grant_id is not None)

    @property
    def missing(self) -> tuple[RoleWords, ...]:
        """The roles that have yet to sign."""
        return tuple(role for role in self.roles if not role.has_signed)


@router.get("/{deal_id}", name="deals.one")
def show_deal(deal_id: str, page: PageOf, reader: ReaderOf) -> Response:
    """The deal, and what this person shares in it themselves."""
    view = deal_of(reader.session, reader.keyring, reader.subject_id, deal_id, reader.now)
    own = [reader.consent(member.grant_id) for member in view.members if member.grant_id is not None]
    return page.answer(
        "citizen/deal.html",
        deal=describe_deal(page.words, view, reader.installation),
        shares=[
            (consent.grant_id, reader.in_words(page.words, consent.terms, consent.recipient))
            for consent in own
        ],
    )


def deal_for(
    words: Words, installation: Installation, session: Session, of: tuple[str, str], now: datetime
) -> DealWords:
    """The deal of `(subject_id, deal_id)` in words. Raises NotFoundError."""
    subject_id, deal_id = of
    return describe_deal(
        words, deal_of(session, installation.keyring, subject_id, deal_id, now), installation
    )


def describe_deal(words: Words, view: DealView, installation: Installation) -> DealWords:
    """A deal in words. Its shape and its purposes are those of this program."""
    shape = installation.deal_shapes.get(view.kind)
    order = [role.role for role in shape.roles]
    members = sorted(view.members, key=lambda member: order.index(member.role))
    return DealWords(
        deal_id=view.deal_id,
        kind=shape.name.in_language(words.language),
        matter=view.matter,
        opener_name=view.opener.name(words.language),
        state=wording.deal_state_in_words(words, view.state),
        reason=wording.state_reason_in_words(words, view.state_reason),
        group={DealState.OPEN: "waiting", DealState.COMPLETE: "active"}.get(view.state, "ended"),
        is_open=view.state is DealState.OPEN,
        deadline=view.deadline,
        roles=tuple(_role(words, member, shape, installation) for member in members),
    )


def _role(words: Words, member: MemberView, shape: DealShape, installation: Installation) -> RoleWords:
    purpose = installation.purposes.get(member.purpose)
    return RoleWords(
        name=shape.role(member.role).name.in_language(words.language),
        shares=purpose.name.in_language(words.language),
        recipient_name=member.recipient.name(words.language),
        has_signed=member.has_signed,
        grant_id=member.grant_id,
    )
