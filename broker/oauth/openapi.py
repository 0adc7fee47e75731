"""The authorization server's part of the OpenAPI document, by hand: its handlers read forms by themselves."""

from collections.abc import Mapping
from typing import Any, Final

from broker.oauth import logout

_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "integer"}
_ASSERTION: Final[Mapping[str, Any]] = {
    "client_assertion_type": {
        "type": "string",
        "const": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    },
    "client_assertion": {"type": "string", "description": "A JWT of the client, good once (RFC 7523)"},
}
_DETAILS: Final = {"type": "array", "items": {"type": "object"}}

OAUTH_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": _TEXT, "error_description": _TEXT},
}
_PUSHED_NAMES: Final = (
    "client_id",
    "response_type",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "dpop_jkt",
    "ui_locales",
    "prompt",
    "max_age",
    "acr_values",
    "claims",
    "id_token_hint",
    "grant_id",
    "grant_management_action",
    "deal_invitation",
    "request",
    "resource",
    "response_mode",
)
_PUSH: Final = {
    "type": "object",
    "required": ["client_id", *_ASSERTION],
    "properties": {
        **_ASSERTION,
        **dict.fromkeys(_PUSHED_NAMES, _TEXT),
        "authorization_details": {
            "type": "string",
            "description": "JSON: see /v1/catalogue/authorization-details-types/mydata_consent",
        },
    },
}
_OPEN: Final = {
    "type": "object",
    "properties": {"client_id": _TEXT, "request_uri": _TEXT},
}
_END: Final = {"type": "object", "properties": dict.fromkeys(logout.PARAMETERS, _TEXT)}
_TOKEN: Final = {
    "type": "object",
    "required": ["grant_type", *_ASSERTION],
    "properties": {
        "grant_type": _TEXT,
        **_ASSERTION,
        **dict.fromkeys(
            ("code", "redirect_uri", "code_verifier", "refresh_token", "auth_req_id", "scope", "resource"),
            _TEXT,
        ),
    },
}
_ASK: Final = {
    "type": "object",
    "required": ["request", *_ASSERTION],
    "properties": {
        "client_id": _TEXT,
        "request": {"type": "string", "description": "The request as a signed JWT (OpenID CIBA Core 7.1.1)"},
        **_ASSERTION,
    },
}
_ASKED: Final = {
    "type": "object",
    "required": ["auth_req_id", "expires_in"],
    "properties": {"auth_req_id": _TEXT, "expires_in": _NUMBER, "interval": _NUMBER},
}
_REVOKE: Final = {
    "type": "object",
    "required": ["token", *_ASSERTION],
    "properties": {"token": _TEXT, "token_type_hint": _TEXT, **_ASSERTION},
}
_PUSHED: Final = {
    "type": "object",
    "required": ["request_uri", "expires_in"],
    "properties": {"request_uri": _TEXT, "expires_in": _NUMBER},
}
_ISSUED: Final = {
    "type": "object",
    "required": ["access_token", "token_type", "expires_in"],
    "properties": {
        "access_token": _TEXT,
        "token_type": _TEXT,
        "expires_in": _NUMBER,
        "scope": _TEXT,
        "refresh_token": _TEXT,
        "id_token": _TEXT,
        "grant_id": _TEXT,
        "authorization_details": _DETAILS,
    },
}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_METADATA: Final = {
    "client_name": {"type": "string", "minLength": 1, "maxLength": 100},
    "jwks": {"type": "object", "description": "Public keys (RFC 7517)"},
    "redirect_uris": _TEXTS,
    "scope": _TEXT,
    "grant_types": _TEXTS,
    "response_types": _TEXTS,
    "token_endpoint_auth_method": _TEXT,
    "authorization_details_types": _TEXTS,
    "mydata_purposes": {**_TEXTS, "description": "Purposes that it may ask for, of those of its invitation"},
}
_REGISTER: Final = {"type": "object", "required": ["client_name", "jwks"], "properties": _METADATA}
_CHANGE: Final = {
    "type": "object",
    "required": ["client_id", "client_name", "jwks"],
    "properties": {"client_id": _TEXT, **_METADATA},
}
_REGISTERED: Final = {
    "type": "object",
    "required": ["client_id", "client_id_issued_at", "registration_access_token", "registration_client_uri"],
    "properties": {
        "client_id": _TEXT,
        "client_id_issued_at": _NUMBER,
        "registration_access_token": _TEXT,
        "registration_client_uri": _TEXT,
        **_METADATA,
        "mydata_security_profile": _TEXT,
    },
}
_PROOF: Final = {
    "name": "DPoP",
    "in": "header",
    "schema": _TEXT,
    "description": "Proof of possession (RFC 9449)",
}
_QUERY: Final = [
    {"name": name, "in": "query", "required": True, "schema": _TEXT} for name in ("client_id", "request_uri")
]
_LOGOUT: Final = [
    {"name": name, "in": "query", "required": False, "schema": _TEXT} for name in logout.PARAMETERS
]

# What is added to what the framework finds out by itself, by path and method.
DESCRIBED: Final[Mapping[str, Mapping[str, Any]]] = {
    "/par": {"post": {"form": _PUSH, "success": ("201", _PUSHED), "parameters": [_PROOF]}},
    "/bc-authorize": {"post": {"form": _ASK, "success": ("200", _ASKED), "parameters": []}},
    "/token": {"post": {"form": _TOKEN, "success": ("200", _ISSUED), "parameters": [_PROOF]}},
    "/revoke": {"post": {"form": _REVOKE, "success": ("200", {}), "parameters": []}},
    "/register": {"post": {"json": _REGISTER, "success": ("201", _REGISTERED), "parameters": []}},
    "/register/{client_id}": {
        "get": {"success": ("200", _REGISTERED), "parameters": []},
        "put": {"json": _CHANGE, "success": ("200", _REGISTERED), "parameters": []},
    },
    "/authorize": {
        "get": {"success": ("303", None), "parameters": _QUERY},
        "post": {"form": _OPEN, "success": ("303", None), "parameters": []},
    },
    "/end_session": {
        "get": {"success": ("303", None), "parameters": _LOGOUT},
        "post": {"form": _END, "success": ("303", None), "parameters": []},
    },
}


def describe_endpoint(path: str, method: str, operation: dict[str, Any]) -> None:
    """Put form, parameters and good answer of an endpoint into its operation."""
    described = DESCRIBED.get(path, {}).get(method)
    if described is None:
        return
    operation.setdefault("parameters", []).extend(described["parameters"])
    if "form" in described:
        content = {"application/x-www-form-urlencoded": {"schema": described["form"]}}
        operation["requestBody"] = {"required": "required" in described["form"], "content": content}
    if "json" in described:
        content = {"application/json": {"schema": described["json"]}}
        operation["requestBody"] = {"required": True, "content": content}
    status, schema = described["success"]
    answer = operation["responses"][status]
    answer.pop("content", None)
    if schema is not None:
        answer["content"] = {"application/json": {"schema": schema}}
