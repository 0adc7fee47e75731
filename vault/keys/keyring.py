"""The keyring: makes, opens and erases the keys of subjects, compartments and consents.

root (provider) -> epoch -> random subject key -> random compartment key. A consent's share is a
compartment key wrapped by the epoch, so a pull needs no subject key. Subject and compartment keys are
never held: what was erased cannot be served from memory.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol, cast

from sqlalchemy import ColumnElement, CursorResult, delete
from sqlmodel import Session, col, select

from vault.errors import ErasedError, KeyringLockedError, UnknownKeyError
from vault.index import blind_index, keyed_digest
from vault.insert import insert_absent, insert_if_absent
from vault.keys.erasures import erased_of, lock_subjects, refuse_erased
from vault.keys.models import AuditKey, CompartmentKey, ConsentShare, ErasedSubject, SubjectKey
from vault.keys.provider import KeyProvider
from vault.keys.roots import Roots, create_roots, load_roots
from vault.keys.rotation import Rotation
from vault.keys.service_keys import ServiceKey, ServiceKeyKind, make_first_key, read_service_keys
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
        self._index_keys: dict[str, bytes] = {}

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
        self._index_keys = {}

    # Subjects

    def ensure_subject(self, subject_id: str, now: datetime) -> None:
        """Make the subject's key and audit key, unless they are there. ErasedError after an erasure."""
        self.ensure_subjects([subject_id], now)

    def ensure_subjects(self, subject_ids: Collection[str], now: datetime) -> None:
        """Make the keys of many subjects in one commit. ErasedError if one was erased; none is made then."""
        with self._database.read() as session:
            found = select(SubjectKey.subject_id).where(col(SubjectKey.subject_id).in_(list(subject_ids)))
            there: set[str] = set(session.exec(found))
        missing = sorted(set(subject_ids) - there)
        if not missing:
            return
        with self._database.write() as session:
            lock_subjects(session, missing)
            refuse_erased(session, missing)
            for model, domain in ((SubjectKey, "subject-key@v1"), (AuditKey, "audit-key@v1")):
                insert_absent(session, model, [self._of_subject(domain, name, now) for name in missing])

    def is_erased(self, subject_id: str) -> bool:
        """Whether the subject was erased: none of their keys is ever made again."""
        with self._database.read() as session:
            return bool(erased_of(session, [subject_id]))

    def audit_key(self, subject_id: str) -> SealingKey:
        """The key of a subject's terms, receipts and event details; it outlives an erasure."""
        return self.audit_keys([subject_id])[subject_id]

    def audit_keys(self, subject_ids: Iterable[str]) -> dict[str, SealingKey]:
        """The audit keys of many subjects, by their ids. UnknownKeyError if one has none."""
        wanted = set(subject_ids)
        columns = (AuditKey.epoch_id, AuditKey.subject_id, AuditKey.key_id, AuditKey.wrapped)
        with self._database.read() as session:
            rows = session.exec(select(*columns).where(col(AuditKey.subject_id).in_(wanted))).all()
        if missing := wanted.difference(row[1] for row in rows):
            raise UnknownKeyError(f"audit key of subject {min(missing)}")
        return {row[1]: self.open_audit_key(*row) for row in rows}

    def open_audit_key(self, epoch_id: str, subject_id: str, key_id: bytes, wrapped: bytes) -> SealingKey:
        """Open a row of `audit_key`. No database: for the lane, which reads rows with SQL of its own."""
        aad = context_of("audit-key@v1", subject_id, epoch_id, key_id)
        return SealingKey(key_id, self._roots.unwrap(epoch_id, aad, wrapped))

    def erase_subject(self, subject_id: str, now: datetime) -> None:
        """Delete the subject's key, compartment keys and shares, for good; idempotent.

        The audit key stays. A tombstone keeps `ensure_subject` from ever making a key again.
        """
        with self._database.write() as session:
            lock_subjects(session, [subject_id])
            insert_if_absent(session, ErasedSubject, {"subject_id": subject_id, "erased_at": now})
            for model in (ConsentShare, CompartmentKey, SubjectKey):
                session.execute(delete(model).where(col(model.subject_id) == subject_id))

    def erase_compartments(
        self, subject_id: str, compartment_ids: Sequence[str], *, made_until: datetime | None = None
    ) -> None:
        """Delete these compartments' keys and every share of them; idempotent.

        With `made_until`, only keys that were made by then, and their shares: what began anew stays.
        """
        with self._database.write() as session:
            lock_subjects(session, [subject_id])
            keys = delete(CompartmentKey).where(
                *_in_compartments(CompartmentKey, subject_id, compartment_ids)
            )
            if made_until is not None:
                keys = keys.where(col(CompartmentKey.created_at) <= made_until)
            session.execute(keys)
            kept = select(CompartmentKey.key_id).where(CompartmentKey.subject_id == subject_id)
            shares = delete(ConsentShare).where(*_in_compartments(ConsentShare, subject_id, compartment_ids))
            session.execute(shares.where(col(ConsentShare.key_id).not_in(kept)))

    # Compartments

    def compartment_id(self, subject_id: str, holder_id: str, record_type: str) -> str:
        """The id of a subject's records of one type from one holder: 32 hex digits that say nothing."""
        name = context_of("compartment@v1", subject_id, holder_id, record_type)
        return keyed_digest(self._index_key("compartment"), name)[:_COMPARTMENT_ID_SIZE].hex()

    def ensure_compartment(self, subject_id: str, compartment_id: str, now: datetime) -> SealingKey:
        """The compartment's key, made if need be.

        Raises ErasedError after an erasure, UnknownKeyError for a subject without a key.
        """
        return self.ensure_compartments({compartment_id: subject_id}, now)[compartment_id]

    def ensure_compartments(self, wanted: Mapping[str, str], now: datetime) -> dict[str, SealingKey]:
        """The keys of many compartments, by their ids; those that are missing are made in one commit.

        `wanted` names the subject of each compartment. Raises like `ensure_compartment`, and makes none then.
        """
        with self._database.read() as session:
            found = self._find_compartments(session, wanted)
        if len(found) == len(wanted):
            return found
        with self._database.write() as session:
            lock_subjects(session, wanted.values())
            return self._make_compartments(session, wanted, now)

    def compartment_key(self, subject_id: str, compartment_id: str) -> SealingKey:
        """The compartment's key; UnknownKeyError if there is none, ErasedError if it was erased."""
        found = self.compartment_keys({compartment_id: subject_id})
        if not found:
            raise ErasedError(subject_id)
        return found[compartment_id]

    def compartment_keys(self, wanted: Mapping[str, str]) -> dict[str, SealingKey]:
        """The keys of many compartments, by their ids; those of subjects who were erased are left out.

        `wanted` names the subject of each compartment. UnknownKeyError if another has no key.
        """
        with self._database.read() as session:
            found = self._find_compartments(session, wanted)
            missing = {name: subject_id for name, subject_id in wanted.items() if name not in found}
            erased = erased_of(session, missing.values())
        for compartment_id, subject_id in missing.items():
            if subject_id not in erased:
                raise UnknownKeyError(f"compartment {compartment_id}")
        return found

    # Shares of consents

    def share(self, version_id: str, subject_id: str, compartment_ids: Sequence[str], now: datetime) -> None:
        """Let a consent version (`grant_id.number`) open these compartments; idempotent.

        Makes compartment keys if need be. Raises ErasedError, UnknownKeyError like `ensure_compartment`.
        """
        grant_id = _grant_of(version_id)
        with self._database.write() as session:
            lock_subjects(session, [subject_id])
            keys = self._make_compartments(session, dict.fromkeys(compartment_ids, subject_id), now)
            shares = [
                {
                    "version_id": version_id,
                    "compartment_id": compartment_id,
                    "grant_id": grant_id,
                    "subject_id": subject_id,
                    "epoch_id": self._roots.current_epoch_id,
                    "key_id": key.key_id,
                    "wrapped": self._roots.wrap(_share_aad(version_id, compartment_id, key.key_id), key),
                    "created_at": now,
                }
                for compartment_id, key in keys.items()
            ]
            insert_absent(session, ConsentShare, shares)

    def delete_shares(self, grant_id: str) -> int:
        """Take every version's shares of a consent away; how many there were. Idempotent."""
        with self._database.write() as session:
            statement = delete(ConsentShare).where(col(ConsentShare.grant_id) == grant_id)
            return cast("CursorResult[Any]", session.execute(statement)).rowcount

    def delete_shares_before(self, version_id: str) -> int:
        """Take the shares of earlier versions away, never of later ones; how many there were. Idempotent."""
        grant_id, number = _grant_of(version_id), _number_of(version_id)
        with self._database.write() as session:
            there = select(ConsentShare.version_id).where(ConsentShare.grant_id == grant_id).distinct()
            earlier = [found for found in session.exec(there) if _number_of(found) < number]
            statement = delete(ConsentShare).where(col(ConsentShare.version_id).in_(earlier))
            return cast("CursorResult[Any]", session.execute(statement)).rowcount

    def delete_version_shares(self, version_id: str) -> int:
        """Take the shares of one version away; how many there were. Idempotent."""
        with self._database.write() as session:
            statement = delete(ConsentShare).where(col(ConsentShare.version_id) == version_id)
            return cast("CursorResult[Any]", session.execute(statement)).rowcount

    def open_share(self, share: Share) -> SealingKey:
        """A compartment's key from a row of `consent_share`. No database: for the lane."""
        aad = _share_aad(share.version_id, share.compartment_id, share.key_id)
        return SealingKey(share.key_id, self._roots.unwrap(share.epoch_id, aad, share.wrapped))

    # Indexes and keys of the broker itself

    def index(self, field: str, value: str) -> bytes:
        """The blind index of a value: 32 bytes under the field's own key."""
        return blind_index(self._index_key(field), value)

    def sealing_key(self, name: str) -> SealingKey:
        """A key that its name derives: for what is sealed before a subject is known. It cannot be erased."""
        return self._roots.named_key("sealing", name)

    def ensure_service_key(self, name: str, kind: ServiceKeyKind, now: datetime) -> ServiceKey:
        """The broker's current private key of this name, made if need be. ValueError if of another kind."""
        if not self.service_keys(name):
            with self._database.write() as session:
                make_first_key(session, self._service_sealing_key, name, kind=kind, now=now)
        current = self.service_keys(name)[0]
        if current.kind != kind:
            raise ValueError(f"service key {name!r} is of kind {current.kind}")
        return current

    def service_keys(self, name: str) -> list[ServiceKey]:
        """Every private key of this name, the current one first, then the others, newest first."""
        with self._database.read() as session:
            return read_service_keys(session, self._service_sealing_key, name)

    @property
    def rotation(self) -> Rotation:
        """What turns the broker's own signing keys."""
        return Rotation(self._database.write, self._service_sealing_key)

    @property
    def _service_sealing_key(self) -> SealingKey:
        return self._roots.named_key("service-keys", "")

    @property
    def _roots(self) -> Roots:
        if self._unlocked is None:
            raise KeyringLockedError
        return self._unlocked

    def _index_key(self, field: str) -> bytes:
        """Derived once: an import asks for thousands a second, and the root lies in memory as well."""
        key = self._index_keys.get(field)
        if key is None:
            key = self._index_keys[field] = self._roots.index_key(field)
        return key

    def _find_compartments(self, session: Session, wanted: Mapping[str, str]) -> dict[str, SealingKey]:
        """The keys that are there, of those that `wanted` names with their subjects."""
        rows = session.exec(
            select(SubjectKey, CompartmentKey)
            .join(CompartmentKey, col(CompartmentKey.subject_id) == col(SubjectKey.subject_id))
            .where(col(CompartmentKey.compartment_id).in_(list(wanted)))
        )
        found: dict[str, SealingKey] = {}
        for subject, compartment in rows:
            compartment_id, subject_id = compartment.compartment_id, subject.subject_id
            if wanted[compartment_id] == subject_id:
                aad = _compartment_aad(subject_id, compartment_id, compartment.key_id)
                secret = unwrap_key(self._open_subject(subject), aad, compartment.wrapped)
                found[compartment_id] = SealingKey(compartment.key_id, secret)
        return found

    def _make_compartments(
        self, session: Session, wanted: Mapping[str, str], now: datetime
    ) -> dict[str, SealingKey]:
        """The compartments' keys, found or made; the caller holds the locks of their subjects."""
        keys = self._find_compartments(session, wanted)
        missing = {name: wanted[name] for name in sorted(wanted.keys() - keys)}
        refuse_erased(session, missing.values())
        of_subjects = self._subject_keys(session, missing.values())
        rows = []
        for compartment_id, subject_id in missing.items():
            key = keys[compartment_id] = new_key()
            aad = _compartment_aad(subject_id, compartment_id, key.key_id)
            rows.append(
                {
                    "compartment_id": compartment_id,
                    "subject_id": subject_id,
                    "key_id": key.key_id,
                    "wrapped": wrap_key(of_subjects[subject_id], aad, key.secret),
                    "created_at": now,
                }
            )
        made = {name for (name,) in insert_absent(session, CompartmentKey, rows)}
        if taken := missing.keys() - made:
            raise UnknownKeyError(f"compartment {min(taken)} of subject {missing[min(taken)]}")
        return keys

    def _subject_keys(self, session: Session, subject_ids: Collection[str]) -> dict[str, bytes]:
        """The secrets of subjects' keys. UnknownKeyError if one has none."""
        wanted = set(subject_ids)
        rows = session.exec(select(SubjectKey).where(col(SubjectKey.subject_id).in_(wanted)))
        secrets = {row.subject_id: self._open_subject(row) for row in rows}
        if missing := wanted - secrets.keys():
            raise UnknownKeyError(f"subject {min(missing)}")
        return secrets

    def _of_subject(self, domain: str, subject_id: str, now: datetime) -> dict[str, Any]:
        """The row of a new key of a subject's own."""
        key, epoch_id = new_key(), self._roots.current_epoch_id
        return {
            "subject_id": subject_id,
            "key_id": key.key_id,
            "epoch_id": epoch_id,
            "wrapped": self._roots.wrap(context_of(domain, subject_id, epoch_id, key.key_id), key),
            "created_at": now,
        }

    def _open_subject(self, row: SubjectKey) -> bytes:
        aad = context_of("subject-key@v1", row.subject_id, row.epoch_id, row.key_id)
        return self._roots.unwrap(row.epoch_id, aad, row.wrapped)


def _in_compartments(
    model: type[CompartmentKey | ConsentShare], subject_id: str, compartment_ids: Sequence[str]
) -> tuple[ColumnElement[bool], ...]:
    return col(model.subject_id) == subject_id, col(model.compartment_id).in_(compartment_ids)


def _grant_of(version_id: str) -> str:
    grant_id, _, number = version_id.rpartition(".")
    if not grant_id or not number.isdecimal():
        raise ValueError("a version id is grant_id.number")
    return grant_id


def _number_of(version_id: str) -> int:
    return int(version_id.rpartition(".")[2])


def _compartment_aad(subject_id: str, compartment_id: str, key_id: bytes) -> bytes:
    return context_of("compartment-key@v1", subject_id, compartment_id, key_id)


def _share_aad(version_id: str, compartment_id: str, key_id: bytes) -> bytes:
    return context_of("share@v1", version_id, compartment_id, key_id)
