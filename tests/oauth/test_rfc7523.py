"""Client authentication: an assertion for us, from the client, fresh, once (RFC 7523, FAPI 2.0)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from broker.oauth import clients
from consent.organisations import suspend as suspend_organisation
from tests.installation import ISSUER
from tests.oauth.world import LEFT_OUT, Recipient, World, refused
from vault.jose import generate_private_jwk

Make = Callable[[Recipient], str]

RSA_KEY = generate_private_jwk("PS256")
OTHER_KEY = generate_private_jwk("ES256")

REFUSED: dict[str, Make] = {
    "par-test-array-as-audience-fails": lambda it: it.assertion(aud=[ISSUER]),
    "par-test-par-endpoint-url-as-audience-fails": lambda it: it.assertion(aud=f"{ISSUER}/par"),
    "par-test-token-endpoint-url-as-audience-fails": lambda it: it.assertion(aud=f"{ISSUER}/token"),
    "ensure-client-assertion-with-wrong-aud-fails": lambda it: it.assertion(aud="https://other.example"),
    "issuer with a slash": lambda it: it.assertion(aud=f"{ISSUER}/"),
    "no aud": lambda it: it.assertion(aud=LEFT_OUT),
    "ensure-client-assertion-with-exp-is-5-minutes-in-past-fails": lambda it: it.assertion(
        exp=it.seconds - 300
    ),
    "exp now": lambda it: it.assertion(exp=it.seconds),
    "exp more than 5 minutes ahead": lambda it: it.assertion(exp=it.seconds + 301),
    "exp an hour ahead of an iat ahead": lambda it: it.assertion(iat=it.seconds + 30, exp=it.seconds + 3600),
    "exp text": lambda it: it.assertion(exp="soon"),
    "exp beyond time": lambda it: it.assertion(exp=2**52),
    "no exp": lambda it: it.assertion(exp=LEFT_OUT),
    "ensure-client-assertion-with-no-sub-fails": lambda it: it.assertion(sub=LEFT_OUT),
    "sub no text": lambda it: it.assertion(sub=7),
    "sub with a NUL": lambda it: it.assertion(sub="insurer\x00claims", iss="insurer\x00claims"),
    "sub nobody": lambda it: it.assertion(sub="nobody", iss="nobody"),
    "sub of another client": lambda it: it.assertion(sub="other-app"),
    "iss of another client": lambda it: it.assertion(iss="other-app"),
    "no iss": lambda it: it.assertion(iss=LEFT_OUT),
    "ensure-signed-client-assertion-with-RS256-fails": lambda it: it.assertion(
        key=RSA_KEY | {"alg": "RS256"}
    ),
    "another key": lambda it: it.assertion(key=OTHER_KEY),
    "another key under our kid": lambda it: it.assertion(key=OTHER_KEY, header={"kid": it.key["kid"]}),
    "another kid": lambda it: it.assertion(header={"kid": "another"}),
    "typ of a DPoP proof": lambda it: it.assertion(header={"typ": "dpop+jwt"}),
    "typ of a request object": lambda it: it.assertion(header={"typ": "oauth-authz-req+jwt"}),
    "par-ensure-jwt-client-assertions-nbf-over-60-seconds-in-the-future-fails": lambda it: it.assertion(
        nbf=it.seconds + 61, exp=it.seconds + 120
    ),
    "iat over 60 seconds ahead": lambda it: it.assertion(iat=it.seconds + 61, exp=it.seconds + 120),
    "iat text": lambda it: it.assertion(iat="now"),
    "no jti": lambda it: it.assertion(jti=LEFT_OUT),
    "empty jti": lambda it: it.assertion(jti=""),
    "endless jti": lambda it: it.assertion(jti="x" * 300),
    "cut signature": lambda it: it.assertion()[:-4],
    "no JWT": lambda _: "no JWT",
    "too long": lambda it: it.assertion(padding="x" * 10_000),
}

ACCEPTED: dict[str, Make] = {
    "plain": Recipient.assertion,
    "par-ensure-jwt-client-assertions-nbf-8-seconds-in-the-future-is-accepted": lambda it: it.assertion(
        nbf=it.seconds + 8, iat=it.seconds + 8
    ),
    "5 minutes from an iat ahead": lambda it: it.assertion(iat=it.seconds + 8, exp=it.seconds + 308),
    "no iat": lambda it: it.assertion(iat=LEFT_OUT),
    "no kid, one key": lambda it: it.assertion(header={"kid": LEFT_OUT}),
    "no typ": lambda it: it.assertion(header={"typ": LEFT_OUT}),
    "its own typ": lambda it: it.assertion(header={"typ": "client-authentication+jwt"}),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_an_assertion_that_does_not_hold_is_refused(small_world: World, make: Make) -> None:
    insurer = small_world.insurer
    form = insurer.authentication(make(insurer)) | insurer.request()
    assert refused(insurer.post("/par", form), "invalid_client")


@pytest.mark.parametrize("make", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_an_assertion_that_holds_is_accepted(small_world: World, make: Make) -> None:
    insurer = small_world.insurer
    assert insurer.post("/par", insurer.authentication(make(insurer)) | insurer.request()).status_code == 201


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"client_assertion": LEFT_OUT}, id="ensure-client-assertion-in-token-endpoint"),
        pytest.param({"client_assertion_type": LEFT_OUT}, id="no type"),
        pytest.param({"client_assertion_type": "urn:other"}, id="other type"),
        pytest.param({"client_secret": "secret"}, id="a secret beside it"),
        pytest.param({"client_id": "other-app"}, id="ensure-client-id-in-token-endpoint"),
    ],
)
def test_the_form_must_fit(small_world: World, changes: dict[str, Any]) -> None:
    assert refused(small_world.insurer.own_token(**changes), "invalid_client")


def test_every_endpoint_needs_an_assertion(small_world: World) -> None:
    insurer = small_world.insurer
    assert refused(insurer.post("/par", insurer.request()), "invalid_client")
    assert refused(insurer.post("/revoke", {"token": "mda_any"}), "invalid_client")
    for grant_type in ("authorization_code", "refresh_token", "client_credentials"):
        assert refused(insurer.post("/token", {"grant_type": grant_type}), "invalid_client")


def test_an_assertion_is_good_once_also_at_another_endpoint(world: World) -> None:
    insurer = world.insurer
    assertion = insurer.assertion()
    assert insurer.post("/par", insurer.authentication(assertion) | insurer.request()).status_code == 201
    again = insurer.post("/par", insurer.authentication(assertion) | insurer.request())
    assert refused(again, "invalid_client")
    form = insurer.authentication(assertion) | {"grant_type": "client_credentials"}
    assert refused(insurer.post("/token", form, [insurer.proof("/token")]), "invalid_client")


def test_an_assertion_stays_used_when_its_request_was_refused(small_world: World) -> None:
    insurer = small_world.insurer
    assertion = insurer.assertion()
    wrong = insurer.authentication(assertion) | insurer.request(response_type="token")
    assert refused(insurer.post("/par", wrong), "unsupported_response_type")
    right = insurer.authentication(assertion) | insurer.request()
    assert refused(insurer.post("/par", right), "invalid_client")


def test_two_clients_may_choose_the_same_id(small_world: World) -> None:
    for recipient in (small_world.insurer, small_world.stranger):
        form = recipient.authentication(recipient.assertion(jti="one")) | recipient.request()
        assert recipient.post("/par", form).status_code == 201


def test_unknown_and_unproven_are_one_answer(small_world: World) -> None:
    insurer = small_world.insurer
    answers = [
        insurer.post("/par", insurer.authentication(assertion)).content
        for assertion in (
            insurer.assertion(sub="nobody", iss="nobody"),
            insurer.assertion(key=OTHER_KEY, header={"kid": insurer.key["kid"]}),
        )
    ]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("suspended", ["client", "organisation"])
def test_a_suspended_client_is_refused_everywhere(world: World, suspended: str) -> None:
    insurer = world.insurer
    pushed, code, tokens = insurer.push(), world.code(), world.tokens()
    with world.installation.data.write() as session:
        if suspended == "client":
            clients.suspend(session, insurer.client_id)
        else:
            suspend_organisation(session, "insurer")
    assert insurer.open(pushed.json()["request_uri"]).status_code == 400
    for answer in (
        insurer.push(),
        insurer.redeem(code),
        insurer.refresh(tokens["refresh_token"]),
        insurer.own_token(),
        insurer.revoke(tokens["access_token"]),
    ):
        assert refused(answer, "invalid_client")
    assert small_talk(world.stranger) == 200


def small_talk(recipient: Recipient) -> int:
    return recipient.own_token().status_code


def test_an_assertion_dies_with_its_minute(small_world: World) -> None:
    insurer = small_world.insurer
    form = insurer.authentication() | insurer.request()
    small_world.clock.advance(timedelta(seconds=60))
    assert refused(insurer.post("/par", form), "invalid_client")
