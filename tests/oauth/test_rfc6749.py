"""Codes, refresh tokens and a client's own tokens: bound, and ended with what they stand for (RFC 6749)."""

import logging
import re
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from broker.oauth.confirmation import of_key
from broker.oauth.models import Code, Token
from broker.oauth.tokens import hash_of
from tests.oauth.world import LEFT_OUT, OTHER_REDIRECT_URI, REDIRECT_URI, World, refused

SECRET = re.compile(r"md[arc]_[A-Za-z0-9_-]{43}")  # a prefix alone stands among random characters by chance


def rows(world: World) -> list[Token]:
    with world.installation.data.read() as session:
        return list(session.exec(select(Token)))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"grant_type": "password"}, "unsupported_grant_type", id="password"),
        pytest.param({"grant_type": LEFT_OUT}, "invalid_request", id="none"),
        pytest.param({"code": LEFT_OUT}, "invalid_request", id="no code"),
        pytest.param({"code": "mdc_unknown"}, "invalid_grant", id="unknown code"),
        pytest.param({"redirect_uri": LEFT_OUT}, "invalid_grant", id="no redirect_uri"),
        pytest.param({"redirect_uri": OTHER_REDIRECT_URI}, "invalid_grant", id="other redirect_uri"),
        pytest.param({"redirect_uri": REDIRECT_URI + "&a=b"}, "invalid_grant", id="redirect_uri with more"),
    ],
)
def test_a_wrong_redemption_gives_no_token(small_world: World, changes: dict[str, Any], code: str) -> None:
    issued = small_world.code()
    assert refused(small_world.insurer.redeem(**{"code": issued} | changes), code)
    assert rows(small_world) == []


def test_ensure_authorization_code_is_bound_to_client(world: World) -> None:
    code = world.code()
    stranger = world.stranger
    assert refused(stranger.redeem(code, redirect_uri=REDIRECT_URI), "invalid_grant")
    assert world.insurer.redeem(code).status_code == 200, "a stranger's attempt must not use the code up"


def test_ensure_token_endpoint_fails_with_expired_auth_code(world: World) -> None:
    code = world.code()
    world.clock.advance(timedelta(seconds=60))
    assert refused(world.insurer.redeem(code), "invalid_grant")


def test_attempt_reuse_authorization_code_after_one_second(world: World) -> None:
    code = world.code()
    tokens = world.insurer.redeem(code).json()
    world.clock.advance(timedelta(seconds=1))
    assert refused(world.insurer.redeem(code), "invalid_grant")
    assert [row.revoked_at for row in rows(world)] == [world.clock(), world.clock()]
    assert refused(world.insurer.refresh(tokens["refresh_token"]), "invalid_grant")


def test_a_stranger_with_a_used_code_cannot_end_its_tokens(world: World) -> None:
    code = world.code()
    tokens = world.insurer.redeem(code).json()
    assert refused(world.stranger.redeem(code, redirect_uri=REDIRECT_URI), "invalid_grant")
    assert world.insurer.refresh(tokens["refresh_token"]).status_code == 200


def test_a_code_of_a_withdrawn_consent_is_worth_nothing(world: World) -> None:
    code = world.code()
    with world.installation.data.read() as session:
        grant_id = session.exec(select(Code.grant_id)).one()
    world.withdraw(str(grant_id))
    assert refused(world.insurer.redeem(code), "invalid_grant")
    assert rows(world) == []


def test_a_refresh_token_ends_with_the_consent(world: World) -> None:
    tokens = world.tokens()
    world.withdraw(tokens["grant_id"])
    assert refused(world.insurer.refresh(tokens["refresh_token"]), "invalid_grant")


def test_a_refresh_token_ends_when_the_version_changes(world: World) -> None:
    tokens = world.tokens()
    with world.installation.data.write() as session:
        for token in session.exec(select(Token).where(Token.kind == "refresh")):
            token.version_id = f"{token.grant_id}.0"
    assert refused(world.insurer.refresh(tokens["refresh_token"]), "invalid_grant")


def test_a_refresh_token_lives_until_the_consent_ends(world: World) -> None:
    refresh_token = world.tokens()["refresh_token"]
    world.clock.advance(timedelta(days=30) - timedelta(seconds=100))
    answer = world.insurer.refresh(refresh_token)
    assert answer.status_code == 200
    assert answer.json()["expires_in"] == 100, "an access token does not outlive its consent"
    world.clock.advance(timedelta(seconds=100))
    assert refused(world.insurer.refresh(refresh_token), "invalid_grant")


@pytest.mark.parametrize("used_as", ["access_token", "foreign", "unknown", "missing"])
def test_only_the_clients_own_refresh_token_refreshes(world: World, used_as: str) -> None:
    tokens = world.tokens()
    match used_as:
        case "access_token":
            answer = world.insurer.refresh(tokens["access_token"])
        case "foreign":
            answer = world.stranger.refresh(tokens["refresh_token"])
        case "unknown":
            answer = world.insurer.refresh("mdr_unknown")
        case _:
            assert refused(world.insurer.refresh(""), "invalid_request")
            return
    assert refused(answer, "invalid_grant")


def test_refreshing_asks_for_no_more_scope(small_world: World) -> None:
    tokens = small_world.tokens()
    assert refused(small_world.insurer.refresh(tokens["refresh_token"], scope="deliveries"), "invalid_scope")


def test_the_token_answer_is_complete(world: World) -> None:
    answer = world.insurer.redeem(world.code())
    tokens = answer.json()
    assert set(tokens) == {
        "access_token",
        "refresh_token",
        "token_type",
        "expires_in",
        "scope",
        "authorization_details",
        "grant_id",
    }
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("DPoP", 300, "records.read")
    assert tokens["access_token"].startswith("mda_")
    assert tokens["refresh_token"].startswith("mdr_")
    assert min(len(tokens["access_token"]), len(tokens["refresh_token"])) == 47
    assert answer.headers["Cache-Control"] == "no-store"


def test_refreshing_does_not_rotate(world: World) -> None:
    tokens = world.tokens()
    answers = [world.insurer.refresh(tokens["refresh_token"]).json() for _ in range(2)]
    assert all("refresh_token" not in answer for answer in answers)
    assert all(answer["authorization_details"] == tokens["authorization_details"] for answer in answers)
    assert len({tokens["access_token"], *(answer["access_token"] for answer in answers)}) == 3


def test_tokens_point_to_the_version_and_are_stored_as_hashes(world: World) -> None:
    tokens = world.tokens()
    stored = {row.kind: row for row in rows(world)}
    for kind in ("access", "refresh"):
        row = stored[kind]
        assert row.token_hash == hash_of(tokens[f"{kind}_token"])
        assert (row.grant_id, row.version_id) == (tokens["grant_id"], f"{tokens['grant_id']}.1")
        assert (row.client_id, row.cnf, row.subject_id) == (
            "insurer-claims",
            of_key(world.insurer.jkt),
            world.subject_id,
        )
        assert tokens[f"{kind}_token"] not in repr(row.model_dump())


def test_ensure_other_scope_order_succeeds(small_world: World) -> None:
    answers = [
        small_world.insurer.own_token(scope=scope)
        for scope in ("deliveries obligations", "obligations deliveries")
    ]
    assert {answer.json()["scope"] for answer in answers} == {"deliveries obligations"}


@pytest.mark.parametrize("scope", ["records.read", "openid", "deliveries openid", "ssf", "DELIVERIES"])
def test_a_clients_own_token_has_its_own_scopes_only(small_world: World, scope: str) -> None:
    assert refused(small_world.insurer.own_token(scope=scope), "invalid_scope")


def test_a_clients_own_token_has_no_consent(world: World) -> None:
    answer = world.insurer.own_token()
    assert set(answer.json()) == {"access_token", "token_type", "expires_in", "scope"}
    (row,) = rows(world)
    assert (row.grant_id, row.version_id, row.subject_id) == (None, None, None)
    assert row.scope == "deliveries obligations"


def test_authlib_never_prints_a_token(small_world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = small_world.tokens()
    small_world.insurer.refresh(tokens["refresh_token"])
    assert logging.getLogger("authlib.oauth2.rfc6749.grants").getEffectiveLevel() >= logging.INFO
    assert SECRET.fullmatch(tokens["access_token"])
    assert SECRET.fullmatch(tokens["refresh_token"])
    assert SECRET.findall(caplog.text) == []


def test_a_code_survives_no_longer_than_one_redemption_in_any_order(world: World) -> None:
    """Each code of a grant stands alone: redeeming one does not touch the other's consent."""
    first, second = world.code(), world.code()
    assert world.insurer.redeem(second).status_code == 200
    assert world.insurer.redeem(first).status_code == 200
    assert refused(world.insurer.redeem(first), "invalid_grant")
    with world.installation.data.read() as session:
        living = session.exec(select(Token).where(col(Token.revoked_at).is_(None))).all()
    assert len(living) == 2, "only the grant whose code came back has lost its tokens"
