"""Bad input at the OAuth endpoints: refused in OAuth's own form, within the limits, never a 500."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from broker.installation import Installation
from tests.api.conftest import Office, made
from tests.installation import Clock
from tests.oauth.world import details, item

OAUTH = ("/par", "/token", "/revoke", "/introspect")
FORM_TYPE = "application/x-www-form-urlencoded"
BAD_DETAILS: dict[str, str] = {
    "not JSON": "[{",
    "not an array": json.dumps(details()),
    "empty": "[]",
    "two objects": json.dumps([details(), details()]),
    "null": "null",
    "a text": '"mydata_consent"',
    "unknown type": json.dumps([details(type="payment")]),
    "unknown member": json.dumps([details(extra=1)]),
    "unknown member of an item": json.dumps([details(items=[item(extra=1)])]),
    "unknown member of access": json.dumps([details(access={**details()["access"], "extra": 1})]),
    "unknown member of retention": json.dumps([details(retention={**details()["retention"], "extra": 1})]),
    "unknown member of the period": json.dumps([details(data_period={**details()["data_period"], "x": 1})]),
    "unknown action": json.dumps([details(actions=["write"])]),
    "a member twice": json.dumps([details()]).replace('"actions"', '"purpose": "x", "actions"', 1),
    "NaN": json.dumps([details(extra=float("nan"))]),
    "beyond a double": json.dumps([details()]).replace('"max_pulls": 1', '"max_pulls": 1e999'),
    "a huge number": json.dumps([details()]).replace('"max_pulls": 1', '"max_pulls": ' + "9" * 4000),
    "deep": "[" * 40 + "]" * 40,
    "very deep": "[" * 9000,
    "a lone surrogate": json.dumps([details()]).replace("mydata_consent", "\\ud800"),
    "a NUL": json.dumps([details(holders=["a\0b"])]),
    "too large": json.dumps([details(extra="x" * 20_000)]),
}


@pytest.fixture
def office(sqlite_installation: Installation, clock: Clock) -> Iterator[Office]:
    """Bad input is refused before a database is asked: one kind is enough."""
    yield from made(sqlite_installation, clock)


def in_oauth_form(answer: httpx.Response, status: int, *codes: str) -> bool:
    return (
        answer.status_code == status
        and answer.headers["Content-Type"] == "application/json"
        and answer.headers["Cache-Control"] == "no-store"
        and answer.json()["error"] in codes
    )


def good_form(office: Office, path: str) -> dict[str, Any]:
    """What the endpoint would take, so that the fault is the one that the test puts in."""
    insurer = office.world.insurer
    form: dict[str, Any] = dict(insurer.authentication())
    if path == "/par":
        return form | insurer.request()
    if path == "/token":
        return form | {"grant_type": "client_credentials", "scope": "deliveries"}
    return form | {"token": "mda_unknown"}


def post(office: Office, path: str, content: bytes, media_type: str | None = FORM_TYPE) -> httpx.Response:
    headers = {"DPoP": office.world.insurer.proof(path)}
    if media_type is not None:
        headers["Content-Type"] = media_type
    return office.http.post(path, content=content, headers=headers)


def encoded(form: dict[str, Any]) -> bytes:
    return httpx.Request("POST", "http://x", data=form).content


@pytest.mark.parametrize("path", OAUTH)
def test_the_form_of_these_tests_is_good_without_the_fault(office: Office, path: str) -> None:
    assert post(office, path, encoded(good_form(office, path))).status_code in {200, 201}


@pytest.mark.parametrize("path", OAUTH)
def test_a_parameter_that_came_twice_is_refused_whichever_it_is(office: Office, path: str) -> None:
    for name in [*good_form(office, path), "unknown"]:
        form = good_form(office, path)
        twice = encoded(form | {name: [form.get(name, "x")] * 2})
        assert in_oauth_form(post(office, path, twice), 400, "invalid_request"), name


@pytest.mark.parametrize("path", OAUTH)
def test_a_form_of_another_media_type_is_refused(office: Office, path: str) -> None:
    for media_type in (None, "", "application/json", "text/plain", "multipart/form-data; boundary=x", "x"):
        answer = post(office, path, encoded(good_form(office, path)), media_type)
        assert in_oauth_form(answer, 400, "invalid_request"), media_type


@pytest.mark.parametrize("path", OAUTH)
def test_a_form_that_is_no_text_is_refused(office: Office, path: str) -> None:
    bad = (b"&x=\xff", b"&x=%FF", b"&%C0%AF=1", b"&x=%ED%A0%80", b"&x=%00", b"&x", "&x=가".encode("euc-kr"))
    for extra in bad:
        answer = post(office, path, encoded(good_form(office, path)) + extra)
        assert in_oauth_form(answer, 400, "invalid_request"), extra


@pytest.mark.parametrize("path", OAUTH)
def test_too_many_parameters_are_refused(office: Office, path: str) -> None:
    many = b"".join(b"&p%d=1" % number for number in range(200))
    assert in_oauth_form(post(office, path, encoded(good_form(office, path)) + many), 400, "invalid_request")


@pytest.mark.parametrize("path", OAUTH)
@pytest.mark.parametrize("is_declared", [True, False])
def test_a_body_that_is_too_large_is_refused(office: Office, path: str, *, is_declared: bool) -> None:
    too_much = b"a=" + b"x" * office.world.installation.settings.limits.body_bytes
    content: Any = too_much if is_declared else iter([too_much[:-1], too_much[-1:]])
    answer = office.http.post(path, content=content, headers={"Content-Type": FORM_TYPE})
    assert in_oauth_form(answer, 413, "invalid_request")


@pytest.mark.parametrize("path", OAUTH)
def test_headers_that_are_too_large_are_refused(office: Office, path: str) -> None:
    form = encoded(good_form(office, path))
    for headers in ({"X-Long": "x" * 17_000}, {f"X-{number}": "x" * 4000 for number in range(9)}):
        answer = office.http.post(path, content=form, headers={"Content-Type": FORM_TYPE} | headers)
        assert in_oauth_form(answer, 431, "invalid_request")


@pytest.mark.parametrize("path", OAUTH)
def test_an_assertion_that_is_too_large_is_refused(office: Office, path: str) -> None:
    assertion = office.world.insurer.assertion(padding="x" * 8192)
    form = good_form(office, path) | {"client_assertion": assertion}
    answer = post(office, path, encoded(form))
    assert in_oauth_form(answer, 401, "invalid_client")


@pytest.mark.parametrize("path", OAUTH)
@pytest.mark.parametrize("part", ["header", "claims"])
def test_an_assertion_of_deep_json_is_refused(office: Office, path: str, part: str) -> None:
    insurer, deep = office.world.insurer, json.loads("[" * 300 + "]" * 300)
    assertion = insurer.assertion(header={"x": deep}) if part == "header" else insurer.assertion(x=deep)
    header, claims, signature = assertion.split(".")
    broken = "W" * 6000  # base64url of a thousand brackets and more
    forged = f"{broken}.{claims}.{signature}" if part == "header" else f"{header}.{broken}.{signature}"
    form = good_form(office, path) | {"client_assertion": forged}
    answer = post(office, path, encoded(form))
    assert answer.status_code in {400, 401}
    assert answer.json()["error"] == "invalid_client"


@pytest.mark.parametrize("path", ["/par", "/token"])
def test_a_proof_that_is_too_large_is_refused(office: Office, path: str) -> None:
    proof = office.world.insurer.proof(path, padding="x" * 8192)
    headers = {"Content-Type": FORM_TYPE, "DPoP": proof}
    answer = office.http.post(path, content=encoded(good_form(office, path)), headers=headers)
    assert in_oauth_form(answer, 400, "invalid_dpop_proof")


def test_authorization_details_that_are_not_as_agreed_are_refused(office: Office) -> None:
    for name, raw in BAD_DETAILS.items():
        form = good_form(office, "/par") | {"authorization_details": raw}
        answer = post(office, "/par", encoded(form))
        assert in_oauth_form(answer, 400, "invalid_authorization_details"), name
        assert re.fullmatch(r"[ -!#-\[\]-~]+", answer.json()["error_description"])  # RFC 6749 section 5.2


@pytest.mark.parametrize("raw", [json.dumps([details()]), "[{", "x"])
def test_authorization_details_at_the_token_endpoint_are_refused(office: Office, raw: str) -> None:
    form = good_form(office, "/token") | {"authorization_details": raw}
    assert in_oauth_form(post(office, "/token", encoded(form)), 400, "invalid_authorization_details")
