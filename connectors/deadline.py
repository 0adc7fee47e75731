"""The end of a request's time, whatever it is doing: the name's look-up, TLS handshake and headers too.

Time limits of sockets hold for one read each. Who sends a byte now and then would never be late by them. The
system's resolver has none at all that we could set.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Self, TypeVar

_Found = TypeVar("_Found")

_CONNECTED: Final = "connection.connect_tcp.complete"


class Deadline:
    """Breaks the connections that were opened under it once `seconds` are over. A context, for one request.

    `note` is to be httpcore's `trace` extension: it tells of each connection.
    """

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(max(seconds, 0), self._break)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for connection in self._sockets:
                connection.close()
            self._sockets.clear()

    def note(self, event: str, info: Mapping[str, Any]) -> None:
        """What httpcore does: of interest is the connection that it has just made."""
        if event != _CONNECTED:
            return
        # A descriptor of our own: TLS takes over the other one, and its owner may close it at any moment.
        own = info["return_value"].get_extra_info("socket").dup()
        with self._lock:
            self._sockets.append(own)
            if self.is_over:
                _shut(own)

    def _break(self) -> None:
        with self._lock:
            self.is_over = True
            for connection in self._sockets:
                _shut(connection)


def in_time(find: Callable[[], _Found], seconds: float) -> _Found:
    """What `find` answers or raises, within so many seconds. Raises TimeoutError.

    Nobody can stop a resolver: what is too late goes on in a thread of its own, and is heard by nobody.
    """
    found: Future[_Found] = Future()

    def run() -> None:
        try:
            found.set_result(find())
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            found.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return found.result(timeout=max(seconds, 0))


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side was first
        connection.shutdown(socket.SHUT_RDWR)
