"""RFC 7592, management of a registration by its client: within the invitation, and nobody else's."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from httpx import Response
from sqlmodel import col, select

from broker.db import transaction
from broker.oauth import clients
from broker.oauth.clients import ClientStatus
from broker.oauth.errors import InteractionGoneError
from broker.oauth.models import Client, Token
from broker.oauth.registration_models import ManagedClient
from consent import organisations
from consent.models import Consent
from consent.vocabulary import ConsentState
from tests.oauth.registering import (
    LEFT_OUT,
    SCOPE,
    Newcomer,
    bearer,
    credentials_of,
    invited,
    path_of,
)
from tests.oauth.world import PURPOSE, World, refused
from vault.jose import generate_private_jwk, public_jwk

OTHER_URI = "https://new.example/other"


@pytest.fixture
def newcomer(world: World) -> Newcomer:
    return Newcomer(world)


def read(world: World, told: dict[str, Any], **headers: str) -> Response:
    return world.http.get(path_of(told), headers=headers or credentials_of(told))


def put(newcomer: Newcomer, told: dict[str, Any], **changes: object) -> Response:
    members = newcomer.metadata(**({"client_id": told["client_id"]} | changes))
    return newcomer.world.http.put(path_of(told), json=members, headers=credentials_of(told))


def is_nobody(answer: Response) -> bool:
    """The one answer to all who are not this client."""
    body = {"error": "invalid_token", "error_description": "The token does not open this."}
    headers = (answer.headers["WWW-Authenticate"], answer.headers["Cache-Control"])
    return (answer.status_code, answer.json(), headers) == (
        401,
        body,
        ('Bearer error="invalid_token"', "no-store"),
    )


def test_unknown_foreign_and_deleted_are_one_answer(world: World, newcomer: Newcomer) -> None:
    mine, others, gone = (newcomer.registered() for _ in range(3))
    assert world.http.delete(path_of(gone), headers=credentials_of(gone)).status_code == 204
    strangers = [
        ("/register/unknown", credentials_of(mine)),
        ("/register/x%20y", credentials_of(mine)),
        (path_of(others), credentials_of(mine)),
        (path_of(gone), credentials_of(gone)),
        (path_of(gone), credentials_of(mine)),
        (path_of(mine), bearer("mdm_" + "x" * 43)),
        (f"/register/{world.insurer.client_id}", credentials_of(mine)),
        (path_of(mine), bearer(invited(world).raw_token)),
    ]
    for path, headers in strangers:
        assert is_nobody(world.http.get(path, headers=headers)), path
        assert is_nobody(world.http.put(path, json={"client_id": "x"}, headers=headers)), path
        assert is_nobody(world.http.delete(path, headers=headers)), path
    assert read(world, mine).status_code == read(world, others).status_code == 200


def test_a_client_without_any_token_is_refused(small_world: World) -> None:
    told = Newcomer(small_world).registered()
    for method in ("GET", "PUT", "DELETE"):
        answer = small_world.http.request(method, path_of(told))
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_two_tokens_at_once_are_none(small_world: World) -> None:
    told = Newcomer(small_world).registered()
    headers = [("Authorization", credentials_of(told)["Authorization"])] * 2
    assert small_world.http.get(path_of(told), headers=headers).status_code == 401


def test_a_token_of_the_client_opens_no_registration(small_world: World) -> None:
    newcomer = Newcomer(small_world)
    told = newcomer.registered()
    own = newcomer.recipient(told["client_id"]).own_token(scope="deliveries").json()["access_token"]
    assert is_nobody(small_world.http.get(path_of(told), headers=bearer(own)))


def test_a_client_reads_what_is_registered(world: World, newcomer: Newcomer) -> None:
    told = newcomer.registered()
    answer = read(world, told)
    assert (answer.status_code, answer.json()) == (200, told)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("stop", ["client", "organisation"])
def test_a_suspended_client_manages_nothing(world: World, newcomer: Newcomer, stop: str) -> None:
    told = newcomer.registered()
    with transaction(world.installation.data) as work:
        if stop == "client":
            clients.suspend(work.session, told["client_id"])
        else:
            organisations.suspend(work.session, "insurer")
    assert is_nobody(read(world, told))
    assert is_nobody(put(newcomer, told))


def test_a_change_takes_the_place_of_all_that_was(world: World, newcomer: Newcomer) -> None:
    told = newcomer.registered(authorization_signed_response_alg="ES256", require_signed_request_object=True)
    newcomer.key = generate_private_jwk("ES256")
    answer = put(newcomer, told, client_name="Claims", redirect_uris=[OTHER_URI])
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert changed["client_name"] == "Claims"
    assert changed["redirect_uris"] == [OTHER_URI]
    assert changed["jwks"] == {"keys": [public_jwk(newcomer.key)]}
    assert "authorization_signed_response_alg" not in changed, "left out is taken away"
    assert changed["require_signed_request_object"] is False
    for kept in ("client_id", "client_id_issued_at", "registration_access_token", "registration_client_uri"):
        assert changed[kept] == told[kept]
    assert read(world, told).json() == changed


def test_from_the_change_on_the_old_key_and_the_old_address_are_no_good(
    world: World, newcomer: Newcomer
) -> None:
    told = newcomer.registered()
    before = newcomer.recipient(told["client_id"])
    newcomer.key = generate_private_jwk("ES256")
    assert put(newcomer, told, redirect_uris=[OTHER_URI]).status_code == 200
    after = newcomer.recipient(told["client_id"])
    assert refused(before.own_token(scope="deliveries"), "invalid_client")
    assert after.own_token(scope="deliveries").status_code == 200
    assert after.push().status_code == 400
    assert after.push(redirect_uri=OTHER_URI).status_code == 201


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"scope": f"{SCOPE} obligations"}, "scope"),
        ({"scope": "openid"}, "scope"),
        ({"mydata_purposes": [PURPOSE, "loan.check"]}, "mydata_purposes"),
        ({"client_id": LEFT_OUT}, "client_id"),
        ({"client_id": "insurer-claims"}, "client_id"),
        ({"client_id_issued_at": 1}, "client_id_issued_at"),
        ({"registration_access_token": "mdm_x"}, "registration_access_token"),
        ({"registration_client_uri": "https://new.example"}, "registration_client_uri"),
        ({"client_secret_expires_at": 0}, "client_secret_expires_at"),
        ({"client_secret": "x"}, "client_secret"),
        ({"jwks_uri": "https://new.example/jwks"}, "jwks_uri"),
        ({"jwks": {"keys": []}}, "jwks.keys"),
        ({"client_name": None}, "client_name"),
    ],
)
def test_a_change_that_breaks_a_rule_changes_nothing(
    small_world: World, changes: dict[str, Any], member: str
) -> None:
    newcomer = Newcomer(small_world)
    told = newcomer.registered()
    answer = put(newcomer, told, **changes)
    assert refused(answer, "invalid_client_metadata"), answer.text
    assert member in answer.json()["error_description"]
    assert read(small_world, told).json() == told


def test_an_address_that_breaks_a_rule_changes_nothing(small_world: World) -> None:
    newcomer = Newcomer(small_world)
    told = newcomer.registered()
    assert refused(put(newcomer, told, redirect_uris=["http://new.example/"]), "invalid_redirect_uri")
    assert read(small_world, told).json() == told


def test_the_profile_stays_the_invitations(small_world: World) -> None:
    newcomer = Newcomer(small_world)
    invitation = invited(small_world, security_profile="fapi2_message_signing")
    told = newcomer.register(invitation.raw_token).json()
    changed = put(newcomer, told, mydata_security_profile="fapi2", security_profile="fapi2").json()
    assert changed["mydata_security_profile"] == "fapi2_message_signing"


def test_a_client_narrows_itself_and_goes_back_to_what_was_invited_and_no_further(
    world: World, newcomer: Newcomer
) -> None:
    told = newcomer.registered()
    narrow = put(newcomer, told, scope="deliveries", redirect_uris=LEFT_OUT).json()
    assert (narrow["scope"], narrow["mydata_purposes"], narrow["redirect_uris"]) == ("deliveries", [], [])
    world.clock.advance(timedelta(days=365))  # the invitation itself is long over
    assert put(newcomer, told).json()["scope"] == "deliveries records.read"


def test_tokens_with_a_scope_that_was_given_up_end_and_the_others_go_on(
    world: World, newcomer: Newcomer
) -> None:
    invitation = invited(world, scope=f"{SCOPE} obligations")
    told = newcomer.register(invitation.raw_token).json()
    client = newcomer.recipient(told["client_id"])
    for scope in ("deliveries", "obligations", "deliveries obligations"):
        assert client.own_token(scope=scope).status_code == 200
    assert put(newcomer, told, scope=SCOPE).status_code == 200
    assert living_scopes(world, told["client_id"]) == ["deliveries"]


def test_what_waits_with_a_scope_that_was_given_up_comes_to_nothing(world: World, newcomer: Newcomer) -> None:
    """A code that was not redeemed, and a request that a person has open."""
    told = newcomer.registered()
    asking = replace(world, insurer=newcomer.recipient(told["client_id"]))
    code, waiting = asking.code(), asking.interaction_of(asking.insurer.push())
    assert put(newcomer, told, scope="deliveries").status_code == 200
    with pytest.raises(InteractionGoneError):
        asking.agree(waiting)
    assert put(newcomer, told).status_code == 200
    assert refused(asking.insurer.redeem(code), "invalid_grant")


def test_a_code_that_a_change_did_not_see_gives_nothing_of_what_was_given_up(world: World) -> None:
    """The person's yes committed while the change was under way, so the change did not find the code."""
    asked = "records.read grant_management_query"
    register_scope(world, asked)
    code, kept = world.code(scope=asked), world.insurer.redeem(world.code(scope=asked)).json()
    register_scope(world, "records.read")
    assert refused(world.insurer.redeem(code), "invalid_grant")
    assert refused(world.insurer.refresh(kept["refresh_token"]), "invalid_grant")
    narrowed = world.insurer.refresh(kept["refresh_token"], scope="records.read")
    assert narrowed.json()["scope"] == "records.read"


def test_a_change_gives_itself_no_address_that_is_not_public(small_world: World) -> None:
    newcomer = Newcomer(small_world)
    told = newcomer.registered(backchannel_token_delivery_mode="poll")
    inner = {
        "backchannel_token_delivery_mode": "ping",
        "backchannel_client_notification_endpoint": "https://[fd00::1]/ping",
    }
    assert refused(put(newcomer, told, **inner), "invalid_client_metadata")
    assert read(small_world, told).json() == told


def test_of_changes_and_a_deletion_at_once_nothing_comes_after_the_deletion(
    world: World, newcomer: Newcomer
) -> None:
    told, barrier = newcomer.registered(), Barrier(8)

    def act(number: int) -> int:
        barrier.wait()
        if number % 4 == 0:
            return world.http.delete(path_of(told), headers=credentials_of(told)).status_code
        return put(newcomer, told, client_name=f"Claims {number}").status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(act, range(8)))
    assert sorted(statuses[::4]) == [204, 401], "it is deleted once"
    assert set(statuses) <= {200, 204, 401}
    assert is_nobody(read(world, told))
    with world.installation.data.read() as session:
        assert clients.show(session, told["client_id"]).status == ClientStatus.SUSPENDED


def test_a_deleted_client_is_refused_everywhere_with_the_tokens_it_holds(
    world: World, newcomer: Newcomer
) -> None:
    told = newcomer.registered()
    client = newcomer.recipient(told["client_id"])
    assert client.own_token(scope="deliveries").status_code == 200
    request_uri = client.push().json()["request_uri"]
    answer = world.http.delete(path_of(told), headers=credentials_of(told))
    assert (answer.status_code, answer.content, answer.headers["Cache-Control"]) == (204, b"", "no-store")
    assert living_scopes(world, told["client_id"]) == []
    assert refused(client.own_token(scope="deliveries"), "invalid_client")
    assert refused(client.push(), "invalid_client")
    assert client.open(request_uri).status_code == 400
    with world.installation.data.read() as session:
        assert clients.show(session, told["client_id"]).status == ClientStatus.SUSPENDED
        assert session.get_one(ManagedClient, told["client_id"]).deleted_at == world.clock()


def test_consents_of_a_deleted_client_stand_and_the_person_can_end_them(
    world: World, newcomer: Newcomer
) -> None:
    told = newcomer.registered()
    world = World(
        world.installation,
        world.clock,
        world.http,
        newcomer.recipient(told["client_id"]),
        world.stranger,
        world.subject_id,
    )
    tokens = world.tokens()
    assert world.http.delete(path_of(told), headers=credentials_of(told)).status_code == 204
    assert refused(world.insurer.refresh(tokens["refresh_token"]), "invalid_client")
    assert state_of(world, tokens["grant_id"]) == ConsentState.GIVEN
    world.withdraw(tokens["grant_id"])
    assert state_of(world, tokens["grant_id"]) == ConsentState.WITHDRAWN


def test_deleting_one_client_leaves_the_others_of_its_organisation(world: World, newcomer: Newcomer) -> None:
    told = newcomer.registered()
    assert world.insurer.own_token(scope="deliveries").status_code == 200
    assert world.http.delete(path_of(told), headers=credentials_of(told)).status_code == 204
    assert living_scopes(world, world.insurer.client_id) == ["deliveries"]
    assert world.insurer.own_token(scope="deliveries").status_code == 200


def register_scope(world: World, scope: str) -> None:
    """As if a change had committed this, and had found nothing to end."""
    with transaction(world.installation.data) as work:
        work.session.get_one(Client, world.insurer.client_id).scope = scope


def living_scopes(world: World, client_id: str) -> list[str]:
    with world.installation.data.read() as session:
        rows = session.exec(
            select(Token).where(Token.client_id == client_id, col(Token.revoked_at).is_(None))
        )
        return sorted(row.scope for row in rows)


def state_of(world: World, grant_id: str) -> str:
    with world.installation.data.read() as session:
        return session.get_one(Consent, grant_id).state
