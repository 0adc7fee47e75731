"""Who is not the token's own client, or proves nothing, is told nothing and leaves no record."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from broker.app import create_app
from broker.oauth.tokens import TokenKind
from tests.installation import ISSUER
from tests.lane.proofs import ABSENT
from tests.lane.world import ANYTHING, BILLS, DELIVERIES, Granted, World, code_of
from vault.jose import generate_private_jwk

UNKNOWN = (401, "invalid_token")
BAD_PROOF = (401, "invalid_dpop_proof")


@pytest.fixture
def granted(world: World) -> Granted:
    return world.granted()


def assert_no_trace(world: World, granted: Granted) -> None:
    """Nothing was released, nothing recorded, and the place is still there."""
    assert world.told(granted.grant_id) == []
    assert world.deliveries(granted.grant_id) == []
    assert world.pull(granted.token).status_code == 200


def test_no_token_of_scheme_dpop(world: World, granted: Granted) -> None:
    token = granted.token
    for credentials in (
        *([], [""], ["DPoP"], ["DPoP "], [f"Bearer {token}"], [f"Basic {token}"], [token]),
        [f"DPoP {token}", f"DPoP {token}"],
        ["DPoP mda_unknown", f"DPoP {token}"],
    ):
        headers = [("Authorization", value) for value in credentials] + [("DPoP", world.proof(token))]
        assert code_of(world.http.get(ANYTHING, headers=headers)) == UNKNOWN, credentials
    assert_no_trace(world, granted)


def test_an_unknown_token(world: World, granted: Granted) -> None:
    assert code_of(world.pull("mda_unknown")) == UNKNOWN
    assert_no_trace(world, granted)


def test_a_foreign_token_is_as_an_unknown_one(world: World, granted: Granted) -> None:
    thief = generate_private_jwk("ES256")
    stolen = world.pull(granted.token, proofs=[world.proof(granted.token, key=thief)])
    unknown = world.pull("mda_unknown", proofs=[world.proof("mda_unknown", key=thief)])
    assert code_of(stolen) == UNKNOWN
    told, known = stolen.json(), unknown.json()
    assert told.pop("trace_id") != known.pop("trace_id")
    assert told == known
    assert stolen.headers["www-authenticate"] == unknown.headers["www-authenticate"]
    assert_no_trace(world, granted)


def test_a_foreign_token_of_an_ended_consent_is_as_an_unknown_one(world: World, granted: Granted) -> None:
    world.office.withdraw(granted.grant_id)
    thief = generate_private_jwk("ES256")
    assert code_of(world.pull(granted.token, proofs=[world.proof(granted.token, key=thief)])) == UNKNOWN
    assert world.told(granted.grant_id) == [("consent.withdrawn", None)]


def test_a_refresh_token_is_no_access_token(world: World, granted: Granted) -> None:
    refresh_token = world.token(granted.given, kind=TokenKind.REFRESH)
    assert code_of(world.pull(refresh_token)) == UNKNOWN
    assert_no_trace(world, granted)


def test_a_token_of_the_clients_own_business_opens_no_records(world: World, granted: Granted) -> None:
    assert code_of(world.pull(world.own_token())) == (401, "no_consent")
    assert_no_trace(world, granted)


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "another method": {"htm": "POST"},
    "the method in small letters": {"htm": "get"},
    "no method": {"htm": ABSENT},
    "another path": {"htu": ISSUER + BILLS},
    "another host": {"htu": "http://127.0.0.1:8001/v1/records"},
    "another scheme": {"htu": "https://127.0.0.1:8000/v1/records"},
    "no address": {"htu": ABSENT},
    "another token's hash": {"ath": "8wDEzFzDnU6cxkkYdZmLlcdCpnJLrZsOoF9S3u_2Fmo"},
    "no token's hash": {"ath": ABSENT},
    "no id": {"jti": ABSENT},
    "no instant": {"iat": ABSENT},
}


def test_a_proof_for_something_else(world: World, granted: Granted) -> None:
    for what, claims in BAD_CLAIMS.items():
        answer = world.pull(granted.token, proofs=[world.proof(granted.token, **claims)])
        assert code_of(answer) == BAD_PROOF, what
        assert 'error="invalid_dpop_proof"' in answer.headers["www-authenticate"]
    assert_no_trace(world, granted)


def test_a_proof_from_another_minute(world: World, granted: Granted) -> None:
    for seconds in (-61, 61):
        proof = world.proof(granted.token, now=world.clock() + timedelta(seconds=seconds))
        assert code_of(world.pull(granted.token, proofs=[proof])) == BAD_PROOF, seconds
    assert_no_trace(world, granted)


BAD_PROOFS: dict[str, Callable[[World, str], list[str]]] = {
    "none": lambda _, __: [],
    "empty": lambda _, __: [""],
    "no JWT": lambda _, __: ["not.a.proof"],
    "two": lambda world, token: [world.proof(token), world.proof(token)],
    "another type": lambda world, token: [world.proof(token, header={"typ": "JWT"})],
    "changed": lambda world, token: [world.proof(token)[:-6] + "AAAAAA"],
    "another key in it": lambda world, token: [
        world.proof(token, header={"jwk": generate_private_jwk("ES256")})
    ],
}


def test_no_acceptable_proof(world: World, granted: Granted) -> None:
    for what, made in BAD_PROOFS.items():
        assert code_of(world.pull(granted.token, proofs=made(world, granted.token))) == BAD_PROOF, what
    assert_no_trace(world, granted)


def test_a_proof_is_good_once(world: World) -> None:
    granted = world.granted({"access.max_pulls": 2})
    proof = world.proof(granted.token)
    assert world.pull(granted.token, proofs=[proof]).status_code == 200
    assert code_of(world.pull(granted.token, proofs=[proof])) == BAD_PROOF
    assert world.told(granted.grant_id) == [("delivery.released", None)]
    assert len(world.deliveries(granted.grant_id)) == 1


def test_a_proof_is_good_once_for_a_redelivery_too(world: World, granted: Granted) -> None:
    proof = world.proof(granted.token)
    assert world.pull(granted.token, proofs=[proof], idempotency_key="one").status_code == 200
    assert code_of(world.pull(granted.token, proofs=[proof], idempotency_key="one")) == BAD_PROOF
    assert world.told(granted.grant_id) == [("delivery.released", None)]


def test_a_proof_that_was_refused_with_its_pull_is_used_up(world: World, granted: Granted) -> None:
    proof = world.proof(granted.token, "/v1/records/no.such_type")
    path = "/v1/records/no.such_type"
    assert code_of(world.pull(granted.token, path, proofs=[proof])) == (403, "item_not_granted")
    assert code_of(world.pull(granted.token, path, proofs=[proof])) == BAD_PROOF
    assert len(world.told(granted.grant_id)) == 1


def test_a_used_proof_does_not_serve_another_worker(world: World) -> None:
    """Replay is told by the database: a second broker on it knows what the first one took."""
    granted = world.granted({"access.max_pulls": 2})
    proof = world.proof(granted.token)
    assert world.pull(granted.token, proofs=[proof]).status_code == 200
    with TestClient(create_app(world.installation), base_url=ISSUER) as other:
        headers = {"Authorization": f"DPoP {granted.token}", "DPoP": proof}
        assert code_of(other.get(ANYTHING, headers=headers)) == BAD_PROOF


def test_a_delivery_needs_a_key(world: World, granted: Granted) -> None:
    assert code_of(world.pull(granted.token, DELIVERIES)) == (400, "idempotency_key_missing")
    assert_no_trace(world, granted)


def test_a_malformed_key(world: World, granted: Granted) -> None:
    for method, path in (("GET", ANYTHING), ("POST", DELIVERIES)):
        for keys in ([""], ["k" * 256], ["one", "two"]):
            headers = [
                ("Authorization", f"DPoP {granted.token}"),
                ("DPoP", world.proof(granted.token, path, method=method)),
                *(("Idempotency-Key", key) for key in keys),
            ]
            answer = world.http.request(method, path, headers=headers)
            assert code_of(answer) == (400, "idempotency_key_malformed"), (path, keys)
    assert_no_trace(world, granted)


def test_another_method_takes_no_place(world: World, granted: Granted) -> None:
    for method, path in (("HEAD", ANYTHING), ("HEAD", BILLS), ("POST", ANYTHING), ("GET", DELIVERIES)):
        headers = {
            "Authorization": f"DPoP {granted.token}",
            "DPoP": world.proof(granted.token, path, method=method),
            "Idempotency-Key": "one",
        }
        assert world.http.request(method, path, headers=headers).status_code == 405, (method, path)
    assert_no_trace(world, granted)


def test_a_request_without_any_token_is_challenged_and_told_no_error(sqlite_world: World) -> None:
    """RFC 6750 section 3.1, with the algorithms of RFC 9449 section 7.1."""
    answer = sqlite_world.http.get(ANYTHING)
    assert answer.headers["www-authenticate"] == 'DPoP algs="ES256 PS256 EdDSA Ed25519"'
    assert code_of(answer) == (401, "invalid_token")
