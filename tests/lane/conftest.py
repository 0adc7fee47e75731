"""The world of the lane's tests, on each kind of database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.installation import Installation
from tests.databases import Databases
from tests.installation import Clock, _installed
from tests.lane.world import World, opened


@pytest.fixture
def world(installation: Installation, clock: Clock) -> Iterator[World]:
    """On SQLite and on PostgreSQL."""
    with opened(installation, clock) as world:
        yield world


@pytest.fixture
def sqlite_world(sqlite_installation: Installation, clock: Clock) -> Iterator[World]:
    """On SQLite only."""
    with opened(sqlite_installation, clock) as world:
        yield world


@pytest.fixture
def postgresql_world(postgresql_databases: Databases, clock: Clock, tmp_path: Path) -> Iterator[World]:
    """On PostgreSQL only."""
    for installation in _installed(postgresql_databases, clock, tmp_path):
        with opened(installation, clock) as world:
            yield world
