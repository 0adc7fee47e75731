"""Sealed records: put, correct, open. Every version is bound to its whole row, so none can be moved.

The plaintext is the canonical JSON (RFC 8785) of the record's data, under its compartment's key. Many
records are put with the statements of one.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hmac import compare_digest
from typing import Any, Final, Literal

import orjson
import rfc8785
from sqlalchemy import Index, LargeBinary, insert, update
from sqlmodel import Field, Session, col, select

from vault.errors import SourceKeyTakenError
from vault.insert import insert_absent
from vault.schema import Instant, Row, random_id
from vault.seal import SealingKey, context_of, open_sealed, seal

Outcome = Literal["added", "corrected", "unchanged", "outdated"]
Place = tuple[str, str, str, str]

_MAX_INTEGER: Final = 2**53 - 1


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

    `canonical` is its data, as the function of that name writes it. `as_of` is the day (ISO) on which the
    source said so; None if it did not say: then what arrives later counts.
    """

    subject_id: str
    compartment_id: str
    holder_id: str
    record_type: str
    schema_revision: int
    source_key: bytes
    content_key: bytes
    canonical: bytes = field(repr=False)
    as_of: str | None = None


@dataclass(frozen=True, slots=True)
class PutResult:
    """What became of a draft: where it is, whether it was new, and the digest of that version's ciphertext.

    `outdated`: the source has said something newer since, and nothing was stored.
    """

    record_id: str
    version: int
    outcome: Outcome
    ciphertext_digest: bytes

    @property
    def is_new(self) -> bool:
        """A version was stored."""
        return self.outcome in {"added", "corrected"}


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


@dataclass(slots=True)
class _Standing:
    """What stands under a source key as the drafts go by. Version 0: a row of ours that has none yet."""

    record_id: str
    place: Place
    version: int
    content_key: bytes
    as_of: str | None
    ciphertext_digest: bytes

    def outcome_of(self, draft: RecordDraft) -> Outcome:
        if self.version == 0:
            return "added"
        if compare_digest(self.content_key, draft.content_key):
            return "unchanged"
        if draft.as_of is not None and self.as_of is not None and draft.as_of < self.as_of:
            return "outdated"
        return "corrected"


def canonical(data: Mapping[str, Any]) -> bytes:
    """A record's data as canonical JSON (RFC 8785). Raises ValueError for what cannot be said in it.

    What holds nothing but text, whole numbers and plain names is written by orjson: the same bytes, at
    a twentieth of the time.
    """
    if _is_plain(data):
        try:
            return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError:  # broken text, or too deep: the other one says so
            pass
    return rfc8785.dumps(dict(data))


def put(session: Session, key: SealingKey, draft: RecordDraft, now: datetime) -> PutResult:
    """Store a record under its compartment's key: added, corrected, unchanged, or outdated.

    An older export that is read again must not take a correction back. Idempotent by `source_key`.
    Raises SourceKeyTakenError if that key names a record of another subject, compartment, holder or type.
    """
    (result,) = put_all(session, {draft.compartment_id: key}, [draft], now)
    return result


def put_all(
    session: Session, keys: Mapping[str, SealingKey], drafts: Sequence[RecordDraft], now: datetime
) -> list[PutResult]:
    """Store many records, one after the other as `put` does; `keys` are those of their compartments.

    A result for each draft, in their order. Raises like `put`; roll everything back then.
    """
    standing = _read(session, {draft.source_key for draft in drafts})
    standing |= _insert_missing(session, [one for one in drafts if one.source_key not in standing], now)
    # Whoever made a row since then, or may make a version now, is waited for; then it is read again.
    open_ones = {
        draft.source_key
        for draft in drafts
        if (found := standing.get(draft.source_key)) is None or found.outcome_of(draft) == "corrected"
    }
    standing |= _read_locked(session, open_ones)
    results, versions = [], []
    for draft in drafts:
        record = standing[draft.source_key]
        if _place(draft) != record.place:
            raise SourceKeyTakenError(record.record_id)
        outcome = record.outcome_of(draft)
        if outcome in {"added", "corrected"}:
            versions.append(_next_version(keys[draft.compartment_id], draft, record, now))
        results.append(PutResult(record.record_id, record.version, outcome, record.ciphertext_digest))
    _write(session, versions)
    return results


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


def _is_plain(data: Mapping[str, Any]) -> bool:
    """Both writers say this alike: names in ASCII, which sort alike, no fractions, no large numbers."""
    waiting: list[object] = [data]
    for value in waiting:  # grows as it goes
        kind = type(value)
        if isinstance(value, dict) and kind is dict:
            if not all(type(name) is str and name.isascii() for name in value):
                return False
            waiting += value.values()
        elif isinstance(value, list) and kind is list:
            waiting += value
        elif isinstance(value, int) and kind is int:
            if abs(value) > _MAX_INTEGER:
                return False
        elif not (kind is str or kind is bool or value is None):
            return False
    return True


def _read(session: Session, source_keys: Collection[bytes]) -> dict[bytes, _Standing]:
    """What stands under these keys."""
    rows = session.exec(
        select(
            Record,
            RecordVersion.content_key,
            RecordVersion.as_of,
            RecordVersion.ciphertext_digest,
        )
        .join(RecordVersion, col(RecordVersion.record_id) == col(Record.record_id))
        .where(col(Record.source_key).in_(list(source_keys)), RecordVersion.version == Record.current_version)
        .execution_options(populate_existing=True)
    )
    return {
        record.source_key: _Standing(
            record.record_id, _place(record), record.current_version, content_key, as_of, digest
        )
        for record, content_key, as_of, digest in rows
    }


def _insert_missing(session: Session, drafts: Sequence[RecordDraft], now: datetime) -> dict[bytes, _Standing]:
    """Rows for the source keys that have none; what somebody else has inserted meanwhile is left out."""
    missing: dict[bytes, _Standing] = {}
    for draft in drafts:
        missing.setdefault(draft.source_key, _Standing(random_id(), _place(draft), 0, b"", None, b""))
    rows = [
        {
            "record_id": one.record_id,
            "subject_id": one.place[0],
            "compartment_id": one.place[1],
            "holder_id": one.place[2],
            "record_type": one.place[3],
            "source_key": source_key,
            "current_version": 1,
            "created_at": now,
        }
        for source_key, one in sorted(missing.items())  # one order, so that no two wait for each other
    ]
    inserted = insert_absent(session, Record, rows)
    return {source_key: one for source_key, one in missing.items() if (one.record_id,) in inserted}


def _read_locked(session: Session, source_keys: Collection[bytes]) -> dict[bytes, _Standing]:
    """What stands under these keys, once nobody else can change it.

    The rows' locks give each version to one writer. Not FOR UPDATE: that would stop foreign keys. The
    versions are read by a second statement: the first one's view is older than the locks.
    """
    if not source_keys:
        return {}
    session.exec(
        select(Record.record_id)
        .where(col(Record.source_key).in_(list(source_keys)))
        .order_by(col(Record.source_key))
        .with_for_update(key_share=True)
    ).all()
    return _read(session, source_keys)


def _next_version(key: SealingKey, draft: RecordDraft, record: _Standing, now: datetime) -> dict[str, Any]:
    """The row of a record's next version, which stands from now on."""
    record.version, record.content_key, record.as_of = record.version + 1, draft.content_key, draft.as_of
    identity = RecordIdentity(record.record_id, record.version, *record.place, draft.schema_revision)
    ciphertext = seal(key, record_context(identity), draft.canonical)
    record.ciphertext_digest = hashlib.sha256(ciphertext).digest()
    return {
        "record_id": identity.record_id,
        "version": identity.version,
        "compartment_id": identity.compartment_id,
        "subject_id": identity.subject_id,
        "schema_revision": identity.schema_revision,
        "content_key": draft.content_key,
        "ciphertext": ciphertext,
        "ciphertext_digest": record.ciphertext_digest,
        "as_of": draft.as_of,
        "received_at": now,
    }


def _write(session: Session, versions: Sequence[Mapping[str, Any]]) -> None:
    """New versions of records; each is the current one from now on."""
    if not versions:
        return
    session.connection().execute(insert(RecordVersion), versions)
    current = {one["record_id"]: one["version"] for one in versions}
    corrected = [
        {"record_id": record_id, "current_version": version}
        for record_id, version in sorted(current.items())
        if version > 1
    ]
    if corrected:
        session.execute(update(Record), corrected)


def _place(source: Record | RecordDraft) -> Place:
    return source.subject_id, source.compartment_id, source.holder_id, source.record_type


def _sealed(record: Record, version: RecordVersion) -> SealedRecord:
    identity = RecordIdentity(record.record_id, version.version, *_place(record), version.schema_revision)
    return SealedRecord(identity, version.ciphertext, version.ciphertext_digest, version.received_at)
