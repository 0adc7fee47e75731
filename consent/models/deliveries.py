"""Deliveries: one pull each, what it pinned, and what the recipient decided on it."""

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field

from vault.schema import Instant, Row


class Delivery(Row, table=True):
    """One pull: its place, what it pinned, acknowledgement. Never the plaintext.

    `nonce_sealed` lies under the subject's audit key: with the nonce in clear, the digest of a
    guessable payload could be tried out. `retention_days` is how long the recipient may
    keep it; 0 means not at all.
    """

    __table_args__ = (
        UniqueConstraint("version_id", "ordinal"),
        UniqueConstraint("version_id", "key_digest"),
        ForeignKeyConstraint(["version_id"], ["consent_version.version_id"]),
        Index("ix_delivery_grant_id", "grant_id"),
    )

    delivery_id: str = Field(primary_key=True)
    grant_id: str
    version_id: str
    subject_id: str
    recipient_id: str
    ordinal: int
    places_since: int = 1
    key_digest: bytes = Field(sa_type=LargeBinary)
    request_digest: bytes = Field(sa_type=LargeBinary)
    payload_digest: bytes = Field(sa_type=LargeBinary)
    nonce_sealed: bytes = Field(sa_type=LargeBinary)
    record_count: int
    retention_days: int = 0
    as_of: datetime = Field(sa_type=Instant)
    acknowledged_at: datetime | None = Field(default=None, sa_type=Instant)


class DeliveryRecord(Row, table=True):
    """A record version that a delivery pinned."""

    __tablename__ = "delivery_record"

    delivery_id: str = Field(primary_key=True)
    record_id: str = Field(primary_key=True)
    version: int


class Decision(Row, table=True):
    """What a recipient decided on a delivery, sealed for the citizen in a compartment of its own.

    `number` counts a delivery's decisions from 1; the last one stands, the others stay for the person to see.
    """

    __table_args__ = (UniqueConstraint("delivery_id", "number"),)

    decision_id: str = Field(primary_key=True)
    delivery_id: str = Field(foreign_key="delivery.delivery_id")
    number: int
    grant_id: str = Field(index=True)
    subject_id: str
    recipient_id: str
    compartment_id: str
    body_sealed: bytes = Field(sa_type=LargeBinary)
    body_digest: bytes = Field(sa_type=LargeBinary)
    received_at: datetime = Field(sa_type=Instant)
    review_requested_at: datetime | None = Field(default=None, sa_type=Instant)
