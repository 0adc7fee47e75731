"""Demos as processes: started, watched and ended by the tests."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
PATIENCE = 120


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Told:
    """A main job that ran once: the object it printed, and where it left everything."""

    object: dict[str, Any]
    directory: Path
    database: str


@dataclass(frozen=True)
class RunningDemo:
    """A demo that listens: what it announced, where its files are, and its process."""

    announced: dict[str, Any]
    directory: Path
    process: "subprocess.Popen[str]"

    @property
    def issuer(self) -> str:
        return str(self.announced["issuer"])

    @property
    def client(self) -> dict[str, Any]:
        client: dict[str, Any] = self.announced["clients"][0]
        return client


def environment() -> dict[str, str]:
    """Nothing of ours from the shell that runs the tests, but the place of the packages."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MYDATA")}
    return inherited | {"PYTHONPATH": str(ROOT)}


def mydata(*arguments: str | Path) -> Ran:
    """`mydata …` as a process of its own."""
    return run_module("broker", *arguments)


def run_module(module: str, *arguments: str | Path) -> Ran:
    """`python -m module …`, from a folder in which nothing of ours lies."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(
        command, cwd="/", env=environment(), capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(directory: Path, *options: str) -> Iterator[RunningDemo]:
    """`mydata demo --json` until its first line has come; ended at last, however the test went."""
    command = [sys.executable, "-m", "broker", "demo", "--json", "--dir", str(directory), *options]
    with (directory.with_suffix(".stderr")).open("w") as errors:
        process = subprocess.Popen(
            command,
            cwd="/",
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        yield RunningDemo(json.loads(_first_line(process.stdout)), directory, process)
    finally:
        if process.poll() is None:
            interrupt(process)
        process.communicate(timeout=PATIENCE)


def interrupt(process: "subprocess.Popen[str]") -> None:
    """Ctrl-C as a terminal sends it: to the whole group, not to the first process alone."""
    os.killpg(process.pid, signal.SIGINT)


def descendants(process_id: int) -> list[int]:
    """Every living process that a process has started, and those that they have."""
    try:
        listed = Path(f"/proc/{process_id}/task/{process_id}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has ended, perhaps in the midst of being looked at
        return []
    children = [int(child) for child in listed.split()]
    return [*children, *(deeper for child in children for deeper in descendants(child))]


def wait_until_gone(process_ids: Sequence[int], seconds: float = PATIENCE) -> list[int]:
    """Those of these processes that are still there after so long."""
    deadline = time.monotonic() + seconds
    while (living := [one for one in process_ids if _is_alive(one)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return living


def edit_one_bit(file: Path, at: int | None = None) -> None:
    """Change one bit of one byte, by default of the byte in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 1
    file.write_bytes(content)


def _first_line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def _is_alive(process_id: int) -> bool:
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"  # a zombie has ended; nobody has asked it how
