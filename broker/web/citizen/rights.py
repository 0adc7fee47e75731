"""My rights: what a person may ask for, every request with its state and deadline, and the answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from sqlmodel import Session, col, select
from starlette.responses import Response

from broker.deps import FormData
from broker.web.citizen.desk import DeskOf, Reader, ReaderOf
from broker.web.citizen.rights_wording import (
    fault_in_words,
    kind_in_words,
    rejection_in_words,
    state_in_words,
)
from broker.web.citizen.views import Step
from broker.web.citizen.wording import event_in_words
from broker.web.csrf import OwnForm
from broker.web.rendering import Page, PageOf
from broker.web.signin.guards import require_citizen
from consent.dossier import as_json, subject_handle, timeline_of
from consent.errors import RightInvalidError
from consent.models import Organisation
from consent.reading import consents_of
from consent.review import ReviewView, reviews_of
from consent.rights import (
    NewRight,
    RightView,
    authority_copy,
    complaint_record,
    file_right,
    right_of,
    rights_of,
)
from consent.vocabulary import RightKind, RightState

router = APIRouter(prefix="/rights", dependencies=[Depends(require_citizen)])

_UNPROCESSABLE: Final = 422
_JSON: Final = "application/json"
_OPEN: Final = frozenset({RightState.FILED, RightState.IN_PROGRESS, RightState.OVERDUE})

# Where the form's fields stand, by what the rules call them.
_FIELDS: Final = {"grant_id": "grant", "organisation_id": "organisation", "request": "kind"}

About = Annotated[str | None, Query(alias="about", max_length=64)]


@dataclass(frozen=True, slots=True)
class _Draft:
    """The form as it was filled in."""

    kind: str = ""
    grant_id: str = ""
    organisation_id: str = ""
    record: str = ""
    text: str = ""
    for_authority: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    """A request in words."""

    right: RightView
    kind: str
    state: str
    is_open: bool
    rejection: str | None


@dataclass(frozen=True, slots=True)
class _Review:
    """A review in words: of whose decision, and by when it is answered."""

    view: ReviewView
    recipient: str
    due_at: datetime


@router.get("", name="rights")
def show_rights(page: PageOf, reader: ReaderOf, about: About = None) -> Response:
    """Every request, the reviews, and the form; `about` is a consent that a complaint is about."""
    draft = _Draft() if about is None else _Draft(kind=RightKind.COMPLAIN, grant_id=about)
    return _rights_page(page, reader, draft=draft)


@router.post("", name="rights.post")
def post_right(page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """File a request."""
    draft = _draft(form)
    if draft.kind not in set(RightKind):
        return _rights_page(page, desk.reader, draft=draft, faults=[("kind", "needed")])
    new = NewRight(
        subject_id=desk.subject_id,
        kind=RightKind(draft.kind),
        text=draft.text,
        grant_id=draft.grant_id or None,
        organisation_id=draft.organisation_id or None,
        record=draft.record or None,
        for_authority=draft.for_authority,
    )
    answer_within = timedelta(days=desk.installation.settings.rights.answer_days)
    try:
        right_id = file_right(desk.work, desk.keyring, new, answer_within=answer_within, now=desk.now)
    except RightInvalidError as error:
        return _rights_page(page, desk.reader, draft=draft, faults=error.faults)
    return page.redirect(f"/rights/{right_id}")


@router.get("/{right_id}", name="rights.one")
def show_right(right_id: str, page: PageOf, reader: ReaderOf) -> Response:
    """One request with its answer."""
    right = right_of(reader.session, reader.keyring, reader.subject_id, right_id, reader.now)
    labels = _labels(page, reader)
    return page.answer(
        "citizen/right.html",
        row=_row(page, right),
        organisation=_name(page, reader.session, right.organisation_id),
        record=labels.get(right.record or "", right.record),
    )


@router.get("/{right_id}/record.json", name="rights.record")
def download_record(right_id: str, reader: ReaderOf) -> Response:
    """The consent's record that goes with a complaint, byte for byte as it was filed."""
    content = complaint_record(reader.session, reader.keyring, reader.subject_id, right_id)
    return _file(content, f"consent-record-{right_id}.json")


@router.get("/{right_id}/authority.json", name="rights.authority")
def download_authority_copy(right_id: str, reader: ReaderOf) -> Response:
    """The copy for the data protection authority, where the person chose it."""
    copy = authority_copy(reader.session, reader.keyring, reader.subject_id, right_id)
    return _file(as_json(copy), f"complaint-{right_id}.json")


def _rights_page(
    page: Page, reader: Reader, *, draft: _Draft, faults: Sequence[tuple[str, str]] = ()
) -> Response:
    consents = consents_of(reader.session, reader.keyring, reader.subject_id, reader.now)
    rights = rights_of(reader.session, reader.keyring, reader.subject_id, reader.now)
    return page.answer(
        "citizen/rights.html",
        status=_UNPROCESSABLE if faults else 200,
        rows=[_row(page, right) for right in rights],
        reviews=_reviews(page, reader),
        steps=_steps(page, reader),
        kinds=[(str(kind), kind_in_words(page.words, kind)) for kind in RightKind],
        consents=[
            (
                consent.grant_id,
                consent.recipient.name(page.language),
                reader.purpose(consent.purpose).name.in_language(page.language),
            )
            for consent in consents
        ],
        organisations=_holders(page, reader),
        labels=_labels(page, reader),
        answer_days=reader.installation.settings.rights.answer_days,
        draft=draft,
        faults=[
            (_FIELDS.get(field, field), fault_in_words(page.words, field, rule)) for field, rule in faults
        ],
    )


def _row(page: Page, right: RightView) -> _Row:
    return _Row(
        right=right,
        kind=kind_in_words(page.words, right.kind),
        state=state_in_words(page.words, right.state),
        is_open=right.state in _OPEN,
        rejection=None if right.reason is None else rejection_in_words(page.words, right.reason),
    )


def _reviews(page: Page, reader: Reader) -> list[_Review]:
    within = timedelta(days=reader.installation.settings.rights.review_days)
    return [
        _Review(view, _name(page, reader.session, view.recipient_id) or "", view.requested_at + within)
        for view in reviews_of(reader.session, reader.subject_id)
    ]


def _steps(page: Page, reader: Reader) -> list[Step]:
    """Exports, erasures and sign-ins elsewhere, the newest first."""
    handles = [subject_handle(reader.keyring, reader.subject_id)]
    events = timeline_of(reader.session, reader.keyring, reader.subject_id, handles)
    return [
        Step(
            index=event["index"],
            at=event["at"],
            text=event_in_words(page.words, event["type"]),
            note=_name(page, reader.session, event["detail"].get("recipient")),
            is_refusal=False,
        )
        for event in reversed(events)
    ]


def _holders(page: Page, reader: Reader) -> list[tuple[str, str]]:
    """The holders that anything was ever collected from, each once."""
    found = {link.holder.organisation_id: link.holder.name(page.language) for link in reader.links()}
    return sorted(found.items(), key=lambda pair: pair[1])


def _name(page: Page, session: Session, organisation_id: str | None) -> str | None:
    row = session.exec(
        select(Organisation).where(col(Organisation.organisation_id) == organisation_id)
    ).one_or_none()
    if row is None:
        return None
    return row.name_en if page.language == "en" else row.name_ko


def _labels(page: Page, reader: Reader) -> dict[str, str]:
    catalogue = reader.installation.catalogue
    return {code: catalogue.get(code).label(page.language) for code in catalogue.codes()}


def _draft(form: FormData) -> _Draft:
    return _Draft(
        kind=form.one("kind") or "",
        grant_id=form.one("grant") or "",
        organisation_id=form.one("organisation") or "",
        record=(form.one("record") or "")[:64],
        text=(form.one("text") or "").replace("\r\n", "\n").strip(),
        for_authority=form.one("for_authority") == "yes",
    )


def _file(content: bytes, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(content, media_type=_JSON, headers=headers)
