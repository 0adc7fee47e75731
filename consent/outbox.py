"""Duties: what must happen after a commit, as rows of the same transaction. `broker/jobs` drains them.

A duty that fails waits, each time twice as long. One that was to be pushed to a recipient and could not be
for too long is dead: it stays, with its fault, until an operator has it tried again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, update
from sqlmodel import Session, col, func, select

from consent.models import Consent, Duty
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

HELD_BACK: Final = "held_back"
"""The fault of an event that was not tried, because another one for its client had failed."""


def owe(session: Session, kind: DutyKind, target: str, now: datetime) -> None:
    """Add a duty to the transaction."""
    session.add(Duty(duty_id=random_id(), kind=kind, target=target, due_at=now, created_at=now))


def take_due(session: Session, now: datetime) -> Duty | None:
    """The duty that is due the longest, locked for this transaction; others skip it. None that is pushed."""
    return session.exec(
        select(Duty)
        .where(*_open_at(now), col(Duty.kind).not_in(PUSHED))
        .order_by(col(Duty.due_at))
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()


def find_pushed(session: Session, now: datetime) -> Duty | None:
    """The event that is due the longest, not locked: what it is about is locked before it."""
    return session.exec(
        select(Duty)
        .where(*_open_at(now), col(Duty.kind).in_(PUSHED))
        .order_by(col(Duty.due_at), col(Duty.duty_id))
        .limit(1)
    ).first()


def take_pushed(session: Session, duty_id: str, now: datetime) -> Duty | None:
    """An event, locked and read again; None if it is not due any more."""
    return session.exec(
        select(Duty)
        .where(*_open_at(now), Duty.duty_id == duty_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()


def hold_back_client(session: Session, client_id: str, until: datetime, now: datetime) -> None:
    """What else a client is to be told now waits until then: it does not listen."""
    session.exec(update(Duty).where(*_tells(client_id), *_open_at(now)).values(due_at=until, fault=HELD_BACK))


def held_back_until(session: Session, client_id: str, now: datetime) -> datetime | None:
    """Until when a client is not tried, because something for it has failed; None if nothing has."""
    waiting = select(func.max(Duty.due_at)).where(
        *_tells(client_id),
        col(Duty.fault).is_not(None),
        col(Duty.due_at) > now,
        col(Duty.done_at).is_(None),
        col(Duty.dead_at).is_(None),
    )
    return session.exec(waiting).one()


def release_client(session: Session, client_id: str, now: datetime) -> None:
    """It listens again: whatever waits for it because of a fault is due now."""
    session.exec(
        update(Duty)
        .where(
            *_tells(client_id),
            col(Duty.fault).is_not(None),
            col(Duty.due_at) > now,
            col(Duty.done_at).is_(None),
            col(Duty.dead_at).is_(None),
        )
        .values(due_at=now)
    )


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
    """What made a duty wait is over: it is due now, and the time until it is given up begins."""
    session.exec(
        update(Duty)
        .where(
            col(Duty.kind) == kind,
            col(Duty.target) == target,
            col(Duty.done_at).is_(None),
            col(Duty.dead_at).is_(None),
        )
        .values(due_at=now, created_at=now)
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


def _tells(client_id: str) -> tuple[ColumnElement[bool], ...]:
    grant_ids = select(Consent.grant_id).where(Consent.client_id == client_id)
    return col(Duty.kind) == DutyKind.TELL_RECIPIENT, col(Duty.target).in_(grant_ids)


def _open_at(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return col(Duty.done_at).is_(None), col(Duty.dead_at).is_(None), col(Duty.due_at) <= now
