"""Access in an emergency: one pull without the person's consent, told to them at once and always reviewed."""

import math
from datetime import datetime, timedelta
from typing import Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from broker.api.guards import EmergencyCaller
from broker.api.strict_body import StrictJsonRoute
from broker.deps import Installed, Now, Tx
from broker.errors import Answer, problem, trace_id_of
from broker.oauth import scopes
from broker.oauth.confirmation import token_type
from broker.oauth.tokens import Binding, Grant, issue_access
from broker.receipt_signing import receipt_signer
from consent.emergency import (
    LASTS,
    LONGEST_TEXT,
    PURPOSE,
    EmergencyRefused,
    NewEmergency,
    open_access,
)
from consent.emergency_limits import Limits
from consent.people_vocabulary import EmergencyReason

router = APIRouter(prefix="/v1/emergency-access", tags=["emergencies"], route_class=StrictJsonRoute)

_NOT_THERE: Final = Answer(404, "not_found", "There is nothing here for you.")
_OPEN_ALREADY: Final = Answer(
    409, "emergency_open", "An access to this person's data is open. Use its token, or wait until it ends."
)
_CREATED: Final = 201


class EmergencySubject(BaseModel):
    """The person, by a holder's own number for them (a patient number)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    holder: str = Field(min_length=1, max_length=100)
    number: str = Field(min_length=1, max_length=100)


class EmergencyBody(BaseModel):
    """Who, why, and in your own words. The person, the staff and the auditor read it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: EmergencySubject
    reason: EmergencyReason
    text: str = Field(min_length=10, max_length=LONGEST_TEXT)


class EmergencyOpened(BaseModel):
    """A token for one pull of `GET /v1/records`, bound to the key or certificate that proved this request."""

    emergency_id: str
    grant_id: str
    access_token: str
    token_type: str
    expires_in: int
    review_due_at: datetime


@router.post("", status_code=_CREATED, response_model=EmergencyOpened)
def open_emergency(  # noqa: PLR0913, PLR0917 - what a request brings
    request: Request,
    body: EmergencyBody,
    caller: EmergencyCaller,
    installation: Installed,
    work: Tx,
    now: Now,
) -> EmergencyOpened | Response:
    """Open what the emergency purpose names, for a day. An unknown number is 404, and on record.

    409 while the client has an access to this person's data. 429 once too many wait for their review, or too
    many requests were refused within a day.
    """
    new = NewEmergency(
        holder_id=body.subject.holder,
        number=body.subject.number,
        reason=body.reason,
        text=body.text,
        recipient_id=caller.organisation_id,
        client_id=caller.client_id,
    )
    people = installation.settings.people
    opened = open_access(
        work,
        installation.keyring,
        new,
        purpose=installation.purposes.get(PURPOSE),
        sign_receipt=receipt_signer(installation, now),
        review_within=timedelta(days=people.emergency_review_days),
        limits=Limits(people.emergency_unreviewed, people.emergency_refusals_a_day),
        now=now,
    )
    if isinstance(opened, EmergencyRefused):
        # An answer and no error: raising would undo what goes on record.
        return problem(_refusal(opened), trace_id=trace_id_of(request))
    grant = Grant(opened.grant_id, opened.version_id, opened.subject_id, now + LASTS, opened.terms)
    binding = Binding(caller.client_id, scopes.RECORDS_READ, caller.cnf, grant)
    raw_token, seconds = issue_access(work.session, binding, seconds=int(LASTS.total_seconds()), now=now)
    return EmergencyOpened(
        emergency_id=opened.emergency_id,
        grant_id=opened.grant_id,
        access_token=raw_token,
        token_type=token_type(caller.cnf),
        expires_in=seconds,
        review_due_at=opened.due_at,
    )


def _refusal(refused: EmergencyRefused) -> Answer:
    if refused.wait is not None:
        seconds = max(1, math.ceil(refused.wait.total_seconds()))
        detail = "Too many emergencies wait for their review, or too many were refused today."
        return Answer(429, "too_many_emergencies", detail, {"Retry-After": str(seconds)})
    return _OPEN_ALREADY if refused.is_open else _NOT_THERE
