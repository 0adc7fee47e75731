"""What people read: the inbox, a digest, the history of transmissions and its summary of a year.

Every query names the subject; somebody else's notification is as unknown. What an entry says beyond its
notification is read from its leaf in the log.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, literal, tuple_, update
from sqlalchemy import select as select_values
from sqlmodel import Session, col, func, select

from consent.digests import year_bounds
from consent.errors import NotFoundError
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import ConsentVersion, Delivery, Notification, Organisation
from consent.notifications import NoticeKind
from consent.reading import Party, party
from consent.terms import Retention
from consent.versions import open_terms
from consent.vocabulary import EventType
from vault.keys.keyring import Keyring
from vault.schema import Instant

_TRANSMISSIONS: Final = (
    EventType.DELIVERY_RELEASED,
    EventType.DELIVERY_REPEATED,
    EventType.DELIVERY_REFUSED,
    EventType.RECORD_TAMPERED,
    EventType.COLLECTION_REFUSED,
    EventType.RECORDS_REJECTED,
)

_PAGE: Final = 30
_NO_INDEX: Final = -1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of the list begins: after the notification of this instant, place in the log and id."""

    at: datetime
    index: int
    notification_id: str


@dataclass(frozen=True, slots=True)
class NoticeView:
    """One thing that a person is told. `facts` are those of its entry in the log, at `index`."""

    notification_id: str
    kind: NoticeKind
    event: str
    at: datetime
    organisation: Party | None
    purpose: str | None
    grant_id: str | None
    year: int | None
    is_read: bool
    index: int | None
    facts: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class NoticePage:
    """Notifications, the newest first; `older` is where the next page begins, if there is one."""

    notices: tuple[NoticeView, ...]
    older: Place | None


@dataclass(frozen=True, slots=True)
class DigestLine:
    """How often one thing happened with one organisation, and from when to when."""

    event: str
    organisation: Party | None
    count: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class YearLine:
    """What one recipient got for one purpose in a year, and how long it may keep the last of it."""

    recipient: Party
    purpose: str
    deliveries: int
    records: int
    first_at: datetime
    last_at: datetime
    retention: Retention


def inbox(
    session: Session, subject_id: str, *, before: Place | None = None, limit: int = _PAGE
) -> NoticePage:
    """What a person was told, without what waits for a digest or is in one."""
    return _page(session, subject_id, before, limit, col(Notification.batched_until).is_(None))


def digest_members(
    session: Session, subject_id: str, digest_id: str, *, before: Place | None = None, limit: int = _PAGE
) -> NoticePage:
    """Everything that is in one digest. Raises NotFoundError."""
    one_notice(session, subject_id, digest_id)
    return _page(session, subject_id, before, limit, col(Notification.digest_id) == digest_id)


def history(
    session: Session,
    subject_id: str,
    since: datetime,
    *,
    before: Place | None = None,
    limit: int = _PAGE,
) -> NoticePage:
    """Every transmission and every refusal since then, batched or not."""
    which = col(Notification.event).in_(_TRANSMISSIONS)
    return _page(session, subject_id, before, limit, which, col(Notification.at) >= since)


def one_notice(session: Session, subject_id: str, notification_id: str) -> NoticeView:
    """One notification of a person. Raises NotFoundError, for somebody else's too."""
    page = _page(session, subject_id, None, 1, col(Notification.notification_id) == notification_id)
    if not page.notices:
        raise NotFoundError
    return page.notices[0]


def unread_count(session: Session, subject_id: str) -> int:
    """How much of the inbox was not read yet."""
    return session.exec(select(func.count()).select_from(Notification).where(*_unread(subject_id))).one()


def mark_read(session: Session, subject_id: str, notification_id: str | None, now: datetime) -> None:
    """One of them is read, or all (None); a second time changes nothing."""
    which = () if notification_id is None else (col(Notification.notification_id) == notification_id,)
    session.exec(update(Notification).where(*_unread(subject_id), *which).values(read_at=now))


def digest_lines(
    session: Session, subject_id: str, digest_ids: Collection[str]
) -> dict[str, tuple[DigestLine, ...]]:
    """What each digest holds, summed up by event and organisation, the newest first."""
    rows = session.execute(
        select_values(
            col(Notification.digest_id),
            col(Notification.event),
            col(Notification.organisation_id),
            func.count(),
            func.min(Notification.at),
            func.max(Notification.at),
        )
        .where(col(Notification.subject_id) == subject_id, col(Notification.digest_id).in_(digest_ids))
        .group_by(col(Notification.digest_id), col(Notification.event), col(Notification.organisation_id))
        .order_by(func.max(Notification.at).desc(), col(Notification.event))
    ).all()
    organisations = session.exec(
        select(Organisation).where(col(Organisation.organisation_id).in_({row[2] for row in rows}))
    )
    parties = {row.organisation_id: party(row) for row in organisations}
    lines: dict[str, list[DigestLine]] = {}
    for digest_id, event, organisation_id, *counted in rows:
        line = DigestLine(event, parties.get(organisation_id), *counted)
        lines.setdefault(digest_id, []).append(line)
    return {digest_id: tuple(found) for digest_id, found in lines.items()}


def year_lines(session: Session, keyring: Keyring, subject_id: str, year: int) -> list[YearLine]:
    """The year's transmissions by recipient and purpose (PIPA decree article 42-6(12)), the last first."""
    first, last = year_bounds(year)
    rows = session.exec(
        select(Delivery, ConsentVersion, Organisation)
        .join(ConsentVersion, col(ConsentVersion.version_id) == col(Delivery.version_id))
        .join(Organisation, col(Organisation.organisation_id) == col(Delivery.recipient_id))
        .where(Delivery.subject_id == subject_id, col(Delivery.as_of) >= first, col(Delivery.as_of) < last)
        .order_by(col(Delivery.as_of).desc())
    ).all()
    terms = {
        version.version_id: open_terms(keyring, subject_id, version)
        for version in {version.version_id: version for _, version, _ in rows}.values()
    }
    grouped: dict[tuple[str, str], list[tuple[Delivery, Organisation]]] = {}
    for delivery, version, recipient in rows:
        key = (recipient.organisation_id, terms[version.version_id].purpose)
        grouped.setdefault(key, []).append((delivery, recipient))
    return [
        YearLine(
            recipient=party(found[0][1]),
            purpose=purpose,
            deliveries=len(found),
            records=sum(delivery.record_count for delivery, _ in found),
            first_at=found[-1][0].as_of,
            last_at=found[0][0].as_of,
            retention=terms[found[0][0].version_id].retention,
        )
        for (_, purpose), found in grouped.items()
    ]


def _page(
    session: Session, subject_id: str, before: Place | None, limit: int, *which: ColumnElement[bool]
) -> NoticePage:
    """One page of a person's notifications by keyset: what comes meanwhile shifts nothing."""
    index = func.coalesce(col(Notification.idx), _NO_INDEX)
    order = (col(Notification.at), index, col(Notification.notification_id))
    found = (
        select(Notification, Organisation, LedgerEntry.leaf)
        .join(
            Organisation,
            col(Organisation.organisation_id) == col(Notification.organisation_id),
            isouter=True,
        )
        .join(LedgerEntry, col(LedgerEntry.idx) == col(Notification.idx), isouter=True)
        .where(Notification.subject_id == subject_id, *which)
    )
    if before is not None:
        here = (literal(before.at, Instant()), literal(before.index), literal(before.notification_id))
        found = found.where(tuple_(*order) < tuple_(*here))
    rows = session.exec(found.order_by(*(column.desc() for column in order)).limit(limit + 1)).all()
    notices = tuple(_view(*row) for row in rows[:limit])
    return NoticePage(notices, _place_of(notices[-1]) if len(rows) > limit else None)


def _place_of(last: NoticeView) -> Place:
    return Place(last.at, _NO_INDEX if last.index is None else last.index, last.notification_id)


def _view(row: Notification, organisation: Organisation | None, leaf: bytes | None) -> NoticeView:
    return NoticeView(
        notification_id=row.notification_id,
        kind=NoticeKind(row.kind),
        event=row.event,
        at=row.at,
        organisation=None if organisation is None else party(organisation),
        purpose=row.purpose,
        grant_id=row.grant_id,
        year=row.year,
        is_read=row.read_at is not None,
        index=row.idx,
        facts={} if leaf is None else dict(Event.from_leaf(leaf).facts),
    )


def _unread(subject_id: str) -> Sequence[ColumnElement[bool]]:
    return (
        col(Notification.subject_id) == subject_id,
        col(Notification.read_at).is_(None),
        col(Notification.batched_until).is_(None),
    )
