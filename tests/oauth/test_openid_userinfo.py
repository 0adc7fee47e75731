"""OpenID Connect Core section 5.3: who may ask who somebody is, and what they are told."""

from datetime import timedelta

import pytest

from broker.db import transaction
from broker.oauth import clients
from broker.web.signin.accounts import close_account
from consent import lifecycle
from tests.oauth.openid_world import OpenIDWorld
from tests.oauth.world import access_token_hash, answer_in, refused
from vault.jose import generate_private_jwk


@pytest.fixture
def world(small_openid: OpenIDWorld) -> OpenIDWorld:
    small_openid.sign_in()
    return small_openid


def is_challenged(world: OpenIDWorld, headers: dict[str, str], code: str, method: str = "GET") -> bool:
    answer = world.insurer.http.request(method, "/userinfo", headers=headers)
    challenge = answer.headers.get("WWW-Authenticate", "")
    return answer.status_code == 401 and challenge.startswith("DPoP ") and f'error="{code}"' in challenge


def test_a_token_alone_opens_nothing(world: OpenIDWorld) -> None:
    token = world.signed_in_at()["access_token"]
    proof = world.insurer.proof("/userinfo", htm="GET", ath=access_token_hash(token))
    other = world.insurer.proof(
        "/userinfo", key=generate_private_jwk("ES256"), htm="GET", ath=access_token_hash(token)
    )
    posted = world.insurer.proof("/userinfo", htm="POST", ath=access_token_hash(token))
    assert is_challenged(world, {}, "invalid_token")
    assert is_challenged(world, {"Authorization": f"Bearer {token}"}, "invalid_token")
    assert is_challenged(world, {"Authorization": f"Bearer {token}", "DPoP": proof}, "invalid_token")
    assert is_challenged(world, {"Authorization": f"DPoP {token}"}, "invalid_dpop_proof")
    assert is_challenged(world, {"Authorization": f"DPoP {token}", "DPoP": posted}, "invalid_dpop_proof")
    assert is_challenged(world, {"Authorization": f"DPoP {token}", "DPoP": other}, "invalid_token")
    assert is_challenged(world, {"Authorization": f"DPoP {token}x", "DPoP": proof}, "invalid_dpop_proof")


def test_a_proof_is_good_once(world: OpenIDWorld) -> None:
    token = world.signed_in_at()["access_token"]
    proof = world.insurer.proof("/userinfo", htm="GET", ath=access_token_hash(token))
    headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
    assert world.insurer.http.get("/userinfo", headers=headers).status_code == 200
    assert is_challenged(world, headers, "invalid_dpop_proof")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_token_in_the_address_is_refused(world: OpenIDWorld, method: str) -> None:
    tokens = world.signed_in_at()
    params = {"access_token": tokens["access_token"]}
    answer = world.userinfo(tokens, method, params=params)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert world.insurer.http.request(method, "/userinfo", params=params).status_code == 400


def test_userinfo_post_body_is_refused(world: OpenIDWorld) -> None:
    tokens = world.signed_in_at()
    data = {"access_token": tokens["access_token"]}
    answer = world.userinfo(tokens, "POST", data=data)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert world.insurer.http.post("/userinfo", data=data).status_code == 400


def test_a_token_of_the_client_itself_is_nobody(world: OpenIDWorld) -> None:
    own = world.insurer.own_token(scope="deliveries").json()
    answer = world.userinfo(own)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


def test_a_sign_in_is_no_token_for_records_or_for_the_client(world: OpenIDWorld) -> None:
    token = world.signed_in_at()["access_token"]
    answers = []
    for path in ("/v1/records", "/v1/obligations"):
        proof = world.insurer.proof(path, htm="GET", ath=access_token_hash(token))
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
        answers.append(world.insurer.http.get(path, headers=headers).status_code)
    assert answers == [401, 401]


def test_userinfo_get(world: OpenIDWorld) -> None:
    tokens = world.signed_in_at()
    answer = world.userinfo(tokens)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json() == {"sub": world.claims(tokens)["sub"]}


def test_userinfo_post_header(world: OpenIDWorld) -> None:
    tokens = world.signed_in_at()
    assert world.userinfo(tokens, "POST").json() == {"sub": world.claims(tokens)["sub"]}
    assert world.userinfo(tokens, "POST", data={"other": "1"}).status_code == 200


def test_introspection_says_who_signed_in(world: OpenIDWorld) -> None:
    tokens = world.signed_in_at()
    told = world.insurer.introspect(tokens["access_token"]).json()
    assert (told["active"], told["scope"], told["sub"]) == (True, "openid", world.claims(tokens)["sub"])
    own = world.insurer.own_token(scope="deliveries").json()
    assert "sub" not in world.insurer.introspect(own["access_token"]).json()


def test_it_ends_with_its_time(world: OpenIDWorld) -> None:
    tokens = world.signed_in_at()
    world.clock.advance(timedelta(seconds=300))
    assert world.userinfo(tokens).status_code == 401


def test_it_ends_when_the_client_is_suspended(world: OpenIDWorld) -> None:
    tokens = world.signed_in_at()
    with transaction(world.installation.data) as work:
        clients.suspend(work.session, world.insurer.client_id)
    assert world.userinfo(tokens).status_code == 401


def test_a_sign_in_alone_ends_when_the_person_signs_out(openid: OpenIDWorld) -> None:
    openid.sign_in()
    tokens = openid.signed_in_at()
    waiting = answer_in(openid.decide(openid.arrive(openid.push())))["code"]
    records = openid.redeemed(openid.decide(openid.arrive(openid.push_records())))
    assert openid.browser.post("/ko/signout").status_code == 303
    assert openid.userinfo(tokens).status_code == 401
    assert openid.insurer.introspect(tokens["access_token"]).json() == {"active": False}
    assert refused(openid.insurer.redeem(waiting), "invalid_grant")
    # What the person agreed to is no session, and goes on.
    assert openid.userinfo(records).status_code == 200
    assert openid.insurer.refresh(records["refresh_token"]).status_code == 200


def test_a_sign_in_alone_ends_with_the_account(world: OpenIDWorld) -> None:
    tokens = world.signed_in_at()
    waiting = answer_in(world.decide(world.arrive(world.push())))["code"]
    assert world.insurer.introspect(tokens["access_token"]).json()["active"] is True
    with transaction(world.installation.data) as work:
        close_account(work.session, world.subject_id, world.clock())
    assert world.userinfo(tokens).status_code == 401
    assert world.insurer.introspect(tokens["access_token"]).json() == {"active": False}
    assert refused(world.insurer.redeem(waiting), "invalid_grant")


def test_a_sign_in_for_records_ends_with_the_consent(openid: OpenIDWorld) -> None:
    openid.sign_in()
    tokens = openid.redeemed(openid.decide(openid.arrive(openid.push_records())))
    assert openid.userinfo(tokens).status_code == 200
    with transaction(openid.installation.data) as work:
        keyring, now = openid.installation.keyring, openid.clock()
        lifecycle.withdraw(work, keyring, tokens["grant_id"], openid.subject_id, now)
    assert openid.userinfo(tokens).status_code == 401
    assert refused(openid.insurer.refresh(tokens["refresh_token"]), "invalid_grant")
