"""The demos that the stories share: started once in a test run, since each takes seconds."""

import json
from collections.abc import Iterator

import pytest

from tests.flows.demos import RunningDemo, Told, mydata, started
from tests.postgres import Cluster


@pytest.fixture(scope="session")
def told_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The main job, once, on what the demo takes by itself."""
    directory = tmp_path_factory.mktemp("told") / "demo"
    ran = mydata("demo", "--once", "--json", "--dir", directory)
    assert ran.code == 0, ran.err
    return Told(json.loads(ran.out.splitlines()[-1]), directory, f"sqlite:///{directory / 'data.db'}")


@pytest.fixture(scope="session")
def told_on_postgresql(tmp_path_factory: pytest.TempPathFactory, postgres: Cluster) -> Told:
    """The main job, once, with its data on PostgreSQL; the keyring stays where it is by default."""
    directory = tmp_path_factory.mktemp("told") / "demo"
    database = postgres.create_database("told")
    ran = mydata("demo", "--once", "--json", "--dir", directory, "--database", database)
    assert ran.code == 0, ran.err
    return Told(json.loads(ran.out.splitlines()[-1]), directory, database)


@pytest.fixture(params=["sqlite", "postgresql"])
def told(request: pytest.FixtureRequest) -> Told:
    """Both of them, one after the other."""
    found: Told = request.getfixturevalue(f"told_on_{request.param}")
    return found


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """A demo that listens while the tests run."""
    with started(tmp_path_factory.mktemp("running") / "demo") as running:
        yield running
