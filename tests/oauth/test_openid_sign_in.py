"""OpenID Connect Core section 3.1.2: how fresh a sign-in must be, and whose. Cases as in the suite."""

from datetime import timedelta
from typing import Any

import pytest
from httpx import Response
from starlette.testclient import TestClient

from broker.db import transaction
from broker.oauth.client_metadata import ClientMetadata
from broker.service_keys import OAUTH_KEY
from tests.installation import ISSUER
from tests.oauth.openid_world import PASSWORD, OpenIDWorld, add_client, unsigned
from tests.oauth.world import Recipient, answer_in, refused
from tests.web.stage import Form
from vault.jose import generate_private_jwk, sign_jwt, sign_with_jwk


def asked_at_once(world: OpenIDWorld, **changes: object) -> str:
    """Push with `prompt=none`; the error that the browser brings back, beside state and issuer."""
    address = world.arrive(world.push(prompt="none", **changes))
    assert address.startswith(world.insurer.redirect_uri)
    answer = answer_in(address)
    assert (answer["state"], answer["iss"]) == ("a state", world.installation.settings.server.issuer)
    assert "code" not in answer
    return answer["error"]


def page_of(world: OpenIDWorld, **changes: object) -> tuple[str, Response]:
    path = world.arrive(world.push(**changes))
    return path, world.browser.get(path)


def leads_to_sign_in(answer: Response) -> bool:
    return answer.status_code == 303 and "again=1" in answer.headers["Location"]


def test_prompt_none_not_logged_in(small_openid: OpenIDWorld) -> None:
    assert asked_at_once(small_openid) == "login_required"


def test_prompt_none_logged_in_is_for_the_person_to_decide(small_openid: OpenIDWorld) -> None:
    small_openid.sign_in()
    assert asked_at_once(small_openid) == "interaction_required"
    address = small_openid.arrive(small_openid.push_records(prompt="none"))
    assert answer_in(address)["error"] == "consent_required"


def test_prompt_none_is_answered_once(small_openid: OpenIDWorld) -> None:
    world = small_openid
    pushed = world.push(prompt="none")
    world.arrive(pushed)
    query = {"client_id": world.insurer.client_id, "request_uri": pushed.json()["request_uri"]}
    again = world.browser.get("/authorize", params=query)
    assert (again.status_code, "Location" in again.headers) == (400, False)


def test_prompt_none_with_a_sign_in_that_is_too_old(small_openid: OpenIDWorld) -> None:
    small_openid.sign_in()
    small_openid.clock.advance(timedelta(seconds=60))
    assert asked_at_once(small_openid, max_age="59") == "login_required"
    assert asked_at_once(small_openid, max_age="61") == "interaction_required"


def test_prompt_none_after_signing_out(small_openid: OpenIDWorld) -> None:
    small_openid.sign_in()
    small_openid.browser.post("/ko/signout")
    assert asked_at_once(small_openid) == "login_required"


@pytest.mark.parametrize(
    "demand",
    [{"prompt": "login"}, {"prompt": "login consent"}, {"prompt": "select_account"}, {"max_age": "0"}],
)
def test_prompt_login(small_openid: OpenIDWorld, demand: dict[str, str]) -> None:
    world = small_openid
    world.sign_in()
    before = int(world.clock().timestamp())
    path, page = page_of(world, **demand)
    assert leads_to_sign_in(page)
    # Neither a form that is posted past the page nor the next look gets around it.
    assert leads_to_sign_in(world.browser.post(path, data={"decision": "allow"}))
    assert leads_to_sign_in(world.browser.get(path))
    assert 'id="again"' in world.browser.get(page.headers["Location"]).text
    assert world.sign_in(page=page.headers["Location"]).headers["Location"] == path
    world.clock.advance(timedelta(minutes=5))  # how long the person reads changes nothing
    assert world.claims(world.redeemed(world.decide(path)))["auth_time"] == before + 1


def test_prompt_login_for_records(openid: OpenIDWorld) -> None:
    openid.sign_in()
    path = openid.arrive(openid.push_records(prompt="login"))
    page = openid.browser.get(path)
    assert leads_to_sign_in(page)
    assert leads_to_sign_in(openid.browser.post(path, data={"decision": "allow"}))
    openid.sign_in(page=page.headers["Location"])
    assert openid.claims(openid.redeemed(openid.decide(path)))["auth_time"] == int(openid.clock().timestamp())


def test_a_wrong_password_at_the_second_sign_in_leads_nowhere(small_openid: OpenIDWorld) -> None:
    world = small_openid
    world.sign_in()
    path, page = page_of(world, prompt="login")
    form = Form(world.browser.get(page.headers["Location"]).text).fields
    failed = world.browser.post("/ko/signin", data=form | {"username": "haneul", "password": PASSWORD + "!"})
    assert failed.status_code == 422
    assert Form(failed.text).fields["again"] == "1"
    assert leads_to_sign_in(world.browser.get(path))


def test_max_age_1(small_openid: OpenIDWorld) -> None:
    world = small_openid
    world.sign_in()
    world.clock.advance(timedelta(seconds=2))
    path, page = page_of(world, max_age="1")
    assert leads_to_sign_in(page)
    world.sign_in(page=page.headers["Location"])
    claims = world.claims(world.redeemed(world.decide(path)))
    assert claims["auth_time"] == int(world.clock().timestamp())


def test_max_age_10000(small_openid: OpenIDWorld) -> None:
    world = small_openid
    world.sign_in()
    signed_in_at = int(world.clock().timestamp())
    world.clock.advance(timedelta(seconds=100))
    assert world.claims(world.signed_in_at(max_age="10000"))["auth_time"] == signed_in_at


def test_a_client_may_have_registered_how_old_a_sign_in_may_be(small_openid: OpenIDWorld) -> None:
    world = small_openid
    careful = Recipient(world.insurer.http, world.clock, "careful-app", world.stranger.redirect_uri)
    with transaction(world.installation.data) as work:
        add_client(work.session, careful, "other", world.clock, ClientMetadata(default_max_age=30))
    world.sign_in()
    world.clock.advance(timedelta(seconds=31))
    assert leads_to_sign_in(world.browser.get(world.arrive(world.push(careful), careful)))
    asked = world.push(careful, max_age="60")
    assert world.browser.get(world.arrive(asked, careful)).status_code == 200


def test_id_token_hint(small_openid: OpenIDWorld) -> None:
    world = small_openid
    world.sign_in()
    hint = world.signed_in_at()["id_token"]
    world.clock.advance(timedelta(days=3))
    world.sign_in()
    assert asked_at_once(world, id_token_hint=hint) == "interaction_required"
    tokens = world.signed_in_at(id_token_hint=hint)  # long expired, and still a hint
    assert tokens["id_token"]


def test_id_token_hint_of_somebody_else(small_openid: OpenIDWorld) -> None:
    world = small_openid
    world.sign_in("jeongsuk")
    hint = world.signed_in_at()["id_token"]
    world.sign_in("haneul")
    assert asked_at_once(world, id_token_hint=hint) == "login_required"
    for pushed in (world.push(id_token_hint=hint), world.push_records(id_token_hint=hint)):
        path = world.arrive(pushed)
        page = world.browser.get(path)
        assert page.status_code == 409
        assert "error=login_required" in page.text
        assert world.browser.post(path, data={"decision": "allow"}).status_code == 410


def test_who_is_expected_may_be_named_by_the_claim_sub(small_openid: OpenIDWorld) -> None:
    world = small_openid
    world.sign_in()
    tokens = world.signed_in_at()
    named = '{"id_token": {"sub": {"value": "%s"}}}'
    own = named % world.claims(tokens)["sub"]
    assert asked_at_once(world, claims=own) == "interaction_required"
    assert asked_at_once(world, claims=named % "another") == "login_required"
    both = world.push(claims=named % "another", id_token_hint=tokens["id_token"])
    assert refused(both, "invalid_request")


def hints(world: OpenIDWorld) -> dict[str, str]:
    """Tokens that are no ID token of the insurer, and look like one."""
    claims: dict[str, Any] = world.claims(world.signed_in_at())
    path = world.arrive(world.push(world.stranger), world.stranger)
    others = world.redeemed(world.decide(path), world.stranger)["id_token"]
    (key, *_) = world.installation.keyring.service_keys(OAUTH_KEY)
    own = {"kid": key.kid, "alg": "ES256"}
    foreign = generate_private_jwk("ES256")
    return {
        "another client's": others,
        "alg none": unsigned(claims),
        "another key": sign_with_jwk(claims, foreign, {"alg": "ES256", "typ": "JWT", "kid": key.kid}),
        "another kind of token": sign_jwt(claims, key.private_pem, typ="secevent+jwt", **own),
        "another issuer": sign_jwt(claims | {"iss": "https://x.example"}, key.private_pem, typ="JWT", **own),
        "two audiences": sign_jwt(
            claims | {"aud": [claims["aud"], "other-app"]}, key.private_pem, typ="JWT", **own
        ),
        "nobody": sign_jwt(claims | {"sub": ""}, key.private_pem, typ="JWT", **own),
    }


def test_modified_and_bad_id_token_hints_are_refused(small_openid: OpenIDWorld) -> None:
    small_openid.sign_in()
    for name, hint in hints(small_openid).items():
        assert refused(small_openid.push(id_token_hint=hint), "invalid_request"), name


def test_a_hint_by_a_key_that_is_ours_no_more_is_refused(small_openid: OpenIDWorld) -> None:
    world = small_openid
    world.sign_in()
    hint = world.signed_in_at()["id_token"]
    keyring, now = world.installation.keyring, world.clock()
    (key, *_) = keyring.service_keys(OAUTH_KEY)
    keyring.rotation.switch(OAUTH_KEY, key.kid, signs_from=now, keeps_previous=False, now=now)
    assert refused(world.push(id_token_hint=hint), "invalid_request")
    assert world.claims(world.signed_in_at())["sub"]


def test_signing_in_again_ends_the_session_of_before(small_openid: OpenIDWorld) -> None:
    """What the browser has no cookie for any more, nobody could sign out; nor what it gave to others."""
    small_openid.sign_in()
    tokens = small_openid.signed_in_at()
    before = dict(small_openid.browser.cookies)
    small_openid.sign_in(page="/ko/signin?again=1")
    left = TestClient(small_openid.browser.app, base_url=ISSUER, cookies=before, follow_redirects=False)
    assert left.get("/ko/signin").status_code == 200
    assert small_openid.userinfo(tokens).status_code == 401
    assert small_openid.insurer.introspect(tokens["access_token"]).json() == {"active": False}
    assert small_openid.userinfo(small_openid.signed_in_at()).status_code == 200
