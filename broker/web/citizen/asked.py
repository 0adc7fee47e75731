"""What organisations ask without a browser (OpenID CIBA Core): the list of what waits, and how each ended.

Deciding is on the page of every other request. Only the person whom the client named sees any of it.
"""

from fastapi import APIRouter, Depends
from starlette.responses import Response

from broker.oauth.ciba_requests import AskedState, AskedView, asked_of
from broker.oauth.clients import find_active, show
from broker.oauth.interaction import room_of
from broker.oauth.par import kept_of
from broker.web.citizen.desk import Reader, ReaderOf
from broker.web.errors import PageNotFoundError
from broker.web.rendering import Page, PageOf
from broker.web.signin.guards import require_citizen
from consent.models import Organisation
from consent.reading import party

router = APIRouter(dependencies=[Depends(require_citizen)])


@router.get("/asked", name="asked")
def show_asked(page: PageOf, reader: ReaderOf) -> Response:
    """Everything that waits for this person, the oldest first."""
    waiting = [
        _in_words(page, reader, one)
        for one in asked_of(reader.session, reader.subject_id, reader.now)
        if _can_be_decided(reader, one)
    ]
    return page.answer("citizen/asked.html", waiting=waiting)


@router.get("/asked/{interaction_id}", name="asked.one")
def show_answered(interaction_id: str, page: PageOf, reader: ReaderOf) -> Response:
    """What became of one of them, after the decision. Raises PageNotFoundError for somebody else's."""
    if not interaction_id.isascii() or not interaction_id.isprintable():
        raise PageNotFoundError  # PostgreSQL takes no text with a NUL in it
    found = asked_of(reader.session, reader.subject_id, reader.now, interaction_id)
    if not found:
        raise PageNotFoundError
    told = _in_words(page, reader, found[0])
    is_over = found[0].state is AskedState.PENDING and not _can_be_decided(reader, found[0])
    return page.answer("citizen/asked_one.html", one=told, state=found[0].state, is_over=is_over)


def _can_be_decided(reader: Reader, asked: AskedView) -> bool:
    """In time, and of a client that is not suspended: nothing else opens."""
    return asked.expires_at > reader.now and find_active(reader.session, asked.client_id) is not None


def _in_words(page: Page, reader: Reader, asked: AskedView) -> dict[str, object]:
    client = show(reader.session, asked.client_id)
    organisation = party(reader.session.get_one(Organisation, client.organisation_id))
    return {
        "recipient_name": organisation.name(page.language),
        "binding_message": kept_of(reader.keyring, asked.request).binding_message,
        "expires_at": asked.expires_at,
        "path": f"/{page.language}/{room_of(asked.request)}/{asked.interaction_id}",
    }
