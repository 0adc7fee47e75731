"""Requests of the profile `oidc` at /authorize: OpenID Connect Core section 3.1.2. Cases as in the suite."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from broker.installation import Installation
from tests.installation import ISSUER, Clock
from tests.oauth.plain_world import POST, WITH_QUERY, PlainWorld, build_plain, faults, registration, served
from tests.oauth.world import LEFT_OUT, answer_in, refused


@pytest.fixture
def plain(sqlite_installation: Installation, clock: Clock) -> Iterator[PlainWorld]:
    yield from build_plain(sqlite_installation, clock)


@pytest.fixture
def plain_on_each(installation: Installation, clock: Clock) -> Iterator[PlainWorld]:
    yield from build_plain(installation, clock)


def is_page(world: PlainWorld, **changes: object) -> bool:
    """Whether a person is told, and the browser goes nowhere."""
    answer = world.arrive(None, **changes)
    return (answer.status_code, "Location" in answer.headers) == (400, False)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"redirect_uri": LEFT_OUT}, id="missing"),
        pytest.param({"redirect_uri": ""}, id="empty"),
        pytest.param({"redirect_uri": "https://evil.example/cb"}, id="ensure-registered-redirect-uri"),
        pytest.param({"redirect_uri": "https://plain.example/cb?added=1"}, id="redirect-uri-query-added"),
        pytest.param({"redirect_uri": "https://plain.example/cb?foo=bad"}, id="redirect-uri-query-mismatch"),
        pytest.param({"redirect_uri": "https://plain.example/cb#frag"}, id="fragment"),
        pytest.param({"redirect_uri": "https://plain.example/cb/"}, id="slash"),
        pytest.param({"redirect_uri": ["https://plain.example/cb"] * 2}, id="twice"),
        pytest.param({"client_id": "nobody-at-all"}, id="unknown client"),
        pytest.param({"client_id": ["plain-basic", "plain-basic"]}, id="client twice"),
        pytest.param({"client_id": LEFT_OUT}, id="no client"),
    ],
)
def test_nothing_unproven_decides_where_a_browser_goes(plain: PlainWorld, changes: dict[str, Any]) -> None:
    assert is_page(plain, **changes)


def test_a_client_of_fapi_2_is_still_refused_without_a_push(plain: PlainWorld) -> None:
    insurer = plain.openid.insurer
    asked = insurer.request(scope="openid", authorization_details=LEFT_OUT)
    query = {name: value for name, value in asked.items() if value is not LEFT_OUT}
    for more in ({}, {"request_uri": "https://insurer.example/request"}):
        answer = plain.openid.browser.get("/authorize", params=query | more)
        assert (answer.status_code, "Location" in answer.headers) == (400, False)


def test_a_pushed_request_of_another_client_is_not_opened(plain: PlainWorld) -> None:
    pushed = plain.openid.push()
    assert is_page(plain, request_uri=pushed.json()["request_uri"])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"response_type": LEFT_OUT}, "invalid_request", id="response-type-missing"),
        pytest.param({"response_type": "token"}, "unsupported_response_type", id="implicit"),
        pytest.param({"response_type": "code id_token"}, "unsupported_response_type", id="hybrid"),
        pytest.param({"scope": LEFT_OUT}, "invalid_scope", id="no scope"),
        pytest.param({"scope": "profile"}, "invalid_scope", id="no openid"),
        pytest.param({"scope": "openid records.read"}, "invalid_scope", id="records"),
        pytest.param({"scope": "openid deliveries"}, "invalid_scope", id="the client's own"),
        pytest.param(
            {"authorization_details": "[]"}, "invalid_authorization_details", id="authorization_details"
        ),
        pytest.param({"grant_id": "a"}, "invalid_authorization_details", id="a grant"),
        pytest.param({"request": "e30.e30."}, "request_not_supported", id="unsigned-request-object"),
        pytest.param(
            {"request_uri": "https://plain.example/r"}, "request_uri_not_supported", id="request-uri-unsigned"
        ),
        pytest.param({"nonce": ["a", "b"]}, "invalid_request", id="nonce twice"),
        pytest.param({"nonce": "a\tb"}, "invalid_request", id="nonce with a tab"),
        pytest.param({"max_age": "soon"}, "invalid_request", id="max_age"),
        pytest.param({"prompt": "none login"}, "invalid_request", id="prompt none and login"),
        pytest.param({"id_token_hint": "a.b.c"}, "invalid_request", id="id_token_hint"),
        pytest.param({"response_mode": "form_post"}, "invalid_request", id="response_mode"),
        pytest.param({"code_challenge": "A" * 43}, "invalid_request", id="challenge without a method"),
        pytest.param(
            {"code_challenge": "A" * 43, "code_challenge_method": "plain"}, "invalid_request", id="plain"
        ),
        pytest.param({"code_challenge_method": "S256"}, "invalid_request", id="method without a challenge"),
    ],
)
def test_the_client_hears_what_is_wrong(plain: PlainWorld, changes: dict[str, Any], error: str) -> None:
    answer = plain.refusal(**changes)
    assert (answer["error"], answer["state"], answer["iss"]) == (error, "a state", ISSUER)
    assert answer["error_description"]


@pytest.mark.parametrize("state", [["a", "b"], "a\tb", "s" * 2049])
def test_a_state_that_cannot_be_read_is_not_given_back(plain: PlainWorld, state: Any) -> None:  # noqa: ANN401
    answer = plain.refusal(state=state)
    assert (answer["error"], "state" in answer, answer["iss"]) == ("invalid_request", False, ISSUER)


def test_prompt_none_not_logged_in(plain: PlainWorld) -> None:
    assert plain.refusal(prompt="none")["error"] == "login_required"


def test_prompt_none_before_the_person_ever_said_yes(plain: PlainWorld) -> None:
    plain.openid.sign_in()
    assert plain.refusal(prompt="none")["error"] == "interaction_required"


def test_prompt_none_logged_in(plain_on_each: PlainWorld) -> None:
    world = plain_on_each
    world.openid.sign_in()
    first = world.told(world.tokens())
    address = world.address(prompt="none")
    answer = answer_in(address)
    assert (address.startswith(world.plain.redirect_uri), answer["state"]) == (True, "a state")
    again = world.told(world.plain.redeem(answer["code"]).json())
    assert (again["sub"], again["auth_time"]) == (first["sub"], first["auth_time"])
    assert world.refusal(world.posting, prompt="none")["error"] == "interaction_required"


def test_a_silent_yes_ends_with_a_no_and_with_the_session(plain: PlainWorld) -> None:
    plain.openid.sign_in()
    plain.code()
    assert "code" in answer_in(plain.address(prompt="none"))
    plain.openid.clock.advance(timedelta(seconds=1))
    assert answer_in(plain.openid.decide(plain.address(), "deny"))["error"] == "access_denied"
    assert plain.refusal(prompt="none")["error"] == "interaction_required"
    plain.openid.clock.advance(timedelta(seconds=1))
    plain.code()
    assert "code" in answer_in(plain.address(prompt="none"))
    plain.openid.browser.cookies.clear()
    plain.openid.sign_in()
    assert plain.refusal(prompt="none")["error"] == "interaction_required"


def test_a_silent_yes_is_of_its_own_browser_and_a_no_of_every_one(plain_on_each: PlainWorld) -> None:
    openid = plain_on_each.openid
    here = openid.browser
    openid.sign_in()
    plain_on_each.code()
    openid.browser = TestClient(here.app, base_url=ISSUER, headers={"Origin": ISSUER}, follow_redirects=False)
    openid.sign_in()
    assert plain_on_each.refusal(prompt="none")["error"] == "interaction_required"
    plain_on_each.code()
    there, openid.browser = openid.browser, here
    assert "code" in answer_in(plain_on_each.address(prompt="none"))  # that one's yes takes nothing from this
    openid.browser = there
    openid.clock.advance(timedelta(seconds=1))
    openid.decide(plain_on_each.address(), "deny")
    openid.browser = here
    assert plain_on_each.refusal(prompt="none")["error"] == "interaction_required"


def test_a_silent_yes_goes_on_with_its_session(plain: PlainWorld) -> None:
    plain.openid.sign_in()
    plain.code()
    plain.openid.sign_in(page="/ko/signin?again=1")
    assert "code" in answer_in(plain.address(prompt="none"))


def test_a_silent_yes_is_no_answer_for_another_person(plain: PlainWorld) -> None:
    plain.openid.sign_in()
    hint = plain.tokens()["id_token"]
    assert "code" in answer_in(plain.address(prompt="none", id_token_hint=hint))
    plain.openid.browser.cookies.clear()
    plain.openid.sign_in("jeongsuk")
    assert plain.refusal(prompt="none")["error"] == "interaction_required"
    assert plain.refusal(prompt="none", id_token_hint=hint)["error"] == "login_required"


def test_the_page_says_how_long_it_holds(plain: PlainWorld) -> None:
    plain.openid.sign_in()
    path = plain.address(ui_locales="en")
    assert "until you sign out here" in plain.openid.browser.get(path).text
    pushed = plain.openid.arrive(plain.openid.push(ui_locales="en"))
    assert "Next time you are asked again" in plain.openid.browser.get(pushed).text


def test_ensure_post_request_succeeds(plain: PlainWorld) -> None:
    plain.openid.sign_in()
    long = plain.plain.request(claims="{" + " " * 8000 + "}")  # longer than an address may be
    posted = plain.openid.browser.post("/authorize", data=long)
    assert posted.status_code == 303
    # What was posted stands in no address, so in no history and no log either.
    assert set(answer_in(posted.headers["Location"])) == {"client_id", "request_uri"}
    arrived = plain.openid.browser.get(posted.headers["Location"])
    answer = answer_in(plain.openid.decide(arrived.headers["Location"]))
    assert answer["state"] == "a state"
    assert plain.told(plain.plain.redeem(answer["code"]).json())["nonce"] == "n-0S6_WzA2Mj"
    again = plain.openid.browser.get(posted.headers["Location"])
    assert (again.status_code, "Location" in again.headers) == (400, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example/cb"},
        {"client_id": "nobody-at-all"},
        {"client_id": ["plain-basic", "plain-basic"]},
        {"client_id": "insurer-claims", "redirect_uri": "https://insurer.example/callback?flow=claim"},
    ],
)
def test_a_posted_request_proves_no_more_than_one_in_an_address(
    plain: PlainWorld, changes: dict[str, Any]
) -> None:
    answer = plain.openid.browser.post("/authorize", data=plain.plain.request(**changes))
    assert (answer.status_code, "Location" in answer.headers) == (400, False)


def test_what_is_wrong_with_a_posted_request_its_client_hears(plain: PlainWorld) -> None:
    answer = plain.openid.browser.post("/authorize", data=plain.plain.request(response_type="token"))
    assert answer.status_code == 303
    heard = answer_in(answer.headers["Location"])
    assert (heard["error"], heard["state"], heard["iss"]) == ("unsupported_response_type", "a state", ISSUER)


def test_redirect_uri_query_ok(plain: PlainWorld) -> None:
    plain.openid.sign_in()
    address = plain.openid.decide(plain.address(redirect_uri=WITH_QUERY))
    assert address.startswith(f"{WITH_QUERY}&")
    code = answer_in(address)["code"]
    assert refused(plain.plain.redeem(code), "invalid_grant", "invalid_request")
    address = plain.openid.decide(plain.address(redirect_uri=WITH_QUERY))
    form = {"redirect_uri": WITH_QUERY}
    assert plain.plain.redeem(answer_in(address)["code"], form=form).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": LEFT_OUT},
        {"state": LEFT_OUT},
        {"extra": "foobar"},
        {"display": "popup"},
        {"ui_locales": "se", "claims_locales": "se"},
        {"acr_values": "1 2"},
        {"login_hint": "somebody"},
        {"scope": "email openid profile"},
        {"max_age": "10000"},
        {"claims": '{"userinfo": {"name": {"essential": true}}}'},
    ],
)
def test_what_says_nothing_here_is_no_error(plain: PlainWorld, changes: dict[str, Any]) -> None:
    plain.openid.sign_in()
    tokens = plain.tokens(**changes)
    assert (tokens["scope"], tokens["token_type"]) == ("openid", "Bearer")
    assert "refresh_token" not in tokens
    claims = plain.told(tokens)
    assert ("nonce" in claims) == (changes.get("nonce") is not LEFT_OUT)


def test_it_may_push_too(plain: PlainWorld) -> None:
    plain.openid.sign_in()
    pushed = plain.plain.post("/par", plain.plain.request())
    assert pushed.status_code == 201, pushed.text
    query = {"client_id": plain.plain.client_id, "request_uri": pushed.json()["request_uri"]}
    opened = plain.openid.browser.get("/authorize", params=query)
    assert "code" in answer_in(plain.openid.decide(opened.headers["Location"]))


def test_with_the_setting_off_nothing_of_it_is_served(plain: PlainWorld) -> None:
    plain.openid.sign_in()
    tokens, code = plain.tokens(), plain.code()
    app: Any = plain.openid.browser.app
    off = served(plain.openid.installation, plain.openid.clock, oidc_clients=False)
    app.state.installation = off
    assert is_page(plain)
    for client in (plain.plain, plain.posting):
        assert refused(client.post("/par", client.request()), "invalid_client")
    assert refused(plain.plain.redeem(code), "invalid_client")
    bearing = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert plain.plain.http.get("/userinfo", headers=bearing).status_code == 401
    posted = plain.plain.http.post("/userinfo", data={"access_token": tokens["access_token"]})
    assert posted.status_code == 400
    asked = {"token": tokens["access_token"]}
    for client in (plain.plain, plain.posting):
        assert client.post("/introspect", asked).status_code == 401
        for path, form in (
            ("/revoke", asked),
            ("/token", {"grant_type": "client_credentials", "scope": "ssf"}),
            ("/token", {"grant_type": "refresh_token", "refresh_token": "mdr_x"}),
        ):
            assert refused(client.post(path, form), "invalid_client"), (path, form)
        gone = {"client_id": client.client_id}
        assert plain.openid.browser.get("/end_session", params=gone).status_code == 400
        own = f"/register/{client.client_id}"
        assert client.http.get(own, headers={"Authorization": "Bearer mdm_x"}).status_code == 401
    hinted = {"id_token_hint": tokens["id_token"]}
    assert plain.openid.browser.get("/end_session", params=hinted).status_code == 400
    assert plain.openid.browser.get("/ko").status_code == 200, "nobody was signed out"
    document = plain.plain.http.get("/.well-known/openid-configuration").json()
    assert document["require_pushed_authorization_requests"] is True
    assert document["id_token_signing_alg_values_supported"] == ["ES256"]
    assert POST not in document["token_endpoint_auth_methods_supported"]


def test_discovery_tells_of_it(plain: PlainWorld) -> None:
    document = plain.plain.http.get("/.well-known/openid-configuration").json()
    assert document["require_pushed_authorization_requests"] is False
    assert document["id_token_signing_alg_values_supported"] == ["ES256", "RS256"]
    for endpoint in ("token", "revocation", "introspection"):
        methods = document[f"{endpoint}_endpoint_auth_methods_supported"]
        assert methods == ["private_key_jwt", "client_secret_basic", "client_secret_post"]
        assert "RS256" in document[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
    kinds = {key["alg"] for key in plain.plain.http.get("/jwks").json()["keys"]}
    assert {"RS256", "ES256"} <= kinds


def test_a_redirect_uri_with_a_fragment_cannot_be_registered(plain: PlainWorld) -> None:
    """redirect-uri-regfrag."""
    new = registration("regfrag", token_endpoint_auth_method=POST)
    fragment = new.model_copy(update={"redirect_uris": ("https://plain.example/cb#frag",)})
    assert "redirect_uris.0" in faults(plain, fragment)
