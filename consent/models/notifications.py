"""What people are told, how they want to be told, and how far the telling has come."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field

from vault.schema import Instant, Row


class Notification(Row, table=True):
    """One thing that one person is told. What the event says beyond this stands in the log, at `idx`.

    A batched one (`batched_until`) is told in exactly one digest, which is a notification of its own. A
    digest and a yearly notice are about no single entry: they have no `idx`.
    """

    __table_args__ = (
        UniqueConstraint("idx", "subject_id"),
        UniqueConstraint("subject_id", "year"),
        Index("ix_notification_subject_id_at", "subject_id", "at"),
        Index("ix_notification_digest_id_batched_until", "digest_id", "batched_until"),
    )

    notification_id: str = Field(primary_key=True)
    subject_id: str = Field(foreign_key="subject.subject_id")
    idx: int | None = Field(default=None, sa_type=BigInteger)
    kind: str
    event: str
    at: datetime = Field(sa_type=Instant)
    organisation_id: str | None = None
    purpose: str | None = None
    grant_id: str | None = None
    year: int | None = None
    batched_until: datetime | None = Field(default=None, sa_type=Instant)
    digest_id: str | None = None
    read_at: datetime | None = Field(default=None, sa_type=Instant)


class NotificationCursor(Row, table=True):
    """The one row that whoever notifies locks: the next entry to read, and how far time has been told.

    `at` never goes back: no digest of a period is closed twice, whatever the clocks of two workers say.
    """

    __tablename__ = "notification_cursor"

    name: str = Field(primary_key=True)
    next_idx: int = Field(sa_type=BigInteger)
    at: datetime = Field(sa_type=Instant)
    told_year: int


class NotificationPreference(Row, table=True):
    """How one person wants to be told. Without a row: everything at once, in the inbox."""

    __tablename__ = "notification_preference"

    subject_id: str = Field(primary_key=True, foreign_key="subject.subject_id")
    pulls: str
    refusals: str
    wants_yearly: bool
    language: str
    updated_at: datetime = Field(sa_type=Instant)


class Contact(Row, table=True):
    """Where a person wants to be told beside the inbox. Nothing personal goes there before it is confirmed.

    Address and code are sealed in a compartment that an erasure takes. `fault` is why the last try failed.
    """

    __table_args__ = (Index("ix_contact_subject_id_channel", "subject_id", "channel"),)

    contact_id: str = Field(primary_key=True)
    subject_id: str = Field(foreign_key="subject.subject_id")
    channel: str
    address_sealed: bytes = Field(sa_type=LargeBinary)
    code_sealed: bytes = Field(sa_type=LargeBinary)
    language: str
    wrong_codes: int
    created_at: datetime = Field(sa_type=Instant)
    confirmed_at: datetime | None = Field(default=None, sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)
    fault: str | None = None
