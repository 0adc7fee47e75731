"""Statistics as a fold over the log's events, in the metric names of Australia's Consumer Data Right.

Pure: the same events give the same counts, in one go or in parts. Only what is public in a leaf is read
(type, instant, purpose, reason), never a person; of handles it is remembered which are open and active.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Final, Self

from consent.ledger.events import Event
from consent.vocabulary import AccessKind, VersionKind
from consent.vocabulary import EventType as E

FOLD_FORMAT: Final = 2

_KOREA: Final = timezone(timedelta(hours=9))
_NO_PURPOSE: Final = "none"

NEW_ONCE: Final = "newAuthorisationCount.onceOff"
NEW_ONGOING: Final = "newAuthorisationCount.ongoing"
NEW_UNKNOWN: Final = "newAuthorisationCount.unknown"
AMENDED: Final = "amendedAuthorisationCount"
RECONSENTED: Final = "reconsentedAuthorisationCount"
RENEWED: Final = "renewedAuthorisationCount"
NARROWED: Final = "narrowedAuthorisationCount"
REVOKED: Final = "revokedAuthorisationCount"
EXPIRED: Final = "expiredAuthorisationCount"
FULFILLED: Final = "fulfilledAuthorisationCount"
INVALIDATED: Final = "invalidatedAuthorisationCount"
DELIVERIES: Final = "deliveryCount"
REDELIVERIES: Final = "redeliveryCount"
REFUSALS: Final = "refusalsByReason."
STAGES: Final = "abandonmentsByStage."
PRE_AUTHORISATION: Final = STAGES + "preAuthorisation"
REJECTED: Final = STAGES + "rejected"

NEW: Final = (NEW_ONCE, NEW_ONGOING, NEW_UNKNOWN)
ENDED: Final = (REVOKED, EXPIRED, FULFILLED, INVALIDATED)
ALWAYS: Final = (
    *NEW,
    AMENDED,
    RECONSENTED,
    RENEWED,
    NARROWED,
    *ENDED,
    DELIVERIES,
    REDELIVERIES,
    *(STAGES + stage for stage in ("preIdentification", "preAuthentication", "failedTokenExchange")),
    PRE_AUTHORISATION,
    REJECTED,
)
"""The metrics that every table has, whether there was any of it or not."""

_NEW_BY_KIND: Final[Mapping[str, str]] = {AccessKind.ONCE: NEW_ONCE, AccessKind.PERIODIC: NEW_ONGOING}
_CHANGES: Final[Mapping[str, str]] = {
    E.CONSENT_AMENDED: AMENDED,
    E.CONSENT_RENEWED: RENEWED,
    E.CONSENT_NARROWED: NARROWED,
    E.DELIVERY_RELEASED: DELIVERIES,
    E.DELIVERY_REPEATED: REDELIVERIES,
}
_ENDS: Final[Mapping[str, str]] = {
    E.CONSENT_WITHDRAWN: REVOKED,
    E.CONSENT_REVOKED: REVOKED,
    E.CONSENT_EXPIRED: EXPIRED,
    E.CONSENT_FULFILLED: FULFILLED,
    E.CONSENT_INVALIDATED: INVALIDATED,
}

Cell = tuple[str, str, str]  # (metric, month, purpose)


@dataclass(slots=True)
class Fold:
    """Counts by metric, month (Korean time, `2026-12`) and purpose, after the log's first `size` entries.

    `open` are handles of requests that nobody has answered, `active` those of consents that may be used, each
    with its purpose.
    """

    size: int = 0
    counts: Counter[Cell] = field(default_factory=Counter)
    open: set[str] = field(default_factory=set)
    active: dict[str, str] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """One more event, the next of the log."""
        self.size += 1
        metric = self._metric(event)
        if metric is not None:
            self.counts[metric, month_of(event.at), event.purpose or _NO_PURPOSE] += 1

    def take_all(self, events: Iterable[Event]) -> Self:
        """Every event, in the order of the log."""
        for event in events:
            self.take(event)
        return self

    def active_by_purpose(self) -> Counter[str]:
        """How many consents of each purpose are active now."""
        return Counter(self.active.values())

    def to_state(self) -> dict[str, Any]:
        """Plain values to go on from later."""
        return {
            "format": FOLD_FORMAT,
            "size": self.size,
            "counts": [[*cell, count] for cell, count in sorted(self.counts.items())],
            "open": sorted(self.open),
            "active": dict(sorted(self.active.items())),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self | None:
        """What `to_state` said; None if an older program said it: then the fold begins anew."""
        if state.get("format") != FOLD_FORMAT:
            return None
        counts: Counter[Cell] = Counter({(m, month, p): count for m, month, p, count in state["counts"]})
        return cls(state["size"], counts, set(state["open"]), dict(state["active"]))

    def _metric(self, event: Event) -> str | None:
        """What an event counts as, and how it moves its handle."""
        handle, kind = event.handle, event.type
        if kind == E.CONSENT_REQUESTED:
            self.open.add(handle)
            return None
        if kind == E.CONSENT_GIVEN:
            self.open.discard(handle)
            self.active[handle] = event.purpose or _NO_PURPOSE
            return _NEW_BY_KIND.get(str(event.facts.get("access")), NEW_UNKNOWN)
        if kind == E.CONSENT_REFUSED:
            self.open.discard(handle)
            return REJECTED
        if kind in _ENDS:
            return self._ended(handle, kind)
        if kind in {E.DELIVERY_REFUSED, E.RECORD_TAMPERED}:
            return f"{REFUSALS}{event.facts.get('reason', 'unknown')}"
        if kind == E.CONSENT_AMENDED and event.facts.get("kind") == VersionKind.RECONSENT:
            return RECONSENTED  # the text has changed; what was agreed to has not
        return _CHANGES.get(kind)

    def _ended(self, handle: str, kind: str) -> str | None:
        if self.active.pop(handle, None) is not None:
            return _ENDS[kind]
        if handle in self.open:
            self.open.discard(handle)
            return PRE_AUTHORISATION if kind == E.CONSENT_EXPIRED else REJECTED
        return None  # access had ended before: only its data goes sooner now


def month_of(at: datetime) -> str:
    """The month of an instant in Korea, such as `2026-12`."""
    return f"{at.astimezone(_KOREA):%Y-%m}"
