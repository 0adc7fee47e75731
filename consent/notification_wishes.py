"""How a person wants to be told of pulls and refusals: at once, or in a digest of the day or the week."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from typing import Final

from sqlalchemy import update
from sqlmodel import Session, col, select

from consent.models import Notification, NotificationPreference
from consent.purposes import Language
from vault.insert import insert_if_absent

KST: Final = timezone(timedelta(hours=9), "KST")


class Channel(StrEnum):
    """Where people are told beside the inbox, which cannot be switched off."""

    MAIL = "mail"
    WEBHOOK = "webhook"


class Schedule(StrEnum):
    """When people are told."""

    AT_ONCE = "at_once"
    DAILY = "daily"
    WEEKLY = "weekly"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one person has chosen; the defaults are everybody's who has not."""

    pulls: Schedule = Schedule.AT_ONCE
    refusals: Schedule = Schedule.AT_ONCE
    wants_yearly: bool = True
    language: Language = "ko"


def next_digest_at(schedule: Schedule, at: datetime, *, hour: int) -> datetime:
    """The end of the period that `at` lies in: the next `hour` o'clock (KST), on a Monday if weekly."""
    local = at.astimezone(KST)
    end = local.replace(hour=hour, minute=0, second=0, microsecond=0)
    if schedule is Schedule.WEEKLY:
        end -= timedelta(days=end.weekday())
        return end if end > local else end + timedelta(days=7)
    return end if end > local else end + timedelta(days=1)


def wishes_of(session: Session, subject_ids: Collection[str]) -> dict[str, Wishes]:
    """What each of these people has chosen; those who chose nothing are left out."""
    rows = session.exec(
        select(NotificationPreference).where(col(NotificationPreference.subject_id).in_(subject_ids))
    )
    return {
        row.subject_id: Wishes(
            Schedule(row.pulls),
            Schedule(row.refusals),
            wants_yearly=row.wants_yearly,
            language="en" if row.language == "en" else "ko",
        )
        for row in rows
    }


def save_wishes(session: Session, subject_id: str, wishes: Wishes, now: datetime, *, hour: int) -> None:
    """Keep what a person has chosen. What waits for a digest already never waits longer for it."""
    values = {
        "pulls": wishes.pulls,
        "refusals": wishes.refusals,
        "wants_yearly": wishes.wants_yearly,
        "language": wishes.language,
        "updated_at": now,
    }
    if not insert_if_absent(session, NotificationPreference, {"subject_id": subject_id, **values}):
        session.exec(
            update(NotificationPreference)
            .where(col(NotificationPreference.subject_id) == subject_id)
            .values(**values)
        )
    for kind, schedule in (("pulls", wishes.pulls), ("refusals", wishes.refusals)):
        until = now if schedule is Schedule.AT_ONCE else next_digest_at(schedule, now, hour=hour)
        session.exec(
            update(Notification)
            .where(
                col(Notification.subject_id) == subject_id,
                col(Notification.kind) == kind,
                col(Notification.digest_id).is_(None),
                col(Notification.batched_until) > until,
            )
            .values(batched_until=until)
        )
