"""The world of the lane's tests, on each kind of database."""

from collections.abc import Iterator

import pytest

from broker.installation import Installation
from tests.installation import Clock
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
