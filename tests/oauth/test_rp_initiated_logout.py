"""OpenID Connect RP-Initiated Logout 1.0: who is signed out, who is asked, and where nobody is sent."""

from datetime import timedelta
from typing import Any

import pytest
from httpx import Response

from broker.db import transaction
from broker.oauth import clients
from broker.oauth.client_metadata import ClientMetadata
from broker.oauth.errors import ClientInvalidError
from broker.service_keys import OAUTH_KEY
from tests.oauth.logging_out import BACK, SIGNED_OUT, end_session, is_signed_in, portal_of, signed_in_at
from tests.oauth.openid_world import OpenIDWorld, add_client, unsigned
from tests.oauth.world import LEFT_OUT, Recipient, answer_in
from tests.web.stage import Form
from vault.jose import generate_private_jwk, sign_jwt, sign_with_jwk


@pytest.fixture
def portal(small_openid: OpenIDWorld) -> Recipient:
    """A client that people come back to; a person is signed in here."""
    small_openid.sign_in()
    return portal_of(small_openid)


def is_refused(answer: Response) -> bool:
    """A page, no address."""
    return answer.status_code == 400 and "location" not in answer.headers and "<h1" in answer.text


def asks(world: OpenIDWorld, answer: Response) -> str | None:
    """The address of the question that the browser is led to, if it is."""
    location: str = answer.headers.get("location", "")
    if not location.startswith("/ko/logout"):
        return None
    page = world.browser.get(location)
    return location if page.status_code == 200 and 'id="confirm-logout"' in page.text else None


def agree(world: OpenIDWorld, location: str) -> Response:
    fields = Form(world.browser.get(location).text).fields
    answer: Response = world.browser.post("/ko/logout", data=fields)
    return answer


def test_rp_initiated_logout(openid: OpenIDWorld) -> None:
    openid.sign_in()
    portal = portal_of(openid)
    tokens = signed_in_at(openid, portal)
    assert openid.userinfo(tokens, recipient=portal).status_code == 200
    answer = end_session(
        openid, id_token_hint=tokens["id_token"], post_logout_redirect_uri=BACK, state="a state/&한"
    )
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{BACK}&state=")
    assert answer_in(answer.headers["location"])["state"] == "a state/&한"
    assert "no-store" in answer.headers["cache-control"]
    assert not is_signed_in(openid)
    assert openid.userinfo(tokens, recipient=portal).status_code == 401


def test_rp_initiated_logout_by_post(small_openid: OpenIDWorld, portal: Recipient) -> None:
    hint = signed_in_at(small_openid, portal)["id_token"]
    form = {"id_token_hint": hint, "post_logout_redirect_uri": BACK, "state": "s", "unknown": "x"}
    # From another site's form: nothing of ours is asked for, and nothing is done by it.
    posted = small_openid.browser.post(
        "/end_session", data=form, headers={"Origin": "https://portal.example"}
    )
    assert posted.status_code == 303
    assert is_signed_in(small_openid)
    answer = small_openid.browser.get(posted.headers["location"])
    assert answer.headers["location"] == f"{BACK}&state=s"
    assert not is_signed_in(small_openid)


def test_what_is_posted_must_fit_in_an_address(small_openid: OpenIDWorld, portal: Recipient) -> None:
    hint = signed_in_at(small_openid, portal)["id_token"]
    form = {"id_token_hint": hint, "post_logout_redirect_uri": BACK, "state": "s" * 8000}
    assert is_refused(small_openid.browser.post("/end_session", data=form))
    assert is_signed_in(small_openid)


def test_rp_initiated_logout_no_state(small_openid: OpenIDWorld, portal: Recipient) -> None:
    hint = signed_in_at(small_openid, portal)["id_token"]
    answer = end_session(small_openid, id_token_hint=hint, post_logout_redirect_uri=BACK)
    assert answer.headers["location"] == BACK
    assert not is_signed_in(small_openid)


def test_rp_initiated_logout_no_post_logout_redirect_uri(
    small_openid: OpenIDWorld, portal: Recipient
) -> None:
    hint = signed_in_at(small_openid, portal)["id_token"]
    answer = end_session(small_openid, id_token_hint=hint, state="s")
    assert answer.headers["location"] == SIGNED_OUT
    assert 'id="signed-out"' in small_openid.browser.get(SIGNED_OUT).text
    assert not is_signed_in(small_openid)


@pytest.mark.parametrize("parameters", [{}, {"state": "s"}, {"id_token_hint": ""}, {"logout_hint": "x"}])
def test_rp_initiated_logout_no_params_and_only_state(
    small_openid: OpenIDWorld, portal: Recipient, parameters: dict[str, str]
) -> None:
    location = asks(small_openid, end_session(small_openid, **parameters))
    assert location is not None
    assert is_signed_in(small_openid)  # nobody is signed out by an address alone
    assert agree(small_openid, location).headers["location"] == SIGNED_OUT
    assert not is_signed_in(small_openid)
    assert end_session(small_openid, **parameters).headers["location"] == SIGNED_OUT


def test_rp_initiated_logout_no_id_token_hint(small_openid: OpenIDWorld, portal: Recipient) -> None:
    location = asks(small_openid, end_session(small_openid, post_logout_redirect_uri=BACK, state="s"))
    assert location is not None
    assert agree(small_openid, location).headers["location"] == SIGNED_OUT
    assert not is_signed_in(small_openid)


def test_with_a_client_id_the_person_is_asked_and_then_goes_back(
    small_openid: OpenIDWorld, portal: Recipient
) -> None:
    asked = {"client_id": portal.client_id, "post_logout_redirect_uri": BACK, "state": "s"}
    location = asks(small_openid, end_session(small_openid, **asked))
    assert location is not None
    page = small_openid.browser.get(location)
    assert "form-action 'self' https://portal.example;" in page.headers["content-security-policy"]
    assert agree(small_openid, location).headers["location"] == f"{BACK}&state=s"
    assert not is_signed_in(small_openid)
    # Nobody is signed in any more, so nobody can agree: a client id alone sends nobody anywhere.
    assert end_session(small_openid, **asked).headers["location"] == SIGNED_OUT


@pytest.mark.parametrize(
    "uri",
    [
        "https://attacker.example/",
        f"{BACK}&more=1",  # query-added-to-post-logout-redirect-uri
        "https://portal.example/bye?from=brokeR",
        "https://portal.example/bye/",
        "HTTPS://portal.example/bye",
        "https://portal.example/callback",  # for answers, not for this
    ],
)
def test_rp_initiated_logout_bad_post_logout_redirect_uri(
    small_openid: OpenIDWorld, portal: Recipient, uri: str
) -> None:
    hint = signed_in_at(small_openid, portal)["id_token"]
    assert is_refused(end_session(small_openid, id_token_hint=hint, post_logout_redirect_uri=uri))
    assert is_refused(end_session(small_openid, client_id=portal.client_id, post_logout_redirect_uri=uri))
    # Neither does a form that is posted past the question.
    form = {"client_id": portal.client_id, "post_logout_redirect_uri": uri}
    assert is_refused(small_openid.browser.post("/ko/logout", data=form))
    assert is_signed_in(small_openid)


def bad_hints(world: OpenIDWorld, claims: dict[str, Any]) -> dict[str, str]:
    (key, *_) = world.installation.keyring.service_keys(OAUTH_KEY)
    own = {"kid": key.kid, "alg": "ES256"}
    foreign = generate_private_jwk("ES256")
    return {
        "rubbish": "x",
        "alg none": unsigned(claims),
        "another key": sign_with_jwk(claims, foreign, {"alg": "ES256", "typ": "JWT", "kid": key.kid}),
        "another kind of token": sign_jwt(claims, key.private_pem, typ="secevent+jwt", **own),
        "a logout token": sign_jwt(claims, key.private_pem, typ="logout+jwt", **own),
        "another issuer": sign_jwt(claims | {"iss": "https://x.example"}, key.private_pem, typ="JWT", **own),
        "two audiences": sign_jwt(
            claims | {"aud": [claims["aud"], "other-app"]}, key.private_pem, typ="JWT", **own
        ),
        "an unknown client": sign_jwt(claims | {"aud": "nobody"}, key.private_pem, typ="JWT", **own),
        "a sid that is none": sign_jwt(claims | {"sid": 7}, key.private_pem, typ="JWT", **own),
    }


def test_rp_initiated_logout_modified_and_bad_id_token_hint(
    small_openid: OpenIDWorld, portal: Recipient
) -> None:
    world = small_openid
    claims = world.claims(signed_in_at(world, portal))
    for name, hint in bad_hints(world, claims).items():
        answer = end_session(world, id_token_hint=hint, post_logout_redirect_uri=BACK, state="s")
        assert is_refused(answer), name
        assert is_refused(end_session(world, id_token_hint=hint, client_id=portal.client_id)), name
    assert is_signed_in(world)


def test_client_id_and_hint_must_be_of_one_client(small_openid: OpenIDWorld, portal: Recipient) -> None:
    hint = signed_in_at(small_openid, portal)["id_token"]
    assert is_refused(end_session(small_openid, id_token_hint=hint, client_id="insurer-claims"))
    assert is_refused(end_session(small_openid, client_id="nobody"))
    assert is_refused(end_session(small_openid, client_id=["portal", "portal"]))
    assert is_refused(small_openid.browser.get("/end_session?state=%ff"))
    assert is_signed_in(small_openid)
    answer = end_session(small_openid, id_token_hint=hint, client_id=portal.client_id)
    assert answer.headers["location"] == SIGNED_OUT


def test_a_suspended_client_sends_nobody_anywhere(small_openid: OpenIDWorld, portal: Recipient) -> None:
    hint = signed_in_at(small_openid, portal)["id_token"]
    with transaction(small_openid.installation.data) as work:
        clients.suspend(work.session, portal.client_id)
    assert is_refused(end_session(small_openid, id_token_hint=hint, post_logout_redirect_uri=BACK))


def test_an_expired_hint_is_one_and_one_of_another_session_asks(
    small_openid: OpenIDWorld, portal: Recipient
) -> None:
    world = small_openid
    hint = signed_in_at(world, portal)["id_token"]
    world.browser.post("/ko/signout")
    world.sign_in("jeongsuk")
    asked = {"id_token_hint": hint, "post_logout_redirect_uri": BACK}
    location = asks(world, end_session(world, **asked))
    assert location is not None
    assert is_signed_in(world)
    assert agree(world, location).headers["location"] == BACK
    world.clock.advance(timedelta(minutes=10))
    # Nobody is signed in: the client has its way back, by the token that it was given.
    assert end_session(world, **asked).headers["location"] == BACK


def test_a_hint_from_before_a_second_sign_in_is_of_the_same_session(
    small_openid: OpenIDWorld, portal: Recipient
) -> None:
    world = small_openid
    hint = signed_in_at(world, portal)["id_token"]
    page = world.browser.get(world.arrive(world.push(prompt="login")))
    world.sign_in(page=page.headers["location"])
    world.clock.advance(timedelta(minutes=10))  # the token has expired, too
    answer = end_session(world, id_token_hint=hint, post_logout_redirect_uri=BACK)
    assert answer.headers["location"] == BACK
    assert not is_signed_in(world)


def test_a_consents_tokens_outlive_a_logout(openid: OpenIDWorld) -> None:
    openid.sign_in()
    tokens = openid.redeemed(openid.decide(openid.arrive(openid.push_records())))
    assert end_session(openid, id_token_hint=tokens["id_token"]).headers["location"] == SIGNED_OUT
    assert not is_signed_in(openid)
    assert openid.insurer.refresh(tokens["refresh_token"]).status_code == 200


def test_after_the_end_of_a_session_no_id_token_tells_of_it(openid: OpenIDWorld) -> None:
    openid.sign_in()
    first = openid.redeemed(openid.decide(openid.arrive(openid.push_records())))
    waiting = openid.decide(openid.arrive(openid.push_records()))
    assert "id_token" in openid.insurer.refresh(first["refresh_token"]).json()
    assert openid.browser.post("/ko/signout").status_code == 303
    # What the person agreed to stands; that they are signed in is told no more.
    late, refreshed = openid.redeemed(waiting), openid.insurer.refresh(first["refresh_token"]).json()
    for tokens in (late, refreshed, openid.insurer.refresh(late["refresh_token"]).json()):
        assert tokens["grant_id"]
        assert "id_token" not in tokens
    openid.sign_in()
    assert "id_token" not in openid.insurer.refresh(first["refresh_token"]).json()


def test_a_session_that_went_on_is_told_of(small_openid: OpenIDWorld) -> None:
    world = small_openid
    world.sign_in()
    tokens = world.redeemed(world.decide(world.arrive(world.push_records())))
    world.sign_in(page="/ko/signin?again=1")
    refreshed = world.claims(world.insurer.refresh(tokens["refresh_token"]).json())
    assert refreshed["sid"] == world.claims(tokens)["sid"]


def test_the_question_is_not_for_other_sites_to_answer(small_openid: OpenIDWorld, portal: Recipient) -> None:
    form = {"client_id": portal.client_id, "post_logout_redirect_uri": BACK}
    for headers in ({"Origin": "https://portal.example"}, {"Sec-Fetch-Site": "cross-site"}):
        refused = small_openid.browser.post("/ko/logout", data=form, headers=headers)
        assert refused.status_code == 403
    assert is_signed_in(small_openid)


@pytest.mark.parametrize("uri", ["http://portal.example/bye", "https://portal.example/bye#x", "/bye"])
def test_addresses_are_checked_at_registration(small_openid: OpenIDWorld, uri: str) -> None:
    world = small_openid
    client = Recipient(world.insurer.http, world.clock, "another", "https://another.example/callback")
    metadata = ClientMetadata(post_logout_redirect_uris=(BACK, uri), backchannel_logout_uri=uri)
    with (
        pytest.raises(ClientInvalidError) as refused,
        transaction(world.installation.data) as work,
    ):
        add_client(work.session, client, "other", world.clock, metadata)
    paths = {path for path, _ in refused.value.faults}
    assert paths == {"metadata.post_logout_redirect_uris.1", "metadata.backchannel_logout_uri"}


def test_languages_of_the_page(small_openid: OpenIDWorld, portal: Recipient) -> None:
    english = end_session(small_openid, ui_locales="fr en-GB ko", state=LEFT_OUT)
    assert english.headers["location"].startswith("/en/logout?")
    assert "Sign out?" in small_openid.browser.get(english.headers["location"]).text
    korean = small_openid.browser.get(end_session(small_openid, ui_locales="fr").headers["location"])
    assert "로그아웃할까요?" in korean.text
