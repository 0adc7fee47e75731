"""Is my hospital connected? Open to anybody: it is asked before an account is worth having."""

import re
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from broker.deps import Now, Read
from broker.web.pace import Pace
from broker.web.rendering import Page, PageOf
from broker.web.signin.guards import read_visitor
from connectors.sources.catalog import institutions
from consent.organisations import HolderView, find_holders

router = APIRouter(dependencies=[Depends(read_visitor)])  # for the page's header; it turns nobody away

_SHORTEST: Final = 2
_LONGEST: Final = 60
_MOST: Final = 20
_TOO_MANY: Final = 429
_UNPROCESSABLE: Final = 422
_NUMBER: Final = re.compile(r"[0-9][0-9 -]*")

Words = Annotated[str, Query(alias="q")]


def new_pace() -> Pace:
    """How often a process searches."""
    return Pace(per_second=20, burst=40)


@router.get("/coverage", name="coverage")
def show_coverage(page: PageOf, session: Read, now: Now, unverified: Words = "") -> Response:
    """The search, and what it found: a hospital's name or number in, connected or not out."""
    words = " ".join(unverified.split())
    if not words:
        return _page(page)
    if not _SHORTEST <= len(words) <= _LONGEST or not words.isprintable():
        fault = page.words.gettext("Enter two letters or more of the name, or the whole number")
        return _page(page, words[:_LONGEST], fault=fault, status=_UNPROCESSABLE)
    pace: Pace = page.request.app.state.coverage_pace
    if not pace.takes_one(now):
        fault = page.words.gettext("Too many people are searching right now. Try again in a moment.")
        answer = _page(page, words, fault=fault, status=_TOO_MANY)
        answer.headers["Retry-After"] = "1"
        return answer
    holder_ids = [holder_id] if (holder_id := _holder_of(words)) else []
    found = find_holders(session, words, holder_ids=holder_ids, limit=_MOST + 1)
    return _page(page, words, found=found)


def _holder_of(words: str) -> str | None:
    """The holder with this institution number (HIRA: eight digits), if we can read it."""
    if _NUMBER.fullmatch(words) is None:
        return None
    return institutions().get(re.sub(r"[ -]", "", words))


def _page(
    page: Page,
    words: str = "",
    *,
    found: list[HolderView] | None = None,
    fault: str | None = None,
    status: int = 200,
) -> Response:
    return page.answer(
        "coverage.html",
        status=status,
        words=words,
        longest=_LONGEST,
        fault=fault,
        found=None if found is None else found[:_MOST],
        is_cut=found is not None and len(found) > _MOST,
    )
