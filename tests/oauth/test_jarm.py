"""Authorization responses as signed tokens: one parameter, for one client, for minutes (JARM)."""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from broker.db import transaction
from broker.oauth import interaction
from broker.oauth.client_metadata import SecurityProfile
from broker.oauth.errors import OAuthCode
from broker.oauth.jarm import signed_address
from broker.oauth.models import PushedRequest
from broker.service_keys import OAUTH_KEY, switch_at_once
from tests.installation import ISSUER
from tests.oauth.message_signing import push_object, push_signed, read_signed, register, request_object
from tests.oauth.world import LEFT_OUT, REDIRECT_URI, World, answer_in, refused


def refuse(world: World, interaction_id: str, refusal: OAuthCode = OAuthCode.ACCESS_DENIED) -> str:
    """The address after a person's no, or after what cannot be."""
    with transaction(world.installation.data) as work:
        return interaction.deny(
            work.session,
            world.installation.keyring,
            ISSUER,
            interaction_id,
            None,
            world.clock(),
            refusal=refusal,
        )


def opened(world: World, address: str) -> dict[str, Any]:
    """The claims of a signed answer, which is all that came back."""
    assert address.startswith(f"{REDIRECT_URI}&response=")
    assert urlsplit(address).fragment == ""
    query = parse_qsl(urlsplit(address).query, keep_blank_values=True)
    assert [name for name, _ in query] == ["flow", "response"]
    header, claims = read_signed(world, dict(query)["response"], "jwt")
    assert header["alg"] == "ES256"
    return claims


def asked_from(redirect_uri: str) -> PushedRequest:
    return PushedRequest.model_construct(
        client_id="insurer-claims", redirect_uri=redirect_uri, scope="records.read", code_challenge="x"
    )


# What is refused


@pytest.mark.parametrize(
    "mode",
    ["fragment", "fragment.jwt", "form_post", "form_post.jwt", "web_message.jwt", "JWT", "jwt query", "none"],
)
def test_every_other_mode(small_world: World, mode: str) -> None:
    assert refused(small_world.insurer.push(response_mode=mode), "invalid_request")


@pytest.mark.parametrize("profile", [SecurityProfile.FAPI2, SecurityProfile.FAPI2_MESSAGE_SIGNING])
def test_a_client_whose_answers_are_signed_gets_no_plain_one(
    small_world: World, profile: SecurityProfile
) -> None:
    insurer = small_world.insurer
    register(small_world, insurer, profile, authorization_signed_response_alg="ES256")
    assert refused(push_signed(insurer, response_mode="query"), "invalid_request")
    if profile is SecurityProfile.FAPI2:
        assert refused(insurer.push(response_mode="query"), "invalid_request")


def test_an_answer_for_another_address_is_not_made(small_world: World) -> None:
    pushed = asked_from(REDIRECT_URI)
    keyring, now = small_world.installation.keyring, small_world.clock()
    with pytest.raises(ValueError, match="redirect URI"):
        signed_address(keyring, ISSUER, pushed, "https://insurer.example/callback?code=x", now)


# What comes back


@pytest.mark.parametrize("mode", ["jwt", "query.jwt"])
def test_a_code_comes_back_signed(world: World, mode: str) -> None:
    pushed = world.insurer.push(response_mode=mode)
    assert pushed.status_code == 201, pushed.text
    claims = opened(world, world.agree(world.interaction_of(pushed)))
    assert set(claims) == {"iss", "aud", "iat", "exp", "code", "state"}
    assert (claims["iss"], claims["aud"], claims["state"]) == (ISSUER, "insurer-claims", "a state")
    assert claims["iat"] == world.insurer.seconds
    assert 0 < claims["exp"] - claims["iat"] <= 600
    assert world.insurer.redeem(claims["code"]).status_code == 200


def test_user_rejects_authentication(world: World) -> None:
    pushed = world.insurer.push(response_mode="jwt")
    claims = opened(world, refuse(world, world.interaction_of(pushed)))
    assert (claims["error"], claims["state"], claims["iss"]) == ("access_denied", "a state", ISSUER)
    assert "code" not in claims


def test_every_other_error_that_goes_back_is_signed_too(small_world: World) -> None:
    for state in ("a state", LEFT_OUT):
        pushed = small_world.insurer.push(response_mode="jwt", state=state)
        interaction_id = small_world.interaction_of(pushed)
        claims = opened(small_world, refuse(small_world, interaction_id, OAuthCode.INVALID_REQUEST))
        assert (claims["error"], claims["aud"]) == ("invalid_request", "insurer-claims")
        assert "code" not in claims
        assert claims.get("state", LEFT_OUT) == state


def test_a_client_whose_answers_are_signed_need_not_ask(world: World) -> None:
    register(world, world.insurer, authorization_signed_response_alg="ES256")
    for changes in ({}, {"response_mode": "jwt"}, {"response_mode": "query.jwt"}):
        pushed = push_signed(world.insurer, **changes)
        assert "code" in opened(world, world.agree(world.interaction_of(pushed)))


@pytest.mark.parametrize("changes", [{}, {"response_mode": "query"}])
def test_who_does_not_ask_gets_a_plain_answer(small_world: World, changes: dict[str, str]) -> None:
    register(small_world, small_world.insurer)
    pushed = push_signed(small_world.insurer, **changes)
    answer = answer_in(small_world.agree(small_world.interaction_of(pushed)))
    assert set(answer) == {"flow", "code", "state", "iss"}


def test_the_mode_beside_a_request_object_does_not_count(small_world: World) -> None:
    insurer = small_world.insurer
    pushed = push_object(insurer, request_object(insurer, response_mode="jwt"), response_mode="query")
    assert "code" in opened(small_world, small_world.agree(small_world.interaction_of(pushed)))


@pytest.mark.parametrize("state", ["x" * 384, "x" * 2048, "a+b&c=d %26 \"'<>#?/\\", "&response=evil"])
def test_state_comes_back_as_it_was(small_world: World, state: str) -> None:
    pushed = small_world.insurer.push(response_mode="jwt", state=state)
    address = small_world.agree(small_world.interaction_of(pushed))
    assert opened(small_world, address)["state"] == state
    assert address.isascii()


@pytest.mark.parametrize("state", ["a state", "evil"])
def test_no_parameter_of_the_address_gets_into_the_answer(small_world: World, state: str) -> None:
    """The redirect URI's own query stays outside, also where it has names of an answer."""
    redirect_uri = "https://insurer.example/cb?code=mine&aud=other&a=&iss="
    pushed = asked_from(redirect_uri)
    keyring, now = small_world.installation.keyring, small_world.clock()
    plain = f"{redirect_uri}&code=theirs&state={state.replace(' ', '+')}&iss=x"
    address = signed_address(keyring, ISSUER, pushed, plain, now)
    assert address.startswith(f"{redirect_uri}&response=ey")
    _, claims = read_signed(small_world, address.rpartition("=")[2], "jwt")
    assert (claims["code"], claims["state"], claims["iss"]) == ("theirs", state, ISSUER)
    assert claims["aud"] == "insurer-claims"
    assert "a" not in claims


def test_the_metadata_name_what_is_taken(small_world: World) -> None:
    document = small_world.http.get("/.well-known/oauth-authorization-server").json()
    assert document["response_modes_supported"] == ["query", "jwt", "query.jwt"]
    assert document["authorization_signing_alg_values_supported"] == ["ES256"]
    for mode in document["response_modes_supported"]:
        assert small_world.insurer.push(response_mode=mode).status_code == 201


def test_the_current_key_signs_and_the_one_before_is_still_published(world: World) -> None:
    keyring = world.installation.keyring
    first = world.agree(world.interaction_of(world.insurer.push(response_mode="jwt")))
    (before, *_) = keyring.service_keys(OAUTH_KEY)
    world.clock.advance(timedelta(seconds=1))
    switch_at_once(keyring, OAUTH_KEY, before.kid, keeps_previous=True, now=world.clock())
    second = world.agree(world.interaction_of(world.insurer.push(response_mode="jwt")))
    kids = []
    for address in (first, second):
        header, _ = read_signed(world, answer_in(address)["response"], "jwt")
        kids.append(header["kid"])
    assert kids == [before.kid, keyring.service_keys(OAUTH_KEY)[0].kid]
    assert kids[0] != kids[1]
