"""Choosing for whom one acts, and going back with one press. The server keeps the choice, no cookie does."""

from fastapi import APIRouter, Depends
from starlette.responses import Response

from broker.web.citizen.desk import DeskOf, ReaderOf
from broker.web.csrf import OwnForm
from broker.web.error_pages import render_error_page
from broker.web.errors import ActingOverError, PageNotFoundError
from broker.web.rendering import PageOf
from broker.web.signin.acting import END_ROUTE, set_acting
from broker.web.signin.guards import require_citizen
from consent.parties import held_by
from consent.party_records import refuse_acting
from consent.people_vocabulary import RepresentationState
from consent.standing import find_acting

router = APIRouter(prefix="/acting", dependencies=[Depends(require_citizen)])


@router.get("", name="acting")
def show_acting(page: PageOf, reader: ReaderOf) -> Response:
    """Everybody for whom this person may act now."""
    held = held_by(reader.session, reader.keyring, reader.subject_id, reader.now)
    return page.answer(
        "citizen/acting.html",
        people=[one for one in held if one.state is RepresentationState.ACTIVE],
    )


@router.post("", name="acting.post")
def post_acting(page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """Act for somebody from now on. What is over is refused, on record; what is foreign is unknown."""
    representation_id = form.one("representation") or ""
    acting = find_acting(desk.work.session, representation_id, desk.subject_id, desk.now, is_held=True)
    if acting is None:
        refused = refuse_acting(desk.work, desk.keyring, representation_id, desk.subject_id, "over", desk.now)
        if refused is None:
            raise PageNotFoundError
        trace_id = str(page.request.scope.get("trace_id", "-"))
        return render_error_page(page.request, ActingOverError.status, ActingOverError.code, trace_id)
    set_acting(desk.work.session, page.raw_cookie, representation_id)
    return page.redirect("")


@router.post("/end", name=END_ROUTE)
def post_end(page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """Back to one's own pages."""
    del form
    set_acting(desk.work.session, page.raw_cookie, None)
    return page.redirect("/acting")
