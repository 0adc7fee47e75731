"""The auditor's list of ledger events: read-only, keyset paging; head, checkpoint and what is overdue."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from sqlmodel import Session
from starlette.responses import Response

from broker.deps import Now, Read
from broker.web.auditor.wording import event_for_auditors
from broker.web.i18n import Words
from broker.web.listing import SHOWN, Listing, overdue_listing
from broker.web.rendering import PageOf
from broker.web.signin.guards import require_auditor
from consent.auditing import EventView, HeadView, events, head
from consent.oversight import overdue_deletions

router = APIRouter(prefix="/audit", dependencies=[Depends(require_auditor)])

_PAGE_SIZE: Final = 50
_LARGEST_INDEX: Final = 2**63 - 1

Before = Annotated[int | None, Query(ge=1, le=_LARGEST_INDEX)]


@router.get("", name="audit")
def show_events(page: PageOf, session: Read, now: Now, before: Before = None) -> Response:
    """Events, the newest first; `before` is the index that the page ends ahead of.

    The first page says as well which deletions recipients are late with.
    """
    log_head = head(session)
    rows = events(session, before=before, limit=_PAGE_SIZE)
    return page.answer(
        "auditor/events.html",
        head=log_head,
        overdue=_overdue(page.words, session, now) if before is None else None,
        events=[(event, event_for_auditors(page.words, event.type)) for event in rows],
        period=period_in_words(page.words, rows, log_head),
        older=rows[-1].index if rows and rows[-1].index > 0 else None,
        newer=_newer(rows, log_head),
    )


def period_in_words(words: Words, rows: list[EventView], log_head: HeadView) -> str:
    """What the list covers, said in words: nothing is left out in silence."""
    if not rows:
        return words.gettext("No events. The log holds %(size)s in all.", size=words.number(log_head.size))
    return words.gettext(
        "Events %(first)s to %(last)s of the whole log of %(size)s, without filter and without gaps, "
        "recorded from %(from)s to %(to)s (KST).",
        first=words.number(rows[-1].index),
        last=words.number(rows[0].index),
        size=words.number(log_head.size),
        **{"from": words.moment(rows[-1].at), "to": words.moment(rows[0].at)},
    )


def _overdue(words: Words, session: Session, now: datetime) -> Listing:
    return overdue_listing(words, overdue_deletions(session, now, limit=SHOWN))


def _newer(rows: list[EventView], log_head: HeadView) -> int | None:
    """Where the next newer page ends; None on the newest."""
    if not rows or rows[0].index >= log_head.size - 1:
        return None
    return min(rows[0].index + 1 + _PAGE_SIZE, log_head.size)
