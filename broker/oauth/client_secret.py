"""Client authentication by a shared secret, RFC 6749 section 2.3.1: for clients of the profile `oidc` only.

What is stored is the SHA-256 of 256 random bits, in the client's metadata; registering makes the secret, and
refuses it to every other profile.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final
from urllib.parse import unquote_plus

from broker.oauth.client_assertion import unproven
from broker.oauth.client_metadata import AuthMethod, ClientMetadata
from broker.oauth.clients import is_client_id, secret_digest
from broker.oauth.errors import OAuthCode, OAuthError

_BASIC: Final = "basic"
_MAX_HEADER: Final = 2048
_OTHERS: Final = frozenset({"client_assertion", "client_assertion_type", "client_secret"})


@dataclass(frozen=True, slots=True)
class SecretClaim:
    """Whose a request says it is, how it says so, and the digest of the secret that it brings."""

    unverified_client_id: str
    method: AuthMethod
    digest: str = field(repr=False)


def basic_credentials(authorization: Sequence[str]) -> list[str]:
    """The Authorization headers that are HTTP Basic (RFC 7617); another scheme is not about the client."""
    return [value for value in authorization if value.partition(" ")[0].lower() == _BASIC]


def read_secret(parameters: Mapping[str, str], authorization: Sequence[str]) -> SecretClaim | None:
    """The secret of a request, by header or in the form; None if it brings none.

    Raises OAuthError invalid_client for what cannot be read, and where the form names another client;
    invalid_request for two ways at once (RFC 6749 section 2.3).
    """
    basic = basic_credentials(authorization)
    if basic:
        if len(authorization) > 1 or not _OTHERS.isdisjoint(parameters):
            raise OAuthError(OAuthCode.INVALID_REQUEST, "the client proves itself in one way only")
        client_id, raw_secret = _read_basic(basic[0])
        if parameters.get("client_id") not in {None, client_id}:
            raise unproven()
        method = AuthMethod.CLIENT_SECRET_BASIC
    elif "client_secret" in parameters:
        if "client_assertion" in parameters:
            raise OAuthError(OAuthCode.INVALID_REQUEST, "the client proves itself in one way only")
        client_id, raw_secret = parameters.get("client_id", ""), parameters["client_secret"]
        method = AuthMethod.CLIENT_SECRET_POST
    else:
        return None
    if not is_client_id(client_id):
        raise unproven()
    return SecretClaim(client_id, method, secret_digest(raw_secret))


def is_of_client(claim: SecretClaim, metadata: ClientMetadata) -> bool:
    """Whether it is the secret of a client with this metadata, sent by its method; in constant time."""
    stored = metadata.client_secret_sha256 or ""
    is_same = compare_digest(claim.digest.encode(), stored.encode())
    return is_same and claim.method is metadata.token_endpoint_auth_method


def _read_basic(header: str) -> tuple[str, str]:
    """Id and secret, each form-encoded before they were joined (RFC 6749 section 2.3.1)."""
    if len(header) > _MAX_HEADER:
        raise unproven()
    try:
        pair = base64.b64decode(header.partition(" ")[2].strip(), validate=True).decode("ascii")
        raw_id, _, raw_secret = pair.partition(":")
        return unquote_plus(raw_id, errors="strict"), unquote_plus(raw_secret, errors="strict")
    except (binascii.Error, ValueError) as error:
        raise unproven() from error
