"""The way of everything that is pushed to an address that somebody has registered, one duty after the other.

What is said, to whom and what counts as taken is each kind's own: events for recipients (telling.py), notices
for people (hooking.py), the end of a session (logging_out.py), pings (pinging.py).

At least once: a duty is leased before anything is sent, and closed after the answer, each in a commit of its
own; a death in between sends it again. Private addresses are never called (`connectors.http`).

What fails by a fault of ours (a key that is away, a row that cannot be opened) waits as what is not taken
does, and is given up after as long; its fault says so, and nothing else of its client waits for it. A lock or
a connection that does not come in time is no fault: it only waits.
"""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from broker.db import LockTimeoutError, transaction
from broker.installation import Installation
from broker.jobs.isolation import EXPECTED
from broker.oauth.errors import KeyNotMadeError
from broker.service_keys import OAUTH_KEY
from connectors.http import Limits, OutboundClient
from consent.models import Duty
from consent.outbox import HOOKED, MAILED, OWN_FAULT, DutyKind, bury, find_pushed, postpone, take_told
from vault.keys.service_keys import ServiceKey

if TYPE_CHECKING:
    from broker.setting_sections import EventsSection, NotificationsSection

LIMITS: Final = Limits(
    connect_seconds=3, read_seconds=5, total_seconds=10, response_bytes=64 * 1024, attempts=1
)
LEASE: Final = timedelta(seconds=15)  # longer than any push
TAKEN: Final = range(200, 300)
NOT_TAKEN: Final = "answered_{status}"

# What is over by itself, as soon as whoever is in the way is done.
_PASSING: Final = (LockTimeoutError, PoolTimeoutError)

_log: Final = logging.getLogger(__name__)


class Leased(Protocol):
    """What is on its way; `leased_until` is what its duty's `due_at` says while nobody else has it."""

    @property
    def leased_until(self) -> datetime | None:
        """The instant that the lease was committed with."""


L = TypeVar("L", bound=Leased)


@dataclass(frozen=True, slots=True)
class Way(Generic[L]):
    """How some kinds are pushed, in two steps: what happens between them finds the duty leased.

    `take` leases a duty that was found, in a commit; None: there is nothing to send. `send` sends what it
    says and closes it; whether that was taken.
    """

    kinds: frozenset[DutyKind]
    take: Callable[[Installation, Duty, datetime], L | None]
    send: Callable[[Installation, OutboundClient, L], bool]


def push_due(
    installation: Installation, way: Way[L], now: datetime, *, should_stop: Callable[[], bool]
) -> int:
    """Push whatever is due this way, until told to stop; answers how many were taken.

    The client is made for the first that is due: it reads every authority that this machine trusts, which
    takes long.
    """
    taken = 0
    is_demo = installation.settings.server.profile == "demo"
    with ExitStack() as closing:
        http: OutboundClient | None = None
        while not should_stop():
            with installation.data.read() as session:
                found = find_pushed(session, now, way.kinds)
            if found is None:
                break
            if http is None:
                http = closing.enter_context(OutboundClient(LIMITS, allow_loopback=is_demo))
            held_until: datetime | None = found.due_at
            try:
                leased = way.take(installation, found, now)
                if leased is None:
                    continue
                held_until = leased.leased_until
                taken += way.send(installation, http, leased)
            except EXPECTED as error:
                fields = {"duty": found.kind, "duty_id": found.duty_id, "error": type(error).__name__}
                _log.error("push postponed", extra=fields)
                _put_off(installation, found.duty_id, held_until, error)
    return taken


def lease(installation: Installation, duty: Duty) -> datetime:
    """Keep a locked duty out of others' hands until it must have been answered, which is told."""
    duty.due_at, duty.fault = installation.clock() + LEASE, None
    return duty.due_at


def signing_key(installation: Installation) -> ServiceKey:
    """What signs an event now. Raises KeyNotMadeError."""
    key = next(iter(installation.keyring.service_keys(OAUTH_KEY)), None)
    if key is None:
        raise KeyNotMadeError
    return key


def try_again(installation: Installation, duty: Duty, fault: str) -> bool:
    """Note why a locked duty was not taken: it waits, each time longer. False once its time is over."""
    now, days = installation.clock(), _patience(installation, duty).give_up_days
    duty.fault = fault
    _wait(installation, duty)
    return now < duty.created_at + timedelta(days=days)


def is_held(duty: Duty, sent: Leased) -> bool:
    """Whether a locked duty is still where its lease put it: else another has it, or gave it up."""
    return duty.dead_at is None and duty.due_at == sent.leased_until


def _put_off(installation: Installation, duty_id: str, held_until: datetime | None, error: Exception) -> None:
    """Have a duty wait that failed by a fault of ours, and give it up when its time is over.

    Not if it is due at another instant than when it was in our hands: then somebody else has it, or wants it
    tried. That it is given up is not on record as `recipient.unreachable`: no recipient was asked.
    """
    with transaction(installation.data) as work:
        duty = take_told(work.session, duty_id)
        if duty is None or duty.dead_at is not None or duty.due_at != held_until:
            return
        if isinstance(error, _PASSING):
            duty.fault = None
            _wait(installation, duty)
            return
        if duty.attempts == 0:  # it only waited until now: its patience begins with its first failure
            duty.created_at = installation.clock()
        if not try_again(installation, duty, OWN_FAULT + type(error).__name__):
            bury(duty, installation.clock())


def _wait(installation: Installation, duty: Duty) -> None:
    longest = timedelta(seconds=_patience(installation, duty).longest_wait_seconds)
    postpone(duty, installation.clock(), longest=longest)


def _patience(installation: Installation, duty: Duty) -> "EventsSection | NotificationsSection":
    """How long a person's own address is tried is a setting of its own."""
    settings = installation.settings
    return settings.notifications if duty.kind in MAILED | HOOKED else settings.events
