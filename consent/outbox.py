"""Duties: what must happen after a commit, as rows of the same transaction. `broker/jobs` drains them."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlmodel import Session, col, select

from consent.models import Duty
from vault.schema import random_id

_FIRST_RETRY: Final = timedelta(seconds=2)
_LONGEST_WAIT: Final = timedelta(hours=1)


class DutyKind(StrEnum):
    """What a duty asks for; `Duty.target` names on what."""

    DESTROY_SHARES = "destroy_shares"


def owe(session: Session, kind: DutyKind, target: str, now: datetime) -> None:
    """Add a duty to the transaction."""
    session.add(Duty(duty_id=random_id(), kind=kind, target=target, due_at=now, created_at=now))


def take_due(session: Session, now: datetime) -> Duty | None:
    """The duty that is due the longest, locked for this transaction; others skip it."""
    return session.exec(
        select(Duty)
        .where(col(Duty.done_at).is_(None), col(Duty.due_at) <= now)
        .order_by(col(Duty.due_at))
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()


def settle(duty: Duty, now: datetime) -> None:
    """The duty is done; its row stays as the proof."""
    duty.done_at = now


def postpone(duty: Duty, now: datetime) -> None:
    """It failed this time: try again later, each time twice as late, at most an hour."""
    wait = min(_FIRST_RETRY * 2 ** min(duty.attempts, 20), _LONGEST_WAIT)
    duty.attempts += 1
    duty.due_at = now + wait
