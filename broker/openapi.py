"""The OpenAPI document, made complete: how callers prove themselves, and every answer that an address gives.

The framework describes what is well; what is refused stands here, since it is refused in one place.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI

from broker.errors import PROBLEM_MEDIA_TYPE, is_oauth, is_page
from broker.lane.openapi import describe_lane
from broker.oauth.openapi import OAUTH_ERROR, describe_endpoint

_JSON: Final = "application/json"
_HTML: Final = {"text/html; charset=utf-8": {"schema": {"type": "string"}}}

_PROBLEM: Final = {
    "type": "object",
    "required": ["type", "title", "status", "code", "trace_id", "errors"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable: docs/errors.md"},
        "detail": {"type": "string"},
        "trace_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "rule"],
                "properties": {"path": {"type": "string"}, "rule": {"type": "string"}},
            },
        },
    },
}
_DPOP: Final = {"type": "http", "scheme": "DPoP", "description": "An access token with a proof (RFC 9449)"}
_UNBOUND: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An access token of the profile `oidc`, bound to nothing, where such clients are served",
}
_REGISTRATION: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An initial access token (RFC 7591), or a registration access token (RFC 7592)",
}
_COOKIE: Final = {
    "type": "apiKey",
    "in": "cookie",
    "name": "__Host-sid",
    "description": "Of somebody who is signed in; `sid` over loopback http",
}

# Addresses for signed-in people; others below _TOKENS are for clients with a token, the rest is open.
_PEOPLE: Final = ("/v1/audit/", "/v1/statistics", "/v1/decisions/", "/log/tile/entries/")
_TOKENS: Final = ("/v1/", "/grants", "/userinfo", "/ssf/")
_UNPROVEN: Final = ("/userinfo", "/ssf/")  # also for tokens that are bound to nothing
_OPEN: Final = ("/v1/catalogue/",)

_ANYWHERE: Final = {
    "400": "The request does not have the right form",
    "413": "The body is too large",
    "414": "The address is too long",
    "429": "Too many requests: Retry-After",
    "431": "The headers are too large",
    "503": "Overloaded: Retry-After",
}
_GUARDED: Final = {"401": "Nobody is proven; `WWW-Authenticate` says how", "403": "Not for this caller"}
_BODY: Final = {"415": "The body must be JSON in UTF-8", "422": "A rule is broken; `errors` names it"}
_NAMED: Final = {"404": "There is nothing here for you"}
_CHANGING: Final = {"409": "The state of things does not allow it", "410": "It is gone"}

# Good answers that are not JSON.
_BYTES: Final = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_PLAIN: Final = {"text/plain; charset=utf-8": {"schema": {"type": "string"}}}
_CONTENT: Final[Mapping[str, Mapping[str, Any]]] = {
    "/log/checkpoint": _PLAIN,
    "/log/key": _PLAIN,
    "/log/tile/{path}": _BYTES,
    "/log/tile/entries/{path}": _BYTES,
}


def describe(app: FastAPI) -> None:
    """Let `app.openapi()` answer the whole document."""
    describe_lane(app)
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            for path, method, operation in _operations(document):
                describe_endpoint(path, method, operation)
                _describe(path, method, operation)
            components = document.setdefault("components", {})
            components.setdefault("schemas", {}).update(Problem=_PROBLEM, OAuthError=OAUTH_ERROR)
            components["schemas"].pop("HTTPValidationError", None)
            components["schemas"].pop("ValidationError", None)
            components["securitySchemes"] = {
                "dpop": _DPOP,
                "unbound": _UNBOUND,
                "session": _COOKIE,
                "registration": _REGISTRATION,
            }
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _describe(path: str, method: str, operation: dict[str, Any]) -> None:
    security = _security(path)
    if security is not None:
        others = ["unbound"] if path.startswith(_UNPROVEN) else []
        operation["security"] = [{name: []} for name in (security, *others)]
    answers = operation["responses"]
    if path in _CONTENT:
        answers["200"]["content"] = dict(_CONTENT[path])
    # The framework's own word for a refused request is not what is answered.
    if "HTTPValidationError" in str(answers.get("422", "")):
        del answers["422"]
    for status, text in _refusals(path, method, operation).items():
        answers.setdefault(status, {"description": text, "content": _content(path)})


def _security(path: str) -> str | None:
    if path.startswith(_PEOPLE):
        return "session"
    if path.startswith("/register"):
        return "registration"
    return "dpop" if path.startswith(_TOKENS) and not path.startswith(_OPEN) else None


def _refusals(path: str, method: str, operation: Mapping[str, Any]) -> dict[str, str]:
    """Every refusal of an operation, by its status."""
    refusals: dict[str, str] = dict(_ANYWHERE)
    if is_oauth(path):
        takes_json = _JSON in operation.get("requestBody", {}).get("content", {})
        refusals |= {"415": _BODY["415"]} if takes_json else {}
        return refusals | {"401": "The client did not authenticate"}
    if _security(path) is not None:
        refusals |= _GUARDED
    if _JSON in operation.get("requestBody", {}).get("content", {}):
        refusals |= _BODY
    elif operation.get("parameters"):
        refusals |= {"422": _BODY["422"]}
    if "{" in path or path.startswith("/ssf/") or (method == "post" and not is_page(path)):
        refusals |= _NAMED
    if method in {"post", "put", "patch", "delete"}:
        refusals |= _CHANGING
    return refusals


def _content(path: str) -> dict[str, Any]:
    if is_oauth(path):
        return {_JSON: {"schema": {"$ref": "#/components/schemas/OAuthError"}}}
    if is_page(path):
        return dict(_HTML)
    return {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
