"""The bank's web side: a page to apply, the return address, and an interface for its own staff."""

import re
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

from connectors.services.lending.recipient.configuration import Configuration
from connectors.services.lending.recipient.desk import AmountRefusedError, Desk
from connectors.services.lending.recipient.store import Application, Store
from connectors.services.lending.rules import RULES
from connectors.services.relying_party.broker_client import BrokerRefusedError
from connectors.services.relying_party.deleting import Deletion
from connectors.services.relying_party.site import SECURITY_HEADERS, is_staff

_COOKIE: Final = "loan"
_PACKAGE: Final = "connectors.services.lending.recipient"
_AMOUNT: Final = re.compile(r"[0-9]{1,3}(?:,?[0-9]{3}){0,4}")
_STAFF_ONLY: Final = {"code": "staff_only"}
_DECIDED: Final = frozenset({"status", "payable", "explanation"})


def create_bank(configuration: Configuration, store: Store, desk: Desk, deletion: Deletion) -> Starlette:
    """The bank as an ASGI app."""
    site = _Site(configuration, desk)
    staff = _Staff(configuration, store, desk, deletion)
    return Starlette(
        routes=[
            Route("/", site.show_start, methods=["GET"]),
            Route("/bank.css", site.show_style, methods=["GET"]),
            Route("/applications", site.apply, methods=["POST"]),
            Route("/callback", site.come_back, methods=["GET"]),
            Route("/staff/applications", staff.applications, methods=["GET", "POST"]),
            Route("/staff/applications/{application_id}", staff.show, methods=["GET"]),
            Route("/staff/applications/{application_id}/pull", staff.pull_again, methods=["POST"]),
            Route("/staff/applications/{application_id}/ack", staff.acknowledge, methods=["POST"]),
            Route("/staff/applications/{application_id}/decision", staff.decide, methods=["POST"]),
            Route("/staff/deletions", staff.delete_what_is_due, methods=["POST"]),
        ]
    )


class _Site:
    """The public pages; the desk is synchronous, so each handler hands its work to a thread."""

    def __init__(self, configuration: Configuration, desk: Desk) -> None:
        self._configuration = configuration
        self._desk = desk
        self._style = resources.files(_PACKAGE).joinpath("pages", "bank.css").read_text("utf-8")
        self._pages = Environment(
            loader=PackageLoader(_PACKAGE, "pages"), autoescape=True, undefined=StrictUndefined
        )

    async def show_start(self, request: Request) -> Response:
        del request
        return self._page("start.html", is_refused=False)

    async def show_style(self, request: Request) -> Response:
        del request
        return Response(self._style, media_type="text/css")

    async def apply(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode("ascii", "replace"))
        browser = secrets.token_urlsafe(32)
        try:
            amount = _amount_of(form.get("amount", [""])[0])
            _, address = await run_in_threadpool(self._desk.apply, amount, browser)
        except AmountRefusedError:
            return self._page("start.html", status=422, is_refused=True)
        answer = RedirectResponse(address, status_code=303)
        is_secure = self._configuration.redirect_uri.startswith("https://")
        answer.set_cookie(_COOKIE, browser, httponly=True, samesite="lax", secure=is_secure)
        return answer

    async def come_back(self, request: Request) -> Response:
        query = request.query_params
        application = await run_in_threadpool(
            self._desk.come_back,
            query.get("state", ""),
            query.get("iss", ""),
            browser=request.cookies.get(_COOKIE),
            code=query.get("code"),
            error=query.get("error"),
        )
        if application is None:
            return self._page("unknown.html", status=400)
        return self._page("result.html", application=application)

    def _page(self, template: str, *, status: int = 200, **told: object) -> Response:
        page = self._pages.get_template(template).render(
            bank=self._configuration.name, issuer=self._configuration.issuer, rules=RULES, **told
        )
        return HTMLResponse(page, status_code=status, headers=dict(SECURITY_HEADERS))


class _Staff:
    """What the bank's own programs call, with a token."""

    def __init__(self, configuration: Configuration, store: Store, desk: Desk, deletion: Deletion) -> None:
        self._token = configuration.staff_token
        self._store = store
        self._desk = desk
        self._deletion = deletion

    async def applications(self, request: Request) -> Response:
        """Those there are; or a new one: `?amount=`, and where the person is to go."""
        if not self._is_staff(request):
            return _json(401, _STAFF_ONLY)
        if request.method == "GET":
            return _json(200, [_summary(one) for one in await run_in_threadpool(self._store.all)])
        try:
            amount = _amount_of(request.query_params.get("amount", ""))
            application_id, address = await run_in_threadpool(self._desk.apply, amount)
        except AmountRefusedError:
            return _json(422, {"code": "amount_refused"})
        return _json(201, {"application_id": application_id, "authorization_url": address})

    async def show(self, request: Request) -> Response:
        if not self._is_staff(request):
            return _json(401, _STAFF_ONLY)
        application = await run_in_threadpool(self._store.find, request.path_params["application_id"])
        if application is None:
            return _json(404, {"code": "no_such_application"})
        return _json(200, _summary(application))

    async def pull_again(self, request: Request) -> Response:
        """What the broker answers to one more pull, under the application's key or a new one."""
        if not self._is_staff(request):
            return _json(401, _STAFF_ONLY)
        with_same_key = request.query_params.get("key") == "same"
        try:
            delivered = await run_in_threadpool(
                self._desk.pull_again, request.path_params["application_id"], with_same_key=with_same_key
            )
        except BrokerRefusedError as refused:
            return _json(200, {"status": refused.status, "code": refused.code})
        told = {"delivery_id": delivered.delivery_id, "payload_digest": delivered.payload_digest}
        return _json(200, {"status": 200, **told})

    async def acknowledge(self, request: Request) -> Response:
        if not self._is_staff(request):
            return _json(401, _STAFF_ONLY)
        try:
            await run_in_threadpool(self._desk.acknowledge, request.path_params["application_id"])
        except BrokerRefusedError as refused:
            return _json(409, {"status": refused.status, "code": refused.code})
        return _json(200, {"acknowledged": True})

    async def decide(self, request: Request) -> Response:
        """What a person decided after a review: `status`, `payable`, `explanation` (ko, en)."""
        if not self._is_staff(request):
            return _json(401, _STAFF_ONLY)
        decision = _decision(await request.body())
        if decision is None:
            return _json(422, {"code": "no_decision"})
        try:
            await run_in_threadpool(self._desk.decide_again, request.path_params["application_id"], decision)
        except BrokerRefusedError as refused:
            return _json(409, {"status": refused.status, "code": refused.code})
        return _json(200, {"answered": True})

    async def delete_what_is_due(self, request: Request) -> Response:
        """Look now, and not only every ten minutes, what must be deleted; how much was."""
        if not self._is_staff(request):
            return _json(401, _STAFF_ONLY)
        self._deletion.look_now()
        return _json(200, {"deleted": await run_in_threadpool(self._deletion.work)})

    def _is_staff(self, request: Request) -> bool:
        return is_staff(request.headers.get("authorization", ""), self._token)


def _amount_of(written: str) -> int:
    """Won as a person writes them, with or without commas. Raises AmountRefusedError."""
    if _AMOUNT.fullmatch(written.strip()) is None:
        raise AmountRefusedError
    return int(written.strip().replace(",", ""))


def _decision(raw: bytes) -> dict[str, Any] | None:
    """A person's decision, as far as it is one; the broker looks at the rest."""
    try:
        told = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return told if isinstance(told, dict) and set(told) == _DECIDED else None


def _json(status: int, content: object) -> Response:
    return JSONResponse(content, status_code=status)


def _summary(application: Application) -> dict[str, object]:
    """What staff see of an application: no token, and of what was received only which answers there are."""
    return {
        "application_id": application.application_id,
        "state": application.state,
        "amount": application.amount,
        "reference": application.reference,
        "grant_id": application.grant_id,
        "delivery_id": application.delivery_id,
        "payload_digest": application.payload_digest,
        "records": {record_type: len(found) for record_type, found in application.records.items()},
        "decision": application.decision,
        "rate": application.rate,
        "decision_id": application.decision_id,
        "refusal": application.refusal,
    }
