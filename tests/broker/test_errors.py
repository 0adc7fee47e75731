"""Errors: each has its row, machines get problem details, people get pages, and nobody gets our insides."""

import importlib
import logging
import pkgutil
from collections.abc import Callable

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from broker.api.errors import ApiTokenError, AuditorNeededError
from broker.deps import BadFormError, BodyTooLargeError
from broker.errors import ANSWERS, answer_to, install_error_handlers
from broker.logs import TraceMiddleware
from broker.oauth.errors import AuthorizationPageError, InvalidProofError, OAuthCode
from broker.web.errors import SignInRequiredError, WrongRoleError
from consent.errors import InvalidTermsError, NotFoundError, RequiredItemMissingError, WrongStateError
from tests.broker.asking import ask
from vault.errors import ErasedError, Fault, RecordInvalidError, TamperedError, VaultError

PERSONAL = "김하늘 850101-2345678"


class Body(BaseModel):
    name: str
    count: int


def page(request: Request, status: int, code: str, trace_id: str) -> Response:
    return PlainTextResponse(f"{request.url.path} {status} {code} {trace_id}", status_code=status)


def answer(raises: Callable[[], None], path: str = "/v1/thing/7") -> httpx.Response:
    """What the caller gets when a handler raises."""
    app = FastAPI()
    router = APIRouter()

    @router.get("/v1/thing/{number}")
    @router.get("/ko/thing/{number}")
    @router.get("/authorize")
    def handle(number: str = "") -> None:
        del number
        raises()

    @router.post("/v1/thing")
    def take(body: Body) -> int:
        return body.count

    app.include_router(router)
    install_error_handlers(app, page)
    app.add_middleware(TraceMiddleware)
    if path == "POST":
        return ask(
            app,
            "POST",
            "/v1/thing",
            content=b'{"name": {"secret": "' + PERSONAL.encode() + b'"}}',
            headers={"Content-Type": "application/json"},
        )
    return ask(app, "GET", path)


def raising(error: Exception) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it


def test_an_unknown_error_loses_its_detail(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # import-linter, which another test runs in this process, silences loggers that it does not name
    monkeypatch.setattr(logging.getLogger("broker.errors"), "disabled", False)
    with caplog.at_level(logging.ERROR, logger="broker.errors"):
        got = answer(raising(ZeroDivisionError(PERSONAL)))
    assert got.status_code == 500
    assert got.headers["content-type"] == "application/problem+json"
    assert got.json()["code"] == "internal_error"
    assert "detail" not in got.json()
    assert PERSONAL not in got.text
    noted = [record for record in caplog.records if record.name == "broker.errors"]
    assert [record.__dict__["error"] for record in noted] == ["ZeroDivisionError"]
    assert PERSONAL not in noted[0].getMessage()


def test_every_answer_bears_the_trace_id_of_its_header() -> None:
    for error in (ZeroDivisionError(), NotFoundError(), HTTPException(404)):
        got = answer(raising(error))
        assert len(got.headers["x-trace-id"]) == 16
        assert got.json()["trace_id"] == got.headers["x-trace-id"]


def test_an_inbound_trace_id_is_never_taken() -> None:
    app = FastAPI()
    app.add_middleware(TraceMiddleware)
    got = ask(app, "GET", "/nothing", headers={"X-Trace-Id": "planted"})
    assert got.headers["x-trace-id"] != "planted"


def test_tampered_data_is_our_mistake_and_says_nothing() -> None:
    got = answer(raising(TamperedError()))
    assert (got.status_code, got.json()["code"]) == (500, "internal_error")


def test_a_locked_database_asks_to_come_again() -> None:
    got = answer(raising(OperationalError("SELECT " + PERSONAL, {"name": PERSONAL}, Exception(PERSONAL))))
    assert (got.status_code, got.headers["retry-after"]) == (503, "1")
    assert PERSONAL not in got.text


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFoundError(), 404, "not_found"),
        (WrongStateError("GIVEN", "give"), 409, "wrong_state"),
        (ErasedError("subject"), 410, "erased"),
        (BadFormError(), 400, "bad_form"),
        (BodyTooLargeError(10), 413, "body_too_large"),
        (InvalidProofError("no jti"), 401, "invalid_dpop_proof"),
        (WrongRoleError(), 403, "wrong_role"),
    ],
)
def test_an_error_is_answered_by_its_row(error: Exception, status: int, code: str) -> None:
    got = answer(raising(error))
    assert (got.status_code, got.json()["code"], got.json()["status"]) == (status, code, status)
    assert got.json()["type"] == f"urn:mydata:problem:{code}"


@pytest.mark.parametrize("error", [ApiTokenError(), InvalidProofError("no jti"), AuditorNeededError()])
def test_whoever_is_not_proven_gets_a_challenge(error: Exception) -> None:
    got = answer(raising(error))
    assert got.status_code == 401
    assert got.headers["www-authenticate"].split()[0] in {"DPoP", "Cookie"}


def test_a_subclass_that_has_no_row_takes_the_nearest_one() -> None:
    class NewerError(NotFoundError):
        pass

    assert answer_to(NewerError()) == ANSWERS[NotFoundError]


@pytest.mark.parametrize(
    ("error", "findings"),
    [
        (InvalidTermsError([("items.0.mode", "unknown")]), [{"path": "items.0.mode", "rule": "unknown"}]),
        (RecordInvalidError([Fault("$.totals", "sum")]), [{"path": "$.totals", "rule": "sum"}]),
        (
            RequiredItemMissingError(["health.medical_bill"]),
            [{"path": "health.medical_bill", "rule": "required"}],
        ),
    ],
)
def test_findings_come_with_path_and_rule(error: Exception, findings: list[dict[str, str]]) -> None:
    assert answer(raising(error)).json()["errors"] == findings


def test_an_invalid_body_is_told_where_and_never_what() -> None:
    got = answer(raising(NotFoundError()), "POST")
    assert (got.status_code, got.json()["code"]) == (422, "invalid_request")
    assert {(one["path"], one["rule"]) for one in got.json()["errors"]} == {
        ("body.name", "string_type"),
        ("body.count", "missing"),
    }
    assert "secret" not in got.text


def test_the_frameworks_own_refusals_have_our_form() -> None:
    app = FastAPI()
    install_error_handlers(app)
    app.add_middleware(TraceMiddleware)
    app.add_api_route("/v1/only-get", lambda: 1, methods=["GET"])
    missing, wrong = ask(app, "GET", "/v1/none"), ask(app, "POST", "/v1/only-get")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"], wrong.headers["allow"]) == (
        405,
        "method_not_allowed",
        "GET",
    )


@pytest.mark.parametrize("path", ["/ko/thing/7", "/authorize"])
def test_people_get_a_page(path: str) -> None:
    got = answer(raising(NotFoundError()), path)
    assert got.text == f"{path} 404 not_found {got.headers['x-trace-id']}"


def test_a_page_without_an_address_is_not_found_as_a_page() -> None:
    assert answer(raising(NotFoundError()), "/en/none").text.startswith("/en/none 404")


def test_a_page_says_which_oauth_error_it_is() -> None:
    got = answer(raising(AuthorizationPageError(OAuthCode.INVALID_REQUEST_URI)), "/authorize")
    assert " 400 invalid_request_uri " in got.text


def test_nobody_signed_in_is_sent_to_sign_in() -> None:
    got = answer(raising(SignInRequiredError("/ko/signin?next=/ko")), "/ko/thing/7")
    assert (got.status_code, got.headers["location"]) == (303, "/ko/signin?next=/ko")


def test_every_error_of_vault_and_consent_has_a_row_of_its_own() -> None:
    for package in ("vault", "consent"):
        root = importlib.import_module(package)
        for module in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    assert [error for error in leaves(VaultError) if error not in ANSWERS] == []
    assert [
        error
        for error in leaves(importlib.import_module("consent.errors").ConsentError)
        if error not in ANSWERS
    ] == []
    assert [
        error
        for error in leaves(importlib.import_module("consent.ledger.errors").LedgerError)
        if error not in ANSWERS
    ] == []


def leaves(error: type[Exception]) -> set[type[Exception]]:
    below = error.__subclasses__()
    ours = {one for one in below if not one.__module__.startswith("tests")}
    return set().union(*(leaves(one) for one in ours)) if ours else {error}
