"""How often somebody may call: buckets in a table of fixed size, and the client that a call has proven.

The generic cell rate algorithm (ITU-T I.371): of each caller one number is kept, the instant at which its
bucket is full again. Callers share a table as in a count-min sketch, so nobody can fill the memory;
the key that places them is this process's own, so nobody can aim at another's place.
"""

import secrets
from array import array
from contextvars import ContextVar
from functools import lru_cache
from hashlib import blake2b
from math import ceil
from typing import Final

_WINDOW: Final = 60.0  # seconds
_PLACES: Final = 1 << 16
_ROWS: Final = 2


class TooManyRequestsError(Exception):
    """The caller has used up what it may do; `seconds` from now there is room for one call more."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"come again in {seconds} s")


class Buckets:
    """At most `per_minute` calls at once and in the long run, for each key. 0 lets everything through.

    Two keys share both of their places once in four thousand million: then they share what they may do.
    Nothing is locked: threads that meet may let a call too many through, and never fail.
    """

    def __init__(self, per_minute: int, *, places: int = _PLACES, secret: bytes | None = None) -> None:
        self._interval = _WINDOW / per_minute if per_minute else 0.0
        self._places = places
        self._secret = secrets.token_bytes(16) if secret is None else secret
        self._began: float | None = None
        self._places_of = lru_cache(maxsize=4096)(self._find_places)
        self._full_at = array("d", bytes(8 * _ROWS * places if per_minute else 0))

    @property
    def size_bytes(self) -> int:
        """What the table takes, from the first call to the last."""
        return self._full_at.itemsize * len(self._full_at)

    def take(self, key: str, now: float) -> int:
        """Take one call at `now` (seconds of the epoch); 0 if there was room, else the seconds to wait."""
        if not self._interval:
            return 0
        # Counted from the first call on: sums of small numbers are exact enough.
        self._began = now if self._began is None else self._began
        now -= self._began
        places, longest = self._places_of(key), now + _WINDOW
        # Full long ago; or further ahead than can be, since the clock was put back: either is full now.
        full_at = [at if now < at <= longest else now for at in map(self._full_at.__getitem__, places)]
        over = min(full_at) + self._interval - longest
        if over > self._interval / 10:
            return max(1, ceil(over - 0.001))  # a thousandth of a second is no second more
        for place, at in zip(places, full_at, strict=True):
            self._full_at[place] = min(at + self._interval, longest)
        return 0

    def give_back(self, key: str) -> None:
        """Undo one `take` that succeeded: the call was one that is not counted."""
        if self._interval:
            for place in self._places_of(key):
                self._full_at[place] -= self._interval

    def _find_places(self, key: str) -> tuple[int, int]:
        digest = int.from_bytes(blake2b(key.encode(), key=self._secret, digest_size=8).digest())
        return digest % self._places, self._places + (digest >> 32) % self._places


class MeasuredCall:
    """A call while it runs: whether somebody has proven who they are in it."""

    __slots__ = ("_clients", "_now", "is_proven")

    def __init__(self, clients: Buckets, now: float) -> None:
        self._clients = clients
        self._now = now
        self.is_proven = False

    def prove(self, client_id: str | None) -> None:
        """It is this client's (None: somebody's whose calls are not counted). TooManyRequestsError."""
        self.is_proven = True
        if client_id is not None and (seconds := self._clients.take(client_id, self._now)):
            raise TooManyRequestsError(seconds)


# Set by the edge (broker/request_limits.py); handlers run in copies of its context and see the same object.
measured_call: Final[ContextVar[MeasuredCall | None]] = ContextVar("measured_call", default=None)


def proven(client_id: str | None = None) -> None:
    """Say that this call's caller is proven: it does not count against its address any more.

    With a `client_id` it counts against that client. Raises TooManyRequestsError.
    """
    if (call := measured_call.get()) is not None:
        call.prove(client_id)
