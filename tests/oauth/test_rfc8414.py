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


def test_openid_is_a_scope_and_its_own_members_are_in_its_own_document(small_world: World) -> None:
    document = small_world.http.get("/.well-known/oauth-authorization-server").json()
    assert "openid" in document["scopes_supported"]
    assert {"userinfo_endpoint", "subject_types_supported"}.isdisjoint(document)


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
    named = {name: value for name, value in document.items() if name.endswith(("_endpoint", "_uri"))}
    assert named.keys() == {
        "authorization_endpoint",
        "backchannel_authentication_endpoint",
        "grant_management_endpoint",
        "introspection_endpoint",
        "jwks_uri",
        "pushed_authorization_request_endpoint",
        "registration_endpoint",
        "revocation_endpoint",
        "token_endpoint",
    }
    addresses = list(named.values())
    addresses.remove(f"{ISSUER}/grants")  # there is no list of grants, only each
    assert small_world.http.get(f"{ISSUER}/grants/x").status_code == 401
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
