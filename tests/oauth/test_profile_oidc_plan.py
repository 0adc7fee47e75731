"""Modules of the certification plans Basic and Config that the other files of the profile do not show."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from broker.installation import Installation
from tests.installation import ISSUER, Clock
from tests.oauth.plain_world import PlainWorld, build_plain
from tests.oauth.world import answer_in

DISCOVERY = "/.well-known/openid-configuration"
NOT_HAD = {"profile", "email", "address", "phone", "offline_access"}


@pytest.fixture
def plain(sqlite_installation: Installation, clock: Clock) -> Iterator[PlainWorld]:
    for world in build_plain(sqlite_installation, clock):
        world.openid.sign_in()
        yield world


def test_oidcc_discovery_endpoint_verification(plain: PlainWorld) -> None:
    answer = plain.plain.http.get(DISCOVERY)
    document = answer.json()
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert document["issuer"] == ISSUER
    assert document["response_types_supported"] == ["code"]
    assert document["subject_types_supported"] == ["pairwise"]
    assert "RS256" in document["id_token_signing_alg_values_supported"]
    assert "openid" in document["scopes_supported"]
    assert {"sub", "iss", "auth_time", "acr"} <= set(document["claims_supported"])
    assert document["code_challenge_methods_supported"] == ["S256"]
    endpoints = {name: value for name, value in document.items() if name.endswith(("_endpoint", "_uri"))}
    assert {"userinfo_endpoint", "authorization_endpoint", "token_endpoint", "jwks_uri"} <= endpoints.keys()
    assert all(value.startswith(f"{ISSUER}/") for value in endpoints.values())


def test_oidcc_server_the_key_set(plain: PlainWorld) -> None:
    keys = plain.plain.http.get("/jwks").json()["keys"]
    assert len({key["kid"] for key in keys}) == len(keys)
    for key in keys:
        assert {"d", "p", "q", "dp", "dq", "qi", "k"}.isdisjoint(key)
        members = ("n", "e") if key["kty"] == "RSA" else ("x", "y")
        for member in members:
            raw = key[member]
            assert base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4))
            assert "=" not in raw


def test_what_the_plan_skips_is_not_promised(plain: PlainWorld) -> None:
    """oidcc-scope-*, oidcc-refresh-token, oidcc-unsigned-request-object-supported-correctly-or-rejected…"""
    document = plain.plain.http.get(DISCOVERY).json()
    assert NOT_HAD.isdisjoint(document["scopes_supported"])
    assert "none" not in document["request_object_signing_alg_values_supported"]
    assert "none" not in document["id_token_signing_alg_values_supported"]
    assert document["request_uri_parameter_supported"] is False


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"scope": "openid profile"}, id="oidcc-scope-profile"),
        pytest.param({"scope": "openid profile email address phone"}, id="oidcc-scope-all"),
        pytest.param({"scope": "email openid"}, id="oidcc-ensure-other-scope-order-succeeds"),
        pytest.param({"scope": "openid offline_access", "prompt": "consent"}, id="oidcc-refresh-token"),
        pytest.param({"claims": '{"userinfo":{"name":{"essential":true}}}'}, id="oidcc-claims-essential"),
        pytest.param({"display": "page"}, id="oidcc-display-page"),
        pytest.param({"display": "popup"}, id="oidcc-display-popup"),
        pytest.param({"login_hint": "buffy@127.0.0.1"}, id="oidcc-login-hint"),
        pytest.param({"ui_locales": "se"}, id="oidcc-ui-locales"),
        pytest.param({"claims_locales": "se"}, id="oidcc-claims-locales"),
        pytest.param({"extra": "foobar"}, id="oidcc-ensure-request-with-unknown-parameter-succeeds"),
    ],
)
def test_it_succeeds_and_tells_no_claim_that_we_do_not_have(
    plain: PlainWorld, changes: dict[str, Any]
) -> None:
    tokens = plain.tokens(**changes)
    assert (tokens["scope"], tokens["token_type"], "refresh_token" in tokens) == ("openid", "Bearer", False)
    bearing = {"Authorization": f"Bearer {tokens['access_token']}"}
    told = plain.plain.http.get("/userinfo", headers=bearing).json()
    assert told == {"sub": plain.told(tokens)["sub"]}


def test_oidcc_ensure_request_with_acr_values_succeeds(plain: PlainWorld) -> None:
    supported = plain.plain.http.get(DISCOVERY).json()["acr_values_supported"]
    for asked in (" ".join(supported), "1 2"):
        assert plain.told(plain.tokens(acr_values=asked))["acr"] in supported


def test_token_answers_are_not_kept(plain: PlainWorld) -> None:
    """Core section 3.1.3.3."""
    answer = plain.plain.redeem(plain.code())
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "demand",
    [
        pytest.param({"prompt": "login"}, id="oidcc-prompt-login"),
        pytest.param({"max_age": "1"}, id="oidcc-max-age-1"),
    ],
)
def test_a_second_sign_in_is_demanded(plain: PlainWorld, demand: dict[str, Any]) -> None:
    first = plain.told(plain.tokens())
    plain.openid.clock.advance(timedelta(seconds=2))
    path = plain.address(**demand)
    page = plain.openid.browser.get(path)
    assert (page.status_code, "again=1" in page.headers["Location"]) == (303, True)
    plain.openid.sign_in(page=page.headers["Location"])
    code = answer_in(plain.openid.decide(path))["code"]
    second = plain.told(plain.plain.redeem(code).json())
    assert second["sub"] == first["sub"]
    assert second["auth_time"] > first["auth_time"]


def test_oidcc_max_age_10000(plain: PlainWorld) -> None:
    first = plain.told(plain.tokens(max_age="15000"))
    plain.openid.clock.advance(timedelta(seconds=30))
    second = plain.told(plain.tokens(max_age="10000"))  # nobody is asked to sign in
    assert (second["sub"], second["auth_time"]) == (first["sub"], first["auth_time"])


def test_oidcc_id_token_hint(plain: PlainWorld) -> None:
    tokens = plain.tokens()
    answer = answer_in(plain.address(prompt="none", id_token_hint=tokens["id_token"]))
    again = plain.told(plain.plain.redeem(answer["code"]).json())
    first = plain.told(tokens)
    assert (again["sub"], again["auth_time"]) == (first["sub"], first["auth_time"])
