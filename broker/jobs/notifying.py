"""Telling people what the log says: the fold, digests at the end of their period, and the yearly notice.

Nothing here talks outward: what is mailed or pushed is owed as a duty, and sent by jobs of its own.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from sqlmodel import Session, col, select

from broker.db import transaction
from broker.installation import Installation
from consent.digests import close_digests, tell_year
from consent.ledger.models import HEAD_NAME, LedgerHead
from consent.models import NotificationCursor
from consent.notification_wishes import Channel
from consent.notifications import CURSOR_NAME, Told, fold

_PROGRESS: Final = (
    select(LedgerHead.size, NotificationCursor.next_idx)
    .outerjoin(NotificationCursor, col(NotificationCursor.name) == CURSOR_NAME)
    .where(LedgerHead.name == HEAD_NAME)
)
_MOST_BATCHES: Final = 20  # in one go: what follows in the worker's loop must not wait for a long backlog


class Progress(NamedTuple):
    """How long the log is, and how many of its entries were read."""

    size: int
    told: int

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing that people have not been told yet."""
        return self.told >= self.size


def progress(session: Session) -> Progress:
    """How far the telling is; one cheap statement, which every worker asks a few times a second."""
    row = session.connection().execute(_PROGRESS).one_or_none()
    return Progress(0, 0) if row is None else Progress(row.size, row.next_idx or 0)


def notify(installation: Installation, now: datetime) -> int:
    """Tell what has been committed since the last time; answers how many entries were read."""
    how = ways_of(installation)
    read = 0
    for _ in range(_MOST_BATCHES):
        with installation.data.read() as session:
            if progress(session).is_complete:
                break
        with transaction(installation.data) as work:
            read += fold(work.session, installation.keyring, how, now)
    return read


def summarise(installation: Installation, now: datetime) -> int:
    """Close every digest whose period is over, and give the yearly notices; answers how many were told."""
    return _repeat(installation, now, close_digests) + _repeat(installation, now, tell_year)


def ways_of(installation: Installation) -> Told:
    """How this broker tells people: mail only if there is a server for it."""
    settings = installation.settings
    channels = {Channel.WEBHOOK} | ({Channel.MAIL} if settings.mail.host else set())
    return Told(frozenset(channels), settings.notifications.digest_hour)


def _repeat(installation: Installation, now: datetime, tell: Callable[[Session, Told, datetime], int]) -> int:
    how = ways_of(installation)
    told = 0
    while True:
        with transaction(installation.data) as work:
            batch = tell(work.session, how, now)
        if not batch:
            return told
        told += batch
