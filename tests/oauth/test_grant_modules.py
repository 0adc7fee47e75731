"""Grant Management, named after the modules of the certification: a grant's own token opens the endpoint."""

from datetime import timedelta
from typing import Any

import orjson
import pytest
from httpx import Response

from tests.oauth.test_grant_management import open_change, renewed, sign_change
from tests.oauth.test_grants_endpoint import QUERY, REVOKE, allow, call, own_token
from tests.oauth.world import Recipient, World, answer_in, details, item, refused

API = f"{QUERY} {REVOKE}"
SCOPE = f"records.read {API}"


def granted(world: World, **changes: object) -> dict[str, str]:
    """The token answer of a request that creates a grant, as the suite makes it."""
    asked: dict[str, Any] = {"scope": SCOPE, "grant_management_action": "create"} | changes
    answer = world.insurer.redeem(world.code(**asked))
    assert answer.status_code == 200, answer.text
    tokens: dict[str, str] = answer.json()
    return tokens


def changed(world: World, grant_id: str, action: str, *items: dict[str, object]) -> dict[str, str]:
    asked = orjson.dumps([details(items=list(items))]).decode()
    pushed = world.insurer.push(
        scope=SCOPE, grant_management_action=action, grant_id=grant_id, authorization_details=asked
    )
    assert pushed.status_code == 201, pushed.text
    interaction_id = world.interaction_of(pushed)
    answer = world.insurer.redeem(sign_change(world, interaction_id, open_change(world, interaction_id)))
    assert answer.status_code == 200, answer.text
    tokens: dict[str, str] = answer.json()
    return tokens


def query(recipient: Recipient, grant_id: str, token: str) -> Response:
    return call(recipient, "GET", grant_id, token)


# Refusals


def test_grant_management_ensure_invalid_grant_id_fails(small_world: World) -> None:
    allow(small_world, small_world.insurer, scope=SCOPE)
    answer = small_world.insurer.push(scope=SCOPE, grant_management_action="merge", grant_id="a" * 32)
    assert refused(answer, "invalid_grant_id")


def test_grant_management_ensure_query_non_existent_grant_fails(world: World) -> None:
    allow(world, world.insurer)
    token = granted(world)["access_token"]
    for method in ("GET", "DELETE"):
        assert call(world.insurer, method, "a" * 32, token).status_code == 404


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("GET", id="grant-management-ensure-wrong-client-cannot-query-grant"),
        pytest.param("DELETE", id="grant-management-ensure-wrong-client-cannot-revoke-grant"),
    ],
)
def test_the_wrong_client_is_told_what_everybody_is_told(world: World, method: str) -> None:
    allow(world, world.insurer, world.stranger)
    tokens = granted(world)
    foreign = call(world.stranger, method, tokens["grant_id"], own_token(world.stranger, API))
    assert foreign.status_code == 404
    stolen = call(world.stranger, method, tokens["grant_id"], tokens["access_token"])
    assert stolen.status_code == 401
    assert query(world.insurer, tokens["grant_id"], tokens["access_token"]).status_code == 200


def test_a_token_that_came_with_a_grant_opens_that_grant_alone(world: World) -> None:
    allow(world, world.insurer)
    first, second = granted(world), granted(world)
    for method in ("GET", "DELETE"):
        assert call(world.insurer, method, second["grant_id"], first["access_token"]).status_code == 404
    assert query(world.insurer, second["grant_id"], second["access_token"]).status_code == 200


def test_the_scopes_are_asked_for_by_name_and_registered(small_world: World) -> None:
    assert refused(small_world.insurer.push(scope=SCOPE), "invalid_scope")
    allow(small_world, small_world.insurer)
    tokens = small_world.tokens()
    assert tokens["scope"] == "records.read"
    answer = query(small_world.insurer, tokens["grant_id"], tokens["access_token"])
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


def test_they_are_no_grant_by_themselves(small_world: World) -> None:
    """Beside them records are asked for; a sign-in alone has no grant to manage."""
    allow(small_world, small_world.insurer, scope=f"openid {API}")
    answer = small_world.insurer.push(scope=f"openid {API}", authorization_details="")
    assert refused(answer, "invalid_authorization_details")


def test_a_token_of_another_version_opens_it_no_more(world: World) -> None:
    allow(world, world.insurer)
    tokens = granted(world)
    fresh = changed(world, tokens["grant_id"], "replace", item())
    assert query(world.insurer, tokens["grant_id"], tokens["access_token"]).status_code == 401
    assert query(world.insurer, tokens["grant_id"], fresh["access_token"]).status_code == 200


def test_a_revoked_token_opens_it_no_more(small_world: World) -> None:
    allow(small_world, small_world.insurer)
    tokens = granted(small_world)
    small_world.insurer.revoke(tokens["refresh_token"])
    assert query(small_world.insurer, tokens["grant_id"], tokens["access_token"]).status_code == 401


# What works


def test_grant_management_happy_flow(world: World) -> None:
    """Create, query, revoke; and after it the same token is told that there is no such grant (404)."""
    allow(world, world.insurer)
    tokens = granted(world)
    grant_id, token = tokens["grant_id"], tokens["access_token"]
    found = query(world.insurer, grant_id, token)
    assert (found.status_code, found.headers["Content-Type"]) == (200, "application/json")
    assert [one["scope"] for one in found.json()["scopes"]] == ["records.read"]
    given_up = call(world.insurer, "DELETE", grant_id, token)
    assert (given_up.status_code, given_up.content) == (204, b"")
    assert query(world.insurer, grant_id, token).status_code == 404


def test_grant_management_ensure_query_after_revoke_fails(lane_world: World) -> None:
    """404 at the grants endpoint, and nothing anywhere else: the token itself is dead."""
    world = lane_world
    allow(world, world.insurer)
    tokens = granted(world)
    assert call(world.insurer, "DELETE", tokens["grant_id"], tokens["access_token"]).status_code == 204
    for method in ("GET", "DELETE"):
        answer = call(world.insurer, method, tokens["grant_id"], tokens["access_token"])
        assert answer.status_code == 404
    assert world.insurer.introspect(tokens["access_token"]).json() == {"active": False}
    assert refused(world.insurer.refresh(tokens["refresh_token"]), "invalid_grant")


@pytest.mark.parametrize(
    ("action", "items"),
    [
        pytest.param("merge", [item()], id="grant-management-merge"),
        pytest.param("replace", [item(fields=["institution"])], id="grant-management-replace"),
    ],
)
def test_the_grant_keeps_its_id_and_the_new_token_reads_it(
    world: World, action: str, items: list[dict[str, object]]
) -> None:
    """The suite merges what stands already: the whole is as it was, and its version is new."""
    allow(world, world.insurer)
    grant_id = granted(world)["grant_id"]
    fresh = changed(world, grant_id, action, *items)
    assert fresh["grant_id"] == grant_id
    found = query(world.insurer, grant_id, fresh["access_token"])
    assert found.status_code == 200
    assert found.json()["authorization_details"][0]["items"] == items
    assert found.json()["updated_by"] == "client"


def test_the_persons_own_change_is_the_authorization_servers(world: World) -> None:
    allow(world, world.insurer)
    tokens = granted(world)
    world.clock.advance(timedelta(days=3))
    renewed(world, tokens["grant_id"])
    fresh = world.insurer.refresh(tokens["refresh_token"]).json()
    found = query(world.insurer, tokens["grant_id"], fresh["access_token"]).json()
    assert found["updated_by"] == "authorization_server"
    assert found["created_at"] <= found["last_updated"] <= world.insurer.seconds < found["expires_at"]


def test_the_grant_id_never_comes_through_the_browser(small_world: World) -> None:
    allow(small_world, small_world.insurer)
    pushed = small_world.insurer.push(scope=SCOPE, grant_management_action="create")
    assert "grant_id" not in answer_in(small_world.agree(small_world.interaction_of(pushed)))
