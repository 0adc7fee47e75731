"""The servers of a run: started, waited for, their CPU time read from /proc, ended by their own pids."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broker.demo.processes import free_port

_ROOT: Final = Path(__file__).parents[1]
_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 40
_PAUSE_SECONDS: Final = 0.2
_IDLE_SECONDS: Final = 0.03  # in a pause, and whoever still imports its modules uses more
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """A server with all its processes."""

    port: int
    process: "subprocess.Popen[bytes]"

    def cpu_seconds(self) -> float:
        """What its processes have used so far, in user and system mode."""
        return cpu_seconds(self.process.pid)


class ServerFailedError(Exception):
    """A server did not start; the end of its log is in the note."""


@contextmanager
def baseline(
    application: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    options: Sequence[str] = ("--lifespan", "off"),
) -> Iterator[Server]:
    """An app of `bench.baselines` on the server that the broker uses, with two workers."""
    port = free_port()
    arguments = ["uvicorn", f"bench.baselines.{application}", "--port", str(port), "--workers", "2"]
    quiet = ["--no-access-log", "--log-level", "warning", "--no-server-header", "--no-proxy-headers"]
    log = folder / f"{application.partition(':')[0]}.log"
    with _running([*arguments, *quiet, *options], log, environment or {}) as process:
        _wait(process, port, "/2")
        yield Server(port, process)


@contextmanager
def broker(config: Path, folder: Path, *, workers: int) -> Iterator[Server]:
    """The broker itself: `mydata serve`, with a production installation's log."""
    port = free_port()
    environment = {
        "MYDATA__SERVER__PORT": str(port),
        "MYDATA__SERVER__WORKERS": str(workers),
        "MYDATA__LOG__LEVEL": "info",
    }
    command = ["broker", "--config", str(config), "serve"]
    with _running(command, folder / f"broker-{workers}.log", environment) as process:
        _wait(process, port, "/readyz")
        yield Server(port, process)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its descendants, the reaped ones too."""
    ticks, waiting = 0, [pid]
    children = _children()
    while waiting:
        one = waiting.pop()
        waiting += children.get(one, [])
        fields = _stat(one)
        # proc(5): utime, stime, cutime, cstime are fields 14 to 17; the first after the name is the third.
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICKS


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    return children


def _stat(pid: int) -> list[str]:
    """The fields after the name, which may hold anything; none for a process that has just ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


@contextmanager
def _running(
    command: Sequence[str], log: Path, environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, "-m", *command],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": os.defpath, **environment},
        )
    try:
        yield process
    except ServerFailedError as error:
        error.add_note(log.read_text(encoding="utf-8")[-2000:])
        raise
    finally:
        process.terminate()
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def _wait(process: "subprocess.Popen[bytes]", port: int, probe: str) -> None:
    """Until it answers and all its workers have come to rest. ServerFailedError."""
    deadline, before = time.monotonic() + _START_SECONDS, -1.0
    while True:
        is_up, used = _answers(port, probe), cpu_seconds(process.pid)
        # Asked for in any case: another program may have taken the port and be the one that answers.
        if process.poll() is not None:
            raise ServerFailedError(f"a server ended with {process.returncode}")
        if is_up and used - before < _IDLE_SECONDS:
            return
        if time.monotonic() > deadline:
            raise ServerFailedError("a server did not come to rest")
        before = used
        time.sleep(_PAUSE_SECONDS)


def _answers(port: int, probe: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", probe)
        return connection.getresponse().status < 500  # noqa: PLR2004 - any answer of the app itself
    except OSError:
        return False
    finally:
        connection.close()
