"""Sources: the holders that records are collected from, each under a collection consent of its own.

Linking here proves nothing about who somebody is: it is open in the demo profile only, until a holder
or an identity check vouches for the number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Depends
from sqlmodel import Session, col, select
from starlette.responses import Response

from broker.deps import FormData
from broker.web.citizen.collecting import link_steps, refusal_in_words
from broker.web.citizen.desk import DeskOf, Reader, ReaderOf
from broker.web.csrf import OwnForm
from broker.web.errors import LinkingClosedError, PageNotFoundError
from broker.web.rendering import Page, PageOf
from broker.web.signin.guards import require_citizen
from consent import collection
from consent.cascades import unlink_source
from consent.collection import NewLink
from consent.errors import AlreadyLinkedError, UnknownOrganisationError
from consent.models import Organisation
from consent.organisations import OrganisationStatus
from consent.progress import standings_of
from consent.reading import Party, link_timelines, party
from vault.record_types.catalogue import Catalogue

Fault = tuple[str, str]  # (the field's id, what is missing)

router = APIRouter(prefix="/sources", dependencies=[Depends(require_citizen)])

_UNPROCESSABLE: Final = 422
_LONGEST_PATIENT_NO: Final = 40


@dataclass(frozen=True, slots=True)
class _Draft:
    """A link form as it was filled in."""

    holder_id: str = ""
    patient_no: str = ""
    record_types: frozenset[str] = frozenset()
    has_agreed: bool = False


@dataclass(frozen=True, slots=True)
class _Refused:
    """A refusal of a holder, in words."""

    reason: str
    at: datetime


@router.get("", name="sources")
def show_sources(page: PageOf, reader: ReaderOf) -> Response:
    """Linked holders, those that were linked before, and the form to link another."""
    return _sources_page(page, reader)


@router.post("", name="sources.link")
def post_link(page: PageOf, form: OwnForm, desk: DeskOf) -> Response:
    """Link a holder under a collection consent."""
    if not page.is_demo:
        raise LinkingClosedError
    draft = _draft(form)
    if faults := _faults(page, draft, desk.installation.catalogue):
        return _sources_page(page, desk.reader, draft=draft, faults=faults)
    new = NewLink(
        subject_id=desk.subject_id,
        holder_id=draft.holder_id,
        patient_no=draft.patient_no,
        record_types=tuple(sorted(draft.record_types)),
        language=page.language,
        role=desk.installation.deployment.role,
    )
    try:
        collection.link(desk.work, desk.keyring, new, desk.now)
    except (AlreadyLinkedError, UnknownOrganisationError) as error:
        # Whose number it is already, nobody is told.
        raise LinkingClosedError from error
    return page.redirect("/sources")


@router.get("/{link_id}/unlink", name="sources.unlink")
def show_unlink(link_id: str, page: PageOf, reader: ReaderOf) -> Response:
    """The one confirmation."""
    link = next((link for link in reader.links() if link.link_id == link_id and link.ended_at is None), None)
    if link is None:
        raise PageNotFoundError
    return page.answer("citizen/unlink.html", link=link, labels=_labels(page, reader.installation.catalogue))


@router.post("/{link_id}/unlink", name="sources.unlink.post")
def post_unlink(link_id: str, page: PageOf, desk: DeskOf) -> Response:
    """Stop collecting from a holder; a second time changes nothing."""
    unlink_source(desk.work, desk.keyring, link_id, desk.subject_id, desk.now)
    return page.redirect("/sources")


def _sources_page(
    page: Page, reader: Reader, *, draft: _Draft | None = None, faults: Sequence[Fault] = ()
) -> Response:
    links = reader.links()
    linked = {link.holder.organisation_id for link in links if link.ended_at is None}
    timelines = link_timelines(reader.session, reader.keyring, reader.subject_id)
    return page.answer(
        "citizen/sources.html",
        status=_UNPROCESSABLE if faults else 200,
        steps={link_id: link_steps(page.words, events) for link_id, events in timelines.items()},
        refusals=_refusals(page, reader),
        links=[link for link in links if link.ended_at is None],
        ended_links=[link for link in links if link.ended_at is not None],
        holders=[holder for holder in _holders(reader.session) if holder.organisation_id not in linked],
        labels=_labels(page, reader.installation.catalogue),
        draft=draft or _Draft(),
        faults=faults,
    )


def _refusals(page: Page, reader: Reader) -> dict[str, _Refused]:
    """The holders that send nothing, by link: on which ground, and since when."""
    standings = standings_of(reader.session, reader.subject_id)
    return {
        link_id: _Refused(refusal_in_words(page.words, standing.refusal), standing.refused_at)
        for link_id, standing in standings.items()
        if standing.refusal is not None and standing.refused_at is not None
    }


def _holders(session: Session) -> list[Party]:
    rows = session.exec(
        select(Organisation)
        .where(col(Organisation.is_holder).is_(True), Organisation.status == OrganisationStatus.ACTIVE)
        .order_by(col(Organisation.organisation_id))
    )
    return [party(row) for row in rows]


def _labels(page: Page, catalogue: Catalogue) -> dict[str, str]:
    """The record types' names in the page's language."""
    return {code: catalogue.get(code).label(page.language) for code in catalogue.codes()}


def _draft(form: FormData) -> _Draft:
    return _Draft(
        holder_id=form.one("holder") or "",
        patient_no=(form.one("patient_no") or "").strip(),
        record_types=frozenset(form.all("record_type")),
        has_agreed=form.one("agree") == "yes",
    )


def _faults(page: Page, draft: _Draft, catalogue: Catalogue) -> list[Fault]:
    """What is missing, each with the id of the field that it belongs to."""
    faults: list[Fault] = []
    if not draft.holder_id:
        faults.append(("holder", page.words.gettext("Choose the organisation to link")))
    if not 0 < len(draft.patient_no) <= _LONGEST_PATIENT_NO:
        faults.append(
            ("patient_no", page.words.gettext("Enter the number that the organisation knows you by"))
        )
    if not draft.record_types or not draft.record_types <= set(catalogue.codes()):
        faults.append(("record_types", page.words.gettext("Choose at least one kind of record")))
    if not draft.has_agreed:
        faults.append(("agree", page.words.gettext("Without your agreement nothing can be collected")))
    return faults
