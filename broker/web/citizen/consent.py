"""The consent page: what is asked, in words, and a decision that is as easy to refuse as to give.

PIPA articles 17, 22 and 23, decree articles 17 and 42-5; RFC 6749 section 4.1.1 leads here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from broker.deps import FormData
from broker.oauth.ciba_requests import NO_REDIRECT_URI
from broker.web.citizen import deciding, proposing
from broker.web.citizen.answer_wording import PreviewWords, preview_in_words
from broker.web.citizen.deals import DealWords, deal_for
from broker.web.citizen.deciding import Choice, Opened
from broker.web.citizen.desk import Desk, DeskOf
from broker.web.citizen.difference import Difference, differences
from broker.web.citizen.fresh_sign_in import require_fresh_sign_in, turn_away
from broker.web.citizen.leaving import form_target, leave
from broker.web.citizen.views import things
from broker.web.csrf import OwnForm
from broker.web.error_pages import render_error_page
from broker.web.errors import BadChoiceError, RequestGoneError
from broker.web.i18n import Language
from broker.web.rendering import Page, PageOf
from broker.web.signin.guards import require_citizen
from consent.errors import NoticeChangedError, SignerRefusedError
from consent.holding import to_ask
from consent.party_records import refuse, refuse_acting
from consent.vocabulary import RefusalReason

router = APIRouter(dependencies=[Depends(require_citizen), Depends(require_fresh_sign_in)])

_CONFLICT: Final = 409
_FORBIDDEN: Final = 403


@dataclass(frozen=True, slots=True)
class Marks:
    """What is marked on the page: ticked items, and the answer chosen for a record type."""

    ticked: frozenset[str] = frozenset()
    chosen: Mapping[str, str] = field(default_factory=dict)


@router.get("/consent/{interaction_id}", name="consent")
def show_consent(interaction_id: str, page: PageOf, desk: DeskOf) -> Response:
    """The request in words. On the first opening it becomes a consent in state REQUESTED."""
    turned_away = turn_away(page, desk, interaction_id)
    if turned_away is not None:
        return turned_away
    try:
        opened = deciding.open_request(desk, interaction_id, page.language)
    except SignerRefusedError as error:
        return _refuse_signer(page, desk, error)
    return _turned_away(page, opened) or _consent_page(page, desk, opened)


@router.post("/consent/{interaction_id}", name="consent.post")
def post_consent(interaction_id: str, page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """The decision, then back to the recipient.

    `show` is the language switch, which keeps the ticks; `preview` shows what would be sent now.
    """
    decision = form.one("decision") or ""
    turned_away = turn_away(page, desk, interaction_id)
    if turned_away is not None:
        return turned_away
    try:
        return _decide(page, desk, interaction_id, form, decision)
    except SignerRefusedError as error:
        return _refuse_signer(page, desk, error)
    except RequestGoneError:
        # The same form a second time, perhaps at the same moment: what this one began is undone first.
        desk.work.discard()
        address = deciding.repeat(desk, interaction_id, decision)
        if address is None:
            raise
        return leave(page, address)


def _decide(page: Page, desk: Desk, interaction_id: str, form: FormData, decision: str) -> Response:
    opened = deciding.open_request(desk, interaction_id, page.language)
    turned_away = _turned_away(page, opened)
    if turned_away is not None:
        return turned_away
    match decision:
        case deciding.ALLOW:
            return _allow(page, desk, opened, form)
        case deciding.DENY:
            return leave(page, deciding.deny(desk, opened))
        case "show":
            return _consent_page(page, desk, opened, _marks(form, opened))
        case "preview":
            return _preview(page, desk, opened, _marks(form, opened))
        case _:
            raise BadChoiceError


def _refuse_signer(page: Page, desk: Desk, error: SignerRefusedError) -> Response:
    """Whoever decides may not: nothing of it stays but the refusal, on the record of the person."""
    desk.work.discard()
    reason = RefusalReason(error.reason)
    if desk.acting is None:
        refuse(desk.work, desk.keyring, desk.subject_id, reason, "child", now=desk.now)
    else:
        whose = (desk.acting.representation_id, desk.acting.representative_id)
        refuse_acting(desk.work, desk.keyring, *whose, "scope", desk.now)
    trace_id = str(page.request.scope.get("trace_id", "-"))
    return render_error_page(page.request, _FORBIDDEN, "signer_refused", trace_id)


def _allow(page: Page, desk: Desk, opened: Opened, form: FormData) -> Response:
    marks = _marks(form, opened)
    choice = _choice(form, marks, page.language)
    try:
        return leave(page, deciding.allow(desk, opened, choice))
    except NoticeChangedError:
        return _consent_page(page, desk, opened, marks, has_changed=True)


def _preview(page: Page, desk: Desk, opened: Opened, marks: Marks) -> Response:
    catalogue = desk.installation.catalogue
    looked = tuple(
        preview_in_words(page.words, one, catalogue.get(one.item.record_type))
        for one in deciding.look(desk, opened, marks.ticked, marks.chosen)
    )
    return _consent_page(page, desk, opened, marks, preview=looked)


def _consent_page(  # noqa: PLR0913 - what the page shows
    page: Page,
    desk: Desk,
    opened: Opened,
    marks: Marks | None = None,
    *,
    preview: tuple[PreviewWords, ...] | None = None,
    has_changed: bool = False,
) -> Response:
    terms, marks = opened.view.terms, marks or _first_marks(desk, opened)
    holder_ids = desk.reader.holder_ids(terms)
    record_types = [item.record_type for item in terms.items]
    return page.answer(
        "citizen/consent.html",
        status=_CONFLICT if has_changed else 200,
        form_target=form_target(opened.view.redirect_uri),
        terms=desk.reader.in_words(page.words, terms, opened.recipient),
        things=things(page.words, terms, desk.installation.catalogue),
        notice=opened.purpose.notice.in_language(page.language),
        notice_revision=opened.purpose.notice.revision,
        notice_digest=opened.purpose.notice_digest(page.language).hex(),
        holder_ids=holder_ids,
        is_shared=bool(to_ask(desk.work.session, desk.subject_id, holder_ids, record_types)),
        is_change=opened.change_id is not None,
        differences=_differences(page, desk, opened),
        deal=_deal(page, desk, opened),
        tells_only_answers=all(item.mode.is_answer for item in terms.items),
        ticked=marks.ticked,
        chosen=marks.chosen,
        preview=preview,
        has_changed=has_changed,
        is_sign_in=opened.view.is_sign_in,
        is_backchannel=opened.view.redirect_uri == NO_REDIRECT_URI,
        binding_message=opened.view.binding_message,
    )


def _turned_away(page: Page, opened: Opened) -> Response | None:
    """What whoever may not decide on the request gets instead of its page.

    The role of a deal is not for this person: it was refused, and the recipient hears of a refusal. A consent
    that is to be changed is not theirs, or has ended: only the client hears of that.
    """
    if opened.sent_back_to is not None:
        return leave(page, opened.sent_back_to)
    if opened.turned_away_to is None:
        return None
    recipient_name = opened.recipient.name(page.language)
    template, address = "citizen/deal_closed_to_you.html", opened.turned_away_to
    return page.answer(template, status=_CONFLICT, address=address, recipient_name=recipient_name)


def _deal(page: Page, desk: Desk, opened: Opened) -> DealWords | None:
    if opened.deal_id is None:
        return None
    of = (desk.subject_id, opened.deal_id)
    return deal_for(page.words, desk.installation, desk.work.session, of, desk.now)


def _marks(form: FormData, opened: Opened) -> Marks:
    named = {item.record_type: form.one(f"as.{item.record_type}") for item in opened.view.terms.items}
    chosen = {record_type: key for record_type, key in named.items() if key}
    return Marks(frozenset(form.all("item")), chosen)


def _first_marks(desk: Desk, opened: Opened) -> Marks:
    """Nothing is ticked for anybody, but what they chose before and a merge leaves as it is."""
    if not opened.view.is_merge:
        return Marks()
    standing = desk.reader.consent(opened.grant_id).terms
    return Marks(proposing.standing_choices(standing, opened.view.terms))


def _differences(page: Page, desk: Desk, opened: Opened) -> list[Difference]:
    """What the change that is asked for makes different; nothing for a new consent."""
    if opened.change_id is None:
        return []
    standing = desk.reader.consent(opened.grant_id)
    return differences(
        page.words,
        (standing.terms, desk.reader.in_words(page.words, standing.terms, opened.recipient)),
        (opened.view.terms, desk.reader.in_words(page.words, opened.view.terms, opened.recipient)),
    )


def _choice(form: FormData, marks: Marks, language: Language) -> Choice:
    try:
        notice_digest = bytes.fromhex(form.one("notice") or "")
    except ValueError as error:
        raise BadChoiceError from error
    holders = frozenset(form.all("holder"))
    return Choice(marks.ticked, notice_digest, language, holders, marks.chosen)
