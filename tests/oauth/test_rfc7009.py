"""Revocation: an access token ends alone, a refresh token with its grant's, the consent stays (RFC 7009)."""

import pytest
from sqlmodel import col, select

from broker.oauth.models import Token
from broker.oauth.tokens import hash_of
from consent.models import Consent
from consent.vocabulary import ConsentState
from tests.oauth.world import World, refused


def living(world: World) -> set[bytes]:
    with world.installation.data.read() as session:
        return set(session.exec(select(Token.token_hash).where(col(Token.revoked_at).is_(None))))


def test_a_foreign_token_is_answered_like_an_unknown_one_and_lives_on(world: World) -> None:
    tokens = world.tokens()
    before = living(world)
    foreign = world.stranger.revoke(tokens["refresh_token"])
    unknown = world.stranger.revoke("mdr_unknown")
    assert (foreign.status_code, foreign.content) == (unknown.status_code, unknown.content) == (200, b"{}")
    assert living(world) == before
    assert world.insurer.refresh(tokens["refresh_token"]).status_code == 200


def test_the_token_must_be_named(small_world: World) -> None:
    assert refused(small_world.insurer.revoke(""), "invalid_request")


def test_an_access_token_ends_alone(world: World) -> None:
    tokens = world.tokens()
    assert world.insurer.revoke(tokens["access_token"]).status_code == 200
    assert living(world) == {hash_of(tokens["refresh_token"])}
    assert world.insurer.refresh(tokens["refresh_token"]).status_code == 200


@pytest.mark.parametrize("hint", ["refresh_token", "access_token", "something_else"])
def test_a_refresh_token_ends_with_all_of_its_grant(world: World, hint: str) -> None:
    tokens, others = world.tokens(), world.tokens()
    again = world.insurer.refresh(tokens["refresh_token"]).json()
    answer = world.insurer.revoke(tokens["refresh_token"], token_type_hint=hint)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    ended = {hash_of(token) for token in (*pair(tokens), again["access_token"])}
    assert living(world) == {hash_of(token) for token in pair(others)}
    assert not ended & living(world)
    assert refused(world.insurer.refresh(tokens["refresh_token"]), "invalid_grant")


def test_the_consent_stays(world: World) -> None:
    tokens = world.tokens()
    world.insurer.revoke(tokens["refresh_token"])
    with world.installation.data.read() as session:
        consent = session.exec(select(Consent)).one()
    assert (consent.grant_id, consent.state) == (tokens["grant_id"], ConsentState.GIVEN)


def test_revoking_twice_is_no_error(small_world: World) -> None:
    token = small_world.tokens()["access_token"]
    assert [small_world.insurer.revoke(token).status_code for _ in range(2)] == [200, 200]


def test_a_clients_own_token_can_be_given_back(small_world: World) -> None:
    token = small_world.insurer.own_token().json()["access_token"]
    assert hash_of(token) in living(small_world)
    assert small_world.insurer.revoke(token).status_code == 200
    assert hash_of(token) not in living(small_world)


def pair(tokens: dict[str, str]) -> tuple[str, str]:
    return tokens["access_token"], tokens["refresh_token"]
