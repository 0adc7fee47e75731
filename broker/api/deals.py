"""Deals: a recipient opens one, invites people by role, and sees who has signed. Never who they are."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlmodel import Session

from broker.api.guards import Caller, DealsCaller
from broker.api.strict_body import StrictJsonRoute
from broker.deps import Installed, Now, Read, Tx
from broker.oauth.clients import find_active
from consent import deals
from consent.deal_opening import MATTER_LENGTH, Asker, NewDeal, open_deal
from consent.deal_reading import deal_status
from consent.deal_shapes import DealShape
from consent.errors import DealInvalidError
from consent.vocabulary import DealState

router = APIRouter(prefix="/v1/deals", tags=["deals"], route_class=StrictJsonRoute)

_CREATED = 201
Code = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NewDealBody(_Body):
    """What a deal is about and until when everybody must have signed.

    `clients` names who asks for a role where it is not the caller; an optional role is in the deal if it is
    named. Without a `deadline` it is the latest that is allowed.
    """

    kind: Code
    matter: str = Field(min_length=1, max_length=MATTER_LENGTH)
    deadline: AwareDatetime | None = None
    clients: dict[Code, Code] = Field(default={}, max_length=20)


class DealOpened(_Body):
    """The new deal. `roles` has the invitation of each, which is told this once."""

    deal_id: str
    state: DealState
    deadline: datetime
    roles: dict[str, str]


class RoleState(_Body):
    """How far one role has come."""

    signed: bool


class DealBody(_Body):
    """A deal as its clients see it."""

    deal_id: str
    kind: str
    state: DealState
    reason: str | None
    deadline: datetime
    roles: dict[str, RoleState]


@router.post("", status_code=_CREATED)
def open_new_deal(
    body: NewDealBody, caller: DealsCaller, installation: Installed, work: Tx, now: Now
) -> DealOpened:
    """Open a deal; answers an invitation for each role.

    A client passes it as `deal_invitation` in its pushed authorization request. Nothing can be pulled before
    everybody has signed.
    """
    shape = installation.deal_shapes.get(body.kind)
    longest = timedelta(days=installation.settings.deals.longest_days)
    new = NewDeal(
        opener=Asker(caller.client_id, caller.organisation_id),
        askers=_askers(work.session, shape, caller, body.clients),
        matter=body.matter,
        deadline=body.deadline or now + longest,
    )
    opened = open_deal(work, installation.keyring, shape, new, longest, now)
    return DealOpened(
        deal_id=opened.deal_id,
        state=DealState.OPEN,
        deadline=new.deadline,
        roles=dict(opened.invitations),
    )


@router.get("/{deal_id}")
def show_deal(deal_id: str, caller: DealsCaller, session: Read, now: Now) -> DealBody:
    """The deal's state, for every client that asks in it: which roles have signed."""
    return _body(session, caller, deal_id, now)


@router.post("/{deal_id}/cancel")
def cancel_deal(deal_id: str, caller: DealsCaller, installation: Installed, work: Tx, now: Now) -> DealBody:
    """Call an open deal off, for everybody. Only for the client that opened it; repeating changes nothing."""
    deals.cancel(work, installation.keyring, deal_id, caller.client_id, now)
    work.session.flush()
    return _body(work.session, caller, deal_id, now)


def _body(session: Session, caller: Caller, deal_id: str, now: datetime) -> DealBody:
    status = deal_status(session, caller.client_id, deal_id, now)
    return DealBody(
        deal_id=status.deal_id,
        kind=status.kind,
        state=status.state,
        reason=status.state_reason,
        deadline=status.deadline,
        roles={role: RoleState(signed=signed) for role, signed in status.has_signed.items()},
    )


def _askers(session: Session, shape: DealShape, caller: Caller, named: dict[str, str]) -> dict[str, Asker]:
    """Who asks for each role. Unknown, suspended and without the purpose are one fault of a client."""
    client_ids = {role.role: caller.client_id for role in shape.roles if not role.optional} | named
    faults, askers = [], {}
    purposes = {role.role: role.purpose for role in shape.roles}
    for role, client_id in client_ids.items():
        client = find_active(session, client_id)
        if role not in purposes:
            faults.append((f"clients.{role}", "unknown_role"))
        elif client is None or purposes[role] not in client.purposes:
            faults.append((f"clients.{role}", "not_a_client_with_this_purpose"))
        else:
            askers[role] = Asker(client.client_id, client.organisation_id)
    if faults:
        raise DealInvalidError(faults)
    return askers
