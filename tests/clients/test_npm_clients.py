"""Two client libraries from another language run the whole flow: openid-client and oauth4webapi.

They share no code with the server or with the Python libraries of `tests/flows`. The scripts beside this file
do the protocol; the test is the person with the browser.
"""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ClassVar
from urllib.parse import urlsplit

from broker.demo.citizen import Citizen
from tests.flows.demos import RunningDemo

PATIENCE = 120


@contextmanager
def callbacks(redirect_uri: str) -> Iterator["SimpleQueue[str]"]:
    """Listens at the client's redirect URI; every address that a browser comes to is put here."""
    came_back: SimpleQueue[str] = SimpleQueue()

    class Callback(BaseHTTPRequestHandler):
        addresses: ClassVar = came_back

        def do_GET(self) -> None:
            self.addresses.put(f"http://{self.headers['Host']}{self.path}")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", urlsplit(redirect_uri).port or 0), Callback) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        try:
            yield came_back
        finally:
            server.shutdown()
            serving.join()


def run(script: Path, demo: RunningDemo) -> dict[str, Any]:
    """Run one flow; the person agrees to whatever it asks for. Answers what the flow told at its end."""
    client = demo.client
    (key,) = json.loads(Path(client["private_jwks"]).read_text())["keys"]
    given = {
        "issuer": demo.issuer,
        "client_id": client["client_id"],
        "key": {name: key[name] for name in ("kty", "crv", "x", "y", "d", "kid")},
        "redirect_uri": client["redirect_uris"][1],
        "authorization_details": client["authorization_details"],
    }
    with (
        callbacks(given["redirect_uri"]) as came_back,
        subprocess.Popen(
            ["node", script.name],
            cwd=script.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as flow,
    ):
        try:
            _say(flow, given)
            _say(flow, {"callback": _agree(demo, _heard(flow)["authorize"], came_back)})
            return _heard(flow)
        finally:
            flow.kill()


def _agree(demo: RunningDemo, address: str, came_back: "SimpleQueue[str]") -> str:
    person = demo.announced["personas"][0]
    citizen = Citizen(demo.issuer, person["username"], person["password"])
    try:
        citizen.agree(address)
    finally:
        citizen.close()
    return came_back.get(timeout=PATIENCE)


def _say(flow: "subprocess.Popen[str]", message: dict[str, Any]) -> None:
    assert flow.stdin is not None
    flow.stdin.write(json.dumps(message) + "\n")
    flow.stdin.flush()


def _heard(flow: "subprocess.Popen[str]") -> dict[str, Any]:
    assert flow.stdout is not None
    assert flow.stderr is not None
    line = flow.stdout.readline()
    if not line:
        raise AssertionError(flow.stderr.read())
    told: dict[str, Any] = json.loads(line)
    return told


def test_openid_client(scripts: Path, demo: RunningDemo) -> None:
    told = run(scripts / "openid_client.mjs", demo)
    assert told["token_type"] == "dpop"
    (detail,) = told["details"]
    assert detail["grant_id"] == told["grant_id"] == told["known_grant"]
    assert told["delivered"]["status"] == 200
    assert told["delivered"]["body"]["records"]
    assert told["is_active"] is True
    # Another key than the token's; a code for the second time, and what the first use gave is over.
    assert told["stolen"] == "invalid_token"
    assert told["replayed"] == "invalid_grant"
    assert told["is_active_after_replay"] is False


def test_oauth4webapi(scripts: Path, demo: RunningDemo) -> None:
    told = run(scripts / "oauth4webapi.mjs", demo)
    assert told["resource_servers"] == [demo.issuer]
    assert told["withoutPkce"] == "invalid_request"
    assert told["foundMixUp"] is not None
    assert told["token_type"] == "dpop"
    assert told["delivered"]["status"] == 200
    assert told["as_bearer"]["status"] == 401
    assert "DPoP" in told["as_bearer"]["challenge"]
    assert (told["is_active"], list(told["bound_to"])) == (True, ["jkt"])
    assert told["is_active_after_revocation"] is False
