"""What a person changes of a consent by themselves: less of it, for longer, and a revised text read again.

PIPA decree article 42-5(6): changing is no harder than giving. Somebody else's consent is as unknown (404).
"""

from datetime import date, datetime, time
from typing import Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends
from starlette.responses import Response

from broker.deps import FormData
from broker.receipt_signing import receipt_signer
from broker.web.citizen import wording
from broker.web.citizen.desk import Desk, DeskOf, Reader, ReaderOf
from broker.web.csrf import OwnForm
from broker.web.errors import BadChoiceError
from broker.web.rendering import Page, PageOf
from broker.web.signin.guards import require_citizen
from consent import adjusting
from consent.errors import (
    CoHolderNeededError,
    InvalidTermsError,
    NothingToChangeError,
    NoticeChangedError,
    RequiredItemMissingError,
    WrongStateError,
)
from consent.purposes import Purpose
from consent.reading import ConsentView
from consent.vocabulary import ConsentState, StateReason

router = APIRouter(prefix="/consents", dependencies=[Depends(require_citizen)])

SEOUL: Final = ZoneInfo("Asia/Seoul")
_CONFLICT: Final = 409
_UNPROCESSABLE: Final = 422


def can_be_adjusted(consent: ConsentView) -> bool:
    """Whether the person may take something away from it, or extend it, now."""
    return consent.state == ConsentState.GIVEN or (
        consent.state == ConsentState.PAUSED and consent.state_reason == StateReason.BY_SUBJECT
    )


@router.get("/{grant_id}/change", name="consents.change")
def show_change(grant_id: str, page: PageOf, reader: ReaderOf) -> Response:
    """Which optional items stay, and an earlier end."""
    consent = reader.consent(grant_id)
    if not can_be_adjusted(consent):
        return page.redirect(f"/consents/{grant_id}")
    return _change_page(page, reader, consent)


@router.post("/{grant_id}/change", name="consents.change.post")
def post_change(grant_id: str, page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """Take away what was not left ticked; what is needed stays, or the consent is stopped instead."""
    consent = desk.reader.consent(grant_id)
    required = {item.record_type for item in consent.terms.items if item.required}
    try:
        adjusting.narrow_down(
            desk.work,
            desk.keyring,
            grant_id,
            desk.subject_id,
            kept=frozenset(form.all("item")) | required,
            valid_until=_end_of(form, consent),
            purpose=_purpose(desk, consent),
            sign_receipt=receipt_signer(desk.installation, desk.now),
            now=desk.now,
        )
    except (NothingToChangeError, InvalidTermsError, RequiredItemMissingError):
        return _change_page(page, desk.reader, consent, status=_UNPROCESSABLE)
    except WrongStateError:
        return page.redirect(f"/consents/{grant_id}")
    return page.redirect(f"/consents/{grant_id}")


@router.post("/{grant_id}/renew", name="consents.renew.post")
def post_renew(grant_id: str, page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """The same for as long again, with one press; where the text reads otherwise by now, it is read first."""
    consent = desk.reader.consent(grant_id)
    digest = _digest(form)
    try:
        adjusting.renew(
            desk.work,
            desk.keyring,
            grant_id,
            desk.subject_id,
            purpose=_purpose(desk, consent),
            catalogue=desk.installation.catalogue,
            sign_receipt=receipt_signer(desk.installation, desk.now),
            now=desk.now,
            read=None if digest is None else adjusting.Read(digest, page.language),
        )
    except NoticeChangedError:
        return page.redirect(f"/consents/{grant_id}/notice")
    except (NothingToChangeError, WrongStateError, CoHolderNeededError):
        return page.redirect(f"/consents/{grant_id}")
    return page.redirect(f"/consents/{grant_id}")


@router.get("/{grant_id}/notice", name="consents.notice")
def show_notice(grant_id: str, page: PageOf, reader: ReaderOf) -> Response:
    """The text as it reads now, to be read and signed again."""
    return _notice_page(page, reader, reader.consent(grant_id))


@router.post("/{grant_id}/notice", name="consents.notice.post")
def post_notice(grant_id: str, page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """Agree again, after the revised text was read."""
    consent = desk.reader.consent(grant_id)
    digest = _digest(form)
    try:
        adjusting.reconsent(
            desk.work,
            desk.keyring,
            grant_id,
            desk.subject_id,
            notice_digest=digest or b"",
            language=page.language,
            purpose=_purpose(desk, consent),
            sign_receipt=receipt_signer(desk.installation, desk.now),
            now=desk.now,
        )
    except NoticeChangedError:
        return _notice_page(page, desk.reader, consent, has_changed=True)
    except WrongStateError:
        return page.redirect(f"/consents/{grant_id}")
    return page.redirect(f"/consents/{grant_id}")


def _change_page(page: Page, reader: Reader, consent: ConsentView, *, status: int = 200) -> Response:
    return page.answer(
        "citizen/change.html",
        status=status,
        consent=consent,
        terms=reader.in_words(page.words, consent.terms, consent.recipient),
        last_day=_last_day(consent),
        has_fault=status != 200,  # noqa: PLR2004 - RFC 9110 section 15.3.1
    )


def _notice_page(page: Page, reader: Reader, consent: ConsentView, *, has_changed: bool = False) -> Response:
    purpose = reader.purpose(consent.purpose)
    must_sign = consent.state == ConsentState.PAUSED and consent.state_reason == StateReason.RECONSENT
    return page.answer(
        "citizen/notice.html",
        status=_CONFLICT if has_changed else 200,
        consent=consent,
        terms=reader.in_words(page.words, consent.terms, consent.recipient),
        reason=wording.state_reason_in_words(page.words, consent.state_reason),
        notice=purpose.notice.in_language(page.language),
        notice_revision=purpose.notice.revision,
        notice_digest=purpose.notice_digest(page.language).hex(),
        must_sign=must_sign,
        can_renew=can_be_adjusted(consent),
        has_changed=has_changed,
    )


def _purpose(desk: Desk, consent: ConsentView) -> Purpose:
    return desk.reader.purpose(consent.purpose)


def _digest(form: FormData) -> bytes | None:
    """The text that was read, by its digest; None where the form names none."""
    raw = form.one("notice")
    if raw is None:
        return None
    try:
        return bytes.fromhex(raw)
    except ValueError as error:
        raise BadChoiceError from error


def _end_of(form: FormData, consent: ConsentView) -> datetime | None:
    """The end of the day that was entered, in Korean time; None where it is the day that stands.

    Raises InvalidTermsError for what is no day.
    """
    raw = (form.one("last_day") or "").strip()
    if raw in {"", _last_day(consent)}:
        return None
    try:
        return datetime.combine(date.fromisoformat(raw), time.max, SEOUL)
    except ValueError as error:
        raise InvalidTermsError([("access.valid_until", "no day")]) from error


def _last_day(consent: ConsentView) -> str:
    return consent.valid_until.astimezone(SEOUL).date().isoformat()
