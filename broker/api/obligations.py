"""What a recipient still owes: what it must delete by when, and its signed word that it did."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from broker.api.guards import ObligationsCaller
from broker.api.strict_body import StrictJsonRoute
from broker.deps import Installed, Now, Read, Tx
from broker.errors import Answer, problem, trace_id_of
from broker.oauth.clients import show
from consent.attestation import MAX_BYTES, AttestationRefused, Attestor, attest
from consent.owed import ObligationView, obligations_to
from consent.vocabulary import AttestationFault, DueCause, ObligationState

router = APIRouter(prefix="/v1/obligations", tags=["obligations"], route_class=StrictJsonRoute)

_REFUSED: Final = {
    AttestationFault.MALFORMED: "It is no compact JWS of this type with exactly these claims.",
    AttestationFault.KEY_UNKNOWN: "No key that you have registered now has signed it.",
    AttestationFault.MISADDRESSED: "iss must be your client_id, and aud the issuer, as a string.",
    AttestationFault.OF_ANOTHER: "It is about another obligation or grant.",
    AttestationFault.NOT_FRESH: "iat is more than ten minutes old, or ahead: sign it anew.",
    AttestationFault.TOO_EARLY: "deleted_at lies before the last delivery.",
    AttestationFault.IN_FUTURE: "deleted_at lies ahead: attest once it is done.",
    AttestationFault.DIGESTS_DIFFER: "deliveries must be exactly the payload digests, sorted. Get them anew.",
}


class OwedDelivery(BaseModel):
    """A delivery that may be stored, and until when."""

    delivery_id: str
    as_of: datetime
    delete_by: datetime
    payload_digest: str


class Owed(BaseModel):
    """One obligation. `cause` is null while the consent lives and its data life is not over."""

    obligation_id: str
    grant_id: str
    state: ObligationState
    cause: DueCause | None
    due_at: datetime
    attested_at: datetime | None
    deliveries: list[OwedDelivery]


class OwedPage(BaseModel):
    """Obligations in the order of their ids; `next` is where the next page begins, if there is one."""

    obligations: list[Owed]
    next: str | None


class AttestationBody(BaseModel):
    """A compact JWS of type `mydata-attestation+jwt`, by a key of the client's registered key set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attestation: str = Field(min_length=1, max_length=MAX_BYTES)


class AttestationAccepted(BaseModel):
    """The obligation is closed, until something else is delivered under its consent."""

    obligation_id: str
    state: ObligationState
    attested_at: datetime


@router.get("")
def list_obligations(
    caller: ObligationsCaller,
    session: Read,
    state: Annotated[list[ObligationState], Query(max_length=len(ObligationState))] = [],  # noqa: B006 - the framework copies it
    after: Annotated[str, Query(max_length=100)] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> OwedPage:
    """Your obligations, all or those in a `state` (may be repeated). Works after consents have ended."""
    found = obligations_to(
        session, caller.organisation_id, states=frozenset(state), after=after, limit=limit + 1
    )
    page = found[:limit]
    return OwedPage(
        obligations=[_owed(view) for view in page],
        next=page[-1].obligation_id if len(found) > limit else None,
    )


@router.post("/{obligation_id}/attestation", response_model=AttestationAccepted)
def attest_deletion(  # noqa: PLR0913, PLR0917 - what the framework injects
    obligation_id: str,
    body: AttestationBody,
    caller: ObligationsCaller,
    request: Request,
    installation: Installed,
    work: Tx,
    now: Now,
) -> AttestationAccepted | Response:
    """Attest that everything an obligation names was deleted. A refusal (422) is on record.

    Claims: iss, aud, iat, jti, obligation_id, grant_id, deliveries (the payload digests, sorted), deleted_at
    (RFC 3339) and method (erased, overwritten, key_destroyed, media_destroyed). The same again: no change.
    """
    attestor = Attestor(
        caller.client_id,
        caller.organisation_id,
        show(work.session, caller.client_id).jwks,
        installation.settings.server.issuer,
    )
    done = attest(work, installation.keyring, obligation_id, body.attestation, attestor, now=now)
    if isinstance(done, AttestationRefused):
        # An answer and no error: raising would undo what goes on record.
        answer = Answer(422, done.fault, _REFUSED[done.fault])
        return problem(answer, trace_id=trace_id_of(request))
    return AttestationAccepted(
        obligation_id=done.obligation_id, state=done.state, attested_at=done.attested_at
    )


def _owed(view: ObligationView) -> Owed:
    return Owed(
        obligation_id=view.obligation_id,
        grant_id=view.grant_id,
        state=view.state,
        cause=view.cause,
        due_at=view.due_at,
        attested_at=view.attested_at,
        deliveries=[
            OwedDelivery(
                delivery_id=one.delivery_id,
                as_of=one.as_of,
                delete_by=one.keep_until,
                payload_digest=one.payload_digest.hex(),
            )
            for one in view.deliveries
        ],
    )
