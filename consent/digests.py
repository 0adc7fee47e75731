"""What time brings to tell: digests at the end of their period, and the yearly notice of all transmissions.

The yearly notice: PIPA article 20-2 and decree article 42-6(12). Both take the cursor's lock as the fold
does, so a batched notification is in exactly one digest, and a person has one notice for each year.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import update
from sqlmodel import Session, col, select

from consent.models import Delivery, Notification, NotificationPreference
from consent.notification_wishes import KST
from consent.notifications import NoticeKind, Told, add_all, lock_cursor
from vault.schema import random_id

DIGEST: Final = "digest"
YEARLY: Final = "yearly"
_BATCH: Final = 200


def close_digests(session: Session, how: Told, now: datetime, *, limit: int = _BATCH) -> int:
    """Make one digest for each person whose period has ended, of all that waited for it; answers how many."""
    at = lock_cursor(session, now).at
    waiting = (col(Notification.digest_id).is_(None), col(Notification.batched_until) <= at)
    subject_ids = session.exec(
        select(Notification.subject_id)
        .where(*waiting)
        .distinct()
        .order_by(col(Notification.subject_id))
        .limit(limit)
    ).all()
    digests = [
        Notification(
            notification_id=random_id(), subject_id=subject_id, kind=NoticeKind.DIGEST, event=DIGEST, at=at
        )
        for subject_id in subject_ids
    ]
    for digest in digests:
        session.exec(
            update(Notification)
            .where(col(Notification.subject_id) == digest.subject_id, *waiting)
            .values(digest_id=digest.notification_id)
        )
    add_all(session, how.channels, digests, now)
    return len(digests)


def tell_year(session: Session, how: Told, now: datetime, *, limit: int = _BATCH) -> int:
    """Give everybody who had a delivery in the last calendar year (KST) their notice; answers how many.

    Once nobody is left the year is done, and is not looked at again.
    """
    cursor = lock_cursor(session, now)
    year = _year_to_tell(cursor.at, how.digest_hour)
    if cursor.told_year >= year:
        return 0
    subject_ids = _without_notice(session, year, limit)
    if not subject_ids:
        cursor.told_year = year
        return 0
    notices = [
        Notification(
            notification_id=random_id(),
            subject_id=subject_id,
            kind=NoticeKind.YEARLY,
            event=YEARLY,
            at=cursor.at,
            year=year,
        )
        for subject_id in subject_ids
    ]
    add_all(session, how.channels, notices, now)
    return len(notices)


def year_bounds(year: int) -> tuple[datetime, datetime]:
    """The first instant of a calendar year in Korea, and of the next."""
    return datetime(year, 1, 1, tzinfo=KST), datetime(year + 1, 1, 1, tzinfo=KST)


def _year_to_tell(at: datetime, hour: int) -> int:
    """The last year that is over for some hours: by then its last delivery has been committed."""
    return (at.astimezone(KST) - timedelta(hours=max(hour, 1))).year - 1


def _without_notice(session: Session, year: int, limit: int) -> list[str]:
    first, last = year_bounds(year)
    told = select(Notification.subject_id).where(Notification.year == year)
    declined = select(NotificationPreference.subject_id).where(
        col(NotificationPreference.wants_yearly).is_(False)
    )
    return list(
        session.exec(
            select(Delivery.subject_id)
            .where(
                col(Delivery.as_of) >= first,
                col(Delivery.as_of) < last,
                col(Delivery.subject_id).not_in(told),
                col(Delivery.subject_id).not_in(declined),
            )
            .distinct()
            .order_by(col(Delivery.subject_id))
            .limit(limit)
        )
    )
