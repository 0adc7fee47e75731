"""The lane's part of the OpenAPI document, by hand: its routes are plain Starlette."""

from typing import Any, Final

from fastapi import FastAPI

from broker.oauth.introspection_response import MEDIA_TYPE, PLAIN_MEDIA_TYPE

_KEY_HEADER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "The same key with the same request answers the same payload",
}
_PROOF_HEADER: Final = {
    "name": "DPoP",
    "in": "header",
    "required": True,
    "schema": {"type": "string"},
    "description": "Proof of possession (RFC 9449)",
}
_RECORD: Final = {
    "type": "object",
    "required": ["record_id", "version", "holder", "data"],
    "properties": {
        "record_id": {"type": "string"},
        "version": {"type": "integer"},
        "holder": {"type": "string"},
        "data": {"type": "object"},
    },
}
_DELIVERY: Final = {
    "type": "object",
    "required": ["delivery_id", "grant_id", "as_of", "records", "payload_digest", "nonce"],
    "properties": {
        "delivery_id": {"type": "string"},
        "grant_id": {"type": "string"},
        "as_of": {"type": "string", "format": "date-time"},
        "records": {"type": "object", "additionalProperties": {"type": "array", "items": _RECORD}},
        "payload_digest": {
            "type": "string",
            "description": "SHA-256, in hex, over the decoded nonce and the canonical JSON (RFC 8785) of the"
            " first four members",
        },
        "nonce": {"type": "string", "description": "32 bytes, base64url without padding"},
    },
}
_PROBLEM: Final = {
    "type": "object",
    "required": ["type", "title", "status", "code", "trace_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "trace_id": {"type": "string"},
    },
}
_INQUIRY: Final = {
    "type": "object",
    "required": ["token"],
    # An assertion, or a client certificate and the name of its client (RFC 8705 section 2).
    "anyOf": [{"required": ["client_assertion_type", "client_assertion"]}, {"required": ["client_id"]}],
    "properties": {
        "token": {"type": "string", "description": "An access or refresh token of the client's organisation"},
        "token_type_hint": {"type": "string"},
        "client_id": {"type": "string"},
        "client_assertion_type": {
            "type": "string",
            "const": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        },
        "client_assertion": {"type": "string", "description": "A JWT of the client, good once (RFC 7523)"},
    },
}
_INTROSPECTED: Final = {
    "type": "object",
    "required": ["active"],
    "properties": {
        "active": {"type": "boolean", "description": "If false, there is no other member"},
        "iss": {"type": "string"},
        "client_id": {"type": "string"},
        "scope": {"type": "string"},
        "token_type": {"type": "string", "enum": ["DPoP", "Bearer"]},
        "iat": {"type": "integer"},
        "exp": {"type": "integer"},
        "auth_time": {"type": "integer", "description": "When the person signed in for it (RFC 9470)"},
        "acr": {"type": "string"},
        "cnf": {
            "type": "object",
            "properties": {"jkt": {"type": "string"}, "x5t#S256": {"type": "string"}},
        },
        "sub": {"type": "string", "description": "Who the person is to this organisation alone"},
        "grant_id": {"type": "string"},
        "authorization_details": {"type": "array", "items": {"type": "object"}},
    },
}
_OAUTH_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
}
_INQUIRY_REFUSALS: Final = {
    "400": "The form is malformed, or a parameter came twice; or nobody authenticated, of who wants a token",
    "401": "The client did not authenticate",
    "413": "The body is too large",
    "503": "Overloaded: Retry-After",
}
_REFUSALS: Final = {
    "400": "A header is missing or malformed",
    "401": "The token opens nothing; `code` names the reason to the token's own client",
    "403": "Not now, or not this",
    "406": "`Accept: application/jose`, and the client has no key to encrypt to",
    "410": "The records were erased, or the payload would differ",
    "422": "The same key with another request",
    "503": "Overloaded: Retry-After",
}


def describe_lane(app: FastAPI) -> None:
    """Add the lane's paths to what `app.openapi()` generates."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            document["paths"].update(_paths())
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _paths() -> dict[str, Any]:
    record_type = {"name": "record_type", "in": "path", "required": True, "schema": {"type": "string"}}
    required_key = {**_KEY_HEADER, "required": True}
    return {
        "/v1/records": {"get": _operation("pull_records", "Pull everything that is granted", [_KEY_HEADER])},
        "/v1/records/{record_type}": {
            "get": _operation("pull_record_type", "Pull one record type", [record_type, _KEY_HEADER])
        },
        "/v1/deliveries": {"post": _operation("deliver", "Pull once under a key", [required_key])},
        "/introspect": {"post": _introspection()},
    }


def _introspection() -> dict[str, Any]:
    refused = {
        status: {"description": text, "content": {"application/json": {"schema": _OAUTH_ERROR}}}
        for status, text in _INQUIRY_REFUSALS.items()
    }
    told = {
        "description": "What is true now; signed (RFC 9701) where `Accept` or the client's metadata say so",
        "content": {
            PLAIN_MEDIA_TYPE: {"schema": _INTROSPECTED},
            MEDIA_TYPE: {"schema": {"type": "string"}},
        },
    }
    return {
        "operationId": "introspect",
        "summary": "Ask about a token of the client's own organisation (RFC 7662)",
        "tags": ["OAuth 2"],
        "requestBody": {
            "required": True,
            "content": {"application/x-www-form-urlencoded": {"schema": _INQUIRY}},
        },
        "responses": {"200": told, **refused},
    }


def _operation(operation_id: str, summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    refused = {
        status: {"description": text, "content": {"application/problem+json": {"schema": _PROBLEM}}}
        for status, text in _REFUSALS.items()
    }
    delivered = {
        "description": "The delivery; for `Accept: application/jose` as a compact JWE to the client's key",
        "content": {
            "application/json": {"schema": _DELIVERY},
            "application/jose": {"schema": {"type": "string"}},
        },
    }
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["records"],
        "security": [{"dpop": []}],
        "parameters": [*parameters, _PROOF_HEADER],
        "responses": {"200": delivered, **refused},
    }
