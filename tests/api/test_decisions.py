"""A citizen's wish that a person looks at a decision again, as JSON; and the decision that answers it."""

from typing import Any

import httpx
import pytest

from broker.web.csrf import TOKEN_FIELD, form_token
from consent.auditing import events
from consent.reading import DecisionView, consent_of
from tests.api.conftest import Office
from tests.installation import ISSUER
from vault.schema import random_id

APPROVED: dict[str, Any] = {
    "status": "approved",
    "reference": "C-0001",
    "payable": 121_840,
    "lines": [],
    "explanation": {"ko": "끝났습니다.", "en": "Done."},
}
UPHELD = APPROVED | {"explanation": {"ko": "담당자가 확인했습니다.", "en": "A person has looked: it stands."}}
WAITING = APPROVED | {"status": "review", "payable": 0}
OWN_PAGE = {"Origin": ISSUER}


def path_of(decision_id: str) -> str:
    return f"/v1/decisions/{decision_id}/review"


def decide(office: Office, delivery_id: str, body: dict[str, Any] = APPROVED) -> httpx.Response:
    return office.say(f"/v1/deliveries/{delivery_id}/decision", body)


def decided(office: Office, body: dict[str, Any] = APPROVED) -> tuple[str, str, str]:
    """A fresh delivery with a decision: consent, delivery and decision."""
    delivery_id, grant_id = office.delivery()
    answer = decide(office, delivery_id, body)
    assert answer.status_code == 201, answer.text
    return grant_id, delivery_id, answer.json()["decision_id"]


def citizen(office: Office) -> dict[str, str]:
    return office.sign_in("citizen", office.world.subject_id)


def ask(office: Office, decision_id: str, headers: dict[str, str]) -> httpx.Response:
    office.http.cookies.clear()
    return office.http.post(path_of(decision_id), headers=headers)


def seen(office: Office, grant_id: str) -> list[DecisionView]:
    world = office.world
    keyring = world.installation.keyring
    with world.installation.data.read() as session:
        return list(consent_of(session, keyring, world.subject_id, grant_id, world.clock()).decisions)


def logged(office: Office) -> list[str]:
    with office.world.installation.data.read() as session:
        return [event.type for event in reversed(events(session))]


def is_refused(answer: httpx.Response, status: int, code: str) -> bool:
    return (
        answer.status_code == status
        and answer.headers["content-type"] == "application/problem+json"
        and answer.json()["code"] == code
    )


# Who may ask


def test_only_a_citizen_who_is_signed_in_may_ask(small_office: Office) -> None:
    grant_id, _, decision_id = decided(small_office)
    token = {"Authorization": f"DPoP {small_office.own_token()}"}
    for headers in ({}, token, {"Cookie": "sid=unknown"}, small_office.sign_in("auditor")):
        answer = ask(small_office, decision_id, OWN_PAGE | headers)
        assert is_refused(answer, 401, "citizen_needed"), headers
        assert answer.headers["www-authenticate"].startswith("Cookie ")
    assert seen(small_office, grant_id)[0].review_requested_at is None


def test_another_site_cannot_ask_for_them(small_office: Office) -> None:
    grant_id, _, decision_id = decided(small_office)
    cookie = citizen(small_office)
    for headers in (
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        OWN_PAGE | {"Sec-Fetch-Site": "same-site"},
    ):
        answer = ask(small_office, decision_id, cookie | headers)
        assert is_refused(answer, 403, "foreign_form"), headers
    stolen = {TOKEN_FIELD: form_token("another-cookie")}
    answer = small_office.http.post(path_of(decision_id), headers=cookie, data=stolen)
    assert is_refused(answer, 403, "foreign_form")
    assert seen(small_office, grant_id)[0].review_requested_at is None


def test_a_body_of_another_form_is_refused(small_office: Office) -> None:
    _, _, decision_id = decided(small_office)
    headers = citizen(small_office) | OWN_PAGE
    answer = small_office.http.post(path_of(decision_id), headers=headers, json={"why": "a-secret-word"})
    assert is_refused(answer, 400, "bad_form")
    assert "a-secret-word" not in answer.text


def test_a_foreign_decision_is_as_an_unknown_one(office: Office) -> None:
    grant_id, _, decision_id = decided(office)
    log, headers = logged(office), office.sign_in("citizen") | OWN_PAGE
    foreign, unknown = (ask(office, asked, headers) for asked in (decision_id, random_id()))
    assert is_refused(foreign, 404, "not_found")
    assert is_refused(unknown, 404, "not_found")
    assert foreign.json() | {"trace_id": ""} == unknown.json() | {"trace_id": ""}
    assert logged(office) == log
    assert seen(office, grant_id)[0].review_requested_at is None


def test_a_decision_that_was_replaced_is_a_conflict(office: Office) -> None:
    grant_id, delivery_id, older = decided(office, WAITING)
    assert decide(office, delivery_id).status_code == 201
    log = logged(office)
    assert is_refused(ask(office, older, citizen(office) | OWN_PAGE), 409, "decision_replaced")
    assert logged(office) == log
    assert [decision.review_requested_at for decision in seen(office, grant_id)] == [None, None]


# Asked and answered


def test_asking_is_accepted_once_and_then_known(office: Office) -> None:
    grant_id, _, decision_id = decided(office)
    headers = citizen(office) | OWN_PAGE
    first = ask(office, decision_id, headers)
    assert first.status_code == 202
    (shown,) = seen(office, grant_id)
    assert shown.review_requested_at == office.world.clock()
    assert first.json() == {
        "decision_id": decision_id,
        "review_requested_at": office.world.clock().isoformat().replace("+00:00", "Z"),
    }
    log = logged(office)
    assert log[-1] == "decision.review_requested"
    again = ask(office, decision_id, headers)
    assert (again.status_code, again.json()) == (200, first.json())
    assert logged(office) == log


def test_a_client_that_says_nothing_shows_the_token_of_its_cookie(small_office: Office) -> None:
    _, _, decision_id = decided(small_office)
    cookie = citizen(small_office)
    token = {TOKEN_FIELD: form_token(cookie["Cookie"].partition("=")[2])}
    answer = small_office.http.post(path_of(decision_id), headers=cookie, data=token)
    assert answer.status_code == 202


@pytest.mark.parametrize("is_over", [False, True])
def test_a_review_lets_one_further_decision_in(office: Office, *, is_over: bool) -> None:
    grant_id, delivery_id, first = decided(office)
    assert is_refused(decide(office, delivery_id, UPHELD), 409, "already_decided")
    if is_over:
        office.world.withdraw(grant_id)
    assert ask(office, first, citizen(office) | OWN_PAGE).status_code == 202
    same = decide(office, delivery_id)
    assert (same.status_code, same.json()["decision_id"]) == (200, first)
    second = decide(office, delivery_id, UPHELD)
    assert second.status_code == 201
    again = decide(office, delivery_id, UPHELD)
    assert (again.status_code, again.json()) == (200, second.json())
    assert is_refused(decide(office, delivery_id, APPROVED | {"payable": 1}), 409, "already_decided")
    assert [decision.body for decision in seen(office, grant_id)] == [APPROVED, UPHELD]


def test_a_decision_that_waits_for_a_person_is_followed_by_another(office: Office) -> None:
    grant_id, delivery_id, _ = decided(office, WAITING)
    assert decide(office, delivery_id).status_code == 201
    assert [decision.body for decision in seen(office, grant_id)] == [WAITING, APPROVED]


def test_the_interface_is_described(small_office: Office) -> None:
    described = small_office.http.get("/openapi.json").json()["paths"]["/v1/decisions/{decision_id}/review"]
    assert {"200", "202"} <= set(described["post"]["responses"])
