"""Tables of the keyring database. Every key in them is wrapped; storage and nothing else."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, LargeBinary, text
from sqlmodel import Field

from vault.schema import Instant, KeyringRow

_IS_CURRENT = text("state = 'current'")
_IS_NEXT = text("state = 'next'")
_WHERE_CURRENT: dict[str, Any] = {"sqlite_where": _IS_CURRENT, "postgresql_where": _IS_CURRENT}


class EpochKey(KeyringRow, table=True):
    """A key-encryption key for some days of work, wrapped by the provider. At most one is current."""

    __tablename__ = "epoch_key"
    __table_args__ = (
        Index(
            "uq_epoch_key_current",
            "state",
            unique=True,
            sqlite_where=_IS_CURRENT,
            postgresql_where=_IS_CURRENT,
        ),
    )

    epoch_id: str = Field(primary_key=True)
    provider: str
    wrapped: bytes = Field(sa_type=LargeBinary)
    state: str
    created_at: datetime = Field(sa_type=Instant)


class IndexRoot(KeyringRow, table=True):
    """The root of blind indexes and of named keys, wrapped by the provider."""

    __tablename__ = "index_root"

    name: str = Field(primary_key=True)
    wrapped: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Instant)


class SubjectKey(KeyringRow, table=True):
    """A subject's key, wrapped by an epoch. Its row is what an erasure deletes."""

    __tablename__ = "subject_key"

    subject_id: str = Field(primary_key=True)
    key_id: bytes = Field(sa_type=LargeBinary)
    epoch_id: str
    wrapped: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Instant)


class AuditKey(KeyringRow, table=True):
    """A subject's audit key, wrapped by an epoch. It outlives withdrawal and erasure."""

    __tablename__ = "audit_key"

    subject_id: str = Field(primary_key=True)
    key_id: bytes = Field(sa_type=LargeBinary)
    epoch_id: str
    wrapped: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Instant)


class CompartmentKey(KeyringRow, table=True):
    """The key of one subject's records of one type from one holder, wrapped by the subject's key."""

    __tablename__ = "compartment_key"

    compartment_id: str = Field(primary_key=True)
    subject_id: str = Field(index=True)
    key_id: bytes = Field(sa_type=LargeBinary)
    wrapped: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Instant)


class ConsentShare(KeyringRow, table=True):
    """A compartment's key for one consent version, wrapped by an epoch: what a pull opens records with."""

    __tablename__ = "consent_share"

    version_id: str = Field(primary_key=True)
    compartment_id: str = Field(primary_key=True)
    grant_id: str = Field(index=True)
    subject_id: str = Field(index=True)
    epoch_id: str
    key_id: bytes = Field(sa_type=LargeBinary)
    wrapped: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Instant)


class ErasedSubject(KeyringRow, table=True):
    """The tombstone of a subject whose keys were erased: none is ever made again."""

    __tablename__ = "erased_subject"

    subject_id: str = Field(primary_key=True)
    erased_at: datetime = Field(sa_type=Instant)


class ServiceKeyRow(KeyringRow, table=True):
    """A private key of the broker itself, sealed. At most one of a name is current, and one is next.

    `state` is next, current, previous or retired. `signs_from` is set before it comes and then never moved
    later; `signed_until` is when the next one took over.
    """

    __tablename__ = "service_key"
    __table_args__ = (
        Index(
            "uq_service_key_current",
            "name",
            unique=True,
            sqlite_where=_IS_CURRENT,
            postgresql_where=_IS_CURRENT,
        ),
        Index(
            "uq_service_key_next",
            "name",
            unique=True,
            sqlite_where=_IS_NEXT,
            postgresql_where=_IS_NEXT,
        ),
    )

    kid: str = Field(primary_key=True)
    name: str
    kind: str
    state: str
    sealed: bytes = Field(sa_type=LargeBinary)
    public_jwk: str
    created_at: datetime = Field(sa_type=Instant)
    signs_from: datetime = Field(sa_type=Instant)
    signed_until: datetime | None = Field(default=None, sa_type=Instant)
