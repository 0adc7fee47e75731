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

from connectors.deadline import Deadline, in_time
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

_LAST_PORT: Final = 65535

# Prefixes that carry an IPv4 address inside: NAT64 (RFC 6052, RFC 8215) and 6to4 (RFC 3056).
_TRANSLATED: Final = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")))


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes. `total_seconds` holds for one attempt, from its name to the last byte."""

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
        target = _checked(url, allow_loopback=self._allow_loopback)
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

    def _attempt(self, method: str, target: httpx.URL, sent: httpx.Headers, body: bytes | None) -> Answer:
        ends_at = self._monotonic() + self._limits.total_seconds
        address = self._address_of(target, ends_at)
        headers = httpx.Headers({"Accept-Encoding": "identity", **sent})
        headers["Host"] = target.netloc.decode("ascii")
        with Deadline(ends_at - self._monotonic()) as deadline:
            request = self._client.build_request(
                method,
                target.copy_with(host=str(address)),
                headers=headers,
                content=body,
                # TLS is checked against the name, not the address.
                extensions={"sni_hostname": _host(target), "trace": deadline.note},
            )
            try:
                response = self._client.send(request, stream=True)
                try:
                    answer = self._read(_host(target), response, ends_at)
                finally:
                    response.close()
            except httpx.TimeoutException:
                raise TimedOutError(_host(target)) from None
            except httpx.TransportError:
                if deadline.is_over:
                    raise TimedOutError(_host(target)) from None
                raise UnreachableError(_host(target)) from None
        if deadline.is_over:  # a body that ends with its connection would seem whole
            raise TimedOutError(_host(target))
        return answer

    def _read(self, host: str, response: httpx.Response, ends_at: float) -> Answer:
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
            if self._monotonic() > ends_at:
                raise TimedOutError(host)
        return Answer(response.status_code, dict(response.headers), bytes(body))

    def _address_of(self, target: httpx.URL, ends_at: float) -> _Address:
        """The first address of the host, once every one of them is found to be allowed."""
        host, port = _host(target), target.port or 443
        try:
            addresses = in_time(lambda: _resolve(host, port), ends_at - self._monotonic())
        except TimeoutError:
            raise TimedOutError(host) from None
        for address in addresses:
            if not _is_allowed(address, target.scheme, allow_loopback=self._allow_loopback):
                raise BlockedAddressError(_host(target))
        return addresses[0]

    def _pause(self, attempt: int, retry_after: str | None) -> float:
        """Doubles with each attempt; what the other side asks for counts if it is in seconds."""
        pause = self._limits.first_pause_seconds * (1 << (attempt - 1))
        if retry_after is not None and retry_after.isascii() and retry_after.isdigit():
            pause = max(pause, float(retry_after[:9]))
        return min(pause, self._limits.longest_pause_seconds)


def check_url(url: str, *, allow_loopback: bool = False) -> None:
    """Whether a request to this URL could be made at all: for one that somebody names to be called later.

    No name is looked up: it may resolve to something else by then, and is checked when it is called. Raises
    UrlRefusedError, BlockedAddressError.
    """
    target = _checked(url, allow_loopback=allow_loopback)
    try:
        addresses = _resolve(_host(target), target.port or 443, socket.AI_NUMERICHOST)
    except UnreachableError:
        return  # a name
    for address in addresses:
        if not _is_allowed(address, target.scheme, allow_loopback=allow_loopback):
            raise BlockedAddressError(_host(target))


def is_public(address: _Address) -> bool:
    """True for an address in the public internet, by no translation of another one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        # Site-local addresses (RFC 3879) are old, and private still; Python calls them global.
        if address.is_site_local or any(address in network for network in _TRANSLATED):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _host(target: httpx.URL) -> str:
    """The host as it is on the wire. Decoded, its name could be encoded again into another one's."""
    return target.raw_host.decode("ascii")


def _checked(url: str, *, allow_loopback: bool) -> httpx.URL:
    try:
        target = httpx.URL(url)
        has_host = bool(target.host)  # decoding it tells an `xn--` label that stands for nothing
    except (httpx.InvalidURL, UnicodeError, TypeError):
        raise UrlRefusedError("?", "not a URL") from None
    if not has_host:
        raise UrlRefusedError("?", "no host")
    if target.userinfo:
        raise UrlRefusedError(_host(target), "credentials in the URL")
    if target.scheme != "https" and not (target.scheme == "http" and allow_loopback):
        raise UrlRefusedError(_host(target), "not https")
    if target.port is not None and target.port > _LAST_PORT:
        raise UrlRefusedError(_host(target), "no such port")
    return target


def _is_allowed(address: _Address, scheme: str, *, allow_loopback: bool) -> bool:
    if allow_loopback and address.is_loopback:
        return True
    return scheme == "https" and is_public(address)


def _resolve(host: str, port: int, flags: int = 0) -> list[_Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, UnicodeError):  # a label that is empty or too long is no name
        raise UnreachableError(host) from None
    return [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found]
