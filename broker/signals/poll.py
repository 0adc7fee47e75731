"""Polling (RFC 8936): a client fetches its events, and says which it took.

What is not acknowledged comes again with the same `jti`. Every answer is immediate: a client that wants to
wait (`returnImmediately` false) asks again later. How long an answer is held back is ours to say (section
2.5), and we hold none: a request that waits takes a thread from everybody else.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.addressing import close, give_up, longest_wait, take, write
from broker.jobs.isolation import EXPECTED, one_at_a_time
from broker.jobs.letters import grant_of
from broker.oauth.security_event import sign
from broker.service_keys import OAUTH_KEY
from broker.signals.streams import Stream, StreamStatus
from consent.models import Duty
from consent.outbox import find_polled, find_told, postpone

MOST_EVENTS: Final = 100
_MOST_LOOKED_AT: Final = 1000  # most of them may have nothing to say any more, each with a commit of its own
SET_ERROR: Final = "receiver_error_{error}"
_OTHER: Final = "other"
_ERRORS: Final = frozenset(
    {"invalid_request", "invalid_key", "invalid_issuer", "invalid_audience", "authentication_failed"}
)
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Poll:
    """A poll: how many events at most, which were taken, and which were not, with the error named."""

    max_events: int = MOST_EVENTS
    acknowledged: tuple[str, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Polled:
    """Signed events by their `jti`, and whether there are more."""

    sets: Mapping[str, str]
    is_more: bool


def answer(installation: Installation, stream: Stream, poll: Poll, now: datetime) -> Polled:
    """Settle what the client names, and give it what is next. Each event is a commit of its own.

    One that cannot be said, through a fault of ours, waits and does not stop the others.
    """
    for event_id in poll.acknowledged:
        _settle(installation, stream.client_id, event_id, None, now)
    for event_id, error in poll.errors.items():
        _settle(installation, stream.client_id, event_id, error, now)
    if stream.status is not StreamStatus.ENABLED:
        return Polled({}, is_more=False)
    sets: dict[str, str] = {}
    seen: set[str] = set()
    while len(sets) < poll.max_events and len(seen) < _MOST_LOOKED_AT:
        found = _next(installation, stream, seen, now, limit=poll.max_events - len(sets))
        if not found:
            break
        for duty in found:
            seen.add(duty.duty_id)
            token = _written(installation, duty, now)
            if token is not None:
                sets[duty.duty_id] = token
    return Polled(sets, is_more=bool(_next(installation, stream, seen, now, limit=1)))


def _next(
    installation: Installation, stream: Stream, seen: set[str], now: datetime, *, limit: int
) -> list[Duty]:
    """What comes after those that were looked at; what had nothing to say any more was settled."""
    with installation.data.read() as session:
        found = find_polled(session, stream.client_id, now, limit=len(seen) + limit)
    return [duty for duty in found if duty.duty_id not in seen][:limit]


def _written(installation: Installation, found: Duty, now: datetime) -> str | None:
    try:
        with transaction(installation.data) as work:
            letter = write(installation, work, found, now, is_polled=True)
    except EXPECTED as error:
        _log.error("event postponed", extra={"duty_id": found.duty_id, "error": type(error).__name__})
        with transaction(installation.data) as work:
            duty = take(work, found.duty_id, None)
            if duty is not None:
                postpone(duty, now, longest=longest_wait(installation))
        return None
    if letter is None:
        return None
    (key, *_) = installation.keyring.service_keys(OAUTH_KEY)
    return sign(letter.event, issuer=installation.settings.server.issuer, key=key, now=now)


def _settle(
    installation: Installation, client_id: str, event_id: str, error: str | None, now: datetime
) -> None:
    """What was taken is done; what was found wrong is given up, with its error: an operator looks at it.

    Neither comes again (RFC 8936 section 2.4). An id that is not the client's own, or done, says nothing.
    Where it cannot be put on record, through a fault of ours, the event does come again.
    """
    with one_at_a_time("polling"), transaction(installation.data) as work:
        found = find_told(work.session, client_id, event_id)
        if found is None:
            return
        duty = take(work, event_id, grant_of(work.session, found))
        if duty is None or duty.told_type is None:
            return  # it was never told: nothing can be said of it
        if error is None:
            close(installation, work, duty, duty.told_type, duty.told_due, now)
        elif duty.dead_at is None:
            duty.fault = SET_ERROR.format(error=error if error in _ERRORS else _OTHER)
            give_up(installation, work, duty, now)
