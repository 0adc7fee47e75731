"""A limit for what anybody may do without signing in: it keeps the rest of the broker quick."""

from datetime import datetime
from threading import Lock


class Pace:
    """At most `burst` at once, and `per_second` in the long run, for one process.

    Not for each address: behind a proxy all have one, and whoever wants to can have many.
    """

    def __init__(self, *, per_second: int, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left = float(burst)
        self._at: datetime | None = None
        self._lock = Lock()

    def takes_one(self, now: datetime) -> bool:
        """Whether there is room for one more, which is taken then. A clock that goes back gives nothing."""
        with self._lock:
            passed = 0.0 if self._at is None else max(0.0, (now - self._at).total_seconds())
            self._left = min(self._burst, self._left + passed * self._per_second)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True
