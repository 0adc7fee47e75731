"""A holder that does what a test tells it to, over real HTTP: a page, rubbish, silence, a redirect."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from connectors.sources.demo_hospital import write_exports
from vault.jose import peek

JSON = {"Content-Type": "application/json"}


@dataclass
class Reply:
    """One answer: status, headers, body; `before` runs first, and may wait or break the connection."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: dict(JSON))
    body: bytes = b""
    before: Callable[[BaseHTTPRequestHandler], None] | None = None


@dataclass
class Double:
    """The holder: its address, what it was asked (claims of each request), and what it will answer.

    The last reply stays: it answers whatever comes after.
    """

    url: str
    replies: list[Reply] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def will(self, *replies: Reply) -> None:
        self.replies[:] = replies


class Exported:
    """What the demo hospital would send: its header and its bills."""

    def __init__(self, folder: Path) -> None:
        lines = write_exports(folder).hospital.read_text("utf-8").splitlines()
        self.header, *self.bills = (json.loads(line) for line in lines)

    def of(self, patient_no: str) -> list[dict[str, Any]]:
        return [bill for bill in self.bills if bill["PT_NO"] == patient_no]


def page(
    header: Mapping[str, Any],
    records: object,
    /,
    *,
    next_cursor: object = None,
    mark: object = 7,
    **changes: object,
) -> Reply:
    """A page as a good holder sends it, or with other members."""
    members = {"header": header, "records": records, "next_cursor": next_cursor, "search_timestamp": mark}
    return Reply(body=json.dumps(members | changes, ensure_ascii=False).encode())


def refusal(reason: object) -> Reply:
    return Reply(403, body=json.dumps({"refusal": reason}).encode())


def silence(seconds: float) -> Reply:
    return Reply(before=lambda _: time.sleep(seconds))


def hanging_up() -> Reply:
    def hang_up(handler: BaseHTTPRequestHandler) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)

    return Reply(before=hang_up)


@contextmanager
def serving_double() -> Iterator[Double]:
    """A double that listens until the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(found := Double("")))
    found.url = f"http://127.0.0.1:{server.server_address[1]}/transmissions"
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


def _handler(double: Double) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            token = self.rfile.read(int(self.headers["Content-Length"])).decode()
            double.tokens.append(token)
            double.asked.append(peek(token)[1])
            reply = double.replies.pop(0) if len(double.replies) > 1 else double.replies[0]
            try:
                if reply.before is not None:
                    reply.before(self)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Nothing on the test's terminal."""

    return Handler
