"""Every address, called by a stranger, says no; what is open is listed here, and nothing else is."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from broker.app import create_app
from broker.installation import Installation
from broker.lane.routes import lane_routes
from tests.installation import ISSUER

# Open to anybody, since nothing in them is about anybody.
PUBLIC = {
    "/",
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-protected-resource",
    "/.well-known/openid-configuration",
    "/.well-known/ssf-configuration",
    "/authorize",
    "/end_session",
    "/jwks",
    "/livez",
    "/log/checkpoint",
    "/log/key",
    "/log/tile/{path:path}",
    "/openapi.json",
    "/readyz",
    "/static/{hashed_name}",
    "/v1/catalogue/authorization-details-types/mydata_consent",
    "/v1/catalogue/purposes",
    "/v1/catalogue/notices/{digest}",
    "/v1/catalogue/purposes/{code}",
    "/v1/catalogue/recipients",
    "/v1/catalogue/record-types",
    "/v1/catalogue/record-types/{code}",
    "/{language}/coverage",
    "/{language}/logout",
    "/{language}/signed-out",
    "/{language}/signin",
    "/{language}/verify",
    "/{language}/verify/verifier.pyz",
}

# A client proves itself inside, and is refused in OAuth's own form (RFC 6749 section 5.2).
CLIENT_PROVES_ITSELF = {"/bc-authorize", "/introspect", "/par", "/revoke", "/token"}

# A well-formed request: what says no must be the guard, not a check of form that comes before it.
HEADERS = {"Origin": ISSUER, "Idempotency-Key": "one"}
FORM = {"grant_type": "client_credentials", "token": "x"}

Address = tuple[str, str]  # (method, path template)


def addresses(routes: Iterable[Any]) -> Iterator[Address]:
    """Every method and path, of pages too: those are not in the OpenAPI document."""
    for route in routes:
        if hasattr(route, "effective_candidates"):  # FastAPI keeps included routers as branches
            yield from addresses(route.effective_candidates())
            continue
        for method in (route.methods or set()) - {"HEAD"}:
            yield method, route.path


def template(path: str) -> str:
    return re.sub(r"^/(ko|en)(?=/|$)", "/{language}", path)


def filled(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "x", path)


@pytest.fixture
def app(sqlite_installation: Installation) -> FastAPI:
    return create_app(sqlite_installation)


@pytest.fixture
def stranger(app: FastAPI) -> Iterator[TestClient]:
    """Somebody without cookie or token."""
    with TestClient(
        app, base_url=ISSUER, headers=HEADERS, follow_redirects=False, raise_server_exceptions=False
    ) as client:
        yield client


def test_a_stranger_is_refused_everywhere_but_on_the_list(app: FastAPI, stranger: TestClient) -> None:
    opened = []
    for method, path in sorted(addresses(app.routes)):
        if template(path) in PUBLIC | CLIENT_PROVES_ITSELF:
            continue
        answer = stranger.request(method, filled(path), data=FORM)
        is_sent_to_sign_in = answer.status_code == 303 and "/signin" in answer.headers["location"]
        if answer.status_code != 401 and not is_sent_to_sign_in:
            opened.append((method, path, answer.status_code))
    assert opened == []


def test_a_client_without_proof_is_refused_in_the_form_of_oauth(stranger: TestClient) -> None:
    answers = {path: stranger.post(path, data=FORM) for path in CLIENT_PROVES_ITSELF}
    assert {answer.status_code for answer in answers.values()} <= {400, 401}
    assert {answer.json()["error"] for answer in answers.values()} == {"invalid_client"}


def test_the_walk_finds_what_the_documents_list(app: FastAPI) -> None:
    found = {path.replace(":path", "") for _, path in addresses(app.routes)}
    assert set(app.openapi()["paths"]) <= found
    assert {route.path for route in lane_routes()} <= found


def test_the_list_of_open_addresses_holds_nothing_old(app: FastAPI) -> None:
    assert {template(path) for _, path in addresses(app.routes)} >= PUBLIC | CLIENT_PROVES_ITSELF
