"""Token endpoint and introspection under 32 clients at once: nothing is issued twice, no lock is waited for.

Correctness, not speed. How long a session waits for a lock is measured by PostgreSQL itself.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

import psycopg
import pytest
from httpx import Response
from sqlmodel import col, select

from broker.db import transaction
from broker.oauth import clients
from broker.oauth.models import Token
from tests.oauth.conftest import registration
from tests.oauth.world import Recipient, World, answer_in

PARALLEL: Final = 32
HUNDRED: Final = 100
LONGEST_WAIT: Final = 1.0  # seconds, on a machine that has nothing else to do
T = TypeVar("T")

WAITING: Final = """
    SELECT count(*), coalesce(max(extract(epoch FROM clock_timestamp() - waitstart)), 0)::float
      FROM pg_locks WHERE NOT granted
"""


class LockWatch:
    """Looks every few milliseconds which sessions of the cluster wait for a lock, and since when."""

    def __init__(self, url: str) -> None:
        self.looks = 0
        self.waits = 0
        self.longest = 0.0
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=120)

    def _look(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while True:
                waiting, longest = connection.execute(WAITING).fetchone() or (0, 0.0)
                self.looks += 1
                self.waits += waiting
                self.longest = max(self.longest, longest)
                if self._stop.wait(0.005):
                    return


@contextmanager
def watched(world: World) -> Iterator[LockWatch | None]:
    """A watch over the data database; None on SQLite, which has one lock and no view of who waits for it."""
    database = world.installation.data
    if database.is_sqlite:
        yield None
        return
    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with LockWatch(url) as watch:
        yield watch


def at_once(work: list[Callable[[], T]]) -> list[T]:
    """Run all of it in threads that start together."""
    barrier = threading.Barrier(len(work))

    def start(one: Callable[[], T]) -> T:
        barrier.wait(timeout=120)
        return one()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(start, work))


def longest_wait(world: World, parallel: int) -> float:
    """A second, or what so many redemptions need one after the other on the machine as busy as it is now."""
    code = world.code()
    began = time.monotonic()
    assert world.insurer.redeem(code).status_code == 200
    return max(LONGEST_WAIT, parallel * (time.monotonic() - began))


def crowd(world: World) -> list[Recipient]:
    """Clients of one organisation, each with keys of its own."""
    found = [
        Recipient(world.http, world.clock, f"claims-{number}", world.insurer.redirect_uri)
        for number in range(PARALLEL)
    ]
    with transaction(world.installation.data) as work:
        for recipient in found:
            asked = registration(recipient, "insurer")
            clients.add(work.session, asked, is_loopback_allowed=False, now=world.clock())
    return found


def code_for(world: World, recipient: Recipient) -> str:
    """A code of this client's, from push to redirect."""
    opened = recipient.open(recipient.push().json()["request_uri"])
    return answer_in(world.agree(opened.headers["Location"].rpartition("/")[2]))["code"]


@dataclass
class Life:
    """What one client got: every token, and every answer that was not what it should be."""

    tokens: list[str]
    faults: list[str]

    def take(self, answer: Response, *names: str) -> dict[str, Any]:
        """The members of a good answer; its tokens of these names are kept."""
        if answer.status_code != 200:
            self.faults.append(f"{answer.status_code} {answer.text}")
            return {}
        body: dict[str, Any] = answer.json()
        self.tokens += [body[name] for name in names]
        return body


def live(recipient: Recipient, code: str, rounds: int) -> Life:
    """Redeem a code, then refresh, ask for a token of one's own, and ask about all of them."""
    life = Life([], [])
    redeemed = life.take(recipient.redeem(code), "access_token", "refresh_token")
    for _ in range(rounds if redeemed else 0):
        refreshed = life.take(recipient.refresh(redeemed["refresh_token"]), "access_token")
        own = life.take(recipient.own_token(), "access_token")
        for token in (redeemed["refresh_token"], refreshed.get("access_token"), own.get("access_token")):
            told = life.take(recipient.introspect(str(token)))
            if told.get("active") is not True or told.get("client_id") != recipient.client_id:
                life.faults.append(f"introspection: {told}")
    return life


def issued(world: World) -> int:
    with world.installation.data.read() as session:
        return len(session.exec(select(Token)).all())


def assert_load_is_borne(world: World, rounds: int) -> None:
    allowed = longest_wait(world, PARALLEL)
    before = issued(world)
    recipients = crowd(world)
    codes = [code_for(world, recipient) for recipient in recipients]
    with watched(world) as watch:
        lives = at_once(
            [
                lambda recipient=recipient, code=code: live(recipient, code, rounds)  # type: ignore[misc] # bound now
                for recipient, code in zip(recipients, codes, strict=True)
            ]
        )
    assert [fault for life in lives for fault in life.faults] == []
    tokens = [token for life in lives for token in life.tokens]
    assert len(set(tokens)) == len(tokens) == issued(world) - before == PARALLEL * (2 + 2 * rounds)
    if watch is not None:
        assert watch.looks > 1
        allowed = max(allowed, longest_wait(world, PARALLEL))  # others may have come in the meantime
        assert watch.longest < allowed, f"{watch.waits} waits, the longest {watch.longest:.3f} s"


def test_the_watch_sees_who_waits(postgresql_databases: Any) -> None:  # noqa: ANN401 - as below
    """It could fail: a session that waits is seen, and for how long."""
    url = postgresql_databases.data_url
    with psycopg.connect(url) as holder, psycopg.connect(url) as waiter, LockWatch(url) as watch:
        holder.execute("LOCK TABLE token IN ACCESS EXCLUSIVE MODE")
        waiter.execute("SET lock_timeout = '3s'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            waiter.execute("LOCK TABLE token IN ACCESS EXCLUSIVE MODE")
        holder.rollback()
    assert watch.waits > 0
    assert watch.longest > LONGEST_WAIT


def test_32_clients_get_their_own_tokens_and_answers(lane_world: World) -> None:
    assert_load_is_borne(lane_world, rounds=2)


@pytest.mark.slow
def test_32_clients_get_their_own_tokens_and_answers_for_a_long_time(lane_world: World) -> None:
    assert_load_is_borne(lane_world, rounds=15)


def test_one_of_a_hundred_redeems_a_code_and_what_it_got_ends(lane_world: World) -> None:
    """RFC 6749 section 4.1.2, RFC 9700 section 4.5: the code came back, so nothing of it may live."""
    world, insurer = lane_world, lane_world.insurer
    allowed = longest_wait(world, HUNDRED)
    before = issued(world)
    code = world.code()
    ready = [(insurer.authentication(), insurer.proof("/token")) for _ in range(HUNDRED)]
    with watched(world) as watch:
        answers = at_once(
            [
                lambda form=form, proof=proof: insurer.redeem(code, proofs=[proof], **form)  # type: ignore[misc] # bound now
                for form, proof in ready
            ]
        )
    told = Counter(answer.json().get("error", "granted") for answer in answers)
    assert told == {"granted": 1, "invalid_grant": HUNDRED - 1}
    (tokens,) = [answer.json() for answer in answers if answer.status_code == 200]
    for name in ("access_token", "refresh_token"):
        assert insurer.introspect(tokens[name]).json() == {"active": False}
    assert insurer.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    with world.installation.data.read() as session:
        alive = session.exec(select(Token).where(col(Token.revoked_at).is_(None))).all()
    assert len(alive) == before
    assert issued(world) - before == 2
    assert watch is None or watch.longest < max(allowed, longest_wait(world, HUNDRED))


def test_one_of_a_hundred_uses_an_assertion_at_two_endpoints(lane_world: World) -> None:
    """One assertion, sent to two endpoints at once: it authenticates one request, whichever comes first."""
    insurer = lane_world.insurer
    token = insurer.own_token().json()["access_token"]
    form = insurer.authentication()
    proofs = [insurer.proof("/token") for _ in range(HUNDRED // 2)]
    answers = at_once(
        [
            *[lambda proof=proof: insurer.own_token(proofs=[proof], **form) for proof in proofs],
            *[lambda: insurer.introspect(token, **form) for _ in proofs],
        ]
    )
    told = Counter(answer.json().get("error", "good") for answer in answers)
    assert told == {"good": 1, "invalid_client": len(answers) - 1}
