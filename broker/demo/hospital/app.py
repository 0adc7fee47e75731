"""The hospital's web side: transmission requests for brokers, and an interface for its own staff."""

from hmac import compare_digest
from html import escape
from typing import Any, Final
from urllib.parse import parse_qs

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from broker.demo.hospital.configuration import Configuration
from broker.demo.hospital.desk import Desk
from broker.demo.hospital.store import Store
from connectors.sources.demo_people import DEMO_PEOPLE
from connectors.sources.transmission import MEDIA_TYPE
from consent.vocabulary import RefusalReason

_MOST_BYTES: Final = 64 * 1024
_SECURITY: Final = {
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_PAGE: Final = (
    '<!doctype html><html lang="ko"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><title>{name}</title>'
    "<h1>{name}</h1><p>데모 병원입니다. 환자가 동의한 진료비 자료를 중계기관에 보냅니다."
    " 진료를 보면 새 영수증이 생기고, 바로 보내집니다.</p>"
    '<p lang="en">A demo hospital: it answers transmission requests of the broker.'
    " After a visit there is a new bill, which it sends at once.</p>{visits}</html>"
)


def create_hospital(configuration: Configuration, store: Store, desk: Desk) -> Starlette:
    """The hospital as an ASGI app."""
    site = _Site(configuration, store, desk)
    return Starlette(
        routes=[
            Route("/", site.show_start, methods=["GET"]),
            Route("/visits", site.press_visit, methods=["POST"]),
            Route("/transmissions", site.transmit, methods=["POST"]),
            Route("/staff/visits", site.list_visits, methods=["GET"]),
            Route("/staff/visits", site.add_visit, methods=["POST"]),
            Route("/staff/patients/{patient_no}/refusal", site.set_refusal, methods=["PUT"]),
        ]
    )


class _Site:
    """The handlers; the desk is synchronous, so each hands its work to a thread."""

    def __init__(self, configuration: Configuration, store: Store, desk: Desk) -> None:
        self._configuration = configuration
        self._store = store
        self._desk = desk

    async def show_start(self, request: Request) -> Response:
        """What this is, and a button for each invented patient: after a visit there is a new bill."""
        del request
        name = escape(self._configuration.name)
        visits = "".join(
            f'<form method="post" action="/visits"><button id="visit-{escape(one.patient_no)}"'
            f' name="patient_no" value="{escape(one.patient_no)}">{escape(one.name)} 진료 보기</button>'
            "</form>"
            for one in DEMO_PEOPLE
        )
        return HTMLResponse(_PAGE.format(name=name, visits=visits), headers=_SECURITY)

    async def press_visit(self, request: Request) -> Response:
        """The button of the page: a visit has taken place. Only from the page itself."""
        own = f"{request.url.scheme}://{request.url.netloc}"
        if request.headers.get("origin", own) != own or request.headers.get("sec-fetch-site") == "cross-site":
            return JSONResponse({"error": "from another page"}, status_code=403)
        told = parse_qs((await _body(request) or b"").decode("ascii", "replace"))
        bill_no = await run_in_threadpool(self._desk.add_visit, told.get("patient_no", [""])[0])
        if bill_no is None:
            return JSONResponse({"error": "no such patient"}, status_code=404)
        return RedirectResponse("/", status_code=303)

    async def transmit(self, request: Request) -> Response:
        """One page of a patient's documents, or a legal ground."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
            return JSONResponse({"error": "wrong media type"}, status_code=415)
        body = await _body(request)
        if body is None:
            return JSONResponse({"error": "too large"}, status_code=413)
        answered = await run_in_threadpool(self._desk.answer, body.decode("ascii", "replace"))
        return JSONResponse(answered.body, status_code=answered.status, headers={"Cache-Control": "no-store"})

    async def list_visits(self, request: Request) -> Response:
        """Every document: format, number, patient, and whether the broker has answered for it."""
        if not self._is_staff(request):
            return _staff_only()
        documents = await run_in_threadpool(self._store.documents)
        return JSONResponse(
            [
                {
                    "format": one.format,
                    "number": one.number,
                    "patient_no": one.patient_no,
                    "is_pushed": one.is_pushed,
                }
                for one in documents
            ]
        )

    async def add_visit(self, request: Request) -> Response:
        """A visit has taken place: `{"patient_no"}`; its bill is pushed to whoever the patient wants."""
        if not self._is_staff(request):
            return _staff_only()
        told = _object(await _body(request))
        bill_no = await run_in_threadpool(self._desk.add_visit, str(told.get("patient_no", "")))
        if bill_no is None:
            return JSONResponse({"error": "no such patient"}, status_code=404)
        return JSONResponse({"bill_no": bill_no}, status_code=201)

    async def set_refusal(self, request: Request) -> Response:
        """The hospital decides to send nothing of a patient: `{"reason"}`, or null to send again."""
        if not self._is_staff(request):
            return _staff_only()
        reason = _object(await _body(request)).get("reason", "")
        if reason is not None and reason not in set(RefusalReason):
            return JSONResponse({"error": "not one of the eleven legal grounds"}, status_code=422)
        patient_no = request.path_params["patient_no"]
        if not await run_in_threadpool(self._store.set_refusal, patient_no, reason):
            return JSONResponse({"error": "no such patient"}, status_code=404)
        return JSONResponse({"reason": reason})

    def _is_staff(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        expected = self._configuration.staff_token
        return scheme.lower() == "bearer" and compare_digest(token.encode(), expected.encode())


async def _body(request: Request) -> bytes | None:
    """The body, or None if it is larger than anything that is sent here."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            return None
    return bytes(body)


def _object(body: bytes | None) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    try:
        loaded = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _staff_only() -> Response:
    return JSONResponse({"error": "staff only"}, status_code=401)
