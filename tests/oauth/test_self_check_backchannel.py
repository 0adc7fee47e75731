"""The self-check on what FAPI-CIBA and registration demand, of the server and of a client."""

from typing import Any

import pytest

from broker.oauth.ciba import GRANT_TYPE
from broker.oauth.client_metadata import ClientMetadata, SecurityProfile
from tests.oauth.test_self_check import FAIL, GOOD, NOT_APPLICABLE, PASS, client, found, server

MODES = "backchannel_token_delivery_modes_supported"


@pytest.mark.parametrize(
    ("told", "facts"),
    [
        ({MODES: ["poll", "push"]}, ("push",)),
        ({MODES: None}, (MODES,)),
        ({MODES: []}, (MODES,)),
        ({"grant_types_supported": ["authorization_code"]}, ("grant_types_supported",)),
    ],
)
def test_a_server_that_pushes_tokens_or_says_half_of_it_fails(
    told: dict[str, Any], facts: tuple[str, ...]
) -> None:
    findings = server(told)
    assert (findings["server.backchannel"].verdict, findings["server.backchannel"].facts) == (FAIL, facts)
    assert {name for name, one in findings.items() if one.verdict is FAIL} == {"server.backchannel"}


def test_weak_signatures_of_such_requests_fail() -> None:
    name = "backchannel_authentication_request_signing_alg_values_supported"
    assert server({name: ["ES256", "RS256"]})["server.algorithms"].facts == (name,)


@pytest.mark.parametrize(
    "address",
    ["https://elsewhere.example/register", "https://broker.example.evil.example/register", 7],
)
def test_registration_elsewhere_fails(address: object) -> None:
    assert server({"registration_endpoint": address})["server.registration"].verdict is FAIL


def test_what_is_not_offered_is_not_looked_at() -> None:
    absent = {"backchannel_authentication_endpoint": None, "registration_endpoint": None}
    findings = server(absent)
    for name in ("server.backchannel", "server.registration"):
        assert findings[name].verdict is NOT_APPLICABLE
        assert server()[name].verdict is PASS
    assert GRANT_TYPE in GOOD["grant_types_supported"]


def test_a_client_of_plain_openid_connect_must_not_ask_without_a_browser() -> None:
    """A row that registering would have refused."""
    asks = ClientMetadata(backchannel_token_delivery_mode="poll")
    plain = found(client(metadata=asks, profile=SecurityProfile.OIDC), are_oidc_clients_served=True)
    assert (plain["client.backchannel"].verdict, plain["client.backchannel"].facts) == (FAIL, ("oidc",))
    assert plain["client.metadata"].verdict is FAIL
    assert found(client(metadata=asks))["client.backchannel"].verdict is PASS
    assert found(client())["client.backchannel"].verdict is NOT_APPLICABLE
    assert found(client(metadata=asks, redirect_uris=()))["client.redirect-present"].verdict is NOT_APPLICABLE


def test_who_asks_without_a_browser_needs_a_key_to_sign_with_also_beside_a_certificate() -> None:
    members = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example"}
    asks = ClientMetadata.model_validate(members | {"backchannel_token_delivery_mode": "poll"})
    assert found(client(metadata=asks, jwks={"keys": []}))["client.key-present"].verdict is FAIL
    assert found(client(metadata=asks))["client.key-present"].verdict is PASS


def test_modes_and_algorithms_of_a_later_or_older_program_fail() -> None:
    for member, value in (
        ("backchannel_token_delivery_mode", "push"),
        ("backchannel_authentication_request_signing_alg", "RS256"),
    ):
        good = ClientMetadata(backchannel_token_delivery_mode="poll").model_dump()
        odd = ClientMetadata.model_construct(**good | {member: value})
        assert found(client(metadata=odd))["client.backchannel"].facts == (value,)
