"""Deals: several people, one matter, all or nothing."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field

from vault.schema import Instant, Row


class Deal(Row, table=True):
    """One matter that several people sign, each with a consent of their own.

    `client_id` and `recipient_id` opened it. `matter_sealed` is a short text about what it is. `handle` is
    its name in the log.
    """

    __table_args__ = (Index("ix_deal_state_deadline", "state", "deadline"),)

    deal_id: str = Field(primary_key=True)
    handle: str = Field(unique=True)
    kind: str
    client_id: str = Field(index=True)
    recipient_id: str = Field(foreign_key="organisation.organisation_id")
    matter_sealed: bytes = Field(sa_type=LargeBinary)
    state: str
    state_reason: str | None = None
    deadline: datetime = Field(sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)


class DealMember(Row, table=True):
    """One role of a deal: which client asks for which purpose, and, once somebody came, whose consent it is.

    The invitation is stored as SHA-256 only. `signed_at` is set once and never taken back.
    """

    __tablename__ = "deal_member"
    __table_args__ = (
        Index("ix_deal_member_deal_id_role", "deal_id", "role", unique=True),
        Index("ix_deal_member_subject_id", "subject_id"),
    )

    member_id: str = Field(primary_key=True)
    deal_id: str = Field(foreign_key="deal.deal_id")
    role: str
    purpose: str
    client_id: str
    recipient_id: str = Field(foreign_key="organisation.organisation_id")
    invitation_digest: bytes = Field(sa_type=LargeBinary, unique=True)
    grant_id: str | None = Field(default=None, foreign_key="consent.grant_id", unique=True)
    subject_id: str | None = Field(default=None, foreign_key="subject.subject_id")
    signed_at: datetime | None = Field(default=None, sa_type=Instant)
