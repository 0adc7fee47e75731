"""The service on the web: an agent begins a lease, and each person has a page behind a link of their own."""

import secrets
from importlib import resources
from typing import Any, Final
from urllib.parse import parse_qs

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from connectors.errors import OutboundError
from connectors.services.lease.findings import for_agent, for_landlord, for_tenant
from connectors.services.lease.recipient.configuration import Configuration
from connectors.services.lease.recipient.desk import Desk
from connectors.services.lease.recipient.forms import FormFault, read_home
from connectors.services.lease.recipient.store import Lease, LeaseState, Party, PartyState, Store
from connectors.services.lease.recipient.wording import BANDS, KST, ROLES, ended_in_words
from connectors.services.relying_party.broker_client import BrokerRefusedError
from connectors.services.relying_party.deleting import Deletion
from connectors.services.relying_party.site import SECURITY_HEADERS, is_same_browser, is_staff

_COOKIE: Final = "lease"
_PACKAGE: Final = "connectors.services.lease.recipient"
_MOST_BYTES: Final = 10_000
_SHOWN: Final = frozenset({PartyState.RECEIVED, PartyState.CLOSED})


def create_service(configuration: Configuration, store: Store, desk: Desk, deletion: Deletion) -> Starlette:
    """The service as an ASGI app."""
    site = _Site(configuration, store, desk)
    staff = _Staff(configuration, store, desk, deletion)
    return Starlette(
        routes=[
            Route("/", site.show_start, methods=["GET"]),
            Route("/lease.css", site.show_style, methods=["GET"]),
            Route("/leases", site.begin, methods=["POST"]),
            Route("/in/{link}", site.show_party, methods=["GET"]),
            Route("/in/{link}/sign", site.lead, methods=["POST"]),
            Route("/in/{link}/contract", site.show_contract, methods=["GET"]),
            Route("/callback", site.come_back, methods=["GET"]),
            Route("/staff/leases", staff.list_leases, methods=["GET"]),
            Route("/staff/leases/{lease_id}", staff.show, methods=["GET"]),
            Route("/staff/leases/{lease_id}/{role}/pull", staff.pull_again, methods=["POST"]),
            Route("/staff/leases/{lease_id}/ack", staff.acknowledge, methods=["POST"]),
            Route("/staff/deletions", staff.delete_now, methods=["POST"]),
        ]
    )


class _Site:
    """The handlers for people; the desk is synchronous, so each hands its work to a thread."""

    def __init__(self, configuration: Configuration, store: Store, desk: Desk) -> None:
        self._configuration = configuration
        self._store = store
        self._desk = desk
        self._style = resources.files(_PACKAGE).joinpath("pages", "lease.css").read_text("utf-8")
        self._pages = Environment(
            loader=PackageLoader(_PACKAGE, "pages"), autoescape=True, undefined=StrictUndefined
        )

    async def show_start(self, request: Request) -> Response:
        del request
        return self._page("start.html", entered={}, faults={})

    async def show_style(self, request: Request) -> Response:
        del request
        return Response(self._style, media_type="text/css")

    async def begin(self, request: Request) -> Response:
        entered = await _form(request)
        try:
            home = read_home(entered)
        except FormFault as fault:
            return self._page("start.html", status=422, entered=entered, faults=fault.faults)
        try:
            lease = await run_in_threadpool(self._desk.begin, home)
        except (BrokerRefusedError, OutboundError):
            return self._page("away.html", status=502)
        return RedirectResponse(f"/in/{lease.parties['agent'].link}", status_code=303)

    async def show_party(self, request: Request) -> Response:
        found = await run_in_threadpool(self._found, request)
        if found is None:
            return self._page("unknown.html", status=404)
        lease, party = found
        is_own = party.browser_digest is not None and is_same_browser(
            party.browser_digest, request.cookies.get(_COOKIE)
        )
        return self._page(
            "party.html",
            lease=lease,
            deadline=lease.deadline.astimezone(KST),
            party=party,
            role=ROLES[party.role],
            roles=ROLES,
            is_own=is_own,
            is_signed=party.state is not PartyState.INVITED,
            findings=self._findings(lease, party) if is_own else None,
            ended=None if lease.ended_by is None else ended_in_words(lease.ended_by),
            bands=BANDS,
            base=self._base(request),
        )

    async def lead(self, request: Request) -> Response:
        found = await run_in_threadpool(self._found, request)
        if found is None:
            return self._page("unknown.html", status=404)
        _, party = found
        browser = request.cookies.get(_COOKIE) or secrets.token_urlsafe(32)
        try:
            address = await run_in_threadpool(self._desk.lead, party, browser)
        except (BrokerRefusedError, OutboundError):
            await run_in_threadpool(self._desk.advance, party.lease_id)
            return RedirectResponse(f"/in/{party.link}", status_code=303)
        answer = RedirectResponse(address, status_code=303)
        is_secure = self._configuration.redirect_uri.startswith("https://")
        answer.set_cookie(_COOKIE, browser, httponly=True, samesite="lax", secure=is_secure)
        return answer

    async def come_back(self, request: Request) -> Response:
        query = request.query_params
        party = await run_in_threadpool(
            self._desk.come_back,
            query.get("state", ""),
            query.get("iss", ""),
            browser=request.cookies.get(_COOKIE),
            code=query.get("code"),
            error=query.get("error"),
        )
        if party is None:
            return self._page("unknown.html", status=400)
        return RedirectResponse(f"/in/{party.link}", status_code=303)

    async def show_contract(self, request: Request) -> Response:
        """The contract opens once all checks are there, for those who are in it."""
        found = await run_in_threadpool(self._found, request)
        if found is None:
            return self._page("unknown.html", status=404)
        lease, party = found
        if lease.state is not LeaseState.READY:
            return RedirectResponse(f"/in/{party.link}", status_code=303)
        return self._page("contract.html", lease=lease, party=party)

    def _found(self, request: Request) -> tuple[Lease, Party] | None:
        party = self._store.party_of(request.path_params["link"])
        lease = None if party is None else self._store.lease(party.lease_id)
        return None if party is None or lease is None else (lease, party)

    def _findings(self, lease: Lease, party: Party) -> object:
        """What this role is shown; None until all is there, and once what it rests on was deleted."""
        if lease.state is not LeaseState.READY:
            return None
        people, today = lease.parties, self._desk.now().date()
        if party.role == "tenant" and people["landlord"].state in _SHOWN:
            return for_tenant(lease.home, people["landlord"].records, today)
        if party.role == "landlord" and people["tenant"].state in _SHOWN:
            return for_landlord(lease.home, people["tenant"].records)
        if party.role == "agent" and all(one.state in _SHOWN for one in people.values()):
            return for_agent({role: one.records for role, one in people.items()})
        return None

    def _base(self, request: Request) -> str:
        """The service's own address, never from Host: links go to other people."""
        del request
        return self._configuration.redirect_uri.removesuffix("/callback")

    def _page(self, template: str, *, status: int = 200, **context: object) -> Response:
        page = self._pages.get_template(template).render(
            service=self._configuration.name, issuer=self._configuration.issuer, **context
        )
        return HTMLResponse(page, status_code=status, headers=dict(SECURITY_HEADERS))


class _Staff:
    """The interface of the service's own staff."""

    def __init__(self, configuration: Configuration, store: Store, desk: Desk, deletion: Deletion) -> None:
        self._configuration = configuration
        self._store = store
        self._desk = desk
        self._deletion = deletion

    async def list_leases(self, request: Request) -> Response:
        if not self._is_staff(request):
            return _staff_only()
        leases = await run_in_threadpool(self._store.leases)
        return JSONResponse({"leases": [_summary(lease) for lease in leases]})

    async def show(self, request: Request) -> Response:
        if not self._is_staff(request):
            return _staff_only()
        lease = await run_in_threadpool(self._store.lease, request.path_params["lease_id"])
        if lease is None:
            return JSONResponse({"code": "no_such_lease"}, status_code=404)
        return JSONResponse(_summary(lease))

    async def pull_again(self, request: Request) -> Response:
        """What the broker answers to one more pull of one person, under the same key or a new one."""
        if not self._is_staff(request):
            return _staff_only()
        status, told = await run_in_threadpool(
            self._desk.pull_again,
            request.path_params["lease_id"],
            request.path_params["role"],
            with_same_key=request.query_params.get("key") == "same",
        )
        return JSONResponse({"status": status, "told": told})

    async def acknowledge(self, request: Request) -> Response:
        if not self._is_staff(request):
            return _staff_only()
        lease_id = request.path_params["lease_id"]
        try:
            done = await run_in_threadpool(self._desk.acknowledge, lease_id)
        except BrokerRefusedError as refused:
            return JSONResponse({"status": refused.status, "told": refused.code}, status_code=409)
        return JSONResponse({"acknowledged": done})

    async def delete_now(self, request: Request) -> Response:
        """Look at once what must be deleted, and attest it."""
        if not self._is_staff(request):
            return _staff_only()
        self._deletion.look_now()
        return JSONResponse({"deleted": await run_in_threadpool(self._deletion.work)})

    def _is_staff(self, request: Request) -> bool:
        return is_staff(request.headers.get("authorization", ""), self._configuration.staff_token)


def _summary(lease: Lease) -> dict[str, Any]:
    """What staff see of a lease: no token, and of the records only how many there are."""
    return {
        "lease_id": lease.lease_id,
        "deal_id": lease.deal_id,
        "state": lease.state,
        "ended_by": lease.ended_by,
        "parties": {
            role: {
                "state": party.state,
                "grant_id": party.grant_id,
                "delivery_id": party.delivery_id,
                "records": {record_type: len(found) for record_type, found in party.records.items()},
            }
            for role, party in lease.parties.items()
        },
    }


async def _form(request: Request) -> dict[str, str]:
    raw = await request.body()
    if len(raw) > _MOST_BYTES:
        return {}
    pairs = parse_qs(raw.decode("utf-8", "replace"), max_num_fields=20)
    return {name: values[0] for name, values in pairs.items()}


def _staff_only() -> Response:
    return JSONResponse({"code": "staff_only"}, status_code=401)
