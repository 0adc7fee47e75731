"""Many at once: one gets the code, one gets the id, one answers the request. On both databases."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import TypeVar

from httpx import Response
from sqlmodel import col, select

from broker.db import transaction
from broker.oauth import interaction
from broker.oauth.dpop import take_jti
from broker.oauth.errors import InteractionGoneError
from broker.oauth.models import Interaction, Token
from tests.installation import ISSUER
from tests.oauth.world import World

THREADS = 8
T = TypeVar("T")


def at_once(work: Callable[[int], T]) -> list[T]:
    """Run `work` in many threads that start together."""
    barrier = Barrier(THREADS)

    def start(number: int) -> T:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(start, range(THREADS)))


def codes_of(answers: list[Response]) -> list[str]:
    return sorted(answer.json().get("error", "granted") for answer in answers)


def test_one_of_many_redeems_a_code(world: World) -> None:
    code = world.code()
    forms = [world.insurer.authentication() for _ in range(THREADS)]
    proofs = [world.insurer.proof("/token") for _ in range(THREADS)]
    answers = at_once(lambda number: world.insurer.redeem(code, proofs=[proofs[number]], **forms[number]))
    assert codes_of(answers) == ["granted"] + ["invalid_grant"] * (THREADS - 1)
    with world.installation.data.read() as session:
        living = session.exec(select(Token).where(col(Token.revoked_at).is_(None))).all()
    assert living == [], "the code came back, so its tokens have ended"


def test_one_of_many_uses_a_proof(world: World) -> None:
    proof = world.insurer.proof("/token")
    forms = [world.insurer.authentication() for _ in range(THREADS)]
    answers = at_once(lambda number: world.insurer.own_token(proofs=[proof], **forms[number]))
    assert codes_of(answers) == ["granted"] + ["invalid_dpop_proof"] * (THREADS - 1)


def test_one_of_many_uses_an_assertion(world: World) -> None:
    form = world.insurer.authentication()
    proofs = [world.insurer.proof("/token") for _ in range(THREADS)]
    answers = at_once(lambda number: world.insurer.own_token(proofs=[proofs[number]], **form))
    assert codes_of(answers) == ["granted"] + ["invalid_client"] * (THREADS - 1)


def test_one_of_many_takes_an_id(world: World) -> None:
    def take(number: int) -> bool:
        del number
        with world.installation.data.write() as session:
            return take_jti(session, b"one", world.clock() + timedelta(seconds=60))

    assert sorted(at_once(take)) == [False] * (THREADS - 1) + [True]


def test_one_of_many_answers_a_request(world: World) -> None:
    interaction_id = world.interaction_of(world.insurer.push())

    def answer(number: int) -> str | None:
        del number
        try:
            with transaction(world.installation.data) as work:
                return interaction.deny(work.session, ISSUER, interaction_id, None, world.clock())
        except InteractionGoneError:
            return None

    assert len([address for address in at_once(answer) if address]) == 1


def test_one_interaction_however_many_open_it(world: World) -> None:
    request_uri = world.insurer.push().json()["request_uri"]
    answers = at_once(lambda _: world.insurer.open(request_uri))
    assert len({answer.headers["Location"] for answer in answers}) == 1
    with world.installation.data.read() as session:
        assert len(session.exec(select(Interaction)).all()) == 1
