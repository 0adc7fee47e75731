"""Tokens that are bound to nothing (RFC 6750), of clients of the profile `oidc`, where those are served.

They are good for whoever has them, and so for little: `/userinfo`, and a client's own event stream. A token
that is bound is never one of them, however it comes.
"""

import hashlib
from datetime import datetime
from typing import Final

from fastapi import Request
from sqlmodel import Session, col, select

from broker.installation import Installation
from broker.oauth.client_metadata import SecurityProfile
from broker.oauth.confirmation import NONE
from broker.oauth.errors import OAuthCode, OAuthError
from broker.oauth.models import Client, Token
from consent.models import Organisation
from consent.organisations import OrganisationStatus

_BEARER: Final = "bearer"


def read_unproven(request: Request, installation: Installation) -> str | None:
    """A token of the Authorization header that came without any proof, where there are such; None without.

    It may be bound all the same, to the certificate that the request was made with.
    """
    values = request.headers.getlist("authorization")
    scheme, _, raw_token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    is_there = scheme.lower() == _BEARER and bool(raw_token.strip())
    return raw_token.strip() if is_there and installation.settings.oauth.oidc_clients else None


def refuse_in_address(request: Request) -> None:
    """An address ends up in logs (RFC 6750 section 5.3). Raises OAuthError invalid_request."""
    if "access_token" in request.query_params:
        raise misplaced()


def misplaced() -> OAuthError:
    """The refusal of a token that came in another place than its header."""
    return OAuthError(OAuthCode.INVALID_REQUEST, "the token belongs in the Authorization header")


def is_served(installation: Installation, client: Client) -> bool:
    """Whether a client of this profile is known here at all: it is not, once the setting is off again."""
    is_plain = client.security_profile == SecurityProfile.OIDC
    return not is_plain or installation.settings.oauth.oidc_clients


def find_living(session: Session, raw_token: str, now: datetime) -> tuple[Token, Client] | None:
    """An access token in time and not revoked, with its active client of an active organisation."""
    return session.exec(
        select(Token, Client).where(
            Token.token_hash == hashlib.sha256(raw_token.encode()).digest(),
            Token.kind == "access",
            Token.expires_at > now,
            col(Token.revoked_at).is_(None),
            Client.client_id == Token.client_id,
            Client.status == "active",
            Organisation.organisation_id == Client.organisation_id,
            Organisation.status == OrganisationStatus.ACTIVE,
        )
    ).one_or_none()


def find_unbound(session: Session, raw_token: str, now: datetime) -> tuple[Token, Client] | None:
    """The same, if it is bound to nothing; None for every other token, whatever it lacks."""
    found = find_living(session, raw_token, now)
    if found is None or found[0].cnf != NONE or found[1].security_profile != SecurityProfile.OIDC:
        return None
    return found
