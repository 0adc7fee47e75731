"""Signed request objects, RFC 9101, as FAPI 2.0 Message Signing narrows it, pushed by value (RFC 9126 3).

Where there is an object, it is the whole request: parameters beside it are not even looked at, but for those
that the client proves itself with.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from broker.deps import FormData
from broker.oauth.client_metadata import must_sign_requests
from broker.oauth.clients import RegisteredClient
from broker.oauth.dpop import take_jti
from broker.oauth.errors import OAuthCode, OAuthError
from broker.oauth.requests import Call
from vault.errors import UntrustedTokenError
from vault.jose import verify_jwt
from vault.seal import context_of
from vault.untrusted import audience_claim, instant_claim

TYP: Final = "oauth-authz-req+jwt"
ALGORITHMS: Final = ("ES256", "PS256", "EdDSA", "Ed25519")
_LIFETIME: Final = timedelta(minutes=60)
_AHEAD: Final = timedelta(seconds=60)
_MAX_JTI: Final = 256
# RFC 9101 section 4 does not demand a type, and much software writes what every JWT may bear.
_UNTYPED: Final = frozenset({"", "jwt"})
_PREFIX: Final = "application/"

# Claims about the object itself (RFC 7519 section 4.1): no parameters of the request.
_CLAIMS: Final = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti"})
# RFC 9101 section 4: an object holds neither.
_REFERENCES: Final = frozenset({"request", "request_uri"})
# What is known here. Of another type than it has, such a parameter is refused; what is not known is ignored.
TEXTS: Final = frozenset(
    {
        "acr_values",
        "binding_message",
        "claims_locales",
        "client_id",
        "client_notification_token",
        "code_challenge",
        "code_challenge_method",
        "deal_invitation",
        "display",
        "dpop_jkt",
        "grant_id",
        "grant_management_action",
        "id_token_hint",
        "login_hint",
        "login_hint_token",
        "nonce",
        "prompt",
        "redirect_uri",
        "response_mode",
        "response_type",
        "scope",
        "state",
        "ui_locales",
        "user_code",
    }
)
NUMBERS: Final = frozenset({"max_age", "requested_expiry"})
_JSON: Final[Mapping[str, type]] = {"authorization_details": list, "claims": dict}
_LISTS: Final = frozenset({"resource"})  # RFC 8707 section 2: one of it, or several
KNOWN: Final = TEXTS | NUMBERS | frozenset(_JSON) | _LISTS


@dataclass(frozen=True, slots=True)
class RequestObject:
    """A verified object: its claims, and what a replay is told by if it bears an id."""

    claims: Mapping[str, Any]
    jti_digest: bytes | None
    expires_at: datetime


def unwrap(call: Call, client: RegisteredClient) -> tuple[Call, RequestObject | None]:
    """The request as it is to be read, and the object that it came in; None if it came in none.

    Using the object up is the caller's, once the request is accepted. Raises OAuthError invalid_request where
    the client must sign and did not, invalid_request_object.
    """
    if "request_uri" in call.parameters:  # RFC 9126 section 2.1
        raise OAuthError(OAuthCode.INVALID_REQUEST, "request_uri cannot be pushed")
    raw_object = call.parameters.get("request")
    if raw_object is None:
        if must_sign_requests(client.profile, client.metadata):  # RFC 9101 section 10.5
            raise OAuthError(OAuthCode.INVALID_REQUEST, "a signed request object is needed")
        return call, None
    limits = call.installation.settings.limits
    opened = verify(raw_object, client, issuer=call.issuer, now=call.now, max_bytes=limits.jwt_bytes)
    return replace(call, form=FormData(parameters_of(opened.claims))), opened


def verify(
    raw_object: str, client: RegisteredClient, *, issuer: str, now: datetime, max_bytes: int
) -> RequestObject:
    """An object verified with the keys of the client that sends it. Pure.

    Raises OAuthError invalid_request_object.
    """
    return _verified(raw_object, client, client.metadata.request_object_signing_alg, issuer, now, max_bytes)


def verify_backchannel(
    raw_object: str, client: RegisteredClient, *, issuer: str, now: datetime, max_bytes: int
) -> RequestObject:
    """The same for a request without a browser (OpenID CIBA Core section 7.1.1).

    `iat` and `jti` are needed too, and `client_id` is not. Raises OAuthError invalid_request_object.
    """
    alg = client.metadata.backchannel_authentication_request_signing_alg
    opened = _verified(raw_object, client, alg, issuer, now, max_bytes, is_backchannel=True)
    if opened.jti_digest is None or "iat" not in opened.claims:
        raise _refused("iat and jti are needed")
    if instant_claim(opened.claims, "iat") < now - _LIFETIME:
        raise _refused("iat lies more than 60 minutes back")
    return opened


def _verified(  # noqa: PLR0913, PLR0917 - what an object is compared with
    raw_object: str,
    client: RegisteredClient,
    registered: str | None,
    issuer: str,
    now: datetime,
    max_bytes: int,
    *,
    is_backchannel: bool = False,
) -> RequestObject:
    try:
        header, claims = verify_jwt(
            raw_object,
            client.jwks,
            algorithms=(registered,) if registered else ALGORITHMS,
            typ=None,
            max_bytes=max_bytes,
        )
        _check_type(header, claims, client.client_id)
        _check_parties(claims, client.client_id, issuer, is_backchannel=is_backchannel)
        expires_at = _check_times(claims, now)
    except UntrustedTokenError as error:
        raise _refused(error.reason) from error
    return RequestObject(claims, _jti_digest(claims, client.client_id), expires_at)


def use_up(session: Session, opened: RequestObject | None) -> None:
    """An object that bears an id is good once. Raises OAuthError invalid_request_object.

    At the end, and not when it is verified: who is asked to come again (for a nonce) comes with the same.
    """
    if opened is None or opened.jti_digest is None:
        return
    if not take_jti(session, opened.jti_digest, opened.expires_at):
        raise _refused("the object was used before")


def parameters_of(claims: Mapping[str, Any]) -> dict[str, list[str]]:
    """The claims of an object as the form would have had them. Raises OAuthError invalid_request_object."""
    found = {name: _texts(name, value) for name, value in claims.items() if name not in _CLAIMS}
    return {name: texts for name, texts in found.items() if texts}


def _check_type(header: Mapping[str, Any], claims: Mapping[str, Any], client_id: str) -> None:
    """RFC 9101 section 10.8: what was signed as something else is no request, and the other way around."""
    typ = header.get("typ", "")
    if not isinstance(typ, str):
        raise UntrustedTokenError("malformed typ")
    name = typ.lower().removeprefix(_PREFIX)
    if name == TYP:
        return
    if name not in _UNTYPED:
        raise UntrustedTokenError(f"typ is not {TYP}")
    if claims.get("sub") == client_id:
        raise UntrustedTokenError("an object without a type of its own that could be an assertion")


def _check_parties(claims: Mapping[str, Any], client_id: str, issuer: str, *, is_backchannel: bool) -> None:
    if claims.get("iss") != client_id:  # RFC 9101 section 4
        raise UntrustedTokenError("iss must be the client_id")
    named = claims.get("client_id", client_id if is_backchannel else None)
    if named != client_id:  # RFC 9101 section 5
        raise UntrustedTokenError("client_id must be the client that sends the object")
    if issuer not in audience_claim(
        claims
    ):  # FAPI 2.0 Message Signing section 5.3.1: or an array that holds it
        raise UntrustedTokenError("aud must be the issuer, or hold it")
    if not _REFERENCES.isdisjoint(claims):
        raise UntrustedTokenError("an object holds neither request nor request_uri")


def _check_times(claims: Mapping[str, Any], now: datetime) -> datetime:
    """FAPI 2.0 Message Signing section 5.3.1: both ends, an hour apart at most; answers when it expires."""
    begins_at, expires_at = instant_claim(claims, "nbf"), instant_claim(claims, "exp")
    issued_at = instant_claim(claims, "iat") if "iat" in claims else now
    if expires_at <= now:
        raise UntrustedTokenError("exp has passed")
    if max(begins_at, issued_at) > now + _AHEAD:
        raise UntrustedTokenError("nbf or iat lies more than 60 seconds ahead")
    if begins_at < now - _LIFETIME:
        raise UntrustedTokenError("nbf lies more than 60 minutes back")
    if expires_at > begins_at + _LIFETIME:
        raise UntrustedTokenError("exp lies more than 60 minutes after nbf")
    return expires_at


def _jti_digest(claims: Mapping[str, Any], client_id: str) -> bytes | None:
    if "jti" not in claims:
        return None
    jti = claims["jti"]
    if not isinstance(jti, str) or not 0 < len(jti) <= _MAX_JTI:
        raise _refused("jti is no text, or too long")
    return hashlib.sha256(context_of("mydata/oauth/request-object-jti@v1", client_id, jti)).digest()


def _texts(name: str, value: object) -> list[str]:
    """RFC 9101 section 4: texts are JSON strings, numbers JSON numbers, the rest as its own RFC has it."""
    if isinstance(value, str):
        if "\0" in value:
            raise _refused("a text holds a NUL")
        return [value]
    if name in NUMBERS and isinstance(value, int) and not isinstance(value, bool):
        return [str(value)]
    if name in _JSON and isinstance(value, _JSON[name]):
        return [_written(value)]
    if name in _LISTS and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return [text for one in value for text in _texts(name, one)]
    if name in KNOWN:
        raise _refused(f"{name} is of the wrong type")
    return []  # RFC 6749 section 3.1: what is not known is ignored


def _written(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        raise _refused("a number that is none, or nested too deeply") from None


def _refused(description: str) -> OAuthError:
    return OAuthError(OAuthCode.INVALID_REQUEST_OBJECT, description)
