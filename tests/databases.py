"""A migrated pair of databases for each test, on SQLite and on PostgreSQL, copied from a template."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, LiteralString

import psycopg
import pytest

from broker.db import Database
from migrations.run import Which, upgrade
from migrations.tables import METADATA
from tests.postgres import Cluster

Backend = Literal["sqlite", "postgresql"]
WHICH: tuple[Which, Which] = ("data", "keyring")

SHAPE: LiteralString = """
    SELECT
      (SELECT md5(string_agg(concat_ws(' ', relname, attname, atttypid), ',' ORDER BY relname, attnum))
         FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid
        WHERE relnamespace = 'public'::regnamespace),
      (SELECT md5(string_agg(conname, ',' ORDER BY conname)) FROM pg_constraint),
      (SELECT count(*) FROM pg_trigger),
      (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace),
      (SELECT version_num FROM alembic_version)
"""


@dataclass(frozen=True)
class Databases:
    """The two databases of an installation, empty and at head. Addresses: `.data_url`, `.keyring_url`."""

    backend: Backend
    data_url: str
    keyring_url: str
    data: Database
    keyring: Database


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest) -> Databases:
    """Every test that asks for this runs twice: on SQLite and on PostgreSQL."""
    made: Databases = request.getfixturevalue(f"{request.param}_databases")
    return made


@pytest.fixture
def sqlite_databases(sqlite_templates: Path, tmp_path: Path) -> Iterator[Databases]:
    """A pair on SQLite, for tests of what does not differ between databases."""
    for which in WHICH:
        shutil.copy(sqlite_templates / f"{which}.db", tmp_path / f"{which}.db")
    yield from _opened("sqlite", lambda which: f"sqlite:///{tmp_path / f'{which}.db'}")


@pytest.fixture
def postgresql_databases(postgresql_pair: "PostgresPair") -> Iterator[Databases]:
    """A pair on PostgreSQL, for tests of what only PostgreSQL can do."""
    postgresql_pair.make_clean()
    yield from _opened("postgresql", postgresql_pair.url)


@pytest.fixture(scope="session")
def sqlite_templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data.db` and `keyring.db` at head: migrated once, copied for each test."""
    folder = tmp_path_factory.mktemp("templates")
    for which in WHICH:
        upgrade(f"sqlite:///{folder / f'{which}.db'}", which)
    return folder


@pytest.fixture(scope="session")
def postgresql_pair(postgres: Cluster) -> Iterator["PostgresPair"]:
    """One pair at head, which the tests of this process use one after the other."""
    for which in WHICH:
        upgrade(postgres.create_database(f"{which}_template"), which)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as administration:
        yield PostgresPair(postgres, administration)


class PostgresPair:
    """A pair that is emptied for each test: copying the templates each time takes ten times as long."""

    def __init__(self, cluster: Cluster, administration: psycopg.Connection) -> None:
        self._cluster = cluster
        self._administration = administration
        self._emptying = {which: _emptying(which).encode() for which in WHICH}
        self._shapes = {}
        for which in WHICH:
            with psycopg.connect(cluster.url(f"{which}_template")) as connection:
                self._shapes[which] = connection.execute(SHAPE).fetchone()

    def url(self, which: Which) -> str:
        return self._cluster.url(which)

    def make_clean(self) -> None:
        """Empty both databases. One that is missing, or whose shape a test has changed, is made anew."""
        self._cut_off()
        for which in WHICH:
            if not self._was_emptied(which):
                self._cluster.drop_database(which)
                self._cluster.create_database(which, template=f"{which}_template")

    def _cut_off(self) -> None:
        """End connections that a failed test left open: their locks would hold up the next one."""
        self._administration.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = ANY(%s)",
            [list(WHICH)],
        )

    def _was_emptied(self, which: Which) -> bool:
        try:
            with psycopg.connect(self._cluster.url(which)) as connection:
                if connection.execute(SHAPE).fetchone() != self._shapes[which]:
                    return False
                connection.execute(self._emptying[which])
        except psycopg.OperationalError:  # there is none yet
            return False
        return True


def _emptying(which: Which) -> str:
    """All of it as one text: a hundred round trips would be most of a small test's time."""
    statements = ["SET session_replication_role = replica"]  # no order among foreign keys
    statements += [f'DELETE FROM "{table}"' for table in METADATA[which].tables]
    if which == "data":  # as the first revision leaves it
        statements.append("INSERT INTO ledger_head (name, size, frontier) VALUES ('log', 0, '')")
    return "; ".join(statements)


def _opened(backend: Backend, url: Callable[[Which], str]) -> Iterator[Databases]:
    data, keyring = Database(url("data")), Database(url("keyring"))
    yield Databases(backend, url("data"), url("keyring"), data, keyring)
    data.close()
    keyring.close()
