"""Metadata of the authorization server (RFC 8414) and of its resources (RFC 9728), and its public keys.

There is no /.well-known/openid-configuration until there are ID tokens.
"""

from typing import Any, Final

from broker.oauth import client_assertion, dpop, pkce, rich_authorization, scopes
from broker.oauth.par import LANGUAGES
from vault.jose import public_jwks
from vault.keys.keyring import Keyring

GRANT_TYPES: Final = ("authorization_code", "refresh_token", "client_credentials")
PUBLISHED_KEYS: Final = ("oauth", "receipt")


def authorization_server(issuer: str) -> dict[str, Any]:
    """RFC 8414 section 2, with the members of RFC 9126, 9207, 9396 and 9449."""
    methods, algorithms = [client_assertion.METHOD], list(client_assertion.ALGORITHMS)
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "pushed_authorization_request_endpoint": f"{issuer}/par",
        "require_pushed_authorization_requests": True,
        "token_endpoint": f"{issuer}/token",
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint": f"{issuer}/revoke",
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint": f"{issuer}/introspect",
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "jwks_uri": f"{issuer}/jwks",
        "scopes_supported": sorted(scopes.SUPPORTED),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANT_TYPES),
        "code_challenge_methods_supported": [pkce.METHOD],
        "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
        "authorization_details_types_supported": list(rich_authorization.TYPES),
        "authorization_response_iss_parameter_supported": True,
        "ui_locales_supported": list(LANGUAGES),
        "protected_resources": [issuer],
    }


def protected_resource(issuer: str) -> dict[str, Any]:
    """RFC 9728 section 2: one resource, the whole of `/v1`, named by the issuer."""
    return {
        "resource": issuer,
        "authorization_servers": [issuer],
        "scopes_supported": sorted(scopes.SUPPORTED),
        "bearer_methods_supported": ["header"],
        "dpop_bound_access_tokens_required": True,
        "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
        "authorization_details_types_supported": list(rich_authorization.TYPES),
    }


def key_set(keyring: Keyring) -> dict[str, Any]:
    """Every public key of ours, retired ones too: receipts stay verifiable (RFC 7517 section 5)."""
    return public_jwks(key for name in PUBLISHED_KEYS for key in keyring.service_keys(name))
