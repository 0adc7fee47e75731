"""What a recipient's software sends with a pull: a proof of possession for one request (RFC 9449)."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from vault.jose import Jwk, public_jwk, sign_with_jwk
from vault.schema import random_id

ABSENT: Final = object()


def proof(
    key: Jwk,
    method: str,
    url: str,
    *,
    access_token: str,
    now: datetime,
    header: Mapping[str, Any] | None = None,
    **changes: object,
) -> str:
    """A good proof, or one with other claims; ABSENT takes a claim away."""
    digest = hashlib.sha256(access_token.encode()).digest()
    claims = {
        "jti": random_id(),
        "htm": method,
        "htu": url,
        "iat": int(now.timestamp()),
        "ath": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
    }
    public = {name: value for name, value in public_jwk(key).items() if name in {"kty", "crv", "x", "y"}}
    named = {"alg": key["alg"], "typ": "dpop+jwt", "jwk": public} | dict(header or {})
    changed = {name: value for name, value in (claims | changes).items() if value is not ABSENT}
    return sign_with_jwk(changed, key, named)
