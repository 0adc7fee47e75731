"""One running broker: its settings, databases, keys and catalogues, opened once and handed around."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module, resources
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

import orjson

from broker.db import Database
from consent.caps import check_answers
from consent.deal_shapes import DealShapes
from consent.derivations import Derivations, Derive
from consent.purposes import Purposes
from consent.roles import Deployment, Role
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
    derivations: Derivations
    deal_shapes: DealShapes
    clock: Clock

    @property
    def deployment(self) -> Deployment:
        """The role in law in which it runs."""
        section = self.settings.deployment
        return Deployment(Role(section.role), is_special=section.special_manager)

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
    catalogue, purposes, derivations = Catalogue.load(), load_purposes(), load_derivations()
    check_answers(purposes, catalogue, derivations)
    return Installation(
        settings=settings,
        data=data,
        keyring_database=keyring_database,
        keyring=keyring,
        catalogue=catalogue,
        purposes=purposes,
        derivations=derivations,
        deal_shapes=load_deal_shapes(purposes),
        clock=clock,
    )


def load_purposes() -> Purposes:
    """The purposes that the services in `connectors/services` bring along, in `purpose*.json`."""
    services = [entry for entry in resources.files("connectors.services").iterdir() if entry.is_dir()]
    files = [file for entry in services for file in entry.iterdir() if _is_purpose(file.name)]
    return Purposes.load([_json(file) for file in sorted(files, key=str)])


def load_deal_shapes(purposes: Purposes) -> DealShapes:
    """The kinds of deals that the services in `connectors/services` bring along, in `deal*.json`."""
    services = [entry for entry in resources.files("connectors.services").iterdir() if entry.is_dir()]
    files = [file for entry in services for file in entry.iterdir() if _is_deal(file.name)]
    return DealShapes.load([_json(file) for file in sorted(files, key=str)], purposes)


def _is_deal(name: str) -> bool:
    return name.startswith("deal") and name.endswith(".json")


def load_derivations() -> Derivations:
    """The functions that the services in `connectors/services` bring along, in `derivations.py`.

    ValueError if two of them have one name.
    """
    functions: list[tuple[str, Derive]] = []
    for entry in sorted(resources.files("connectors.services").iterdir(), key=str):
        if entry.is_dir() and (entry / "derivations.py").is_file():
            module = import_module(f"connectors.services.{entry.name}.derivations")
            functions += module.DERIVATIONS.items()
    return Derivations(functions)


def _is_purpose(name: str) -> bool:
    return name.startswith("purpose") and name.endswith(".json")


def _json(file: Traversable) -> dict[str, object]:
    loaded: dict[str, object] = orjson.loads(file.read_bytes())
    return loaded
