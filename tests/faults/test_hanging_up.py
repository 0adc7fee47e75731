"""Clients that hang up without waiting: a commit stands all the same, and nobody else notices."""

import socket
import struct
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.databases import Databases
from tests.faults.site import Site, prepared
from tests.lane.proofs import proof

MANY = 20
_A_MOMENT = 0.1
_LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)


def test_a_client_that_hangs_up_and_asks_again(databases: Databases, tmp_path: Path) -> None:
    with prepared(databases, tmp_path, workers=1) as site:
        (grant_id,) = site.prepare(1)
        with site.serving():
            for number in range(MANY):
                hang_up(site, grant_id, f"key {number}")
            answers = [ask(site, grant_id, f"key {number}") for number in range(MANY)]
        assert {answer.status_code for answer in answers} == {200}
        told = Counter(payload for _, payload in site.chronicle(grant_id).releases())
        digests = [answer.json()["payload_digest"] for answer in answers]
        assert len(set(digests)) == MANY
        assert set(told) == set(digests) == set(site.delivered(grant_id).values())
        # Whoever hung up had been delivered to, or had not been heard; never twice.
        assert set(told.values()) <= {1, 2}


def test_a_client_that_dies_amid_its_body_is_no_error_of_ours(
    sqlite_databases: Databases, tmp_path: Path
) -> None:
    with prepared(sqlite_databases, tmp_path, workers=1) as site:
        with site.serving():
            for _ in range(MANY):
                die_amid_body(site)
            assert httpx.get(f"{site.issuer}/readyz", timeout=120).is_success
        assert "ClientDisconnect" not in (tmp_path / "server.log").read_text()


def headers_of(site: Site, grant_id: str, key: str) -> dict[str, str]:
    token = site.tokens[grant_id]
    address = f"{site.issuer}/v1/records"
    return {
        "Authorization": f"DPoP {token}",
        "DPoP": proof(site.key, "GET", address, access_token=token, now=datetime.now(UTC)),
        "Idempotency-Key": key,
    }


def ask(site: Site, grant_id: str, key: str) -> httpx.Response:
    return httpx.get(f"{site.issuer}/v1/records", headers=headers_of(site, grant_id, key), timeout=120)


def hang_up(site: Site, grant_id: str, key: str) -> None:
    """Send a whole request, and reset the connection at once."""
    address = urlsplit(site.issuer)
    lines = [f"{name}: {value}" for name, value in headers_of(site, grant_id, key).items()]
    request = "\r\n".join(["GET /v1/records HTTP/1.1", f"Host: {address.netloc}", *lines, "", ""])
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=120) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)
        connection.sendall(request.encode())


def die_amid_body(site: Site) -> None:
    """Send half of a form, and reset the connection once the server is waiting for the rest."""
    address = urlsplit(site.issuer)
    lines = ["Content-Type: application/x-www-form-urlencoded", "Content-Length: 100"]
    request = "\r\n".join(["POST /token HTTP/1.1", f"Host: {address.netloc}", *lines, "", "grant_type="])
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=120) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)
        connection.sendall(request.encode())
        time.sleep(_A_MOMENT)
