"""A client library that we did not write runs the whole flow against a running demo: requests-oauth2client.

The library does the protocol: PAR, PKCE, private_key_jwt, DPoP, the check of `iss`, tokens and pulls.
Only the citizen's clicks are ours.
"""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
import requests
from requests_oauth2client import (
    AuthorizationRequest,
    AuthorizationResponse,
    BearerToken,
    DPoPKey,
    DPoPToken,
    InvalidGrant,
    MismatchingIssuer,
    MismatchingState,
    MissingDPoPNonce,
    OAuth2AuthorizationCodeAuth,
    OAuth2Client,
    OAuth2ClientCredentialsAuth,
    OAuth2Error,
    PrivateKeyJwt,
)

from broker.demo.citizen import Citizen
from tests.flows.demos import RunningDemo

BILL = "health.medical_bill"
POLICY = "insurance.indemnity_policy"
DETAIL = "health.medical_bill_detail"
PATIENCE = 120


@dataclass(frozen=True)
class Third:
    """Another company's software at the demo's client, and a person in front of it."""

    demo: RunningDemo
    standard: OAuth2Client
    session: requests.Session
    came_back: "SimpleQueue[str]"

    def asks(self, **changes: Any) -> AuthorizationRequest:  # noqa: ANN401 - members of the details
        (detail,) = self.demo.client["authorization_details"]
        return self.standard.authorization_request(
            scope="records.read",
            dpop=True,
            authorization_details=json.dumps([detail | changes]),
            nonce=None,
        )

    def is_allowed(self, request: AuthorizationRequest) -> str:
        """Push the request and let the person agree; the address that their browser came back to."""
        pushed = self.standard.pushed_authorization_request(request)
        person = self.demo.announced["personas"][0]
        citizen = Citizen(self.demo.issuer, person["username"], person["password"])
        try:
            citizen.agree(str(pushed))
        finally:
            citizen.close()
        return self.came_back.get(timeout=PATIENCE)

    def answer(self) -> AuthorizationResponse:
        request = self.asks()
        return request.validate_callback(self.is_allowed(request))

    def stops(self, grant_id: str) -> None:
        person = self.demo.announced["personas"][0]
        citizen = Citizen(self.demo.issuer, person["username"], person["password"])
        try:
            citizen.stop(grant_id)
        finally:
            citizen.close()

    def pull(self, auth: requests.auth.AuthBase, key: str) -> requests.Response:
        address = f"{self.demo.issuer}/v1/deliveries"
        return self.session.post(address, auth=auth, headers={"Idempotency-Key": key}, timeout=PATIENCE)

    def is_refused(self, token: BearerToken, key: str) -> requests.Response:
        """A pull that ends in 401. The library takes each for a call for a nonce, and says so with it."""
        with pytest.raises(MissingDPoPNonce) as refused:
            self.pull(token, key)
        answer: requests.Response = refused.value.response
        assert (answer.status_code, bool(answer.content)) == (401, True)
        return answer


def set_up(demo: RunningDemo, session: requests.Session, key: object) -> OAuth2Client:
    """The library finds out by itself what the broker is like (RFC 8414)."""
    return OAuth2Client.from_discovery_endpoint(
        f"{demo.issuer}/.well-known/oauth-authorization-server",
        issuer=demo.issuer,
        auth=PrivateKeyJwt(demo.client["client_id"], key, aud=demo.issuer),
        redirect_uri=demo.client["redirect_uris"][1],
        dpop_bound_access_tokens=True,
        session=session,
        testing=True,
    )


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        yield opened


@pytest.fixture
def third(demo: RunningDemo, session: requests.Session) -> Iterator[Third]:
    (key,) = json.loads(Path(demo.client["private_jwks"]).read_text())["keys"]
    library = set_up(demo, session, key)
    came_back: SimpleQueue[str] = SimpleQueue()

    class Callback(BaseHTTPRequestHandler):
        addresses: ClassVar = came_back

        def do_GET(self) -> None:
            self.addresses.put(f"http://{self.headers['Host']}{self.path}")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    port = urlsplit(demo.client["redirect_uris"][1]).port
    with HTTPServer(("127.0.0.1", port or 0), Callback) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield Third(demo, library, session, came_back)
        server.shutdown()
        serving.join()


def test_over_asking_never_reaches_the_person(third: Third) -> None:
    (detail,) = third.demo.client["authorization_details"]
    for changes in (
        {"access": {**detail["access"], "max_pulls": 5}},
        {"items": [*detail["items"], {"record_type": "finance.payout_account", "mode": "document"}]},
        {"purpose": "insurance.marketing"},
        {"unheard_of": True},
    ):
        with pytest.raises(OAuth2Error) as refused:
            third.standard.pushed_authorization_request(third.asks(**changes))
        assert refused.value.response.json()["error"] == "invalid_authorization_details"


def test_another_softwares_key_is_refused(third: Third, session: requests.Session) -> None:
    stranger = set_up(third.demo, session, DPoPKey.generate().private_key.with_kid_thumbprint())
    with pytest.raises(OAuth2Error) as refused:
        stranger.client_credentials(scope="deliveries")
    assert refused.value.response.json()["error"] == "invalid_client"


def test_a_response_of_another_issuer_or_for_another_request_is_told(third: Third) -> None:
    request = third.asks()
    address = third.is_allowed(request)
    issuer = third.demo.issuer.replace(":", "%3A").replace("/", "%2F")
    assert issuer in address
    with pytest.raises(MismatchingIssuer):
        request.validate_callback(address.replace(issuer, "https%3A%2F%2Fmix-up.example"))
    with pytest.raises(MismatchingState):
        third.asks().validate_callback(address)


def test_a_code_is_good_once_and_its_second_use_ends_the_tokens(third: Third) -> None:
    answer = third.answer()
    token = third.standard.authorization_code(answer)
    with pytest.raises(InvalidGrant):
        third.standard.authorization_code(answer)
    assert third.is_refused(token, "k").json()["code"] == "token_revoked"


def test_a_stolen_token_opens_nothing(third: Third) -> None:
    token = third.standard.authorization_code(third.answer())
    thief = DPoPToken(access_token=token.access_token, _dpop_key=DPoPKey.generate())
    assert third.is_refused(thief, "k").json()["code"] == "invalid_token"
    bearer = third.session.post(
        f"{third.demo.issuer}/v1/deliveries",
        headers={"Authorization": f"Bearer {token.access_token}", "Idempotency-Key": "k"},
        timeout=PATIENCE,
    )
    assert (bearer.status_code, bearer.json()["code"]) == (401, "invalid_token")
    assert third.pull(token, "k").status_code == 200


def test_the_whole_flow(third: Third) -> None:
    token = third.standard.authorization_code(third.answer())
    assert (token.token_type, token.scope) == ("DPoP", "records.read")
    (granted,) = token.authorization_details
    assert granted["grant_id"] == token.grant_id
    assert [item["record_type"] for item in granted["items"]] == [BILL, POLICY, DETAIL]
    refreshed = third.standard.refresh_token(token)
    assert refreshed.access_token != token.access_token

    first = third.pull(refreshed, "first")
    assert first.status_code == 200
    taken = first.json()
    assert taken["grant_id"] == token.grant_id
    assert taken["records"][BILL]
    asked = set(granted["items"][0]["fields"])
    assert all(record["data"].keys() <= asked for record in taken["records"][BILL])

    assert third.pull(refreshed, "first").json() == taken
    second = third.pull(refreshed, "second")
    assert (second.status_code, second.json()["code"]) == (403, "no_place_left")

    assert third.standard.revoke_access_token(refreshed) is True
    assert third.is_refused(refreshed, "first").json()["code"] == "token_revoked"
    again = third.standard.refresh_token(token)
    assert third.standard.revoke_refresh_token(token) is True
    with pytest.raises(InvalidGrant):
        third.standard.refresh_token(token)
    third.stops(token.grant_id)
    assert third.is_refused(again, "first").status_code == 401


def test_the_librarys_own_auth_classes_pull_and_acknowledge(third: Third) -> None:
    auth = OAuth2AuthorizationCodeAuth(third.standard, third.answer())
    bills = third.session.get(f"{third.demo.issuer}/v1/records/{BILL}", auth=auth, timeout=PATIENCE)
    assert bills.status_code == 200
    assert bills.json()["records"].keys() == {BILL}
    own = OAuth2ClientCredentialsAuth(third.standard, scope="deliveries")
    address = f"{third.demo.issuer}/v1/deliveries/{bills.json()['delivery_id']}/ack"
    for _ in range(2):
        done = third.session.post(address, auth=own, timeout=PATIENCE)
        assert (done.status_code, done.json()["acknowledged"]) == (200, True)
    assert auth.token is not None
    assert third.is_refused(auth.token, "late").json()["code"] == "consent_fulfilled"


def test_after_the_person_stopped_it_nothing_opens(third: Third) -> None:
    token = third.standard.authorization_code(third.answer())
    third.stops(token.grant_id)
    assert third.is_refused(token, "k").json()["code"] == "consent_withdrawn"
    with pytest.raises(InvalidGrant):
        third.standard.refresh_token(token)
