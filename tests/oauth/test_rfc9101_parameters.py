"""What a signed request object says, and that nothing beside it counts (RFC 9101)."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from broker.oauth import request_object as rules
from broker.oauth.client_metadata import SecurityProfile
from tests.oauth.message_signing import (
    kept_in,
    object_refused,
    push_object,
    push_signed,
    register,
    request_object,
)
from tests.oauth.world import LEFT_OUT, Recipient, World, answer_in, details, item, refused
from vault.jose import generate_private_jwk

OTHER_KEY = generate_private_jwk("ES256")


@pytest.fixture
def signer(small_world: World) -> Recipient:
    """A client that must sign its requests."""
    register(small_world, small_world.insurer)
    return small_world.insurer


# What must be in it


def test_ensure_unsigned_request_at_par_endpoint_fails(small_world: World, signer: Recipient) -> None:
    assert refused(signer.push(), "invalid_request")
    assert refused(signer.push(request=""), "invalid_request")
    for profile, metadata in (
        (SecurityProfile.FAPI2, {"require_signed_request_object": True}),
        (SecurityProfile.FAPI2_MESSAGE_SIGNING, {"require_signed_request_object": False}),
    ):
        register(small_world, signer, profile, **metadata)
        assert refused(signer.push(), "invalid_request")
        assert push_signed(signer).status_code == 201


def test_a_client_that_need_not_sign_may(small_world: World) -> None:
    assert small_world.insurer.push().status_code == 201
    assert push_signed(small_world.insurer).status_code == 201
    assert object_refused(small_world.insurer, request_object(small_world.insurer, key=OTHER_KEY))


def test_ensure_request_object_without_redirect_uri_fails(signer: Recipient) -> None:
    raw_object = request_object(signer, redirect_uri=LEFT_OUT)
    assert refused(push_object(signer, raw_object), "invalid_request")
    assert refused(push_object(signer, raw_object, redirect_uri=signer.redirect_uri), "invalid_request")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"redirect_uri": "https://evil.example/cb"}, "invalid_request"),
        ({"response_type": LEFT_OUT}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": LEFT_OUT}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"authorization_details": LEFT_OUT}, "invalid_authorization_details"),
        ({"authorization_details": [{"type": "other"}]}, "invalid_authorization_details"),
        ({"authorization_details": [details(), details()]}, "invalid_authorization_details"),
        ({"dpop_jkt": "short"}, "invalid_request"),
        ({"state": "x" * 2049}, "invalid_request"),
    ],
)
def test_what_an_object_asks_for_is_checked_like_any_request(
    signer: Recipient, changes: Mapping[str, Any], code: str
) -> None:
    assert refused(push_signed(signer, **changes), code)


@pytest.mark.parametrize("name", ["request", "request_uri"])
def test_par_authorization_request_containing_request_uri(signer: Recipient, name: str) -> None:
    reference: dict[str, Any] = {name: "urn:x"}
    assert object_refused(signer, request_object(signer, **reference))


def test_par_authorization_request_containing_request_uri_form_param(signer: Recipient) -> None:
    pushed = push_object(signer, request_object(signer), request_uri="urn:x")
    assert refused(pushed, "invalid_request")


# Nothing beside it counts


def test_state_only_outside_request_object_not_used(small_world: World, signer: Recipient) -> None:
    pushed = push_object(signer, request_object(signer, state=LEFT_OUT), state="outer")
    assert pushed.status_code == 201
    answer = answer_in(small_world.agree(small_world.interaction_of(pushed)))
    assert set(answer) == {"flow", "code", "iss"}


def test_ensure_different_state_inside_and_outside_request_object(
    small_world: World, signer: Recipient
) -> None:
    pushed = push_object(signer, request_object(signer, state="inner"), state="outer")
    answer = answer_in(small_world.agree(small_world.interaction_of(pushed)))
    assert answer["state"] == "inner"


def test_ensure_different_nonce_inside_and_outside_request_object(
    small_world: World, signer: Recipient
) -> None:
    assert push_object(signer, request_object(signer, nonce="inner"), nonce="outer").status_code == 201
    _, kept = kept_in(small_world)
    assert kept.nonce == "inner"


def test_every_parameter_beside_an_object_is_ignored(small_world: World, signer: Recipient) -> None:
    beside = {
        "redirect_uri": "https://evil.example/cb",
        "response_type": "token",
        "response_mode": "fragment",
        "nonce": "outer",
        "scope": "everything",
        "code_challenge": "x" * 43,
        "dpop_jkt": "x" * 43,
        "authorization_details": "[]",
        "grant_id": "another",
        "grant_management_action": "replace",
        "ui_locales": "en",
        "max_age": "no number",
    }
    pushed = push_object(signer, request_object(signer), **beside)
    assert pushed.status_code == 201, pushed.text
    row, kept = kept_in(small_world)
    assert (row.redirect_uri, row.dpop_jkt, row.grant_id) == (signer.redirect_uri, None, None)
    assert (row.language, row.code_challenge) == (None, signer.request()["code_challenge"])
    assert (kept.nonce, kept.response_mode, kept.max_age) == (None, None, None)


def test_ensure_server_handles_non_matching_intent_id(world: World) -> None:
    """A consent of another client: refused, as one that nobody has."""
    grant_id = world.tokens()["grant_id"]
    register(world, world.stranger)
    answers = [
        push_signed(
            world.stranger,
            grant_id=asked,
            grant_management_action="replace",
            authorization_details=[details(items=[item(fields=["institution", "totals"])])],
        )
        for asked in (grant_id, "nobody's")
    ]
    assert all(refused(answer, "invalid_grant_id") for answer in answers)
    assert answers[0].content == answers[1].content


# Its values


def test_a_signed_request_leads_to_tokens(world: World) -> None:
    register(world, world.insurer)
    pushed = push_signed(world.insurer, jti="one", response_mode="query", ui_locales="en")
    assert pushed.status_code == 201, pushed.text
    opened = world.insurer.open(pushed.json()["request_uri"])
    assert opened.headers["Location"].startswith("/en/consent/")
    answer = answer_in(world.agree(opened.headers["Location"].rpartition("/")[2]))
    assert answer["state"] == "a state"
    tokens = world.insurer.redeem(answer["code"]).json()
    assert [asked["record_type"] for asked in tokens["authorization_details"][0]["items"]]


def test_details_may_be_text_as_they_are_in_a_form(signer: Recipient) -> None:
    assert push_signed(signer, authorization_details=orjson.dumps([details()]).decode()).status_code == 201


def test_a_number_and_an_object_stay_what_they_are(small_world: World, signer: Recipient) -> None:
    claims = {"id_token": {"acr": {"essential": False}}}
    pushed = push_signed(signer, max_age=300, claims=claims)
    assert pushed.status_code == 201, pushed.text
    _, kept = kept_in(small_world)
    assert (kept.max_age, json.loads(kept.claims or "")) == (300, claims)


@pytest.mark.parametrize(
    "changes",
    [
        {"max_age": 1.5},
        {"max_age": True},
        {"max_age": None},
        {"max_age": [300]},
        {"authorization_details": details()},
        {"authorization_details": 7},
        {"claims": []},
        {"claims": None},
        {"resource": {}},
        {"resource": [7]},
        {"state": 7},
        {"state": ["a state"]},
        {"scope": ["records.read"]},
        {"dpop_jkt": 7},
        {"redirect_uri": None},
        {"code_challenge": {}},
        {"nonce": "a\x00b"},
        {"anything": "a\x00b"},
    ],
)
def test_a_value_of_the_wrong_type(signer: Recipient, changes: Mapping[str, Any]) -> None:
    assert object_refused(signer, request_object(signer, **changes))


def test_what_nobody_knows_is_ignored(signer: Recipient) -> None:
    assert (
        push_signed(signer, display="page", anything={"deep": [1]}, else_="x", flag=True).status_code == 201
    )


def test_details_that_are_too_deep(small_world: World, signer: Recipient) -> None:
    deep: Any = "x"
    for _ in range(small_world.installation.settings.limits.json_depth + 2):
        deep = [deep]
    assert refused(push_signed(signer, authorization_details=[deep]), "invalid_authorization_details")


def test_an_object_that_says_something_twice(signer: Recipient) -> None:
    header, payload, _ = request_object(signer).split(".")
    content = urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    doubled = urlsafe_b64encode(b'{"state":"b",' + content[1:]).rstrip(b"=").decode()
    assert object_refused(signer, f"{header}.{doubled}.{'x' * 86}")


def test_every_parameter_that_the_server_reads_has_a_type() -> None:
    """What is read from a request and not named in request_object would lose its type check."""
    known = (
        rules.TEXTS
        | rules.NUMBERS
        | {"authorization_details", "claims", "resource", "request", "request_uri"}
    )
    folder = Path(rules.__file__).parent
    for name in ("par", "pkce", "grants", "rich_authorization", "jarm", "openid_request"):
        read = re.findall(r'parameters(?:\.get\(|\[)"(\w+)"', (folder / f"{name}.py").read_text())
        assert set(read) - {"code_verifier"} <= known, name
