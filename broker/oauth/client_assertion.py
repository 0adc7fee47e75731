"""Client authentication by a signed assertion: private_key_jwt, RFC 7523 as FAPI 2.0 narrows it."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from broker.oauth.clients import RegisteredClient, find_active, is_client_id
from broker.oauth.dpop import take_jti
from broker.oauth.errors import OAuthCode, OAuthError
from vault.errors import UntrustedTokenError
from vault.jose import peek, verify_jwt
from vault.seal import context_of
from vault.untrusted import instant_claim

METHOD: Final = "private_key_jwt"
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS: Final = ("ES256", "PS256", "EdDSA", "Ed25519")
_MAX_BYTES: Final = 8192
_LIFETIME: Final = timedelta(minutes=5)
_AHEAD: Final = timedelta(seconds=60)
_MAX_JTI: Final = 256
_TYPES: Final = frozenset({None, "JWT", "client-authentication+jwt"})


@dataclass(frozen=True, slots=True)
class Assertion:
    """A client assertion as it came, and whose it says it is. Nothing of it is verified.

    `addresses`: what it may be meant for instead of the issuer (`broker.oauth.assertion_audience`).
    """

    raw_assertion: str
    unverified_client_id: str
    named_client_id: str | None
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Proven:
    """A verified assertion: its id, which is good once, and until when it must be remembered."""

    jti_digest: bytes
    expires_at: datetime


def authenticate(
    session: Session, parameters: Mapping[str, str], *, issuer: str, now: datetime
) -> RegisteredClient:
    """The client that a request proves to come from; its assertion is used up.

    Before the signature holds, every failure has one description: a stranger learns nothing about
    which clients there are. Raises OAuthError invalid_client.
    """
    assertion = read_assertion(parameters)
    client = find_active(session, assertion.unverified_client_id)
    if client is None:
        raise unproven()
    proven = prove(assertion, client.client_id, client.jwks, issuer=issuer, now=now)
    if not take_jti(session, proven.jti_digest, proven.expires_at):
        raise used_before()
    return client


def read_assertion(parameters: Mapping[str, str]) -> Assertion:
    """The assertion of a request, to learn whose keys to verify with. Raises OAuthError invalid_client."""
    if "client_secret" in parameters:
        raise _refused("client secrets are not supported")
    raw_assertion = parameters.get("client_assertion")
    if raw_assertion is None or parameters.get("client_assertion_type") != ASSERTION_TYPE:
        raise _refused("a client_assertion of type jwt-bearer is needed")
    try:
        _, unverified_claims = peek(raw_assertion, max_bytes=_MAX_BYTES)
    except UntrustedTokenError as error:
        raise unproven() from error
    unverified_client_id = unverified_claims.get("sub")
    if not is_client_id(unverified_client_id):
        raise unproven()
    return Assertion(raw_assertion, unverified_client_id, parameters.get("client_id"))


def prove(  # noqa: PLR0913 - what an assertion is compared with
    assertion: Assertion,
    client_id: str,
    jwks: Mapping[str, Any],
    *,
    issuer: str,
    now: datetime,
    algorithms: Collection[str] = ALGORITHMS,
) -> Proven:
    """Verify an assertion with the keys of the active client that it names; using its id up is the caller's.

    Pure, so the hot lane verifies with the same function. Raises OAuthError invalid_client.
    """
    try:
        header, claims = verify_jwt(
            assertion.raw_assertion, jwks, algorithms=algorithms, typ=None, max_bytes=_MAX_BYTES
        )
    except UntrustedTokenError as error:
        raise unproven() from error
    if header.get("typ") not in _TYPES:  # a DPoP proof or a request object is no assertion
        raise unproven()
    if assertion.named_client_id not in {None, client_id}:
        raise _refused("client_id is not the client of the assertion")
    meant_for = assertion.addresses | {issuer}
    expires_at = _check_claims(claims, client_id=client_id, meant_for=meant_for, now=now)
    return Proven(_jti_digest(client_id, claims["jti"]), expires_at)


def unproven() -> OAuthError:
    """What every failure before the signature holds is answered with."""
    return _refused("client authentication failed")


def used_before() -> OAuthError:
    """The assertion is good, and was so before."""
    return _refused("the assertion was used before")


def _check_claims(
    claims: Mapping[str, Any], *, client_id: str, meant_for: Collection[str], now: datetime
) -> datetime:
    """Every claim in turn (RFC 7523 section 3); answers when the assertion expires."""
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise _refused("iss and sub must both be the client_id")
    audience = claims.get("aud")
    # FAPI 2.0 section 5.3.2.1: the issuer, as a string, nothing else
    if not isinstance(audience, str) or audience not in meant_for:
        raise _refused("aud must be the issuer, as a single string")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= _MAX_JTI:
        raise _refused("jti is missing or too long")
    try:
        expires_at = instant_claim(claims, "exp")
        begins_at = max([now, *(instant_claim(claims, name) for name in ("iat", "nbf") if name in claims)])
    except UntrustedTokenError as error:
        raise _refused(error.reason) from error
    if begins_at > now + _AHEAD:
        raise _refused("iat or nbf lies more than 60 seconds ahead")
    if expires_at <= now:
        raise _refused("exp has passed")
    if expires_at > begins_at + _LIFETIME:
        raise _refused("exp lies more than 5 minutes ahead")
    return expires_at


def _jti_digest(client_id: str, jti: str) -> bytes:
    return hashlib.sha256(context_of("mydata/oauth/assertion-jti@v1", client_id, jti)).digest()


def _refused(description: str) -> OAuthError:
    return OAuthError(OAuthCode.INVALID_CLIENT, description)
