"""Signed request objects: whose they are, for whom, for how long, and how often (RFC 9101)."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from broker.db import transaction
from broker.oauth.models import Client
from tests.installation import ISSUER
from tests.oauth.message_signing import (
    kept_in,
    object_refused,
    push_object,
    push_signed,
    register,
    request_object,
    unsigned,
)
from tests.oauth.world import LEFT_OUT, Recipient, World, refused
from vault.jose import Jwk, generate_private_jwk, public_jwk

RSA_KEY = generate_private_jwk("PS256")
ED25519_KEY = generate_private_jwk("Ed25519")
OTHER_KEY = generate_private_jwk("ES256")
HOUR = 3600


@pytest.fixture
def signer(small_world: World) -> Recipient:
    """A client that must sign its requests."""
    register(small_world, small_world.insurer)
    return small_world.insurer


def add_key(world: World, client: Recipient, key: Jwk) -> None:
    with transaction(world.installation.data) as work:
        row = work.session.get_one(Client, client.client_id)
        row.jwks = json.dumps({"keys": [*json.loads(row.jwks)["keys"], public_jwk(key)]})


# When it is good


def test_ensure_request_object_without_exp_fails(signer: Recipient) -> None:
    assert object_refused(signer, request_object(signer, exp=LEFT_OUT))


def test_ensure_request_object_without_nbf_fails(signer: Recipient) -> None:
    assert object_refused(signer, request_object(signer, nbf=LEFT_OUT))


def test_ensure_request_object_with_exp_over_60_fails(signer: Recipient) -> None:
    assert object_refused(signer, request_object(signer, exp=signer.seconds + HOUR + 1))
    assert object_refused(signer, request_object(signer, exp=signer.seconds + 70 * 60))
    # Counted from nbf, not from now (FAPI 2.0 Message Signing section 5.3.1).
    assert object_refused(
        signer, request_object(signer, nbf=signer.seconds - 60, exp=signer.seconds + HOUR - 59)
    )
    assert push_signed(signer, exp=signer.seconds + HOUR).status_code == 201


def test_ensure_request_object_with_nbf_over_60_fails(signer: Recipient) -> None:
    assert object_refused(
        signer, request_object(signer, nbf=signer.seconds - 70 * 60, exp=signer.seconds + 30)
    )
    assert object_refused(
        signer, request_object(signer, nbf=signer.seconds - HOUR - 1, exp=signer.seconds - 1)
    )
    assert object_refused(signer, request_object(signer, nbf=signer.seconds + 61))


def test_ensure_expired_request_object_fails(signer: Recipient) -> None:
    assert object_refused(signer, request_object(signer, nbf=signer.seconds - 60, exp=signer.seconds))
    assert object_refused(signer, request_object(signer, nbf=signer.seconds - 600, exp=signer.seconds - 300))


def test_ensure_request_object_with_nbf_8_seconds_in_the_future_is_accepted(signer: Recipient) -> None:
    for ahead in (8, 60):
        pushed = push_signed(signer, nbf=signer.seconds + ahead, iat=signer.seconds + ahead)
        assert pushed.status_code == 201, pushed.text


@pytest.mark.parametrize(
    "times", [{"exp": "soon"}, {"nbf": True}, {"exp": 2**52}, {"nbf": -(2**52)}, {"iat": "x"}]
)
def test_a_time_that_is_none(signer: Recipient, times: Mapping[str, Any]) -> None:
    assert object_refused(signer, request_object(signer, **times))


def test_an_object_of_tomorrow_is_not_signed_yet(signer: Recipient) -> None:
    assert object_refused(signer, request_object(signer, iat=signer.seconds + 61))


def test_an_object_dies_while_it_lies_about(small_world: World, signer: Recipient) -> None:
    raw_object = request_object(signer)
    small_world.clock.advance(timedelta(seconds=300))
    assert object_refused(signer, raw_object)


# Whose it is, and for whom


@pytest.mark.parametrize(
    "aud",
    [
        LEFT_OUT,
        "https://other.example",
        f"{ISSUER}/",
        f"{ISSUER}/par",
        ["https://other.example"],
        [],
        [ISSUER, 7],
        {"issuer": ISSUER},
    ],
)
def test_ensure_request_object_with_bad_aud_fails(signer: Recipient, aud: object) -> None:
    assert object_refused(signer, request_object(signer, aud=aud))


def test_ensure_request_object_with_multiple_aud_succeeds(signer: Recipient) -> None:
    """An array that contains the issuer is fine here, unlike in client assertions."""
    for aud in ([ISSUER], ["https://other.example", ISSUER]):
        assert push_signed(signer, aud=aud).status_code == 201


def test_ensure_signed_request_object_with_rs256_fails(small_world: World, signer: Recipient) -> None:
    add_key(small_world, signer, RSA_KEY | {"alg": "RS256"})
    assert object_refused(signer, request_object(signer, key=RSA_KEY | {"alg": "RS256"}))


def test_ensure_request_object_signature_algorithm_is_not_none(signer: Recipient) -> None:
    raw_object = unsigned(request_object(signer), alg="none")
    assert object_refused(signer, raw_object)
    assert object_refused(signer, raw_object.rpartition(".")[0] + ".")
    assert object_refused(signer, unsigned(request_object(signer), alg="HS256", kid=signer.key["kid"]))


def test_ensure_request_object_with_invalid_signature_fails(signer: Recipient) -> None:
    good, other = request_object(signer), request_object(signer, state="another")
    for raw_object in (
        good[:-6] + ("AAAAAA" if not good.endswith("AAAAAA") else "BBBBBB"),
        good.rpartition(".")[0] + "." + other.rpartition(".")[2],
        request_object(signer, key=OTHER_KEY, header={"kid": signer.key["kid"]}),
    ):
        assert object_refused(signer, raw_object)


def test_ensure_matching_key_in_authorization_request(small_world: World, signer: Recipient) -> None:
    """Signed with client 2's key: refused, under whichever name."""
    stranger = small_world.stranger
    for header in ({}, {"kid": signer.key["kid"]}, {"kid": LEFT_OUT}):
        assert object_refused(signer, request_object(signer, key=stranger.key, header=header))
    assert object_refused(signer, request_object(stranger))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": LEFT_OUT},
        {"iss": "other-app"},
        {"iss": ["insurer-claims"]},
        {"client_id": LEFT_OUT},
        {"client_id": "other-app"},
        {"client_id": ["insurer-claims"]},
    ],
)
def test_an_object_is_of_the_client_that_sends_it(signer: Recipient, changes: Mapping[str, Any]) -> None:
    assert object_refused(signer, request_object(signer, **changes))


def test_the_name_beside_the_object_must_be_the_clients_too(signer: Recipient) -> None:
    raw_object = request_object(signer)
    assert refused(push_object(signer, raw_object, client_id="other-app"), "invalid_client")
    assert push_object(signer, raw_object, client_id=signer.client_id).status_code == 201


@pytest.mark.parametrize("typ", ["dpop+jwt", "client-authentication+jwt", "at+jwt", "secevent+jwt", "x"])
def test_what_was_signed_as_something_else_is_no_request(signer: Recipient, typ: object) -> None:
    assert object_refused(signer, request_object(signer, header={"typ": typ}))


@pytest.mark.parametrize("typ", [LEFT_OUT, "JWT", "OautH-auThZ-REQ+jWt", "application/oauth-authz-req+jwt"])
def test_a_type_may_be_missing_and_is_not_case_sensitive(signer: Recipient, typ: object) -> None:
    assert push_object(signer, request_object(signer, header={"typ": typ})).status_code == 201


def test_an_assertion_never_passes_as_a_request_object(signer: Recipient) -> None:
    for header in ({}, {"typ": LEFT_OUT}, {"typ": "client-authentication+jwt"}):
        assertion = signer.assertion(header=header, nbf=signer.seconds, **signer.request())
        assert object_refused(signer, assertion)


def test_a_request_object_never_passes_as_an_assertion(signer: Recipient) -> None:
    """Not even one that has all the claims of an assertion: then its type keeps it from being one."""
    claims: dict[str, Any] = {"sub": signer.client_id, "jti": "one", "iat": signer.seconds}
    for header in ({}, {"typ": "application/oauth-authz-req+jwt"}):
        raw_object = request_object(signer, header=header, **claims)
        form = signer.authentication(raw_object) | {"request": request_object(signer)}
        assert refused(signer.post("/par", form), "invalid_client")
    assert refused(
        signer.post("/par", signer.authentication(request_object(signer, header={"typ": "JWT"}))),
        "invalid_client",
    )
    # The type says what it is: `sub` means nothing in it.
    assert push_signed(signer, **claims).status_code == 201


@pytest.mark.parametrize(
    "key", [RSA_KEY, ED25519_KEY, ED25519_KEY | {"alg": "EdDSA"}], ids=["PS256", "Ed25519", "EdDSA"]
)
def test_every_algorithm_that_is_named(small_world: World, signer: Recipient, key: Jwk) -> None:
    add_key(small_world, signer, key)
    assert push_object(signer, request_object(signer, key=key)).status_code == 201


def test_the_metadata_name_what_is_taken(small_world: World, signer: Recipient) -> None:
    document = small_world.http.get("/.well-known/oauth-authorization-server").json()
    assert document["request_parameter_supported"] is True
    assert document["request_uri_parameter_supported"] is False
    assert document["require_signed_request_object"] is False
    keys = {
        "ES256": signer.key,
        "PS256": RSA_KEY,
        "Ed25519": ED25519_KEY,
        "EdDSA": ED25519_KEY | {"alg": "EdDSA"},
    }
    assert set(document["request_object_signing_alg_values_supported"]) == set(keys)


def test_the_algorithm_that_a_client_registered_is_the_only_one(small_world: World) -> None:
    insurer = small_world.insurer
    add_key(small_world, insurer, RSA_KEY)
    register(small_world, insurer, request_object_signing_alg="PS256")
    assert object_refused(insurer, request_object(insurer))
    assert push_object(insurer, request_object(insurer, key=RSA_KEY)).status_code == 201


@pytest.mark.parametrize(
    "raw_object",
    ["no JWT", "a.b.c", "e30.e30.e30", "a.b.c.d.e", "..", "e30.W1tb.e30", "e30." + "W1tb" * 1500 + ".e30"],
)
def test_what_is_no_object_at_all(signer: Recipient, raw_object: str) -> None:
    assert object_refused(signer, raw_object)


def test_an_object_over_the_size_limit(small_world: World, signer: Recipient) -> None:
    limit = small_world.installation.settings.limits.jwt_bytes
    assert refused(push_signed(signer, padding="x" * limit), "invalid_request")
    assert push_signed(signer, padding="x" * (limit // 2)).status_code == 201


# Once


def test_an_object_with_an_id_is_good_once(world: World) -> None:
    register(world, world.insurer)
    raw_object = request_object(world.insurer, jti="one")
    assert push_object(world.insurer, raw_object).status_code == 201
    assert object_refused(world.insurer, raw_object)
    assert object_refused(world.insurer, request_object(world.insurer, jti="one", state="another"))
    assert push_signed(world.insurer, jti="two").status_code == 201


@pytest.mark.parametrize("jti", ["", "x" * 257, 7, None])
def test_an_id_that_is_none(signer: Recipient, jti: object) -> None:
    assert object_refused(signer, request_object(signer, jti=jti))


def test_without_an_id_it_may_come_again(signer: Recipient) -> None:
    raw_object = request_object(signer)
    assert [push_object(signer, raw_object).status_code for _ in range(2)] == [201, 201]


def test_two_clients_may_choose_the_same_id(small_world: World) -> None:
    for client in (small_world.insurer, small_world.stranger):
        register(small_world, client)
        assert push_signed(client, jti="one").status_code == 201


def test_an_object_whose_push_was_refused_was_not_used(signer: Recipient) -> None:
    """Whoever is asked for a nonce in the proof comes again with the same object."""
    raw_object = request_object(signer, jti="one")
    form = signer.authentication() | {"request": raw_object}
    assert refused(signer.post("/par", form, [signer.proof("/token")]), "invalid_dpop_proof")
    form = signer.authentication() | {"request": raw_object}
    assert signer.post("/par", form, [signer.proof("/par")]).status_code == 201


def test_a_proof_beside_an_object_binds_the_code(small_world: World, signer: Recipient) -> None:
    form = signer.authentication() | {"request": request_object(signer)}
    assert signer.post("/par", form, [signer.proof("/par")]).status_code == 201
    row, _ = kept_in(small_world)
    assert row.dpop_jkt == signer.jkt
    wrong = signer.authentication() | {"request": request_object(signer, dpop_jkt="x" * 43)}
    assert refused(signer.post("/par", wrong, [signer.proof("/par")]), "invalid_dpop_proof")


def test_of_many_pushes_of_one_object_one_succeeds(world: World) -> None:
    register(world, world.insurer)
    raw_object = request_object(world.insurer, jti="one")
    forms = [world.insurer.authentication() | {"request": raw_object} for _ in range(16)]

    def send(form: dict[str, str]) -> int:
        return world.insurer.post("/par", form).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(send, forms)) == [201, *[400] * 15]
