"""`mydata serve` and `mydata worker` as processes of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from broker.demo.processes import free_port
from tests.databases import Databases

ROOT = Path(__file__).parents[2]
PATIENCE = 120  # two workers that start on a busy machine


@contextmanager
def process(environ: dict[str, str], *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MYDATA")}
    command = [sys.executable, "-m", "broker", *arguments]
    env = {**inherited, **environ, "PYTHONPATH": str(ROOT), "MYDATA__LOG__FORMAT": "json"}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def wait_for(what: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < ends, "it never happened"
        time.sleep(0.05)


def answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=PATIENCE).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_listens_and_ends_when_told(environ: dict[str, str], workers: str) -> None:
    port = free_port()
    settings = {"MYDATA__SERVER__PORT": str(port), "MYDATA__SERVER__WORKERS": workers}
    with process(environ | settings, "serve") as serving:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/readyz"))
        missing = httpx.get(f"http://127.0.0.1:{port}/v1/secret-path?token=mda_x", timeout=PATIENCE)
        assert missing.json()["code"] == "not_found"
        assert "server" not in missing.headers
        serving.send_signal(signal.SIGTERM)
        _, err = serving.communicate(timeout=PATIENCE)
    assert "secret-path" not in err
    assert "mda_x" not in err
    assert missing.headers["x-trace-id"] in err
    assert "Traceback" not in err


def test_worker_signs_a_checkpoint_and_ends_when_told(
    environ: dict[str, str], sqlite_databases: Databases
) -> None:
    def has_signed() -> bool:
        with sqlite_databases.data.read() as session:
            return bool(
                session.connection().execute(text("SELECT count(*) FROM ledger_checkpoint")).scalar_one()
            )

    with process(environ, "worker") as working:
        wait_for(has_signed)
        working.send_signal(signal.SIGTERM)
        assert working.wait(PATIENCE) == 0
