"""Deleting in time what was received, and signing that it is gone: on an event, or by asking."""

import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Final, Protocol

from connectors.errors import OutboundError
from connectors.services.relying_party.broker_client import BrokerClient, BrokerRefusedError, Owed

CONSENT_ENDED: Final = "urn:mydata:event:consent-ended"
CONSENT_PAUSED: Final = "urn:mydata:event:consent-paused"
CONSENT_RESUMED: Final = "urn:mydata:event:consent-resumed"
OBLIGATION_DUE: Final = "urn:mydata:event:obligation-due"

_AT_ONCE: Final = frozenset({"withdrawn", "revoked", "invalidated"})
_MARGIN: Final = timedelta(days=1)
_EVERY: Final = timedelta(minutes=10)
_AFTER_FAULT: Final = timedelta(seconds=30)
_METHOD: Final = "erased"

_log: Final = logging.getLogger(__name__)


class Keeper(Protocol):
    """Who keeps what was received."""

    def forget(self, grant_id: str, delivery_ids: Collection[str], *, is_over: bool) -> None:
        """Delete what came with these deliveries; with `is_over` nothing more may be kept of the consent."""


class Deletion:
    """Looks every ten minutes, and at once after an event, what must be deleted.

    Deleting may be repeated, so a death between it and the attestation costs nothing: what is not attested is
    listed again.
    """

    def __init__(self, broker: BrokerClient, keeper: Keeper, clock: Callable[[], datetime]) -> None:
        self._broker = broker
        self._keeper = keeper
        self._clock = clock
        self._next_at: datetime | None = None

    def look_now(self) -> None:
        """An event came: something may be due."""
        self._next_at = None

    def work(self) -> int:
        """Delete and attest what is due, if it is time to look; answers how much."""
        now = self._clock()
        if self._next_at is not None and now < self._next_at:
            return 0
        self._next_at = now + _EVERY
        done = 0
        try:
            for owed in self._broker.owed(now):
                if _is_due(owed, now):
                    self._delete(owed)
                    done += 1
        except (BrokerRefusedError, OutboundError) as error:
            _log.warning("deletion waits: %s", type(error).__name__)
            self._next_at = now + _AFTER_FAULT
        return done

    def _delete(self, owed: Owed) -> None:
        self._keeper.forget(owed.grant_id, owed.delivery_ids, is_over=owed.cause in _AT_ONCE)
        now = self._clock()
        self._broker.attest(owed, now, _METHOD, now)


def _is_due(owed: Owed, now: datetime) -> bool:
    """At once when somebody ended the consent, otherwise a day before the time is over."""
    return owed.cause in _AT_ONCE or now >= owed.due_at - _MARGIN
