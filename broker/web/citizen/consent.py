"""The consent page: what is asked, in words, and a decision that is as easy to refuse as to give.

PIPA articles 17, 22 and 23, decree articles 17 and 42-5; RFC 6749 section 4.1.1 leads here.
"""

from typing import Final

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from broker.deps import FormData
from broker.web.citizen import deciding
from broker.web.citizen.deciding import Choice, Opened
from broker.web.citizen.desk import Desk, DeskOf
from broker.web.citizen.views import things
from broker.web.csrf import OwnForm
from broker.web.errors import BadChoiceError, RequestGoneError
from broker.web.i18n import Language
from broker.web.rendering import SEE_OTHER, Page, PageOf
from broker.web.security_headers import origin_of
from broker.web.signin.guards import require_citizen
from consent.errors import NoticeChangedError

router = APIRouter(dependencies=[Depends(require_citizen)])

_CONFLICT: Final = 409


@router.get("/consent/{interaction_id}", name="consent")
def show_consent(interaction_id: str, page: PageOf, desk: DeskOf) -> Response:
    """The request in words. On the first opening it becomes a consent in state REQUESTED."""
    return _consent_page(page, desk, deciding.open_request(desk, interaction_id, page.language))


@router.post("/consent/{interaction_id}", name="consent.post")
def post_consent(interaction_id: str, page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """The decision, then back to the recipient. `show` is the language switch, which keeps the ticks."""
    decision = form.one("decision") or ""
    try:
        return _decide(page, desk, interaction_id, form, decision)
    except RequestGoneError:
        # The same form a second time, perhaps at the same moment: what this one began is undone first.
        desk.work.discard()
        address = deciding.repeat(desk, interaction_id, decision)
        if address is None:
            raise
        return RedirectResponse(address, status_code=SEE_OTHER)


def _decide(page: Page, desk: Desk, interaction_id: str, form: FormData, decision: str) -> Response:
    opened = deciding.open_request(desk, interaction_id, page.language)
    match decision:
        case deciding.ALLOW:
            return _allow(page, desk, opened, form)
        case deciding.DENY:
            return RedirectResponse(deciding.deny(desk, opened), status_code=SEE_OTHER)
        case "show":
            return _consent_page(page, desk, opened, ticked=frozenset(form.all("item")))
        case _:
            raise BadChoiceError


def _allow(page: Page, desk: Desk, opened: Opened, form: FormData) -> Response:
    choice = _choice(form, page.language)
    try:
        return RedirectResponse(deciding.allow(desk, opened, choice), status_code=SEE_OTHER)
    except NoticeChangedError:
        return _consent_page(page, desk, opened, ticked=choice.ticked, has_changed=True)


def _consent_page(
    page: Page, desk: Desk, opened: Opened, *, ticked: frozenset[str] = frozenset(), has_changed: bool = False
) -> Response:
    terms = opened.view.terms
    return page.answer(
        "citizen/consent.html",
        status=_CONFLICT if has_changed else 200,
        form_target=origin_of(opened.view.redirect_uri),
        terms=desk.reader.in_words(page.words, terms, opened.recipient),
        things=things(page.words, terms, desk.installation.catalogue),
        notice=opened.purpose.notice.in_language(page.language),
        notice_revision=opened.purpose.notice.revision,
        notice_digest=opened.purpose.notice_digest(page.language).hex(),
        holder_ids=desk.reader.holder_ids(terms),
        ticked=ticked,
        has_changed=has_changed,
    )


def _choice(form: FormData, language: Language) -> Choice:
    try:
        notice_digest = bytes.fromhex(form.one("notice") or "")
    except ValueError as error:
        raise BadChoiceError from error
    return Choice(frozenset(form.all("item")), notice_digest, language, frozenset(form.all("holder")))
