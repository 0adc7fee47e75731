"""What a stranger sends as text, read strictly: base64url, JSON objects, claims. Used by `vault.jose`.

Every fault is an UntrustedTokenError (RFC 7515 section 2 and 4, RFC 7519 section 2, RFC 8725 section 2.4).
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from vault.errors import UntrustedTokenError

_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def decode_base64url(text: object) -> bytes:
    """Strict base64url (RFC 7515 section 2): no padding, no other characters, one spelling only."""
    if isinstance(text, str) and _BASE64URL.fullmatch(text) and len(text) % 4 != 1:
        decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        if urlsafe_b64encode(decoded).decode().rstrip("=") == text:
            return decoded
    raise UntrustedTokenError("malformed base64url")


def parse_object(raw: bytes) -> dict[str, Any]:
    """A JSON object with unique names (RFC 7515 section 4, RFC 8725 section 2.4) and valid text."""
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
        # A lone surrogate would break whoever encodes the text later.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise UntrustedTokenError("malformed JSON") from None
    if not isinstance(value, dict):
        raise UntrustedTokenError("not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def text_claim(claims: Mapping[str, Any], name: str) -> str:
    """A claim that must be a string that is not empty. UntrustedTokenError."""
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise UntrustedTokenError(f"{name} is not a string")
    return value


def audience_claim(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """`aud` as a tuple, be it a string or a list (RFC 7519 section 4.1.3). UntrustedTokenError."""
    value = claims.get("aud")
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, str) and item for item in values):
        raise UntrustedTokenError("aud is neither a string nor a list of strings")
    return tuple(values)


def instant_claim(claims: Mapping[str, Any], name: str) -> datetime:
    """A NumericDate as an aware UTC datetime (RFC 7519 section 2). UntrustedTokenError."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UntrustedTokenError(f"{name} is not a NumericDate")
    try:
        return _EPOCH + timedelta(seconds=value)
    except (OverflowError, ValueError):
        raise UntrustedTokenError(f"{name} is out of range") from None
