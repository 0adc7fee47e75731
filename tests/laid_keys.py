"""Keyrings for tests: made once for a process, and a copy of the rows for each test.

Making one takes longer than many a test. Copied are the rows as the keyring wrote them and the root file that
opens them, so each test has a whole keyring of its own, on a database of its own.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Final

from broker.db import Database
from broker.installation import Installation
from broker.service_keys import OPENID_KEY, SERVICE_KEYS, ensure_service_keys
from migrations.tables import METADATA
from vault.keys.keyring import Keyring
from vault.keys.local import Argon2Cost, create_root_file

Rows = dict[str, list[dict[str, Any]]]

_KEYRINGS: Final[dict[tuple[str, datetime], tuple[bytes, Rows]]] = {}
_OPENID: Final[dict[tuple[bytes, datetime], Rows]] = {}


def lay_keyring(database: Database, keyring: Keyring, root_file: Path, phrase: str, now: datetime) -> None:
    """A keyring with the signing keys of every installation, unlocked."""
    kept = _KEYRINGS.get((phrase, now))
    if kept is not None:
        root, rows = kept
        root_file.touch(mode=0o600)
        root_file.write_bytes(root)
        _write(database, rows)
        keyring.unlock()
        return
    create_root_file(root_file, phrase, cost=Argon2Cost(iterations=1, memory_kib=64, lanes=1))
    keyring.create(now)
    keyring.unlock()
    for name, kind in SERVICE_KEYS.items():
        keyring.ensure_service_key(name, kind, now)
    _KEYRINGS[phrase, now] = root_file.read_bytes(), _read(database)


def lay_openid_key(installation: Installation, now: datetime) -> None:
    """The RS256 key of installations that serve the profile `oidc`, where there is none yet."""
    database, keyring = installation.keyring_database, installation.keyring
    if keyring.service_keys(OPENID_KEY):
        return
    place = installation.settings.keyring.root_file.read_bytes(), now
    if place in _OPENID:
        _write(database, _OPENID[place])
        return
    ensure_service_keys(keyring, now, oidc_clients=True)
    made = _read(database)["service_key"]
    _OPENID[place] = {"service_key": [row for row in made if row["name"] == OPENID_KEY]}


def _read(database: Database) -> Rows:
    with database.read() as session:
        return {
            table.name: [dict(row) for row in session.execute(table.select()).mappings()]
            for table in METADATA["keyring"].sorted_tables
        }


def _write(database: Database, rows: Rows) -> None:
    with database.write() as session:
        for table in METADATA["keyring"].sorted_tables:
            if rows.get(table.name):
                session.execute(table.insert(), rows[table.name])
