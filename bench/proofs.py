"""Requests that are ready to be sent: a DPoP proof is good for one request and one minute (RFC 9449)."""

import base64
import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any, Final

from broker.cli.opening import read_clock
from vault.jose import Jwk, public_jwk, sign_with_jwk
from vault.schema import random_id

# The middle of what the broker accepts: signing and sending may take this long each.
_AHEAD_SECONDS: Final = 25
_CHUNK: Final = 200


@dataclass(frozen=True, slots=True)
class Ticket:
    """One pull: its token, and the key under which the same delivery can be had again."""

    token: str = field(repr=False)
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Signed:
    """Requests as they go over the wire, and how long signing all of them took."""

    requests: list[bytes] = field(repr=False)
    seconds: float


def sign(executor: Executor, jwk: Jwk, url: str, tickets: Sequence[Ticket]) -> Signed:
    """A GET of `url` for each ticket, each with a proof of its own, signed in several processes."""
    began = time.perf_counter()
    chunks = [tickets[start : start + _CHUNK] for start in range(0, len(tickets), _CHUNK)]
    signed = executor.map(_sign, repeat(jwk), repeat(url), chunks)
    return Signed(list(chain.from_iterable(signed)), time.perf_counter() - began)


def plain(path: str, **headers: str) -> bytes:
    """A GET without a proof."""
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {headers[name]}" for name in headers)]
    return "\r\n".join([*lines, "", ""]).encode()


def _sign(jwk: Jwk, url: str, tickets: Sequence[Ticket]) -> list[bytes]:
    public = {name: value for name, value in public_jwk(jwk).items() if name in {"kty", "crv", "x", "y"}}
    header = {"alg": jwk["alg"], "typ": "dpop+jwt", "jwk": public}
    host, _, path = url.removeprefix("http://").partition("/")
    issued_at = int(read_clock().timestamp()) + _AHEAD_SECONDS
    return [_request(jwk, header, (host, f"/{path}", url), ticket, issued_at) for ticket in tickets]


def _request(
    jwk: Jwk, header: dict[str, Any], target: tuple[str, str, str], ticket: Ticket, issued_at: int
) -> bytes:
    host, path, url = target
    digest = base64.urlsafe_b64encode(hashlib.sha256(ticket.token.encode()).digest()).rstrip(b"=").decode()
    claims = {"jti": random_id(), "htm": "GET", "htu": url, "iat": issued_at, "ath": digest}
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        f"Authorization: DPoP {ticket.token}",
        f"DPoP: {sign_with_jwk(claims, jwk, header)}",
        f"Idempotency-Key: {ticket.idempotency_key}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()
