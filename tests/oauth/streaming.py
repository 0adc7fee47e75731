"""Clients of the profile `oidc` with an event stream: what they ask tokens with, and what they send."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from httpx import Response

from broker.db import transaction
from broker.installation import Installation
from broker.oauth import clients
from tests.installation import Clock
from tests.oauth.plain_world import BASIC, PlainClient, registration

SSF = "ssf ssf.read"


@dataclass
class StreamClient:
    """The software of such a client, which sends its token as the conformance suite does: as `Bearer`."""

    plain: PlainClient

    @property
    def client_id(self) -> str:
        return self.plain.client_id

    def ask(self, scope: str | None = "ssf", **changes: Any) -> Response:  # noqa: ANN401
        """Ask for a token of its own."""
        form = {"grant_type": "client_credentials", **({} if scope is None else {"scope": scope})}
        return self.plain.post("/token", form, **changes)

    def token(self, scope: str = "ssf") -> str:
        """A fresh token that is bound to nothing."""
        answer = self.ask(scope)
        assert (answer.status_code, answer.json()["token_type"]) == (200, "Bearer"), answer.text
        return str(answer.json()["access_token"])

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        bearing = {"Authorization": f"Bearer {token or self.token()}"} | dict(headers or {})
        return self.plain.http.request(method, path, json=body, headers=bearing)


def streaming(
    installation: Installation,
    clock: Clock,
    http: httpx.Client,
    client_id: str,
    *,
    scope: str = SSF,
    method: str = BASIC,
    **metadata: object,
) -> StreamClient:
    """Register a client that has an event stream and nothing else: no redirect URI, no keys."""
    new = registration(client_id, token_endpoint_auth_method=method, **metadata)
    new = new.model_copy(update={"scope": scope, "redirect_uris": ()})
    with transaction(installation.data) as work:
        raw_secret = clients.add(work.session, new, is_loopback_allowed=False, now=clock(), oidc_clients=True)
    assert raw_secret is not None
    return StreamClient(PlainClient(http, client_id, raw_secret, method))
