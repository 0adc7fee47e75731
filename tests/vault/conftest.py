"""A keyring with a cheap root file, created and unlocked, on each of both databases."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.databases import Databases
from vault.keys.keyring import Keyring
from vault.keys.local import Argon2Cost, LocalProvider, create_root_file

CHEAP = Argon2Cost(iterations=1, memory_kib=64, lanes=1)


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 11, 23, 1, 2, 3, 456789, tzinfo=UTC)


@pytest.fixture
def provider(tmp_path: Path) -> LocalProvider:
    path = tmp_path / "root.json"
    create_root_file(path, "correct horse", cost=CHEAP)
    return LocalProvider(path, "correct horse")


@pytest.fixture
def keyring(databases: Databases, provider: LocalProvider, now: datetime) -> Keyring:
    made = Keyring(databases.keyring, provider)
    made.create(now)
    made.unlock()
    return made
