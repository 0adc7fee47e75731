"""Nonces for DPoP proofs (RFC 9449 sections 8 and 9): asked for, told, good for a while, off by default."""

from collections.abc import Iterator
from typing import Any

import pytest
from httpx import Response

from broker.installation import Installation
from broker.oauth.dpop_nonce import WINDOW, current_nonce, good_nonces
from tests.api.conftest import Office, bound, made
from tests.configured import configured
from tests.installation import Clock
from tests.oauth.world import refused
from vault.jose import generate_private_jwk


@pytest.fixture
def office(installation: Installation, clock: Clock) -> Iterator[Office]:
    """An office that wants nonces, on each kind of database."""
    yield from made(configured(installation, "oauth", dpop_nonce=True), clock)


@pytest.fixture
def small_office(sqlite_installation: Installation, clock: Clock) -> Iterator[Office]:
    """An office that wants nonces, on SQLite only."""
    yield from made(configured(sqlite_installation, "oauth", dpop_nonce=True), clock)


@pytest.fixture
def office_without(sqlite_installation: Installation, clock: Clock) -> Iterator[Office]:
    yield from made(sqlite_installation, clock)


def nonce_of(office: Office) -> str:
    return current_nonce(office.world.installation.keyring, office.world.clock())


def own_token(office: Office, **claims: object) -> Response:
    insurer, named = office.world.insurer, dict[str, Any](claims)
    return insurer.own_token(scope="deliveries obligations", proofs=[insurer.proof("/token", **named)])


def wants_a_nonce(answer: Response, office: Office) -> bool:
    """RFC 9449 section 9: a challenge at the resource, with the nonce to use."""
    return (
        answer.status_code == 401
        and 'DPoP error="use_dpop_nonce"' in answer.headers["WWW-Authenticate"]
        and answer.headers["DPoP-Nonce"] == nonce_of(office)
        and answer.json()["code"] == "use_dpop_nonce"
    )


@pytest.mark.parametrize("nonce", ["", "made-up", "가", 7, None, ["a"], {}])
def test_a_foreign_nonce_is_refused_and_a_good_one_told(small_office: Office, nonce: object) -> None:
    answer = own_token(small_office, nonce=nonce)
    assert refused(answer, "use_dpop_nonce")
    assert answer.status_code == 400
    assert answer.headers["DPoP-Nonce"] == nonce_of(small_office)
    assert own_token(small_office, nonce=answer.headers["DPoP-Nonce"]).status_code == 200


def test_a_missing_nonce_does_not_use_the_code_up(office: Office) -> None:
    insurer, code = office.world.insurer, office.world.code()
    first = insurer.redeem(code)
    assert refused(first, "use_dpop_nonce")
    proof = insurer.proof("/token", nonce=first.headers["DPoP-Nonce"])
    assert insurer.redeem(code, proofs=[proof]).status_code == 200


def test_a_pushed_request_with_a_proof_needs_a_nonce_and_one_without_does_not(small_office: Office) -> None:
    insurer = small_office.world.insurer
    first = insurer.push(proofs=[insurer.proof("/par")])
    assert refused(first, "use_dpop_nonce")
    proof = insurer.proof("/par", nonce=first.headers["DPoP-Nonce"])
    assert insurer.push(proofs=[proof]).status_code == 201
    assert insurer.push().status_code == 201


def test_a_bad_proof_is_not_told_to_use_a_nonce(small_office: Office) -> None:
    """Whoever proves nothing else would only be sent around in a circle."""
    assert refused(own_token(small_office, htm="GET"), "invalid_dpop_proof")
    assert refused(own_token(small_office, iat=small_office.world.insurer.seconds - 61), "invalid_dpop_proof")


@pytest.mark.parametrize("path", ["/v1/deliveries", "/v1/obligations/unknown/attestation"])
def test_every_resource_wants_the_nonce(office: Office, path: str) -> None:
    """The hot lane's and the others'."""
    insurer = office.world.insurer
    token = own_token(office, nonce=nonce_of(office)).json()["access_token"]
    refusal = office.http.post(path, json={}, headers=bound(insurer, path, token) | {"Idempotency-Key": "1"})
    assert wants_a_nonce(refusal, office)
    headers = bound(insurer, path, token, nonce=refusal.headers["DPoP-Nonce"]) | {"Idempotency-Key": "1"}
    answer = office.http.post(path, json={}, headers=headers)
    assert answer.json()["code"] in {"no_consent", "invalid_request"}  # what comes after the proof


def test_a_delivery_tells_the_next_nonce(office: Office) -> None:
    insurer = office.world.insurer
    proof = insurer.proof("/token", nonce=nonce_of(office))
    token = insurer.redeem(office.world.code(), proofs=[proof]).json()["access_token"]
    headers = bound(insurer, "/v1/deliveries", token, nonce=nonce_of(office)) | {"Idempotency-Key": "one"}
    answer = office.http.post("/v1/deliveries", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["DPoP-Nonce"] == nonce_of(office)


def test_a_nonce_is_good_until_the_window_after_its_own_is_over(small_office: Office, clock: Clock) -> None:
    nonce = nonce_of(small_office)
    clock.advance(WINDOW)
    answer = own_token(small_office, nonce=nonce)
    assert answer.status_code == 200
    assert answer.headers["DPoP-Nonce"] != nonce
    clock.advance(WINDOW)
    assert refused(own_token(small_office, nonce=nonce), "use_dpop_nonce")


def test_a_process_whose_clock_is_a_little_ahead_gives_good_nonces(
    sqlite_installation: Installation, clock: Clock
) -> None:
    keyring = sqlite_installation.keyring
    ahead = current_nonce(keyring, clock() + WINDOW)
    assert ahead in good_nonces(keyring, clock())
    assert current_nonce(keyring, clock() + 2 * WINDOW) not in good_nonces(keyring, clock())


def test_nonces_are_the_installations_own(sqlite_installation: Installation, clock: Clock) -> None:
    keyring = sqlite_installation.keyring
    assert len(set(good_nonces(keyring, clock()))) == 3
    assert all(len(nonce) == 24 for nonce in good_nonces(keyring, clock()))


def test_a_nonce_says_nothing_about_the_key_that_signs(small_office: Office) -> None:
    """Any key may use it: the proof binds the nonce to the key, not the other way round."""
    insurer = small_office.world.insurer
    proof = insurer.proof("/token", key=generate_private_jwk("ES256"), nonce=nonce_of(small_office))
    assert insurer.own_token(proofs=[proof]).status_code == 200


def test_without_the_setting_no_nonce_is_asked_for_or_told(office_without: Office) -> None:
    answer = own_token(office_without)
    assert answer.status_code == 200
    assert "DPoP-Nonce" not in answer.headers
    assert own_token(office_without, nonce="anything").status_code == 200
