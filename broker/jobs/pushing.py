"""The way of everything that is pushed to an address that somebody has registered, one duty after the other.

What is said, to whom and what counts as taken is each kind's own: events for recipients (telling.py), notices
for people (hooking.py), the end of a session (logging_out.py), pings (pinging.py).

At least once: a duty is leased before anything is sent, and closed after the answer, each in a commit of its
own; a death in between sends it again. Private addresses are never called (`connectors.http`).
"""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.isolation import EXPECTED
from connectors.http import Limits, OutboundClient
from consent.models import Duty
from consent.outbox import HOOKED, MAILED, DutyKind, find_pushed, postpone, take_told

if TYPE_CHECKING:
    from broker.setting_sections import EventsSection, NotificationsSection

LIMITS: Final = Limits(
    connect_seconds=3, read_seconds=5, total_seconds=10, response_bytes=64 * 1024, attempts=1
)
LEASE: Final = timedelta(seconds=15)  # longer than any push
TAKEN: Final = range(200, 300)
NOT_TAKEN: Final = "answered_{status}"

_log: Final = logging.getLogger(__name__)

Push = Callable[[Installation, OutboundClient, Duty, datetime], bool]
"""Leases a duty that was found, sends what it says and closes it; whether that was taken."""


def push_due(
    installation: Installation,
    kinds: frozenset[DutyKind],
    push: Push,
    now: datetime,
    *,
    should_stop: Callable[[], bool],
) -> int:
    """Push whatever of these kinds is due, until told to stop; answers how many were taken.

    What cannot be said, through a fault of ours, waits, and nothing else waits for it. The client is made for
    the first that is due: it reads every authority that this machine trusts, which takes long.
    """
    taken = 0
    is_demo = installation.settings.server.profile == "demo"
    with ExitStack() as closing:
        http: OutboundClient | None = None
        while not should_stop():
            with installation.data.read() as session:
                found = find_pushed(session, now, kinds)
            if found is None:
                break
            if http is None:
                http = closing.enter_context(OutboundClient(LIMITS, allow_loopback=is_demo))
            try:
                taken += push(installation, http, found, now)
            except EXPECTED as error:
                fields = {"duty": found.kind, "duty_id": found.duty_id, "error": type(error).__name__}
                _log.error("push postponed", extra=fields)
                _put_off(installation, found.duty_id)
    return taken


def lease(installation: Installation, duty: Duty) -> None:
    """Keep a locked duty out of others' hands until it must have been answered."""
    duty.due_at, duty.fault = installation.clock() + LEASE, None


def try_again(installation: Installation, duty: Duty, fault: str) -> bool:
    """Note why a locked duty was not taken: it waits, each time longer. False once its time is over."""
    now, days = installation.clock(), _patience(installation, duty).give_up_days
    duty.fault = fault
    _wait(installation, duty)
    return now < duty.created_at + timedelta(days=days)


def _put_off(installation: Installation, duty_id: str) -> None:
    with transaction(installation.data) as work:
        duty = take_told(work.session, duty_id)
        if duty is not None:
            duty.fault = None
            _wait(installation, duty)


def _wait(installation: Installation, duty: Duty) -> None:
    longest = timedelta(seconds=_patience(installation, duty).longest_wait_seconds)
    postpone(duty, installation.clock(), longest=longest)


def _patience(installation: Installation, duty: Duty) -> "EventsSection | NotificationsSection":
    """How long a person's own address is tried is a setting of its own."""
    settings = installation.settings
    return settings.notifications if duty.kind in MAILED | HOOKED else settings.events
