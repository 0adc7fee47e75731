"""One flush in flight; whatever waits joins the next one. No timer: an idle lane answers at once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from broker.lane.pulls import OverloadedError

MAX_BATCH: Final = 256
MAX_WAITING: Final = 4096
MAX_ROUNDS: Final = 8

_log: Final = logging.getLogger(__name__)


class Asked(Protocol):
    """One request. `once` is what a flush may hold only once: two requests that share any of it part."""

    @property
    def once(self) -> tuple[bytes, ...]: ...


Question = TypeVar("Question", bound=Asked)
Reply = TypeVar("Reply")

Process = Callable[[Sequence[Question]], Awaitable[Sequence[Reply | Exception | None]]]


class Batch(Generic[Question, Reply]):
    """Collects requests and hands them to `process`, one batch at a time.

    `process` answers each request with an answer, with the error that it alone fails with, or with None to
    have it decided anew. If `process` raises, all its requests fail with that error: no answer leaves
    without its commit.
    """

    def __init__(self, process: Process[Question, Reply]) -> None:
        self._process = process
        self._waiting: list[_Waiting[Question, Reply]] = []
        self._flush: asyncio.Task[None] | None = None

    async def submit(self, request: Question) -> Reply:
        """The request's answer, once it is committed. Raises OverloadedError."""
        if len(self._waiting) >= MAX_WAITING:
            raise OverloadedError
        waiting: _Waiting[Question, Reply] = _Waiting(request)
        self._waiting.append(waiting)
        if self._flush is None:
            self._flush = asyncio.create_task(self._drain())
        return await waiting.answer

    async def close(self) -> None:
        """Wait for the flush in flight; nothing that was taken is dropped."""
        if self._flush is not None:
            await self._flush

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = _disjoint(self._waiting)
                await self._run(batch)
        finally:
            self._flush = None

    async def _run(self, batch: "list[_Waiting[Question, Reply]]") -> None:
        try:
            answers = await self._process([waiting.request for waiting in batch])
            for waiting, answer in zip(batch, answers, strict=True):
                self._settle(waiting, answer)
        except Exception as error:  # noqa: BLE001 - whatever failed, every caller of this flush is told
            _log.exception("flush failed", extra={"count": len(batch), "error": type(error).__name__})
            for waiting in batch:
                waiting.fail(error)

    def _settle(self, waiting: "_Waiting[Question, Reply]", answer: Reply | Exception | None) -> None:
        if isinstance(answer, Exception):
            waiting.fail(answer)
        elif answer is not None:
            waiting.succeed(answer)
        elif waiting.rounds >= MAX_ROUNDS:
            waiting.fail(OverloadedError())
        else:
            waiting.rounds += 1
            self._waiting.insert(0, waiting)


class _Waiting(Generic[Question, Reply]):
    """A request and the future of its caller."""

    def __init__(self, request: Question) -> None:
        self.request = request
        self.rounds = 0
        self.answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def succeed(self, answer: Reply) -> None:
        # A caller that hung up has cancelled its future; the commit stands all the same.
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


def _disjoint(
    waiting: "list[_Waiting[Question, Reply]]",
) -> "tuple[list[_Waiting[Question, Reply]], list[_Waiting[Question, Reply]]]":
    """The next batch and the rest.

    No token twice, so that each place is decided on what the last flush committed; no proof twice, so
    that a replay meets the first use. Two tokens of one consent meet in `pulls.choose`.
    """
    taken: set[bytes] = set()
    batch: list[_Waiting[Question, Reply]] = []
    rest: list[_Waiting[Question, Reply]] = []
    for one in waiting:
        if len(batch) < MAX_BATCH and taken.isdisjoint(one.request.once):
            taken.update(one.request.once)
            batch.append(one)
        else:
            rest.append(one)
    return batch, rest
