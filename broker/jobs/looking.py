"""Whether there is anything to do: one look for all loops of a worker, so that having nothing to do is cheap.

What any process has committed, a duty or an entry of the log, is seen by the next look. That a holder may
have to be asked is told by the log too, since every link is an entry; what only time makes due may wait 5 s.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from broker.installation import Installation
from broker.jobs.notifying import progress
from consent.outbox import HOOKED, LOGOUTS, MAILED, PINGED, PUSHED, due_kinds

_ASK_EVERY: Final = timedelta(seconds=5)


class Chore(StrEnum):
    """What a loop of the worker is woken for."""

    DUTIES = "duties"
    EVENTS = "events"
    MAIL = "mail"
    HOOKS = "hooks"
    LOGOUTS = "logouts"
    PINGS = "pings"
    NOTICES = "notices"
    ASKING = "asking"


_OUTWARD: Final[Mapping[Chore, frozenset[str]]] = MappingProxyType(
    {
        Chore.EVENTS: PUSHED,
        Chore.MAIL: MAILED,
        Chore.HOOKS: HOOKED,
        Chore.LOGOUTS: LOGOUTS,
        Chore.PINGS: PINGED,
    }
)


class Lookout:
    """One worker's looks, one after the other; it remembers when it last had holders asked."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._size: int | None = None
        self._asked_at: datetime | None = None

    def look(self, now: datetime) -> set[Chore]:
        """What there is to do now."""
        with self._installation.data.read() as session:
            kinds, told = due_kinds(session, now), progress(session)
        found = set() if told.is_complete else {Chore.NOTICES}
        found |= {chore for chore, theirs in _OUTWARD.items() if kinds & theirs}
        if kinds.difference(*_OUTWARD.values()):
            found.add(Chore.DUTIES)  # those of a newer program too
        is_time = self._asked_at is None or now >= self._asked_at + _ASK_EVERY
        if is_time or told.size != self._size:
            self._size, self._asked_at = told.size, now
            found.add(Chore.ASKING)
        return found
