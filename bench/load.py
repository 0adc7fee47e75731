"""A closed-loop HTTP client on raw sockets: each connection sends its next request when it has its answer.

It asks little of the machine that it shares with the servers. Latency under load is queueing: nothing is
corrected for coordinated omission.
"""

import asyncio
import gc
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

import uvloop

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_STATUS: Final = slice(9, 12)  # HTTP/1.1 200
_LAST_WAIT_SECONDS: Final = 30
_CLOSING_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Load:
    """What a run gave. `statuses` counts the answers of each HTTP status; `body_bytes` is the last body's."""

    answers: int
    seconds: float
    p50_ms: float
    p99_ms: float
    statuses: Mapping[int, int]
    body_bytes: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


class BrokenServerError(Exception):
    """The server closed a connection, or answered what this client does not understand."""


def drive(port: int, requests: Iterable[bytes], *, connections: int, seconds: float) -> Load:
    """Send requests to this machine's `port` until they or the seconds are used up.

    Raises BrokenServerError.
    """
    gc.collect()
    gc.disable()
    try:
        return uvloop.run(_drive(port, iter(requests), connections, seconds))
    finally:
        gc.enable()


@dataclass(slots=True)
class _Run:
    """What the connections of one run share."""

    requests: Iterator[bytes]
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    deadline: float = 0
    working: int = 0
    body_bytes: int = 0
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class _Connection(asyncio.Protocol):
    """One connection; HTTP/1.1, answers with Content-Length."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport
        self._is_working = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_working and not self._run.done.done():
            self._run.done.set_exception(exc or BrokenServerError("a connection was closed"))

    def start(self) -> None:
        """Send the first request."""
        self._is_working = True
        self._run.working += 1
        self._next()

    def abort(self) -> None:
        """Give the connection up, whatever is on its way."""
        self._is_working = False
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head_end = received.find(_HEAD_END)
        if head_end < 0:
            self._received = received
            return
        body_bytes = _content_length(received[:head_end])
        if len(received) < head_end + len(_HEAD_END) + body_bytes:
            self._received = received
            return
        self._received = b""
        run = self._run
        run.latencies.append(time.perf_counter() - self._sent_at)
        run.statuses[int(received[_STATUS])] += 1
        run.body_bytes = body_bytes
        self._next()

    def _next(self) -> None:
        now = time.perf_counter()
        request = next(self._run.requests, None) if now < self._run.deadline else None
        if request is not None:
            self._sent_at = now
            self._transport.write(request)
            return
        self._is_working = False
        self._transport.close()
        self._run.working -= 1
        if self._run.working == 0 and not self._run.done.done():
            self._run.done.set_result(None)


async def _drive(port: int, requests: Iterator[bytes], connections: int, seconds: float) -> Load:
    loop, run = asyncio.get_running_loop(), _Run(requests)
    # One after the other: a burst would be accepted by whichever worker wakes up first.
    opened = [
        (await loop.create_connection(lambda: _Connection(run), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    began = time.perf_counter()
    run.deadline = began + seconds
    try:
        for connection in opened:
            connection.start()
        await asyncio.wait_for(run.done, seconds + _LAST_WAIT_SECONDS)
        taken = time.perf_counter() - began
    finally:
        for connection in opened:
            connection.abort()
        await asyncio.sleep(_CLOSING_SECONDS)  # the loop must see them gone before it is closed
    latencies = sorted(run.latencies)
    return Load(
        answers=len(latencies),
        seconds=taken,
        p50_ms=_quantile(latencies, 0.50) * 1000,
        p99_ms=_quantile(latencies, 0.99) * 1000,
        statuses=dict(run.statuses),
        body_bytes=run.body_bytes,
    )


def _content_length(head: bytes) -> int:
    lowered = head.lower()
    place = lowered.find(_LENGTH)
    if place < 0:
        raise BrokenServerError("an answer without Content-Length")
    end = lowered.find(b"\r\n", place)
    return int(lowered[place + len(_LENGTH) : end if end >= 0 else None])


def _quantile(ordered: list[float], share: float) -> float:
    """The nearest rank: the smallest value that this share of all values does not exceed."""
    if not ordered:
        raise BrokenServerError("no answer at all")
    return ordered[math.ceil(len(ordered) * share) - 1]
