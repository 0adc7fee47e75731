"""What a client of the profile `oidc` can be, and what one of FAPI 2.0 cannot."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from requests_oauth2client import BearerToken, ClientSecretBasic, ClientSecretPost, OAuth2Client

from broker.installation import Installation
from broker.oauth.client_metadata import ClientMetadata, SecurityProfile
from broker.oauth.clients import show
from broker.oauth.self_check.findings import Verdict
from broker.oauth.self_check.report import client_findings, server_findings
from tests.installation import ISSUER, Clock
from tests.oauth.plain_world import BASIC, PlainWorld, build_plain, faults, registration
from tests.oauth.test_foreign_client import InProcessAdapter
from vault.jose import generate_private_jwk, public_jwk


@pytest.fixture
def plain(sqlite_installation: Installation, clock: Clock) -> Iterator[PlainWorld]:
    yield from build_plain(sqlite_installation, clock)


def test_what_it_cannot_be(plain: PlainWorld) -> None:
    good = registration("new-client", token_endpoint_auth_method=BASIC)
    jwks: dict[str, Any] = {"keys": [public_jwk(generate_private_jwk("ES256"))]}
    changes: list[tuple[dict[str, Any], str]] = [
        ({"scope": "openid records.read"}, "scope"),
        ({"scope": "openid deliveries"}, "scope"),
        ({"scope": "deliveries"}, "scope"),
        ({"purposes": ("test.claim",)}, "purposes"),
        ({"events_endpoint": "https://plain.example/events"}, "events_endpoint"),
        ({"redirect_uris": ()}, "scope"),
        ({"metadata": ClientMetadata()}, "jwks.keys"),
        ({"metadata": chosen(client_secret_sha256="0" * 64)}, "metadata.client_secret_sha256"),
        ({"metadata": chosen(require_signed_request_object=True)}, "metadata.require_signed_request_object"),
        ({"metadata": chosen(request_object_signing_alg="ES256")}, "metadata.request_object_signing_alg"),
        ({"security_profile": SecurityProfile.FAPI2}, "metadata.token_endpoint_auth_method"),
        (
            {"security_profile": SecurityProfile.FAPI2_MESSAGE_SIGNING, "jwks": jwks},
            "metadata.token_endpoint_auth_method",
        ),
        (
            {
                "security_profile": SecurityProfile.FAPI2,
                "jwks": jwks,
                "metadata": ClientMetadata(token_endpoint_auth_signing_alg="RS256"),
            },
            "metadata.token_endpoint_auth_signing_alg",
        ),
        (
            {
                "security_profile": SecurityProfile.FAPI2,
                "jwks": jwks,
                "metadata": ClientMetadata(id_token_signed_response_alg="RS256"),
            },
            "metadata.id_token_signed_response_alg",
        ),
    ]
    for change, place in changes:
        assert place in faults(plain, good.model_copy(update=change)), change
    assert faults(plain, good, oidc_clients=False) == {"security_profile"}


def chosen(**members: object) -> ClientMetadata:
    return ClientMetadata.model_validate({"token_endpoint_auth_method": BASIC} | members)


def test_the_self_check_warns_of_it_where_it_is_served(plain: PlainWorld) -> None:
    installation, now = plain.openid.installation, plain.openid.clock()
    with installation.data.read() as session:
        client = show(session, plain.plain.client_id)
    found = {one.requirement.name: one.verdict for one in client_findings(installation, client, now)}
    warned = {name for name, verdict in found.items() if verdict is Verdict.WARNING}
    assert {"client.profile", "client.authentication", "client.sender-constraint"} == warned
    assert Verdict.FAIL not in found.values()
    of_server = {one.requirement.name: one.verdict for one in server_findings(installation, now)}
    for name in ("pushed-requests", "authentication", "algorithms", "oidc-clients"):
        assert of_server[f"server.{name}"] is Verdict.WARNING, name


@pytest.mark.parametrize("kind", [ClientSecretBasic, ClientSecretPost])
def test_a_library_that_we_did_not_write_signs_somebody_in(plain: PlainWorld, kind: Any) -> None:  # noqa: ANN401
    client = plain.plain if kind is ClientSecretBasic else plain.posting
    with requests.Session() as session:
        session.mount(ISSUER, InProcessAdapter(client.http))
        library = OAuth2Client.from_discovery_document(
            session.get(f"{ISSUER}/.well-known/openid-configuration").json(),
            issuer=ISSUER,
            auth=kind(client.client_id, client.raw_secret),
            redirect_uri=client.redirect_uri,
            id_token_signed_response_alg="RS256",
            session=session,
            testing=True,
        )
        request = library.authorization_request(scope="openid")
        plain.openid.sign_in()
        arrived = plain.openid.browser.get(request.uri)
        answer = request.validate_callback(plain.openid.decide(arrived.headers["Location"]))
        tokens = library.authorization_code(answer, validate=False)
        assert isinstance(tokens, BearerToken)
        claims = plain.told({"id_token": str(tokens.id_token)})
        assert library.userinfo(tokens) == {"sub": claims["sub"]}
        assert claims["nonce"] == request.nonce
        assert library.revoke_access_token(tokens) is True
