"""The inbox, what a digest holds, and the history: who took what, when, and what was refused.

PIPA article 35-4(2): a person sees every transfer. Decree article 42-6(11): three years of them.
"""

import re
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from broker.web.citizen import wording
from broker.web.citizen.desk import DeskOf, Reader, ReaderOf
from broker.web.citizen.notices import notice_lines, text_of
from broker.web.errors import PageNotFoundError
from broker.web.rendering import Page, PageOf
from broker.web.signin.guards import require_citizen
from consent.inbox import (
    NoticePage,
    Place,
    YearLine,
    digest_lines,
    digest_members,
    history,
    inbox,
    mark_read,
    one_notice,
    unread_count,
    year_lines,
)
from consent.notification_wishes import KST
from consent.notifications import NoticeKind
from vault.schema import from_microseconds, to_microseconds

router = APIRouter(dependencies=[Depends(require_citizen)])

_YEARS: Final = 3
# As many digits as an instant of ours and an index of PostgreSQL can have.
_PLACE: Final = re.compile(r"([0-9]{1,16})\.(-1|[0-9]{1,18})\.([A-Za-z0-9_-]{1,64})")


@router.get("/inbox", name="inbox")
def show_inbox(request: Request, page: PageOf, reader: ReaderOf) -> Response:
    """What the person was told, the newest first."""
    found = inbox(reader.session, reader.subject_id, before=_place(request))
    digest_ids = [one.notification_id for one in found.notices if one.kind is NoticeKind.DIGEST]
    digests = digest_lines(reader.session, reader.subject_id, digest_ids) if digest_ids else {}
    return page.answer(
        "citizen/inbox.html",
        lines=notice_lines(page.words, found.notices, digests),
        unread=unread_count(reader.session, reader.subject_id),
        older=_written(found),
        is_first=_place(request) is None,
    )


@router.post("/inbox/read", name="inbox.read.all")
def post_all_read(page: PageOf, desk: DeskOf) -> Response:
    """Everything is read."""
    mark_read(desk.work.session, desk.subject_id, None, desk.now)
    return page.redirect("/inbox")


@router.post("/inbox/{notification_id}/read", name="inbox.read")
def post_read(notification_id: str, page: PageOf, desk: DeskOf) -> Response:
    """One of them is read; somebody else's is as unknown."""
    one_notice(desk.work.session, desk.subject_id, notification_id)
    mark_read(desk.work.session, desk.subject_id, notification_id, desk.now)
    return page.redirect("/inbox")


@router.get("/inbox/{notification_id}", name="inbox.digest")
def show_digest(notification_id: str, request: Request, page: PageOf, reader: ReaderOf) -> Response:
    """Everything that one digest holds."""
    session, subject_id = reader.session, reader.subject_id
    digest = one_notice(session, subject_id, notification_id)
    if digest.kind is not NoticeKind.DIGEST:
        raise PageNotFoundError
    found = digest_members(session, subject_id, notification_id, before=_place(request))
    return page.answer(
        "citizen/digest.html",
        title=text_of(page.words, digest),
        at=digest.at,
        lines=notice_lines(page.words, found.notices),
        older=_written(found),
    )


@router.get("/history", name="history")
def show_history(request: Request, page: PageOf, reader: ReaderOf) -> Response:
    """Every transmission and refusal of three years, and a summary of one year by recipient."""
    now = reader.now.astimezone(KST)
    years = [now.year - back for back in range(_YEARS + 1)]
    year = _year(request, years)
    since = _years_before(now)
    found = history(reader.session, reader.subject_id, since, before=_place(request))
    return page.answer(
        "citizen/history.html",
        years=years,
        year=year,
        summary=[_year_line(page, reader, line) for line in _summary(reader, year)],
        lines=notice_lines(page.words, found.notices),
        since=since,
        older=_written(found),
    )


def _summary(reader: Reader, year: int) -> list[YearLine]:
    return year_lines(reader.session, reader.keyring, reader.subject_id, year)


def _year_line(page: Page, reader: Reader, line: YearLine) -> dict[str, object]:
    """One recipient and purpose in words."""
    purpose = reader.purpose(line.purpose)
    return {
        "recipient": line.recipient.name(page.language),
        "purpose": purpose.name.in_language(page.language),
        "deliveries": line.deliveries,
        "records": line.records,
        "first_at": line.first_at,
        "last_at": line.last_at,
        "retention": wording.retention_in_words(page.words, line.retention),
    }


def _year(request: Request, years: list[int]) -> int:
    """The year that is asked for; this one where none is, or none of those that are kept."""
    asked = request.query_params.get("year", "")
    return next((year for year in years if str(year) == asked), years[0])


def _years_before(now: datetime) -> datetime:
    """Midnight three years ago; on 29 February, of the day after."""
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        return day.replace(year=day.year - _YEARS)
    except ValueError:
        return day.replace(year=day.year - _YEARS, month=3, day=1)


def _place(request: Request) -> Place | None:
    """Where the page begins (`before=<microseconds>.<index>.<id>`); what is none begins at the newest."""
    found = _PLACE.fullmatch(request.query_params.get("before", ""))
    if found is None:
        return None
    microseconds, index, notification_id = found.groups()
    return Place(from_microseconds(int(microseconds)), int(index), notification_id)


def _written(found: NoticePage) -> str | None:
    """Where the next page begins, for its address."""
    older = found.older
    if older is None:
        return None
    return f"{to_microseconds(older.at)}.{older.index}.{older.notification_id}"
