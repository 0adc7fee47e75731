"""The outbound client against a real server on this machine."""

import gzip
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.errors import (
    BlockedAddressError,
    OutboundError,
    ResponseRefusedError,
    ResponseTooLargeError,
    TimedOutError,
    UnreachableError,
    UrlRefusedError,
)
from connectors.http import Limits, OutboundClient, is_public

PATIENT = Limits(connect_seconds=60, read_seconds=60, total_seconds=60, response_bytes=4000)


class Handler(BaseHTTPRequestHandler):
    """Does what the path says, and writes down what it was asked."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[tuple[str, str, dict[str, str], bytes]]]
    body: bytes
    failures_left: int

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(length)
        self.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        path = self.path.partition("?")[0]
        self.body = body
        getattr(self, "on_" + path.strip("/"))()

    do_GET = do_POST = do_PUT = answer  # noqa: N815 - the names that http.server calls

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def on_echo(self) -> None:
        told = {"method": self.command, "body": self.body.decode()}
        self.send(200, json.dumps(told).encode(), X_Reply="yes")

    def on_missing(self) -> None:
        self.send(404, b"no")

    def on_redirect(self) -> None:
        self.send(302, Location="http://169.254.169.254/latest")

    def on_zipped(self) -> None:
        self.send(200, gzip.compress(b"0" * 1_000_000), Content_Encoding="gzip")

    def on_large(self) -> None:
        self.send(200, b"0" * 5000)

    def on_endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"0" * 1000)
        except OSError:
            self.close_connection = True

    def on_silent(self) -> None:
        time.sleep(5)
        self.close_connection = True

    def on_dripping(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "50")
        self.end_headers()
        try:
            for _ in range(50):
                self.wfile.write(b"0")
                time.sleep(0.02)
        except OSError:
            self.close_connection = True

    def on_broken(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def on_flaky(self) -> None:
        if self.failures_left > 0:
            type(self).failures_left -= 1
            self.send(503, b"later", Retry_After="1")
        else:
            self.send(200, b"done")

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Server:
    """A running server, and what it was asked."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        class OneHandler(Handler):
            asked: ClassVar = []
            failures_left = 0

        self.handler = OneHandler
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
        if tls is not None:
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = OneHandler.asked
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def fail(self, times: int) -> None:
        self.handler.failures_left = times


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(pauses: list[float]) -> Iterator[OutboundClient]:
    with OutboundClient(PATIENT, allow_loopback=True, sleep=pauses.append) as open_client:
        yield open_client


@pytest.fixture
def hasty(pauses: list[float]) -> Iterator[OutboundClient]:
    """For who is silent or slow on purpose."""
    limits = replace(PATIENT, read_seconds=0.2, total_seconds=0.3)
    with OutboundClient(limits, allow_loopback=True, sleep=pauses.append) as open_client:
        yield open_client


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hospital.example/records",
        "http://93.184.216.34/",
        "https://user:secret@hospital.example/",
        "ftp://hospital.example/",
        "file:///etc/passwd",
        "https://",
        "https://[::1",
        "https://xn--a.kr/",
        "https://xn--.kr/",
        "https://\ud800.kr/",
        "https://127.0.0.1:99999/",  # whoever resolves it would call another port
    ],
)
def test_urls_that_are_not_called(url: str) -> None:
    with OutboundClient() as client, pytest.raises(UrlRefusedError) as caught:
        client.request("GET", url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fec0::1]",  # site-local, RFC 3879
        "[::ffff:10.0.0.1]",
        "[64:ff9b::a00:1]",
        "[2002:a00:1::]",
        "2130706433",
        "0x7f.1",
    ],
)
def test_addresses_that_are_not_public(host: str) -> None:
    with OutboundClient() as client, pytest.raises(OutboundError) as caught:
        client.request("GET", f"https://{host}/secret?patient=1")
    assert isinstance(caught.value, BlockedAddressError | UrlRefusedError)
    assert "secret" not in str(caught.value)
    assert "patient" not in str(caught.value)


@pytest.mark.parametrize("host", ["10.1.2.3", "169.254.169.254", "[fc00::1]"])
def test_the_demo_switch_opens_loopback_only(host: str, client: OutboundClient) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(BlockedAddressError):
            client.request("GET", f"{scheme}://{host}/")


@pytest.mark.parametrize("host", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_public_addresses(host: str) -> None:
    assert is_public(ipaddress.ip_address(host))


def test_plain_http_to_the_outside_is_refused_even_in_the_demo(client: OutboundClient) -> None:
    with pytest.raises(BlockedAddressError):
        client.request("GET", "http://93.184.216.34/")


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", (address, port)) for address in ("93.184.216.34", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with OutboundClient() as client, pytest.raises(BlockedAddressError):
        client.request("GET", "https://hospital.example/")


def test_a_name_that_does_not_exist(client: OutboundClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(UnreachableError):
        client.request("GET", "https://hospital.example/")


def test_a_name_is_looked_up_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded and encoded again, as an older IDNA does it, it would be the name of somebody else."""
    asked: list[str] = []

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(0, 0, 0, "", ("10.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with OutboundClient() as client, pytest.raises(BlockedAddressError) as caught:
        client.request("GET", "https://xn--strae-oqa.example/")
    assert (asked, caught.value.host) == (["xn--strae-oqa.example"], "xn--strae-oqa.example")


def test_redirects_are_not_followed(server: Server, client: OutboundClient) -> None:
    with pytest.raises(ResponseRefusedError) as caught:
        client.request("GET", f"{server.url}/redirect")
    assert caught.value.status == 302
    assert len(server.asked) == 1


def test_bodies_that_unpack_are_refused(server: Server, client: OutboundClient) -> None:
    with pytest.raises(ResponseRefusedError):
        client.request("GET", f"{server.url}/zipped")
    assert server.asked[0][2]["accept-encoding"] == "identity"


@pytest.mark.parametrize("path", ["large", "endless"])
def test_large_answers_are_cut_off(path: str, server: Server, client: OutboundClient) -> None:
    with pytest.raises(ResponseTooLargeError) as caught:
        client.request("GET", f"{server.url}/{path}")
    assert caught.value.cap == 4000


@pytest.mark.parametrize("path", ["silent", "dripping"])
def test_late_answers_are_given_up(
    path: str, server: Server, hasty: OutboundClient, pauses: list[float]
) -> None:
    with pytest.raises(TimedOutError):
        hasty.request("GET", f"{server.url}/{path}")
    assert pauses == [0.2, 0.4]


def test_broken_connections(server: Server, client: OutboundClient, pauses: list[float]) -> None:
    with pytest.raises(UnreachableError):
        client.request("GET", f"{server.url}/broken")
    assert len(server.asked) == 3
    assert pauses == [0.2, 0.4]


def test_nobody_there(client: OutboundClient) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(UnreachableError):
            client.request("GET", f"http://127.0.0.1:{port}/")


def test_a_server_that_was_busy_is_asked_again(
    server: Server, client: OutboundClient, pauses: list[float]
) -> None:
    server.fail(2)
    assert client.request("PUT", f"{server.url}/flaky", body=b"same").body == b"done"
    assert pauses == [1.0, 1.0]  # it said when
    assert [body for *_, body in server.asked] == [b"same"] * 3


def test_a_server_that_stays_busy(server: Server, client: OutboundClient) -> None:
    server.fail(9)
    assert client.request("GET", f"{server.url}/flaky").status == 503
    assert len(server.asked) == 3


def test_a_post_is_sent_once(server: Server, client: OutboundClient, pauses: list[float]) -> None:
    server.fail(1)
    assert client.request("POST", f"{server.url}/flaky").status == 503
    assert (len(server.asked), pauses) == (1, [])


def test_a_post_with_an_idempotency_key_may_be_repeated(server: Server, client: OutboundClient) -> None:
    server.fail(1)
    answer = client.request("POST", f"{server.url}/flaky", headers={"Idempotency-Key": "k"})
    assert (answer.status, len(server.asked)) == (200, 2)


def test_an_answer(server: Server, client: OutboundClient) -> None:
    answer = client.request("POST", f"{server.url}/echo?a=1", headers={"X-Own": "1"}, body=b"hello")
    assert (answer.status, answer.headers["x-reply"]) == (200, "yes")
    assert json.loads(answer.body) == {"method": "POST", "body": "hello"}
    method, path, headers, body = server.asked[0]
    assert (method, path, body, headers["x-own"]) == ("POST", "/echo?a=1", b"hello", "1")
    assert "hello" not in repr(answer)


def test_the_name_is_sent_though_the_address_is_called(server: Server, client: OutboundClient) -> None:
    url = server.url.replace("127.0.0.1", "localhost")
    assert client.request("GET", f"{url}/echo").status == 200
    assert server.asked[0][2]["host"] == url.removeprefix("http://")


def test_what_the_other_side_refuses_is_an_answer(server: Server, client: OutboundClient) -> None:
    assert client.request("GET", f"{server.url}/missing").status == 404
    assert len(server.asked) == 1


def write_certificate(path: Path) -> None:
    """A key and a certificate of its own for the name `localhost`, and for no address."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[str, ssl.SSLContext]]:
    """The URL of a TLS server by its name, and a context that trusts it."""
    write_certificate(tmp_path / "server.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    running = Server(context)
    url = running.url.replace("http://127.0.0.1", "https://localhost")
    yield url, ssl.create_default_context(cafile=str(tmp_path / "server.pem"))
    running.http.shutdown()
    running.http.server_close()


def test_a_server_that_nobody_vouches_for(tls_server: tuple[str, ssl.SSLContext]) -> None:
    url, _ = tls_server
    limits = replace(PATIENT, attempts=1)
    with OutboundClient(limits, allow_loopback=True) as client, pytest.raises(UnreachableError):
        client.request("GET", f"{url}/echo")


def test_tls_is_checked_against_the_name_and_not_the_address(tls_server: tuple[str, ssl.SSLContext]) -> None:
    url, trusting = tls_server
    with OutboundClient(replace(PATIENT, attempts=1), allow_loopback=True, tls=trusting) as client:
        assert client.request("GET", f"{url}/echo").status == 200
        with pytest.raises(UnreachableError):
            client.request("GET", f"{url.replace('localhost', '127.0.0.1')}/echo")


@pytest.mark.parametrize("host", ["a..b.example", ".b.example", "x" * 70 + ".example"])
def test_what_is_no_name_cannot_be_reached(host: str, client: OutboundClient) -> None:
    with pytest.raises((UnreachableError, UrlRefusedError)):
        client.request("GET", f"https://{host}/")
