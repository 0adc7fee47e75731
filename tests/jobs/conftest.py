"""A broker with a person, a recipient and consents, for the jobs that come after."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.installation import Installation
from tests.api.conftest import Office, made
from tests.databases import Databases
from tests.installation import Clock, _installed


@pytest.fixture
def office(installation: Installation, clock: Clock) -> Iterator[Office]:
    """An office on each kind of database."""
    yield from made(installation, clock)


@pytest.fixture
def postgresql_installation(
    postgresql_databases: Databases, clock: Clock, tmp_path: Path
) -> Iterator[Installation]:
    """An installation on PostgreSQL only."""
    yield from _installed(postgresql_databases, clock, tmp_path)
