"""The certification plan fapi-ciba-id1: its modules about clients, tokens and metadata, each under its name.

Those about the request object are in test_ciba.py, those about time and the person's answer in
test_ciba_tokens.py, those about the notification endpoint in test_ciba_ping.py.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from httpx import Response

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.pinging import ping_due
from broker.oauth.ciba import GRANT_TYPE
from broker.oauth.models import Client
from tests.installation import ISSUER, Clock
from tests.oauth import forging
from tests.oauth.asking import Asking
from tests.oauth.asking_by_certificate import known_to
from tests.oauth.by_certificate import INSURER, MTLS_ISSUER, OTHER, SELF_SIGNED, Counter, opened
from tests.oauth.ping_listener import TOKEN, demo, listening
from tests.oauth.world import LEFT_OUT, access_token_hash, details, refused
from vault.jose import generate_private_jwk, public_jwk

RSA_KEY = generate_private_jwk("PS256")
AUTH_REQ_ID = re.compile(r"[A-Za-z0-9._-]{22,}")  # CIBA Core section 7.3: 128 bits or more, 160 wished for


@pytest.fixture
def counter(installation: Installation, clock: Clock) -> Iterator[Counter]:
    """A broker behind a proxy, on each kind of database."""
    yield from opened(installation, clock)


@pytest.fixture
def small(sqlite_installation: Installation, clock: Clock) -> Iterator[Counter]:
    """The same on SQLite only."""
    yield from opened(sqlite_installation, clock)


def acknowledged(told: dict[str, Any]) -> str:
    """The auth_req_id of an answer that is as CIBA Core section 7.3 has it."""
    assert told.keys() == {"auth_req_id", "expires_in", "interval"}
    assert AUTH_REQ_ID.fullmatch(told["auth_req_id"])
    assert (type(told["expires_in"]), type(told["interval"])) == (int, int)
    assert told["expires_in"] > 0
    return str(told["auth_req_id"])


def add_rsa_key(asking: Asking) -> None:
    with transaction(asking.installation.data) as work:
        row = work.session.get_one(Client, asking.insurer.client_id)
        row.jwks = json.dumps({"keys": [*json.loads(row.jwks)["keys"], public_jwk(RSA_KEY)]})


class TestClients:
    """Without its own proof, of the right kind, nobody gets anything at either endpoint."""

    def test_ensure_without_client_assertion_fails(self, small_asking: Asking) -> None:
        """In the backchannel authorization request, and in the token endpoint request."""
        auth_req_id, insurer = small_asking.asked(), small_asking.insurer
        named = {"client_id": insurer.client_id}
        for form in ({}, named):
            asked = insurer.post("/bc-authorize", form | {"request": small_asking.signed()})
            polled = form | {"grant_type": GRANT_TYPE, "auth_req_id": auth_req_id}
            assert asked.status_code == 401
            assert refused(asked, "invalid_client")
            assert refused(insurer.post("/token", polled, [insurer.proof("/token")]), "invalid_client")

    def test_ensure_client_assertion_signature_algorithm_is_rs256_fails(self, small_asking: Asking) -> None:
        """In the backchannel authorization request, and in the token endpoint request."""
        auth_req_id, insurer = small_asking.asked(), small_asking.insurer
        add_rsa_key(small_asking)
        for path, form in (
            ("/bc-authorize", {"request": small_asking.signed()}),
            ("/token", {"grant_type": GRANT_TYPE, "auth_req_id": auth_req_id}),
        ):
            assertion = insurer.assertion(key=RSA_KEY | {"alg": "RS256"})
            answer = insurer.post(path, insurer.authentication(assertion) | form, [insurer.proof(path)])
            assert refused(answer, "invalid_client")
        assert refused(small_asking.poll(auth_req_id), "authorization_pending")

    def test_ensure_wrong_client_id_fails(self, small_asking: Asking) -> None:
        """In the backchannel authorization request, and in the token endpoint request."""
        auth_req_id, insurer = small_asking.asked(), small_asking.insurer
        wrong = {"client_id": small_asking.world.stranger.client_id}
        assert refused(small_asking.send(small_asking.signed(), **wrong), "invalid_client")
        form = insurer.authentication() | {"grant_type": GRANT_TYPE, "auth_req_id": auth_req_id} | wrong
        assert refused(insurer.post("/token", form, [insurer.proof("/token")]), "invalid_client")

    def test_ensure_invalid_client_assertions_in_backchannel_authorization_request_fail(
        self, small_asking: Asking
    ) -> None:
        insurer, now = small_asking.insurer, small_asking.insurer.seconds
        add_rsa_key(small_asking)
        good = insurer.authentication()
        head, _, signature = insurer.assertion().rpartition(".")
        claims: dict[str, dict[str, Any]] = {
            "sub missing": {"sub": LEFT_OUT},
            "sub wrong": {"sub": "other-app"},
            "iss missing": {"iss": LEFT_OUT},
            "iss wrong": {"iss": "other-app"},
            "aud missing": {"aud": LEFT_OUT},
            "aud unrelated": {"aud": "https://elsewhere.example/token"},
            "aud as an array": {"aud": [ISSUER]},
            "exp in the past": {"exp": now - 300},
        }
        assertions = {name: insurer.assertion(**changes) for name, changes in claims.items()} | {
            "RS256": insurer.assertion(key=RSA_KEY | {"alg": "RS256"}),
            "none": forging.unsigned(insurer.assertion()),
            "signature": f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}",
        }
        forms = {name: insurer.authentication(assertion) for name, assertion in assertions.items()} | {
            "no assertion": {"client_id": insurer.client_id},
            "type missing": {"client_assertion": good["client_assertion"]},
            "type wrong": good | {"client_assertion_type": "urn:example:other"},
        }
        for name, form in forms.items():
            answer = insurer.post("/bc-authorize", form | {"request": small_asking.signed()})
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), name
        assert small_asking.ask().status_code == 200

    def test_ensure_client_assertion_with_each_audience_of_ciba_succeeds(self, small: Counter) -> None:
        """CIBA Core section 7.1, at these two addresses; FAPI 2.0 section 5.3.2.1 everywhere else."""
        asking = known_to(small, small.by_assertion())
        client, ours = asking.client, (ISSUER, MTLS_ISSUER)
        for aud in (ISSUER, *(f"{base}{path}" for base in ours for path in ("/token", "/bc-authorize"))):
            form = client.authentication(client.assertion(aud=aud)) | {"request": asking.signed()}
            auth_req_id = acknowledged(client.post("/bc-authorize", form).json())
        polled = {"grant_type": GRANT_TYPE, "auth_req_id": auth_req_id}
        for aud in (ISSUER, f"{ISSUER}/token", f"{MTLS_ISSUER}/token"):
            answer = client.post("/token", client.authentication(client.assertion(aud=aud)) | polled)
            assert refused(answer, "authorization_pending", "slow_down")
        own = {"grant_type": "client_credentials", "scope": "deliveries"}
        for path, form in (("/token", own), ("/par", client.request()), ("/revoke", {"token": "mda_x"})):
            assertion = client.assertion(aud=f"{ISSUER}{path}")
            assert refused(client.post(path, client.authentication(assertion) | form), "invalid_client")
        elsewhere = client.authentication(client.assertion(aud=f"{ISSUER}/bc-authorize"))
        assert refused(client.post("/token", elsewhere | polled), "invalid_client")

    def test_refresh_with_the_token_endpoint_as_audience_is_for_clients_of_ciba(self, small: Counter) -> None:
        """As the certification's refresh module sends it; every other client names the issuer alone."""
        client = small.by_assertion()
        form = {"grant_type": "refresh_token", "refresh_token": "mdr_unknown"}

        def send(aud: str, **changes: str) -> Response:
            return client.post("/token", client.authentication(client.assertion(aud=aud)) | form | changes)

        ours = (f"{ISSUER}/token", f"{MTLS_ISSUER}/token")
        for aud in ours:
            assert refused(send(aud), "invalid_client"), "not registered for CIBA"
        asking = known_to(small, client)
        for aud in (f"{ISSUER}/bc-authorize", "https://elsewhere.example/token", f"{ISSUER}/par"):
            assert refused(send(aud), "invalid_client"), aud
        for grant_type in ("authorization_code", "client_credentials"):
            assert send(ours[0], grant_type=grant_type).json()["error"] == "invalid_client", grant_type
        foreign = generate_private_jwk("ES256") | {"kid": client.key["kid"]}
        unproven = client.assertion(aud=ours[0], key=foreign)
        assert refused(client.post("/token", client.authentication(unproven) | form), "invalid_client")
        for aud in (ISSUER, *ours):
            assert send(aud).json()["error"] != "invalid_client", aud
        assert asking.client is client

    def test_client_assertion_reuse_fails(self, small_asking: Asking) -> None:
        insurer = small_asking.insurer
        proven = insurer.authentication()
        first = insurer.post("/bc-authorize", proven | {"request": small_asking.signed()})
        auth_req_id = acknowledged(first.json())
        again = insurer.post("/bc-authorize", proven | {"request": small_asking.signed()})
        assert refused(again, "invalid_client")
        form = proven | {"grant_type": GRANT_TYPE, "auth_req_id": auth_req_id}
        assert refused(insurer.post("/token", form, [insurer.proof("/token")]), "invalid_client")

    def test_ensure_request_object_signature_algorithm_is_rs256_fails(self, small_asking: Asking) -> None:
        add_rsa_key(small_asking)
        assert refused(small_asking.ask(key=RSA_KEY | {"alg": "RS256"}), "invalid_request")
        assert small_asking.ask(key=RSA_KEY).status_code == 200


class TestByKey:
    """private_key_jwt, tokens bound by DPoP."""

    def test_fapi_ciba_id1_poll(self, small_asking: Asking) -> None:
        auth_req_id = acknowledged(small_asking.ask(scope="openid").json())
        pending = small_asking.poll(auth_req_id)
        assert (pending.status_code, pending.json()["error"]) == (400, "authorization_pending")
        small_asking.decide()
        tokens = small_asking.poll(auth_req_id).json()
        claims = small_asking.world.claims(tokens)
        assert (claims["iss"], claims["aud"], claims["sub"]) == (
            ISSUER,
            small_asking.insurer.client_id,
            small_asking.sub,
        )
        assert "urn:openid:params:jwt:claim:auth_req_id" not in claims  # CIBA Core section 10.3.1: push only

    def test_ensure_other_scope_order_and_a_typed_object_succeed(self, small_asking: Asking) -> None:
        wanted = {"scope": "records.read openid", "authorization_details": [details()]}
        typed = {"header": {"typ": "oauth-authz-req+jwt"}}
        assert small_asking.ask(**wanted, **typed, binding_message=LEFT_OUT).status_code == 200

    def test_ensure_authorization_request_with_potentially_bad_binding_message(
        self, small_asking: Asking
    ) -> None:
        """It is shown as it is, or it is refused by its own error."""
        for message in (
            "1234 \U0001f44d\U0001f3ff \ud55c\uae00 \u54c1\u5ddd Lor\u00e9m",
            "\u202e4321",
            "x" * 65,
        ):
            answer = small_asking.ask(binding_message=message)
            assert answer.status_code == 200 or refused(answer, "invalid_binding_message")

    def test_refresh_token(self, asking: Asking) -> None:
        auth_req_id = asking.asked_records()
        asking.decide(room="consent")
        tokens = asking.poll(auth_req_id).json()
        assert asking.insurer.refresh(tokens["refresh_token"]).status_code == 200
        assert refused(asking.world.stranger.refresh(tokens["refresh_token"]), "invalid_grant")

    def test_access_token_type_header_case_sensitivity(self, small_asking: Asking) -> None:
        auth_req_id = small_asking.asked()
        small_asking.decide()
        tokens = small_asking.poll(auth_req_id).json()
        insurer, token = small_asking.insurer, tokens["access_token"]
        for scheme in ("dpop", "DPOP"):
            ath: dict[str, Any] = {"ath": access_token_hash(token), "htm": "GET"}
            headers = {"Authorization": f"{scheme} {token}", "DPoP": insurer.proof("/userinfo", **ath)}
            assert insurer.http.get("/userinfo", headers=headers).json()["sub"] == small_asking.sub


class TestByCertificate:
    """tls_client_auth, self_signed_tls_client_auth, and private_key_jwt with bound tokens (RFC 8705)."""

    @pytest.mark.parametrize("way", ["by_chain", "by_itself", "by_assertion"])
    def test_fapi_ciba_id1_poll(self, counter: Counter, way: str) -> None:
        client = getattr(counter, way)()
        asking = known_to(counter, client)
        auth_req_id = acknowledged(asking.ask().json())
        assert refused(asking.poll(auth_req_id), "authorization_pending")
        asking.allow()
        answer = asking.poll(auth_req_id)
        assert (answer.status_code, answer.json()["token_type"]) == (200, "Bearer")
        tokens = answer.json()
        thumbprint = {"by_chain": INSURER, "by_itself": SELF_SIGNED}.get(way, OTHER).thumbprint
        assert client.introspect(tokens["access_token"]).json()["cnf"] == {"x5t#S256": thumbprint}
        assert client.pull(tokens["access_token"]).status_code == 200
        assert refused(asking.poll(auth_req_id), "invalid_grant")
        assert client.refresh(tokens["refresh_token"]).json()["token_type"] == "Bearer"

    def test_fapi_ciba_id1_ping(self, small: Counter) -> None:
        with listening() as listener:
            asking = known_to(
                small,
                small.by_chain(),
                backchannel_token_delivery_mode="ping",
                backchannel_client_notification_endpoint=listener.url,
            )
            assert refused(asking.ask(), "invalid_request")  # no client_notification_token
            auth_req_id = asking.asked(client_notification_token=TOKEN)
            asking.allow()
            assert ping_due(demo(small.installation), asking.client.clock()) == 1
            assert listener.came == [("/ciba", f"Bearer {TOKEN}", {"auth_req_id": auth_req_id})]
        assert asking.poll(auth_req_id).status_code == 200

    def test_user_rejects_authentication(self, small: Counter) -> None:
        asking = known_to(small, small.by_chain())
        auth_req_id = asking.asked()
        asking.deny()
        assert refused(asking.poll(auth_req_id), "access_denied")

    def test_ensure_mtls_holder_of_key_required(self, small: Counter) -> None:
        asking = known_to(small, small.by_assertion())
        auth_req_id = asking.asked()
        asking.allow()
        bare = asking.client.with_certificate(None)
        assert refused(asking.poll(auth_req_id, bare), "invalid_request")
        token = asking.poll(auth_req_id).json()["access_token"]
        assert bare.pull(token).status_code == 401
        assert asking.client.with_certificate(INSURER).pull(token).status_code == 401
        assert asking.client.pull(token).status_code == 200

    def test_ensure_wrong_client_id_and_certificate_fail(self, small: Counter) -> None:
        """In the backchannel authorization request, and in the token endpoint request."""
        asking, other = known_to(small, small.by_chain()), small.by_itself()
        auth_req_id = asking.asked()
        for wrong in (
            asking.client.with_certificate(None),
            asking.client.with_certificate(OTHER),
            asking.client.with_certificate(INSURER, is_verified=False),
        ):
            assert refused(asking.ask(wrong), "invalid_client")
            assert refused(asking.poll(auth_req_id, wrong), "invalid_client")
        assert refused(asking.ask(other), "unauthorized_client")
        knows = known_to(small, other)
        assert refused(asking.ask(other), "invalid_request")  # signed by another client
        assert refused(knows.poll(auth_req_id), "invalid_grant")
        asking.allow()
        assert asking.poll(auth_req_id).status_code == 200

    def test_discovery_end_point_verification(self, small: Counter) -> None:
        for name in ("oauth-authorization-server", "openid-configuration"):
            told = small.office.http.get(f"/.well-known/{name}").json()
            assert told["backchannel_authentication_endpoint"] == f"{ISSUER}/bc-authorize"
            assert told["backchannel_token_delivery_modes_supported"] == ["poll", "ping"]
            algorithms = told["backchannel_authentication_request_signing_alg_values_supported"]
            assert {"PS256", "ES256"} <= set(algorithms)
            assert told["backchannel_user_code_parameter_supported"] is False
            assert GRANT_TYPE in told["grant_types_supported"]
            assert told["tls_client_certificate_bound_access_tokens"] is True
            aliases = told["mtls_endpoint_aliases"]
            assert aliases["backchannel_authentication_endpoint"] == f"{MTLS_ISSUER}/bc-authorize"
            assert aliases["registration_endpoint"] == f"{MTLS_ISSUER}/register"
        assert "urn:mydata:acr:1fa" in told["acr_values_supported"]
