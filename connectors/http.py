"""The one outbound client: time limits, a size cap, no redirects, no private addresses, retries.

The address that was checked is the address that is called: a name cannot change between (DNS rebinding).
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import httpx

from connectors.errors import (
    BlockedAddressError,
    ResponseRefusedError,
    ResponseTooLargeError,
    TimedOutError,
    UnreachableError,
    UrlRefusedError,
)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

IDEMPOTENT_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""RFC 9110 section 9.2.2. A POST with an Idempotency-Key is repeated too."""

RETRIED_STATUSES: Final = frozenset({429, 502, 503, 504})

# Prefixes that carry an IPv4 address inside: NAT64 (RFC 6052, RFC 8215) and 6to4 (RFC 3056).
_TRANSLATED: Final = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")))


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes. `total_seconds` holds for one attempt, from the connection to the last byte."""

    connect_seconds: float = 5.0
    read_seconds: float = 10.0
    total_seconds: float = 30.0
    response_bytes: int = 4 * 1024 * 1024
    attempts: int = 3
    first_pause_seconds: float = 0.2
    longest_pause_seconds: float = 5.0


@dataclass(frozen=True)
class Answer:
    """A whole answer, of any status but a redirect. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class OutboundClient:
    """Calls out. `allow_loopback` opens this machine's own addresses, and plain http to them: for the demo.

    `tls` trusts what the default context does not, such as a private authority.
    `sleep` and `monotonic` are the waiting and the stop-watch; a test may bring its own.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        allow_loopback: bool = False,
        tls: ssl.SSLContext | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits or Limits()
        self._allow_loopback = allow_loopback
        self._sleep = sleep
        self._monotonic = monotonic
        self._client = httpx.Client(
            verify=tls or True,
            # The pool knows connections by address: kept open, one made for a name would serve another name.
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=httpx.Timeout(self._limits.read_seconds, connect=self._limits.connect_seconds),
            follow_redirects=False,
            trust_env=False,  # a proxy would resolve names for itself
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what connections are open."""
        self._client.close()

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Ask and read the whole answer, of whatever status. Raises an OutboundError.

        Requests that are safe to repeat are repeated after a pause when the other side cannot be reached,
        is late, or answers 429, 502, 503 or 504; the last answer or error stands.
        """
        target = self._checked(url)
        sent = httpx.Headers(dict(headers or {}))
        is_repeatable = method in IDEMPOTENT_METHODS or "idempotency-key" in sent
        attempts = self._limits.attempts if is_repeatable else 1
        for attempt in range(1, attempts + 1):
            try:
                answer = self._attempt(method, target, sent, body)
            except (UnreachableError, TimedOutError):
                if attempt == attempts:
                    raise
                self._sleep(self._pause(attempt, None))
            else:
                if answer.status not in RETRIED_STATUSES or attempt == attempts:
                    return answer
                self._sleep(self._pause(attempt, answer.headers.get("retry-after")))
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def _checked(self, url: str) -> httpx.URL:
        try:
            target = httpx.URL(url)
        except (httpx.InvalidURL, TypeError):
            raise UrlRefusedError("?", "not a URL") from None
        if not target.host:
            raise UrlRefusedError("?", "no host")
        if target.userinfo:
            raise UrlRefusedError(target.host, "credentials in the URL")
        if target.scheme != "https" and not (target.scheme == "http" and self._allow_loopback):
            raise UrlRefusedError(target.host, "not https")
        return target

    def _attempt(self, method: str, target: httpx.URL, sent: httpx.Headers, body: bytes | None) -> Answer:
        deadline = self._monotonic() + self._limits.total_seconds
        address = self._address_of(target)
        headers = httpx.Headers({"Accept-Encoding": "identity", **sent})
        headers["Host"] = target.netloc.decode("ascii")
        request = self._client.build_request(
            method,
            target.copy_with(host=str(address)),
            headers=headers,
            content=body,
            extensions={"sni_hostname": target.host},  # TLS is checked against the name, not the address
        )
        try:
            response = self._client.send(request, stream=True)
            try:
                return self._read(target.host, response, deadline)
            finally:
                response.close()
        except httpx.TimeoutException:
            raise TimedOutError(target.host) from None
        except httpx.TransportError:
            raise UnreachableError(target.host) from None

    def _read(self, host: str, response: httpx.Response, deadline: float) -> Answer:
        if response.is_redirect:
            raise ResponseRefusedError(host, response.status_code, "redirect")
        # A compressed body could grow without end when it is opened: none was asked for, none is taken.
        if response.headers.get("content-encoding", "identity") != "identity":
            raise ResponseRefusedError(host, response.status_code, "encoded body")
        body = bytearray()
        for piece in response.iter_raw():
            body += piece
            if len(body) > self._limits.response_bytes:
                raise ResponseTooLargeError(host, self._limits.response_bytes)
            if self._monotonic() > deadline:
                raise TimedOutError(host)
        return Answer(response.status_code, dict(response.headers), bytes(body))

    def _address_of(self, target: httpx.URL) -> _Address:
        """The first address of the host, once every one of them is found to be allowed."""
        addresses = _resolve(target.host, target.port or 443)
        if not all(self._is_allowed(address, target.scheme) for address in addresses):
            raise BlockedAddressError(target.host)
        return addresses[0]

    def _is_allowed(self, address: _Address, scheme: str) -> bool:
        if self._allow_loopback and address.is_loopback:
            return True
        return scheme == "https" and is_public(address)

    def _pause(self, attempt: int, retry_after: str | None) -> float:
        """Doubles with each attempt; what the other side asks for counts if it is in seconds."""
        pause = self._limits.first_pause_seconds * (1 << (attempt - 1))
        if retry_after is not None and retry_after.isascii() and retry_after.isdigit():
            pause = max(pause, float(retry_after[:9]))
        return min(pause, self._limits.longest_pause_seconds)


def is_public(address: _Address) -> bool:
    """True for an address in the public internet, by no translation of another one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if any(address in network for network in _TRANSLATED):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _resolve(host: str, port: int) -> list[_Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # a label that is empty or too long is no name
        raise UnreachableError(host) from None
    return [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found]
