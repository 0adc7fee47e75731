"""Many at once: one gets the code, one gets the id, one answers the request. On both databases."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import TypeVar

import pytest
from httpx import Response
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from broker.db import Database, transaction
from broker.oauth import interaction
from broker.oauth.dpop import take_jti
from broker.oauth.errors import InteractionGoneError
from broker.oauth.models import Interaction, Token
from broker.oauth.tokens import find_token, revoke_grant_tokens
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
                return interaction.deny(
                    work.session, world.installation.keyring, ISSUER, interaction_id, None, world.clock()
                )
        except InteractionGoneError:
            return None

    assert len([address for address in at_once(answer) if address]) == 1


def test_one_interaction_however_many_open_it(world: World) -> None:
    request_uri = world.insurer.push().json()["request_uri"]
    answers = at_once(lambda _: world.insurer.open(request_uri))
    assert len({answer.headers["Location"] for answer in answers}) == 1
    with world.installation.data.read() as session:
        assert len(session.exec(select(Interaction)).all()) == 1


def must_wait(database: Database, work: Callable[[Session], object]) -> bool:
    """Whether it does not get a lock that somebody holds."""
    try:
        with database.write() as session:
            session.execute(text("SET LOCAL lock_timeout = '20ms'"))
            work(session)
    except OperationalError:
        return True
    return False


def test_what_is_refreshed_meanwhile_ends_with_the_grants_tokens(world: World) -> None:
    """Revocation waits for a refresh under way: what that gives is among what ends (RFC 7009 section 2.1)."""
    database, now = world.installation.data, world.clock()
    if database.is_sqlite:
        pytest.skip("one writes at a time here: nothing is under way")
    tokens = world.tokens()
    raw_token, grant_id = tokens["refresh_token"], tokens["grant_id"]

    def refresh(session: Session) -> object:
        return find_token(session, raw_token, client_id=world.insurer.client_id, now=now, hold=True)

    def revoke(session: Session) -> int:
        return revoke_grant_tokens(session, grant_id, now)

    with database.write() as session:
        assert refresh(session) is not None
        assert not must_wait(database, refresh), "two may refresh at once"
        assert must_wait(database, revoke)
    with database.write() as session:
        assert revoke(session) == 2
        assert must_wait(database, refresh)
    assert codes_of([world.insurer.refresh(raw_token)]) == ["invalid_grant"]
