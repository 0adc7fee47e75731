"""A broker that serves the profile `oidc` beside the others, and the software of two such clients."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote_plus

import httpx
import pytest
from httpx import Response

from broker.db import transaction
from broker.installation import Installation
from broker.oauth import clients
from broker.oauth.client_metadata import ClientMetadata, SecurityProfile
from broker.oauth.clients import ClientRegistration
from broker.oauth.errors import ClientInvalidError
from tests.installation import Clock
from tests.laid_keys import lay_openid_key
from tests.oauth.openid_world import OpenIDWorld, build
from tests.oauth.world import LEFT_OUT, answer_in, without_left_out
from vault.jose import verify_jwt

BASIC = "client_secret_basic"
POST = "client_secret_post"
REDIRECT_URI = "https://plain.example/cb"
WITH_QUERY = "https://plain.example/cb?foo=bar"


@dataclass
class PlainClient:
    """The software of a client of the profile `oidc` that has a secret."""

    http: httpx.Client
    client_id: str
    raw_secret: str = field(repr=False)
    method: str = BASIC
    redirect_uri: str = REDIRECT_URI

    def credentials(self, **changes: object) -> tuple[dict[str, str], dict[str, Any]]:
        """Headers and form members that the client proves itself with."""
        secret = str(changes.get("secret", self.raw_secret))
        if changes.get("method", self.method) == POST:
            return {}, {"client_id": self.client_id, "client_secret": secret}
        pair = f"{quote_plus(self.client_id)}:{quote_plus(secret)}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}, {}

    def post(self, path: str, form: Mapping[str, Any], **changes: object) -> Response:
        headers, proving = self.credentials(**changes)
        headers |= dict(changes.get("headers", {}))  # type: ignore[call-overload]
        return self.http.post(path, data=without_left_out({**proving, **form}), headers=headers)

    def request(self, **changes: object) -> dict[str, Any]:
        asked = {
            "client_id": self.client_id,
            "response_type": "code",
            "redirect_uri": self.redirect_uri,
            "scope": "openid",
            "state": "a state",
            "nonce": "n-0S6_WzA2Mj",
        }
        return without_left_out(asked | changes)

    def redeem(self, code: str, *, form: Mapping[str, Any] | None = None, **changes: object) -> Response:
        redeeming = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri}
        return self.post("/token", {**redeeming, **(form or {})}, **changes)


@dataclass
class PlainWorld:
    """The broker with everything of `OpenIDWorld`, and the plain clients."""

    openid: OpenIDWorld
    plain: PlainClient
    posting: PlainClient

    def arrive(self, client: PlainClient | None = None, **changes: object) -> Response:
        """The browser comes with a whole request."""
        used = client or self.plain
        answer: Response = self.openid.browser.get("/authorize", params=used.request(**changes))
        return answer

    def address(self, client: PlainClient | None = None, **changes: object) -> str:
        answer = self.arrive(client, **changes)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["Location"])

    def refusal(self, client: PlainClient | None = None, **changes: object) -> dict[str, str]:
        """What the client hears at its redirect URI."""
        address = self.address(client, **changes)
        assert address.startswith((client or self.plain).redirect_uri), address
        answer = answer_in(address)
        assert "code" not in answer
        return answer

    def code(self, client: PlainClient | None = None, **changes: object) -> str:
        """A fresh code; somebody is signed in already."""
        return answer_in(self.openid.decide(self.address(client, **changes)))["code"]

    def tokens(self, client: PlainClient | None = None, **changes: object) -> dict[str, Any]:
        used = client or self.plain
        answer = used.redeem(self.code(client, **changes))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def told(self, tokens: Mapping[str, Any], algorithm: str = "RS256") -> dict[str, Any]:
        """The claims of an ID token, verified with the published keys."""
        keys = self.plain.http.get("/jwks").json()
        _, claims = verify_jwt(tokens["id_token"], keys, algorithms=(algorithm,), typ="jwt")
        return claims


def served(bare: Installation, clock: Clock, *, oidc_clients: bool = True) -> Installation:
    """The installation with the profile on, and its RS256 key there."""
    oauth = bare.settings.oauth.model_copy(update={"oidc_clients": oidc_clients})
    lay_openid_key(bare, clock())
    return replace(bare, settings=bare.settings.model_copy(update={"oauth": oauth}))


def build_plain(bare: Installation, clock: Clock) -> Iterator[PlainWorld]:
    for openid in build(served(bare, clock), clock):
        plain = added(openid, "plain-basic", BASIC)
        posting = added(openid, "plain-post", POST)
        yield PlainWorld(openid, plain, posting)


def added(openid: OpenIDWorld, client_id: str, method: str, **metadata: object) -> PlainClient:
    """Register a client that has a secret."""
    new = registration(client_id, token_endpoint_auth_method=method, **metadata)
    is_demo = openid.installation.settings.server.profile == "demo"
    with transaction(openid.installation.data) as work:
        raw_secret = clients.add(
            work.session, new, is_loopback_allowed=is_demo, now=openid.clock(), oidc_clients=True
        )
    assert raw_secret is not None
    return PlainClient(openid.insurer.http, client_id, raw_secret, method)


def registration(client_id: str, *, jwks: Any = LEFT_OUT, **metadata: object) -> ClientRegistration:  # noqa: ANN401
    """A registration of the profile `oidc`."""
    members = {
        "client_id": client_id,
        "organisation_id": "insurer",
        "name": client_id,
        "jwks": jwks,
        "redirect_uris": (REDIRECT_URI, WITH_QUERY),
        "scope": "openid",
        "security_profile": SecurityProfile.OIDC,
        "metadata": ClientMetadata.model_validate(metadata),
    }
    return ClientRegistration.model_validate(without_left_out(members))


def faults(world: PlainWorld, new: ClientRegistration, *, oidc_clients: bool = True) -> set[str]:
    """Where a registration is at fault."""
    with transaction(world.openid.installation.data) as work, pytest.raises(ClientInvalidError) as caught:
        clients.add(
            work.session,
            new,
            is_loopback_allowed=False,
            now=world.openid.clock(),
            oidc_clients=oidc_clients,
        )
    return {path for path, _ in caught.value.faults}
