"""The UserInfo endpoint (OpenID Connect Core section 5.3): who the person behind an access token is.

It answers the pairwise `sub` and nothing else. The token proves its sender as at every resource (RFC 9449,
RFC 8705), and is taken from the Authorization header alone. Only a token of the profile `oidc` that is bound
to nothing may come as `Bearer` (`broker.api.unbound_tokens`), or in a posted form (RFC 6750 sections 2.1 and
2.2); in a form only here.
"""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from sqlmodel import Session, col, select

from broker.api.errors import ApiTokenError, BearerTokenError, ScopeMissingError
from broker.api.unbound_tokens import (
    find_living,
    find_unbound,
    is_served,
    misplaced,
    read_unproven,
    refuse_in_address,
)
from broker.db import transaction
from broker.deps import FORM_MEDIA_TYPE, Installed, Now, read_form
from broker.installation import Installation
from broker.oauth.confirmation import is_same
from broker.oauth.dpop import take_jti
from broker.oauth.errors import InvalidProofError
from broker.oauth.models import Token
from broker.oauth.pairwise import pairwise_subject
from broker.oauth.scopes import OPENID
from broker.oauth.senders import prove_access, read_token
from broker.rate_limits import proven
from broker.web.signin.models import Account, AccountSession
from consent.models import Consent, ConsentVersion
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
    refuse_in_address(request)
    posted: list[str] = []
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM_MEDIA_TYPE:
        posted = (await read_form(request, installation)).all("access_token")
    if not posted:
        return read_unproven(request, installation)
    may_be_posted = installation.settings.oauth.oidc_clients and request.method == "POST"
    if not may_be_posted or len(posted) > 1 or "authorization" in request.headers:
        raise misplaced()
    return posted[0]


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
        found = find_living(session, presented[1], now)
        is_standing = found is not None and _is_standing(session, found[0], now)
    if found is None or not is_same(found[0].cnf, bound.cnf) or not is_served(installation, found[1]):
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
        found = find_unbound(session, raw_token, now)
        if found is None:
            return None
        token, client = found
        if token.subject_id is None or not _is_standing(session, token, now):
            return None
    proven(client.client_id)
    if OPENID not in token.scope.split():
        return None
    return pairwise_subject(installation.keyring, client.organisation_id, token.subject_id)


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
