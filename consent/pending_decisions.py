"""What a person decides on a pending record, and what time decides: looked at, admitted, dismissed, lapsed.

Every one is on record: in the log of the subject it was kept for, if there is one, else of the staff.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from consent.collection import Arrival, collect, record_link_event
from consent.errors import (
    NotFoundError,
    NothingKeptError,
    NotLinkedError,
    RecordFaultyError,
    WrongStateError,
)
from consent.evidence import Work
from consent.identity import Identity
from consent.models import PendingRecord, SourceLink
from consent.pending import PendingState, open_part
from consent.staff import Staff, StaffAct, record_staff_act
from consent.vocabulary import Doubt, EventType
from vault.keys.keyring import Keyring
from vault.record_types.catalogue import Catalogue
from vault.store import PutResult


@dataclass(frozen=True, slots=True)
class Inspected:
    """What is kept of a pending record, opened for the operator. `data` is None if only a notice is kept."""

    pending_id: str
    rule: Doubt
    place: str = field(repr=False)
    identity: Identity
    data: dict[str, Any] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Admission:
    """A decision that a record is somebody's: through which link, if not the one that it was kept for."""

    pending_id: str
    staff: Staff
    link_id: str | None = None


def inspect(work: Work, keyring: Keyring, pending_id: str, staff: Staff, now: datetime) -> Inspected:
    """Open what is kept; that it was looked at goes on record. NotFoundError, WrongStateError."""
    row = _waiting(work.session, pending_id, "be looked at")
    told = open_part(keyring, pending_id, "told", row.told_sealed)
    content = None
    if row.content_sealed is not None:
        content = open_part(keyring, pending_id, "content", row.content_sealed)["data"]
    _record(work, keyring, row, EventType.RECORD_INSPECTED, staff=staff, now=now)
    return Inspected(
        pending_id=pending_id,
        rule=Doubt(row.rule),
        place=told["place"],
        identity=Identity(told["number"], told["name"], told["born_on"]),
        data=content,
    )


def admit(
    work: Work, keyring: Keyring, catalogue: Catalogue, admission: Admission, now: datetime
) -> PutResult:
    """Collect a pending record through a living link of its holder; what was kept of it goes.

    Raises RecordFaultyError for a record with faults, which only its holder can mend, and NothingKeptError
    for a notice: its holder must deliver the record again, once it is linked.
    NotFoundError, WrongStateError; NotLinkedError unless the link is of this holder, living, and covers it.
    """
    row = _waiting(work.session, admission.pending_id, "be admitted")
    if row.rule == Doubt.RECORD_FAULTY:
        raise RecordFaultyError
    if row.content_sealed is None:
        raise NothingKeptError
    kept = open_part(keyring, row.pending_id, "content", row.content_sealed)
    link = work.session.get(SourceLink, admission.link_id or row.link_id)
    if link is None or link.holder_id != row.holder_id:
        raise NotLinkedError
    arrival = Arrival(row.record_type, kept["natural_key"], kept["data"], kept.get("as_of"))
    (result,) = collect(work, keyring, catalogue, link, arrivals=[arrival], now=now)
    if link.link_id != row.link_id:
        # Whom it was kept for is told that it is somebody else's.
        _record(work, keyring, row, EventType.RECORD_DISMISSED, staff=admission.staff, now=now)
    row.link_id, row.subject_id = link.link_id, link.subject_id
    _record(work, keyring, row, EventType.RECORD_ADMITTED, staff=admission.staff, now=now)
    _decide(row, PendingState.ADMITTED, now)
    return result


def dismiss(work: Work, keyring: Keyring, pending_id: str, staff: Staff, now: datetime) -> None:
    """The record is nobody's here; what was kept of it goes. NotFoundError, WrongStateError."""
    row = _waiting(work.session, pending_id, "be dismissed")
    _record(work, keyring, row, EventType.RECORD_DISMISSED, staff=staff, now=now)
    _decide(row, PendingState.DISMISSED, now)


def overdue_pending(session: Session, now: datetime) -> list[str]:
    """The ids of what was kept apart for too long."""
    return list(
        session.exec(
            select(PendingRecord.pending_id)
            .where(col(PendingRecord.expires_at) <= now)
            .order_by(col(PendingRecord.pending_id))
        )
    )


def lapse(work: Work, keyring: Keyring, pending_id: str, now: datetime) -> bool:
    """Delete a row whose time is over; whether it had still waited, which goes on record.

    One that somebody has in hand is left for the next time.
    """
    row = work.session.exec(
        select(PendingRecord)
        .where(PendingRecord.pending_id == pending_id, col(PendingRecord.expires_at) <= now)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return False
    is_waiting = row.state == PendingState.WAITING
    link = _link_of(work.session, row) if is_waiting else None
    if link is not None:
        record_link_event(
            work, keyring, link, EventType.RECORD_LAPSED, facts={"rule": row.rule}, detail={}, now=now
        )
    work.session.delete(row)
    return is_waiting


def _waiting(session: Session, pending_id: str, event: str) -> PendingRecord:
    row = session.exec(
        select(PendingRecord)
        .where(PendingRecord.pending_id == pending_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise NotFoundError
    if row.state != PendingState.WAITING:
        raise WrongStateError(row.state, event)
    return row


def _decide(row: PendingRecord, state: PendingState, now: datetime) -> None:
    row.state, row.decided_at, row.content_sealed = state, now, None


def _link_of(session: Session, row: PendingRecord) -> SourceLink | None:
    return None if row.link_id is None else session.get(SourceLink, row.link_id)


def _record(  # noqa: PLR0913 - an event has this many sides
    work: Work, keyring: Keyring, row: PendingRecord, event: EventType, *, staff: Staff, now: datetime
) -> None:
    act = StaffAct(
        event,
        staff,
        facts={"rule": row.rule},
        detail={"holder": row.holder_id, "record_type": row.record_type, "pending_id": row.pending_id},
    )
    record_staff_act(work, keyring, act, _link_of(work.session, row), now)
