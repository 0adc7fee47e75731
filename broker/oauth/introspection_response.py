"""Introspection answers as signed tokens, RFC 9701: what a client was told of a token, and can show later."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from vault.jose import sign_jwt
from vault.keys.service_keys import ServiceKey

MEDIA_TYPE: Final = "application/token-introspection+jwt"
PLAIN_MEDIA_TYPE: Final = "application/json"
TYP: Final = "token-introspection+jwt"
ALGORITHMS: Final = ("ES256",)
_ALWAYS: Final = "introspection_signed_response_alg"
_WEIGHT: Final = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")  # RFC 9110 section 12.4.2

_Range = tuple[str, float]


def wants_signed(accepted: Sequence[str]) -> bool:
    """Whether the Accept headers name the token, and rather it than plain JSON (RFC 9701 section 4).

    By weight and by how closely a range names a type (RFC 9110 section 12.5.1); of two that weigh the same
    the token wins, for only who knows it names it. A weight that is none counts as one. Who accepts neither
    is answered with plain JSON, not refused (section 12.4.1).
    """
    if TYP not in ",".join(accepted).lower():
        return False
    ranges = [_range(part) for part in ",".join(accepted).split(",") if part.strip()]
    named = max((weight for name, weight in ranges if name == MEDIA_TYPE), default=0.0)
    return named > 0 and named >= _weight_of(ranges, PLAIN_MEDIA_TYPE)


def signs_always(raw_metadata: str) -> bool:
    """Whether a client's metadata (a JSON object) say that its answers are signed (RFC 9701 section 6)."""
    if _ALWAYS not in raw_metadata:
        return False
    metadata: Mapping[str, Any] = orjson.loads(raw_metadata)
    return metadata.get(_ALWAYS) is not None


def sign(members: Mapping[str, Any], *, issuer: str, client_id: str, key: ServiceKey, now: datetime) -> str:
    """The answer as a compact JWS for the client that asks (RFC 9701 section 5).

    Neither `sub` nor `exp` stands beside the members: it is not to pass for an access token.
    """
    claims = {
        "iss": issuer,
        "aud": client_id,
        "iat": int(now.timestamp()),
        "token_introspection": dict(members),
    }
    return sign_jwt(claims, key.private_pem, kid=key.kid, typ=TYP, alg=key.kind)


def _range(part: str) -> _Range:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            weight = parameter.removeprefix("q=")
            return name, float(weight) if _WEIGHT.fullmatch(weight) else 1.0
    return name, 1.0


def _weight_of(ranges: Sequence[_Range], media_type: str) -> float:
    kind = media_type.partition("/")[0]
    for wanted in (media_type, f"{kind}/*", "*/*"):
        weights = [weight for name, weight in ranges if name == wanted]
        if weights:
            return max(weights)
    return 0.0
