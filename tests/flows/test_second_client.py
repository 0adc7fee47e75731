"""A second client library that we did not write runs the whole flow against a running demo: idpyoidc.

It shares no code with the first (requests-oauth2client) or with the server (Authlib): its tokens and proofs
are cryptojwt's. Where version 5.0.0 does not follow a specification we help it out, as little as can be,
through what it lets its users replace; each such place says why. The citizen's clicks are ours, too.
"""

# mypy: disable-error-code="import-untyped", allow-subclassing-any
# The library ships no types.

import json
import threading
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptojwt import KeyJar
from cryptojwt.jwt import JWT
from cryptojwt.key_bundle import key_by_alg
from cryptojwt.utils import b64e
from idpyoidc.client.client_auth import PrivateKeyJWT
from idpyoidc.client.exception import OidcServiceError
from idpyoidc.client.oauth2.add_on.dpop import DPoPClientAuth, DPoPProof, dpop_header
from idpyoidc.client.oauth2.stand_alone_client import StandAloneClient
from idpyoidc.client.service import Service
from idpyoidc.message.oauth2 import AuthorizationRequest, JWTSecuredAuthorizationRequest, is_error_message
from idpyoidc.util import rndstr

from broker.demo.citizen import Citizen
from tests.flows.demos import RunningDemo

BILL = "health.medical_bill"
POLICY = "insurance.indemnity_policy"
DETAIL = "health.medical_bill_detail"
PATIENCE = 120
ALGORITHM = "ES256"
OAUTH2 = "idpyoidc.client.oauth2"


class AssertionForIssuer(PrivateKeyJWT):
    """The library's private_key_jwt, but `aud` is a string.

    Its own assertion puts the audience into a list of one, whatever it is given. FAPI 2.0 Security Profile,
    section 5.3.2.1, takes the issuer as a string only. It also takes any assertion that it is handed, so
    it gets one that its own JWT library has signed.
    """

    def construct(self, request: Any, service: Any = None, http_args: Any = None, **rest: Any) -> Any:  # noqa: ANN401 - the library's signature
        context = service.upstream_get("context")
        client_id = context.get_client_id()
        signer = JWT(key_jar=context.keyjar, iss=client_id, lifetime=60, sign_alg=ALGORITHM)
        assertion = signer.pack({"sub": client_id, "aud": context.issuer, "jti": rndstr(32)})
        return super().construct(request, service, http_args, client_assertion=assertion, **rest)


class PushedAuthorization(Service):
    """The push as one more of the library's services, which authenticates, proves, sends and reads it.

    Its add-on for this (oauth2.add_on.par) takes no answer but 200, where RFC 9126, section 2.2, has 201,
    and sends everything as a signed request object, which a server need not support (section 3).
    """

    msg_type = AuthorizationRequest
    endpoint_name = "pushed_authorization_request_endpoint"
    service_name = "pushed_authorization"
    http_method = "POST"


def push(request_args: Any, service: Any, **_: object) -> Any:  # noqa: ANN401 - the library's messages
    """What that add-on does beside: swap the parameters of an authorization request for a request_uri."""
    pushed = service.upstream_get("unit").do_request("pushed_authorization", request_args=dict(request_args))
    if is_error_message(pushed):
        raise OidcServiceError(pushed["error"])
    named = {name: request_args[name] for name in request_args.required_parameters()}
    return JWTSecuredAuthorizationRequest(request_uri=pushed["request_uri"], **named)


def proof_with_token(context: Any, headers: Any, token: str, **rest: Any) -> Any:  # noqa: ANN401 - the library's signature
    """The library's proof, but `ath` is the hash in base64url (RFC 9449, section 4.2); it writes hex."""
    headers = dpop_header(context, headers=headers, **rest)
    proof = DPoPProof().verify_header(headers["dpop"])
    proof["ath"] = b64e(sha256(token.encode()).digest()).decode()
    proof.key = context.add_on["dpop"]["key"]
    return headers | {"dpop": proof.create_header()}


def settings_of(demo: RunningDemo) -> dict[str, Any]:
    """All that the library is told; the rest it finds out from the broker's metadata (RFC 8414)."""
    by_key = {
        "default_authn_method": "private_key_jwt",
        "client_authn_methods": {"private_key_jwt": AssertionForIssuer},
    }
    by_token = {
        "default_authn_method": "dpop_client_auth",
        "client_authn_methods": {"dpop_client_auth": DPoPClientAuth},
    }
    pkce = {"code_challenge_length": 64, "code_challenge_method": "S256"}
    proven = ["pushed_authorization", "accesstoken", "refresh_token"]
    dpop = {"dpop_signing_alg_values_supported": [ALGORITHM], "with_dpop_header": proven}
    return {
        "client_id": demo.client["client_id"],
        "issuer": demo.issuer,
        "redirect_uris": [demo.client["redirect_uris"][1]],
        "response_types_supported": ["code"],
        "scope": ["records.read"],
        "services": {
            "metadata": {"class": f"{OAUTH2}.server_metadata.ServerMetadata"},
            "push": {"class": PushedAuthorization, "kwargs": deepcopy(by_key)},
            "authorization": {"class": f"{OAUTH2}.authorization.Authorization"},
            "token": {"class": f"{OAUTH2}.access_token.AccessToken", "kwargs": deepcopy(by_key)},
            "refresh": {
                "class": f"{OAUTH2}.refresh_access_token.RefreshAccessToken",
                "kwargs": deepcopy(by_key),
            },
            "revocation": {"class": f"{OAUTH2}.token_revocation.TokenRevocation", "kwargs": deepcopy(by_key)},
            "resource": {"class": f"{OAUTH2}.resource.Resource", "kwargs": by_token},
        },
        "add_ons": {
            "pkce": {"function": f"{OAUTH2}.add_on.pkce.add_support", "kwargs": pkce},
            "dpop": {"function": f"{OAUTH2}.add_on.dpop.add_support", "kwargs": dpop},
        },
    }


def set_up(demo: RunningDemo, keys: dict[str, Any]) -> StandAloneClient:
    keyjar = KeyJar()
    keyjar.import_jwks(keys, "")
    library = StandAloneClient(config=settings_of(demo), keyjar=keyjar)
    library.get_service("authorization").post_construct.append(push)
    library.get_service("resource").construct_extra_headers.append(proof_with_token)
    assert library.do_provider_info() == demo.issuer
    library.do_client_registration()
    return library


@dataclass(frozen=True)
class Software:
    """A recipient's software, built on the library, and a person in front of it."""

    demo: RunningDemo
    rp: StandAloneClient
    came_back: "SimpleQueue[str]"

    def link(self, **changes: Any) -> str:  # noqa: ANN401 - members of the details
        """Where the person is sent, after the push."""
        (detail,) = self.demo.client["authorization_details"]
        asked = {"authorization_details": json.dumps([detail | changes])}
        return str(self.rp.init_authorization(req_args=asked))

    def is_allowed(self) -> str:
        """The person agrees; the state under which the library keeps what it got."""
        person = self.person()
        try:
            person.agree(self.link())
        finally:
            person.close()
        came_back = urlsplit(self.came_back.get(timeout=PATIENCE))
        answer = self.rp.finalize_auth(dict(parse_qsl(came_back.query)))
        assert answer["iss"] == self.demo.issuer  # RFC 9207: the library compares it, if it is there
        return str(answer["state"])

    def stops(self, grant_id: str) -> None:
        person = self.person()
        try:
            person.stop(grant_id)
        finally:
            person.close()

    def person(self) -> Citizen:
        told = self.demo.announced["personas"][0]
        return Citizen(self.demo.issuer, told["username"], told["password"])

    def prepare_pull(self, state: str) -> dict[str, Any]:
        """A request that is ready to be sent, with its proof."""
        address = f"{self.demo.issuer}/v1/records"
        prepared: dict[str, Any] = self.rp.get_service("resource").get_request_parameters(
            state=state, endpoint=address
        )
        return prepared

    def send(self, service: str, prepared: dict[str, Any]) -> dict[str, Any]:
        """The answer; of a refusal, with its status as `status_code`."""
        answer = self.rp.service_request(self.rp.get_service(service), **prepared)
        return dict(answer.to_dict())

    def pull(self, state: str) -> dict[str, Any]:
        return self.send("resource", self.prepare_pull(state))

    def takes_another_key(self) -> None:
        self.rp.get_context().add_on["dpop"]["key"] = key_by_alg(ALGORITHM)

    def revoke(self, token: str, hint: str) -> None:
        """Asks for the bare text of the answer ("html"), of which RFC 7009, section 2.2, says to ignore it.

        The library would take an empty object for no answer at all; a refusal is never bare text.
        """
        asked = {"token": token, "token_type_hint": hint}
        answer = self.rp.do_request("token_revocation", request_args=asked, response_body_type="html")
        assert isinstance(answer, str)


def is_refused(answer: dict[str, Any], status: int, code: str) -> bool:
    return (answer["status_code"], answer.get("code", answer.get("error"))) == (status, code)


@pytest.fixture
def software(demo: RunningDemo) -> Iterator[Software]:
    library = set_up(demo, json.loads(Path(demo.client["private_jwks"]).read_text()))
    came_back: SimpleQueue[str] = SimpleQueue()

    class Callback(BaseHTTPRequestHandler):
        addresses: ClassVar = came_back

        def do_GET(self) -> None:
            self.addresses.put(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    port = urlsplit(demo.client["redirect_uris"][1]).port
    with HTTPServer(("127.0.0.1", port or 0), Callback) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield Software(demo, library, came_back)
        server.shutdown()
        serving.join()


def test_over_asking_never_reaches_the_person(software: Software) -> None:
    with pytest.raises(OidcServiceError) as refused:
        software.link(purpose="insurance.marketing")
    assert refused.value.args == ("invalid_authorization_details",)


def test_another_softwares_key_pushes_nothing(software: Software) -> None:
    stranger = set_up(software.demo, {"keys": [key_by_alg(ALGORITHM).serialize(private=True)]})
    with pytest.raises(OidcServiceError) as refused:
        Software(software.demo, stranger, software.came_back).link()
    assert refused.value.args == ("invalid_client",)


def test_a_code_is_of_no_use_with_another_key_than_pushed(software: Software) -> None:
    state = software.is_allowed()
    software.takes_another_key()
    with pytest.raises(OidcServiceError) as refused:
        software.rp.get_tokens(state)
    assert refused.value.args == ("invalid_grant",)


def test_a_token_is_of_no_use_with_another_key(software: Software) -> None:
    state = software.is_allowed()
    software.rp.get_tokens(state)
    software.takes_another_key()
    assert is_refused(software.pull(state), 401, "invalid_token")
    # A refresh token of a client that signs in is bound to the client, not to the key (RFC 9449, section 5).
    software.rp.refresh_access_token(state)
    assert software.pull(state)["records"][BILL]


def test_a_proof_is_good_once_at_the_resource(software: Software) -> None:
    state = software.is_allowed()
    software.rp.get_tokens(state)
    prepared = software.prepare_pull(state)
    assert software.send("resource", prepared)["records"][BILL]
    assert is_refused(software.send("resource", prepared), 401, "invalid_dpop_proof")


def test_a_proof_is_good_once_at_the_token_endpoint(software: Software) -> None:
    state = software.is_allowed()
    software.rp.get_tokens(state)
    service = software.rp.get_service("refresh_token")
    first, second = (service.get_request_parameters(state=state) for _ in range(2))
    replayed = second | {"headers": second["headers"] | {"dpop": first["headers"]["dpop"]}}
    assert software.send("refresh_token", first)["token_type"] == "DPoP"
    assert is_refused(software.send("refresh_token", replayed), 400, "invalid_dpop_proof")


def test_the_librarys_own_hash_of_a_token_is_refused(software: Software) -> None:
    """Once this fails, the library has mended it, or we accept what RFC 9449 does not allow."""
    state = software.is_allowed()
    software.rp.get_tokens(state)
    software.rp.get_service("resource").construct_extra_headers[:] = [dpop_header]
    assert is_refused(software.pull(state), 401, "invalid_dpop_proof")


def test_the_whole_flow(software: Software) -> None:
    state = software.is_allowed()
    token = software.rp.get_tokens(state)
    assert (token["token_type"], token["scope"]) == ("DPoP", ["records.read"])
    (granted,) = token["authorization_details"]
    assert granted["grant_id"] == token["grant_id"]
    assert [item["record_type"] for item in granted["items"]] == [BILL, POLICY, DETAIL]
    refreshed = software.rp.refresh_access_token(state)
    assert refreshed["access_token"] != token["access_token"]

    taken = software.pull(state)
    assert taken["grant_id"] == token["grant_id"]
    assert taken["records"].keys() == {BILL, POLICY, DETAIL}
    asked = set(granted["items"][0]["fields"])
    assert all(record["data"].keys() <= asked for record in taken["records"][BILL])
    assert is_refused(software.pull(state), 403, "no_place_left")

    software.revoke(refreshed["access_token"], "access_token")
    assert is_refused(software.pull(state), 401, "token_revoked")
    software.rp.refresh_access_token(state)
    assert is_refused(software.pull(state), 403, "no_place_left")
    software.revoke(token["refresh_token"], "refresh_token")
    with pytest.raises(OidcServiceError, match="invalid_grant"):
        software.rp.refresh_access_token(state)


def test_after_the_person_stopped_it_nothing_opens(software: Software) -> None:
    state = software.is_allowed()
    token = software.rp.get_tokens(state)
    software.stops(token["grant_id"])
    assert is_refused(software.pull(state), 401, "consent_withdrawn")
    with pytest.raises(OidcServiceError, match="invalid_grant"):
        software.rp.refresh_access_token(state)
