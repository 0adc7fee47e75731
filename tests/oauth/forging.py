"""What an attacker makes of a signed token: other headers after signing, and a secret for a key."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from tests.oauth.world import without_left_out


def encoded(part: object) -> str:
    """One segment of a JWS: base64url of bytes, or of anything else as JSON."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(segment: str) -> dict[str, Any]:
    """The JSON object of a segment."""
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return value


def with_header(raw_token: str, changes: Mapping[str, Any]) -> str:
    """A token whose header was changed after signing, so its signature no longer holds either."""
    header, claims, signature = raw_token.split(".")
    return f"{encoded(without_left_out(decoded(header) | dict(changes)))}.{claims}.{signature}"


def unsigned(raw_token: str) -> str:
    """The same claims under `alg` none, without a signature (RFC 7515 section A.5)."""
    return with_header(raw_token, {"alg": "none"}).rpartition(".")[0] + "."


def with_shared_secret(raw_proof: str) -> str:
    """The same claims under an HMAC whose secret stands in the header (`kty` oct)."""
    secret = b"s" * 32
    jwk = {"kty": "oct", "k": encoded(secret)}
    header, claims, _ = raw_proof.split(".")
    signed = f"{encoded(decoded(header) | {'alg': 'HS256', 'jwk': jwk})}.{claims}"
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), hashlib.sha256))}"
