"""Codes, tokens and issuers that an attacker brings along (RFC 9700 sections 4.4, 4.5 and 4.14)."""

import pytest

from broker.oauth.pkce import challenge_of
from tests.installation import ISSUER
from tests.oauth.world import World, answer_in, refused
from vault.jose import generate_private_jwk, thumbprint

EVIL = "https://evil.example"
OTHER_VERIFIER = "the-verifier-of-another-request-of-the-same-client"


@pytest.mark.parametrize("state", ["s&iss=https://evil.example", "s#iss=x", "s&code=mdc_mine", "s%26iss%3Dx"])
def test_no_parameter_puts_another_issuer_or_code_into_the_response(small_world: World, state: str) -> None:
    """Mix-up: a client that compares `iss` is told the truth, whatever the request held."""
    pushed = small_world.insurer.push(state=state, iss=EVIL)
    address = small_world.agree(small_world.interaction_of(pushed))
    assert address.count("iss=") - state.count("iss=") <= 1
    answer = answer_in(address)
    assert (answer["iss"], answer["state"]) == (ISSUER, state)
    assert answer["code"].startswith("mdc_")
    assert small_world.insurer.redeem(answer["code"]).status_code == 200


def test_a_code_of_one_request_does_not_fit_another_of_the_same_client(world: World) -> None:
    """Injection: the attacker puts a stolen code into a session of his own at the honest client."""
    stolen = world.code()
    mine = world.code(code_challenge=challenge_of(OTHER_VERIFIER))
    assert refused(world.insurer.redeem(stolen, code_verifier=OTHER_VERIFIER), "invalid_grant")
    assert refused(world.insurer.redeem(stolen), "invalid_grant"), "tried once, it is used up"
    assert world.insurer.redeem(mine, code_verifier=OTHER_VERIFIER).status_code == 200


def test_a_stolen_refresh_token_is_worth_nothing_without_client_and_key(world: World) -> None:
    insurer, stranger = world.insurer, world.stranger
    refresh_token = world.tokens()["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    assert refused(insurer.post("/token", form, [insurer.proof("/token")]), "invalid_client")
    named = form | {"client_id": insurer.client_id}
    assert refused(insurer.post("/token", named, [insurer.proof("/token")]), "invalid_client")
    assert refused(stranger.refresh(refresh_token), "invalid_grant")
    assert refused(insurer.refresh(refresh_token, proofs=[]), "invalid_request")
    assert insurer.refresh(refresh_token).status_code == 200, "and it lives on for whose it is"


def test_a_token_is_bound_to_the_key_that_asked_for_it_and_to_no_other(lane_world: World) -> None:
    """RFC 9449 section 5: an authenticated client may turn to another key; the new token is that key's."""
    insurer, other = lane_world.insurer, generate_private_jwk("ES256")
    tokens = lane_world.tokens()
    turned = insurer.refresh(tokens["refresh_token"], proofs=[insurer.proof("/token", key=other)])
    assert turned.status_code == 200
    told = [
        insurer.introspect(token).json()["cnf"]["jkt"]
        for token in (tokens["access_token"], turned.json()["access_token"])
    ]
    assert told == [insurer.jkt, thumbprint(other)]
