"""Bad input at the JSON interface and everywhere else: a problem that names the rule, never a 500."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st

from broker.api.strict_body import StrictJsonRoute, is_json
from broker.db import transaction
from broker.errors import OAUTH_PATHS
from broker.installation import Installation
from broker.oauth import clients, scopes
from broker.oauth.clients import ClientRegistration
from broker.strict_json import JsonFaultError, read_json
from tests.api.conftest import Office, bound, made
from tests.configured import configured
from tests.installation import Clock
from tests.oauth.world import PURPOSE, REDIRECT_URI, Recipient
from tests.test_guards import addresses
from vault.jose import public_jwk

# Every address that takes JSON in a model. A test below finds those that are missing.
JSON_PATHS = (
    "/v1/deals",
    "/v1/deliveries/{delivery_id}/decision",
    "/v1/emergency-access",
    "/v1/obligations/{obligation_id}/attestation",
)
DEEP = b'{"a":' * 40 + b"1" + b"}" * 40
VERY_DEEP = b"[" * 200_000
BAD_JSON: dict[str, tuple[bytes, str]] = {
    "nothing": (b"{", "not_json"),
    "two values": (b"{} {}", "not_json"),
    "byte order mark": (b"\xef\xbb\xbf{}", "not_json"),
    "single quotes": (b"{'a': 1}", "not_json"),
    "a member twice": (b'{"kind": "a", "kind": "b"}', "member_twice"),
    "a member twice inside": (b'{"a": [{"b": 1, "b": 1}]}', "member_twice"),
    "a member twice by escape": (b'{"a": 1, "\\u0061": 2}', "member_twice"),
    "NaN": (b'{"a": NaN}', "number_refused"),
    "Infinity": (b'{"a": Infinity}', "number_refused"),
    "minus Infinity": (b'{"a": [-Infinity]}', "number_refused"),
    "beyond a double": (b'{"a": 1e999}', "number_refused"),
    "beyond exact integers": (b'{"a": 9007199254740993}', "number_refused"),
    "thousands of digits": (b'{"a": ' + b"9" * 5000 + b"}", "number_refused"),
    "deep": (DEEP, "nested_too_deeply"),
    "very deep": (VERY_DEEP, "nested_too_deeply"),
    "not UTF-8": (b'{"a": "\xff"}', "not_utf8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not_utf8"),
    "a lone surrogate": (b'{"a": "\\ud800"}', "text_refused"),
    "a lone surrogate as a name": (b'{"\\udc00": 1}', "text_refused"),
    "a NUL": (b'{"a": "\\u0000"}', "text_refused"),
}
MEDIA_TYPES = [
    None,
    "",
    "text/plain",
    "text/json",
    "application/xml",
    "application/json; charset=euc-kr",
    "application/vnd.api+json",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
]


@dataclass(frozen=True)
class Speaker:
    """A client that may call every address of the JSON interface, and the broker that it calls."""

    office: Office
    client: Recipient
    token: str

    def send(
        self, template: str, content: bytes, media_type: str | None = "application/json"
    ) -> httpx.Response:
        path = filled(template)
        headers = bound(self.client, path, self.token)
        if media_type is not None:
            headers["Content-Type"] = media_type
        return self.office.http.post(path, content=content, headers=headers)


@pytest.fixture
def speaker(sqlite_installation: Installation, clock: Clock) -> Iterator[Speaker]:
    """Bad input is refused before a database is asked: one kind is enough."""
    yield from speaking(sqlite_installation, clock)


def speaking(installation: Installation, clock: Clock) -> Iterator[Speaker]:
    own = " ".join(sorted(scopes.CLIENT_OWN - scopes.OF_HOLDERS))
    for office in made(installation, clock):
        client = Recipient(office.http, clock, "everything", REDIRECT_URI)
        new = ClientRegistration(
            client_id=client.client_id,
            organisation_id="insurer",
            name="everything",
            jwks={"keys": [public_jwk(client.key)]},
            redirect_uris=(REDIRECT_URI,),
            scope=f"records.read {own}",
            purposes=(PURPOSE,),
        )
        with transaction(office.world.installation.data) as work:
            clients.add(work.session, new, is_loopback_allowed=False, now=clock())
        yield Speaker(office, client, client.own_token(scope=own).json()["access_token"])


@pytest.fixture
def app(speaker: Speaker) -> FastAPI:
    http: Any = speaker.office.http
    application: FastAPI = http.app
    return application


def filled(template: str) -> str:
    return re.sub(r"\{[^}]+\}", "unknown", template)


def json_routes(routes: Any) -> Iterator[APIRoute]:  # noqa: ANN401 - FastAPI's branches have no common type
    for route in routes:
        if hasattr(route, "original_router"):
            yield from json_routes(route.original_router.routes)
        elif isinstance(route, APIRoute) and route.body_field is not None:
            yield route


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def test_every_address_that_takes_json_takes_it_strictly(app: FastAPI) -> None:
    found = {route.path: route for route in json_routes(app.routes) if not route.path.startswith("/ssf")}
    assert [path for path, route in found.items() if not isinstance(route, StrictJsonRoute)] == []
    assert {path for path in found if path.startswith("/v1/")} == set(JSON_PATHS)


@pytest.mark.parametrize("template", JSON_PATHS)
def test_json_that_is_none_is_refused_with_the_rule_that_it_breaks(speaker: Speaker, template: str) -> None:
    for name, (content, rule) in BAD_JSON.items():
        answer = speaker.send(template, content)
        assert problem_of(answer) == (400, "invalid_request"), name
        assert answer.json()["errors"] == [{"path": "body", "rule": rule}], name


@pytest.mark.parametrize("template", JSON_PATHS)
def test_a_body_of_another_media_type_is_refused(speaker: Speaker, template: str) -> None:
    for media_type in MEDIA_TYPES:
        answer = speaker.send(template, b"{}", media_type)
        assert problem_of(answer) == (415, "unsupported_media_type"), media_type


@pytest.mark.parametrize("template", JSON_PATHS)
def test_json_of_another_shape_breaks_the_rules_of_its_model(speaker: Speaker, template: str) -> None:
    for content in (b"", b"null", b"[]", b"7", b'"x"', b"{}", b'{"unknown": 1}'):
        answer = speaker.send(template, content)
        assert problem_of(answer) == (422, "invalid_request"), content
        assert answer.json()["errors"]


def test_a_stranger_is_told_nothing_about_a_body(speaker: Speaker) -> None:
    for template in [*JSON_PATHS, "/v1/holders/records"]:
        for content in (b"{", DEEP, b"\xff", b"{}"):
            for media_type in ("application/json", "text/plain"):
                headers = {"Content-Type": media_type}
                answer = speaker.office.http.post(filled(template), content=content, headers=headers)
                assert problem_of(answer) == (401, "invalid_token")


def test_a_refused_body_changes_nothing_and_a_good_one_is_taken_after_it(speaker: Speaker) -> None:
    delivery_id, _ = speaker.office.delivery()
    path = f"/v1/deliveries/{delivery_id}/decision"
    assert speaker.send(path, b'{"kind": "claim", "kind": "claim"}').status_code == 400
    decision = {
        "status": "approved",
        "reference": "r",
        "payable": 1,
        "lines": [],
        "explanation": {"ko": "가", "en": "a"},
    }
    answer = speaker.send(path, json.dumps(decision).encode(), "application/json; charset=UTF-8")
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    ("content_type", "is_good"),
    [
        ("application/json", True),
        ("Application/JSON ; charset=utf-8", True),
        ('application/json;charset="UTF-8"', True),
        ("application/json; charset=latin-1", False),
        ("application/jsonp", False),
        ("application/json, text/plain", False),
    ],
)
def test_json_is_one_media_type_in_one_charset(content_type: str, is_good: bool) -> None:  # noqa: FBT001
    assert is_json(content_type) is is_good


NO_NUL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | NO_NUL


@given(st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(NO_NUL, inner)), st.booleans())
def test_what_is_read_is_what_was_written(value: object, is_escaped: bool) -> None:  # noqa: FBT001
    assert read_json(json.dumps(value, ensure_ascii=is_escaped), depth=200) == value


@pytest.mark.parametrize(("depth", "is_read"), [(7, True), (8, True), (9, False)])
def test_the_depth_is_counted_in_levels(depth: int, is_read: bool) -> None:  # noqa: FBT001
    raw = "[" * depth + "1" + "]" * depth
    if is_read:
        assert read_json(raw, depth=8)
    else:
        with pytest.raises(JsonFaultError):
            read_json(raw, depth=8)


def test_six_characters_that_look_like_a_nul_are_text() -> None:
    assert read_json(r'"\\u0000"', depth=8) == "\\u0000"


@given(st.binary(max_size=60))
def test_no_bytes_are_a_mistake_of_ours(raw: bytes) -> None:
    with suppress(JsonFaultError):
        assert read_json(raw, depth=8) == json.loads(raw)


def machine_addresses(app: FastAPI) -> list[tuple[str, str]]:
    return sorted(
        (method, filled(path))
        for method, path in addresses(app.routes)
        if not path.startswith(("/ko", "/en", "/{")) and path not in {"/", "/authorize", "/end_session"}
    )


def refusal(answer: httpx.Response, path: str) -> int:
    """The status of a refusal in the form of its place."""
    body = answer.json()
    if path in OAUTH_PATHS or path.startswith("/register/"):
        assert set(body) <= {"error", "error_description"}
    else:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert body["code"]
        assert body["status"] == answer.status_code
    return answer.status_code


def test_every_machine_address_keeps_its_limits(speaker: Speaker, app: FastAPI) -> None:
    """Headers, one of them, the address, its parameters, the body: before any guard is asked."""
    http, limits = speaker.office.http, speaker.office.world.installation.settings.limits
    too_much = b"x" * (limits.body_bytes + 1)
    for method, path in machine_addresses(app):
        many = {f"x-{number}": "y" * 4000 for number in range(9)}
        assert refusal(http.request(method, path, headers=many), path) == 431, path
        assert refusal(http.request(method, path, headers={"x": "y" * 17_000}), path) == 431, path
        assert refusal(http.request(method, path, params={"q": "x" * 17_000}), path) == 414, path
        assert refusal(http.request(method, path + "?a=1" + "&a=1" * 200), path) == 400, path
        assert refusal(http.request(method, path, content=too_much), path) == 413, path


def test_pages_keep_them_too_and_say_so_as_pages(speaker: Speaker) -> None:
    for language in ("ko", "en"):
        answer = speaker.office.http.get(f"/{language}/signin", headers={"x": "y" * 17_000})
        assert answer.status_code == 431
        assert answer.headers["Content-Type"].startswith("text/html")
    answer = speaker.office.http.get("/authorize", params={"client_id": "x" * 17_000})
    assert (answer.status_code, answer.headers["Content-Type"]) == (414, "text/html; charset=utf-8")


def test_limits_are_what_the_settings_say(sqlite_installation: Installation, clock: Clock) -> None:
    narrow = configured(sqlite_installation, "limits", json_depth=8, one_header_bytes=2000, parameters=20)
    for speaker in speaking(narrow, clock):
        assert (
            speaker.send("/v1/deals", b"[" * 9 + b"]" * 9).json()["errors"][0]["rule"] == "nested_too_deeply"
        )
        assert speaker.send("/v1/deals", b"[" * 8 + b"]" * 8).status_code == 422
        http = speaker.office.http
        assert http.get("/jwks", headers={"x": "y" * 2000}).status_code == 431
        assert http.get("/jwks?" + "a=1&" * 20).status_code == 400
        assert http.get("/jwks?" + "a=1&" * 19).status_code == 200
