"""A throw-away PostgreSQL cluster for the tests: made, started and removed by the test run itself."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import pytest

from broker.demo.processes import free_port

START_SECONDS: Final = 180
ATTEMPTS: Final = 3
MISSING = (
    "PostgreSQL is not installed, and the tests run on it as well as on SQLite. "
    "On Debian: apt-get install postgresql (as root `make test` does it)."
)


@dataclass(frozen=True)
class Cluster:
    """A running server. `url(name)` is the address of one of its databases."""

    port: int
    password: str
    socket_folder: Path
    data_folder: Path
    process: "subprocess.Popen[bytes]"

    def url(self, name: str) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{name}"

    def execute(self, statement: str) -> None:
        """Run one statement outside a transaction, such as CREATE DATABASE."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def create_database(self, name: str, *, template: str = "template0") -> str:
        """Make a database (its name is ours, never input) and answer its URL."""
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """The cluster that tests share; without fsync, since nobody keeps its data."""
    with running_cluster(fsync=False) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres_with_fsync() -> Iterator[Cluster]:
    """A second cluster that writes as production does: for durability and fault tests."""
    with running_cluster(fsync=True) as cluster:
        yield cluster


@contextmanager
def running_cluster(*, fsync: bool) -> Iterator[Cluster]:
    """Make a cluster in a temporary folder, run it on a free loopback port, and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="mydata-pg-"))
    owner = _server_user()
    try:
        if owner is not None:
            shutil.chown(folder, owner)
        password = secrets.token_hex(16)
        _run_initdb(folder, password, owner)
        cluster = _start(folder, password, owner, fsync=fsync)
        try:
            yield cluster
        finally:
            cluster.process.send_signal(signal.SIGINT)  # "fast" shutdown: sessions are cut off
            cluster.process.wait(timeout=START_SECONDS)
    finally:
        shutil.rmtree(folder)


def find_program(name: str) -> Path:
    """A PostgreSQL program: where Debian puts it (newest version first), else on the PATH."""
    installed = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"),
        key=lambda path: float(path.parts[-3]),
        reverse=True,
    )
    if installed:
        return installed[0]
    found = shutil.which(name)
    if found is None:
        pytest.fail(MISSING, pytrace=False)
    return Path(found)


def _server_user() -> str | None:
    """Whom to run the server as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        pytest.fail(MISSING, pytrace=False)


def _run_initdb(folder: Path, password: str, owner: str | None) -> None:
    password_file = folder / "password"
    password_file.write_text(password)
    if owner is not None:
        shutil.chown(password_file, owner)
    options = [
        "--username=postgres",
        f"--pwfile={password_file}",
        "--auth-host=password",
        "--auth-local=trust",
    ]
    arguments: list[str | Path] = [
        find_program("initdb"),
        "-D",
        folder / "data",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
        *options,
    ]
    done = subprocess.run(arguments, cwd=folder, user=owner, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"initdb failed: {done.stderr}", pytrace=False)


def _start(folder: Path, password: str, owner: str | None, *, fsync: bool) -> Cluster:
    """Start the server: on another port if somebody took the one that was free a moment ago."""
    for attempt in range(1, ATTEMPTS + 1):
        started = _start_at(free_port(), folder, password, owner, fsync=fsync)
        if isinstance(started, Cluster):
            return started
        if attempt == ATTEMPTS or "Address already in use" not in started:
            pytest.fail(f"PostgreSQL did not start: {started}", pytrace=False)
    raise AssertionError


def _start_at(port: int, folder: Path, password: str, owner: str | None, *, fsync: bool) -> Cluster | str:
    """The running server, or what it wrote before it ended."""
    log = folder / "log"
    settings = [
        f"fsync={'on' if fsync else 'off'}",
        f"full_page_writes={'on' if fsync else 'off'}",
        "max_connections=200",
        "shared_buffers=64MB",
    ]
    options = [word for setting in settings for word in ("-c", setting)]
    arguments: list[str | Path] = [
        find_program("postgres"),
        "-D",
        folder / "data",
        "-h",
        "127.0.0.1",
        "-k",
        folder,
        "-p",
        str(port),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*arguments, *options], cwd=folder, user=owner, stdout=output, stderr=subprocess.STDOUT
        )
    cluster = Cluster(port, password, folder, folder / "data", process)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(cluster.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                return log.read_text()
            time.sleep(0.05)
        else:
            return cluster
