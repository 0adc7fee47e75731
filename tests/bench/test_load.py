import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat

import pytest

from bench.load import BrokenServerError, Load, drive

REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


@contextmanager
def server(*pieces: bytes) -> Iterator[int]:
    """Answers each request on each connection with these pieces, one after the other; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(connection: socket.socket) -> None:
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while connection.recv(65536):
                    for piece in pieces:
                        connection.sendall(piece)
                    if not pieces:
                        return

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def driven(port: int, count: int) -> Load:
    return drive(port, [REQUEST] * count, connections=3, seconds=10)


def test_each_request_is_sent_once() -> None:
    with server(ANSWER) as port:
        load = driven(port, 100)
    assert (load.answers, dict(load.statuses), load.body_bytes) == (100, {200: 100}, 5)
    assert 0 < load.p50_ms <= load.p99_ms
    assert load.rate == pytest.approx(100 / load.seconds)


def test_an_answer_may_come_in_pieces() -> None:
    with server(ANSWER[:20], ANSWER[20:60], ANSWER[60:]) as port:
        assert dict(driven(port, 10).statuses) == {200: 10}


def test_other_answers_are_counted_as_what_they_are() -> None:
    with server(ANSWER.replace(b"200 OK", b"503 No")) as port:
        assert dict(driven(port, 4).statuses) == {503: 4}


def test_it_ends_with_its_time() -> None:
    with server(ANSWER) as port:
        load = drive(port, repeat(REQUEST), connections=2, seconds=0.2)
    assert 0.2 <= load.seconds < 5


def test_a_closed_connection_is_an_error() -> None:
    with server() as port, pytest.raises(BrokenServerError):
        driven(port, 3)


def test_an_answer_without_a_length_is_an_error() -> None:
    with server(b"HTTP/1.1 200 OK\r\n\r\n") as port, pytest.raises(BrokenServerError):
        driven(port, 1)
