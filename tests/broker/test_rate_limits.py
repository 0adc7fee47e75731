"""How often somebody may call: buckets that refill, a table that nobody fills, 429 in each place's form."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from broker.app import create_app
from broker.installation import Installation
from broker.rate_limits import Buckets, MeasuredCall, TooManyRequestsError, proven
from tests.api.conftest import Office, made
from tests.configured import configured
from tests.installation import ISSUER, Clock

NOW = 1_800_000_000.0
SECRET = b"0123456789abcdef"


def taken(buckets: Buckets, key: str, now: float, calls: int) -> int:
    return sum(buckets.take(key, now) == 0 for _ in range(calls))


@pytest.mark.parametrize("per_minute", [1, 3, 7, 60, 600, 30_000])
def test_a_minutes_worth_goes_at_once_and_no_more(per_minute: int) -> None:
    buckets = Buckets(per_minute)
    assert taken(buckets, "one", NOW, per_minute + 5) == per_minute


def test_what_is_refused_says_when_to_come_again() -> None:
    buckets = Buckets(3)
    assert taken(buckets, "one", NOW, 3) == 3
    assert buckets.take("one", NOW) == 20
    assert buckets.take("one", NOW + 15) == 5
    assert buckets.take("one", NOW + 20) == 0
    assert buckets.take("one", NOW + 20) == 20


def test_a_refusal_takes_nothing() -> None:
    buckets = Buckets(2)
    assert taken(buckets, "one", NOW, 100) == 2
    assert buckets.take("one", NOW + 30) == 0


def test_what_is_given_back_can_be_taken_again() -> None:
    buckets = Buckets(2)
    for _ in range(100):
        assert buckets.take("one", NOW) == 0
        buckets.give_back("one")
    assert taken(buckets, "one", NOW, 5) == 2


def test_one_caller_does_not_take_from_another() -> None:
    buckets = Buckets(2, secret=SECRET)
    assert taken(buckets, "one", NOW, 9) == 2
    assert taken(buckets, "other", NOW, 9) == 2


def test_a_clock_that_is_put_back_locks_nobody_out() -> None:
    buckets = Buckets(2)
    assert taken(buckets, "one", NOW, 2) == 2
    assert buckets.take("one", NOW - 3600) == 0


def test_zero_lets_everything_through_and_takes_no_memory() -> None:
    buckets = Buckets(0)
    assert taken(buckets, "one", NOW, 1000) == 1000
    buckets.give_back("one")
    assert buckets.size_bytes == 0


def test_a_hundred_thousand_addresses_fill_no_memory() -> None:
    buckets = Buckets(60)
    before = buckets.size_bytes
    for number in range(100_000):
        buckets.take(f"address {number}", NOW)
    assert buckets.size_bytes == before == 1 << 20


def test_a_crowd_of_attackers_leaves_almost_everybody_else_alone() -> None:
    buckets = Buckets(1, secret=SECRET)
    for number in range(2000):
        taken(buckets, f"attacker {number}", NOW, 2)
    locked_out = sum(buckets.take(f"neighbour {number}", NOW) > 0 for number in range(2000))
    assert locked_out < 20


def test_where_a_key_lies_depends_on_the_process() -> None:
    """Nobody can look for an address that shares the places of another."""
    one, other = (Buckets(1, places=64)._places_of("somebody") for _ in range(2))
    different = {Buckets(1)._places_of("somebody") for _ in range(8)}
    assert len(different) > 1
    assert all(place < 128 for place in one + other)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30)), max_size=60))
def test_nobody_ever_gets_more_than_twice_their_minute(steps: list[tuple[str, float]]) -> None:
    """In any window of a minute: what was saved up, and what came in."""
    buckets, now = Buckets(5), NOW
    passed: list[tuple[str, float]] = []
    for key, wait in steps:
        now += wait
        if buckets.take(key, now) == 0:
            passed.append((key, now))
    for key, start in passed:
        assert sum(key == other and start <= at < start + 60 for other, at in passed) <= 10


def test_threads_that_meet_never_fail() -> None:
    buckets = Buckets(1000)
    threads = [Thread(target=taken, args=(buckets, "one", NOW, 500)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert buckets.take("one", NOW) > 0


def test_a_proven_call_counts_against_its_client() -> None:
    clients = Buckets(1)
    MeasuredCall(clients, NOW).prove("client")
    again = MeasuredCall(clients, NOW)
    with pytest.raises(TooManyRequestsError) as refused:
        again.prove("client")
    assert refused.value.seconds == 60
    assert again.is_proven
    MeasuredCall(clients, NOW).prove(None)


def test_outside_of_a_request_nobody_counts() -> None:
    proven("client")


@contextmanager
def serving(installation: Installation, **limits: int) -> Iterator[TestClient]:
    app = create_app(configured(installation, "limits", **limits))
    with TestClient(app, base_url=ISSUER, follow_redirects=False) as http:
        yield http


@pytest.mark.parametrize("path", ["/par", "/token", "/revoke", "/introspect"])
def test_clients_that_fail_are_told_to_wait_in_the_form_of_oauth(
    sqlite_installation: Installation, clock: Clock, path: str
) -> None:
    with serving(sqlite_installation, unproven_per_minute=3) as http:
        first = [http.post(path, data={"token": "x", "grant_type": "x"}).status_code for _ in range(3)]
        answer = http.post(path, data={"token": "x"})
        clock.advance(timedelta(seconds=20))
        later = http.post(path, data={"token": "x"})
    assert set(first) <= {400, 401}
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "20"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["error"] == "temporarily_unavailable"
    assert later.status_code in {400, 401}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/records"), ("POST", "/v1/deliveries"), ("GET", "/v1/obligations"), ("POST", "/v1/deals")],
)
def test_strangers_at_the_resources_are_told_as_a_problem(
    sqlite_installation: Installation, method: str, path: str
) -> None:
    with serving(sqlite_installation, unproven_per_minute=2) as http:
        refused = [http.request(method, path, headers={"Idempotency-Key": "1"}) for _ in range(3)]
    assert [answer.status_code for answer in refused] == [401, 401, 429]
    assert refused[-1].headers["content-type"] == "application/problem+json"
    assert refused[-1].json()["code"] == "too_many_requests"
    assert int(refused[-1].headers["Retry-After"]) == 30


@pytest.mark.parametrize(("language", "words"), [("ko", "시도가 너무 많았어요"), ("en", "Too many attempts")])
def test_who_guesses_at_passwords_sees_a_page(
    sqlite_installation: Installation, language: str, words: str
) -> None:
    form, headers = {"username": "haneul", "password": "no"}, {"Origin": ISSUER}
    with serving(sqlite_installation, sign_in_per_minute=1, unproven_per_minute=100) as http:
        first = http.post(f"/{language}/signin", data=form, headers=headers)
        second = http.post(f"/{language}/signin", data=form, headers=headers)
        shown = http.get(f"/{language}/signin")
    assert (first.status_code, second.status_code, shown.status_code) == (422, 429, 200)
    assert second.headers["content-type"].startswith("text/html")
    assert second.headers["Retry-After"] == "60"
    assert words in second.text


def test_a_browser_that_is_sent_too_often_sees_a_page(sqlite_installation: Installation) -> None:
    with serving(sqlite_installation, unproven_per_minute=1) as http:
        answers = [http.get("/authorize", params={"client_id": "x"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [400, 429]
    assert answers[1].headers["content-type"].startswith("text/html")


def test_what_succeeds_is_not_counted(sqlite_installation: Installation) -> None:
    with serving(sqlite_installation, unproven_per_minute=1) as http:
        assert {http.get("/jwks").status_code for _ in range(5)} == {200}


@pytest.fixture
def narrow(installation: Installation, clock: Clock) -> Iterator[Office]:
    """An office where an address has two failures a minute, and a client twelve calls."""
    limited = configured(installation, "limits", unproven_per_minute=2, client_per_minute=12)
    yield from made(limited, clock)


def test_a_proven_client_is_not_in_the_way_of_its_neighbours(narrow: Office) -> None:
    """Refusals that a proven client gets are its own: the address has lost nothing."""
    insurer, stranger = narrow.world.insurer, narrow.world.stranger
    assert {insurer.refresh("mdr_unknown").status_code for _ in range(8)} == {400}
    assert stranger.own_token(scope="deliveries").status_code == 200


def test_a_client_over_its_own_rate_is_told_so(narrow: Office) -> None:
    insurer = narrow.world.insurer
    answers = [insurer.own_token(scope="deliveries") for _ in range(14)]
    limited = [answer for answer in answers if answer.status_code == 429]
    assert len(limited) == 2
    assert limited[0].json()["error"] == "temporarily_unavailable"
    assert limited[0].headers["Retry-After"] == "5"
    assert narrow.world.stranger.own_token(scope="deliveries").status_code == 200


def test_refused_pulls_of_a_proven_client_do_not_count_as_strange(narrow: Office) -> None:
    token = narrow.grant()["access_token"]
    answers = [narrow.pull(token, key=f"{number}") for number in range(6)]
    assert [answer.status_code for answer in answers] == [200] + 5 * [403]


def test_an_assertion_that_came_too_often_is_not_used_up(narrow: Office, clock: Clock) -> None:
    insurer = narrow.world.insurer
    for _ in range(12):
        insurer.own_token(scope="deliveries")
    form = {"grant_type": "client_credentials", "scope": "deliveries"} | insurer.authentication()
    proof = insurer.proof("/token")
    assert insurer.post("/token", form, [proof]).status_code == 429
    clock.advance(timedelta(seconds=5))
    assert insurer.post("/token", form, [proof]).status_code == 200


def test_behind_a_trusted_proxy_each_has_an_address_of_their_own(sqlite_installation: Installation) -> None:
    behind = configured(sqlite_installation, "server", trusted_proxies=("192.0.2.0/24",))
    app = create_app(configured(behind, "limits", unproven_per_minute=1))
    with TestClient(app, base_url=ISSUER, client=("192.0.2.1", 5000)) as http:
        answers = [
            http.get("/v1/records", headers={"X-Forwarded-For": address}).status_code
            for address in ("198.51.100.7", "198.51.100.7", "198.51.100.8", "1.1.1.1, 198.51.100.7")
        ]
    assert answers == [401, 429, 401, 429]


def test_without_a_trusted_proxy_nobody_gets_a_new_address_by_saying_so(
    sqlite_installation: Installation,
) -> None:
    with serving(sqlite_installation, unproven_per_minute=1) as http:
        answers = [
            http.get("/v1/records", headers={"X-Forwarded-For": f"198.51.100.{number}"}).status_code
            for number in range(3)
        ]
    assert answers == [401, 429, 429]
