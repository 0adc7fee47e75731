"""Proof Key for Code Exchange, RFC 7636: S256 only, always required but of clients of the profile `oidc`."""

import base64
import hashlib
import re
from collections.abc import Mapping
from hmac import compare_digest
from typing import Final

from broker.oauth.errors import OAuthCode, OAuthError

METHOD: Final = "S256"
NO_CHALLENGE: Final = ""
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")  # base64url of 32 bytes
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 section 4.1


def read_challenge(parameters: Mapping[str, str]) -> str:
    """The challenge of an authorization request; raises OAuthError invalid_request.

    An absent method would mean `plain` (RFC 7636 section 4.3), so it is refused like `plain`.
    """
    if parameters.get("code_challenge_method") != METHOD:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "code_challenge_method must be S256")
    challenge = parameters.get("code_challenge", "")
    if _CHALLENGE.fullmatch(challenge) is None:
        raise OAuthError(OAuthCode.INVALID_REQUEST, "code_challenge must be 43 characters of base64url")
    return challenge


def read_optional(parameters: Mapping[str, str]) -> str:
    """The challenge of a request of the profile `oidc`; NO_CHALLENGE if it speaks of none.

    OpenID Connect Core has neither PKCE nor a nonce that a code flow must have, and its certification holds a
    server to both (`oidcc-ensure-request-without-nonce-succeeds-for-code-flow`). What RFC 9700 section 2.1.1
    asks of such a client is the client's own; here its code is worth nothing without its secret or key.
    """
    if {"code_challenge", "code_challenge_method"}.isdisjoint(parameters):
        return NO_CHALLENGE
    return read_challenge(parameters)


def verify(verifier: str | None, challenge: str) -> None:
    """Refuse a verifier that does not fit the challenge.

    One without a challenge is refused, too: who began without cannot end with it (RFC 9700 section 4.8.2).
    Raises OAuthError invalid_grant, for a missing one too: RFC 7636 section 4.6, and FAPI 2.0.
    """
    if challenge == NO_CHALLENGE:
        if verifier is not None:
            raise OAuthError(OAuthCode.INVALID_GRANT, "there was no code_challenge")
        return
    if verifier is None or _VERIFIER.fullmatch(verifier) is None:
        raise OAuthError(OAuthCode.INVALID_GRANT, "code_verifier is missing or malformed")
    if not compare_digest(challenge_of(verifier), challenge):
        raise OAuthError(OAuthCode.INVALID_GRANT, "code_verifier does not fit the code_challenge")


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode()
