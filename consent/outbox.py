"""Duties: what must happen after a commit, as rows of the same transaction. `broker/jobs` drains them.

A duty that fails waits, each time twice as long. One that was to be pushed to a recipient and could not be
for too long is dead: it stays, with its fault, until an operator has it tried again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import update
from sqlmodel import Session, col, select

from consent.models import Duty
from vault.schema import random_id

_FIRST_RETRY: Final = timedelta(seconds=2)
_LONGEST_WAIT: Final = timedelta(hours=1)


class DutyKind(StrEnum):
    """What a duty asks for; `Duty.target` names on what."""

    DESTROY_SHARES = "destroy_shares"
    TELL_RECIPIENT = "tell_recipient"
    ASK_REVIEW = "ask_review"


PUSHED: Final = frozenset({DutyKind.TELL_RECIPIENT, DutyKind.ASK_REVIEW})
"""What is pushed to a recipient, which may be slow or away. They have a loop of their own."""


def owe(session: Session, kind: DutyKind, target: str, now: datetime) -> None:
    """Add a duty to the transaction."""
    session.add(Duty(duty_id=random_id(), kind=kind, target=target, due_at=now, created_at=now))


def take_due(session: Session, now: datetime, *, is_pushed: bool = False) -> Duty | None:
    """The duty that is due the longest, locked for this transaction; others skip it.

    `is_pushed` chooses between the kinds of `PUSHED` and all others.
    """
    kind = col(Duty.kind)
    return session.exec(
        select(Duty)
        .where(
            col(Duty.done_at).is_(None),
            col(Duty.dead_at).is_(None),
            col(Duty.due_at) <= now,
            kind.in_(PUSHED) if is_pushed else kind.not_in(PUSHED),
        )
        .order_by(col(Duty.due_at))
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()


def settle(duty: Duty, now: datetime) -> None:
    """The duty is done; its row stays as the proof."""
    duty.done_at, duty.fault = now, None


def postpone(duty: Duty, now: datetime, *, longest: timedelta = _LONGEST_WAIT) -> None:
    """It failed this time: try again later, each time twice as late, at most an hour (or `longest`)."""
    wait = min(_FIRST_RETRY * 2 ** min(duty.attempts, 20), longest)
    duty.attempts += 1
    duty.due_at = now + wait


def wait_for_hurry(duty: Duty, now: datetime, *, longest: timedelta = _LONGEST_WAIT) -> None:
    """Nothing to be done now, and no failure: it waits until `hurry`, or looks again after `longest`."""
    duty.due_at = now + longest


def hurry(session: Session, kind: DutyKind, target: str, now: datetime) -> None:
    """What made a duty wait is over: it is due now."""
    session.exec(
        update(Duty)
        .where(col(Duty.kind) == kind, col(Duty.target) == target, col(Duty.done_at).is_(None))
        .values(due_at=now)
    )


def bury(duty: Duty, now: datetime) -> None:
    """It has failed for too long: nothing tries it any more, and it is not forgotten."""
    duty.dead_at = now


def dead_duties(session: Session) -> Sequence[Duty]:
    """Every duty that was given up, the oldest first."""
    dead = select(Duty).where(col(Duty.dead_at).is_not(None), col(Duty.done_at).is_(None))
    return session.exec(dead.order_by(col(Duty.created_at), col(Duty.duty_id))).all()


def replay(session: Session, duty_id: str | None, now: datetime) -> int:
    """Have one dead duty, or all of them (None), tried again from the beginning; answers how many."""
    dead = select(Duty).where(col(Duty.dead_at).is_not(None), col(Duty.done_at).is_(None))
    if duty_id is not None:
        dead = dead.where(Duty.duty_id == duty_id)
    found = session.exec(dead.with_for_update()).all()
    for duty in found:
        duty.dead_at, duty.attempts, duty.due_at = None, 0, now
        duty.created_at = now  # the time until it is given up begins anew
    return len(found)
