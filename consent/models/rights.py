"""What people ask for by right, and what statistics keep: counts, never a person."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary, Text
from sqlmodel import Field

from vault.schema import Instant, Row


class RightRequest(Row, table=True):
    """A request of a person by right: correct, stop, erase, complain, object (PIPA articles 35 to 38).

    `grant_id` and `organisation_id` name what it is about, if anything. Sealed under the person's audit key:
    their words, the consent's record that goes with a complaint, and the answer. `reason` says why it was
    rejected. Whether it is overdue is evaluated on reading.
    """

    __tablename__ = "right_request"
    __table_args__ = (
        Index("ix_right_request_subject_id", "subject_id"),
        Index("ix_right_request_state_due_at", "state", "due_at"),
    )

    right_id: str = Field(primary_key=True)
    subject_id: str = Field(foreign_key="subject.subject_id")
    kind: str
    state: str
    handle: str = Field(unique=True)
    grant_id: str | None = None
    organisation_id: str | None = None
    body_sealed: bytes = Field(sa_type=LargeBinary)
    record_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    answer_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    reason: str | None = None
    filed_at: datetime = Field(sa_type=Instant)
    due_at: datetime = Field(sa_type=Instant)
    taken_at: datetime | None = Field(default=None, sa_type=Instant)
    answered_at: datetime | None = Field(default=None, sa_type=Instant)


class AbandonedFlow(Row, table=True):
    """How many requests of recipients came to nothing before there was a consent, by month and stage.

    The rows of such requests are deleted; this is what is left of them.
    """

    __tablename__ = "abandoned_flow"

    month: str = Field(primary_key=True)
    purpose: str = Field(primary_key=True)
    stage: str = Field(primary_key=True)
    flows: int


class StatisticsFold(Row, table=True):
    """How far the statistics have been folded over the log, and their state there (canonical JSON)."""

    __tablename__ = "statistics_fold"

    name: str = Field(primary_key=True)
    size: int = Field(sa_type=BigInteger)
    body: str = Field(sa_type=Text)
