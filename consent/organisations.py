"""Organisations: who may receive, and who holds."""

import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlmodel import Session, col, func, or_, select

from consent.errors import UnknownOrganisationError
from consent.models import Organisation


class OrganisationStatus(StrEnum):
    """A suspended organisation neither receives nor delivers until it may again; a removed one never."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class NewOrganisation:
    """What registering an organisation takes."""

    organisation_id: str
    name_ko: str
    name_en: str
    registration_number: str
    contact: str
    is_recipient: bool
    is_holder: bool


def register(session: Session, new: NewOrganisation, now: datetime) -> None:
    """Add an organisation; one that exists keeps its roles and takes the new names and contact."""
    row = session.get(Organisation, new.organisation_id)
    if row is None:
        row = Organisation(
            organisation_id=new.organisation_id,
            name_ko=new.name_ko,
            name_en=new.name_en,
            registration_number=new.registration_number,
            contact=new.contact,
            is_recipient=new.is_recipient,
            is_holder=new.is_holder,
            status=OrganisationStatus.ACTIVE,
            created_at=now,
        )
        session.add(row)
        return
    row.name_ko, row.name_en = new.name_ko, new.name_en
    row.contact = new.contact


def suspend(session: Session, organisation_id: str) -> None:
    """Stop an organisation: its tokens are refused from the next request on, and consents to it pause.

    Raises UnknownOrganisationError, for one that was removed too.
    """
    _set_status(session, organisation_id, OrganisationStatus.SUSPENDED)


def reinstate(session: Session, organisation_id: str) -> None:
    """End a suspension: what was paused for it goes on. Raises UnknownOrganisationError."""
    _set_status(session, organisation_id, OrganisationStatus.ACTIVE)


def remove(session: Session, organisation_id: str) -> None:
    """Take it out for good: every consent to it becomes invalid. Raises UnknownOrganisationError."""
    _set_status(session, organisation_id, OrganisationStatus.REMOVED)


def _set_status(session: Session, organisation_id: str, status: OrganisationStatus) -> None:
    row = session.get(Organisation, organisation_id)
    if row is None or row.status == OrganisationStatus.REMOVED:
        raise UnknownOrganisationError([organisation_id])
    row.status = status


def organisations(session: Session) -> list[Organisation]:
    """Every organisation, ordered by id."""
    return list(session.exec(select(Organisation).order_by(col(Organisation.organisation_id))))


def require_recipient(session: Session, organisation_id: str) -> Organisation:
    """The active recipient of this id. Raises UnknownOrganisationError."""
    row = session.exec(
        select(Organisation).where(
            Organisation.organisation_id == organisation_id,
            col(Organisation.is_recipient).is_(True),
            Organisation.status == OrganisationStatus.ACTIVE,
        )
    ).one_or_none()
    if row is None:
        raise UnknownOrganisationError([organisation_id])
    return row


def require_holders(session: Session, holder_ids: Iterable[str]) -> None:
    """Raise UnknownOrganisationError unless each names an active holder."""
    wanted = set(holder_ids)
    known = session.exec(
        select(Organisation.organisation_id).where(
            col(Organisation.organisation_id).in_(wanted),
            col(Organisation.is_holder).is_(True),
            Organisation.status == OrganisationStatus.ACTIVE,
        )
    ).all()
    if missing := sorted(wanted - set(known)):
        raise UnknownOrganisationError(missing)


@dataclass(frozen=True, slots=True)
class HolderView:
    """A registered holder, as anybody may know it."""

    organisation_id: str
    name_ko: str
    name_en: str
    is_active: bool

    def name(self, language: str) -> str:
        """The English name for `en`, the Korean one for anything else."""
        return self.name_en if language == "en" else self.name_ko


def find_holders(
    session: Session, words: str, *, holder_ids: Collection[str] = (), limit: int
) -> list[HolderView]:
    """Holders whose name has `words` in it, whose registration number they are, or that `holder_ids` names.

    Blanks, letter case and the form of the syllables do not matter; hyphens do not in a number. Active ones
    first, by name.
    """
    asked = "".join(unicodedata.normalize("NFKC", words).split()).lower()
    number = asked.replace("-", "")
    named = [
        func.replace(func.lower(name), " ", "").contains(asked, autoescape=True)
        for name in (col(Organisation.name_ko), col(Organisation.name_en))
    ]
    rows = session.exec(
        select(Organisation)
        .where(
            col(Organisation.is_holder).is_(True),
            or_(
                *named,
                func.replace(col(Organisation.registration_number), "-", "") == number,
                col(Organisation.organisation_id).in_(holder_ids),
            ),
        )
        .order_by(col(Organisation.status) != OrganisationStatus.ACTIVE, col(Organisation.name_ko))
        .limit(limit)
    )
    return [
        HolderView(row.organisation_id, row.name_ko, row.name_en, row.status == OrganisationStatus.ACTIVE)
        for row in rows
    ]
