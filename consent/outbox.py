"""Duties: what must happen after a commit, as rows of the same transaction. `broker/jobs` drains them.

A duty that fails waits, each time twice as long. One that was to be pushed to a recipient and could not be
for too long is dead: it stays, with its fault, until an operator has it tried again.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, or_, update
from sqlmodel import Session, col, func, select

from consent.models import Consent, Decision, Duty
from consent.vocabulary import ConsentState
from vault.insert import insert_if_absent
from vault.schema import Instant, random_id

_FIRST_RETRY: Final = timedelta(seconds=2)
_LONGEST_WAIT: Final = timedelta(hours=1)
_MOST_LOOKED_AT: Final = 1000
_MOST_AT_ONCE: Final = 500  # ids in one statement: databases limit its parameters


class DutyKind(StrEnum):
    """What a duty asks for; `Duty.target` names on what."""

    DESTROY_SHARES = "destroy_shares"
    RETIRE_SHARES = "retire_shares"
    ISSUE_RECEIPT = "issue_receipt"
    CLOSE_DEAL = "close_deal"
    CASCADE = "cascade"
    TELL_RECIPIENT = "tell_recipient"
    ASK_REVIEW = "ask_review"
    ERASE_SUBJECT = "erase_subject"
    ERASE_SOURCE = "erase_source"
    TELL_ENDED = "tell_ended"
    TELL_PAUSED = "tell_paused"
    TELL_RESUMED = "tell_resumed"
    TELL_DUE = "tell_due"
    TELL_REPLACED = "tell_replaced"
    TELL_TOKEN = "tell_token"  # noqa: S105 - a name
    TELL_STREAM = "tell_stream"
    MAIL_NOTICE = "mail_notice"
    MAIL_CODE = "mail_code"
    PUSH_NOTICE = "push_notice"
    PUSH_CODE = "push_code"
    TELL_LOGOUT = "tell_logout"
    PING_CLIENT = "ping_client"


ABOUT_GRANT: Final = frozenset(
    {
        DutyKind.TELL_RECIPIENT,
        DutyKind.TELL_ENDED,
        DutyKind.TELL_PAUSED,
        DutyKind.TELL_RESUMED,
        DutyKind.TELL_DUE,
        DutyKind.TELL_REPLACED,
        DutyKind.TELL_TOKEN,
    }
)
"""What a recipient is told about a consent: the target is its grant id."""

PUSHED: Final = ABOUT_GRANT | {DutyKind.ASK_REVIEW, DutyKind.TELL_STREAM}
"""What is told to a recipient, which may be slow or away. They have a loop of their own.

The target of ASK_REVIEW is a decision's id; that of TELL_STREAM, of a client's event stream, is the client's.
"""

MAILED: Final = frozenset({DutyKind.MAIL_NOTICE, DutyKind.MAIL_CODE})
"""What is mailed to a person."""

HOOKED: Final = frozenset({DutyKind.PUSH_NOTICE, DutyKind.PUSH_CODE})
"""What is pushed to an address that a person has named."""

LOGOUTS: Final = frozenset({DutyKind.TELL_LOGOUT})
"""What clients are told of a browser's session that is over; the target is one client's part in it."""

PINGED: Final = frozenset({DutyKind.PING_CLIENT})
"""What a client is pinged of: that a person has answered. The target is the request's id."""

HELD_BACK: Final = "held_back"
"""The fault of an event that was not tried, because another one for its client had failed."""

NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""When a duty is due that was given up, until a replay."""

OWN_FAULT: Final = "broker_fault_"
"""How the fault begins of what could not be made or signed here. Nothing else of its client waits for it."""


_DUE: Final = (
    select(Duty.kind)
    .where(
        col(Duty.done_at).is_(None),
        col(Duty.dead_at).is_(None),
        col(Duty.due_at) <= bindparam("now", type_=Instant),
    )
    .limit(_MOST_LOOKED_AT)
    .subquery()
)
_DUE_KINDS: Final = select(_DUE.c.kind, func.count().label("number")).group_by(_DUE.c.kind)
"""Made once: every worker asks it a few times a second, and making it costs more than the answer."""


def owe(
    session: Session, kind: DutyKind, target: str, now: datetime, *, client_id: str | None = None
) -> None:
    """Add a duty to the transaction. `client_id`, of the client that is to be told, saves looking it up."""
    duty = Duty(
        duty_id=random_id(),
        kind=kind,
        target=target,
        client_id=client_id or _client_of(session, kind, target),
        due_at=now,
        created_at=now,
        happened_at=now,
    )
    session.add(duty)


def owe_once(session: Session, duty_id: str, kind: DutyKind, target: str, now: datetime) -> bool:
    """Add a duty with an id that its cause has by itself; False if it is owed, or was done, already."""
    row = {
        "duty_id": duty_id,
        "kind": kind,
        "target": target,
        "client_id": _client_of(session, kind, target),
        "due_at": now,
        "attempts": 0,
        "created_at": now,
        "happened_at": now,
        "done_at": None,
        "dead_at": None,
        "fault": None,
        "told_type": None,
        "told_due": None,
    }
    return insert_if_absent(session, Duty, row)


def take_due(session: Session, now: datetime) -> Duty | None:
    """The duty that is due the longest, locked for this transaction; others skip it. None that is pushed."""
    return session.exec(
        select(Duty)
        .where(*_open_at(now), col(Duty.kind).not_in(PUSHED | MAILED | HOOKED | LOGOUTS | PINGED))
        .order_by(col(Duty.due_at))
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()


def due_kinds(session: Session, now: datetime) -> frozenset[str]:
    """Of which kinds something is due. Of very many duties not all are looked at: then it may be any kind."""
    rows = session.connection().execute(_DUE_KINDS, {"now": now}).all()
    kinds = frozenset(row.kind for row in rows)
    return kinds if sum(row.number for row in rows) < _MOST_LOOKED_AT else kinds | frozenset(DutyKind)


def find_pushed(session: Session, now: datetime, kinds: frozenset[DutyKind] = PUSHED) -> Duty | None:
    """The event that is due the longest, not locked: what it is about is locked before it.

    Of those that are due at once, as after a wait, the one that happened first: the order says something.
    """
    return session.exec(
        select(Duty)
        .where(*_open_at(now), col(Duty.kind).in_(kinds))
        .order_by(col(Duty.due_at), col(Duty.happened_at), col(Duty.duty_id))
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


def find_polled(session: Session, client_id: str, now: datetime, *, limit: int) -> Sequence[Duty]:
    """What a client that polls can be told now, the oldest first, not locked.

    News of a record only while a pull would be allowed. What went wrong waits for its time.
    """
    pullable = select(Consent.grant_id).where(
        Consent.grant_id == Duty.target,
        Consent.state == ConsentState.GIVEN,
        col(Consent.valid_from) <= now,
        col(Consent.valid_until) > now,
    )
    return session.exec(
        select(Duty)
        .where(
            *_living(),
            or_(col(Duty.attempts) == 0, col(Duty.due_at) <= now),
            *_told_to(client_id),
            or_(col(Duty.kind) != DutyKind.TELL_RECIPIENT, pullable.exists()),
        )
        .order_by(col(Duty.happened_at), col(Duty.due_at), col(Duty.duty_id))
        .limit(limit)
    ).all()


def find_told(session: Session, client_id: str, duty_id: str) -> Duty | None:
    """A client's own event that is not done, given up or not; None for unknown and for another's."""
    own = select(Duty).where(Duty.duty_id == duty_id, col(Duty.done_at).is_(None), *_told_to(client_id))
    return session.exec(own).one_or_none()


def take_told(session: Session, duty_id: str) -> Duty | None:
    """An event, locked and read again, whenever it is due; None if it is done."""
    return session.exec(
        select(Duty)
        .where(Duty.duty_id == duty_id, col(Duty.done_at).is_(None))
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()


def restart_client(session: Session, client_id: str, now: datetime) -> None:
    """What a client is to be told is due now, and the time until it is given up begins: it listens anew.

    The caller holds none of its duties: this waits for who does.
    """
    where = (*_told_to(client_id), *_living())
    _change(session, _locked(session, where), {"due_at": now, "created_at": now, "fault": None})


def hold_back_client(session: Session, client_id: str, until: datetime, now: datetime) -> None:
    """What else a client is to be told now waits until then: it does not listen."""
    hold_back(session, _told_to(client_id), until, now)


def held_back_until(session: Session, client_id: str, now: datetime) -> datetime | None:
    """Until when a client is not tried, because something for it has failed; None if nothing has."""
    waiting = select(func.max(Duty.due_at)).where(*_told_to(client_id), *_faulted(), col(Duty.due_at) > now)
    return session.exec(waiting).one()


def release_client(session: Session, client_id: str, now: datetime) -> None:
    """It listens again: whatever waits for it because of a fault is due now."""
    release(session, _told_to(client_id), now)


def hold_back(session: Session, which: Sequence[ColumnElement[bool]], until: datetime, now: datetime) -> None:
    """Of the duties that `which` names, those that are due wait until then: what they go to does not listen.

    The caller may hold one of them: what somebody else holds is left out, as if that had come before.
    """
    found = _locked(session, (*which, *_open_at(now)), is_patient=False)
    _change(session, found, {"due_at": until, "fault": HELD_BACK})


def release(session: Session, which: Sequence[ColumnElement[bool]], now: datetime) -> None:
    """Of the duties that `which` names, those that wait because of a fault are due now.

    As with `hold_back`, what somebody else holds is left out.
    """
    found = _locked(session, (*which, *_faulted(), col(Duty.due_at) > now), is_patient=False)
    _change(session, found, {"due_at": now})


def settle(duty: Duty, now: datetime) -> None:
    """The duty is done; its row stays as the proof."""
    duty.done_at, duty.fault = now, None


def postpone(duty: Duty, now: datetime, *, longest: timedelta = _LONGEST_WAIT) -> None:
    """It failed this time: try again later, each time twice as late, at most an hour (or `longest`)."""
    wait = min(_FIRST_RETRY * 2 ** min(duty.attempts, 20), longest)
    duty.attempts += 1
    duty.due_at = now + wait


def wait_for_hurry(duty: Duty, now: datetime, *, longest: timedelta = _LONGEST_WAIT) -> None:
    """Nothing to be done now, and no failure: it waits until `hurry`, or looks again after `longest`.

    A failure of before is over: nothing else of its client waits for it.
    """
    duty.due_at, duty.fault = now + longest, None


def hurry(session: Session, kind: DutyKind, target: str, now: datetime) -> None:
    """What made a duty wait is over: it is due now, and the time until it is given up begins."""
    where = (col(Duty.kind) == kind, col(Duty.target) == target, *_living())
    _change(session, _locked(session, where), {"due_at": now, "created_at": now})


def bury(duty: Duty, now: datetime) -> None:
    """It has failed for too long: nothing tries it any more, and it is not forgotten.

    It is never due, so that whoever looks for what is due does not walk past it, by the index of `due_at`.
    """
    duty.dead_at, duty.due_at = now, NEVER


def set_aside(session: Session) -> None:
    """What a program of before gave up, or one that runs beside this one, is never due either."""
    dead = (col(Duty.done_at).is_(None), col(Duty.dead_at).is_not(None), col(Duty.due_at) < NEVER)
    _change(session, _locked(session, dead, is_patient=False), {"due_at": NEVER})


def dead_duties(session: Session) -> Sequence[Duty]:
    """Every duty that was given up, the oldest first."""
    dead = select(Duty).where(col(Duty.dead_at).is_not(None), col(Duty.done_at).is_(None))
    return session.exec(dead.order_by(col(Duty.created_at), col(Duty.duty_id))).all()


def replay(session: Session, duty_id: str | None, now: datetime) -> int:
    """Have one dead duty, or all of them (None), tried again from the beginning; answers how many."""
    dead = select(Duty).where(col(Duty.dead_at).is_not(None), col(Duty.done_at).is_(None))
    if duty_id is not None:
        dead = dead.where(Duty.duty_id == duty_id)
    found = session.exec(dead.order_by(col(Duty.duty_id)).with_for_update()).all()
    for duty in found:
        duty.dead_at, duty.attempts, duty.due_at = None, 0, now
        duty.created_at = now  # the time until it is given up begins anew
    return len(found)


def _client_of(session: Session, kind: DutyKind, target: str) -> str | None:
    """Whose software is told; None where none is, and where what it would be told of is gone."""
    if kind == DutyKind.TELL_STREAM:
        return target
    grant_id: str | None = target if kind in ABOUT_GRANT else None
    if kind == DutyKind.ASK_REVIEW:
        decision = session.get(Decision, target)
        grant_id = None if decision is None else decision.grant_id
    consent = None if grant_id is None else session.get(Consent, grant_id)
    return None if consent is None else consent.client_id


def _locked(
    session: Session, where: Sequence[ColumnElement[bool]], *, is_patient: bool = True
) -> Sequence[str]:
    """The ids of duties, locked in the one order in which whoever takes several does: none waits for ever.

    Who may hold a duty already does not wait for others (`is_patient` False), whatever their order.
    """
    found = select(Duty.duty_id).where(*where).order_by(col(Duty.duty_id))
    return session.exec(found.with_for_update(skip_locked=not is_patient)).all()


def _change(session: Session, duty_ids: Sequence[str], values: dict[str, Any]) -> None:
    for start in range(0, len(duty_ids), _MOST_AT_ONCE):
        some = duty_ids[start : start + _MOST_AT_ONCE]
        session.exec(update(Duty).where(col(Duty.duty_id).in_(some)).values(**values))


def _told_to(client_id: str) -> tuple[ColumnElement[bool], ...]:
    """Everything that is told to a client, of its consents, of decisions and of its stream."""
    return (col(Duty.client_id) == client_id,)


def _living() -> tuple[ColumnElement[bool], ...]:
    return col(Duty.done_at).is_(None), col(Duty.dead_at).is_(None)


def _faulted() -> tuple[ColumnElement[bool], ...]:
    return *_living(), col(Duty.fault).is_not(None), ~col(Duty.fault).startswith(OWN_FAULT, autoescape=True)


def _open_at(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return *_living(), col(Duty.due_at) <= now
