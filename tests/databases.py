"""A migrated pair of databases for each test, on SQLite and on PostgreSQL, copied from a template."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from broker.db import Database
from migrations.run import Which, upgrade
from tests.postgres import Cluster
from vault.schema import random_id

Backend = Literal["sqlite", "postgresql"]
WHICH: tuple[Which, Which] = ("data", "keyring")


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
def postgresql_databases(postgres: Cluster, postgresql_templates: str) -> Iterator[Databases]:
    """A pair on PostgreSQL, for tests of what only PostgreSQL can do."""
    suffix = _fresh_suffix()
    for which in WHICH:
        postgres.create_database(f"{which}_{suffix}", template=f"{which}_{postgresql_templates}")
    yield from _opened("postgresql", lambda which: postgres.url(f"{which}_{suffix}"))
    for which in WHICH:
        postgres.drop_database(f"{which}_{suffix}")


@pytest.fixture(scope="session")
def sqlite_templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data.db` and `keyring.db` at head: migrated once, copied for each test."""
    folder = tmp_path_factory.mktemp("templates")
    for which in WHICH:
        upgrade(f"sqlite:///{folder / f'{which}.db'}", which)
    return folder


@pytest.fixture(scope="session")
def postgresql_templates(postgres: Cluster) -> str:
    """The suffix of two template databases at head, `data_<suffix>` and `keyring_<suffix>`."""
    for which in WHICH:
        upgrade(postgres.create_database(f"{which}_template"), which)
    return "template"


def _opened(backend: Backend, url: Callable[[Which], str]) -> Iterator[Databases]:
    data, keyring = Database(url("data")), Database(url("keyring"))
    yield Databases(backend, url("data"), url("keyring"), data, keyring)
    data.close()
    keyring.close()


def _fresh_suffix() -> str:
    return random_id().replace("-", "_").lower()
