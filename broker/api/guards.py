"""Guards of the JSON interface, declared per router: a client's own token bound to its key, or a person."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest
from typing import Annotated, Final

from fastapi import Depends, Request
from sqlmodel import Session, select

from broker.api.errors import ApiTokenError, AuditorNeededError, CitizenNeededError, ScopeMissingError
from broker.db import transaction
from broker.deps import Installed, Now
from broker.oauth.dpop import take_jti, verify_proof
from broker.oauth.errors import InvalidProofError
from broker.oauth.models import Client, Token
from broker.web.signin.guards import SignedInVisitor, Visitor
from consent.models import Organisation
from consent.organisations import OrganisationStatus

_SCHEME: Final = "dpop"


@dataclass(frozen=True, slots=True)
class Caller:
    """A recipient's or a holder's client on its own business (client credentials)."""

    client_id: str
    organisation_id: str


def recipient_with(scope: str) -> Callable[[Request, Installed, Now], Caller]:
    """A guard for tokens of `scope` from the client credentials grant, with proof (RFC 9449 section 7)."""

    def require_recipient(request: Request, installation: Installed, now: Now) -> Caller:
        scheme, _, access_token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != _SCHEME or not access_token:
            raise ApiTokenError
        proof = verify_proof(
            request.headers.getlist("dpop"),
            method=request.method,
            url=installation.settings.server.issuer + request.url.path,
            access_token=access_token,
            now=now,
        )
        with installation.data.read() as session:
            found = _find(session, hashlib.sha256(access_token.encode()).digest())
        if found is None:
            raise ApiTokenError
        token, client = found
        if (
            not compare_digest(token.jkt, proof.jkt)
            or token.expires_at <= now
            or token.revoked_at is not None
        ):
            raise ApiTokenError
        with transaction(installation.data) as work:
            if not take_jti(work.session, proof.jti_digest, proof.expires_at):
                raise InvalidProofError("the proof was used before")
        if scope not in token.scope.split():
            raise ScopeMissingError(scope)
        return Caller(client.client_id, client.organisation_id)

    return require_recipient


DeliveriesCaller = Annotated[Caller, Depends(recipient_with("deliveries"))]
HolderCaller = Annotated[Caller, Depends(recipient_with("holders.records"))]


def require_auditor_here(visitor: SignedInVisitor) -> Visitor:
    """A signed-in auditor; machines are told 401, not sent to a sign-in page."""
    if visitor is None or visitor.role != "auditor":
        raise AuditorNeededError
    return visitor


def require_citizen_here(visitor: SignedInVisitor) -> Visitor:
    """A signed-in citizen; machines are told 401, not sent to a sign-in page."""
    if visitor is None or visitor.role != "citizen":
        raise CitizenNeededError
    return visitor


CitizenHere = Annotated[Visitor, Depends(require_citizen_here)]
AuditorHere = Annotated[Visitor, Depends(require_auditor_here)]


def _find(session: Session, token_hash: bytes) -> tuple[Token, Client] | None:
    """A client's own access token, with its active client of an active organisation."""
    return session.exec(
        select(Token, Client).where(
            Token.token_hash == token_hash,
            Token.kind == "access",
            Token.grant_id == None,  # noqa: E711 - SQL
            Client.client_id == Token.client_id,
            Client.status == "active",
            Organisation.organisation_id == Client.organisation_id,
            Organisation.status == OrganisationStatus.ACTIVE,
        )
    ).one_or_none()
