"""Offices: an installation with a person and organisations, on both databases or on SQLite only."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.installation import Installation
from tests.consent.office import Office, open_office
from tests.databases import Databases
from tests.installation import Clock, _installed


@pytest.fixture
def office(installation: Installation, clock: Clock) -> Office:
    """A test that asks for this runs twice: on SQLite and on PostgreSQL."""
    return open_office(installation, clock)


@pytest.fixture
def sqlite_office(sqlite_installation: Installation, clock: Clock) -> Office:
    """For what no database decides."""
    return open_office(sqlite_installation, clock)


@pytest.fixture
def postgresql_office(postgresql_databases: Databases, clock: Clock, tmp_path: Path) -> Iterator[Office]:
    """For what only a database with many writers shows."""
    for installation in _installed(postgresql_databases, clock, tmp_path):
        yield open_office(installation, clock)
