"""Mutual TLS (RFC 8705): who is refused, whose certificate is believed, and tokens that are bound to one."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509

from broker.installation import Installation
from broker.oauth import clients
from broker.oauth.client_metadata import AuthMethod, ClientMetadata
from broker.oauth.errors import ClientInvalidError
from tests.certificates import FROM, Made, made, new_key
from tests.installation import ISSUER, Clock
from tests.oauth.by_certificate import (
    BY_CHAIN,
    BY_ITSELF,
    CA,
    HEADER,
    INSURER,
    MTLS_ISSUER,
    NAME,
    OTHER,
    SELF_SIGNED,
    UNBOUND,
    VERIFIED,
    Certified,
    Counter,
    opened,
    passed_on,
)
from tests.oauth.world import access_token_hash, refused

BOUND = {"x5t#S256": INSURER.thumbprint}
SAME_KEY = made("CN=anything", key=SELF_SIGNED.key)


@pytest.fixture
def counter(installation: Installation, clock: Clock) -> Iterator[Counter]:
    """A broker behind a proxy, on each kind of database."""
    yield from opened(installation, clock)


@pytest.fixture
def small(sqlite_installation: Installation, clock: Clock) -> Iterator[Counter]:
    """A broker behind a proxy, on SQLite only."""
    yield from opened(sqlite_installation, clock)


def everywhere(client: Certified, *codes: str) -> bool:
    """Whether each endpoint that knows clients refuses this one so."""
    answers = [
        client.push(),
        client.own_token(scope="deliveries"),
        client.revoke("mda_x"),
        client.introspect("mda_x"),
    ]
    return all(refused(answer, *codes) for answer in answers)


# Whose certificate it is


def test_no_certificate_where_the_method_needs_one(counter: Counter) -> None:
    for client in (counter.by_chain(), counter.by_itself()):
        assert everywhere(client.with_certificate(None), "invalid_client")


@pytest.mark.parametrize(
    "sent", [OTHER, SELF_SIGNED, made(NAME + ",DC=x", issuer=CA), made("CN=insurer", issuer=CA)]
)
def test_a_certificate_with_another_name(small: Counter, sent: Made) -> None:
    assert everywhere(small.by_chain().with_certificate(sent), "invalid_client")


@pytest.mark.parametrize("peer", ["10.0.0.8", "127.0.0.1", "testclient", None])
def test_whoever_is_not_the_proxy_writes_the_headers_in_vain(small: Counter, peer: str | None) -> None:
    chain, itself = small.by_chain(), small.by_itself()
    token = chain.own_token(scope="deliveries").json()["access_token"]
    small.comes_from(peer)
    for client in (chain, itself):
        assert everywhere(client, "invalid_client")
    for answer in (
        chain.pull(token),
        small.office.http.get("/v1/obligations", headers={**chain.sent, "Authorization": f"Bearer {token}"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


def test_a_certificate_that_no_authority_vouches_for(small: Counter) -> None:
    """Anybody can write the name into one of their own."""
    client = small.by_chain()
    forged = made(NAME)
    assert everywhere(client.with_certificate(forged, is_verified=False), "invalid_client")
    for said in ("success", "SUCCESS ", "NONE", "", "FAILED"):
        headers = {HEADER: INSURER.rfc9440, VERIFIED: said}
        assert refused(replace(client, sent=headers).push(), "invalid_client"), said
    assert refused(replace(client, sent={HEADER: INSURER.rfc9440}).push(), "invalid_client")


def test_a_certificate_that_is_not_registered(small: Counter) -> None:
    client = small.by_itself()
    for sent in (OTHER, made("CN=anything"), SAME_KEY):
        assert everywhere(client.with_certificate(sent), "invalid_client")


def test_a_client_with_another_method(small: Counter) -> None:
    """Certificate for assertion, and assertion for certificate: both are refused, be they ever so good."""
    by_assertion = replace(small.by_assertion(), asserts=False)
    assert everywhere(by_assertion, "invalid_client")
    for client in (small.by_chain(), small.by_itself()):
        assert everywhere(replace(client, asserts=True), "invalid_client")


def test_a_certificate_of_another_client(small: Counter) -> None:
    chain, itself = small.by_chain(), small.by_itself()
    assert everywhere(replace(chain, sent=itself.sent), "invalid_client")
    assert everywhere(replace(itself, sent=chain.sent), "invalid_client")


@pytest.mark.parametrize("client_id", ["", "nobody", "x", "가", "insurer-claims"])
def test_a_client_id_that_is_not_the_certificates(small: Counter, client_id: str) -> None:
    client = replace(small.by_chain(), client_id=client_id)
    assert everywhere(client, "invalid_client")


def test_strangers_learn_nothing_of_who_is_registered(small: Counter) -> None:
    client = small.by_chain()
    told = [
        one.revoke("mda_x").json()
        for one in (
            client.with_certificate(OTHER),
            client.with_certificate(INSURER, is_verified=False),
            replace(client, client_id="nobody"),
            replace(small.by_itself(), sent=client.sent),
        )
    ]
    assert told == [{"error": "invalid_client", "error_description": "client authentication failed"}] * 4


def test_a_certificate_out_of_its_time(small: Counter) -> None:
    now = small.office.world.clock()
    second = timedelta(seconds=1)
    over, early = (
        made(NAME, issuer=CA, not_before=not_before, not_after=not_after)
        for not_before, not_after in ((FROM, now - second), (now + second, now + timedelta(days=1)))
    )
    client = small.by_chain()
    for sent in (over, early):
        answer = client.with_certificate(sent).push()
        assert refused(answer, "invalid_client")
        assert "not valid now" in answer.json()["error_description"]


NAMES: dict[str, tuple[str, x509.GeneralName, str]] = {
    "tls_client_auth_san_dns": ("Client.example", x509.DNSName("client.example"), "client.example.org"),
    "tls_client_auth_san_uri": (
        "https://client.example/a",
        x509.UniformResourceIdentifier("https://client.example/a"),
        "https://client.example/A",
    ),
    "tls_client_auth_san_ip": ("2001:DB8::1", x509.IPAddress(ip_address("2001:db8::1")), "2001:db8::2"),
    "tls_client_auth_san_email": (
        "it@client.example",
        x509.RFC822Name("it@client.example"),
        "client.example",
    ),
}


@pytest.mark.parametrize("member", NAMES)
def test_each_alternative_name(small: Counter, member: str) -> None:
    registered, in_certificate, other = NAMES[member]
    sent = made("CN=x", issuer=CA, alternative=[in_certificate])
    base: dict[str, Any] = {"token_endpoint_auth_method": AuthMethod.TLS_CLIENT_AUTH, **UNBOUND}
    good = small.client("good-one", ClientMetadata(**(base | {member: registered})), sent=sent)
    bad = small.client("other-one", ClientMetadata(**(base | {member: other})), sent=sent)
    assert good.revoke("mda_x").status_code == 200
    assert refused(bad.revoke("mda_x"), "invalid_client")
    # The common name is no host name, and no name of one kind passes for one of another.
    named = made(f"CN={registered.replace(',', '')}", issuer=CA)
    assert refused(good.with_certificate(named).revoke("mda_x"), "invalid_client")


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "RSA-2048", "Ed25519"])
def test_a_registered_key_without_a_certificate_stands_for_every_one_of_it(small: Counter, kind: str) -> None:
    sent = made("CN=a", key=new_key(kind))
    key = {name: value for name, value in sent.jwk.items() if name != "x5c"}
    client = small.client("by-key", BY_ITSELF, keys=[key], sent=sent)
    renewed = made("CN=b", key=sent.key)
    assert client.with_certificate(renewed, is_verified=False).revoke("mda_x").status_code == 200
    assert refused(client.with_certificate(OTHER).revoke("mda_x"), "invalid_client")


FAULTS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], str]] = {
    "no name": ({"tls_client_auth_subject_dn": None}, [], "token_endpoint_auth_method"),
    "two names": ({"tls_client_auth_san_dns": "a.example"}, [], "token_endpoint_auth_method"),
    "a name that is none": ({"tls_client_auth_subject_dn": "insurer"}, [], "tls_client_auth_subject_dn"),
    "an address that is none": (
        {"tls_client_auth_subject_dn": None, "tls_client_auth_san_ip": "10.0.0.0/8"},
        [],
        "tls_client_auth_san_ip",
    ),
    "a certificate of another key": ({}, [SELF_SIGNED.jwk | {"x5c": OTHER.jwk["x5c"]}], "jwks.keys.1"),
    "a certificate that is none": ({}, [SELF_SIGNED.jwk | {"x5c": ["AAAA"]}], "jwks.keys.1"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_registration_that_could_never_work(small: Counter, case: str) -> None:
    changes, keys, member = FAULTS[case]
    with pytest.raises(ClientInvalidError) as raised:
        small.client("faulty", BY_CHAIN.model_copy(update=changes), keys=keys)
    assert any(member in path for path, _ in raised.value.faults)


# Tokens that are bound to a certificate


def test_ensure_holder_of_key_required(small: Counter) -> None:
    """Neither proof nor certificate; and a certificate where the client's tokens are bound by DPoP."""
    bound = small.by_assertion().with_certificate(None)
    assert refused(bound.own_token(scope="deliveries"), "invalid_request")
    unbound = small.by_chain(**UNBOUND)
    assert refused(unbound.own_token(scope="deliveries"), "invalid_request")


def test_a_bound_token_from_push_to_revocation(counter: Counter) -> None:
    client = counter.by_chain()
    tokens = counter.world(client).tokens()
    assert tokens["token_type"] == "Bearer"
    told = client.introspect(tokens["access_token"]).json()
    assert (told["active"], told["cnf"], told["token_type"]) == (True, BOUND, "Bearer")
    assert client.introspect(tokens["refresh_token"]).json()["cnf"] == BOUND
    for headers in ({}, passed_on(OTHER)):
        answer = replace(client, sent=headers).pull(tokens["access_token"])
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    pulled = client.pull(tokens["access_token"])
    assert pulled.status_code == 200, pulled.text
    assert client.pull(tokens["access_token"]).json()["payload_digest"] == pulled.json()["payload_digest"]
    assert client.revoke(tokens["access_token"]).status_code == 200
    assert client.pull(tokens["access_token"]).json()["code"] == "token_revoked"
    assert client.introspect(tokens["access_token"]).json() == {"active": False}


def test_the_same_with_a_certificate_of_its_own(counter: Counter) -> None:
    client = counter.by_itself()
    tokens = counter.world(client).tokens()
    refreshed = client.refresh(tokens["refresh_token"])
    assert (refreshed.status_code, refreshed.json()["token_type"]) == (200, "Bearer")
    assert client.pull(refreshed.json()["access_token"]).status_code == 200
    assert refused(client.with_certificate(OTHER).refresh(tokens["refresh_token"]), "invalid_client")


def test_an_assertion_goes_with_a_bound_token(small: Counter) -> None:
    client = small.by_assertion()
    tokens = small.world(client).tokens()
    assert client.pull(tokens["access_token"]).status_code == 200
    assert client.with_certificate(INSURER).pull(tokens["access_token"]).status_code == 401


def test_a_certificate_goes_with_a_proof(small: Counter) -> None:
    """Either address may be named in it, where the request came over mutual TLS; and no other."""
    client = replace(small.by_chain(), sends_proofs=True)
    for issuer in (ISSUER, MTLS_ISSUER):
        answer = client.own_token(scope="deliveries", proofs=[client.proof("/token", htu=f"{issuer}/token")])
        assert (answer.status_code, answer.json()["token_type"]) == (200, "DPoP")
    for htu in (f"{MTLS_ISSUER}/par", "https://other.example/token"):
        answer = client.own_token(scope="deliveries", proofs=[client.proof("/token", htu=htu)])
        assert refused(answer, "invalid_dpop_proof")
    world = replace(small.by_assertion().with_certificate(None), sends_proofs=True)
    alias = [world.proof("/token", htu=f"{MTLS_ISSUER}/token")]
    assert refused(world.own_token(scope="deliveries", proofs=alias), "invalid_dpop_proof")


def test_neither_binding_passes_for_the_other(counter: Counter) -> None:
    """A token of a DPoP key with a certificate, and a token of a certificate with a proof."""
    client = counter.by_chain()
    by_certificate = counter.world(client).tokens()["access_token"]
    proving = replace(client, sends_proofs=True)
    by_proof = counter.world(proving).tokens()["access_token"]
    downgraded = client.pull(by_proof)
    assert (downgraded.status_code, downgraded.json()["code"]) == (401, "invalid_token")
    proof = client.proof("/v1/deliveries", ath=access_token_hash(by_certificate))
    crossed = client.pull(by_certificate, scheme="DPoP", DPoP=proof)
    assert (crossed.status_code, crossed.json()["code"]) == (401, "invalid_token")
    for token, scheme in ((by_proof, "DPoP"), (by_certificate, "Bearer")):
        proof = client.proof("/v1/deliveries", ath=access_token_hash(token))
        assert client.pull(token, key=scheme, scheme=scheme, DPoP=proof).status_code in {200, 403}


def test_a_refresh_token_keeps_its_constraint(counter: Counter) -> None:
    client = counter.by_chain()
    proving = replace(client, sends_proofs=True)
    tokens = counter.world(client).tokens()
    assert refused(proving.refresh(tokens["refresh_token"]), "invalid_grant")
    by_proof = counter.world(proving).tokens()
    assert refused(client.refresh(by_proof["refresh_token"]), "invalid_grant")
    assert proving.refresh(by_proof["refresh_token"]).json()["token_type"] == "DPoP"
    renewed = client.with_certificate(made(NAME, issuer=CA))
    assert renewed.refresh(tokens["refresh_token"]).json()["token_type"] == "Bearer"


def test_a_code_of_a_dpop_key_is_not_redeemed_with_a_certificate(small: Counter) -> None:
    client = small.by_chain()
    code = small.world(client).code(dpop_jkt=client.jkt)
    assert refused(client.redeem(code), "invalid_grant")


def test_a_token_of_the_clients_own_business(counter: Counter) -> None:
    client = counter.by_chain()
    token = client.own_token(scope="obligations").json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    http = counter.office.http
    for sent in ({}, passed_on(OTHER)):
        answer = http.get("/v1/obligations", headers={**sent, **headers})
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    for _ in range(2):  # nothing of such a request is used up
        assert http.get("/v1/obligations", headers={**client.sent, **headers}).status_code == 200


# Challenges


@pytest.mark.parametrize("path", ["/v1/records", "/v1/obligations"])
def test_the_scheme_that_was_used_has_the_error(small: Counter, path: str) -> None:
    algorithms = 'algs="ES256 PS256 EdDSA Ed25519"'
    expected = {
        "Bearer x": ['Bearer error="invalid_token"', f"DPoP {algorithms}"],
        "DPoP x": [f'DPoP error="invalid_dpop_proof", {algorithms}', "Bearer"],
    }
    for credentials, challenges in expected.items():
        for sent in ({}, passed_on(OTHER)):
            answer = small.office.http.get(path, headers={**sent, "Authorization": credentials})
            assert answer.status_code == 401
            assert answer.headers.get_list("WWW-Authenticate") == challenges
    bare = small.office.http.get(path).headers.get_list("WWW-Authenticate")
    assert (bare[0].partition(" ")[0], bare[1:]) == ("DPoP", ["Bearer"])


def test_a_scope_that_is_missing_is_told_in_the_scheme_of_the_token(small: Counter) -> None:
    client = small.by_chain()
    token = client.own_token(scope="deliveries").json()["access_token"]
    headers = {**client.sent, "Authorization": f"Bearer {token}"}
    answer = small.office.http.get("/v1/obligations", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert answer.headers.get_list("WWW-Authenticate") == ['Bearer error="insufficient_scope"']


def test_without_certificates_there_is_no_scheme_but_dpop(
    sqlite_installation: Installation, clock: Clock
) -> None:
    for counter in opened(
        sqlite_installation,
        clock,
        client_certificate_header="",
        client_certificate_verified_header="",
        mtls_issuer="",
    ):
        client = counter.by_chain()
        assert everywhere(client, "invalid_client")
        answer = client.pull("mda_x")
        assert answer.headers.get_list("WWW-Authenticate") == ['DPoP algs="ES256 PS256 EdDSA Ed25519"']
        document = counter.office.http.get("/.well-known/oauth-authorization-server").json()
        assert document["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
        assert not {"mtls_endpoint_aliases", "tls_client_certificate_bound_access_tokens"} & set(document)
        resource = counter.office.http.get("/.well-known/oauth-protected-resource").json()
        assert resource["dpop_bound_access_tokens_required"] is True


# Metadata


def test_metadata_names_the_methods_and_the_other_addresses(small: Counter) -> None:
    document = small.office.http.get("/.well-known/oauth-authorization-server").json()
    for name in ("token", "revocation", "introspection"):
        assert document[f"{name}_endpoint_auth_methods_supported"] == [
            "private_key_jwt",
            "tls_client_auth",
            "self_signed_tls_client_auth",
        ]
    assert document["tls_client_certificate_bound_access_tokens"] is True
    aliases = document["mtls_endpoint_aliases"]
    assert {"token_endpoint", "pushed_authorization_request_endpoint", "introspection_endpoint"} <= set(
        aliases
    )
    assert {"backchannel_authentication_endpoint", "registration_endpoint"} <= set(aliases)
    assert "authorization_endpoint" not in aliases  # where browsers go
    for name, address in aliases.items():
        assert address == document[name].replace(ISSUER, MTLS_ISSUER)
    resource = small.office.http.get("/.well-known/oauth-protected-resource").json()
    assert resource["tls_client_certificate_bound_access_tokens"] is True
    assert resource["dpop_bound_access_tokens_required"] is False


def test_without_the_proxys_word_on_chains_there_is_one_method(
    sqlite_installation: Installation, clock: Clock
) -> None:
    for counter in opened(sqlite_installation, clock, client_certificate_verified_header="", mtls_issuer=""):
        document = counter.office.http.get("/.well-known/oauth-authorization-server").json()
        assert document["token_endpoint_auth_methods_supported"] == [
            "private_key_jwt",
            "self_signed_tls_client_auth",
        ]
        assert "mtls_endpoint_aliases" not in document
        assert refused(counter.by_chain().push(), "invalid_client")
        assert counter.by_itself().push().status_code == 201


def test_a_suspended_client_is_a_stranger(small: Counter) -> None:
    client = small.by_chain()
    with small.installation.data.write() as session:
        clients.suspend(session, client.client_id)
    assert everywhere(client, "invalid_client")
