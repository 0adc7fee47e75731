"""Grant Management for OAuth 2.0: changing what a grant says, and what becomes of its tokens."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from sqlmodel import select

from broker.db import transaction
from broker.oauth import interaction
from broker.oauth.models import Client, Token
from broker.oauth.tokens import hash_of
from broker.receipt_signing import receipt_signer
from broker.web.citizen import proposing
from broker.web.citizen.desk import Desk
from consent import adjusting, changing
from consent.models import Consent
from consent.organisations import register
from consent.reading import consent_of
from consent.vocabulary import ConsentState
from tests.installation import ISSUER
from tests.oauth.conftest import organisation
from tests.oauth.openid_world import OpenIDWorld
from tests.oauth.world import LEFT_OUT, RECORD_TYPE, World, answer_in, details, item, refused


def replacing(grant_id: str, **changes: object) -> dict[str, Any]:
    asked = details(items=[item(fields=["institution", "totals"])], **changes)
    return {
        "grant_id": grant_id,
        "grant_management_action": "replace",
        "authorization_details": orjson.dumps([asked]).decode(),
    }


def merging(grant_id: str, *items: dict[str, Any], **changes: object) -> dict[str, Any]:
    asked = details(items=list(items or [item(fields=["institution"])]), **changes)
    return {
        "grant_id": grant_id,
        "grant_management_action": "merge",
        "authorization_details": orjson.dumps([asked]).decode(),
    }


ASKING = {"replace": replacing, "merge": merging}


def open_change(world: World, interaction_id: str) -> str:
    """The person opens a request to replace or merge: a change that waits; answers its id."""
    installation, now = world.installation, world.clock()
    with transaction(installation.data) as work:
        view = interaction.load_interaction(work.session, installation.keyring, interaction_id, now)
        assert view.replaces is not None
        desk = Desk(installation, work, world.subject_id, now)
        purpose = installation.purposes.get(view.terms.purpose)
        change = proposing.opened(desk, view, view.replaces, purpose)
        assert isinstance(change, proposing.Proposed)
    return change.change_id


def sign_change(world: World, interaction_id: str, change_id: str) -> str:
    """The person agrees to it; the code that the client gets."""
    now, purpose = world.clock(), world.installation.purposes.get("test.claim")
    signature = changing.ChangeSignature(
        change_id, world.subject_id, frozenset({RECORD_TYPE}), purpose.notice_digest("en"), "en"
    )
    with transaction(world.installation.data) as work:
        changed = changing.sign_change(
            work,
            world.installation.keyring,
            signature,
            purpose=purpose,
            sign_receipt=receipt_signer(world.installation, now),
            now=now,
        )
        address = interaction.allow(
            work.session,
            world.installation.keyring,
            ISSUER,
            interaction_id,
            world.subject_id,
            changed.version_id,
            now,
        )
    return answer_in(address)["code"]


def renewed(world: World | OpenIDWorld, grant_id: str) -> None:
    now = world.clock()
    with transaction(world.installation.data) as work:
        adjusting.renew(
            work,
            world.installation.keyring,
            grant_id,
            world.subject_id,
            purpose=world.installation.purposes.get("test.claim"),
            catalogue=world.installation.catalogue,
            sign_receipt=receipt_signer(world.installation, now),
            now=now,
        )


def consent(world: World, grant_id: str) -> Consent:
    with world.installation.data.read() as session:
        return session.get_one(Consent, grant_id)


def is_current(world: World, access_token: str) -> bool:
    """Whether a token was made for the version that stands (the lane's tests show what follows from it)."""
    with world.installation.data.read() as session:
        token = session.get_one(Token, hash_of(access_token))
        assert token.grant_id is not None
        standing = session.get_one(Consent, token.grant_id)
        return token.version_id == f"{standing.grant_id}.{standing.version_number}"


# Refusals


@pytest.mark.parametrize("action", ["merge", "replace"])
@pytest.mark.parametrize("grant_id", ["unknown", "끝"])
def test_an_unknown_grant_cannot_be_changed(world: World, grant_id: str, action: str) -> None:
    answer = world.insurer.push(**ASKING[action](grant_id))
    assert refused(answer, "invalid_grant_id")


@pytest.mark.parametrize("action", ["merge", "replace"])
def test_another_clients_grant_and_one_that_has_ended_are_as_unknown(world: World, action: str) -> None:
    tokens, asking = world.tokens(), ASKING[action]
    unknown = world.insurer.push(**asking("unknown"))
    foreign = world.stranger.push(**asking(tokens["grant_id"]))
    world.withdraw(tokens["grant_id"])
    ended = world.insurer.push(**asking(tokens["grant_id"]))
    assert unknown.json() == foreign.json() == ended.json()
    assert unknown.status_code == foreign.status_code == ended.status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"grant_management_action": LEFT_OUT},
        {"grant_management_action": "create"},
        {"grant_management_action": "update"},
        {"grant_management_action": "revoke"},
        {"grant_id": LEFT_OUT},
        {"grant_id": LEFT_OUT, "grant_management_action": "merge"},
    ],
)
def test_grant_and_action_go_together(small_world: World, changes: dict[str, Any]) -> None:
    tokens = small_world.tokens()
    answer = small_world.insurer.push(**replacing(tokens["grant_id"]) | changes)
    assert refused(answer, "invalid_request")


@pytest.mark.parametrize("action", ["merge", "replace"])
def test_a_sign_in_changes_no_grant(small_world: World, action: str) -> None:
    world = small_world
    tokens = world.tokens()
    with transaction(world.installation.data) as work:
        work.session.get_one(Client, world.insurer.client_id).scope = "openid records.read"
    asked = ASKING[action](tokens["grant_id"]) | {"authorization_details": LEFT_OUT, "scope": "openid"}
    assert refused(world.insurer.push(**asked), "invalid_authorization_details")


def test_over_asking_is_refused_for_a_change_as_for_a_new_grant(world: World) -> None:
    tokens = world.tokens()
    answer = world.insurer.push(
        **replacing(tokens["grant_id"], retention={"store": True, "period": "P999D", "on_end": "delete"})
    )
    assert refused(answer, "invalid_authorization_details")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"retention": {"store": True, "period": "P30D", "on_end": "delete"}}, "retention"),
        ({"holders": ["clinic"]}, "holders"),
        ({"data_period": {"from": "2026-02-01", "to": "2026-11-30"}}, "data_period"),
    ],
)
def test_a_merge_that_would_be_more_than_the_sum_is_refused(
    small_world: World, changes: dict[str, Any], path: str
) -> None:
    """What stands would get the reach of what is new, or the other way round."""
    world = small_world
    with transaction(world.installation.data) as work:
        register(work.session, replace(organisation("hospital"), organisation_id="clinic"), world.clock())
    answer = world.insurer.push(**merging(world.tokens()["grant_id"], **changes))
    assert refused(answer, "invalid_authorization_details")
    assert f"{path}: differs from what stands" in answer.json()["error_description"]


def test_a_merge_beyond_the_purpose_is_refused(small_world: World) -> None:
    """Each lies within, and their whole does not by now: the window would reach too far from today."""
    tokens = small_world.tokens()
    far = {
        "kind": "once",
        "max_pulls": 1,
        "valid_from": "2026-12-10T00:00:00Z",
        "valid_until": "2029-01-09T00:00:00Z",
    }
    answer = small_world.insurer.push(**merging(tokens["grant_id"], item(), access=far))
    assert refused(answer, "invalid_authorization_details")


# What becomes of the tokens


def test_until_it_is_signed_the_old_tokens_live_and_then_they_end(world: World) -> None:
    tokens = world.tokens()
    pushed = world.insurer.push(**replacing(tokens["grant_id"]))
    assert pushed.status_code == 201, pushed.text
    interaction_id = world.interaction_of(pushed)
    change_id = open_change(world, interaction_id)
    assert is_current(world, tokens["access_token"])
    code = sign_change(world, interaction_id, change_id)
    assert not is_current(world, tokens["access_token"])
    assert refused(world.insurer.refresh(tokens["refresh_token"]), "invalid_grant")
    answer = world.insurer.redeem(code)
    assert answer.status_code == 200, answer.text
    fresh = answer.json()
    assert fresh["grant_id"] == tokens["grant_id"]
    assert fresh["authorization_details"][0]["items"][0]["fields"] == ["institution", "totals"]
    assert is_current(world, fresh["access_token"])


def test_a_merge_allows_both_and_ends_the_tokens_of_before(lane_world: World) -> None:
    world = lane_world
    tokens = world.tokens()
    pushed = world.insurer.push(**merging(tokens["grant_id"]))
    assert pushed.status_code == 201, pushed.text
    interaction_id = world.interaction_of(pushed)
    change_id = open_change(world, interaction_id)
    assert world.insurer.introspect(tokens["access_token"]).json()["active"] is True
    code = sign_change(world, interaction_id, change_id)
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert world.insurer.introspect(token).json() == {"active": False}
    assert refused(world.insurer.refresh(tokens["refresh_token"]), "invalid_grant")
    answer = world.insurer.redeem(code)
    assert answer.status_code == 200, answer.text
    fresh = answer.json()
    assert fresh["grant_id"] == tokens["grant_id"]
    assert fresh["authorization_details"][0]["items"][0]["fields"] == ["totals", "institution"]
    assert world.insurer.introspect(fresh["access_token"]).json()["active"] is True


def test_the_grant_id_comes_with_the_tokens_and_never_through_the_browser(small_world: World) -> None:
    world = small_world
    asked = {"grant_management_action": "create"}
    pushed = world.insurer.push(**asked)
    assert pushed.status_code == 201, pushed.text
    answered = answer_in(world.agree(world.interaction_of(pushed)))
    assert set(answered) == {"flow", "code", "state", "iss"}
    assert world.insurer.redeem(answered["code"]).json()["grant_id"]


def test_a_code_of_the_old_version_is_dead(world: World) -> None:
    code = world.code()
    with world.installation.data.read() as session:
        grant_id = session.exec(select(Consent.grant_id)).one()
    pushed = world.insurer.push(**replacing(grant_id))
    interaction_id = world.interaction_of(pushed)
    sign_change(world, interaction_id, open_change(world, interaction_id))
    assert refused(world.insurer.redeem(code), "invalid_grant")


def test_a_refresh_token_lives_through_a_renewal_and_gets_one_that_lives_as_long(world: World) -> None:
    tokens = world.tokens()
    world.clock.advance(timedelta(days=3))
    renewed(world, tokens["grant_id"])
    assert not is_current(world, tokens["access_token"])
    answer = world.insurer.refresh(tokens["refresh_token"])
    assert answer.status_code == 200, answer.text
    fresh = answer.json()
    assert fresh["refresh_token"] not in {None, tokens["refresh_token"]}
    assert is_current(world, fresh["access_token"])
    again = world.insurer.refresh(fresh["refresh_token"])
    assert again.status_code == 200
    assert "refresh_token" not in again.json()
    world.clock.now = consent(world, tokens["grant_id"]).valid_until - timedelta(minutes=1)
    assert world.insurer.refresh(fresh["refresh_token"]).status_code == 200


def test_who_refreshes_for_less_keeps_the_rest(small_openid: OpenIDWorld) -> None:
    """RFC 6749 section 6: a new refresh token has the scope of the one that was presented."""
    small_openid.sign_in()
    tokens = small_openid.redeemed(small_openid.decide(small_openid.arrive(small_openid.push_records())))
    small_openid.clock.advance(timedelta(days=3))
    renewed(small_openid, tokens["grant_id"])
    less = small_openid.insurer.refresh(tokens["refresh_token"], scope="openid  openid").json()
    assert (less["scope"], "id_token" in less) == ("openid", True)
    whole = small_openid.insurer.refresh(less["refresh_token"]).json()
    assert whole["scope"] == "openid records.read"


def test_the_history_stays_with_the_grant(world: World) -> None:
    tokens = world.tokens()
    world.clock.advance(timedelta(days=3))
    renewed(world, tokens["grant_id"])
    with world.installation.data.read() as session:
        view = consent_of(
            session, world.installation.keyring, world.subject_id, tokens["grant_id"], world.clock()
        )
    assert (view.state, view.version_number) == (ConsentState.GIVEN, 2)
    assert [event.type for event in view.timeline] == [
        "consent.requested",
        "consent.given",
        "consent.renewed",
    ]
