"""What an unlocked keyring holds in memory: the epochs' keys and the index root, nothing below them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlmodel import Session, col, select

from vault.errors import KeyringExistsError, KeyringMissingError, UnknownKeyError
from vault.insert import insert_if_absent
from vault.keys.models import EpochKey, IndexRoot
from vault.keys.provider import KeyProvider
from vault.schema import random_id
from vault.seal import KEY_ID_SIZE, KEY_SIZE, SealingKey, context_of, derive, new_key, unwrap_key, wrap_key

_INDEX: Final = "index"


@dataclass(frozen=True, slots=True)
class Roots:
    """The keys that the rest of the tree hangs on. Their secrets are in no repr."""

    current_epoch_id: str
    _epochs: dict[str, bytes] = field(repr=False)
    _index_root: bytes = field(repr=False)

    def wrap(self, aad: bytes, key: SealingKey) -> bytes:
        """Wrap a key under the current epoch."""
        return wrap_key(self._epochs[self.current_epoch_id], aad, key.secret)

    def unwrap(self, epoch_id: str, aad: bytes, wrapped: bytes) -> bytes:
        """Unwrap under the epoch that a row names; UnknownKeyError if that epoch is gone."""
        kek = self._epochs.get(epoch_id)
        if kek is None:
            raise UnknownKeyError(f"epoch {epoch_id}")
        return unwrap_key(kek, aad, wrapped)

    def index_key(self, field_name: str) -> bytes:
        """The key of one blind index."""
        return derive(self._index_root, context_of("blind-index@v1", field_name))

    def named_key(self, domain: str, name: str) -> SealingKey:
        """A sealing key that its domain and name derive."""
        info = context_of("named-key@v1", domain, name)
        derived = derive(self._index_root, info, KEY_ID_SIZE + KEY_SIZE)
        return SealingKey(derived[:KEY_ID_SIZE], derived[KEY_ID_SIZE:])


def create_roots(session: Session, provider: KeyProvider, now: datetime) -> None:
    """Make the index root and the first epoch. KeyringExistsError if there is one of either."""
    index_root = {
        "name": _INDEX,
        "wrapped": provider.wrap(_index_aad(), new_key().secret),
        "created_at": now,
    }
    epoch_id = random_id()
    epoch = {
        "epoch_id": epoch_id,
        "provider": provider.name,
        "wrapped": provider.wrap(_epoch_aad(epoch_id), new_key().secret),
        "state": "current",
        "created_at": now,
    }
    for model, values in ((IndexRoot, index_root), (EpochKey, epoch)):
        if not insert_if_absent(session, model, values):
            raise KeyringExistsError("the database holds a keyring already")


def load_roots(session: Session, provider: KeyProvider) -> Roots:
    """Unwrap the index root and every epoch that is not destroyed. KeyringMissingError if there is none."""
    index_root = session.get(IndexRoot, _INDEX)
    epochs = session.exec(select(EpochKey).where(col(EpochKey.state) != "destroyed")).all()
    current = [epoch.epoch_id for epoch in epochs if epoch.state == "current"]
    if index_root is None or not current:
        raise KeyringMissingError("the database holds no keyring")
    opened_index, *opened_epochs = provider.unwrap_all(
        [(_index_aad(), index_root.wrapped)]
        + [(_epoch_aad(epoch.epoch_id), epoch.wrapped) for epoch in epochs]
    )
    keys = dict(zip([epoch.epoch_id for epoch in epochs], opened_epochs, strict=True))
    return Roots(current[0], keys, opened_index)


def _index_aad() -> bytes:
    return context_of("index-root@v1", _INDEX)


def _epoch_aad(epoch_id: str) -> bytes:
    return context_of("epoch@v1", epoch_id)
