"""Grant Management for OAuth 2.0 section 6: a client reads its grant, and gives it up."""

from datetime import datetime

import pytest
from httpx import Response
from sqlmodel import col, select

from broker.db import transaction
from broker.oauth.models import Client, Token
from broker.oauth.tokens import TokenKind
from consent.models import Consent
from consent.reading import consent_of
from consent.vocabulary import ConsentState, StateReason
from tests.installation import ISSUER
from tests.oauth.world import Recipient, World, access_token_hash, details, refused

QUERY = "grant_management_query"
REVOKE = "grant_management_revoke"


def allow(world: World, *recipients: Recipient, scope: str = f"records.read {QUERY} {REVOKE}") -> None:
    """Let clients have the scopes: they are registered without them."""
    with transaction(world.installation.data) as work:
        ids = [recipient.client_id for recipient in recipients]
        for client in work.session.exec(select(Client).where(col(Client.client_id).in_(ids))):
            client.scope = scope


def own_token(recipient: Recipient, scope: str) -> str:
    answer = recipient.own_token(scope=scope)
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token


def call(recipient: Recipient, method: str, grant_id: str, token: str, *, scheme: str = "DPoP") -> Response:
    path = f"/grants/{grant_id}"
    proof = recipient.proof(path, htm=method, ath=access_token_hash(token))
    headers = {"Authorization": f"{scheme} {token}", "DPoP": proof}
    return recipient.http.request(method, path, headers=headers)


def state(world: World, grant_id: str) -> str:
    with world.installation.data.read() as session:
        return session.get_one(Consent, grant_id).state


# Refusals


def test_a_client_that_did_not_register_for_it_gets_no_such_token(small_world: World) -> None:
    for scope in (QUERY, REVOKE):
        assert refused(small_world.insurer.own_token(scope=scope), "invalid_scope")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_without_a_valid_token_it_is_401_with_a_challenge(small_world: World, method: str) -> None:
    world = small_world
    allow(world, world.insurer)
    tokens = world.tokens()
    path = f"/grants/{tokens['grant_id']}"
    token = own_token(world.insurer, f"{QUERY} {REVOKE}")
    answers = [
        world.http.request(method, path),
        world.http.request(method, path, headers={"Authorization": f"Bearer {token}"}),
        call(world.insurer, method, tokens["grant_id"], token, scheme="Bearer"),
        call(world.insurer, method, tokens["grant_id"], "mda_unknown"),
        call(world.stranger, method, tokens["grant_id"], token),  # somebody else's key
        call(world.insurer, method, tokens["grant_id"], tokens["refresh_token"]),
    ]
    assert [answer.status_code for answer in answers] == [401] * 6
    assert all(answer.headers["WWW-Authenticate"].startswith("DPoP ") for answer in answers)
    assert state(world, tokens["grant_id"]) == ConsentState.GIVEN


def test_each_needs_a_scope_of_its_own(small_world: World) -> None:
    world = small_world
    allow(world, world.insurer)
    grant_id = world.tokens()["grant_id"]
    assert call(world.insurer, "GET", grant_id, own_token(world.insurer, REVOKE)).status_code == 403
    assert call(world.insurer, "DELETE", grant_id, own_token(world.insurer, QUERY)).status_code == 403
    assert state(world, grant_id) == ConsentState.GIVEN


@pytest.mark.parametrize(("method", "scope"), [("GET", QUERY), ("DELETE", REVOKE)])
def test_unknown_foreign_and_ended_are_one_answer(world: World, method: str, scope: str) -> None:
    allow(world, world.insurer, world.stranger)
    living, ended = world.tokens()["grant_id"], world.tokens()["grant_id"]
    world.withdraw(ended)
    answers = [
        call(world.insurer, method, "unknown", own_token(world.insurer, scope)),
        call(world.stranger, method, living, own_token(world.stranger, scope)),
        call(world.insurer, method, ended, own_token(world.insurer, scope)),
    ]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert len({str(answer.json() | {"trace_id": ""}) for answer in answers}) == 1
    assert state(world, living) == ConsentState.GIVEN


def test_an_id_that_cannot_be_one_is_unknown(world: World) -> None:
    allow(world, world.insurer)
    for method, scope in (("GET", QUERY), ("DELETE", REVOKE)):
        token = own_token(world.insurer, scope)
        proof = world.insurer.proof("/grants/a\x00b", htm=method, ath=access_token_hash(token))
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
        assert world.http.request(method, "/grants/a%00b", headers=headers).status_code == 404


def test_there_is_no_list_of_grants(small_world: World) -> None:
    allow(small_world, small_world.insurer)
    token = own_token(small_world.insurer, QUERY)
    assert call(small_world.insurer, "GET", "", token).status_code in {307, 404}


# What it answers


def test_the_client_reads_what_was_granted_and_no_token(world: World) -> None:
    allow(world, world.insurer)
    begun = world.clock()
    tokens = world.tokens()
    answer = call(world.insurer, "GET", tokens["grant_id"], own_token(world.insurer, QUERY))
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    asked = details()
    assert answer.json() == {
        "scopes": [{"scope": tokens["scope"], "resource": [f"{ISSUER}/v1/records"]}],
        "claims": [],
        "authorization_details": [asked],
        "created_at": int(begun.timestamp()),
        "last_updated": int(begun.timestamp()),
        "expires_at": int(datetime.fromisoformat(asked["access"]["valid_until"]).timestamp()),
        "updated_by": "client",
    }
    assert not {part for part in answer.text.split('"') if part.startswith(("mda_", "mdr_", "mdc_"))}


def test_a_grant_whose_code_waits_can_be_read(small_world: World) -> None:
    allow(small_world, small_world.insurer)
    small_world.code()
    with small_world.installation.data.read() as session:
        grant_id = session.exec(select(Consent.grant_id)).one()
    token = own_token(small_world.insurer, QUERY)
    answer = call(small_world.insurer, "GET", grant_id, token).json()
    assert [one["scope"] for one in answer["scopes"]] == ["records.read"]


def test_giving_up_ends_every_token_the_moment_it_returns(lane_world: World) -> None:
    world = lane_world
    allow(world, world.insurer)
    tokens = world.tokens()
    assert world.insurer.introspect(tokens["access_token"]).json()["active"] is True
    answer = call(world.insurer, "DELETE", tokens["grant_id"], own_token(world.insurer, REVOKE))
    assert (answer.status_code, answer.content) == (204, b"")
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert world.insurer.introspect(token).json() == {"active": False}
    assert refused(world.insurer.refresh(tokens["refresh_token"]), "invalid_grant")
    again = call(world.insurer, "DELETE", tokens["grant_id"], own_token(world.insurer, REVOKE))
    assert again.status_code == 404


def test_giving_up_is_on_the_persons_record_with_its_reason(small_world: World) -> None:
    world = small_world
    allow(world, world.insurer)
    grant_id = world.tokens()["grant_id"]
    call(world.insurer, "DELETE", grant_id, own_token(world.insurer, REVOKE))
    with world.installation.data.read() as session:
        view = consent_of(session, world.installation.keyring, world.subject_id, grant_id, world.clock())
    assert (view.state, view.state_reason) == (ConsentState.REVOKED, StateReason.BY_RECIPIENT)
    assert view.timeline[-1].type == "consent.revoked"


def test_a_code_of_a_grant_that_was_given_up_is_dead(small_world: World) -> None:
    world = small_world
    allow(world, world.insurer)
    code = world.code()
    with world.installation.data.read() as session:
        grant_id = session.exec(select(Consent.grant_id)).one()
    assert call(world.insurer, "DELETE", grant_id, own_token(world.insurer, REVOKE)).status_code == 204
    assert refused(world.insurer.redeem(code), "invalid_grant")


def test_withdrawal_ends_every_token_the_moment_it_returns(lane_world: World) -> None:
    tokens = lane_world.tokens()
    lane_world.withdraw(tokens["grant_id"])
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert lane_world.insurer.introspect(token).json() == {"active": False}
    assert refused(lane_world.insurer.refresh(tokens["refresh_token"]), "invalid_grant")


def test_revoking_tokens_leaves_the_grant(small_world: World) -> None:
    """RFC 7009 ends tokens; only giving the grant up, or the person, ends the grant."""
    world = small_world
    allow(world, world.insurer)
    tokens = world.tokens()
    assert world.insurer.revoke(tokens["refresh_token"]).status_code == 200
    assert refused(world.insurer.refresh(tokens["refresh_token"]), "invalid_grant")
    with world.installation.data.read() as session:
        living = select(Token).where(
            Token.kind == TokenKind.ACCESS,
            Token.grant_id == tokens["grant_id"],
            col(Token.revoked_at).is_(None),
        )
        assert not session.exec(living).all()
    answer = call(world.insurer, "GET", tokens["grant_id"], own_token(world.insurer, QUERY))
    assert answer.status_code == 200
    assert state(world, tokens["grant_id"]) == ConsentState.GIVEN
