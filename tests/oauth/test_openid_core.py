"""OpenID Connect Core 1.0: ID tokens and sign-ins alone. Cases are named as in the certification suite."""

from datetime import timedelta
from typing import Any

import orjson
import pytest

from tests.oauth.openid_world import OpenIDWorld
from tests.oauth.world import LEFT_OUT, answer_in, details, refused

IDS = "urn:mydata:acr:1fa"


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("prompt", "none login"),
        ("prompt", "consent none"),
        ("max_age", "-1"),
        ("max_age", "soon"),
        ("max_age", "1e3"),
        ("acr_values", "two  spaces"),
        ("acr_values", "nul\x01"),
        ("claims", "no JSON"),
        ("claims", "[]"),
        ("claims", '{"id_token": []}'),
        ("claims", '{"id_token": {"acr": "2fa"}}'),
        ("claims", '{"id_token": {"acr": {"essential": "yes"}}}'),
        ("claims", '{"id_token": {"acr": {"values": "one"}}}'),
        ("claims", '{"id_token": {"acr": {"value": "one", "values": ["one"]}}}'),
        ("claims", '{"id_token": {"sub": {"value": 7}}}'),
        ("claims", '{"userinfo": 1}'),
        ("claims", '{"a": ' * 40 + "1" + "}" * 40),
        ("claims", '{"id_token": {}, "id_token": {}}'),
        ("nonce", "tab\there"),
        ("nonce", "x" * 2049),
        ("id_token_hint", "no token"),
    ],
)
def test_what_is_malformed_is_refused_at_the_push(
    small_openid: OpenIDWorld, parameter: str, value: str
) -> None:
    assert refused(small_openid.push(**{parameter: value}), "invalid_request")


def test_a_sign_in_is_never_meant_unsaid(small_openid: OpenIDWorld) -> None:
    assert refused(small_openid.push(scope=LEFT_OUT), "invalid_authorization_details")
    assert refused(small_openid.push(small_openid.stranger, scope=LEFT_OUT), "invalid_scope")


def test_a_client_without_the_scope_gets_no_records_by_a_sign_in(small_openid: OpenIDWorld) -> None:
    asked = orjson.dumps([details()]).decode()
    pushed = small_openid.push(small_openid.stranger, authorization_details=asked)
    assert refused(pushed, "invalid_authorization_details")
    assert refused(small_openid.push(scope="records.read openid"), "invalid_authorization_details")


@pytest.mark.parametrize("parameter", ["grant_id", "grant_management_action", "deal_invitation"])
def test_what_is_about_records_needs_details(small_openid: OpenIDWorld, parameter: str) -> None:
    assert refused(small_openid.push(**{parameter: "create"}), "invalid_authorization_details")


def test_a_whole_sign_in(openid: OpenIDWorld) -> None:
    path = openid.arrive(openid.push())
    assert path.startswith("/ko/recognise/")
    asked = openid.browser.get(path)
    assert asked.status_code == 303
    led_back = openid.sign_in(page=asked.headers["Location"])
    assert led_back.headers["Location"] == path
    signed_in_at = openid.clock()
    openid.clock.advance(timedelta(seconds=20))
    tokens = openid.redeemed(openid.decide(path))
    assert {"refresh_token", "grant_id", "authorization_details"}.isdisjoint(tokens)
    assert (tokens["scope"], tokens["token_type"]) == ("openid", "DPoP")
    claims, now = openid.claims(tokens), int(openid.clock().timestamp())
    assert claims["iss"] == openid.installation.settings.server.issuer
    assert claims["aud"] == openid.insurer.client_id
    assert (claims["iat"], claims["exp"]) == (now, now + 300)
    assert claims["auth_time"] == int(signed_in_at.timestamp())
    assert (claims["acr"], claims["amr"]) == (IDS, ["pwd"])
    assert claims["nonce"] == "n-0S6_WzA2Mj"
    assert openid.subject_id not in orjson.dumps(claims).decode()
    assert openid.userinfo(tokens).json() == {"sub": claims["sub"]}


def test_records_and_a_sign_in_together(openid: OpenIDWorld) -> None:
    openid.sign_in()
    path = openid.arrive(openid.push_records())
    assert path.startswith("/ko/consent/")
    tokens = openid.redeemed(openid.decide(path))
    assert tokens["grant_id"]
    first = openid.claims(tokens)
    openid.clock.advance(timedelta(seconds=60))
    refreshed = openid.insurer.refresh(tokens["refresh_token"])
    again = openid.claims(refreshed.json())
    # Core section 12.2: the same sign-in, told anew, without the nonce of the first time.
    assert {name: again[name] for name in ("iss", "sub", "aud", "auth_time", "acr", "sid")} == {
        name: first[name] for name in ("iss", "sub", "aud", "auth_time", "acr", "sid")
    }
    assert "nonce" not in again
    assert again["iat"] == first["iat"] + 60
    assert openid.userinfo(refreshed.json()).json() == {"sub": first["sub"]}


def test_records_without_openid_tell_nothing_of_the_person(small_openid: OpenIDWorld) -> None:
    small_openid.sign_in()
    path = small_openid.arrive(small_openid.push_records(scope="records.read"))
    tokens = small_openid.redeemed(small_openid.decide(path))
    assert "id_token" not in tokens
    answer = small_openid.userinfo(tokens)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("length", [64, 384])
def test_ensure_request_with_long_nonce_is_returned_intact(small_openid: OpenIDWorld, length: int) -> None:
    small_openid.sign_in()
    nonce = "".join(chr(33 + place % 94) for place in range(length))
    assert small_openid.claims(small_openid.signed_in_at(nonce=nonce))["nonce"] == nonce


def test_ensure_authorization_request_without_nonce_success(small_openid: OpenIDWorld) -> None:
    small_openid.sign_in()
    address = small_openid.decide(small_openid.arrive(small_openid.push(nonce=LEFT_OUT, state=LEFT_OUT)))
    assert set(answer_in(address)) == {"code", "iss", "flow"}
    assert "nonce" not in small_openid.claims(small_openid.redeemed(address))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("display", "page"),
        ("display", "unheard-of"),
        ("ui_locales", "se ko"),
        ("claims_locales", "se"),
        ("acr_values", "urn:example:1 urn:example:2"),
        ("login_hint", "haneul@example.com"),
        ("prompt", "unheard-of"),
        ("claims", '{"userinfo": {"name": {"essential": true}}, "other": 1, "id_token": {"acr": null}}'),
        ("extra", "foobar"),
    ],
)
def test_unknown_parameters_and_wishes_cause_no_error(
    small_openid: OpenIDWorld, parameter: str, value: str
) -> None:
    small_openid.sign_in()
    tokens = small_openid.signed_in_at(**{parameter: value})
    assert small_openid.userinfo(tokens).json() == {"sub": small_openid.claims(tokens)["sub"]}


def essential(**asked: object) -> str:
    return orjson.dumps({"id_token": {"acr": {"essential": True} | asked}}).decode()


@pytest.mark.parametrize(
    "asked", [{"value": "urn:openbanking:psd2:sca"}, {"values": ["urn:mydata:acr:2fa", "other"]}]
)
def test_essential_acr_sca_claim(small_openid: OpenIDWorld, asked: dict[str, Any]) -> None:
    address = small_openid.arrive(small_openid.push(claims=essential(**asked)))
    answer = answer_in(address)
    assert address.startswith(small_openid.insurer.redirect_uri)
    assert (answer["error"], answer["state"]) == ("unmet_authentication_requirements", "a state")


@pytest.mark.parametrize("asked", [{}, {"value": IDS}, {"values": ["other", IDS]}])
def test_an_essential_acr_that_is_there_is_told(small_openid: OpenIDWorld, asked: dict[str, Any]) -> None:
    small_openid.sign_in()
    tokens = small_openid.signed_in_at(claims=essential(**asked))
    assert small_openid.claims(tokens)["acr"] == IDS


def test_two_organisations_know_a_person_and_a_session_by_different_ids(small_openid: OpenIDWorld) -> None:
    world = small_openid
    world.sign_in()
    here = world.claims(world.signed_in_at())
    path = world.arrive(world.push(world.stranger), world.stranger)
    there = world.claims(world.redeemed(world.decide(path), world.stranger))
    assert here["sub"] != there["sub"]
    assert here["sid"] != there["sid"]
    again = world.claims(world.signed_in_at())
    assert (again["sub"], again["sid"]) == (here["sub"], here["sid"])


def test_user_rejects_authentication(small_openid: OpenIDWorld) -> None:
    small_openid.sign_in()
    answer = answer_in(small_openid.decide(small_openid.arrive(small_openid.push()), "deny"))
    assert (answer["error"], answer["state"]) == ("access_denied", "a state")
    assert "code" not in answer


def test_codereuse_kills_what_the_first_use_gave(openid: OpenIDWorld) -> None:
    openid.sign_in()
    address = openid.decide(openid.arrive(openid.push()))
    tokens = openid.redeemed(address)
    assert openid.userinfo(tokens).status_code == 200
    assert refused(openid.insurer.redeem(answer_in(address)["code"]), "invalid_grant")
    assert openid.userinfo(tokens).status_code == 401


def test_ensure_post_request_succeeds(small_openid: OpenIDWorld) -> None:
    world = small_openid
    world.sign_in()
    form = {"client_id": world.insurer.client_id, "request_uri": world.push().json()["request_uri"]}
    posted = world.browser.post("/authorize", data=form | {"extra": "no"})
    assert posted.status_code == 303
    assert "extra" not in posted.headers["Location"]
    opened = world.browser.get(posted.headers["Location"])
    assert "/recognise/" in opened.headers["Location"]
