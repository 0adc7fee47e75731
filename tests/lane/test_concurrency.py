"""Many pulls at the same moment: a place, a key and a proof are each good once, on one worker and on two."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from httpx import Response
from starlette.testclient import TestClient

from broker.app import create_app
from tests.installation import ISSUER
from tests.lane.world import ANYTHING, Granted, World

MANY = 50


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def workers(request: pytest.FixtureRequest, world: World) -> Iterator[list[TestClient]]:
    """The broker, or two of them on the same databases."""
    if request.param == 1:
        yield [world.http]
        return
    other = create_app(world.installation)
    with TestClient(other, base_url=ISSUER, raise_server_exceptions=False) as http:
        yield [world.http, http]


def at_once(requests: list[Callable[[], Response]]) -> list[Response]:
    """Send all of them in the same moment."""
    barrier = Barrier(len(requests))

    def send(request: Callable[[], Response]) -> Response:
        barrier.wait(timeout=120)
        return request()

    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(send, requests))


def request_of(
    world: World, http: TestClient, token: str, *, idempotency_key: str, proof: str | None = None
) -> Callable[[], Response]:
    headers = {
        "Authorization": f"DPoP {token}",
        "DPoP": proof or world.proof(token),
        "Idempotency-Key": idempotency_key,
    }
    return lambda: http.get(ANYTHING, headers=headers)


def tokens_of(world: World, granted: Granted, kind: str) -> list[str]:
    """The consent's one token for every pull, or a token for each."""
    if kind == "one token":
        return [granted.token] * MANY
    return [world.token(granted.given) for _ in range(MANY)]


def codes(answers: list[Response]) -> Counter[str]:
    return Counter(
        "200" if answer.status_code == 200 else f"{answer.status_code} {answer.json()['code']}"
        for answer in answers
    )


@pytest.mark.parametrize("kind", ["one token", "a token each"])
def test_one_place_is_taken_once(world: World, workers: list[TestClient], kind: str) -> None:
    granted = world.granted()
    answers = at_once(
        [
            request_of(world, workers[number % len(workers)], token, idempotency_key=f"key {number}")
            for number, token in enumerate(tokens_of(world, granted, kind))
        ]
    )
    assert codes(answers) == {"200": 1, "403 no_place_left": MANY - 1}
    assert len(world.deliveries(granted.grant_id)) == 1
    told = Counter(world.told(granted.grant_id))
    assert told == {("delivery.released", None): 1, ("delivery.refused", "no_place_left"): MANY - 1}


@pytest.mark.parametrize("kind", ["one token", "a token each"])
def test_one_key_makes_one_delivery(world: World, workers: list[TestClient], kind: str) -> None:
    granted = world.granted()
    answers = at_once(
        [
            request_of(world, workers[number % len(workers)], token, idempotency_key="one")
            for number, token in enumerate(tokens_of(world, granted, kind))
        ]
    )
    assert codes(answers) == {"200": MANY}
    assert len({answer.content for answer in answers}) == 1
    assert len(world.deliveries(granted.grant_id)) == 1
    told = Counter(event for event, _ in world.told(granted.grant_id))
    assert told == {"delivery.released": 1, "delivery.repeated": MANY - 1}


def test_several_places_are_numbered_without_gap(world: World, workers: list[TestClient]) -> None:
    granted = world.granted({"access.max_pulls": 5})
    answers = at_once(
        [
            request_of(world, workers[number % len(workers)], granted.token, idempotency_key=f"key {number}")
            for number in range(20)
        ]
    )
    assert codes(answers) == {"200": 5, "403 no_place_left": 15}
    assert [row.ordinal for row in world.deliveries(granted.grant_id)] == [1, 2, 3, 4, 5]


def test_one_proof_serves_one_request(world: World, workers: list[TestClient]) -> None:
    granted = world.granted({"access.max_pulls": MANY})
    proof = world.proof(granted.token)
    answers = at_once(
        [
            request_of(
                world,
                workers[number % len(workers)],
                granted.token,
                idempotency_key=f"key {number}",
                proof=proof,
            )
            for number in range(MANY)
        ]
    )
    assert codes(answers) == {"200": 1, "401 invalid_dpop_proof": MANY - 1}
    assert len(world.deliveries(granted.grant_id)) == 1
    assert world.told(granted.grant_id) == [("delivery.released", None)]


def test_many_consents_at_once_do_not_disturb_each_other(world: World, workers: list[TestClient]) -> None:
    everybody = [world.granted() for _ in range(12)]
    answers = at_once(
        [
            request_of(world, workers[number % len(workers)], granted.token, idempotency_key="same")
            for number, granted in enumerate(everybody)
        ]
    )
    assert codes(answers) == {"200": len(everybody)}
    assert [answer.json()["grant_id"] for answer in answers] == [one.grant_id for one in everybody]


def test_a_withdrawal_among_pulls(world: World, workers: list[TestClient]) -> None:
    granted = world.granted({"access.max_pulls": MANY})
    requests = [
        request_of(world, workers[number % len(workers)], granted.token, idempotency_key=f"key {number}")
        for number in range(30)
    ]

    def withdraw() -> Response:
        world.office.withdraw(granted.grant_id)
        return request_of(world, workers[0], granted.token, idempotency_key="after")()

    *answers, after = at_once([*requests, withdraw])
    assert codes([after]) == {"401 consent_withdrawn": 1}
    # Two workers may overtake each other's pulls of one consent until one of them gives up.
    assert set(codes(answers)) <= {"200", "401 consent_withdrawn", "503 overloaded"}
    released = codes(answers)["200"]
    assert len(world.deliveries(granted.grant_id)) == released
    told = [event for event, _ in world.told(granted.grant_id)]
    end = told.index("consent.withdrawn")
    assert told[:end] == ["delivery.released"] * released
    assert set(told[end + 1 :]) <= {"delivery.refused"}
