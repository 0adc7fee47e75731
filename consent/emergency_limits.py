"""How much one client may open, and be refused, in an emergency: nobody looks people up, or lives on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session, col, delete, func, select

from consent.evidence import Work
from consent.models import Consent, EmergencyAccess, EmergencyRefusal
from consent.people_vocabulary import EmergencyState
from consent.states import LIVING
from vault.schema import random_id

_DAY: Final = timedelta(days=1)
_UNTIL_REVIEWED: Final = timedelta(hours=1)  # a guess: it is the staff who makes room
_ONE_BY_ONE: Final = 0x6D79_6461_7461_0038  # the advisory lock under which accesses are opened


@dataclass(frozen=True, slots=True)
class Limits:
    """The most accesses of a client that wait for their review, and the most refusals within a day."""

    unreviewed: int
    refusals: int


def wait_of(work: Work, client_id: str, limits: Limits, now: datetime) -> timedelta | None:
    """How long a client that has used up its limits should wait; None if it has not.

    Requests come one by one from here to the commit, so that two at once are both counted.
    """
    if work.session.get_bind().dialect.name == "postgresql":
        work.session.exec(select(func.pg_advisory_xact_lock(_ONE_BY_ONE)))
    refused = _refusals(work.session, client_id, now)
    if len(refused) >= limits.refusals:
        return refused[-limits.refusals] + _DAY - now
    open_ones = select(func.count()).where(
        col(EmergencyAccess.client_id) == client_id, col(EmergencyAccess.state) == EmergencyState.OPEN
    )
    return _UNTIL_REVIEWED if work.session.exec(open_ones).one() >= limits.unreviewed else None


def count_refusal(work: Work, client_id: str, now: datetime) -> None:
    """One more refusal; those that count no more go."""
    is_old = (col(EmergencyRefusal.client_id) == client_id) & (col(EmergencyRefusal.refused_at) <= now - _DAY)
    work.session.exec(delete(EmergencyRefusal).where(is_old))
    work.session.add(EmergencyRefusal(refusal_id=random_id(), client_id=client_id, refused_at=now))


def has_open_access(session: Session, subject_id: str, client_id: str, now: datetime) -> bool:
    """Whether this client has an access to this person's data that it can still use."""
    found = session.exec(
        select(EmergencyAccess.emergency_id)
        .join(Consent, col(Consent.grant_id) == col(EmergencyAccess.grant_id))
        .where(
            EmergencyAccess.subject_id == subject_id,
            EmergencyAccess.client_id == client_id,
            col(Consent.state).in_(LIVING),
            col(Consent.valid_until) > now,
        )
    )
    return found.first() is not None


def _refusals(session: Session, client_id: str, now: datetime) -> Sequence[datetime]:
    return session.exec(
        select(EmergencyRefusal.refused_at)
        .where(EmergencyRefusal.client_id == client_id, col(EmergencyRefusal.refused_at) > now - _DAY)
        .order_by(col(EmergencyRefusal.refused_at))
    ).all()
