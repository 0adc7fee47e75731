"""Metadata says what is so (RFC 8414, RFC 9728), and the key set holds public keys only (RFC 7517)."""

from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

from broker.oauth import metadata
from tests.installation import ISSUER
from tests.oauth.world import World
from vault.jose import check_public_jwks


def test_the_issuer_never_comes_from_the_request(small_world: World) -> None:
    answer = small_world.http.get("/.well-known/oauth-authorization-server", headers={"Host": "evil.example"})
    assert "evil" not in answer.text
    assert answer.json()["issuer"] == ISSUER


def test_there_is_no_openid_configuration_until_there_are_id_tokens(small_world: World) -> None:
    assert small_world.http.get("/.well-known/openid-configuration").status_code == 404
    assert (
        "openid"
        not in small_world.http.get("/.well-known/oauth-authorization-server").json()["scopes_supported"]
    )


def test_the_document_is_what_fapi_2_asks_for(small_world: World) -> None:
    document = small_world.http.get("/.well-known/oauth-authorization-server").json()
    assert document["require_pushed_authorization_requests"] is True
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert document["authorization_details_types_supported"] == ["mydata_consent"]
    for name, algorithms in document.items():
        if name.endswith("signing_alg_values_supported"):
            assert {"PS256", "ES256", "EdDSA", "Ed25519"} >= set(algorithms)
            assert "ES256" in algorithms


def test_another_implementation_validates_the_document() -> None:
    AuthorizationServerMetadata(metadata.authorization_server("https://broker.example")).validate()


def test_every_endpoint_that_is_named_is_there(small_world: World) -> None:
    document = small_world.http.get("/.well-known/oauth-authorization-server").json()
    addresses = [value for name, value in document.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(addresses) == 6
    for address in addresses:
        assert address.startswith(f"{ISSUER}/")
        assert small_world.http.get(address).status_code in {200, 400, 405}


def test_the_resource_names_its_server(small_world: World) -> None:
    document = small_world.http.get("/.well-known/oauth-protected-resource").json()
    assert (document["resource"], document["authorization_servers"]) == (ISSUER, [ISSUER])
    assert document["dpop_bound_access_tokens_required"] is True


def test_the_key_set_holds_public_keys_only(world: World) -> None:
    keyring = world.installation.keyring
    made = [keyring.ensure_service_key(name, "ES256", world.clock()) for name in ("oauth", "receipt")]
    keyring.ensure_service_key("log", "Ed25519", world.clock())
    keys = world.http.get("/jwks").json()
    check_public_jwks(keys)
    assert {key["kid"] for key in keys["keys"]} == {key.kid for key in made}
    assert all("d" not in key and key["use"] == "sig" and key["alg"] == "ES256" for key in keys["keys"])
