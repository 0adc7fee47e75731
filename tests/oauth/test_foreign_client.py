"""A client library that we did not write goes through the whole flow: requests-oauth2client."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
import requests
from requests.adapters import BaseAdapter
from requests_oauth2client import AuthorizationRequest, InvalidGrant, OAuth2Client, PrivateKeyJwt

from tests.installation import ISSUER
from tests.oauth.world import World, details


class InProcessAdapter(BaseAdapter):
    """Lets `requests` talk to the app of this test."""

    def __init__(self, http: httpx.Client) -> None:
        super().__init__()
        self._http = http

    def send(self, request: requests.PreparedRequest, *_: object, **__: object) -> requests.Response:
        assert isinstance(request.method, str)
        assert isinstance(request.url, str)
        assert isinstance(request.body, str | None)
        headers = {name: str(value) for name, value in request.headers.items()}
        sent = self._http.request(request.method, request.url, content=request.body, headers=headers)
        answer = requests.Response()
        answer.status_code, answer._content, answer.url = sent.status_code, sent.content, request.url
        answer.headers.update(sent.headers)
        answer.request = request
        return answer

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def library(world: World) -> Iterator[OAuth2Client]:
    world.clock.now = datetime.now(UTC)  # the library has a clock of its own
    session = requests.Session()
    session.mount(ISSUER, InProcessAdapter(world.http))
    yield OAuth2Client.from_discovery_document(
        session.get(f"{ISSUER}/.well-known/oauth-authorization-server").json(),
        issuer=ISSUER,
        auth=PrivateKeyJwt(world.insurer.client_id, world.insurer.key, aud=ISSUER),
        redirect_uri=world.insurer.redirect_uri,
        session=session,
        dpop_bound_access_tokens=True,
        testing=True,
    )
    session.close()


def asked(world: World) -> dict[str, Any]:
    """Details whose window begins now: the library cannot be told another time."""
    now, end = world.clock(), world.clock() + timedelta(days=30)
    window = {"kind": "once", "max_pulls": 1, "valid_from": now.isoformat(), "valid_until": end.isoformat()}
    past = {"from": str(now.date() - timedelta(days=100)), "to": str(now.date())}
    return details(access=window, data_period=past)


def request_of(world: World, library: OAuth2Client) -> AuthorizationRequest:
    return library.authorization_request(
        scope="records.read",
        dpop=True,
        authorization_details=orjson.dumps([asked(world)]).decode(),
        nonce=None,
    )


def test_the_whole_flow(world: World, library: OAuth2Client) -> None:
    request = request_of(world, library)
    pushed = library.pushed_authorization_request(request)
    opened = world.http.get(str(pushed))
    assert opened.status_code == 303
    address = world.agree(opened.headers["Location"].rpartition("/")[2])
    answer = request.validate_callback(address)
    token = library.authorization_code(answer)
    assert token.token_type == "DPoP"
    assert token.scope == "records.read"
    assert token.authorization_details[0]["grant_id"] == token.grant_id
    refreshed = library.refresh_token(token)
    assert refreshed.access_token != token.access_token
    assert library.revoke_refresh_token(token) is True
    with pytest.raises(InvalidGrant):
        library.refresh_token(token)


def test_a_token_of_its_own(library: OAuth2Client) -> None:
    token = library.client_credentials(scope="deliveries")
    assert (token.token_type, token.scope) == ("DPoP", "deliveries")
