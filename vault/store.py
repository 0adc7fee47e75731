"""Sealed records: put, correct, open. Every version is bound to its whole row, so none can be moved.

The plaintext is the canonical JSON (RFC 8785) of the record's data, under its compartment's key.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hmac import compare_digest
from typing import Any, Literal

import rfc8785
from sqlalchemy import Index, LargeBinary, update
from sqlmodel import Field, Session, col, select

from vault.errors import SourceKeyTakenError
from vault.insert import insert_if_absent
from vault.schema import Instant, Row, random_id
from vault.seal import SealingKey, context_of, open_sealed, seal

Outcome = Literal["added", "corrected", "unchanged", "outdated"]


class Record(Row, table=True):
    """A record of a subject in a compartment; `source_key` is the keyed index of what the source calls it."""

    __table_args__ = (
        Index("ix_record_compartment_id", "compartment_id"),
        Index("ix_record_subject_id", "subject_id"),
    )

    record_id: str = Field(primary_key=True)
    subject_id: str
    compartment_id: str
    holder_id: str
    record_type: str
    source_key: bytes = Field(sa_type=LargeBinary, unique=True)
    current_version: int
    created_at: datetime = Field(sa_type=Instant)


class RecordVersion(Row, table=True):
    """One sealed version of a record. Never changed: a correction is a new version.

    `as_of` is the day (ISO) on which its source said so, if it told one.
    """

    __tablename__ = "record_version"

    record_id: str = Field(primary_key=True, foreign_key="record.record_id")
    version: int = Field(primary_key=True)
    compartment_id: str
    subject_id: str
    schema_revision: int
    content_key: bytes = Field(sa_type=LargeBinary)
    ciphertext: bytes = Field(sa_type=LargeBinary)
    ciphertext_digest: bytes = Field(sa_type=LargeBinary)
    as_of: str | None = None
    received_at: datetime = Field(sa_type=Instant)


@dataclass(frozen=True, slots=True)
class RecordDraft:
    """A validated record on its way in. `source_key` and `content_key` are keyed indexes by the caller.

    `as_of` is the day (ISO) on which the source said so; None is newer than every day.
    """

    subject_id: str
    compartment_id: str
    holder_id: str
    record_type: str
    schema_revision: int
    source_key: bytes
    content_key: bytes
    data: Mapping[str, Any] = field(repr=False)
    as_of: str | None = None


@dataclass(frozen=True, slots=True)
class PutResult:
    """What became of a draft: where it is, and whether it was new.

    `outdated`: the source has said something newer since, and nothing was stored.
    """

    record_id: str
    version: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RecordIdentity:
    """Everything that a version's ciphertext is bound to."""

    record_id: str
    version: int
    subject_id: str
    compartment_id: str
    holder_id: str
    record_type: str
    schema_revision: int


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """A version as it lies in the database."""

    identity: RecordIdentity
    ciphertext: bytes = field(repr=False)
    ciphertext_digest: bytes
    received_at: datetime


def put(session: Session, key: SealingKey, draft: RecordDraft, now: datetime) -> PutResult:
    """Store a record under its compartment's key: added, corrected, unchanged, or outdated.

    An older export that is read again must not take a correction back. Idempotent by `source_key`.
    Raises SourceKeyTakenError if that key names a record of another subject, compartment, holder or type.
    """
    record_id = random_id()
    values = {
        "record_id": record_id,
        "subject_id": draft.subject_id,
        "compartment_id": draft.compartment_id,
        "holder_id": draft.holder_id,
        "record_type": draft.record_type,
        "source_key": draft.source_key,
        "current_version": 1,
        "created_at": now,
    }
    if insert_if_absent(session, Record, values):
        _add_version(session, key, _identity_of(draft, record_id, 1), draft=draft, now=now)
        return PutResult(record_id, 1, "added")
    return _correct(session, key, draft, now)


def record_context(identity: RecordIdentity) -> bytes:
    """The context that a version is sealed to."""
    return context_of(
        "record@v1",
        identity.record_id,
        identity.version,
        identity.subject_id,
        identity.compartment_id,
        identity.holder_id,
        identity.record_type,
        identity.schema_revision,
    )


def open_record(key: SealingKey, identity: RecordIdentity, ciphertext: bytes) -> dict[str, Any]:
    """The data of a version. TamperedError if the ciphertext is not this very version's."""
    opened: dict[str, Any] = json.loads(open_sealed(key, record_context(identity), ciphertext))
    return opened


def latest(session: Session, subject_id: str, compartment_ids: Sequence[str]) -> list[SealedRecord]:
    """The current version of each of a subject's records in these compartments, oldest record first."""
    statement = (
        select(Record, RecordVersion)
        .join(RecordVersion, col(RecordVersion.record_id) == col(Record.record_id))
        .where(
            Record.subject_id == subject_id,
            col(Record.compartment_id).in_(compartment_ids),
            RecordVersion.version == Record.current_version,
        )
        .order_by(col(Record.created_at), col(Record.record_id))
    )
    return [_sealed(record, version) for record, version in session.exec(statement)]


def versions(session: Session, subject_id: str, record_id: str) -> list[SealedRecord]:
    """Every version of one record of a subject, first to current; none if the record is another's."""
    statement = (
        select(Record, RecordVersion)
        .join(RecordVersion, col(RecordVersion.record_id) == col(Record.record_id))
        .where(Record.subject_id == subject_id, Record.record_id == record_id)
        .order_by(col(RecordVersion.version))
    )
    return [_sealed(record, version) for record, version in session.exec(statement)]


def _correct(session: Session, key: SealingKey, draft: RecordDraft, now: datetime) -> PutResult:
    # The row's lock gives each version to one writer. Not FOR UPDATE: that would stop foreign keys.
    locked = select(Record).where(Record.source_key == draft.source_key).with_for_update(key_share=True)
    record = session.exec(locked.execution_options(populate_existing=True)).one()
    if _place(draft) != _place(record):
        raise SourceKeyTakenError(record.record_id)
    current = session.exec(
        select(RecordVersion).where(
            RecordVersion.record_id == record.record_id, RecordVersion.version == record.current_version
        )
    ).one()
    if compare_digest(current.content_key, draft.content_key):
        return PutResult(record.record_id, record.current_version, "unchanged")
    if draft.as_of is not None and current.as_of is not None and draft.as_of < current.as_of:
        return PutResult(record.record_id, record.current_version, "outdated")
    version = record.current_version + 1
    _add_version(session, key, _identity_of(draft, record.record_id, version), draft=draft, now=now)
    session.execute(
        update(Record).where(col(Record.record_id) == record.record_id).values(current_version=version)
    )
    return PutResult(record.record_id, version, "corrected")


def _add_version(
    session: Session, key: SealingKey, identity: RecordIdentity, *, draft: RecordDraft, now: datetime
) -> None:
    ciphertext = seal(key, record_context(identity), rfc8785.dumps(dict(draft.data)))
    session.add(
        RecordVersion(
            record_id=identity.record_id,
            version=identity.version,
            compartment_id=identity.compartment_id,
            subject_id=identity.subject_id,
            schema_revision=identity.schema_revision,
            content_key=draft.content_key,
            ciphertext=ciphertext,
            ciphertext_digest=hashlib.sha256(ciphertext).digest(),
            as_of=draft.as_of,
            received_at=now,
        )
    )
    session.flush()


def _place(source: Record | RecordDraft) -> tuple[str, str, str, str]:
    return source.subject_id, source.compartment_id, source.holder_id, source.record_type


def _identity_of(draft: RecordDraft, record_id: str, version: int) -> RecordIdentity:
    return RecordIdentity(record_id, version, *_place(draft), draft.schema_revision)


def _sealed(record: Record, version: RecordVersion) -> SealedRecord:
    identity = RecordIdentity(record.record_id, version.version, *_place(record), version.schema_revision)
    return SealedRecord(identity, version.ciphertext, version.ciphertext_digest, version.received_at)
