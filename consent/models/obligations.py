"""Obligations: what a recipient owes for what it may store, and how it was closed."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field

from vault.schema import Instant, Row


class Obligation(Row, table=True):
    """One for each consent, from its first delivery that may be stored. The lane inserts it, and no more.

    `state` and `due_at` are as they were written last; whether they still stand depends on the deliveries
    (`consent.obligations.standing`). `due_at` and `cause` are set once the end is known; `check_at` is when
    to look next. `attested_count` deliveries are covered by the attestation, which lies sealed under the
    subject's audit key. `days_after_end` is the rule that was in force when the first delivery was made.
    """

    __table_args__ = (
        Index("ix_obligation_recipient_id_obligation_id", "recipient_id", "obligation_id"),
        Index("ix_obligation_state_due_at", "state", "due_at"),
        Index("ix_obligation_check_at", "check_at"),
    )

    obligation_id: str = Field(primary_key=True)
    grant_id: str = Field(unique=True)
    subject_id: str
    recipient_id: str
    state: str
    days_after_end: int
    opened_at: datetime = Field(sa_type=Instant)
    cause: str | None = None
    due_at: datetime | None = Field(default=None, sa_type=Instant)
    check_at: datetime | None = Field(default=None, sa_type=Instant)
    acknowledged_at: datetime | None = Field(default=None, sa_type=Instant)
    attested_at: datetime | None = Field(default=None, sa_type=Instant)
    attested_count: int = 0
    attestation_digest: bytes | None = Field(default=None, sa_type=LargeBinary)
    attestation_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    disputed_at: datetime | None = Field(default=None, sa_type=Instant)
