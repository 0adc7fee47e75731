"""Tables of the consent domain. Storage and nothing else; validated objects stand in front of rows."""

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field

from vault.schema import Instant, Row


class Subject(Row, table=True):
    """A citizen. The id is ours and random; nothing here identifies a person."""

    subject_id: str = Field(primary_key=True)
    created_at: datetime = Field(sa_type=Instant)


class Organisation(Row, table=True):
    """A party that is not a person: a recipient, a holder, or both."""

    organisation_id: str = Field(primary_key=True)
    name_ko: str
    name_en: str
    registration_number: str
    contact: str
    is_recipient: bool
    is_holder: bool
    status: str
    created_at: datetime = Field(sa_type=Instant)


class SourceLink(Row, table=True):
    """A subject linked to a holder under a collection consent of its own."""

    __tablename__ = "source_link"
    __table_args__ = (
        UniqueConstraint("holder_id", "patient_index"),
        Index("ix_source_link_subject_id", "subject_id"),
    )

    link_id: str = Field(primary_key=True)
    subject_id: str = Field(foreign_key="subject.subject_id")
    holder_id: str = Field(foreign_key="organisation.organisation_id")
    patient_index: bytes | None = Field(sa_type=LargeBinary)
    handle: str
    terms_sealed: bytes = Field(sa_type=LargeBinary)
    terms_digest: bytes = Field(sa_type=LargeBinary)
    given_at: datetime = Field(sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)


class Consent(Row, table=True):
    """One consent, which is the OAuth grant. `grant_id` is its public id for life."""

    __table_args__ = (
        Index("ix_consent_subject_id_created_at", "subject_id", "created_at"),
        Index("ix_consent_state_valid_until", "state", "valid_until"),
    )

    grant_id: str = Field(primary_key=True)
    subject_id: str = Field(foreign_key="subject.subject_id")
    recipient_id: str = Field(foreign_key="organisation.organisation_id")
    client_id: str
    purpose: str
    handle: str = Field(unique=True)
    state: str
    change_count: int
    version_number: int
    valid_from: datetime = Field(sa_type=Instant)
    valid_until: datetime = Field(sa_type=Instant)
    max_pulls: int
    created_at: datetime = Field(sa_type=Instant)
    given_at: datetime | None = Field(default=None, sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)


class ConsentVersion(Row, table=True):
    """What was agreed, immutable: terms, the very notice that was shown, the receipt.

    `version_id` is `grant_id.number`: shares and deliveries are bound to it.
    """

    __tablename__ = "consent_version"
    __table_args__ = (UniqueConstraint("grant_id", "number"),)

    version_id: str = Field(primary_key=True)
    grant_id: str = Field(foreign_key="consent.grant_id")
    number: int
    terms_sealed: bytes = Field(sa_type=LargeBinary)
    terms_digest: bytes = Field(sa_type=LargeBinary)
    notice_digest: bytes = Field(sa_type=LargeBinary)
    language: str
    receipt_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Instant)


class ConsentCompartment(Row, table=True):
    """A compartment of records that a consent version opens; its key's share lies in the keyring."""

    __tablename__ = "consent_compartment"

    version_id: str = Field(primary_key=True, foreign_key="consent_version.version_id")
    compartment_id: str = Field(primary_key=True)


class Delivery(Row, table=True):
    """One pull: its place, what it pinned, acknowledgement. Never the plaintext.

    `nonce_sealed` lies under the subject's audit key: with the nonce in clear, the digest of a
    guessable payload could be tried out.
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
    key_digest: bytes = Field(sa_type=LargeBinary)
    request_digest: bytes = Field(sa_type=LargeBinary)
    payload_digest: bytes = Field(sa_type=LargeBinary)
    nonce_sealed: bytes = Field(sa_type=LargeBinary)
    record_count: int
    as_of: datetime = Field(sa_type=Instant)
    acknowledged_at: datetime | None = Field(default=None, sa_type=Instant)


class DeliveryRecord(Row, table=True):
    """A record version that a delivery pinned."""

    __tablename__ = "delivery_record"

    delivery_id: str = Field(primary_key=True)
    record_id: str = Field(primary_key=True)
    version: int


class Decision(Row, table=True):
    """What a recipient decided on a delivery, sealed for the citizen in a compartment of its own."""

    decision_id: str = Field(primary_key=True)
    delivery_id: str = Field(foreign_key="delivery.delivery_id", unique=True)
    grant_id: str = Field(index=True)
    subject_id: str
    recipient_id: str
    compartment_id: str
    body_sealed: bytes = Field(sa_type=LargeBinary)
    body_digest: bytes = Field(sa_type=LargeBinary)
    received_at: datetime = Field(sa_type=Instant)


class Duty(Row, table=True):
    """An outbox row: what must happen after a commit, and has not yet. Payload holds ids only."""

    __table_args__ = (Index("ix_duty_done_at_due_at", "done_at", "due_at"),)

    duty_id: str = Field(primary_key=True)
    kind: str
    target: str
    due_at: datetime = Field(sa_type=Instant)
    attempts: int = 0
    created_at: datetime = Field(sa_type=Instant)
    done_at: datetime | None = Field(default=None, sa_type=Instant)
