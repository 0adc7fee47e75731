"""The demo's processes: broker, worker, recipients and hospital, each its own, started and ended together."""

import atexit
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx

from broker.db import Database
from broker.demo.installing import Demo, DemoRefusedError
from consent.progress import never_completed

_START_SECONDS: Final = 120
_STOP_SECONDS: Final = 15

_MOST_HELD: Final = 200

# Until it is listened on, the system may name a port again to whoever asks next, here or in another process.
_given: Final[set[int]] = set()
_held: Final[deque[socket.socket]] = deque()


def free_port() -> int:
    """A port of this machine that nobody listens on now, and that was not given to anybody before.

    On Linux it stays bound here until this process ends, so that the system names it to no other. Whoever
    says SO_REUSEADDR, as servers do, may listen on it all the same.
    """
    while True:
        probe = socket.socket()
        if sys.platform == "linux":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        is_new = port not in _given
        _given.add(port)
        if is_new and sys.platform == "linux":
            _held.append(probe)
            if len(_held) > _MOST_HELD:
                _held.popleft().close()
        else:
            probe.close()
        if is_new:
            return port


@atexit.register
def _let_go() -> None:
    while _held:
        _held.pop().close()


@contextmanager
def running(demo: Demo) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start everything, wait until it answers, and end it all afterwards, whatever happens."""
    broker = [sys.executable, "-m", "broker", "--config", str(demo.config)]
    commands = [
        [*broker, "serve"],
        [*broker, "worker"],
        [sys.executable, "-m", "connectors.services.indemnity.recipient", str(demo.insurer_config)],
    ]
    if demo.plan.hospital_port is not None:
        commands.append([sys.executable, "-m", "broker.demo.hospital", str(demo.plan.hospital_config)])
    commands += [[sys.executable, "-m", one.recipient.module, str(one.config)] for one in demo.recipients]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        # Their log goes beside the demo's data: standard output belongs to the demo's own words.
        with (demo.plan.directory / "demo.log").open("ab") as log, _interrupts_held_back():
            for command in commands:
                process = subprocess.Popen(  # noqa: S603 - our own modules
                    command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=_environment()
                )
                processes.append(process)
        _wait(demo, processes)
        _wait_for_records(demo, processes)
        yield processes
    finally:
        _end(processes)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait: in the midst of starting a process they would leave one that nobody knows."""
    held: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: held.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if held:
        raise KeyboardInterrupt


def _environment() -> dict[str, str]:
    """The children's environment: settings come from the demo's directory, not from the caller's shell."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MYDATA")}


def _wait(demo: Demo, processes: list[subprocess.Popen[bytes]]) -> None:
    """Until every server answers."""
    deadline = time.monotonic() + _START_SECONDS
    waiting = [f"{demo.plan.issuer}/readyz", demo.plan.insurer_url]
    waiting += [one.recipient.url for one in demo.recipients]
    if demo.plan.hospital_port is not None:
        waiting.append(demo.plan.hospital_url)
    while waiting:
        _require_running(demo, processes, deadline)
        try:
            if httpx.get(waiting[0], timeout=2).is_success:
                waiting.pop(0)
                continue
        except httpx.TransportError:
            pass
        time.sleep(0.1)


def _wait_for_records(demo: Demo, processes: list[subprocess.Popen[bytes]]) -> None:
    """Until the worker has asked the hospital for everybody's records, and has them."""
    deadline = time.monotonic() + _START_SECONDS
    database = Database(demo.plan.database_url, pool_size=1)
    try:
        while True:
            with database.read() as session:
                if not never_completed(session):
                    return
            _require_running(demo, processes, deadline)
            time.sleep(0.1)
    finally:
        database.close()


def _require_running(demo: Demo, processes: list[subprocess.Popen[bytes]], deadline: float) -> None:
    if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
        raise DemoRefusedError(
            "A process of the demo did not start", f"Look into {demo.plan.directory / 'demo.log'}"
        )


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
