"""Forms are taken from our own pages only (broker/web/csrf.py)."""

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant

from broker.web.csrf import form_token, read_own_form
from broker.web.routes import install_pages
from tests.installation import ISSUER
from tests.web.stage import PASSWORD, Form, Stage

CREDENTIALS = {"username": "haneul", "password": PASSWORD}


FOREIGN: tuple[dict[str, str], ...] = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": f"{ISSUER}.evil.example"},
    {"Origin": ISSUER.replace("http:", "https:")},
    {"Origin": ISSUER, "Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {},
)


def test_a_foreign_form_is_refused(stage: Stage) -> None:
    del stage.http.headers["Origin"]
    for headers in FOREIGN:
        answer = stage.http.post("/ko/signin", data=CREDENTIALS, headers=headers)
        assert (answer.status_code, "foreign_form" in answer.text) == (403, True), headers


def test_a_button_alone_must_come_from_us_too(signed_in: Stage) -> None:
    del signed_in.http.headers["Origin"]
    assert signed_in.http.post("/ko/signout").status_code == 403
    assert signed_in.http.post("/ko/signout", headers={"Origin": ISSUER}).status_code == 303


def test_a_foreign_form_with_the_right_token_is_still_refused(stage: Stage) -> None:
    fields = Form(stage.http.get("/ko/signin").text).fields
    headers = {"Origin": "https://evil.example"}
    assert stage.http.post("/ko/signin", data=fields | CREDENTIALS, headers=headers).status_code == 403


@pytest.mark.parametrize("headers", [{"Origin": ISSUER}, {"Sec-Fetch-Site": "same-origin"}])
def test_our_own_form_needs_no_token(stage: Stage, headers: dict[str, str]) -> None:
    del stage.http.headers["Origin"]
    answer = stage.http.post("/ko/signin", data=CREDENTIALS, headers=headers)
    assert answer.status_code == 303


def test_a_client_that_says_nothing_needs_the_token_of_its_own_cookie(stage: Stage) -> None:
    del stage.http.headers["Origin"]
    fields = Form(stage.http.get("/ko/signin").text).fields
    stolen = {"form_token": form_token("another-cookie")}
    assert stage.http.post("/ko/signin", data=CREDENTIALS | stolen).status_code == 403
    assert stage.http.post("/ko/signin", data=CREDENTIALS | fields).status_code == 303


def test_signing_in_makes_the_old_token_worthless(stage: Stage) -> None:
    del stage.http.headers["Origin"]
    fields = Form(stage.http.get("/ko/signin").text).fields
    assert stage.http.post("/ko/signin", data=CREDENTIALS | fields).status_code == 303
    assert stage.http.post("/ko/signout", data=fields).status_code == 403
    fresh = Form(stage.http.get("/ko").text).fields
    assert stage.http.post("/ko/signout", data=fresh).status_code == 303


def test_every_page_that_takes_a_form_checks_it() -> None:
    app = FastAPI()
    install_pages(app)
    unchecked = [
        route.path
        for branch in app.routes
        if hasattr(branch, "effective_candidates")
        for group in branch.effective_candidates()
        for route in (group.effective_candidates() if hasattr(group, "effective_candidates") else [group])
        if "POST" in (route.methods or ()) and read_own_form not in _calls(route.dependant)
    ]
    assert unchecked == []


def _calls(dependant: Dependant) -> set[object]:
    return {dependant.call}.union(*(_calls(part) for part in dependant.dependencies))
