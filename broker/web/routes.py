"""All pages in one place: `/ko/…` and `/en/…`, the static files, and `/` by the browser's language."""

from functools import cache

from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.responses import RedirectResponse, Response

from broker.web import coverage, verifying
from broker.web.auditor import events
from broker.web.citizen import (
    acting,
    adjusting,
    approvals,
    asked,
    confirming,
    consent,
    consents,
    deals,
    emergencies,
    export,
    home,
    inbox,
    notification_settings,
    receipt,
    recognising,
    representation,
    rights,
    sources,
)
from broker.web.csrf import read_own_form
from broker.web.i18n import LANGUAGES, preferred_language
from broker.web.operator import overview, self_check
from broker.web.receipt_pdf import Printer
from broker.web.rendering import SEE_OTHER, Pages
from broker.web.signin import logout
from broker.web.signin import routes as signin


def web_router() -> APIRouter:
    """Every page. The form check hangs on all of them, so no page can forget it."""
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/", show_root, methods=["GET"], name="root")
    router.add_api_route("/static/{hashed_name}", show_static, methods=["GET"], name="static")
    for language in LANGUAGES:
        for pages in (
            signin,
            logout,
            coverage,
            verifying,
            home,
            consent,
            recognising,
            confirming,
            asked,
            consents,
            deals,
            adjusting,
            receipt,
            export,
            rights,
            inbox,
            notification_settings,
            sources,
            representation,
            acting,
            approvals,
            emergencies,
            overview,
            self_check,
            events,
        ):
            router.include_router(pages.router, prefix=f"/{language}", dependencies=[Depends(read_own_form)])
    return router


def install_pages(app: FastAPI) -> None:
    """Read templates, texts and static files for the pages of an app."""
    app.state.pages = _pages()
    app.state.coverage_pace = coverage.new_pace()
    app.state.receipt_printer = Printer()
    app.state.verifying_pace = verifying.new_pace()


@cache
def _pages() -> Pages:
    return Pages.load()


def show_root(request: Request) -> Response:
    """The citizen's home in the language that the browser prefers (RFC 9110 section 12.5.4)."""
    language = preferred_language(request.headers.get("accept-language"))
    return RedirectResponse(f"/{language}", status_code=SEE_OTHER, headers={"Vary": "Accept-Language"})


def show_static(hashed_name: str, request: Request) -> Response:
    """One static file by its hashed name."""
    pages: Pages = request.app.state.pages
    return pages.static.answer(hashed_name)
