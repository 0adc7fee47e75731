"""What goes to a person's own address: leased before it is sent, settled or tried again after the answer.

At least once: a death in between sends it again under the same id. What is not taken for too long is given
up; it is in the person's inbox all the same.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.pushing import is_held, try_again
from consent.contacts import Destination, destination_of, note_fault, unconfirmed
from consent.errors import ConsentError
from consent.inbox import DigestLine, NoticeView, digest_lines, one_notice
from consent.ledger.errors import LedgerError
from consent.models import Duty, Notification
from consent.notification_wishes import Channel, wishes_of
from consent.notifications import NoticeKind
from consent.outbox import HOOKED, DutyKind, bury, hold_back, release, settle, take_pushed, take_told
from consent.purposes import Language
from vault.errors import VaultError

_LEASE: Final = timedelta(minutes=2)  # longer than any sending
_CODES: Final = frozenset({DutyKind.MAIL_CODE, DutyKind.PUSH_CODE})
_UNREADABLE: Final = "unreadable"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One thing on its way: the duty it settles, where to, and what it tells; no notice means the code."""

    duty_id: str
    to: Destination
    language: Language
    notice: NoticeView | None = None
    lines: tuple[DigestLine, ...] = ()
    leased_until: datetime | None = None


def lease(installation: Installation, found: Duty, channel: Channel, now: datetime) -> Outgoing | None:
    """What a duty sends, out of others' hands until it must have been sent; None: nothing to send."""
    with transaction(installation.data) as work:
        duty = take_pushed(work.session, found.duty_id, now)
        if duty is None:
            return None  # another worker has it
        try:
            outgoing = _outgoing(installation, work.session, duty, channel, now)
        except (VaultError, LedgerError, ConsentError):
            duty.fault = _UNREADABLE
            bury(duty, now)
            return None
        if outgoing is None:
            settle(duty, now)  # the address is gone: the person has their inbox
            return None
        duty.due_at, duty.fault = installation.clock() + _LEASE, None
        return replace(outgoing, leased_until=duty.due_at)


def close(installation: Installation, sent: Outgoing, fault: str | None, *, is_final: bool = False) -> None:
    """Settle what was taken. The rest is tried again, unless that is no use (`is_final`) or too late.

    Whatever else waits for the same endpoint waits as long, or is due when it listens again: one that is away
    costs everybody else one try, later each time. Mail has one server for all.
    """
    now = installation.clock()
    with transaction(installation.data) as work:
        duty = take_told(work.session, sent.duty_id)
        if duty is None:
            return  # another worker, which took it over after the lease, was told yes first
        note_fault(work.session, sent.to.contact_id, fault)
        if fault is None:
            settle(duty, now)
            if duty.kind in HOOKED:
                release(work.session, _of_same(duty), now)
            return
        if not is_held(duty, sent):
            return
        is_over = not try_again(installation, duty, fault)
        until = duty.due_at
        if is_over or is_final:
            bury(duty, now)
        if duty.kind in HOOKED:
            hold_back(work.session, _of_same(duty), until, now)


def _outgoing(
    installation: Installation, session: Session, duty: Duty, channel: Channel, now: datetime
) -> Outgoing | None:
    keyring = installation.keyring
    if duty.kind in _CODES:
        waiting = unconfirmed(session, keyring, duty.target, now)
        return None if waiting is None else Outgoing(duty.duty_id, waiting, waiting.language)
    notification = session.get(Notification, duty.target)
    if notification is None:
        return None
    subject_id = notification.subject_id
    to = destination_of(session, keyring, subject_id, channel)
    if to is None:
        return None
    wishes = wishes_of(session, [subject_id]).get(subject_id)
    notice = one_notice(session, subject_id, notification.notification_id)
    lines = (
        digest_lines(session, subject_id, [notice.notification_id])
        if notice.kind is NoticeKind.DIGEST
        else {}
    )
    return Outgoing(
        duty.duty_id,
        to,
        wishes.language if wishes else to.language,
        notice,
        lines.get(notice.notification_id, ()),
    )


def _of_same(duty: Duty) -> tuple[ColumnElement[bool], ...]:
    """Every notice for the person that this one is for."""
    owner = select(Notification.subject_id).where(Notification.notification_id == duty.target)
    same = select(Notification.notification_id).where(col(Notification.subject_id).in_(owner))
    return col(Duty.kind) == DutyKind.PUSH_NOTICE, col(Duty.target).in_(same)
