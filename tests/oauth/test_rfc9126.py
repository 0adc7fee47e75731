"""Pushed authorization requests: what is refused at the push, and how a reference is used up (RFC 9126)."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlmodel import select

from broker.db import transaction
from broker.oauth import interaction
from broker.oauth.errors import InteractionGoneError
from broker.oauth.models import Interaction, PushedRequest
from tests.installation import ISSUER
from tests.oauth.world import LEFT_OUT, OTHER_REDIRECT_URI, REDIRECT_URI, World, answer_in, refused

REFUSED = [
    pytest.param(
        {"request_uri": "urn:x"}, "invalid_request", id="par-authorization-request-containing-request_uri"
    ),
    pytest.param({"request": "a.b.c"}, "invalid_request_object", id="a request object that is none"),
    pytest.param({"client_id": LEFT_OUT}, "invalid_request", id="no client_id"),
    pytest.param({"client_id": "other-app"}, "invalid_client", id="client_id of another client"),
    pytest.param({"response_type": LEFT_OUT}, "invalid_request", id="no response_type"),
    pytest.param(
        {"response_type": "token"}, "unsupported_response_type", id="ensure-response-type-token-fails"
    ),
    pytest.param(
        {"response_type": "code id_token"},
        "unsupported_response_type",
        id="ensure-response-type-code-idtoken-fails",
    ),
    pytest.param({"response_mode": "fragment"}, "invalid_request", id="response_mode fragment"),
    pytest.param(
        {"redirect_uri": LEFT_OUT}, "invalid_request", id="ensure-redirect-uri-in-authorization-request"
    ),
    pytest.param({"redirect_uri": ""}, "invalid_request", id="empty redirect_uri"),
    pytest.param(
        {"redirect_uri": OTHER_REDIRECT_URI}, "invalid_request", id="ensure-registered-redirect-uri"
    ),
    pytest.param({"redirect_uri": REDIRECT_URI + "&a=b"}, "invalid_request", id="redirect-uri-query-added"),
    pytest.param(
        {"redirect_uri": REDIRECT_URI.partition("?")[0]}, "invalid_request", id="redirect-uri-query-mismatch"
    ),
    pytest.param({"redirect_uri": REDIRECT_URI + "#a"}, "invalid_request", id="redirect-uri-regfrag"),
    pytest.param({"state": "x" * 2049}, "invalid_request", id="with-long-state: refused, never cut"),
    pytest.param({"state": "a\x00b"}, "invalid_request", id="state with a NUL"),
    pytest.param({"scope": "openid"}, "invalid_scope", id="openid, which the client does not have"),
    pytest.param({"scope": "records.read openid"}, "invalid_scope", id="openid beside another scope"),
    pytest.param({"scope": "deliveries"}, "invalid_scope", id="a scope that no person can grant"),
    pytest.param({"grant_management_action": "merge"}, "invalid_request", id="merging grants"),
    pytest.param({"grant_id": "some"}, "invalid_request", id="ensure-server-handles-non-matching-intent-id"),
    pytest.param({"dpop_jkt": "x" * 44}, "invalid_request", id="dpop_jkt no thumbprint"),
    pytest.param({"authorization_details": LEFT_OUT}, "invalid_authorization_details", id="no details"),
]

TWICE = ["redirect_uri", "state", "scope", "client_assertion", "code_challenge", "unknown"]


@pytest.mark.parametrize(("changes", "code"), REFUSED)
def test_a_wrong_request_is_refused_at_the_push(
    small_world: World, changes: dict[str, Any], code: str
) -> None:
    assert refused(small_world.insurer.push(**changes), code)
    with small_world.installation.data.read() as session:
        assert session.exec(select(PushedRequest)).all() == []


@pytest.mark.parametrize("name", TWICE)
@pytest.mark.parametrize("path", ["/par", "/token", "/revoke"])
def test_a_parameter_that_came_twice_is_refused(small_world: World, path: str, name: str) -> None:
    insurer = small_world.insurer
    form: dict[str, Sequence[str] | str] = {**insurer.authentication(), **insurer.request(), name: ["a", "b"]}
    assert refused(insurer.post(path, form), "invalid_request")


def test_a_body_that_is_no_form_is_refused_in_oauths_form(small_world: World) -> None:
    http = small_world.http
    assert refused(http.post("/par", json={}), "invalid_request")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert refused(http.post("/token", content=b"a=%ff", headers=form), "invalid_request")
    too_large = http.post("/par", content=b"a=" + b"x" * (2 << 20), headers=form)
    assert (too_large.status_code, too_large.json()["error"]) == (413, "invalid_request")


@pytest.mark.parametrize("path", ["/par", "/token", "/revoke"])
def test_par_attempt_invalid_http_method(small_world: World, path: str) -> None:
    assert small_world.http.get(path).status_code == 405


def is_page(answer: httpx.Response) -> bool:
    """An error that the person sees: no redirect, and nothing of the request in it."""
    return answer.status_code == 400 and "Location" not in answer.headers


def test_ensure_unsigned_authorization_request_without_using_par_fails(small_world: World) -> None:
    insurer, http = small_world.insurer, small_world.http
    assert is_page(http.get("/authorize", params=insurer.request()))
    assert is_page(http.get("/authorize"))
    assert is_page(http.get("/authorize?client_id=%ff&request_uri=x"))
    assert is_page(insurer.open("urn:ietf:params:oauth:request_uri:unknown"))


def test_par_attempt_to_use_request_uri_for_different_client(small_world: World) -> None:
    request_uri = small_world.insurer.push().json()["request_uri"]
    assert is_page(small_world.stranger.open(request_uri, client_id="other-app"))
    assert is_page(small_world.insurer.open(request_uri, client_id="nobody\x00"))


def test_par_attempt_to_use_expired_request_uri(small_world: World) -> None:
    pushed = small_world.insurer.push()
    assert pushed.json()["expires_in"] == 60
    small_world.clock.advance(timedelta(seconds=60))
    assert is_page(small_world.insurer.open(pushed.json()["request_uri"]))


def test_a_parameter_of_the_address_that_came_twice_is_refused(small_world: World) -> None:
    request_uri = small_world.insurer.push().json()["request_uri"]
    query = f"client_id=insurer-claims&client_id=other-app&request_uri={request_uri}"
    assert is_page(small_world.http.get(f"/authorize?{query}"))


def test_par_attempt_reuse_request_uri(world: World) -> None:
    pushed = world.insurer.push()
    world.agree(world.interaction_of(pushed))
    assert is_page(world.insurer.open(pushed.json()["request_uri"]))


def test_an_answer_is_given_once(world: World) -> None:
    interaction_id = world.interaction_of(world.insurer.push())
    world.agree(interaction_id)
    for subject_id in (world.subject_id, None):
        with pytest.raises(InteractionGoneError), transaction(world.installation.data) as work:
            interaction.deny(
                work.session, world.installation.keyring, ISSUER, interaction_id, subject_id, world.clock()
            )
    with pytest.raises(InteractionGoneError):
        world.agree(interaction_id)


def test_par_ensure_reused_request_uri_prior_to_auth_completion_succeeds(world: World) -> None:
    pushed = world.insurer.push()
    first = world.interaction_of(pushed)
    assert world.interaction_of(pushed) == first
    assert answer_in(world.agree(first))["code"].startswith("mdc_")


def test_par_without_duplicate_parameters(small_world: World) -> None:
    opened = small_world.insurer.open(small_world.insurer.push().json()["request_uri"])
    assert opened.status_code == 303
    assert opened.headers["Location"].startswith("/ko/consent/")
    assert opened.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("ui_locales", "accept_language", "language"),
    [
        (LEFT_OUT, "", "ko"),
        (LEFT_OUT, "en-GB,en;q=0.9,ko;q=0.5", "en"),
        (LEFT_OUT, "fr, de;q=0.5", "ko"),
        ("en", "ko", "en"),
        ("fr ko-KR", "en", "ko"),
    ],
)
def test_the_page_speaks_the_language_that_was_asked_for(
    small_world: World, ui_locales: str, accept_language: str, language: str
) -> None:
    pushed = small_world.insurer.push(ui_locales=ui_locales)
    opened = small_world.insurer.open(pushed.json()["request_uri"], **{"Accept-Language": accept_language})
    assert opened.headers["Location"].startswith(f"/{language}/consent/")


def test_a_push_answers_a_reference_that_nobody_can_guess(small_world: World) -> None:
    answers = [small_world.insurer.push() for _ in range(2)]
    uris = {answer.json()["request_uri"] for answer in answers}
    assert len(uris) == 2
    assert all(uri.startswith("urn:ietf:params:oauth:request_uri:") and len(uri) > 70 for uri in uris)
    assert {answer.status_code for answer in answers} == {201}
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}


def test_neither_reference_nor_terms_are_stored_in_clear(world: World) -> None:
    request_uri = world.insurer.push().json()["request_uri"]
    with world.installation.data.read() as session:
        stored = repr(session.exec(select(PushedRequest)).one().model_dump())
    assert request_uri.rpartition(":")[2] not in stored
    assert "medical_bill" not in stored


def test_the_interaction_shows_what_was_pushed(world: World) -> None:
    interaction_id = world.interaction_of(world.insurer.push())
    installation = world.installation
    with installation.data.read() as session:
        view = interaction.load_interaction(session, installation.keyring, interaction_id, world.clock())
    assert (view.client_id, view.recipient_id, view.redirect_uri) == (
        "insurer-claims",
        "insurer",
        REDIRECT_URI,
    )
    assert (view.grant_id, view.subject_id) == (None, None)
    assert view.terms.items[0].fields == ("totals",)


@pytest.mark.parametrize("interaction_id", ["unknown", "", "\x00", "가"])
def test_an_unknown_interaction_is_gone(world: World, interaction_id: str) -> None:
    installation = world.installation
    with installation.data.read() as session, pytest.raises(InteractionGoneError):
        interaction.load_interaction(session, installation.keyring, interaction_id, world.clock())


def test_an_interaction_lives_an_hour(world: World) -> None:
    interaction_id = world.interaction_of(world.insurer.push())
    world.clock.advance(timedelta(minutes=59))
    with world.installation.data.read() as session:
        interaction.load_interaction(session, world.installation.keyring, interaction_id, world.clock())
        world.clock.advance(timedelta(minutes=1))
        with pytest.raises(InteractionGoneError):
            interaction.load_interaction(session, world.installation.keyring, interaction_id, world.clock())
    with pytest.raises(InteractionGoneError):
        world.agree(interaction_id)


def test_an_interaction_belongs_to_who_opened_it(world: World) -> None:
    interaction_id = world.interaction_of(world.insurer.push())
    now = world.clock()
    with transaction(world.installation.data) as work:
        interaction.attach_consent(work.session, interaction_id, world.subject_id, "grant", now)
    with transaction(world.installation.data) as work:
        for subject_id in (world.subject_id, "another"):
            with pytest.raises(InteractionGoneError):
                interaction.attach_consent(work.session, interaction_id, subject_id, "other", now)
        for subject_id, version_id in (("another", "grant.1"), (world.subject_id, "other.1")):
            with pytest.raises(InteractionGoneError):
                interaction.allow(
                    work.session,
                    world.installation.keyring,
                    ISSUER,
                    interaction_id,
                    subject_id,
                    version_id,
                    now,
                )
        with pytest.raises(InteractionGoneError):
            interaction.deny(work.session, world.installation.keyring, ISSUER, interaction_id, "another", now)
        row = work.session.exec(select(Interaction)).one()
    assert (row.subject_id, row.grant_id) == (world.subject_id, "grant")


def test_an_answer_needs_a_consent(world: World) -> None:
    interaction_id = world.interaction_of(world.insurer.push())
    with pytest.raises(InteractionGoneError), transaction(world.installation.data) as work:
        interaction.allow(
            work.session,
            world.installation.keyring,
            ISSUER,
            interaction_id,
            world.subject_id,
            "grant.1",
            world.clock(),
        )
