"""One flush in flight, whatever waits joins the next: what a batch does with answers, errors and callers."""

import asyncio
import hashlib
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.lane import batch as batch_module
from broker.lane.batch import MAX_BATCH, MAX_ROUNDS, Batch, _disjoint, _Waiting
from broker.lane.pulls import Answer, OverloadedError, Pull

T = TypeVar("T")
Answers = list[Answer | Exception | None]

_NUMBERS = count()


def pull(token: str = "", proof: str = "") -> Pull:
    """A pull of its own token with its own proof, unless they are named."""
    unique = str(next(_NUMBERS))
    return Pull(
        token_hash=hashlib.sha256((token or f"token {unique}").encode()).digest(),
        cnf="jkt:a key",
        jti_digest=hashlib.sha256((proof or f"proof {unique}").encode()).digest(),
        jti_expires_at=datetime(2026, 12, 1, tzinfo=UTC),
        record_type=None,
        key_digest=b"k" * 32,
        request_digest=b"r" * 32,
    )


def answer_to(one: Pull) -> Answer:
    return Answer(body=one.jti_digest)


class Flushes:
    """A process that keeps each batch until it is let go, and notes what came."""

    def __init__(self) -> None:
        self.seen: list[list[Pull]] = []
        self.gate = asyncio.Event()

    async def __call__(self, pulls: Sequence[Pull]) -> Answers:
        self.seen.append(list(pulls))
        await self.gate.wait()
        return [answer_to(one) for one in pulls]

    @property
    def sizes(self) -> list[int]:
        return [len(pulls) for pulls in self.seen]


def run(work: Coroutine[None, None, T]) -> T:
    """Run it, and give up when somebody is left waiting."""

    async def bounded() -> T:
        return await asyncio.wait_for(work, timeout=120)

    return asyncio.run(bounded())


async def outcomes(batch: Batch[Pull, Answer], pulls: Sequence[Pull]) -> list[Answer | BaseException]:
    return await asyncio.gather(*(batch.submit(one) for one in pulls), return_exceptions=True)


def test_whoever_comes_to_an_idle_lane_goes_at_once() -> None:
    async def story() -> None:
        flushes = Flushes()
        flushes.gate.set()
        batch = Batch(flushes)
        for _ in range(3):
            one = pull()
            assert await batch.submit(one) == answer_to(one)
        assert flushes.sizes == [1, 1, 1]

    run(story())


def test_what_waits_joins_the_next_flush() -> None:
    async def story() -> None:
        flushes = Flushes()
        batch = Batch(flushes)
        first = asyncio.create_task(batch.submit(pull()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        others = [pull() for _ in range(20)]
        waiting = asyncio.create_task(outcomes(batch, others))
        for _ in range(5):
            await asyncio.sleep(0)
        assert flushes.sizes == [1]
        flushes.gate.set()
        await first
        assert await waiting == [answer_to(one) for one in others]
        assert flushes.sizes == [1, 20]

    run(story())


def test_a_flush_that_fails_fails_everybody_in_it_and_nobody_after() -> None:
    error = RuntimeError("the disk")

    async def story() -> None:
        fails = True

        async def process(pulls: Sequence[Pull]) -> Answers:
            await asyncio.sleep(0)
            if fails:
                raise error
            return [answer_to(one) for one in pulls]

        batch = Batch(process)
        assert await outcomes(batch, [pull() for _ in range(5)]) == [error] * 5
        fails = False
        one = pull()
        assert await batch.submit(one) == answer_to(one)

    run(story())


def test_a_pull_that_fails_fails_alone() -> None:
    error = ValueError("odd")

    async def story() -> None:
        bad, good = pull(), pull()

        async def process(pulls: Sequence[Pull]) -> Answers:
            return [error if one is bad else answer_to(one) for one in pulls]

        assert await outcomes(Batch(process), [bad, good]) == [error, answer_to(good)]

    run(story())


def test_answers_that_are_too_few_leave_nobody_waiting() -> None:
    async def story() -> None:
        async def process(pulls: Sequence[Pull]) -> Answers:
            answers: Answers = [answer_to(one) for one in pulls]
            return answers[:-1]

        *_, last = await outcomes(Batch(process), [pull() for _ in range(3)])
        assert isinstance(last, ValueError)

    run(story())


def test_what_was_overtaken_is_decided_anew() -> None:
    async def story() -> None:
        seen: list[Pull] = []

        async def process(pulls: Sequence[Pull]) -> Answers:
            seen.extend(pulls)
            return [None if seen.count(one) < 3 else answer_to(one) for one in pulls]

        one, other = pull(), pull()
        assert await outcomes(Batch(process), [one, other]) == [answer_to(one), answer_to(other)]
        assert seen.count(one) == seen.count(other) == 3

    run(story())


def test_what_is_always_overtaken_is_told_to_come_again() -> None:
    async def story() -> None:
        seen: list[Pull] = []

        async def process(pulls: Sequence[Pull]) -> Answers:
            seen.extend(pulls)
            return [None for _ in pulls]

        (outcome,) = await outcomes(Batch(process), [pull()])
        assert isinstance(outcome, OverloadedError)
        assert len(seen) == MAX_ROUNDS + 1

    run(story())


def test_too_many_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "MAX_WAITING", 3)

    async def story() -> None:
        flushes = Flushes()
        batch = Batch(flushes)
        first = asyncio.create_task(batch.submit(pull()))
        for _ in range(3):
            await asyncio.sleep(0)
        pulls = [pull() for _ in range(5)]
        waiting = asyncio.create_task(outcomes(batch, pulls))
        for _ in range(3):
            await asyncio.sleep(0)
        flushes.gate.set()
        *taken, fourth, fifth = await waiting
        assert taken == [answer_to(one) for one in pulls[:3]]
        assert isinstance(fourth, OverloadedError)
        assert isinstance(fifth, OverloadedError)
        await first

    run(story())


def test_one_token_or_proof_is_in_a_flush_once() -> None:
    async def story() -> None:
        flushes = Flushes()
        flushes.gate.set()
        pulls = [pull(token="t", proof="a"), pull(token="t", proof="b"), pull(proof="a"), pull(), pull("t")]
        assert await outcomes(Batch(flushes), pulls) == [answer_to(one) for one in pulls]
        assert flushes.seen == [[pulls[0], pulls[3]], [pulls[1], pulls[2]], [pulls[4]]]

    run(story())


def test_a_flush_has_a_largest_size() -> None:
    async def story() -> None:
        flushes = Flushes()
        flushes.gate.set()
        await outcomes(Batch(flushes), [pull() for _ in range(MAX_BATCH + 10)])
        assert flushes.sizes == [MAX_BATCH, 10]

    run(story())


@pytest.mark.parametrize("is_in_flight", [True, False])
def test_a_caller_who_hangs_up_disturbs_nobody(is_in_flight: bool) -> None:  # noqa: FBT001 - a case
    async def story() -> None:
        flushes = Flushes()
        batch = Batch(flushes)
        first = asyncio.create_task(batch.submit(pull()))
        for _ in range(3):
            await asyncio.sleep(0)
        second, third = (asyncio.create_task(batch.submit(pull())) for _ in range(2))
        for _ in range(3):
            await asyncio.sleep(0)
        gone, stays = (first, second) if is_in_flight else (second, first)
        gone.cancel()
        flushes.gate.set()
        await asyncio.gather(stays, third)
        assert gone.cancelled()
        assert flushes.sizes == [1, 2]

    run(story())


def test_closing_waits_for_what_was_taken() -> None:
    async def story() -> None:
        flushes = Flushes()
        batch = Batch(flushes)
        await batch.close()
        waiting = asyncio.create_task(outcomes(batch, [pull(token="t"), pull(token="t")]))
        for _ in range(3):
            await asyncio.sleep(0)
        closing = asyncio.create_task(batch.close())
        for _ in range(3):
            await asyncio.sleep(0)
        assert not closing.done()
        flushes.gate.set()
        await closing
        assert all(isinstance(outcome, Answer) for outcome in await waiting)

    run(story())


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=40))
def test_a_batch_and_its_rest(names: list[tuple[int, int]]) -> None:
    async def story() -> None:
        waiting: list[_Waiting[Pull, Answer]] = [
            _Waiting(pull(token=f"t{token}", proof=f"p{proof}")) for token, proof in names
        ]
        batch, rest = _disjoint(waiting)
        assert [one for one in waiting if one in batch] == batch
        assert [one for one in waiting if one in rest] == rest
        assert len(batch) + len(rest) == len(waiting)
        assert waiting[:1] == batch[:1]
        for member in ("token_hash", "jti_digest"):
            assert len({getattr(one.request, member) for one in batch}) == len(batch)

    run(story())
