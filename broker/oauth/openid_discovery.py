"""OpenID Connect Discovery 1.0 section 3: the metadata of the authorization server, and what OpenID adds."""

from collections.abc import Mapping
from typing import Any

from broker.oauth import id_token, openid_request
from broker.oauth.client_metadata import RS256


def openid_provider(document: Mapping[str, Any], *, oidc_clients: bool = False) -> dict[str, Any]:
    """The document at `/.well-known/openid-configuration`, from the one of RFC 8414.

    Nothing is promised that there is not: one class of sign-in, no claims about a person, RS256 only where
    clients of the profile `oidc` are served.
    """
    return {
        **document,
        "userinfo_endpoint": f"{document['issuer']}/userinfo",
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": [id_token.ALGORITHM, *([RS256] if oidc_clients else [])],
        "claim_types_supported": ["normal"],
        "claims_supported": list(id_token.CLAIMS),
        "claims_parameter_supported": True,
        "prompt_values_supported": list(openid_request.PROMPTS),
        "display_values_supported": ["page"],
        "request_uri_parameter_supported": False,
        "end_session_endpoint": f"{document['issuer']}/end_session",
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
    }
