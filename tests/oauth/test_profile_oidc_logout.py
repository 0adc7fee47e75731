"""Logout of clients of the profile `oidc`, as the certification plans ask for it, module by module."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from broker.installation import Installation
from broker.jobs.logging_out import tell_logouts
from broker.service_keys import OAUTH_KEY, OPENID_KEY
from tests.installation import ISSUER, Clock
from tests.oauth.logging_out import BACK, end_session, is_signed_in
from tests.oauth.logout_receiver import Receiver, receiving
from tests.oauth.openid_world import unsigned
from tests.oauth.plain_world import BASIC, PlainClient, PlainWorld, added, build_plain
from tests.oauth.world import answer_in
from vault.jose import generate_private_jwk, peek, sign_jwt, sign_with_jwk, verify_jwt


@dataclass
class Plan:
    """The world of a logout plan: two clients that hear of logouts, signed in for RS256 and for ES256."""

    world: PlainWorld
    receiver: Receiver
    client: PlainClient
    by_es256: PlainClient

    def logout_tokens(self, algorithm: str) -> list[dict[str, Any]]:
        """The claims of those that came signed by this algorithm, verified with the published keys."""
        keys = self.world.plain.http.get("/jwks").json()
        raw = [body.removeprefix("logout_token=") for _, body in self.receiver.bodies]
        return [
            verify_jwt(token, keys, algorithms=(algorithm,), typ="logout+jwt")[1]
            for token in raw
            if peek(token)[0]["alg"] == algorithm
        ]


@pytest.fixture
def plan(sqlite_installation: Installation, clock: Clock) -> Iterator[Plan]:
    server = sqlite_installation.settings.server.model_copy(update={"profile": "demo"})
    settings = sqlite_installation.settings.model_copy(update={"server": server})
    with receiving() as receiver:
        for world in build_plain(replace(sqlite_installation, settings=settings), clock):
            world.openid.sign_in()
            chosen: dict[str, Any] = {
                "post_logout_redirect_uris": (BACK,),
                "backchannel_logout_uri": receiver.url,
                "backchannel_logout_session_required": True,
            }
            client = added(world.openid, "plain-told", BASIC, **chosen)
            es256 = chosen | {"id_token_signed_response_alg": "ES256"}
            yield Plan(world, receiver, client, added(world.openid, "plain-es256", BASIC, **es256))


def test_oidcc_backchannel_rp_initiated_logout(plan: Plan) -> None:
    openid = plan.world.openid
    tokens = plan.world.tokens(plan.client)
    signed_in, other = plan.world.told(tokens), plan.world.told(plan.world.tokens(plan.by_es256), "ES256")
    answer = end_session(
        openid, id_token_hint=tokens["id_token"], post_logout_redirect_uri=BACK, state="s" * 128
    )
    assert answer.headers["location"] == f"{BACK}&state={'s' * 128}"
    assert tell_logouts(openid.installation, openid.clock()) == 2
    # Back-Channel Logout section 2.6: verified as the client verifies its ID tokens, so signed as they are.
    (claims,) = plan.logout_tokens("RS256")
    assert {name: claims[name] for name in ("iss", "aud", "sub", "sid", "events")} == {
        "iss": ISSUER,
        "aud": "plain-told",
        "sub": signed_in["sub"],
        "sid": signed_in["sid"],
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    }
    assert {"iat", "exp", "jti"} <= claims.keys()
    assert "nonce" not in claims
    (others,) = plan.logout_tokens("ES256")
    assert (others["aud"], others["sid"]) == ("plain-es256", other["sid"])
    # The plan's last step: the person is signed out, so nothing is answered without them.
    assert plan.world.refusal(plan.client, prompt="none")["error"] == "login_required"


def test_oidcc_rp_initiated_logout_bad_and_modified_id_token_hint(plan: Plan) -> None:
    openid = plan.world.openid
    claims = plan.world.told(plan.world.tokens(plan.client))
    keyring = openid.installation.keyring
    (rs256, *_), (es256, *_) = keyring.service_keys(OPENID_KEY), keyring.service_keys(OAUTH_KEY)
    foreign = generate_private_jwk("PS256") | {"alg": "RS256"}
    hints = {
        "alg none": unsigned(claims),
        "another key under our name": sign_with_jwk(
            claims, foreign, {"alg": "RS256", "typ": "JWT", "kid": rs256.kid}
        ),
        "a logout token": sign_jwt(claims, rs256.private_pem, kid=rs256.kid, typ="logout+jwt", alg="RS256"),
        "the name of another key": sign_jwt(claims, es256.private_pem, kid=rs256.kid, typ="JWT", alg="ES256"),
    }
    for name, hint in hints.items():
        answer = end_session(openid, id_token_hint=hint, post_logout_redirect_uri=BACK, state="s")
        assert (answer.status_code, "location" in answer.headers) == (400, False), name
    assert is_signed_in(openid)
    assert "code" in answer_in(plan.world.address(plan.client, prompt="none"))


def test_oidcc_rp_initiated_logout_discovery_endpoint_verification(plan: Plan) -> None:
    document = plan.world.plain.http.get("/.well-known/openid-configuration").json()
    assert document["end_session_endpoint"] == f"{ISSUER}/end_session"
    assert document["backchannel_logout_supported"] is True
    assert document["backchannel_logout_session_supported"] is True
