"""Guards of the JSON interface, declared per router: a client's own token, or a person.

The token is bound to its client's key; at event streams alone it may be bound to nothing
(`broker.api.unbound_tokens`).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import ColumnElement
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from broker.api.errors import ApiTokenError, AuditorNeededError, CitizenNeededError, ScopeMissingError
from broker.api.unbound_tokens import find_unbound, is_served, read_unproven, refuse_in_address
from broker.db import transaction
from broker.deps import Installed, Now
from broker.installation import Installation
from broker.oauth.client_metadata import SecurityProfile
from broker.oauth.confirmation import is_same
from broker.oauth.dpop import take_jti
from broker.oauth.errors import InvalidProofError
from broker.oauth.models import Client, Token
from broker.oauth.scopes import GRANT_QUERY, GRANT_REVOKE, SSF, SSF_READ
from broker.oauth.senders import prove_access, read_token
from broker.rate_limits import proven
from broker.web.signin.guards import SignedInVisitor, Visitor
from consent.models import ConsentVersion, Organisation
from consent.organisations import OrganisationStatus


@dataclass(frozen=True, slots=True)
class Caller:
    """A recipient's or a holder's client on its own business (client credentials), bound to the key `cnf`.

    With a `grant_id` its token came with that grant, and is good for nothing else. `scopes`: the token's.
    `is_plain`: its profile is `oidc`, and there are no consents for it.
    """

    client_id: str
    organisation_id: str
    cnf: str = ""
    grant_id: str | None = None
    scopes: frozenset[str] = frozenset()
    is_plain: bool = False


def recipient_with(
    scope: str, *, or_scope: str | None = None, or_with_grant: bool = False, or_unbound: bool = False
) -> Callable[[Request, Installed, Now], Caller]:
    """A guard for tokens of `scope` from the client credentials grant, with proof or certificate.

    `or_scope`: or of that one. `or_with_grant`: also for those that came with a person's grant, living or
    ended. `or_unbound`: also for those that are bound to nothing.
    """
    good = {scope, or_scope} - {None}

    def require_recipient(request: Request, installation: Installed, now: Now) -> Caller:
        found = _find_unbound(request, installation, now) if or_unbound else None
        if found is None:
            found = _prove(request, installation, now, or_with_grant=or_with_grant)
        token, client = found
        proven(client.client_id)
        scopes = frozenset(token.scope.split())
        if good.isdisjoint(scopes):
            raise ScopeMissingError(scope)
        is_plain = client.security_profile == SecurityProfile.OIDC
        return Caller(client.client_id, client.organisation_id, token.cnf, token.grant_id, scopes, is_plain)

    return require_recipient


DeliveriesCaller = Annotated[Caller, Depends(recipient_with("deliveries"))]
ObligationsCaller = Annotated[Caller, Depends(recipient_with("obligations"))]
DealsCaller = Annotated[Caller, Depends(recipient_with("deals"))]
EmergencyCaller = Annotated[Caller, Depends(recipient_with("emergency"))]
HolderCaller = Annotated[Caller, Depends(recipient_with("holders.records"))]
GrantQueryCaller = Annotated[Caller, Depends(recipient_with(GRANT_QUERY, or_with_grant=True))]
GrantRevokeCaller = Annotated[Caller, Depends(recipient_with(GRANT_REVOKE, or_with_grant=True))]
StreamCaller = Annotated[Caller, Depends(recipient_with(SSF, or_unbound=True))]
StreamReader = Annotated[Caller, Depends(recipient_with(SSF, or_scope=SSF_READ, or_unbound=True))]


def require_auditor_here(visitor: SignedInVisitor) -> Visitor:
    """A signed-in auditor; machines are told 401, not sent to a sign-in page."""
    if visitor is None or visitor.role != "auditor":
        raise AuditorNeededError
    return visitor


def require_staff_here(visitor: SignedInVisitor) -> Visitor:
    """A signed-in auditor or operator; machines are told 401, not sent to a sign-in page."""
    if visitor is None or visitor.role not in {"auditor", "operator"}:
        raise AuditorNeededError
    return visitor


def require_citizen_here(visitor: SignedInVisitor) -> Visitor:
    """A signed-in citizen; machines are told 401, not sent to a sign-in page."""
    if visitor is None or visitor.role != "citizen":
        raise CitizenNeededError
    return visitor


CitizenHere = Annotated[Visitor, Depends(require_citizen_here)]
AuditorHere = Annotated[Visitor, Depends(require_auditor_here)]


def _prove(
    request: Request, installation: Installation, now: datetime, *, or_with_grant: bool
) -> tuple[Token, Client]:
    """A client's own token with its client, and the proof or certificate that it is bound to.

    Raises ApiTokenError, InvalidProofError, NonceNeededError, CertificateNeededError.
    """
    presented = read_token(request, installation)
    if presented is None:
        raise ApiTokenError
    bound = prove_access(request, installation, presented, now)
    with installation.data.read() as session:
        found = _find(session, hashlib.sha256(presented[1].encode()).digest(), or_with_grant=or_with_grant)
    if found is None or not is_served(installation, found[1]):
        raise ApiTokenError
    token, client = found
    if not is_same(token.cnf, bound.cnf) or token.expires_at <= now or token.revoked_at is not None:
        raise ApiTokenError
    with transaction(installation.data) as work:
        if not take_jti(work.session, bound.jti_digest, bound.expires_at):
            raise InvalidProofError("the proof was used before")
    return token, client


def _find_unbound(request: Request, installation: Installation, now: datetime) -> tuple[Token, Client] | None:
    """A client's own token that is bound to nothing, with its client; None for every other token.

    Raises OAuthError invalid_request for one in the address.
    """
    if not installation.settings.oauth.oidc_clients:
        return None
    refuse_in_address(request)
    raw_token = read_unproven(request, installation)
    if raw_token is None:
        return None
    with installation.data.read() as session:
        found = find_unbound(session, raw_token, now)
    is_own = found is not None and found[0].grant_id is None and found[0].subject_id is None
    return found if is_own else None


def _find(session: Session, token_hash: bytes, *, or_with_grant: bool) -> tuple[Token, Client] | None:
    """A client's own access token, with its active client of an active organisation.

    `or_with_grant`: or one that came with a grant, unless another version of that grant stands by now.
    """
    # A sign-in speaks for its person, not for the client.
    is_own = col(Token.grant_id).is_(None) & col(Token.subject_id).is_(None)
    is_of_standing = col(Token.grant_id).is_not(None) & ~_superseded()
    return session.exec(
        select(Token, Client).where(
            Token.token_hash == token_hash,
            Token.kind == "access",
            is_own | is_of_standing if or_with_grant else is_own,
            Client.client_id == Token.client_id,
            Client.status == "active",
            Organisation.organisation_id == Client.organisation_id,
            Organisation.status == OrganisationStatus.ACTIVE,
        )
    ).one_or_none()


def _superseded() -> ColumnElement[bool]:
    """Whether a version of the token's grant came after the one that it was made for."""
    made_for, later = aliased(ConsentVersion), aliased(ConsentVersion)
    return (
        select(later.version_id)
        .join(made_for, col(made_for.version_id) == Token.version_id)
        .where(later.grant_id == Token.grant_id, col(later.number) > made_for.number)
        .correlate(Token)
        .exists()
    )
