"""The insurer's web side: a page to start a claim, the return address, and an interface for its own staff."""

from hmac import compare_digest
from html import escape
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from connectors.services.indemnity.recipient.broker_client import BrokerRefusedError
from connectors.services.indemnity.recipient.configuration import Configuration
from connectors.services.indemnity.recipient.desk import Desk
from connectors.services.indemnity.recipient.store import Case, Store

_SECURITY: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

_PAGE: Final = """<!doctype html>
<html lang="ko"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
body{{font-family:"Noto Sans KR","Apple SD Gothic Neo","Malgun Gothic",sans-serif;margin:0;background:#f7f4ef;color:#2b2118;line-height:1.6}}
header{{background:#7a2e12;color:#fff;padding:1rem 1.5rem;font-weight:700}}main{{max-width:44rem;margin:2rem auto;padding:0 1.5rem}}
button{{background:#7a2e12;color:#fff;border:0;border-radius:.5rem;padding:.9rem 1.6rem;font:inherit;font-weight:700;min-height:44px;cursor:pointer}}
table{{width:100%;border-collapse:collapse;background:#fff}}th,td{{padding:.6rem;border-bottom:1px solid #e3dacd;text-align:left}}td.won{{text-align:right}}
a{{color:#7a2e12}}</style></head><body><header>{name} <small>(데모 · demo insurer)</small></header><main>{body}</main></body></html>"""

_START: Final = """<h1>실손보험금, 영수증 없이 청구하세요</h1>
<p>병원비 영수증을 한빛손해보험이 직접 받아 계산하고 청구까지 합니다. 무엇을 보낼지는 동의 화면에서 정하십니다.</p>
<p lang="en">We fetch your hospital bills once, work out your claim and file it. You decide what is sent.</p>
<form method="post" action="/cases"><button id="start">내 병원비 가져와 청구하기 · Start my claim</button></form>{cases}"""


def create_insurer(configuration: Configuration, store: Store, desk: Desk) -> Starlette:
    """The insurer as an ASGI app."""
    site = _Site(configuration, store, desk)
    return Starlette(
        routes=[
            Route("/", site.show_start, methods=["GET"]),
            Route("/cases", site.start_case, methods=["POST"]),
            Route("/callback", site.come_back, methods=["GET"]),
            Route("/staff/cases", site.list_cases, methods=["GET"]),
            Route("/staff/cases", site.open_case, methods=["POST"]),
            Route("/staff/cases/{case_id}", site.show_case, methods=["GET"]),
            Route("/staff/cases/{case_id}/pull", site.pull_again, methods=["POST"]),
            Route("/staff/cases/{case_id}/ack", site.acknowledge, methods=["POST"]),
        ]
    )


class _Site:
    """The handlers; the desk is synchronous, so each hands its work to a thread."""

    def __init__(self, configuration: Configuration, store: Store, desk: Desk) -> None:
        self._configuration = configuration
        self._store = store
        self._desk = desk

    async def show_start(self, request: Request) -> Response:
        del request
        return self._page("실손보험금 청구", _START.format(cases=""))

    async def start_case(self, request: Request) -> Response:
        del request
        _, address = await run_in_threadpool(self._desk.open_case)
        return RedirectResponse(address, status_code=303)

    async def come_back(self, request: Request) -> Response:
        query = request.query_params
        case = await run_in_threadpool(
            self._desk.come_back,
            query.get("state", ""),
            query.get("iss", ""),
            code=query.get("code"),
            error=query.get("error"),
        )
        if case is None:
            return self._page("잘못된 요청", "<h1>이 응답을 기다리는 청구가 없습니다</h1>", status=400)
        return self._page("청구 결과", _result(case, self._configuration.issuer))

    async def list_cases(self, request: Request) -> Response:
        if not self._is_staff(request):
            return JSONResponse({"code": "staff_only"}, status_code=401)
        cases = await run_in_threadpool(self._store.cases)
        return JSONResponse([_summary(case) for case in cases])

    async def open_case(self, request: Request) -> Response:
        if not self._is_staff(request):
            return JSONResponse({"code": "staff_only"}, status_code=401)
        case_id, address = await run_in_threadpool(self._desk.open_case)
        return JSONResponse({"case_id": case_id, "authorization_url": address}, status_code=201)

    async def show_case(self, request: Request) -> Response:
        if not self._is_staff(request):
            return JSONResponse({"code": "staff_only"}, status_code=401)
        case = await run_in_threadpool(self._store.case, request.path_params["case_id"])
        if case is None:
            return JSONResponse({"code": "no_such_case"}, status_code=404)
        return JSONResponse(_summary(case))

    async def pull_again(self, request: Request) -> Response:
        if not self._is_staff(request):
            return JSONResponse({"code": "staff_only"}, status_code=401)
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
            return JSONResponse({"code": "staff_only"}, status_code=401)
        try:
            await run_in_threadpool(self._desk.acknowledge, request.path_params["case_id"])
        except BrokerRefusedError as refused:
            return JSONResponse({"status": refused.status, "code": refused.code}, status_code=409)
        return JSONResponse({"acknowledged": True})

    def _is_staff(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and compare_digest(
            token.encode(), self._configuration.staff_token.encode()
        )

    def _page(self, title: str, body: str, *, status: int = 200) -> Response:
        page = _PAGE.format(title=escape(title), name=escape(self._configuration.name), body=body)
        return HTMLResponse(page, status_code=status, headers=_SECURITY)


def _summary(case: Case) -> dict[str, object]:
    """What staff see of a case: no token, no records beyond their number."""
    return {
        "case_id": case.case_id,
        "state": case.state,
        "grant_id": case.grant_id,
        "delivery_id": case.delivery_id,
        "payload_digest": case.payload_digest,
        "records": {record_type: len(found) for record_type, found in case.records.items()},
        "claim_no": case.claim_no,
        "claim": case.claim,
        "decision_id": case.decision_id,
        "refusal": case.refusal,
    }


def _result(case: Case, issuer: str) -> str:
    """The person's page after coming back."""
    if case.claim is None:
        reason = escape(case.refusal or str(case.state))
        return (
            "<h1>자료를 받지 못했습니다</h1><p>보내지 않기로 하셨거나 아직 받을 수 없습니다. 영수증을 직접 내셔도 됩니다.</p>"
            f'<p lang="en">We did not receive your records ({reason}). You can hand in the bills yourself.</p>'
            '<p><a href="/">처음으로 · Start again</a></p>'
        )
    rows = "".join(
        f"<tr><td>{escape(line['bill_no'])}</td><td>{escape(line['explanation']['ko'])}</td>"
        f'<td class="won">{line["paid"]:,}원</td></tr>'
        for line in case.claim["lines"]
    )
    return (
        f"<h1>청구했습니다: {case.claim['payable']:,}원</h1>"
        f"<p>접수번호 {escape(case.claim_no or '')}. 영수증 {len(case.records.get('health.medical_bill', []))}건을 받았습니다.</p>"
        f"<table><thead><tr><th>영수증</th><th>계산</th><th>보험금</th></tr></thead><tbody>{rows}</tbody></table>"
        f'<p><a href="{escape(issuer)}/ko">내 정보 보낸 곳에서 확인하고 그만 보내기 · See and stop it</a></p>'
    )
