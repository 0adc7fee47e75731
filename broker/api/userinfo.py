"""The UserInfo endpoint (OpenID Connect Core section 5.3): who the person behind an access token is.

It answers the pairwise `sub` and nothing else. The token proves its sender as at every resource (RFC 9449,
RFC 8705), and is taken from the Authorization header alone. Only a token of the profile `oidc` that is bound
to nothing may come as `Bearer`, or in a posted form (RFC 6750 sections 2.1 and 2.2), and only here.
"""

import hashlib
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from sqlmodel import Session, col, select

from broker.api.errors import ApiTokenError, BearerTokenError, ScopeMissingError
from broker.db import transaction
from broker.deps import FORM_MEDIA_TYPE, Installed, Now, read_form
from broker.installation import Installation
from broker.oauth.client_metadata import SecurityProfile
from broker.oauth.confirmation import NONE, is_same
from broker.oauth.dpop import take_jti
from broker.oauth.errors import InvalidProofError, OAuthCode, OAuthError
from broker.oauth.models import Client, Token
from broker.oauth.pairwise import pairwise_subject
from broker.oauth.scopes import OPENID
from broker.oauth.senders import prove_access, read_token
from broker.rate_limits import proven
from broker.web.signin.models import Account, AccountSession
from consent.models import Consent, ConsentVersion, Organisation
from consent.organisations import OrganisationStatus
from consent.states import LIVING
from consent.vocabulary import ConsentState

router = APIRouter(prefix="/userinfo", tags=["OAuth 2"])

_STANDING: Final = (*LIVING, ConsentState.PARTIALLY_SIGNED)


class UserInfo(BaseModel):
    """`sub` is the person's id at the client's organisation, as in the ID token."""

    sub: str


async def read_bearer(request: Request, installation: Installed) -> str | None:
    """A token that came without any proof, where clients of the profile `oidc` are served; None without one.

    A token in the address ends up in logs; one in the body is for those clients alone (FAPI 2.0 section
    5.3.3), and never beside another. Raises OAuthError invalid_request.
    """
    posted: list[str] = []
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM_MEDIA_TYPE:
        posted = (await read_form(request, installation)).all("access_token")
    values = request.headers.getlist("authorization")
    is_served = installation.settings.oauth.oidc_clients
    may_be_posted = is_served and request.method == "POST" and len(posted) == 1 and not values
    if "access_token" in request.query_params or (posted and not may_be_posted):
        raise OAuthError(OAuthCode.INVALID_REQUEST, "the token belongs in the Authorization header")
    if posted:
        return posted[0]
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    # A client certificate may be what proves its sender: then it is no such token.
    return token.strip() if is_served and scheme.lower() == "bearer" and token.strip() else None


Bearer = Annotated[str | None, Depends(read_bearer)]


def require_person(request: Request, installation: Installed, now: Now, bearer: Bearer) -> str:
    """The pairwise `sub` of the person whose token this is.

    Raises ApiTokenError, InvalidProofError, CertificateNeededError, ScopeMissingError.
    """
    if bearer is not None:
        sub = _person_of_unbound(installation, bearer, now)
        if sub is not None:
            return sub
    presented = read_token(request, installation)
    if presented is None:
        raise ApiTokenError if bearer is None else BearerTokenError
    bound = prove_access(request, installation, presented, now)
    with installation.data.read() as session:
        found = _find(session, hashlib.sha256(presented[1].encode()).digest(), now)
        is_standing = found is not None and _is_standing(session, found[0], now)
    if found is None or not is_same(found[0].cnf, bound.cnf) or not _is_served(installation, found[1]):
        raise ApiTokenError
    with transaction(installation.data) as work:
        if not take_jti(work.session, bound.jti_digest, bound.expires_at):
            raise InvalidProofError("the proof was used before")
    token, client = found
    proven(client.client_id)
    if OPENID not in token.scope.split():
        raise ScopeMissingError(OPENID)
    if token.subject_id is None or not is_standing:
        raise ApiTokenError
    return pairwise_subject(installation.keyring, client.organisation_id, token.subject_id)


Person = Annotated[str, Depends(require_person)]


@router.get("")
def get_userinfo(sub: Person, response: Response) -> UserInfo:
    """Who the person behind your token is to you. Needs scope `openid`."""
    response.headers["Cache-Control"] = "no-store"
    return UserInfo(sub=sub)


@router.post("")
def post_userinfo(sub: Person, response: Response) -> UserInfo:
    """The same by POST (OpenID Connect Core section 5.3.1); a token that is bound stays in the header."""
    response.headers["Cache-Control"] = "no-store"
    return UserInfo(sub=sub)


def _person_of_unbound(installation: Installation, raw_token: str, now: datetime) -> str | None:
    """Who is behind a token that is bound to nothing; None for every other token, whatever it lacks."""
    with installation.data.read() as session:
        found = _find(session, hashlib.sha256(raw_token.encode()).digest(), now)
        if found is None or found[0].cnf != NONE or found[1].security_profile != SecurityProfile.OIDC:
            return None
        token, client = found
        if token.subject_id is None or not _is_standing(session, token, now):
            return None
    proven(client.client_id)
    if OPENID not in token.scope.split():
        return None
    return pairwise_subject(installation.keyring, client.organisation_id, token.subject_id)


def _is_served(installation: Installation, client: Client) -> bool:
    is_plain = client.security_profile == SecurityProfile.OIDC
    return not is_plain or installation.settings.oauth.oidc_clients


def _find(session: Session, token_hash: bytes, now: datetime) -> tuple[Token, Client] | None:
    """An access token in time and not revoked, with its active client of an active organisation."""
    return session.exec(
        select(Token, Client).where(
            Token.token_hash == token_hash,
            Token.kind == "access",
            Token.expires_at > now,
            col(Token.revoked_at).is_(None),
            Client.client_id == Token.client_id,
            Client.status == "active",
            Organisation.organisation_id == Client.organisation_id,
            Organisation.status == OrganisationStatus.ACTIVE,
        )
    ).one_or_none()


def _is_standing(session: Session, token: Token, now: datetime) -> bool:
    """Whether what the token was given for still stands: its consent, or the session of a sign-in alone."""
    if token.grant_id is None:
        signed_in = session.exec(
            select(AccountSession.session_digest).where(
                AccountSession.session_digest == token.session_digest,
                AccountSession.expires_at > now,
                Account.account_id == AccountSession.account_id,
                Account.subject_id == token.subject_id,
            )
        ).one_or_none()
        return signed_in is not None
    version_id = session.exec(
        select(ConsentVersion.version_id).where(
            ConsentVersion.version_id == token.version_id,
            Consent.grant_id == ConsentVersion.grant_id,
            Consent.subject_id == token.subject_id,
            Consent.version_number == ConsentVersion.number,
            col(Consent.state).in_(_STANDING),
            Consent.valid_until > now,
        )
    ).one_or_none()
    return version_id is not None
