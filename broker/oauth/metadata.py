"""Metadata of the authorization server (RFC 8414) and of its resources (RFC 9728), and its public keys.

What OpenID Connect adds is in `broker.oauth.openid_discovery`.
"""

from typing import Any, Final

from broker.oauth import (
    authentication_context,
    ciba,
    client_assertion,
    dpop,
    grants,
    introspection_response,
    jarm,
    pkce,
    request_object,
    rich_authorization,
    scopes,
)
from broker.oauth.client_metadata import RS256, SECRET_METHODS
from broker.oauth.par import LANGUAGES
from broker.service_keys import published_keys
from vault.jose import public_jwks
from vault.keys.keyring import Keyring

GRANT_TYPES: Final = ("authorization_code", "refresh_token", "client_credentials", ciba.GRANT_TYPE)


def authorization_server(issuer: str, *, oidc_clients: bool = False) -> dict[str, Any]:
    """RFC 8414 section 2, with the members of RFC 9101, 9126, 9207, 9396, 9449, 9470, 9701 and JARM.

    `oidc_clients`: with what only clients of the profile `oidc` may do. Each of the others is still held to
    its own profile, whatever stands here.
    """
    methods, algorithms = [client_assertion.METHOD], list(client_assertion.ALGORITHMS)
    if oidc_clients:
        methods, algorithms = [*methods, *map(str, SECRET_METHODS)], [*algorithms, RS256]
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "pushed_authorization_request_endpoint": f"{issuer}/par",
        "require_pushed_authorization_requests": not oidc_clients,
        "token_endpoint": f"{issuer}/token",
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint": f"{issuer}/revoke",
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint": f"{issuer}/introspect",
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_signing_alg_values_supported": list(introspection_response.ALGORITHMS),
        "registration_endpoint": f"{issuer}/register",
        "jwks_uri": f"{issuer}/jwks",
        "scopes_supported": sorted(scopes.SUPPORTED),
        "response_types_supported": ["code"],
        "response_modes_supported": list(jarm.MODES),
        "authorization_signing_alg_values_supported": list(jarm.ALGORITHMS),
        "request_parameter_supported": True,
        "request_uri_parameter_supported": False,
        "require_signed_request_object": False,
        "request_object_signing_alg_values_supported": list(request_object.ALGORITHMS),
        "grant_types_supported": list(GRANT_TYPES),
        "code_challenge_methods_supported": [pkce.METHOD],
        "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
        "authorization_details_types_supported": list(rich_authorization.TYPES),
        "authorization_response_iss_parameter_supported": True,
        "grant_management_endpoint": f"{issuer}/grants",
        "grant_management_actions_supported": list(grants.SUPPORTED),
        "grant_management_action_required": False,
        "backchannel_authentication_endpoint": f"{issuer}/bc-authorize",
        "backchannel_token_delivery_modes_supported": list(ciba.DELIVERY_MODES),
        "backchannel_authentication_request_signing_alg_values_supported": list(request_object.ALGORITHMS),
        "backchannel_user_code_parameter_supported": False,
        "acr_values_supported": list(authentication_context.SUPPORTED),
        "ui_locales_supported": list(LANGUAGES),
        "protected_resources": [issuer],
    }


def protected_resource(issuer: str, *, oidc_clients: bool = False) -> dict[str, Any]:
    """RFC 9728 section 2: one resource, named by the issuer.

    `oidc_clients`: tokens of that profile may be bound to nothing, and open `/userinfo` and event streams.
    """
    return {
        "resource": issuer,
        "authorization_servers": [issuer],
        "scopes_supported": sorted(scopes.SUPPORTED),
        "bearer_methods_supported": ["header"],
        "dpop_bound_access_tokens_required": not oidc_clients,
        "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
        "authorization_details_types_supported": list(rich_authorization.TYPES),
    }


def key_set(keyring: Keyring, *, oidc_clients: bool = False) -> dict[str, Any]:
    """Our public keys (RFC 7517 section 5): what signs, will sign or signed lately, and all of receipts."""
    return public_jwks(published_keys(keyring, oidc_clients=oidc_clients))
