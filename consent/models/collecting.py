"""Where records come from: links to holders, how far the asking has come, what is kept apart."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field

from vault.schema import Instant, Row


class SourceLink(Row, table=True):
    """A subject linked to a holder under a collection consent of its own.

    `patient_index` and `person_index` are keyed indexes of the holder's number and of name with birth date;
    the sealed identity goes with the link, and cannot be opened after an erasure. `role` is the deployment's
    role under which it was linked: what came in one role is not used in another (PIPA decree 42-6(10)).
    """

    __tablename__ = "source_link"
    __table_args__ = (
        UniqueConstraint("holder_id", "patient_index"),
        Index("ix_source_link_subject_id", "subject_id"),
        Index("ix_source_link_handle", "handle"),
        Index("ix_source_link_holder_id_person_index", "holder_id", "person_index"),
    )

    link_id: str = Field(primary_key=True)
    subject_id: str = Field(foreign_key="subject.subject_id")
    holder_id: str = Field(foreign_key="organisation.organisation_id")
    patient_index: bytes | None = Field(sa_type=LargeBinary)
    person_index: bytes | None = Field(default=None, sa_type=LargeBinary)
    identity_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    handle: str
    terms_sealed: bytes = Field(sa_type=LargeBinary)
    terms_digest: bytes = Field(sa_type=LargeBinary)
    given_at: datetime = Field(sa_type=Instant)
    valid_until: datetime = Field(sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)
    role: str = "manager"


class HolderConnection(Row, table=True):
    """Where a holder answers transmission requests. A holder without one delivers by file or by push."""

    __tablename__ = "holder_connection"

    holder_id: str = Field(primary_key=True, foreign_key="organisation.organisation_id")
    endpoint: str
    created_at: datetime = Field(sa_type=Instant)


class SourceProgress(Row, table=True):
    """How far the asking has come for one link: what was taken, where to go on, when to ask again.

    `since` is the holder's mark of the last complete pass, `pass_mark` that of the one under way. `fault`
    and `refusal` are codes; the cursor is the holder's text, so it is sealed. `leased_until` keeps two
    workers apart.
    """

    __tablename__ = "source_progress"
    __table_args__ = (Index("ix_source_progress_next_at", "next_at"),)

    link_id: str = Field(primary_key=True, foreign_key="source_link.link_id")
    since: int = Field(sa_type=BigInteger)
    pass_mark: int | None = Field(default=None, sa_type=BigInteger)
    cursor_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    has_faults: bool
    attempts: int
    fault: str | None = None
    refusal: str | None = None
    refused_at: datetime | None = Field(default=None, sa_type=Instant)
    next_at: datetime = Field(sa_type=Instant)
    leased_until: datetime | None = Field(default=None, sa_type=Instant)
    completed_at: datetime | None = Field(default=None, sa_type=Instant)


class PendingRecord(Row, table=True):
    """A record of which it is not certain whose it is, kept apart until a person decides or its time is over.

    `name_index` is the keyed index of what the holder calls it, so the same again is the same row. Sealed
    apart: what decides whose it is; and the record itself, only where somebody agreed to its collection.
    """

    __tablename__ = "pending_record"
    __table_args__ = (Index("ix_pending_record_expires_at", "expires_at"),)

    pending_id: str = Field(primary_key=True)
    name_index: bytes = Field(sa_type=LargeBinary, unique=True)
    content_index: bytes = Field(sa_type=LargeBinary)
    holder_id: str = Field(foreign_key="organisation.organisation_id")
    record_type: str
    rule: str
    link_id: str | None = Field(default=None, index=True)
    subject_id: str | None = Field(default=None, index=True)
    told_sealed: bytes = Field(sa_type=LargeBinary)
    content_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    state: str
    received_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant)
    decided_at: datetime | None = Field(default=None, sa_type=Instant)
