"""The lane's part of the OpenAPI document, by hand: its routes are plain Starlette."""

from typing import Any, Final

from fastapi import FastAPI

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
_REFUSALS: Final = {
    "400": "A header is missing or malformed",
    "401": "The token opens nothing; `code` names the reason to the token's own client",
    "403": "Not now, or not this",
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
            schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
            schemes["dpop"] = {"type": "http", "scheme": "DPoP", "description": "RFC 9449"}
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
    }


def _operation(operation_id: str, summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    refused = {
        status: {"description": text, "content": {"application/problem+json": {"schema": _PROBLEM}}}
        for status, text in _REFUSALS.items()
    }
    delivered = {"description": "The delivery", "content": {"application/json": {"schema": _DELIVERY}}}
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["records"],
        "security": [{"dpop": []}],
        "parameters": [*parameters, _PROOF_HEADER],
        "responses": {"200": delivered, **refused},
    }
