"""What no request may be, whatever it asks for: too large, not an address, or one too many.

Plain ASGI layers outside of everything that reads a body. A declared length is refused at once; a body
that declares none is counted while it comes in.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.client_address import TrustedProxies
from broker.deps import BodyTooLargeError
from broker.edge_answers import edge_answer
from broker.errors import Answer
from broker.rate_limits import Buckets, MeasuredCall, measured_call
from broker.setting_sections import LimitsSection

_TOO_LARGE: Final = Answer(413, "body_too_large", "The body is larger than this broker takes.")
_NOT_FOUND: Final = Answer(404, "not_found", "There is nothing here for you.")
_URI_TOO_LONG: Final = Answer(414, "uri_too_long", "The address is longer than this broker takes.")
# RFC 6585 section 5
_HEADERS_TOO_LARGE: Final = Answer(431, "headers_too_large", "The headers are larger than this broker takes.")
_TOO_MANY_PARAMETERS: Final = Answer(400, "invalid_request", "The query has too many parameters.")
_TOO_MANY_REQUESTS: Final = "Too many requests. Try again later."

_CLIENT_ERRORS: Final = range(400, 500)
_SIGN_INS: Final = frozenset({"signin", "recovery"})


class RequestLimits:
    """Answers 413, 414 and 431 for what is too large, 404 for a path that no database takes."""

    def __init__(self, app: ASGIApp, *, limits: LimitsSection) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, self._counted(receive), send)
            return
        await edge_answer(scope, refusal)(scope, receive, send)

    def _counted(self, receive: Receive) -> Receive:
        taken = 0

        async def receive_counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._limits.body_bytes:
                # Raised where the body is read, so that the one map of errors answers it.
                raise BodyTooLargeError(self._limits.body_bytes)
            return message

        return receive_counted

    def _refusal(self, scope: Scope) -> Answer | None:
        limits, query = self._limits, scope.get("query_string", b"")
        if "\0" in scope["path"]:
            return _NOT_FOUND
        if len(scope["path"]) + len(query) > limits.one_header_bytes:
            return _URI_TOO_LONG
        if query.count(b"&") >= limits.parameters:
            return _TOO_MANY_PARAMETERS
        total, declared = 0, b"0"
        for name, value in scope["headers"]:
            size = len(name) + len(value)
            total += size
            if size > limits.one_header_bytes or total > limits.header_bytes:
                return _HEADERS_TOO_LARGE
            if name == b"content-length":
                declared = value
        is_too_large = declared.isdigit() and int(declared[:20]) > limits.body_bytes
        return _TOO_LARGE if is_too_large else None


class RateLimits:
    """Answers 429 to an address that has failed too often; counts what proven clients do.

    Every call takes one of its address's and gives it back unless it is refused (4xx) and nobody was
    proven in it. So who proves itself is never in the way of its neighbours behind one address.
    """

    def __init__(
        self, app: ASGIApp, *, limits: LimitsSection, proxies: TrustedProxies, clock: Callable[[], datetime]
    ) -> None:
        self._app = app
        self._unproven = Buckets(limits.unproven_per_minute)
        self._sign_ins = Buckets(limits.sign_in_per_minute)
        self._clients = Buckets(limits.client_per_minute)
        self._proxies = proxies
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        buckets, now = self._buckets(scope), self._clock().timestamp()
        address = self._proxies.address_of(scope)
        if seconds := buckets.take(address, now):
            answer = too_many_requests(seconds)
            await edge_answer(scope, answer)(scope, receive, send)
            return
        call, status = MeasuredCall(self._clients, now), 0

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        token = measured_call.set(call)
        try:
            await self._app(scope, receive, send_and_see)
        finally:
            measured_call.reset(token)
            if call.is_proven or status not in _CLIENT_ERRORS:
                buckets.give_back(address)

    def _buckets(self, scope: Scope) -> Buckets:
        """Guesses at passwords are counted apart: they are dearer, and rarer, than anything else."""
        path = scope["path"].split("/", 3)
        is_sign_in = scope["method"] == "POST" and len(path) > 2 and path[2] in _SIGN_INS  # noqa: PLR2004
        return self._sign_ins if is_sign_in else self._unproven


def too_many_requests(seconds: int) -> Answer:
    """429 with the seconds after which it is worth coming again (RFC 6585 section 4)."""
    return Answer(429, "too_many_requests", _TOO_MANY_REQUESTS, {"Retry-After": str(seconds)})
