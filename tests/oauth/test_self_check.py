"""The self-check (broker/oauth/self_check): what is wrong is a failure, what is a choice a warning."""

import base64
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from broker.oauth import clients, metadata
from broker.oauth.client_metadata import AuthMethod, ClientMetadata, SecurityProfile
from broker.oauth.clients import ClientStatus, RegisteredClient
from broker.oauth.errors import UnknownClientError
from broker.oauth.models import Client
from broker.oauth.self_check import client as of_client
from broker.oauth.self_check import server as of_server
from broker.oauth.self_check.client import Served, check_client
from broker.oauth.self_check.findings import Finding, Verdict, has_failed
from broker.oauth.self_check.report import checked_client, checked_clients, server_findings
from broker.oauth.self_check.server import Server, check_server
from broker.setting_sections import LimitsSection, OAuthSection, TlsSection
from tests.certificates import made as certificate
from tests.oauth.world import World
from vault.jose import Jwk, generate_private_jwk, public_jwk

NOW = datetime(2026, 12, 1, tzinfo=UTC)
PURPOSE = "insurance.indemnity_claim"
EC_KEY = public_jwk(generate_private_jwk("ES256"))
RSA_KEY = public_jwk(generate_private_jwk("PS256"))
ED_KEY = public_jwk(generate_private_jwk("Ed25519"))
PASS, FAIL, WARNING = Verdict.PASS, Verdict.FAIL, Verdict.WARNING
NOT_APPLICABLE = Verdict.NOT_APPLICABLE
BY_CHAIN, BY_ITSELF = "tls_client_auth", "self_signed_tls_client_auth"
BOTH = (BY_CHAIN, BY_ITSELF)


def client(*keys: object, **changes: Any) -> RegisteredClient:  # noqa: ANN401 - any member
    """A client that is in order, but for what a test changes."""
    members: dict[str, Any] = {
        "client_id": "hanbit-claims",
        "organisation_id": "hanbit-insurance",
        "name": "Claims",
        "status": ClientStatus.ACTIVE,
        "jwks": {"keys": list(keys) or [EC_KEY, RSA_KEY, ED_KEY]},
        "redirect_uris": ("https://claims.hanbit.example/cb?flow=claim",),
        "scopes": frozenset({"records.read", "deliveries"}),
        "purposes": (PURPOSE,),
        "events_endpoint": "https://claims.hanbit.example/events",
        "profile": SecurityProfile.FAPI2,
        "metadata": ClientMetadata(),
        "created_at": NOW,
    }
    known = RegisteredClient.__dataclass_fields__
    return RegisteredClient(**{name: value for name, value in (members | changes).items() if name in known})


def found(
    of: RegisteredClient,
    *,
    is_demo: bool = False,
    are_oidc_clients_served: bool = False,
    certificate_methods: Collection[str] = BOTH,
) -> dict[str, Finding]:
    served = Served(
        purposes={PURPOSE},
        certificate_methods=certificate_methods,
        are_oidc_clients_served=are_oidc_clients_served,
        is_loopback_allowed=is_demo,
    )
    findings = check_client(of, served, NOW)
    named = {finding.requirement.name: finding for finding in findings}
    assert list(named) == list(dict.fromkeys(finding.requirement.name for finding in findings))
    assert set(named) == set(of_client.REQUIREMENTS), "every requirement has one finding"
    assert len(findings) == len(named)
    return named


def numbered(value: int) -> str:
    raw = value.to_bytes((value.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def rsa_of(bits: int) -> Jwk:
    """An RSA key of so many bits; nobody has its other half."""
    return {"kty": "RSA", "n": numbered((1 << bits) - 1), "e": "AQAB", "kid": f"rsa-{bits}", "use": "sig"}


def at(days: int) -> int:
    return int((NOW + timedelta(days=days)).timestamp())


WRONG_KEYS: Mapping[str, tuple[object, str]] = {
    "RSA of 1024 bits": (rsa_of(1024), "strong"),
    "RSA of 2047 bits": (rsa_of(2047), "strong"),
    "RSA too long to be borne": (rsa_of(4097), "strong"),
    "RSA without a modulus": ({"kty": "RSA", "e": "AQAB", "kid": "k"}, "strong"),
    "a curve of another use": ({**EC_KEY, "crv": "P-384"}, "known"),
    "an unknown curve": ({**EC_KEY, "crv": "secp256k1"}, "known"),
    "a point that is none": ({**EC_KEY, "y": EC_KEY["x"]}, "known"),
    "an unknown kind": ({"kty": "AKP", "kid": "k", "pub": "AA"}, "known"),
    "a kind that is no text": ({"kty": ["RSA"], "kid": "k"}, "known"),
    "a secret": ({"kty": "oct", "k": "AAAA", "kid": "k"}, "public"),
    "a private key": (generate_private_jwk("ES256"), "public"),
    "no object": ("key", "known"),
    "RS256": ({**RSA_KEY, "alg": "RS256"}, "algorithm"),
    "an algorithm that is no text": ({**RSA_KEY, "alg": ["PS256"]}, "algorithm"),
    "ES384": ({**EC_KEY, "alg": "ES384"}, "algorithm"),
    "past its end": ({**EC_KEY, "exp": at(0)}, "current"),
    "an end that is none": ({**EC_KEY, "exp": "later"}, "current"),
    "no kid": ({name: value for name, value in EC_KEY.items() if name != "kid"}, "named"),
}


@pytest.mark.parametrize(("key", "what"), WRONG_KEYS.values(), ids=WRONG_KEYS.keys())
def test_a_key_that_is_wrong_fails_its_requirement(key: object, what: str) -> None:
    findings = found(client(ED_KEY, key))
    assert findings[f"client.key-{what}"].verdict is FAIL
    assert findings["client.key-present"].verdict is PASS, "the other key is good"


def test_two_keys_of_one_name_fail() -> None:
    again = {**ED_KEY, "kid": EC_KEY["kid"]}
    assert found(client(EC_KEY, again))["client.key-named"].facts == (EC_KEY["kid"],)


@pytest.mark.parametrize(
    "keys",
    [
        [{**EC_KEY, "exp": at(0)}],
        [{**EC_KEY, "use": "enc"}],
        [rsa_of(1024)],
        [{**EC_KEY, "crv": "P-521"}],
    ],
    ids=["expired", "for encryption", "weak", "unknown"],
)
def test_without_a_key_that_verifies_a_client_cannot_prove_itself(keys: list[object]) -> None:
    assert found(client(*keys))["client.key-present"].verdict is FAIL


def test_without_any_key_too() -> None:
    sets: list[dict[str, object]] = [{"keys": []}, {}, {"keys": "none"}]
    for jwks in sets:
        assert found(client(jwks=jwks))["client.key-present"].verdict is FAIL


def test_a_key_that_ends_within_a_month_is_a_warning() -> None:
    findings = found(client({**EC_KEY, "exp": at(30)}, {**ED_KEY, "exp": at(31)}))
    current = findings["client.key-current"]
    assert (current.verdict, current.facts) == (WARNING, (EC_KEY["kid"],))
    assert findings["client.key-present"].verdict is PASS


WRONG: Mapping[str, tuple[dict[str, Any], str]] = {
    "a plain redirect URI": ({"redirect_uris": ("http://claims.hanbit.example/cb",)}, "redirect-https"),
    "a redirect URI of this machine": ({"redirect_uris": ("http://127.0.0.1:9/cb",)}, "redirect-https"),
    "a redirect URI of another scheme": ({"redirect_uris": ("ftp://claims.example/cb",)}, "redirect-https"),
    "a wildcard": ({"redirect_uris": ("https://*.hanbit.example/cb",)}, "redirect-exact"),
    "a fragment": ({"redirect_uris": ("https://claims.hanbit.example/cb#x",)}, "redirect-exact"),
    "a user": ({"redirect_uris": ("https://me@claims.hanbit.example/cb",)}, "redirect-exact"),
    "no URL": ({"redirect_uris": ("https://[::1",)}, "redirect-exact"),
    "no redirect URI": ({"redirect_uris": ()}, "redirect-present"),
    "plain events": ({"events_endpoint": "http://claims.hanbit.example/events"}, "addresses"),
    "events to an inner net": ({"events_endpoint": "https://10.0.0.7/events"}, "addresses"),
    "events to this machine": ({"events_endpoint": "https://localhost/events"}, "addresses"),
    "events to the cloud's own": ({"events_endpoint": "https://169.254.169.254/x"}, "addresses"),
    "events to a bare name": ({"events_endpoint": "https://intranet/x"}, "addresses"),
    "a purpose of nobody": ({"purposes": ("gone.purpose",)}, "purposes"),
    "a certificate's name without its method": (
        {"metadata": ClientMetadata(tls_client_auth_san_dns="a.example")},
        "metadata",
    ),
    "a certificate of nobody": (
        {"metadata": ClientMetadata.model_validate({"token_endpoint_auth_method": "tls_client_auth"})},
        "metadata",
    ),
    "a certificate of its own that is nowhere": (
        {"metadata": ClientMetadata(token_endpoint_auth_method=AuthMethod(BY_ITSELF)), "jwks": {"keys": []}},
        "certificate",
    ),
    "a certificate's name that is none": (
        {
            "metadata": ClientMetadata(
                token_endpoint_auth_method=AuthMethod(BY_CHAIN), tls_client_auth_subject_dn="nonsense"
            )
        },
        "certificate",
    ),
}


@pytest.mark.parametrize(("changes", "what"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_fails_its_requirement(changes: dict[str, Any], what: str) -> None:
    findings = found(client(**changes))
    assert {name for name, finding in findings.items() if finding.verdict is FAIL} == {f"client.{what}"}
    assert findings[f"client.{what}"].facts


def test_a_client_in_order_has_no_fault() -> None:
    findings = found(client())
    assert {finding.verdict for finding in findings.values()} == {PASS, NOT_APPLICABLE}
    assert not has_failed(findings.values())


def test_this_machine_is_a_warning_in_a_demo_and_a_failure_elsewhere() -> None:
    here = client(redirect_uris=("http://127.0.0.1:9/cb",), events_endpoint="http://localhost:9/events")
    for name in ("client.redirect-https", "client.addresses"):
        assert [found(here, is_demo=is_demo)[name].verdict for is_demo in (True, False)] == [WARNING, FAIL]


def test_a_client_that_asks_nobody_needs_no_redirect_uri() -> None:
    own = client(scopes=frozenset({"deliveries"}), redirect_uris=(), events_endpoint=None, purposes=())
    findings = found(own)
    assert findings["client.redirect-present"].verdict is NOT_APPLICABLE
    assert findings["client.addresses"].verdict is NOT_APPLICABLE
    assert not has_failed(findings.values())


def test_message_signing_demands_signed_requests_and_warns_of_unsigned_answers() -> None:
    signing = SecurityProfile.FAPI2_MESSAGE_SIGNING
    bare = found(client(profile=signing))
    chosen = ClientMetadata(
        authorization_signed_response_alg="ES256", introspection_signed_response_alg="ES256"
    )
    full = found(client(profile=signing, metadata=chosen))
    plain = found(client())
    for name in ("client.signed-responses", "client.signed-introspection"):
        assert [of[name].verdict for of in (bare, full, plain)] == [WARNING, PASS, NOT_APPLICABLE]
    requests = "client.signed-requests"
    assert [of[requests].verdict for of in (bare, full, plain)] == [PASS, PASS, NOT_APPLICABLE]
    by_certificate = ClientMetadata.model_validate(
        {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example"}
    )
    nothing_to_sign_with = client(profile=signing, metadata=by_certificate, jwks={"keys": []})
    assert found(nothing_to_sign_with)["client.key-present"].verdict is FAIL
    none_needed = client(metadata=by_certificate, jwks={"keys": []})
    assert found(none_needed)["client.key-present"].verdict is NOT_APPLICABLE


def test_a_client_of_openid_connect_is_a_failure_where_it_is_not_served_and_a_warning_where_it_is() -> None:
    weak = ClientMetadata(
        token_endpoint_auth_method=AuthMethod.CLIENT_SECRET_BASIC, client_secret_sha256="0" * 64
    )
    oidc = client({**RSA_KEY, "alg": "RS256"}, profile=SecurityProfile.OIDC, metadata=weak)
    served, unserved = found(oidc, are_oidc_clients_served=True), found(oidc)
    assert [of["client.profile"].verdict for of in (served, unserved)] == [WARNING, FAIL]
    assert served["client.authentication"].verdict is WARNING
    assert served["client.sender-constraint"].verdict is WARNING
    assert served["client.key-algorithm"].verdict is PASS
    same = found(replace(oidc, profile=SecurityProfile.FAPI2))
    assert same["client.authentication"].verdict is FAIL
    assert same["client.key-algorithm"].verdict is FAIL


def certified(days: int, **changes: Any) -> Jwk:  # noqa: ANN401 - members of a JWK
    """A registered certificate that ends so many days from now, or has ended so many ago."""
    begins, ends = NOW - timedelta(days=60), NOW + timedelta(days=days)
    made = certificate("CN=insurer", not_before=begins, not_after=ends)
    return made.jwk | {"kid": "cert"} | changes


def test_a_certificate_that_is_past_its_time_or_cannot_be_read_fails() -> None:
    own = ClientMetadata(token_endpoint_auth_method=AuthMethod(BY_ITSELF))
    for key, verdict in (
        (certified(30), PASS),
        (certified(-30), FAIL),
        (certified(30, x5c=["AAAA"]), FAIL),
        (EC_KEY, PASS),  # a key without a certificate stands for every one of it
    ):
        assert found(client(key, metadata=own))["client.certificate"].verdict is verdict
    assert found(client(certified(-30)))["client.certificate"].verdict is NOT_APPLICABLE


@pytest.mark.parametrize(
    ("metadata", "methods", "verdict"),
    [
        ({"token_endpoint_auth_method": BY_ITSELF}, (), FAIL),
        (
            {"token_endpoint_auth_method": BY_CHAIN, "tls_client_auth_san_dns": "a.example"},
            (BY_ITSELF,),
            FAIL,
        ),
        ({"tls_client_certificate_bound_access_tokens": True}, (), FAIL),
        ({"tls_client_certificate_bound_access_tokens": True}, (BY_ITSELF,), PASS),
        ({"token_endpoint_auth_method": BY_ITSELF}, (BY_ITSELF,), PASS),
        ({}, (), NOT_APPLICABLE),
    ],
)
def test_a_certificate_that_never_reaches_the_server_fails(
    metadata: dict[str, Any], methods: tuple[str, ...], verdict: Verdict
) -> None:
    of = client(metadata=ClientMetadata.model_validate(metadata))
    assert found(of, certificate_methods=methods)["client.certificate-taken"].verdict is verdict


def test_every_further_address_of_a_clients_metadata_is_looked_at() -> None:
    inner = ClientMetadata(
        backchannel_logout_uri="https://10.0.0.7/logout",
        post_logout_redirect_uris=("http://a.example",),
        backchannel_token_delivery_mode="ping",
        backchannel_client_notification_endpoint="https://10.0.0.8/ping",
    )
    addresses = found(client(metadata=inner))["client.addresses"]
    assert set(addresses.facts) == {"https://10.0.0.7/logout", "http://a.example", "https://10.0.0.8/ping"}


def test_an_explanation_is_one_line_that_names_what_is_wrong() -> None:
    told = found(client(rsa_of(1024)))["client.key-strong"].told()
    assert told == {
        "requirement": "client.key-strong",
        "clause": "FAPI 2.0 Security Profile section 5.4.1",
        "verdict": "fail",
        "explanation": "Every RSA key has 2048 to 4096 bits. Not so: rsa-1024.",
    }


# The server.

ISSUER = "https://broker.example"
GOOD = metadata.authorization_server(ISSUER)


def server(told: Mapping[str, Any] = {}, jwks: object = None, **changes: Any) -> dict[str, Finding]:  # noqa: ANN401
    """Findings about a server that is in order, but for what a test changes; None takes a member away."""
    members = {name: value for name, value in (GOOD | dict(told)).items() if value is not None}
    keys = {"keys": [EC_KEY]} if jwks is None else jwks
    settings: dict[str, Any] = {
        "oauth": OAuthSection(),
        "limits": LimitsSection(),
        "tls": TlsSection(certificate_file=Path("server.pem"), key_file=Path("server.key")),
        "is_demo": False,
    }
    findings = check_server(Server(members, keys, **settings | changes), NOW)  # type: ignore[arg-type] # any JSON
    named = {finding.requirement.name: finding for finding in findings}
    assert set(named) == set(of_server.REQUIREMENTS)
    assert len(findings) == len(named)
    return named


ALGORITHMS = "token_endpoint_auth_signing_alg_values_supported"
WRONG_SERVERS: Mapping[str, tuple[dict[str, Any], str]] = {
    "plain issuer": ({"issuer": "http://broker.example"}, "issuer"),
    "issuer with a query": ({"issuer": f"{ISSUER}?a"}, "issuer"),
    "plain endpoint": ({"token_endpoint": "http://broker.example/token"}, "addresses"),
    "plain alias": ({"mtls_endpoint_aliases": {"token_endpoint": "http://m.example/t"}}, "addresses"),
    "no push": ({"pushed_authorization_request_endpoint": None}, "pushed-requests"),
    "push by choice": ({"require_pushed_authorization_requests": None}, "pushed-requests"),
    "implicit": ({"response_types_supported": ["code", "token"]}, "response-type"),
    "hybrid only": ({"response_types_supported": ["code id_token"]}, "response-type"),
    "plain PKCE": ({"code_challenge_methods_supported": ["S256", "plain"]}, "pkce"),
    "no PKCE": ({"code_challenge_methods_supported": None}, "pkce"),
    "no iss": ({"authorization_response_iss_parameter_supported": None}, "response-issuer"),
    "bearer tokens": ({"dpop_signing_alg_values_supported": None}, "sender-constraint"),
    "secrets": (
        {"token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic"]},
        "authentication",
    ),
    "no authentication": ({"token_endpoint_auth_methods_supported": ["none"]}, "authentication"),
    "passwords": ({"grant_types_supported": [*GOOD["grant_types_supported"], "password"]}, "grant-types"),
    "RS256": ({ALGORITHMS: ["ES256", "RS256"]}, "algorithms"),
    "none": ({ALGORITHMS: ["ES256", "none"]}, "algorithms"),
    "nothing of ours": ({ALGORITHMS: ["ES512"]}, "algorithms"),
    "JARM unsaid": (
        {"response_modes_supported": ["query", "jwt"], "authorization_signing_alg_values_supported": None},
        "signed-responses",
    ),
}


@pytest.mark.parametrize(("told", "what"), WRONG_SERVERS.values(), ids=WRONG_SERVERS.keys())
def test_a_server_that_is_wrong_fails_its_requirement(told: dict[str, Any], what: str) -> None:
    # A bearer token is taken where the metadata offers no certificates either.
    findings = server(
        {"tls_client_certificate_bound_access_tokens": None, "mtls_endpoint_aliases": None} | told
    )
    assert {name for name, finding in findings.items() if finding.verdict is FAIL} == {f"server.{what}"}


@pytest.mark.parametrize(
    ("jwks", "what"),
    [
        ({"keys": []}, "present"),
        ({}, "present"),
        ({"keys": [EC_KEY, rsa_of(1024)]}, "strong"),
        ({"keys": [EC_KEY, {**RSA_KEY, "alg": "RS256"}]}, "algorithm"),
        ({"keys": [EC_KEY, EC_KEY]}, "named"),
        ({"keys": [generate_private_jwk("ES256")]}, "public"),
        ({"keys": [{**EC_KEY, "crv": "P-384"}]}, "known"),
        ({"keys": [{**EC_KEY, "exp": at(-1)}]}, "current"),
    ],
)
def test_a_key_set_of_ours_that_is_wrong_fails_its_requirement(jwks: object, what: str) -> None:
    assert server(jwks=jwks)[f"server.key-{what}"].verdict is FAIL


def test_what_openid_connect_needs_is_a_warning_where_it_is_on() -> None:
    weaker = {
        "require_pushed_authorization_requests": None,
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic"],
        ALGORITHMS: ["ES256", "RS256"],
    }
    jwks = {"keys": [EC_KEY, {**RSA_KEY, "alg": "RS256"}]}
    findings = server(weaker, jwks, oauth=OAuthSection(oidc_clients=True))
    assert not has_failed(findings.values())
    warned = {name for name, finding in findings.items() if finding.verdict is WARNING}
    assert warned == {
        f"server.{name}" for name in ("pushed-requests", "authentication", "algorithms", "oidc-clients")
    }
    unsigned = server(weaker | {ALGORITHMS: ["ES256", "none"]}, jwks, oauth=OAuthSection(oidc_clients=True))
    assert unsigned["server.algorithms"].verdict is FAIL


def test_lives_and_limits() -> None:
    long = server(
        oauth=OAuthSection(request_uri_seconds=600, access_token_seconds=3600),
        limits=LimitsSection(client_per_minute=0),
    )
    assert long["server.request-life"].verdict is FAIL
    assert long["server.token-life"].facts == ("3600 s",)
    assert (long["server.token-life"].verdict, long["server.rates"].verdict) == (WARNING, WARNING)
    assert long["server.rates"].facts == ("limits.client_per_minute",)
    endless = OAuthSection.model_construct(**OAuthSection().model_dump() | {"code_seconds": 61})
    assert server(oauth=endless)["server.code-life"].verdict is FAIL


def test_plain_http_is_a_warning_in_a_demo() -> None:
    plain = metadata.authorization_server("http://127.0.0.1:8000")
    demo, production = server(plain, is_demo=True), server(plain)
    for name in ("server.issuer", "server.addresses"):
        assert [of[name].verdict for of in (demo, production)] == [WARNING, FAIL]


def test_without_tls_of_its_own_the_proxy_is_to_be_looked_at() -> None:
    assert [server(tls=TlsSection(), is_demo=is_demo)["server.tls"].verdict for is_demo in (True, False)] == [
        NOT_APPLICABLE,
        WARNING,
    ]


def test_a_server_in_order_has_no_fault() -> None:
    assert {finding.verdict for finding in server().values()} <= {PASS, NOT_APPLICABLE}


# Together: what is really published, and rows as they really lie there.


def insert_client(world: World, client_id: str, *keys: object) -> None:
    """A row that registering would have refused: of an older program, or of somebody with a database."""
    with world.installation.data.write() as session:
        good = session.exec(select(Client).where(Client.client_id == world.insurer.client_id)).one()
        row = good.model_dump() | {"client_id": client_id, "jwks": json.dumps({"keys": keys})}
        session.add(Client(**row))


def test_a_client_with_a_weak_or_expired_key_is_shown_as_a_failure(world: World) -> None:
    insert_client(world, "weak-app", rsa_of(1024))
    insert_client(world, "expired-app", {**EC_KEY, "exp": at(-1)})
    with world.installation.data.read() as session:
        failed = {
            checked.client.client_id: {
                finding.requirement.name for finding in checked.findings if finding.verdict is FAIL
            }
            for checked in checked_clients(world.installation, session, world.clock())
        }
    assert failed == {
        "expired-app": {"client.key-current", "client.key-present"},
        "insurer-claims": set(),
        "other-app": set(),
        "weak-app": {"client.key-strong", "client.key-present"},
    }


def test_one_client_by_its_id(small_world: World) -> None:
    with small_world.installation.data.read() as session:
        checked = checked_client(small_world.installation, session, "insurer-claims", small_world.clock())
        assert checked.client == clients.show(session, "insurer-claims")
        with pytest.raises(UnknownClientError):
            checked_client(small_world.installation, session, "nobody", small_world.clock())


def test_what_the_server_really_publishes_is_in_order_but_for_its_plain_address(small_world: World) -> None:
    """The issuer of the tests is plain http, and their limits are off."""
    findings = server_findings(small_world.installation, small_world.clock())
    wrong = {finding.requirement.name: finding.verdict for finding in findings if finding.verdict != PASS}
    assert {name for name, verdict in wrong.items() if verdict is FAIL} == {
        "server.issuer",
        "server.addresses",
    }
    assert wrong["server.rates"] is WARNING
