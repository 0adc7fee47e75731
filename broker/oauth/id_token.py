"""ID tokens (OpenID Connect Core section 2): that a person signed in here, told to one client.

Signed with the key of the authorization server (ES256), or with RS256 for clients of the profile `oidc` that
have not chosen otherwise. The subject is pairwise by organisation; nothing
else about the person is in it.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from broker.oauth import authentication_context
from broker.oauth.client_metadata import RS256, id_token_algorithm
from broker.oauth.clients import RegisteredClient
from broker.oauth.errors import KeyNotMadeError
from broker.oauth.pairwise import pairwise_session, pairwise_subject
from broker.oauth.tokens import SignedIn
from broker.service_keys import OAUTH_KEY, OPENID_KEY
from vault.errors import UntrustedTokenError
from vault.jose import public_jwks, sign_jwt, verify_jwt
from vault.keys.keyring import Keyring
from vault.keys.service_keys import KeyState, ServiceKey
from vault.untrusted import audience_claim, text_claim

ALGORITHM: Final = "ES256"
TYPE: Final = "JWT"
LIFE: Final = timedelta(seconds=300)
CLAIMS: Final = (
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "nonce",
    "acr",
    "amr",
    "at_hash",
    "sid",
)


@dataclass(frozen=True, slots=True)
class Telling:
    """One ID token: to which client, of which sign-in, beside which access token.

    `nonce` is the request's own, and there is none in a token that was refreshed (Core section 12.2).
    """

    client: RegisteredClient
    signed_in: SignedIn
    access_token: str
    nonce: str | None = None


def issue(keyring: Keyring, issuer: str, telling: Telling, now: datetime) -> str:
    """The ID token as a compact JWS. Raises KeyNotMadeError."""
    client, signed_in = telling.client, telling.signed_in
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": pairwise_subject(keyring, client.organisation_id, signed_in.subject_id),
        "aud": client.client_id,
        "exp": int((now + LIFE).timestamp()),
        "iat": int(now.timestamp()),
        "auth_time": int(signed_in.auth_time.timestamp()),
        "acr": signed_in.acr,
        "amr": list(authentication_context.METHODS[signed_in.acr]),
        "at_hash": _half_hash(telling.access_token),
    }
    if telling.nonce is not None:
        claims["nonce"] = telling.nonce
    if signed_in.session_digest is not None:
        claims["sid"] = pairwise_session(keyring, client.organisation_id, signed_in.session_digest)
    return sign_for(keyring, client, claims, TYPE)


def sign_for(keyring: Keyring, client: RegisteredClient, claims: Mapping[str, Any], typ: str) -> str:
    """Sign by the key and algorithm of this client's ID tokens. Raises KeyNotMadeError.

    Logout tokens are signed by the same, since they are verified in the same way (Back-Channel Logout section
    2.6).
    """
    key = signing_key(keyring, client)
    algorithm = id_token_algorithm(client.profile, client.metadata)
    return sign_jwt(claims, key.private_pem, kid=key.kid, typ=typ, alg=algorithm)


def signing_key(keyring: Keyring, client: RegisteredClient) -> ServiceKey:
    """What signs a client's ID tokens now. Raises KeyNotMadeError."""
    is_rs256 = id_token_algorithm(client.profile, client.metadata) == RS256
    keys = keyring.service_keys(OPENID_KEY if is_rs256 else OAUTH_KEY)
    if not keys:
        raise KeyNotMadeError
    return keys[0]


@dataclass(frozen=True, slots=True)
class Hint:
    """An ID token that comes back: to which client it was given, whom it names, and in which session."""

    client_id: str
    sub: str
    sid: str | None


def read_hint(keyring: Keyring, hint: str, *, issuer: str) -> Hint:
    """An ID token of ours, expired or not (RP-Initiated Logout section 2, id_token_hint).

    Raises UntrustedTokenError for any other: unsigned, changed, by a key no longer ours.
    """
    ours = [*keyring.service_keys(OAUTH_KEY), *keyring.service_keys(OPENID_KEY)]
    known = [key for key in ours if key.state != KeyState.RETIRED]
    _, claims = verify_jwt(hint, public_jwks(known), algorithms=(ALGORITHM, RS256), typ=TYPE.lower())
    audience = audience_claim(claims)
    if text_claim(claims, "iss") != issuer or len(audience) != 1:
        raise UntrustedTokenError("not an ID token of this server")
    sid = text_claim(claims, "sid") if "sid" in claims else None
    return Hint(audience[0], text_claim(claims, "sub"), sid)


def subject_of_hint(keyring: Keyring, hint: str, *, issuer: str, client_id: str) -> str:
    """`sub` of an ID token that this client was given, expired or not (Core section 3.1.2.1, id_token_hint).

    Raises UntrustedTokenError for any other, as `read_hint` does, and for another client's.
    """
    read = read_hint(keyring, hint, issuer=issuer)
    if read.client_id != client_id:
        raise UntrustedTokenError("not an ID token of this client")
    return read.sub


def _half_hash(access_token: str) -> str:
    """Core section 3.1.3.6: the left half of its SHA-256."""
    digest = hashlib.sha256(access_token.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
