"""The tokens by which a client of the profile `oidc` keeps an event stream: bound to nothing, for no more."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from broker.app import create_app
from broker.db import transaction
from broker.installation import Installation
from broker.oauth import clients
from broker.oauth.client_metadata import ClientMetadata, SecurityProfile
from broker.oauth.models import Token
from broker.oauth.self_check.findings import Verdict
from broker.oauth.self_check.report import client_findings
from broker.oauth.tokens import hash_of
from consent.models import Organisation
from tests.installation import ISSUER, Clock
from tests.oauth.by_certificate import INSURER, OTHER, opened, passed_on
from tests.oauth.conftest import registration
from tests.oauth.plain_world import POST, PlainClient, PlainWorld, build_plain, faults, served
from tests.oauth.plain_world import registration as plain_registration
from tests.oauth.streaming import SSF, StreamClient, streaming
from tests.oauth.transport import serving
from tests.oauth.world import Recipient, access_token_hash, refused
from tests.signals.receiver import PUSH
from vault.jose import generate_private_jwk, public_jwk

DPOP = 'DPoP algs="ES256 PS256 EdDSA Ed25519"'
STREAM = "/ssf/stream"


@dataclass
class Streams:
    """The broker with everything of `PlainWorld`, a stream's client of each profile, and their keys."""

    world: PlainWorld
    plain: StreamClient
    fapi: Recipient

    @property
    def installation(self) -> Installation:
        return self.world.openid.installation

    @property
    def clock(self) -> Clock:
        return self.world.openid.clock

    def proving(
        self, token: str, method: str = "GET", path: str = STREAM, by: Recipient | None = None
    ) -> int:
        """What a request with this token and a proof is answered."""
        proof = (by or self.fapi).proof(path, htm=method, ath=access_token_hash(token))
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof, "Idempotency-Key": "one"}
        return self.fapi.http.request(method, path, headers=headers).status_code

    def bound(self) -> str:
        """A token of the plain client that is bound to the other one's key."""
        answer = self.plain.ask(headers={"DPoP": self.fapi.proof("/token")})
        assert (answer.status_code, answer.json()["token_type"]) == (200, "DPoP")
        return str(answer.json()["access_token"])

    def fapi_token(self) -> str:
        answer = self.fapi.own_token(scope="ssf")
        assert (answer.status_code, answer.json()["token_type"]) == (200, "DPoP"), answer.text
        return str(answer.json()["access_token"])


def made(bare: Installation, clock: Clock) -> Iterator[Streams]:
    for world in build_plain(bare, clock):
        openid = world.openid
        fapi = Recipient(openid.insurer.http, clock, "insurer-streams", openid.insurer.redirect_uri)
        with transaction(openid.installation.data) as work:
            new = registration(fapi, "insurer").model_copy(update={"scope": "ssf deliveries"})
            clients.add(work.session, new, is_loopback_allowed=False, now=clock())
        plain = streaming(openid.installation, clock, openid.insurer.http, "plain-streams")
        yield Streams(world, plain, fapi)


@pytest.fixture
def streams(sqlite_installation: Installation, clock: Clock) -> Iterator[Streams]:
    yield from made(sqlite_installation, clock)


@pytest.fixture
def on_each(installation: Installation, clock: Clock) -> Iterator[Streams]:
    yield from made(installation, clock)


@contextmanager
def switched_off(streams: Streams) -> Iterator[Streams]:
    """The same databases, once the operator has taken the setting back and started the broker again."""
    off = served(streams.installation, streams.clock, oidc_clients=False)
    with serving(create_app(off), ISSUER) as http:
        plain = streams.plain.plain
        client = StreamClient(PlainClient(http, plain.client_id, plain.raw_secret))
        fapi = Recipient(http, streams.clock, streams.fapi.client_id, "", key=streams.fapi.key)
        fapi.dpop_key = streams.fapi.dpop_key
        yield Streams(streams.world, client, fapi)


# What it does not get


def test_a_client_of_fapi_2_gets_no_token_without_a_proof(streams: Streams) -> None:
    for scope in ("ssf", "deliveries"):
        assert refused(streams.fapi.own_token(scope=scope, proofs=[]), "invalid_request")
    token = streams.fapi_token()
    for path in (STREAM, "/ssf/status?stream_id=x", "/v1/obligations"):
        assert streams.plain.call("GET", path, token=token).status_code == 401
    assert streams.proving(token) == 200


def test_a_token_of_fapi_2_is_none_of_these_even_if_it_were_stored_so(streams: Streams) -> None:
    token = streams.fapi_token()
    with transaction(streams.installation.data) as work:
        row = work.session.get_one(Token, hash_of(token))
        row.cnf = "none"
        work.session.add(row)
    assert streams.plain.call("GET", STREAM, token=token).status_code == 401


def test_a_bound_token_is_never_taken_without_its_proof(on_each: Streams) -> None:
    token = on_each.bound()
    answer = on_each.plain.call("GET", STREAM, token=token)
    assert answer.status_code == 401
    assert answer.headers.get_list("WWW-Authenticate") == ['Bearer error="invalid_token"', DPOP]
    assert on_each.proving(token, by=on_each.world.openid.insurer) == 401  # a proof by another key
    assert on_each.proving(token) == 200
    always = streaming(
        on_each.installation,
        on_each.clock,
        on_each.fapi.http,
        "always-bound",
        dpop_bound_access_tokens=True,
    )
    assert refused(always.ask(), "invalid_request")


def test_no_proof_proves_a_token_that_is_bound_to_nothing(streams: Streams) -> None:
    token = streams.plain.token()
    assert streams.proving(token) == 401
    assert streams.plain.call("GET", STREAM, token=token).status_code == 200


def test_with_the_setting_off_what_was_given_before_opens_nothing(on_each: Streams) -> None:
    unbound, bound = on_each.plain.token(), on_each.bound()
    assert on_each.world.openid.insurer.introspect(unbound).json()["active"] is True
    with switched_off(on_each) as off:
        answer = off.plain.call("GET", STREAM, token=unbound)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
        assert answer.headers.get_list("WWW-Authenticate")[0].startswith("DPoP ")
        assert len(answer.headers.get_list("WWW-Authenticate")) == 1
        assert (off.proving(unbound), off.proving(bound)) == (401, 401)
        assert refused(off.plain.ask(), "invalid_client")
        for token in (unbound, bound):
            assert off.fapi.introspect(token).json() == {"active": False}
        assert off.proving(off.fapi_token()) == 200
        resource = off.fapi.http.get("/.well-known/oauth-protected-resource").json()
        assert resource["dpop_bound_access_tokens_required"] is True
    assert on_each.plain.call("GET", STREAM, token=unbound).status_code == 200


def test_with_the_setting_off_it_is_unknown_with_an_assertion_too(streams: Streams) -> None:
    software, unbound = asserting(streams), streams.plain.token()
    assert software.introspect(unbound).json()["active"] is True
    with switched_off(streams) as off:
        gone = Recipient(off.fapi.http, streams.clock, software.client_id, "", key=software.key)
        assert gone.introspect(unbound).status_code == 401
        assert refused(gone.own_token(scope="ssf", proofs=[]), "invalid_client")


@pytest.mark.parametrize(
    "scope", ["deliveries", "obligations", "deals", "emergency", "grant_management_query", "records.read"]
)
def test_everything_else_stays_closed_to_it(streams: Streams, scope: str) -> None:
    new = plain_registration("new-client", token_endpoint_auth_method=POST)
    assert "scope" in faults(streams.world, new.model_copy(update={"scope": f"ssf {scope}"}))
    for asked in (scope, f"ssf {scope}", "openid"):
        assert refused(streams.plain.ask(asked), "invalid_scope")


def test_a_client_for_a_sign_in_has_no_stream(streams: Streams) -> None:
    form = {"grant_type": "client_credentials", "scope": "ssf"}
    assert refused(streams.world.plain.post("/token", form), "unauthorized_client")


def test_its_tokens_open_nothing_but_streams(streams: Streams) -> None:
    token = streams.plain.token("ssf ssf.read")
    for method, path in (
        ("GET", "/userinfo"),
        ("POST", "/v1/deliveries"),
        ("GET", "/v1/records/health.medical_bill"),
        ("GET", "/v1/obligations"),
        ("POST", "/v1/deals"),
        ("POST", "/v1/holders/records"),
        ("GET", "/grants/anything"),
        ("DELETE", "/grants/anything"),
    ):
        answer = streams.plain.call(method, path, token=token, headers={"Idempotency-Key": "one"})
        assert answer.status_code == 401, path
        assert streams.proving(token, method, path) == 401, path
    assert streams.plain.call("GET", STREAM, token=token).status_code == 200


def test_what_only_shows_the_stream_changes_nothing(on_each: Streams) -> None:
    """openid-ssf-stream-control-error-create-stream-with-read-only-token."""
    client, reading = on_each.plain, on_each.plain.token("ssf.read")
    made = client.call("POST", STREAM, {}, token=reading)
    assert (made.status_code, made.json()["code"]) == (403, "insufficient_scope")
    assert made.headers.get_list("WWW-Authenticate") == ['Bearer error="insufficient_scope"']
    stream_id = client.call("POST", STREAM, {}).json()["stream_id"]
    named = {"stream_id": stream_id}
    for method, path, body in (
        ("PATCH", STREAM, named),
        ("PUT", STREAM, named),
        ("DELETE", f"{STREAM}?stream_id={stream_id}", None),
        ("POST", "/ssf/status", named | {"status": "paused"}),
        ("POST", "/ssf/verify", named),
        ("POST", "/ssf/subjects/add", named),
        ("POST", "/ssf/subjects/remove", named),
        ("POST", f"/ssf/poll/{stream_id}", {}),
    ):
        assert client.call(method, path, body, token=reading).status_code == 403, (method, path)
    for path in (STREAM, f"{STREAM}?stream_id={stream_id}", f"/ssf/status?stream_id={stream_id}"):
        assert client.call("GET", path, token=reading).status_code == 200, path


def test_who_may_only_look_does_not_see_what_our_pushes_prove_themselves_with(on_each: Streams) -> None:
    client, reading = on_each.plain, on_each.plain.token("ssf.read")
    told = {"method": PUSH, "endpoint_url": "https://receiver.example/events"}
    secret = {"authorization_header": "Bearer of-the-receiver"}
    made = client.call("POST", STREAM, {"delivery": told | secret}).json()
    assert made["delivery"] == told | secret
    named = f"{STREAM}?stream_id={made['stream_id']}"
    assert client.call("GET", named).json() == made
    assert client.call("GET", named, token=reading).json() == made | {"delivery": told}
    assert client.call("GET", STREAM, token=reading).json() == [made | {"delivery": told}]


def test_a_token_of_a_person_is_not_the_clients_own(streams: Streams) -> None:
    streams.world.openid.sign_in()
    token = streams.world.tokens()["access_token"]
    assert streams.plain.call("GET", STREAM, token=token).status_code == 401
    assert streams.plain.call("GET", "/userinfo", token=token).status_code == 200


def test_a_token_ends_with_its_time_by_being_given_back_and_with_its_client(on_each: Streams) -> None:
    client, data = on_each.plain, on_each.installation.data
    late, back, last = (client.token() for _ in range(3))
    assert client.plain.post("/revoke", {"token": back}).status_code == 200
    assert client.call("GET", STREAM, token=back).status_code == 401
    assert client.call("GET", STREAM, token=late).status_code == 200
    with transaction(data) as work:
        organisation = work.session.get_one(Organisation, "insurer")
        organisation.status = "suspended"
        work.session.add(organisation)
    assert client.call("GET", STREAM, token=last).status_code == 401
    with transaction(data) as work:
        organisation = work.session.get_one(Organisation, "insurer")
        organisation.status = "active"
        work.session.add(organisation)
    assert client.call("GET", STREAM, token=last).status_code == 200
    on_each.clock.advance(timedelta(seconds=301))
    assert client.call("GET", STREAM, token=late).status_code == 401
    fresh = client.token()
    with transaction(data) as work:
        clients.suspend(work.session, client.client_id)
    assert client.call("GET", STREAM, token=fresh).status_code == 401
    assert refused(client.ask(), "invalid_client")


def test_a_token_in_the_address_or_the_body_is_refused(streams: Streams) -> None:
    """openid-ssf-stream-control-error-token-in-uri-query."""
    token, http = streams.plain.token(), streams.plain.plain.http
    for headers in ({}, {"Authorization": f"Bearer {token}"}):
        answer = http.get(STREAM, params={"access_token": token}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert token not in answer.text
    assert http.post(STREAM, data={"access_token": token}).status_code == 401
    assert http.post(STREAM, json={"access_token": token}).status_code == 401


@pytest.mark.parametrize("path", [STREAM, "/ssf/status?stream_id=x", "/ssf/poll/x"])
def test_a_challenge_names_both_schemes(streams: Streams, path: str) -> None:
    """openid-ssf-stream-control-error-read-stream-without-token, RFC 6750 sections 3 and 3.1."""
    http = streams.plain.plain.http
    method = "POST" if "poll" in path else "GET"
    bare = http.request(method, path)
    assert bare.status_code == 401
    first, *others = bare.headers.get_list("WWW-Authenticate")
    assert (first, [one.partition(" ")[0] for one in others]) == ("Bearer", ["DPoP"])
    token = streams.plain.token()
    for wrong in ("invalid:1", token + "x", token[:-1]):
        answer = http.request(method, path, headers={"Authorization": f"Bearer {wrong}"})
        assert answer.status_code == 401
        assert answer.headers.get_list("WWW-Authenticate") == ['Bearer error="invalid_token"', DPOP]
    twice = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
    assert http.request(method, path, headers=twice).status_code == 401
    elsewhere = http.get("/v1/obligations", headers={"Authorization": f"Bearer {token}"})
    assert [one.partition(" ")[0] for one in elsewhere.headers.get_list("WWW-Authenticate")] == ["DPoP"]


def test_where_certificates_are_taken_too_a_bound_token_stays_with_its_own(
    sqlite_installation: Installation, clock: Clock
) -> None:
    for counter in opened(served(sqlite_installation, clock), clock):
        http = counter.office.http
        client = streaming(
            counter.installation,
            clock,
            http,
            "by-certificate",
            tls_client_certificate_bound_access_tokens=True,
        )
        assert refused(client.ask(), "invalid_request")
        given = client.ask(headers=passed_on(INSURER)).json()
        assert given["token_type"] == "Bearer"
        bound = given["access_token"]
        for sent, status in (({}, 401), (passed_on(OTHER), 401), (passed_on(INSURER), 200)):
            assert client.call("GET", STREAM, token=bound, headers=sent).status_code == status
        unbound = streaming(counter.installation, clock, http, "by-nothing").token()
        for sent in ({}, passed_on(OTHER)):
            assert client.call("GET", STREAM, token=unbound, headers=sent).status_code == 200
            assert client.call("GET", "/v1/obligations", token=unbound, headers=sent).status_code == 401


# What it gets


def test_what_is_told_of_its_token(on_each: Streams) -> None:
    answer = on_each.plain.ask()
    assert answer.json() == {
        "access_token": answer.json()["access_token"],
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "ssf",
    }
    token = answer.json()["access_token"]
    told = on_each.plain.plain.post("/introspect", {"token": token}).json()
    assert (told["active"], told["scope"], told["token_type"]) == (True, "ssf", "Bearer")
    assert {"cnf", "sub"}.isdisjoint(told)
    assert on_each.world.openid.stranger.introspect(token).json() == {"active": False}
    assert on_each.plain.ask(None).json()["scope"] == SSF
    assert on_each.plain.call("GET", STREAM, token=token).json() == []


def test_by_whatever_it_proves_itself_with(streams: Streams) -> None:
    posting = streaming(
        streams.installation, streams.clock, streams.fapi.http, "posting-streams", method=POST
    )
    assert posting.call("GET", STREAM).status_code == 200
    answer = asserting(streams).own_token(scope="ssf", proofs=[])
    assert (answer.status_code, answer.json()["token_type"]) == (200, "Bearer")
    assert streams.plain.call("GET", STREAM, token=answer.json()["access_token"]).json() == []
    assert refused(streams.plain.ask(secret="x"), "invalid_client")


def test_nothing_is_promised_that_there_is_not(streams: Streams) -> None:
    """It has neither consents nor refresh tokens to be told of."""
    made = streams.plain.call("POST", STREAM, {"events_requested": ["urn:mydata:event:consent-revoked"]})
    assert made.status_code == 201
    assert (made.json()["events_supported"], made.json()["events_delivered"]) == ([], [])
    again = streams.plain.call("PUT", STREAM, made.json())
    assert (again.status_code, again.json()) == (200, made.json())
    proof = streams.fapi.proof(STREAM, ath=access_token_hash(token := streams.fapi_token()))
    headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
    assert len(streams.fapi.http.post(STREAM, json={}, headers=headers).json()["events_supported"]) == 9


def test_metadata_and_the_self_check_tell_of_it(streams: Streams) -> None:
    http, installation = streams.fapi.http, streams.installation
    document = http.get("/.well-known/oauth-authorization-server").json()
    assert {"ssf", "ssf.read"} <= set(document["scopes_supported"])
    assert "client_credentials" in document["grant_types_supported"]
    resource = http.get("/.well-known/oauth-protected-resource").json()
    assert resource["dpop_bound_access_tokens_required"] is False
    with installation.data.read() as session:
        client = clients.show(session, streams.plain.client_id)
    found = {
        one.requirement.name: one.verdict for one in client_findings(installation, client, streams.clock())
    }
    warned = {name for name, verdict in found.items() if verdict is Verdict.WARNING}
    assert warned == {"client.profile", "client.authentication", "client.sender-constraint"}
    assert Verdict.FAIL not in found.values()


def asserting(streams: Streams) -> Recipient:
    """A stream's client of this profile that proves itself by signed assertions (RS256)."""
    key = generate_private_jwk("PS256") | {"alg": "RS256"}
    software = Recipient(streams.fapi.http, streams.clock, "asserting-streams", "", key=key)
    members: dict[str, Any] = {
        "jwks": {"keys": [public_jwk(key)]},
        "scope": SSF,
        "redirect_uris": (),
        "security_profile": SecurityProfile.OIDC,
        "metadata": ClientMetadata(token_endpoint_auth_signing_alg="RS256"),
    }
    new = plain_registration(software.client_id).model_copy(update=members)
    with transaction(streams.installation.data) as work:
        added = clients.add(
            work.session, new, is_loopback_allowed=False, now=streams.clock(), oidc_clients=True
        )
    assert added is None
    return software
