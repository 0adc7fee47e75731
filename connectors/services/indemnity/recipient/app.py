"""The insurer's web side: a page to start a claim, the return address, and an interface for its own staff."""

import secrets
from importlib import resources
from typing import Any, Final
from urllib.parse import parse_qs

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from connectors.services.indemnity.recipient.configuration import Configuration
from connectors.services.indemnity.recipient.desk import BILL, Desk
from connectors.services.indemnity.recipient.inbox import EventRefusedError, Inbox
from connectors.services.indemnity.recipient.store import AccessWish, Case, Store
from connectors.services.relying_party.broker_client import BrokerRefusedError
from connectors.services.relying_party.broker_keys import KeysAwayError
from connectors.services.relying_party.site import SECURITY_HEADERS, is_staff

_COOKIE: Final = "claim"
_MOST_EVENT_BYTES: Final = 16 * 1024
_PACKAGE: Final = "connectors.services.indemnity.recipient"


def create_insurer(configuration: Configuration, store: Store, desk: Desk, inbox: Inbox) -> Starlette:
    """The insurer as an ASGI app."""
    site = _Site(configuration, store, desk)
    door = _Door(inbox, desk)
    return Starlette(
        routes=[
            Route("/", site.show_start, methods=["GET"]),
            Route("/insurer.css", site.show_style, methods=["GET"]),
            Route("/cases", site.start_case, methods=["POST"]),
            Route("/callback", site.come_back, methods=["GET"]),
            Route("/events", door.take_event, methods=["POST"]),
            Route("/staff/cases", site.list_cases, methods=["GET"]),
            Route("/staff/cases", site.open_case, methods=["POST"]),
            Route("/staff/cases/{case_id}", site.show_case, methods=["GET"]),
            Route("/staff/cases/{case_id}/pull", site.pull_again, methods=["POST"]),
            Route("/staff/cases/{case_id}/ack", site.acknowledge, methods=["POST"]),
            Route("/staff/cases/{case_id}/review", site.answer_review, methods=["POST"]),
        ]
    )


class _Site:
    """The handlers; the desk is synchronous, so each hands its work to a thread."""

    def __init__(self, configuration: Configuration, store: Store, desk: Desk) -> None:
        self._configuration = configuration
        self._store = store
        self._desk = desk
        self._style = resources.files(_PACKAGE).joinpath("pages", "insurer.css").read_text("utf-8")
        self._pages = Environment(
            loader=PackageLoader(_PACKAGE, "pages"), autoescape=True, undefined=StrictUndefined
        )

    async def show_start(self, request: Request) -> Response:
        del request
        return self._page("start.html")

    async def show_style(self, request: Request) -> Response:
        del request
        return Response(self._style, media_type="text/css")

    async def start_case(self, request: Request) -> Response:
        access = _access_of(await request.body())
        browser = secrets.token_urlsafe(32)
        _, address = await run_in_threadpool(self._desk.open_case, browser, access)
        answer = RedirectResponse(address, status_code=303)
        is_secure = self._configuration.redirect_uri.startswith("https://")
        answer.set_cookie(_COOKIE, browser, httponly=True, samesite="lax", secure=is_secure)
        return answer

    async def come_back(self, request: Request) -> Response:
        query = request.query_params
        case = await run_in_threadpool(
            self._desk.come_back,
            query.get("state", ""),
            query.get("iss", ""),
            browser=request.cookies.get(_COOKIE),
            code=query.get("code"),
            error=query.get("error"),
        )
        return (
            self._page("unknown.html", status=400) if case is None else self._page("result.html", case=case)
        )

    async def list_cases(self, request: Request) -> Response:
        if not self._is_staff(request):
            return _staff_only()
        return JSONResponse([_summary(case) for case in await run_in_threadpool(self._store.cases)])

    async def open_case(self, request: Request) -> Response:
        if not self._is_staff(request):
            return _staff_only()
        access = _access_of(request.url.query.encode())
        case_id, address = await run_in_threadpool(self._desk.open_case, None, access)
        return JSONResponse({"case_id": case_id, "authorization_url": address}, status_code=201)

    async def show_case(self, request: Request) -> Response:
        if not self._is_staff(request):
            return _staff_only()
        case = await run_in_threadpool(self._store.case, request.path_params["case_id"])
        return (
            JSONResponse({"code": "no_such_case"}, status_code=404)
            if case is None
            else JSONResponse(_summary(case))
        )

    async def pull_again(self, request: Request) -> Response:
        """What the broker answers to one more pull, under the case's key or a new one."""
        if not self._is_staff(request):
            return _staff_only()
        with_same_key = request.query_params.get("key") == "same"
        try:
            delivered = await run_in_threadpool(
                self._desk.pull_again, request.path_params["case_id"], with_same_key=with_same_key
            )
        except BrokerRefusedError as refused:
            return JSONResponse({"status": refused.status, "code": refused.code})
        return JSONResponse(
            {"status": 200, "delivery_id": delivered.delivery_id, "payload_digest": delivered.payload_digest}
        )

    async def acknowledge(self, request: Request) -> Response:
        if not self._is_staff(request):
            return _staff_only()
        try:
            await run_in_threadpool(self._desk.acknowledge, request.path_params["case_id"])
        except BrokerRefusedError as refused:
            return JSONResponse({"status": refused.status, "code": refused.code}, status_code=409)
        return JSONResponse({"acknowledged": True})

    async def answer_review(self, request: Request) -> Response:
        """What a person decided on a case that waits for one: `status`, `payable`, `explanation` (ko, en)."""
        if not self._is_staff(request):
            return _staff_only()
        decision = _reviewed(await request.body())
        if decision is None:
            return JSONResponse({"code": "no_decision"}, status_code=422)
        case_id = request.path_params["case_id"]
        if not await run_in_threadpool(self._desk.answer_review, case_id, decision):
            return JSONResponse({"code": "nothing_to_review"}, status_code=409)
        return JSONResponse({"answered": True})

    def _is_staff(self, request: Request) -> bool:
        return is_staff(request.headers.get("authorization", ""), self._configuration.staff_token)

    def _page(self, template: str, *, status: int = 200, case: Case | None = None) -> Response:
        page = self._pages.get_template(template).render(
            insurer=self._configuration.name, issuer=self._configuration.issuer, case=case
        )
        return HTMLResponse(page, status_code=status, headers=SECURITY_HEADERS)


class _Door:
    """Where the broker pushes events (RFC 8935 section 2)."""

    def __init__(self, inbox: Inbox, desk: Desk) -> None:
        self._inbox = inbox
        self._desk = desk

    async def take_event(self, request: Request) -> Response:
        """202 once it is kept; what comes of it happens afterwards."""
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        raw = bytearray()
        async for piece in request.stream():
            raw += piece
            if len(raw) > _MOST_EVENT_BYTES:
                break
        if media_type != "application/secevent+jwt" or len(raw) > _MOST_EVENT_BYTES or not raw.isascii():
            return _event_refused("invalid_request", "one security event token is expected")
        try:
            await run_in_threadpool(self._inbox.take, raw.decode(), self._desk.now())
        except EventRefusedError as refused:
            return _event_refused(refused.code, refused.told)
        except KeysAwayError:
            return Response(status_code=503, headers={"Retry-After": "5"})
        return Response(status_code=202)


def _event_refused(code: str, told: str) -> Response:
    """RFC 8935 section 2.3."""
    return JSONResponse({"err": code, "description": told}, status_code=400)


def _access_of(raw_form: bytes) -> AccessWish:
    wished = parse_qs(raw_form.decode("ascii", "replace")).get("access", ["once"])
    return "periodic" if wished == ["periodic"] else "once"


def _reviewed(raw: bytes) -> dict[str, Any] | None:
    """A person's decision, as far as it is one; the broker looks at the rest."""
    try:
        told = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(told, dict) or set(told) != {"status", "payable", "explanation"}:
        return None
    explanation = told["explanation"]
    is_explained = (
        isinstance(explanation, dict)
        and set(explanation) == {"ko", "en"}
        and all(isinstance(text, str) and text for text in explanation.values())
    )
    is_decided = told["status"] in ("approved", "rejected") and type(told["payable"]) is int
    return {**told, "lines": []} if is_decided and is_explained and told["payable"] >= 0 else None


def _staff_only() -> Response:
    return JSONResponse({"code": "staff_only"}, status_code=401)


def _summary(case: Case) -> dict[str, object]:
    """What staff see of a case: no token, and of the records only how many there are."""
    return {
        "case_id": case.case_id,
        "state": case.state,
        "access": case.access,
        "parent_id": case.parent_id,
        "event_id": case.event_id,
        "review": case.review,
        "grant_id": case.grant_id,
        "delivery_id": case.delivery_id,
        "payload_digest": case.payload_digest,
        "records": {record_type: len(found) for record_type, found in case.records.items()},
        "bills": [record["data"]["bill_no"] for record in case.records.get(BILL, [])],
        "claim_no": case.claim_no,
        "claim": case.claim,
        "decision_id": case.decision_id,
        "refusal": case.refusal,
    }
