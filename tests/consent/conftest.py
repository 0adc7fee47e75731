"""Offices: an installation with a person and organisations, on both databases or on SQLite only."""

import pytest

from broker.installation import Installation
from tests.consent.office import Office, open_office
from tests.installation import Clock


@pytest.fixture
def office(installation: Installation, clock: Clock) -> Office:
    """A test that asks for this runs twice: on SQLite and on PostgreSQL."""
    return open_office(installation, clock)


@pytest.fixture
def sqlite_office(sqlite_installation: Installation, clock: Clock) -> Office:
    """For what no database decides."""
    return open_office(sqlite_installation, clock)
