"""A whole broker without a server: databases at head, an unlocked keyring, a clock that tests move."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from broker.installation import Installation, load_deal_shapes, load_derivations, load_purposes
from broker.settings import load_settings
from tests.databases import Databases
from tests.laid_keys import lay_keyring
from vault.keys.keyring import Keyring
from vault.keys.local import LocalProvider
from vault.record_types.catalogue import Catalogue

PASSPHRASE = "only for tests"
ISSUER = "http://127.0.0.1:8000"


class Clock:
    """The instant of a test; it stands still until the test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 12, 1, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def installation(databases: Databases, clock: Clock, tmp_path: Path) -> Iterator[Installation]:
    """An installation on each kind of database: a test that asks for this runs twice."""
    yield from _installed(databases, clock, tmp_path)


@pytest.fixture
def sqlite_installation(sqlite_databases: Databases, clock: Clock, tmp_path: Path) -> Iterator[Installation]:
    """An installation on SQLite only."""
    yield from _installed(sqlite_databases, clock, tmp_path)


def _installed(databases: Databases, clock: Clock, folder: Path) -> Iterator[Installation]:
    root_file = folder / "root.key"
    keyring = Keyring(databases.keyring, LocalProvider(root_file, PASSPHRASE))
    lay_keyring(databases.keyring, keyring, root_file, PASSPHRASE, clock())
    yield Installation(
        settings=load_settings(None, environment(databases, root_file)),
        data=databases.data,
        keyring_database=databases.keyring,
        keyring=keyring,
        **_declared(),
        clock=clock,
    )


@cache
def _declared() -> dict[str, Any]:
    """What the program declares: frozen, so that one reading does for every test of a process."""
    purposes = load_purposes()
    return {
        "catalogue": Catalogue.load(),
        "purposes": purposes,
        "derivations": load_derivations(),
        "deal_shapes": load_deal_shapes(purposes),
    }


def environment(databases: Databases, root_file: Path) -> dict[str, str]:
    """What a broker's environment would hold for these databases: also fit for a child process."""
    return {
        "MYDATA__SERVER__ISSUER": ISSUER,
        "MYDATA__DATABASE__URL": databases.data_url,
        "MYDATA__KEYRING__URL": databases.keyring_url,
        "MYDATA__KEYRING__PASSPHRASE": PASSPHRASE,
        "MYDATA__KEYRING__ROOT_FILE": str(root_file),
        "MYDATA__LOG__FORMAT": "text",
        "MYDATA__DEPLOYMENT__SPECIAL_MANAGER": "true",
        # Tests stand still in time and call as often as they like; those of rates set their own.
        "MYDATA__LIMITS__UNPROVEN_PER_MINUTE": "0",
        "MYDATA__LIMITS__SIGN_IN_PER_MINUTE": "0",
        "MYDATA__LIMITS__CLIENT_PER_MINUTE": "0",
    }
