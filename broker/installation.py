"""One running broker: its settings, databases, keys and catalogues, opened once and handed around."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

import orjson

from broker.db import Database
from consent.purposes import Purposes
from vault.keys.keyring import Keyring
from vault.keys.local import LocalProvider
from vault.record_types.catalogue import Catalogue

if TYPE_CHECKING:
    from broker.settings import Settings

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Installation:
    """Everything a request, a job or a command needs; nothing here is global."""

    settings: "Settings"
    data: Database
    keyring_database: Database
    keyring: Keyring
    catalogue: Catalogue
    purposes: Purposes
    clock: Clock

    def close(self) -> None:
        """Give the databases back."""
        self.data.close()
        self.keyring_database.close()


def open_installation(settings: "Settings", clock: Clock) -> Installation:
    """Open both databases and unlock the keyring.

    Raises WrongPassphraseError or KeyringMissingError: without keys nothing is served.
    """
    pool = settings.database.pool_size
    data = Database(settings.database.url, pool_size=pool)
    keyring_database = Database(settings.keyring.url, pool_size=pool)
    provider = LocalProvider(settings.keyring.root_file, settings.keyring.passphrase.get_secret_value())
    keyring = Keyring(keyring_database, provider)
    keyring.unlock()
    return Installation(
        settings=settings,
        data=data,
        keyring_database=keyring_database,
        keyring=keyring,
        catalogue=Catalogue.load(),
        purposes=load_purposes(),
        clock=clock,
    )


def load_purposes() -> Purposes:
    """The purposes that the services in `connectors/services` bring along."""
    services = resources.files("connectors.services")
    files = [entry / "purpose.json" for entry in services.iterdir() if entry.is_dir()]
    return Purposes.load([_json(file) for file in sorted(files, key=str) if file.is_file()])


def _json(file: Traversable) -> dict[str, object]:
    loaded: dict[str, object] = orjson.loads(file.read_bytes())
    return loaded
