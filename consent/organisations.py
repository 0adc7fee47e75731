"""Organisations: who may receive, and who holds."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlmodel import Session, col, select

from consent.errors import UnknownOrganisationError
from consent.models import Organisation


class OrganisationStatus(StrEnum):
    """A suspended organisation neither receives nor delivers."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


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
    """Stop an organisation: its tokens are refused from the next request on."""
    row = session.get(Organisation, organisation_id)
    if row is None:
        raise UnknownOrganisationError([organisation_id])
    row.status = OrganisationStatus.SUSPENDED


def organisations(session: Session) -> list[Organisation]:
    """Every organisation, ordered by id."""
    return list(session.exec(select(Organisation).order_by(col(Organisation.organisation_id))))


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
