"""What a recipient says about its deliveries: acknowledgement and decision."""

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from broker.api.guards import DeliveriesCaller
from broker.api.strict_body import StrictJsonRoute
from broker.deps import Installed, Now, Tx
from consent.delivery import acknowledge, receive_decision
from consent.vocabulary import DecisionStatus

router = APIRouter(prefix="/v1/deliveries", tags=["deliveries"], route_class=StrictJsonRoute)

Won = Annotated[int, Field(ge=0, le=10**12, strict=True)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
_CREATED = 201


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Explanation(_Body):
    """One sentence for the person, in both languages."""

    ko: str = Field(min_length=1, max_length=1000)
    en: str = Field(min_length=1, max_length=1000)


class DecisionLine(_Body):
    """One line of a decision: which bill and part, the amounts in won, the rule, and why."""

    bill_no: Name
    part: Name
    billed: Won
    deductible: Won
    over_limit: Won = 0
    paid: Won
    rule_id: Name
    explanation: Explanation


class DecisionBody(_Body):
    """What a recipient decided on a delivery.

    Of a loan, `payable` is what is lent, and each line is one rule that was applied.
    """

    kind: Literal["claim", "loan"] = "claim"
    status: DecisionStatus
    reference: Name
    payable: Won
    lines: list[DecisionLine] = Field(max_length=500)
    explanation: Explanation


class Acknowledged(_Body):
    """The delivery is acknowledged."""

    delivery_id: str
    acknowledged: Literal[True] = True


class DecisionReceived(_Body):
    """The decision is kept for the person."""

    decision_id: str


@router.post("/{delivery_id}/ack")
def acknowledge_delivery(
    delivery_id: str, caller: DeliveriesCaller, installation: Installed, work: Tx, now: Now
) -> Acknowledged:
    """Say that a delivery is stored safely. Repeating it changes nothing; works after the consent ended."""
    acknowledge(work, installation.keyring, delivery_id, caller.organisation_id, now)
    return Acknowledged(delivery_id=delivery_id)


@router.post("/{delivery_id}/decision", responses={_CREATED: {"model": DecisionReceived}})
def decide_on_delivery(  # noqa: PLR0913, PLR0917 - what the framework injects
    delivery_id: str,
    body: DecisionBody,
    caller: DeliveriesCaller,
    installation: Installed,
    work: Tx,
    now: Now,
    response: Response,
) -> DecisionReceived:
    """Send the decision back to the person. The same one again answers 200 with the first one's id.

    A different one is taken after status `review`, or once the person has asked for a review; the person
    sees the earlier one too. A review that confirms says so in its explanation, and so differs.
    """
    received = receive_decision(
        work,
        installation.keyring,
        delivery_id,
        recipient_id=caller.organisation_id,
        # What is the same as ever is kept as ever: decisions that came before there were kinds still match.
        body=body.model_dump(mode="json", exclude={"kind"} if body.kind == "claim" else None),
        now=now,
    )
    response.status_code = 200 if received.is_repeated else _CREATED
    return DecisionReceived(decision_id=received.decision_id)
