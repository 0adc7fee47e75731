"""The keyring: makes, opens and erases the keys of subjects, compartments and consents.

root (provider) -> epoch -> random subject key -> random compartment key. A consent's share is a
compartment key wrapped by the epoch, so a pull needs no subject key. Subject and compartment keys are
never held: what was erased cannot be served from memory.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol, cast

from sqlalchemy import CursorResult, delete, func
from sqlmodel import Session, col, select

from vault.errors import ErasedError, KeyringLockedError, UnknownKeyError
from vault.index import blind_index, keyed_digest
from vault.insert import insert_if_absent
from vault.keys.models import AuditKey, CompartmentKey, ConsentShare, ErasedSubject, SubjectKey
from vault.keys.provider import KeyProvider
from vault.keys.roots import Roots, create_roots, load_roots
from vault.keys.service_keys import ServiceKey, ServiceKeyKind, make_service_key, read_service_keys
from vault.seal import SealingKey, context_of, new_key, unwrap_key, wrap_key

_COMPARTMENT_ID_SIZE: Final = 16


class KeyringDatabase(Protocol):
    """The two ways into the keyring's database; `write()` commits at its end."""

    def read(self) -> AbstractContextManager[Session]: ...

    def write(self) -> AbstractContextManager[Session]: ...


class Share(Protocol):
    """The members of a row of `consent_share` that its opening needs."""

    @property
    def epoch_id(self) -> str: ...

    @property
    def version_id(self) -> str: ...

    @property
    def compartment_id(self) -> str: ...

    @property
    def key_id(self) -> bytes: ...

    @property
    def wrapped(self) -> bytes: ...


class ShareRow(NamedTuple):
    """A share as raw SQL delivers it."""

    epoch_id: str
    version_id: str
    compartment_id: str
    key_id: bytes
    wrapped: bytes


class Keyring:
    """The door to all keys. Locked until `unlock()`; safe for several threads and processes."""

    def __init__(self, database: KeyringDatabase, provider: KeyProvider) -> None:
        self._database = database
        self._provider = provider
        self._unlocked: Roots | None = None

    def create(self, now: datetime) -> None:
        """Make the first epoch and the index root. KeyringExistsError if there is a keyring already."""
        with self._database.write() as session:
            create_roots(session, self._provider, now)

    def unlock(self) -> None:
        """Take the epochs' keys and the index root into memory.

        Raises KeyringMissingError, WrongPassphraseError, and what else the provider says.
        """
        with self._database.read() as session:
            self._unlocked = load_roots(session, self._provider)

    # Subjects

    def ensure_subject(self, subject_id: str, now: datetime) -> None:
        """Make the subject's key and audit key, unless they are there. ErasedError after an erasure."""
        with self._database.read() as session:
            if session.get(SubjectKey, subject_id) is not None:
                return
        with self._database.write() as session:
            _lock_subject(session, subject_id)
            _refuse_erased(session, subject_id)
            for model, domain in ((SubjectKey, "subject-key@v1"), (AuditKey, "audit-key@v1")):
                key = new_key()
                epoch_id = self._roots.current_epoch_id
                values = {
                    "subject_id": subject_id,
                    "key_id": key.key_id,
                    "epoch_id": epoch_id,
                    "wrapped": self._roots.wrap(context_of(domain, subject_id, epoch_id, key.key_id), key),
                    "created_at": now,
                }
                insert_if_absent(session, model, values)

    def audit_key(self, subject_id: str) -> SealingKey:
        """The key of a subject's terms, receipts and event details; it outlives an erasure."""
        with self._database.read() as session:
            row = session.get(AuditKey, subject_id)
        if row is None:
            raise UnknownKeyError(f"audit key of subject {subject_id}")
        return self.open_audit_key(row.epoch_id, subject_id, row.key_id, row.wrapped)

    def open_audit_key(self, epoch_id: str, subject_id: str, key_id: bytes, wrapped: bytes) -> SealingKey:
        """Open a row of `audit_key`. No database: for the lane, which reads rows with SQL of its own."""
        aad = context_of("audit-key@v1", subject_id, epoch_id, key_id)
        return SealingKey(key_id, self._roots.unwrap(epoch_id, aad, wrapped))

    def erase_subject(self, subject_id: str, now: datetime) -> None:
        """Delete the subject's key, compartment keys and shares, for good; idempotent.

        The audit key stays. A tombstone keeps `ensure_subject` from ever making a key again.
        """
        with self._database.write() as session:
            _lock_subject(session, subject_id)
            insert_if_absent(session, ErasedSubject, {"subject_id": subject_id, "erased_at": now})
            for model in (ConsentShare, CompartmentKey, SubjectKey):
                session.execute(delete(model).where(col(model.subject_id) == subject_id))

    # Compartments

    def compartment_id(self, subject_id: str, holder_id: str, record_type: str) -> str:
        """The id of a subject's records of one type from one holder: 32 hex digits that say nothing."""
        name = context_of("compartment@v1", subject_id, holder_id, record_type)
        return keyed_digest(self._roots.index_key("compartment"), name)[:_COMPARTMENT_ID_SIZE].hex()

    def ensure_compartment(self, subject_id: str, compartment_id: str, now: datetime) -> SealingKey:
        """The compartment's key, made if need be.

        Raises ErasedError after an erasure, UnknownKeyError for a subject without a key.
        """
        with self._database.read() as session:
            found = self._find_compartment(session, subject_id, compartment_id)
        if found is not None:
            return found
        with self._database.write() as session:
            _lock_subject(session, subject_id)
            return self._make_compartment(session, subject_id, compartment_id, now)

    def compartment_key(self, subject_id: str, compartment_id: str) -> SealingKey:
        """The compartment's key; UnknownKeyError if there is none, ErasedError if it was erased."""
        with self._database.read() as session:
            found = self._find_compartment(session, subject_id, compartment_id)
            if found is None:
                _refuse_erased(session, subject_id)
                raise UnknownKeyError(f"compartment {compartment_id}")
        return found

    # Shares of consents

    def share(self, version_id: str, subject_id: str, compartment_ids: Sequence[str], now: datetime) -> None:
        """Let a consent version (`grant_id.number`) open these compartments; idempotent.

        Makes compartment keys if need be. Raises ErasedError, UnknownKeyError like `ensure_compartment`.
        """
        grant_id = _grant_of(version_id)
        with self._database.write() as session:
            _lock_subject(session, subject_id)
            for compartment_id in compartment_ids:
                key = self._make_compartment(session, subject_id, compartment_id, now)
                values = {
                    "version_id": version_id,
                    "compartment_id": compartment_id,
                    "grant_id": grant_id,
                    "subject_id": subject_id,
                    "epoch_id": self._roots.current_epoch_id,
                    "key_id": key.key_id,
                    "wrapped": self._roots.wrap(_share_aad(version_id, compartment_id, key.key_id), key),
                    "created_at": now,
                }
                insert_if_absent(session, ConsentShare, values)

    def delete_shares(self, grant_id: str) -> int:
        """Take every version's shares of a consent away; how many there were. Idempotent."""
        with self._database.write() as session:
            statement = delete(ConsentShare).where(col(ConsentShare.grant_id) == grant_id)
            return cast("CursorResult[Any]", session.execute(statement)).rowcount

    def open_share(self, share: Share) -> SealingKey:
        """A compartment's key from a row of `consent_share`. No database: for the lane."""
        aad = _share_aad(share.version_id, share.compartment_id, share.key_id)
        return SealingKey(share.key_id, self._roots.unwrap(share.epoch_id, aad, share.wrapped))

    # Indexes and keys of the broker itself

    def index(self, field: str, value: str) -> bytes:
        """The blind index of a value: 32 bytes under the field's own key."""
        return blind_index(self._roots.index_key(field), value)

    def sealing_key(self, name: str) -> SealingKey:
        """A key that its name derives: for what is sealed before a subject is known. It cannot be erased."""
        return self._roots.named_key("sealing", name)

    def ensure_service_key(self, name: str, kind: ServiceKeyKind, now: datetime) -> ServiceKey:
        """The broker's current private key of this name, made if need be. ValueError if of another kind."""
        if not self.service_keys(name):
            with self._database.write() as session:
                make_service_key(session, self._service_sealing_key, name, kind=kind, now=now)
        current = self.service_keys(name)[0]
        if current.kind != kind:
            raise ValueError(f"service key {name!r} is of kind {current.kind}")
        return current

    def service_keys(self, name: str) -> list[ServiceKey]:
        """Every private key of this name, the current one first, then the retired ones."""
        with self._database.read() as session:
            return read_service_keys(session, self._service_sealing_key, name)

    @property
    def _service_sealing_key(self) -> SealingKey:
        return self._roots.named_key("service-keys", "")

    @property
    def _roots(self) -> Roots:
        if self._unlocked is None:
            raise KeyringLockedError
        return self._unlocked

    def _find_compartment(self, session: Session, subject_id: str, compartment_id: str) -> SealingKey | None:
        statement = (
            select(SubjectKey, CompartmentKey)
            .join(CompartmentKey, col(CompartmentKey.subject_id) == col(SubjectKey.subject_id))
            .where(SubjectKey.subject_id == subject_id, CompartmentKey.compartment_id == compartment_id)
        )
        rows = session.exec(statement).one_or_none()
        if rows is None:
            return None
        subject, compartment = rows
        aad = _compartment_aad(subject_id, compartment_id, compartment.key_id)
        return SealingKey(
            compartment.key_id, unwrap_key(self._open_subject(subject), aad, compartment.wrapped)
        )

    def _make_compartment(
        self, session: Session, subject_id: str, compartment_id: str, now: datetime
    ) -> SealingKey:
        """The compartment's key, found or made; the caller holds the subject's lock."""
        found = self._find_compartment(session, subject_id, compartment_id)
        if found is not None:
            return found
        _refuse_erased(session, subject_id)
        subject = session.get(SubjectKey, subject_id)
        if subject is None:
            raise UnknownKeyError(f"subject {subject_id}")
        key = new_key()
        aad = _compartment_aad(subject_id, compartment_id, key.key_id)
        values = {
            "compartment_id": compartment_id,
            "subject_id": subject_id,
            "key_id": key.key_id,
            "wrapped": wrap_key(self._open_subject(subject), aad, key.secret),
            "created_at": now,
        }
        if not insert_if_absent(session, CompartmentKey, values):
            raise UnknownKeyError(f"compartment {compartment_id} of subject {subject_id}")
        return key

    def _open_subject(self, row: SubjectKey) -> bytes:
        aad = context_of("subject-key@v1", row.subject_id, row.epoch_id, row.key_id)
        return self._roots.unwrap(row.epoch_id, aad, row.wrapped)


def _lock_subject(session: Session, subject_id: str) -> None:
    """Let one transaction at a time make or erase this subject's keys.

    Otherwise a key that is being made while an erasure runs would outlive it. On SQLite a writing
    transaction is alone anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(subject_id, 0))))


def _refuse_erased(session: Session, subject_id: str) -> None:
    if session.get(ErasedSubject, subject_id) is not None:
        raise ErasedError(subject_id)


def _grant_of(version_id: str) -> str:
    grant_id, _, number = version_id.rpartition(".")
    if not grant_id or not number.isdecimal():
        raise ValueError("a version id is grant_id.number")
    return grant_id


def _compartment_aad(subject_id: str, compartment_id: str, key_id: bytes) -> bytes:
    return context_of("compartment-key@v1", subject_id, compartment_id, key_id)


def _share_aad(version_id: str, compartment_id: str, key_id: bytes) -> bytes:
    return context_of("share@v1", version_id, compartment_id, key_id)
