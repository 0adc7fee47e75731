"""Telling people: a fold over the log's committed entries, each told once to everyone whom it concerns.

Whoever folds holds the cursor's row, and the cursor moves in the transaction that stores what was told: a
death in between tells nothing twice and loses nothing. Which event is told as what is one table.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from sqlmodel import Session, col, select

from consent.evidence import open_detail
from consent.ledger.errors import LeafInvalidError
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import Contact, Notification, NotificationCursor
from consent.notification_recipients import TOLD_TO_CO_HOLDERS, Concern, recipients_of
from consent.notification_wishes import Channel, Schedule, Wishes, next_digest_at, wishes_of
from consent.outbox import DutyKind, owe
from consent.vocabulary import EventType, StateReason
from vault.errors import VaultError
from vault.insert import insert_if_absent
from vault.keys.keyring import Keyring
from vault.schema import random_id

CURSOR_NAME: Final = "log"
_BATCH: Final = 200


class NoticeKind(StrEnum):
    """What sort of thing a person is told. Only pulls and refusals may wait for a digest."""

    PULLS = "pulls"
    REFUSALS = "refusals"
    CONSENT = "consent"
    DECISIONS = "decisions"
    OBLIGATIONS = "obligations"
    SECURITY = "security"
    DIGEST = "digest"
    YEARLY = "yearly"


KINDS: Final[Mapping[str, NoticeKind]] = MappingProxyType(
    {
        EventType.DELIVERY_RELEASED: NoticeKind.PULLS,
        EventType.DELIVERY_REPEATED: NoticeKind.PULLS,
        EventType.DELIVERY_REFUSED: NoticeKind.REFUSALS,
        EventType.COLLECTION_REFUSED: NoticeKind.REFUSALS,
        EventType.RECORDS_REJECTED: NoticeKind.REFUSALS,
        EventType.CONSENT_GIVEN: NoticeKind.CONSENT,
        EventType.CONSENT_AMENDED: NoticeKind.CONSENT,
        EventType.CONSENT_RENEWED: NoticeKind.CONSENT,
        EventType.CONSENT_REFUSED: NoticeKind.CONSENT,
        EventType.CONSENT_PAUSED: NoticeKind.CONSENT,
        EventType.CONSENT_EXPIRED: NoticeKind.CONSENT,
        EventType.CONSENT_WITHDRAWN: NoticeKind.CONSENT,
        EventType.CONSENT_REVOKED: NoticeKind.CONSENT,
        EventType.CONSENT_INVALIDATED: NoticeKind.CONSENT,
        EventType.CHANGE_REQUESTED: NoticeKind.CONSENT,
        EventType.NOTICE_REVISED: NoticeKind.CONSENT,
        EventType.SOURCE_EXPIRED: NoticeKind.CONSENT,
        EventType.DECISION_RECEIVED: NoticeKind.DECISIONS,
        EventType.APPROVAL_REQUESTED: NoticeKind.CONSENT,
        EventType.DEAL_COMPLETED: NoticeKind.CONSENT,
        EventType.DEAL_REFUSED: NoticeKind.CONSENT,
        EventType.DEAL_EXPIRED: NoticeKind.CONSENT,
        EventType.RIGHT_ANSWERED: NoticeKind.DECISIONS,
        EventType.RIGHT_REJECTED: NoticeKind.DECISIONS,
        EventType.OBLIGATION_ATTESTED: NoticeKind.OBLIGATIONS,
        EventType.OBLIGATION_OVERDUE: NoticeKind.OBLIGATIONS,
        EventType.OBLIGATION_DISPUTED: NoticeKind.OBLIGATIONS,
        EventType.ATTESTATION_REFUSED: NoticeKind.OBLIGATIONS,
        EventType.REPRESENTATION_OFFERED: NoticeKind.SECURITY,
        EventType.REPRESENTATION_BEGUN: NoticeKind.SECURITY,
        EventType.REPRESENTATION_REFUSED: NoticeKind.SECURITY,
        EventType.REPRESENTATION_ENDED: NoticeKind.SECURITY,
        EventType.COHOLDING_ADDED: NoticeKind.SECURITY,
        EventType.COHOLDING_REMOVED: NoticeKind.SECURITY,
        EventType.RECORD_TAMPERED: NoticeKind.SECURITY,
        EventType.RECORD_INSPECTED: NoticeKind.SECURITY,
        EventType.SUBJECT_SEARCHED: NoticeKind.SECURITY,
    }
)
"""What is told, by the event's name. An event that is not here is not told."""

_EMERGENCY: Final = "emergency."  # whatever happens in one is told at once

_UNLESS_BY_SUBJECT: Final = frozenset({EventType.CONSENT_PAUSED, EventType.CONSENT_REFUSED})


@dataclass(frozen=True, slots=True)
class Told:
    """How telling is done here: the channels that this broker has, and the hour (KST) of the digests."""

    channels: frozenset[Channel]
    digest_hour: int


def fold(session: Session, keyring: Keyring, how: Told, now: datetime, *, limit: int = _BATCH) -> int:
    """Tell what the next entries say; answers how many entries were read, 0 at the end of the log."""
    cursor = lock_cursor(session, now)
    rows = session.exec(
        select(LedgerEntry)
        .where(col(LedgerEntry.idx) >= cursor.next_idx)
        .order_by(col(LedgerEntry.idx))
        .limit(limit)
    ).all()
    if not rows:
        return 0
    told = [
        (row, event, kind)
        for row in rows
        if (event := _event(row)) is not None and (kind := _kind(event.type)) is not None
    ]
    concerned = recipients_of(session, keyring, {row.handle for row, *_ in told})
    notifications = [
        _notification(row.idx, event, NoticeKind.SECURITY if concern.is_emergency else kind, concern)
        for row, event, kind in told
        for concern in concerned.get(row.handle, ())
        if _is_news(keyring, row, event, concern)
    ]
    wishes = wishes_of(session, {one.subject_id for one in notifications})
    for one in notifications:
        schedule = schedule_of(wishes.get(one.subject_id, Wishes()), one.kind)
        if schedule is not Schedule.AT_ONCE:
            one.batched_until = next_digest_at(schedule, cursor.at, hour=how.digest_hour)
    add_all(session, how.channels, notifications, now)
    cursor.next_idx = rows[-1].idx + 1
    return len(rows)


def schedule_of(wishes: Wishes, kind: str) -> Schedule:
    """When a kind is told; whatever bears on a person's security or rights is told at once."""
    match kind:
        case NoticeKind.PULLS:
            return wishes.pulls
        case NoticeKind.REFUSALS:
            return wishes.refusals
        case _:
            return Schedule.AT_ONCE


def add_all(
    session: Session, channels: frozenset[Channel], notifications: Sequence[Notification], now: datetime
) -> None:
    """Store notifications; owe those that do not wait on every confirmed channel of their person."""
    session.add_all(notifications)
    at_once = [one for one in notifications if one.batched_until is None]
    confirmed = _confirmed(session, {one.subject_id for one in at_once})
    for one in at_once:
        for channel in sorted(confirmed.get(one.subject_id, set()) & channels):
            kind = DutyKind.MAIL_NOTICE if channel is Channel.MAIL else DutyKind.PUSH_NOTICE
            owe(session, kind, one.notification_id, now)


def lock_cursor(session: Session, now: datetime) -> NotificationCursor:
    """The cursor, locked until the transaction ends, its clock moved on to `now` unless it is ahead."""
    locked = select(NotificationCursor).where(NotificationCursor.name == CURSOR_NAME).with_for_update()
    cursor = session.exec(locked).one_or_none()
    if cursor is None:
        first = {"name": CURSOR_NAME, "next_idx": 0, "at": now, "told_year": 0}  # a new installation
        insert_if_absent(session, NotificationCursor, first)
        cursor = session.exec(locked).one()
    cursor.at = max(cursor.at, now)
    return cursor


def _event(row: LedgerEntry) -> Event | None:
    """What a leaf says. One that was damaged stops nobody's notices: the log's own checks tell of it."""
    try:
        return Event.from_leaf(row.leaf)
    except LeafInvalidError:
        return None


def _kind(event: str) -> NoticeKind | None:
    """As what an event is told; None if it is not."""
    return NoticeKind.SECURITY if event.startswith(_EMERGENCY) else KINDS.get(event)


def _is_news(keyring: Keyring, row: LedgerEntry, event: Event, concern: Concern) -> bool:
    """Whether it is for the person, and they do not know it already: what they just did is no news.

    A giving and a withdrawal are told all the same: it may have been somebody else at their account.
    """
    if concern.is_co_holder and event.type not in TOLD_TO_CO_HOLDERS:
        return False
    if event.type == EventType.CONSENT_EXPIRED:
        return concern.was_given or _reason(keyring, row, event, concern) is not None
    if event.type not in _UNLESS_BY_SUBJECT:
        return True
    return _reason(keyring, row, event, concern) not in {None, StateReason.BY_SUBJECT}


def _reason(keyring: Keyring, row: LedgerEntry, event: Event, concern: Concern) -> str | None:
    """The reason in an entry's sealed detail; `unreadable` where it cannot be opened: then it is told."""
    try:
        detail = open_detail(
            keyring.audit_key(concern.keeper_id),
            handle=event.handle,
            commitment=event.commitment,
            detail_sealed=row.detail_sealed,
        )
    except VaultError:
        return "unreadable"
    reason: str | None = detail.get("reason")
    return reason


def _notification(index: int, event: Event, kind: NoticeKind, concern: Concern) -> Notification:
    return Notification(
        notification_id=random_id(),
        subject_id=concern.subject_id,
        idx=index,
        kind=kind,
        event=event.type,
        at=event.at,
        organisation_id=event.recipient or concern.organisation_id,
        purpose=event.purpose,
        grant_id=concern.grant_id,
    )


def _confirmed(session: Session, subject_ids: Collection[str]) -> dict[str, set[Channel]]:
    """The channels on which each of these people can be told beside the inbox."""
    rows = session.exec(
        select(Contact.subject_id, Contact.channel).where(
            col(Contact.subject_id).in_(subject_ids),
            col(Contact.confirmed_at).is_not(None),
            col(Contact.ended_at).is_(None),
        )
    )
    found: dict[str, set[Channel]] = {}
    for subject_id, channel in rows:
        found.setdefault(subject_id, set()).add(Channel(channel))
    return found
