"""A client's back-channel logout endpoint over real HTTP, which answers what a test has it answer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from httpx import Client

from vault.jose import verify_jwt


@dataclass
class Receiver:
    """Its address, the statuses that it will answer (the last one stays), and the forms that it was sent."""

    url: str
    statuses: list[int] = field(default_factory=lambda: [200])
    bodies: list[tuple[str, str]] = field(default_factory=list)

    def will(self, *statuses: int) -> None:
        self.statuses[:] = statuses

    def logouts(self, http: Client) -> list[dict[str, Any]]:
        """The claims of what came, verified with the published keys."""
        keys = http.get("/jwks").json()
        found = []
        for media_type, body in self.bodies:
            assert media_type == "application/x-www-form-urlencoded"
            name, _, token = body.partition("=")
            assert name == "logout_token"
            found.append(verify_jwt(token, keys, algorithms=("ES256",), typ="logout+jwt")[1])
        return found


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens until the end."""
    receiver = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            receiver.bodies.append((self.headers["Content-Type"], body))
            status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on the test's terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/logout"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
