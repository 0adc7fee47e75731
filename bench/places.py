"""Where a run happens: a PostgreSQL cluster of its own with fsync on, or SQLite files. Both go at the end."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import psycopg
from sqlalchemy import make_url

from bench.baselines import single_commits
from bench.processes import cpu_seconds
from broker.cli.opening import read_clock
from broker.demo.installing import DemoPlan, install
from broker.installation import Installation, open_installation
from broker.settings import load_settings
from tests.postgres import Cluster, find_program, running_cluster

Kind = Literal["pg", "sqlite"]

_DATABASES: Final = ("data", "keyring", "naive", "commits")
# Nobody listens there: the issuer is a name, and every server of a run gets a port of its own.
_ISSUER_PORT: Final = 8000


@dataclass(frozen=True, slots=True)
class Place:
    """One kind of database, empty: addresses by name, and what the server itself has used so far."""

    kind: Kind
    folder: Path
    url: Callable[[str], str]
    database_cpu_seconds: Callable[[], float]
    version: str | None

    @property
    def config(self) -> Path:
        """The broker's configuration file."""
        return self.folder / "broker" / "config.toml"

    @property
    def issuer(self) -> str:
        """The broker's name, for proofs."""
        return f"http://127.0.0.1:{_ISSUER_PORT}"

    @contextmanager
    def installation(self) -> Iterator[Installation]:
        """The broker's installation, made if it is not there."""
        if not self.config.exists():
            plan = DemoPlan(
                directory=self.config.parent,
                database_url=self.url("data"),
                keyring_url=self.url("keyring"),
                port=_ISSUER_PORT,
                insurer_port=_ISSUER_PORT + 1,
                client_port=_ISSUER_PORT + 2,
                acknowledge="at_once",
            )
            install(plan, read_clock)
        opened = open_installation(load_settings(self.config, {}), read_clock)
        try:
            yield opened
        finally:
            opened.close()

    def analyse(self) -> None:
        """What autovacuum does in the background of a database that lives longer than this one."""
        if self.kind == "pg":
            for name in ("data", "keyring"):
                with psycopg.connect(self.url(name), autocommit=True) as connection:
                    connection.execute("VACUUM ANALYZE")
                    connection.execute("CHECKPOINT")

    def furnish_commits(self, record: bytes) -> None:
        """Tables for `commit_rate`."""
        if self.kind == "pg":
            single_commits.furnish_postgres(self.url("commits"), record)
        else:
            single_commits.furnish_sqlite(self._file("commits"), record)

    def commit_rate(self, seconds: float) -> float:
        """Single-row durable commits a second, without anything of ours."""
        if self.kind == "pg":
            return single_commits.postgres_rate(find_program("pgbench"), self.url("commits"), seconds=seconds)
        return single_commits.sqlite_rate(self._file("commits"), seconds=seconds)

    def _file(self, name: str) -> Path:
        return Path(make_url(self.url(name)).database or "")


@contextmanager
def opened(kind: Kind) -> Iterator[Place]:
    """A place for one run."""
    with tempfile.TemporaryDirectory(prefix="mydata-bench-") as name:
        folder = Path(name)
        if kind == "sqlite":
            (folder / "broker").mkdir()
            yield Place(kind, folder, lambda name: f"sqlite:///{folder / f'{name}.db'}", lambda: 0.0, None)
            return
        with running_cluster(fsync=True) as cluster:
            for database in _DATABASES:
                cluster.create_database(database)
            yield _on_cluster(cluster, folder)


def _on_cluster(cluster: Cluster, folder: Path) -> Place:
    def url(name: str) -> str:
        # A Unix socket, as on a machine of its own: half of a small query's time is TCP otherwise.
        return f"postgresql://postgres@/{name}?host={cluster.socket_folder}&port={cluster.port}"

    with psycopg.connect(url("data")) as connection:
        number = connection.info.server_version
    version = f"{number // 10_000}.{number % 10_000}"
    return Place("pg", folder, url, lambda: cpu_seconds(cluster.process.pid), version)
