"""What waits for whoever runs the broker, and for auditors: counts and lists without anybody's name.

Nothing here takes a key, so nothing that is sealed can be shown; and no subject id is in any of it. What is
late is evaluated on reading, whether a job has noted it or not.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from sqlalchemy import ColumnElement, and_, not_, or_
from sqlmodel import Session, SQLModel, col, func, select

from consent.ledger.entries import read_head
from consent.ledger.models import LedgerCheckpoint
from consent.models import Consent, Duty, EmergencyAccess, Obligation, Organisation, RightRequest
from consent.organisations import OrganisationStatus
from consent.people_vocabulary import EmergencyState
from consent.rights import OPEN
from consent.vocabulary import ObligationState

SOON: Final = timedelta(days=7)

_UNANSWERED: Final = (ObligationState.PENDING, ObligationState.NOTIFIED)
_AMISS: Final = (ObligationState.OVERDUE, ObligationState.DISPUTED)

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Listed(Generic[Entry]):
    """The most urgent entries of `total`, of which `late` are past their time."""

    entries: tuple[Entry, ...]
    total: int
    late: int

    @property
    def more(self) -> int:
        """How many are not among the entries."""
        return self.total - len(self.entries)


@dataclass(frozen=True, slots=True)
class DeletionEntry:
    """What a recipient has to delete. `due_at` is None where a person doubts a deletion before its date."""

    obligation_id: str
    recipient_id: str
    purpose: str
    state: ObligationState
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class RightEntry:
    """A request by right that waits for an answer."""

    right_id: str
    kind: str
    state: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class EmergencyEntry:
    """An access in an emergency that nobody has reviewed."""

    emergency_id: str
    recipient_id: str
    opened_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True)
class DutyEntry:
    """A duty that was given up. What it is about is left out: the target of some is a person's id."""

    duty_id: str
    kind: str
    fault: str | None
    attempts: int
    dead_at: datetime | None


@dataclass(frozen=True, slots=True)
class OrganisationEntry:
    """An organisation that is suspended."""

    organisation_id: str
    is_recipient: bool
    is_holder: bool


@dataclass(frozen=True, slots=True)
class CheckpointAge:
    """The log's size, the newest signed checkpoint's, and when that was signed; None before the first."""

    size: int
    signed_size: int
    signed_at: datetime | None


def overdue_deletions(session: Session, now: datetime, *, limit: int) -> Listed[DeletionEntry]:
    """What was not shown to be deleted in time, and what a person doubts; the longest late first."""
    return _deletions(session, _is_overdue(now), limit, are_late=True)


def deletions_due_soon(session: Session, now: datetime, *, limit: int) -> Listed[DeletionEntry]:
    """What must be deleted within `SOON`, and has its date already; the next one first."""
    is_dated = and_(col(Obligation.state).in_(_UNANSWERED), col(Obligation.due_at) <= now + SOON)
    return _deletions(session, and_(is_dated, not_(_is_overdue(now))), limit, are_late=False)


def open_rights(session: Session, now: datetime, *, limit: int) -> Listed[RightEntry]:
    """Requests by right that nobody has answered, the most urgent first: their kind, not their words."""
    is_open = col(RightRequest.state).in_(OPEN)
    rows = session.exec(
        select(RightRequest.right_id, RightRequest.kind, RightRequest.state, RightRequest.due_at)
        .where(is_open)
        .order_by(col(RightRequest.due_at), col(RightRequest.right_id))
        .limit(limit)
    )
    is_late = and_(is_open, col(RightRequest.due_at) <= now)
    counts = _count(session, RightRequest, is_open), _count(session, RightRequest, is_late)
    return _listed((RightEntry(*row) for row in rows), *counts)


def unreviewed_emergencies(session: Session, now: datetime, *, limit: int) -> Listed[EmergencyEntry]:
    """Accesses in an emergency without a review, the most urgent first."""
    is_open = col(EmergencyAccess.state) == EmergencyState.OPEN
    rows = session.exec(
        select(
            EmergencyAccess.emergency_id,
            EmergencyAccess.recipient_id,
            EmergencyAccess.opened_at,
            EmergencyAccess.due_at,
        )
        .where(is_open)
        .order_by(col(EmergencyAccess.due_at), col(EmergencyAccess.emergency_id))
        .limit(limit)
    )
    is_late = and_(is_open, col(EmergencyAccess.due_at) <= now)
    counts = _count(session, EmergencyAccess, is_open), _count(session, EmergencyAccess, is_late)
    return _listed((EmergencyEntry(*row) for row in rows), *counts)


def given_up_duties(session: Session, *, limit: int) -> Listed[DutyEntry]:
    """What nothing tries any more, the oldest first; all of it is late."""
    is_dead = and_(col(Duty.dead_at).is_not(None), col(Duty.done_at).is_(None))
    rows = session.exec(
        select(Duty).where(is_dead).order_by(col(Duty.created_at), col(Duty.duty_id)).limit(limit)
    )
    total = _count(session, Duty, is_dead)
    entries = (DutyEntry(row.duty_id, row.kind, row.fault, row.attempts, row.dead_at) for row in rows)
    return _listed(entries, total, total)


def suspended_organisations(session: Session, *, limit: int) -> Listed[OrganisationEntry]:
    """Who neither receives nor delivers for now, by id; nothing of it is late."""
    is_suspended = col(Organisation.status) == OrganisationStatus.SUSPENDED
    rows = session.exec(
        select(Organisation.organisation_id, Organisation.is_recipient, Organisation.is_holder)
        .where(is_suspended)
        .order_by(col(Organisation.organisation_id))
        .limit(limit)
    )
    return _listed((OrganisationEntry(*row) for row in rows), _count(session, Organisation, is_suspended), 0)


def checkpoint_age(session: Session) -> CheckpointAge:
    """How far the log has been signed, and when."""
    size, _ = read_head(session)
    newest = session.exec(
        select(LedgerCheckpoint).order_by(col(LedgerCheckpoint.size).desc()).limit(1)
    ).one_or_none()
    if newest is None:
        return CheckpointAge(size, 0, None)
    return CheckpointAge(size, newest.size, newest.signed_at)


def _is_overdue(now: datetime) -> ColumnElement[bool]:
    """Late on record, or by an ended consent's date, to which no delivery can add any more."""
    ended = (
        select(Consent.grant_id)
        .where(Consent.grant_id == Obligation.grant_id, col(Consent.ended_at).is_not(None))
        .correlate(Obligation)
    )
    is_past = and_(col(Obligation.state).in_(_UNANSWERED), col(Obligation.due_at) <= now, ended.exists())
    return or_(col(Obligation.state).in_(_AMISS), is_past)


def _deletions(
    session: Session, wanted: ColumnElement[bool], limit: int, *, are_late: bool
) -> Listed[DeletionEntry]:
    rows = session.exec(
        select(Obligation, Consent.purpose)
        .join(Consent, col(Consent.grant_id) == col(Obligation.grant_id))
        .where(wanted)
        .order_by(col(Obligation.due_at).is_(None), col(Obligation.due_at), col(Obligation.obligation_id))
        .limit(limit)
    )
    entries = (
        DeletionEntry(row.obligation_id, row.recipient_id, purpose, ObligationState(row.state), row.due_at)
        for row, purpose in rows
    )
    total = _count(session, Obligation, wanted)
    return _listed(entries, total, total if are_late else 0)


def _listed(entries: Iterable[Entry], total: int, late: int) -> Listed[Entry]:
    return Listed(tuple(entries), total, late)


def _count(session: Session, model: type[SQLModel], wanted: ColumnElement[bool]) -> int:
    return session.exec(select(func.count()).select_from(model).where(wanted)).one()
