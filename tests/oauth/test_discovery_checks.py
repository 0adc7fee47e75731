"""What the certification suite checks of a FAPI 2.0 server's discovery, and of its resource (section 3.2)."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from jsonschema_rs import Draft202012Validator

from broker.app import create_app
from tests.installation import ISSUER, Clock
from tests.lane.world import ANYTHING, opened
from tests.oauth.openid_world import OpenIDWorld

ALLOWED: Final = {"PS256", "ES256", "EdDSA", "Ed25519"}
DOCUMENTS: Final = ("oauth-authorization-server", "openid-configuration")
SCOPE_TOKEN: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 section 3.3
LANGUAGE_TAG: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")  # RFC 5646, as far as we use it

TEXTS: Final = {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True}
ADDRESS: Final = {"type": "string", "format": "uri", "pattern": "^https?://[^?#]+$"}
SCHEMA: Final = {
    "type": "object",
    "required": [
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "response_types_supported",
        "pushed_authorization_request_endpoint",
    ],
    "patternProperties": {
        "_endpoint$": ADDRESS,
        "_uri$": ADDRESS,
        "_values_supported$": TEXTS,
        "(types|methods|modes|scopes|locales|actions)_supported$": TEXTS,
        "(_parameter_supported|_required|_bound_access_tokens)$": {"type": "boolean"},
        "^require_": {"type": "boolean"},
    },
    "properties": {"issuer": ADDRESS, "mtls_endpoint_aliases": {"type": "object"}},
}


@pytest.fixture(params=DOCUMENTS)
def document(request: pytest.FixtureRequest, small_openid: OpenIDWorld) -> dict[str, Any]:
    """Each of the two documents, at the address that the issuer says (RFC 8414 section 3)."""
    answer = small_openid.insurer.http.get(f"{ISSUER}/.well-known/{request.param}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    found: dict[str, Any] = answer.json()
    return found


def test_the_issuer_is_the_addresss_prefix(document: dict[str, Any]) -> None:
    assert document["issuer"] == ISSUER


def test_the_document_obeys_the_schema(document: dict[str, Any]) -> None:
    assert list(Draft202012Validator(SCHEMA).iter_errors(document)) == []
    assert list(Draft202012Validator(SCHEMA).iter_errors(document | {"jwks_uri": "no"})) != []


def test_scopes_and_locales_are_spelt_as_they_must_be(document: dict[str, Any]) -> None:
    assert all(SCOPE_TOKEN.fullmatch(scope) for scope in document["scopes_supported"])
    assert all(LANGUAGE_TAG.fullmatch(tag) for tag in document["ui_locales_supported"])


def test_tokens_are_bound(document: dict[str, Any]) -> None:
    by_key = set(document.get("dpop_signing_alg_values_supported", []))
    assert by_key & ALLOWED or document.get("tls_client_certificate_bound_access_tokens") is True


def test_clients_prove_themselves_by_key_or_certificate(document: dict[str, Any]) -> None:
    for name in ("token", "revocation", "introspection"):
        methods = set(document.get(f"{name}_endpoint_auth_methods_supported", ["private_key_jwt"]))
        assert methods & {"private_key_jwt", "tls_client_auth"}, name
        assert "none" not in methods, name


def test_every_list_of_algorithms_has_one_of_the_profile_and_no_other(document: dict[str, Any]) -> None:
    lists = {name: set(value) for name, value in document.items() if "_signing_alg_values_" in name}
    assert len(lists) >= 4
    assert [name for name, algorithms in lists.items() if not algorithms & ALLOWED] == []
    assert [name for name, algorithms in lists.items() if algorithms - ALLOWED] == []


def test_the_flow_is_pushed_with_s256_and_answers_name_the_issuer(document: dict[str, Any]) -> None:
    assert document["pushed_authorization_request_endpoint"] == f"{ISSUER}/par"
    assert document["require_pushed_authorization_requests"] is True
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["response_types_supported"] == ["code"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert "implicit" not in document["grant_types_supported"]


def test_where_answers_are_signed_their_algorithms_are_told(document: dict[str, Any]) -> None:
    signs = any(mode.endswith("jwt") for mode in document["response_modes_supported"])
    told = set(document.get("authorization_signing_alg_values_supported", []))
    assert signs == bool(told & ALLOWED)


def test_both_documents_agree(small_openid: OpenIDWorld) -> None:
    plain, openid = (small_openid.insurer.http.get(f"/.well-known/{name}").json() for name in DOCUMENTS)
    assert {name: openid.get(name) for name in plain} == plain


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """A real server for an app, as `mydata serve` runs it; its address."""
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, proxy_headers=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=60)


def test_the_resource_answers_get_with_its_date(sqlite_installation: Any, clock: Clock) -> None:  # noqa: ANN401
    """And takes `dpop` in any case and any Accept; see test_dpop_negative_tests.py for what it refuses."""
    with opened(sqlite_installation, clock) as world, listening(create_app(world.installation)) as address:
        granted = world.granted()
        headers = {"Authorization": f"dPoP {granted.token}", "DPoP": world.proof(granted.token)}
        answer = httpx.get(address + ANYTHING, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        assert parsedate_to_datetime(answer.headers["Date"]).tzinfo is not None
        assert "Server" not in answer.headers
        refused = httpx.get(f"{address}{ANYTHING}?access_token={granted.token}", timeout=60)
        assert (refused.status_code, "Date" in refused.headers) == (401, True)
