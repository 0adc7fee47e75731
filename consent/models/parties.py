"""People for people: who may act for whom, whose account is shared, who must not be told, emergencies."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field

from vault.schema import Instant, Row


class Representation(Row, table=True):
    """One person may act for another: a guardian for a child, or somebody to whom an adult gave a mandate.

    `representative_id` is null where the sign-in name that a mandate was offered to is nobody's: the answer
    is the same. `purposes` is a JSON array of codes, null for all of them; `actions` are separated by spaces.
    `alone_from` is when a child decides without a guardian, `valid_until` when a guardian's time is over.
    The sealed parts hold the names by which the two know each other, and the evidence with who verified it.
    `handle` is its name in the log, `notice_handle` the one of the representative's side of it.
    """

    __table_args__ = (
        Index("ix_representation_subject_id", "subject_id"),
        Index("ix_representation_representative_id", "representative_id"),
        Index("ix_representation_state_valid_until", "state", "valid_until"),
    )

    representation_id: str = Field(primary_key=True)
    subject_id: str = Field(foreign_key="subject.subject_id")
    representative_id: str | None = Field(default=None, foreign_key="subject.subject_id")
    kind: str
    state: str
    purposes: str | None = None
    actions: str
    evidence: str | None = None
    evidence_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    subject_name_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    representative_name_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    handle: str = Field(unique=True)
    notice_handle: str = Field(unique=True)
    valid_from: datetime = Field(sa_type=Instant)
    valid_until: datetime = Field(sa_type=Instant)
    alone_from: datetime | None = Field(default=None, sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
    begun_at: datetime | None = Field(default=None, sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)
    end_reason: str | None = None


class CoHolding(Row, table=True):
    """One holder of an account that several people hold; the others have a row with the same `account_id`.

    A consent that opens records of this type from this holder needs them all. `handle` is the name in the log
    under which this person is asked.
    """

    __tablename__ = "co_holding"
    __table_args__ = (Index("ix_co_holding_subject_id", "subject_id"),)

    account_id: str = Field(primary_key=True)
    subject_id: str = Field(primary_key=True, foreign_key="subject.subject_id")
    organisation_id: str = Field(foreign_key="organisation.organisation_id")
    record_type: str
    handle: str = Field(unique=True)
    added_at: datetime = Field(sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)


class Shield(Row, table=True):
    """`subject_id` is vulnerable to `other_id`, who is not asked and not told (CDR rule 4A.15).

    `is_confirmed`: the staff looked into it, and the other's yes is not needed any more.
    """

    __table_args__ = (Index("ix_shield_subject_id", "subject_id"),)

    shield_id: str = Field(primary_key=True)
    subject_id: str = Field(foreign_key="subject.subject_id")
    other_id: str = Field(foreign_key="subject.subject_id")
    reason_sealed: bytes = Field(sa_type=LargeBinary)
    is_confirmed: bool
    handle: str = Field(unique=True)
    raised_at: datetime = Field(sa_type=Instant)
    lifted_at: datetime | None = Field(default=None, sa_type=Instant)


class EmergencyAccess(Row, table=True):
    """An access without the person's consent, to protect their life; its consent-like grant is `grant_id`.

    `statement_sealed` is what the organisation said of it, a JSON object of `reason` and `text`. Staff review
    it until `due_at`; `answer` is what the person says of it.
    """

    __tablename__ = "emergency_access"
    __table_args__ = (
        Index("ix_emergency_access_subject_id", "subject_id"),
        Index("ix_emergency_access_state_due_at", "state", "due_at"),
        Index("ix_emergency_access_client_id_state", "client_id", "state"),
    )

    emergency_id: str = Field(primary_key=True)
    subject_id: str = Field(foreign_key="subject.subject_id")
    recipient_id: str = Field(foreign_key="organisation.organisation_id")
    client_id: str
    grant_id: str = Field(unique=True)
    statement_sealed: bytes = Field(sa_type=LargeBinary)
    handle: str = Field(unique=True)
    state: str
    opened_at: datetime = Field(sa_type=Instant)
    due_at: datetime = Field(sa_type=Instant)
    reviewed_at: datetime | None = Field(default=None, sa_type=Instant)
    finding: str | None = None
    answer: str | None = None
    answered_at: datetime | None = Field(default=None, sa_type=Instant)


class EmergencyRefusal(Row, table=True):
    """One refused request of a client, so that those of a day can be counted. What it was lies in the log."""

    __tablename__ = "emergency_refusal"
    __table_args__ = (Index("ix_emergency_refusal_client_id_refused_at", "client_id", "refused_at"),)

    refusal_id: str = Field(primary_key=True)
    client_id: str
    refused_at: datetime = Field(sa_type=Instant)
