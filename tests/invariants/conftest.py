"""The world of the lane's tests, on both databases, for machines that live in it."""

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
