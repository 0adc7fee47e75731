"""A client's notification endpoint that listens (OpenID CIBA Core section 10.2)."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from broker.installation import Installation

TOKEN = "a-token-of-the-client-0123456789"


@dataclass
class Listener:
    """A client's endpoint: what came, and what it answers."""

    url: str = ""
    status: int = 204
    body: bytes = b""
    leads_on: bool = True
    came: list[tuple[str, str | None, object]] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[Listener]:
    found = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.came.append((self.path, self.headers["Authorization"], body))
            self.send_response(found.status)
            if 300 <= found.status < 400 and found.leads_on:
                self.send_header("Location", f"{found.url}/elsewhere")
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

        do_GET = do_POST  # noqa: N815 - what http.server calls

        def log_message(self, *_: object) -> None:
            """Nothing on the test's terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_address[1]}/ciba"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


def demo(installation: Installation) -> Installation:
    """The same where this machine's own addresses may be called."""
    server = installation.settings.server.model_copy(update={"profile": "demo"})
    return replace(installation, settings=installation.settings.model_copy(update={"server": server}))
