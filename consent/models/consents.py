"""Consents: the grant, its immutable versions, and what they open."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary, UniqueConstraint
from sqlmodel import Field

from vault.schema import Instant, Row


class Consent(Row, table=True):
    """One consent, which is the OAuth grant. `grant_id` is its public id for life.

    `state_reason` says why it is paused, revoked or invalidated. `signed_by` is the subject id of the
    representative who decides for the person, where it is not the person. Deliveries count against
    `max_pulls` from version `places_since` on: what only takes something away gives no new places. A consent
    of a deal is given only with all the others of `deal_id`. From `pause_at` on it counts as paused, whatever
    its state says.
    """

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
    state_reason: str | None = None
    change_count: int
    version_number: int
    valid_from: datetime = Field(sa_type=Instant)
    valid_until: datetime = Field(sa_type=Instant)
    max_pulls: int
    places_since: int = 1
    deal_id: str | None = Field(default=None, index=True)
    signed_by: str | None = None
    pause_at: datetime | None = Field(default=None, sa_type=Instant, index=True)
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
    kind: str
    terms_sealed: bytes = Field(sa_type=LargeBinary)
    terms_digest: bytes = Field(sa_type=LargeBinary)
    notice_digest: bytes = Field(sa_type=LargeBinary)
    language: str
    receipt_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Instant)


class ConsentCompartment(Row, table=True):
    """A compartment of records that a consent version opens; its key's share lies in the keyring."""

    __tablename__ = "consent_compartment"
    __table_args__ = (Index("ix_consent_compartment_compartment_id", "compartment_id"),)

    version_id: str = Field(primary_key=True, foreign_key="consent_version.version_id")
    compartment_id: str = Field(primary_key=True)


class ConsentChange(Row, table=True):
    """A change that a recipient proposed: the consent stands as it is until the person has signed it.

    At most one of a consent is OPEN. `base_number` is the version that the difference was shown against.
    """

    __tablename__ = "consent_change"
    __table_args__ = (Index("ix_consent_change_state_expires_at", "state", "expires_at"),)

    change_id: str = Field(primary_key=True)
    grant_id: str = Field(foreign_key="consent.grant_id", index=True)
    base_number: int
    terms_sealed: bytes = Field(sa_type=LargeBinary)
    state: str
    created_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)


class ConsentParty(Row, table=True):
    """Somebody besides the subject who must sign: a co-holder of an account that the consent covers."""

    __tablename__ = "consent_party"
    __table_args__ = (Index("ix_consent_party_subject_id", "subject_id"),)

    grant_id: str = Field(primary_key=True, foreign_key="consent.grant_id")
    subject_id: str = Field(primary_key=True, foreign_key="subject.subject_id")
    kind: str
    decision: str | None = None
    decided_at: datetime | None = Field(default=None, sa_type=Instant)


class NoticeRevision(Row, table=True):
    """A text that people were shown, kept for ever. `text` is its canonical JSON, `digest` the SHA-256 of it.

    A material revision asks everybody again who agreed to an earlier one; any other one is only told.
    `applied_to` is the last consent that was dealt with.
    """

    __tablename__ = "notice_revision"
    __table_args__ = (Index("ix_notice_revision_purpose_language", "purpose", "language"),)

    digest: bytes = Field(primary_key=True, sa_type=LargeBinary)
    purpose: str
    language: str
    revision: str
    text: str
    is_material: bool
    predecessor_digest: bytes | None = Field(default=None, sa_type=LargeBinary)
    published_at: datetime = Field(sa_type=Instant)
    applied_to: str
    applied_at: datetime | None = Field(default=None, sa_type=Instant)
