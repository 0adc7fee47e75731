"""Sources: the holders that records are collected from, each under a collection consent of its own.

Linking here proves nothing about who somebody is: it is open in the demo profile only, until a holder
or an identity check vouches for the number.
"""

from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Depends
from sqlmodel import Session, col, select
from starlette.responses import Response

from broker.deps import FormData, Installed, Now, Read, Tx
from broker.installation import Installation
from broker.web.csrf import OwnForm
from broker.web.errors import LinkingClosedError
from broker.web.rendering import Page, PageOf
from broker.web.signin.guards import Citizen, require_citizen
from consent import collection
from consent.collection import NewLink
from consent.errors import AlreadyLinkedError, NotFoundError, UnknownOrganisationError
from consent.models import Organisation
from consent.organisations import OrganisationStatus
from consent.reading import LinkView, Party, links_of, party

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


@router.get("", name="sources")
def show_sources(page: PageOf, citizen: Citizen, installation: Installed, session: Read) -> Response:
    """Linked holders, those that were linked before, and the form to link another."""
    links = links_of(session, installation.keyring, citizen.subject_id)
    return _sources_page(page, installation, session, links)


@router.post("", name="sources.link")
def post_link(
    page: PageOf, form: OwnForm, citizen: Citizen, installation: Installed, work: Tx, now: Now
) -> Response:
    """Link a holder under a collection consent."""
    if not page.is_demo:
        raise LinkingClosedError
    draft = _draft(form)
    links = links_of(work.session, installation.keyring, citizen.subject_id)
    if faults := _faults(page, draft, installation):
        return _sources_page(page, installation, work.session, links, draft=draft, faults=faults)
    new = NewLink(
        subject_id=citizen.subject_id,
        holder_id=draft.holder_id,
        patient_no=draft.patient_no,
        record_types=tuple(sorted(draft.record_types)),
        language=page.language,
    )
    try:
        collection.link(work, installation.keyring, new, now)
    except (AlreadyLinkedError, UnknownOrganisationError) as error:
        # Whose number it is already, nobody is told.
        work.session.rollback()
        raise LinkingClosedError from error
    return page.redirect("/sources")


@router.get("/{link_id}/unlink", name="sources.unlink")
def show_unlink(
    link_id: str, page: PageOf, citizen: Citizen, installation: Installed, session: Read
) -> Response:
    """The one confirmation."""
    links = links_of(session, installation.keyring, citizen.subject_id)
    link = next((link for link in links if link.link_id == link_id and link.ended_at is None), None)
    if link is None:
        raise NotFoundError
    return page.answer("citizen/unlink.html", link=link, labels=_labels(page, installation))


@router.post("/{link_id}/unlink", name="sources.unlink.post")
def post_unlink(
    link_id: str, page: PageOf, form: OwnForm, citizen: Citizen, installation: Installed, work: Tx, now: Now
) -> Response:
    """Stop collecting from a holder; a second time changes nothing."""
    del form
    collection.unlink(work, installation.keyring, link_id, citizen.subject_id, now)
    return page.redirect("/sources")


def _sources_page(
    page: Page,
    installation: Installation,
    session: Session,
    links: list[LinkView],
    *,
    draft: _Draft | None = None,
    faults: tuple[tuple[str, str], ...] = (),
) -> Response:
    linked = {link.holder.organisation_id for link in links if link.ended_at is None}
    return page.answer(
        "citizen/sources.html",
        status=_UNPROCESSABLE if faults else 200,
        links=[link for link in links if link.ended_at is None],
        ended_links=[link for link in links if link.ended_at is not None],
        holders=[holder for holder in _holders(session) if holder.organisation_id not in linked],
        labels=_labels(page, installation),
        draft=draft or _Draft(),
        faults=faults,
    )


def _holders(session: Session) -> list[Party]:
    rows = session.exec(
        select(Organisation)
        .where(col(Organisation.is_holder).is_(True), Organisation.status == OrganisationStatus.ACTIVE)
        .order_by(col(Organisation.organisation_id))
    )
    return [party(row) for row in rows]


def _labels(page: Page, installation: Installation) -> dict[str, str]:
    """The record types' names in the page's language."""
    return {code: installation.catalogue.get(code).label(page.language) for code in installation.catalogue.codes()}


def _draft(form: FormData) -> _Draft:
    return _Draft(
        holder_id=form.one("holder") or "",
        patient_no=(form.one("patient_no") or "").strip(),
        record_types=frozenset(form.all("record_type")),
        has_agreed=form.one("agree") == "yes",
    )


def _faults(page: Page, draft: _Draft, installation: Installation) -> tuple[tuple[str, str], ...]:
    """What is missing, each with the id of the field that it belongs to."""
    faults = []
    if not draft.holder_id:
        faults.append(("holder", page.words.gettext("Choose the organisation to link")))
    if not 0 < len(draft.patient_no) <= _LONGEST_PATIENT_NO:
        faults.append(("patient_no", page.words.gettext("Enter the number that the organisation knows you by")))
    if not draft.record_types or not draft.record_types <= set(installation.catalogue.codes()):
        faults.append(("record_types", page.words.gettext("Choose at least one kind of record")))
    if not draft.has_agreed:
        faults.append(("agree", page.words.gettext("Without your agreement nothing can be collected")))
    return tuple(faults)
