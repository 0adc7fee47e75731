"""Transmission requests: what the broker signs, and what a holder checks before it sends anything.

A JWS (RFC 7515, typ `transmission-request+jwt`) of the broker's own key, for one holder and good for a
minute. It names the seven items of PIPA decree article 42-5(3): purpose, holder, recipient, what data and
whose, periodicity, end, retention; and which page of it is wanted. It travels in the body, never in a URL.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.errors import TransmissionRefusedError
from vault.errors import UntrustedTokenError
from vault.jose import sign_jwt, verify_jwt
from vault.untrusted import instant_claim, text_claim

TYPE: Final = "transmission-request+jwt"
MEDIA_TYPE: Final = f"application/{TYPE}"
MOST_RECORDS: Final = 500
"""On one page. The financial MyData standard has the same cap."""

_ALGORITHM: Final = "ES256"
_LIFETIME: Final = timedelta(seconds=60)
_LONGEST_LIFETIME: Final = timedelta(minutes=5)
_AHEAD: Final = timedelta(seconds=60)
_LONGEST_TEXT: Final = 500
_MOST_TYPES: Final = 50
_MARKS: Final = range(1 << 53)  # what every JSON reader agrees on (RFC 8259 section 6)

# On which of the eleven legal grounds a holder refuses a request that is not in order.
_NOT_ELIGIBLE: Final = "RECEIVER_NOT_ELIGIBLE"
_NOT_SPECIFIC: Final = "REQUEST_NOT_SPECIFIC"
REPEATED: Final = "EXCESSIVE_REPEAT"
UNKNOWN_PERSON: Final = "IDENTITY_UNVERIFIED"


@dataclass(frozen=True, slots=True)
class Transmission:
    """The seven items. `cycle` is an ISO 8601 duration, or None for once; `number` is the holder's own."""

    purpose: str
    holder: str
    recipient: str
    record_types: tuple[str, ...]
    number: str = field(repr=False)
    cycle: str | None
    until: datetime
    retention: str


@dataclass(frozen=True, slots=True)
class PageWish:
    """Which page: what has changed after the mark `since`, from a cursor of the holder's on."""

    since: int
    cursor: str | None = field(repr=False)
    limit: int = 100


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The broker's key for what it signs, and the name under which its public part is published."""

    kid: str
    private_pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Received:
    """A request that a holder has verified. Its `jti` must not have been seen before `expires_at`."""

    transmission: Transmission
    wish: PageWish
    jti: str
    expires_at: datetime


def sign_transmission(
    transmission: Transmission, wish: PageWish, key: SigningKey, *, issuer: str, now: datetime
) -> str:
    """A signed request; every attempt needs one of its own, since a holder takes each only once."""
    claims = {
        "iss": issuer,
        "aud": transmission.holder,
        "jti": secrets.token_urlsafe(16),
        "iat": int(now.timestamp()),
        "exp": int((now + _LIFETIME).timestamp()),
        "transmission": {
            "purpose": transmission.purpose,
            "holder": transmission.holder,
            "recipient": transmission.recipient,
            "data": {"record_types": list(transmission.record_types), "number": transmission.number},
            "cycle": transmission.cycle,
            "until": int(transmission.until.timestamp()),
            "retention": transmission.retention,
        },
        "page": {"since": wish.since, "cursor": wish.cursor, "limit": wish.limit},
    }
    return sign_jwt(claims, key.private_pem, kid=key.kid, typ=TYPE, alg=_ALGORITHM)


def read_transmission(
    token: str, keys: Mapping[str, Any], *, issuer: str, holder_id: str, now: datetime
) -> Received:
    """What a holder may act on: signed by this broker, for this holder, in time, with all seven items.

    Raises TransmissionRefusedError with the legal ground. Replay, and who the number is, are the caller's.
    """
    try:
        _, claims = verify_jwt(token, keys, algorithms=(_ALGORITHM,), typ=TYPE)
        if text_claim(claims, "iss") != issuer:
            raise TransmissionRefusedError(_NOT_ELIGIBLE, "issued by somebody else")
    except UntrustedTokenError as error:
        raise TransmissionRefusedError(_NOT_ELIGIBLE, error.reason) from error
    try:
        if text_claim(claims, "aud") != holder_id:
            raise TransmissionRefusedError(_NOT_SPECIFIC, "meant for another holder")
        expires_at = _check_times(claims, now)
        transmission = _transmission(_object(claims, "transmission"))
        wish = _wish(_object(claims, "page"))
        jti = text_claim(claims, "jti")
    except UntrustedTokenError as error:
        raise TransmissionRefusedError(_NOT_SPECIFIC, error.reason) from error
    if transmission.holder != holder_id:
        raise TransmissionRefusedError(_NOT_SPECIFIC, "it names another holder")
    if transmission.recipient != issuer:
        raise TransmissionRefusedError(_NOT_ELIGIBLE, "it names a recipient that did not sign")
    if transmission.until <= now:
        raise TransmissionRefusedError(_NOT_SPECIFIC, "its end has passed")
    return Received(transmission, wish, jti, expires_at)


def _check_times(claims: Mapping[str, Any], now: datetime) -> datetime:
    issued_at, expires_at = instant_claim(claims, "iat"), instant_claim(claims, "exp")
    if issued_at > now + _AHEAD:
        raise UntrustedTokenError("iat lies ahead")
    if expires_at <= now:
        raise UntrustedTokenError("exp has passed")
    if expires_at > issued_at + _LONGEST_LIFETIME:
        raise UntrustedTokenError("it would be good for too long")
    return expires_at


def _transmission(items: Mapping[str, Any]) -> Transmission:
    data = _object(items, "data")
    record_types = data.get("record_types")
    if (
        not isinstance(record_types, list)
        or not 0 < len(record_types) <= _MOST_TYPES
        or not all(isinstance(one, str) and one for one in record_types)
    ):
        raise UntrustedTokenError("record_types is not a list of names")
    return Transmission(
        purpose=_text(items, "purpose"),
        holder=_text(items, "holder"),
        recipient=_text(items, "recipient"),
        record_types=tuple(record_types),
        number=_text(data, "number"),
        cycle=None if items.get("cycle", "") is None else _text(items, "cycle"),
        until=instant_claim(items, "until"),
        retention=_text(items, "retention"),
    )


def _wish(page: Mapping[str, Any]) -> PageWish:
    since, limit = page.get("since"), page.get("limit")
    if type(since) is not int or since not in _MARKS:
        raise UntrustedTokenError("since is not a mark")
    if type(limit) is not int or not 0 < limit <= MOST_RECORDS:
        raise UntrustedTokenError("limit is out of range")
    cursor = None if page.get("cursor") is None else _text(page, "cursor")
    return PageWish(since, cursor, limit)


def _object(members: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = members.get(name)
    if not isinstance(value, dict):
        raise UntrustedTokenError(f"{name} is not an object")
    return value


def _text(members: Mapping[str, Any], name: str) -> str:
    value = text_claim(members, name)
    if len(value) > _LONGEST_TEXT:
        raise UntrustedTokenError(f"{name} is too long")
    return value
