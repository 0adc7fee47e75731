"""Registration where it is guessed at, raced for, or asks for what the installation has not."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from broker.app import create_app
from broker.installation import Installation
from tests.configured import configured
from tests.installation import ISSUER, Clock
from tests.oauth.conftest import made
from tests.oauth.registering import Newcomer, bearer, credentials_of, invited, path_of
from tests.oauth.transport import serving
from tests.oauth.world import World, refused

THREADS = 8
SUBJECT = "CN=claims,O=Hanbit"


def world_with(bare: Installation, clock: Clock, **server: str) -> Iterator[World]:
    yield from made(configured(bare, "server", **server), clock)


@pytest.fixture
def behind_proxy(sqlite_installation: Installation, clock: Clock) -> Iterator[World]:
    """A proxy hands certificates on, and says nothing of their chain."""
    yield from world_with(sqlite_installation, clock, client_certificate_header="client-cert")


@pytest.fixture
def behind_checking_proxy(sqlite_installation: Installation, clock: Clock) -> Iterator[World]:
    """A proxy that checks the chain, too."""
    headers = {"client_certificate_header": "client-cert", "client_certificate_verified_header": "verified"}
    yield from world_with(sqlite_installation, clock, **headers)


def test_guesses_and_refused_registrations_count_as_unproven(
    sqlite_installation: Installation, clock: Clock
) -> None:
    for world in made(configured(sqlite_installation, "limits", unproven_per_minute=4), clock):
        told, good = Newcomer(world).registered(), Newcomer(world).metadata()
        invitation = invited(world)
        with serving(create_app(world.installation), ISSUER) as http:
            for _ in range(9):  # who is proven is not in its neighbours' way
                assert http.get(path_of(told), headers=credentials_of(told)).status_code == 200
            attempts = [
                ("/register", "mdi_guess", good),
                (path_of(told), "mdm_guess", good),
                ("/register", invitation.raw_token, {}),
                ("/register", invitation.raw_token, {"client_name": "x"}),
                ("/register", invitation.raw_token, good),
            ]
            answers = [
                http.request("PUT" if "mdm" in token else "POST", path, json=sent, headers=bearer(token))
                for path, token, sent in attempts
            ]
        assert [answer.status_code for answer in answers] == [401, 401, 400, 400, 429]
        assert answers[-1].json()["error"] == "temporarily_unavailable"
        assert int(answers[-1].headers["Retry-After"]) > 0


def test_one_of_many_deletes_a_client_and_no_change_comes_after(world: World) -> None:
    newcomer = Newcomer(world)
    told = newcomer.registered()
    members = newcomer.metadata(client_id=told["client_id"])
    barrier = Barrier(THREADS)

    def act(number: int) -> tuple[str, int]:
        barrier.wait()
        method, sent = ("DELETE", None) if number % 2 else ("PUT", members)
        answer = world.http.request(method, path_of(told), json=sent, headers=credentials_of(told))
        return method, answer.status_code

    with ThreadPoolExecutor(THREADS) as pool:
        statuses = sorted(pool.map(act, range(THREADS)))
    deleted = [status for method, status in statuses if method == "DELETE"]
    assert deleted == [204] + [401] * (THREADS // 2 - 1)
    assert {status for method, status in statuses if method == "PUT"} <= {200, 401}
    assert world.http.get(path_of(told), headers=credentials_of(told)).status_code == 401
    assert refused(newcomer.recipient(told["client_id"]).own_token(scope="deliveries"), "invalid_client")


def test_a_certificate_of_its_own_is_registered_where_certificates_come(behind_proxy: World) -> None:
    told = Newcomer(behind_proxy).registered(token_endpoint_auth_method="self_signed_tls_client_auth")
    assert told["token_endpoint_auth_method"] == "self_signed_tls_client_auth"


def test_a_chain_that_nobody_checks_is_not_registered(behind_proxy: World) -> None:
    newcomer, invitation = Newcomer(behind_proxy), invited(behind_proxy)
    asked = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": SUBJECT}
    assert refused(newcomer.register(invitation.raw_token, **asked), "invalid_client_metadata")


@pytest.mark.parametrize(
    ("names", "status"),
    [
        ({}, 400),
        ({"tls_client_auth_subject_dn": "no name"}, 400),
        ({"tls_client_auth_subject_dn": SUBJECT, "tls_client_auth_san_dns": "new.example"}, 400),
        ({"tls_client_auth_san_dns": 7}, 400),
        ({"tls_client_auth_subject_dn": SUBJECT}, 201),
    ],
)
def test_a_name_in_a_certificate_is_registered_by_the_rules_of_every_client(
    behind_checking_proxy: World, names: dict[str, Any], status: int
) -> None:
    newcomer, invitation = Newcomer(behind_checking_proxy), invited(behind_checking_proxy)
    asked = {"token_endpoint_auth_method": "tls_client_auth"} | names
    answer = newcomer.register(invitation.raw_token, **asked)
    assert answer.status_code == status, answer.text
    assert answer.json().get("error", "invalid_client_metadata") == "invalid_client_metadata"
