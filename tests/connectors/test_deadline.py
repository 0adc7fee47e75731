"""Nobody holds a request longer than its time, by whatever they send slowly."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from connectors.errors import BlockedAddressError, TimedOutError, UnreachableError, UrlRefusedError
from connectors.http import Limits, OutboundClient, check_url

PATIENT = Limits(connect_seconds=60, read_seconds=60, total_seconds=60, attempts=1)
HASTY = replace(PATIENT, total_seconds=0.3)  # for who is slow on purpose
PATIENCE = 120  # seconds; who drips does so for longer
Send = Callable[[socket.socket], None]


def dripping(head: bytes, drop: bytes) -> Send:
    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(2 * PATIENCE * 20):
            connection.sendall(drop)
            time.sleep(0.05)

    return send


@contextmanager
def listening(send: Send) -> Iterator[tuple[int, threading.Event]]:
    """A server that does nothing but send, to the first who calls; its port, and whether somebody called."""
    called = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            called.set()
            with connection:
                try:
                    connection.recv(4096)
                    send(connection)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], called
        thread.join(PATIENCE)
        assert not thread.is_alive()  # its connection was broken: it did not wait for the last drop


@pytest.mark.parametrize(
    ("scheme", "send"),
    [
        ("http", dripping(b"HTTP/1.1 200 OK\r\n", b"x-one-more: 1\r\n")),
        ("http", dripping(b"HTTP/1.1 200 OK\r\nx-long: ", b"1")),
        ("http", dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"1")),
        ("http", dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"1")),
        ("https", dripping(b"\x16\x03\x03\x10\x00", b"\x00")),
    ],
    ids=["headers", "one-header", "body-to-the-end", "body", "handshake"],
)
def test_who_sends_slowly_is_late(scheme: str, send: Send) -> None:
    with listening(send) as (port, called), OutboundClient(HASTY, allow_loopback=True) as client:
        while not called.is_set():  # on a busy machine the time may be over before anybody is called
            began = time.monotonic()
            with pytest.raises(TimedOutError):
                client.request("POST", f"{scheme}://127.0.0.1:{port}/", body=b"event")
            assert time.monotonic() - began < PATIENCE


def test_who_hangs_up_in_time_is_not_late() -> None:
    with (
        listening(lambda connection: connection.close()) as (port, _),
        OutboundClient(PATIENT, allow_loopback=True) as client,
        pytest.raises(UnreachableError),
    ):
        client.request("POST", f"http://127.0.0.1:{port}/", body=b"event")


def test_an_answer_in_time_is_whole() -> None:
    with (
        listening(lambda connection: connection.sendall(b"HTTP/1.1 202 OK\r\n\r\nall")) as (port, _),
        OutboundClient(PATIENT, allow_loopback=True) as client,
    ):
        assert client.request("POST", f"http://127.0.0.1:{port}/", body=b"event").body == b"all"


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/events",
        "https://2130706433/events",
        "https://0x7f.1/events",
        "https://10.1.2.3/events",
        "https://169.254.169.254/latest",
        "https://[::1]/events",
        "https://[::ffff:10.0.0.1]/events",
        "https://[fd00::1]/events",
        "https://100.64.0.1/events",
    ],
)
def test_a_number_that_is_not_public_is_refused_when_it_is_named(url: str) -> None:
    with pytest.raises(BlockedAddressError):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["http://receiver.example/events", "ftp://receiver.example/", "https://", "https://a:b@c.example/"]
)
def test_what_is_never_called_is_refused_when_it_is_named(url: str) -> None:
    with pytest.raises(UrlRefusedError):
        check_url(url)


def test_a_name_is_not_looked_up_when_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = socket.getaddrinfo, []

    def resolve(host: str, port: int, type: int = 0, flags: int = 0) -> object:  # noqa: A002 - its name
        asked.append(flags)
        return real(host, port, type=type, flags=flags)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    check_url("https://receiver.example/events")
    check_url("https://93.184.216.34/events")
    assert asked == [socket.AI_NUMERICHOST] * 2


def test_in_the_demo_this_machine_can_be_named() -> None:
    check_url("http://127.0.0.1:9000/events", allow_loopback=True)
    with pytest.raises(BlockedAddressError):
        check_url("http://10.0.0.1/events", allow_loopback=True)


def test_a_resolver_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the time of the whole attempt, and before anybody is called."""
    asked, answers = threading.Event(), threading.Event()

    def resolve(*_: object, **__: object) -> list[object]:
        asked.set()
        answers.wait(2 * PATIENCE)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    limits = Limits(total_seconds=0.2, attempts=1)
    began = time.monotonic()
    try:
        with OutboundClient(limits) as client, pytest.raises(TimedOutError):
            client.request("GET", "https://slow.example/")
        assert asked.wait(PATIENCE)  # its thread may begin after the client has given up
    finally:
        answers.set()
    assert time.monotonic() - began < PATIENCE
