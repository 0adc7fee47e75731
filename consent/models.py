"""Tables of the consent domain. Storage and nothing else; validated objects stand in front of rows."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, LargeBinary, UniqueConstraint
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
    """A subject linked to a holder under a collection consent of its own.

    `patient_index` and `person_index` are keyed indexes of the holder's number and of name with birth date;
    the sealed identity goes with the link, and cannot be opened after an erasure.
    """

    __tablename__ = "source_link"
    __table_args__ = (
        UniqueConstraint("holder_id", "patient_index"),
        Index("ix_source_link_subject_id", "subject_id"),
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
    __table_args__ = (Index("ix_consent_compartment_compartment_id", "compartment_id"),)

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


class Duty(Row, table=True):
    """An outbox row: what must happen after a commit, and has not yet. Payload holds ids only.

    `fault` is the code of the last failure; `dead_at` says since when nothing tries it any more.
    """

    __table_args__ = (Index("ix_duty_done_at_due_at", "done_at", "due_at"),)

    duty_id: str = Field(primary_key=True)
    kind: str
    target: str
    due_at: datetime = Field(sa_type=Instant)
    attempts: int = 0
    created_at: datetime = Field(sa_type=Instant)
    done_at: datetime | None = Field(default=None, sa_type=Instant)
    dead_at: datetime | None = Field(default=None, sa_type=Instant)
    fault: str | None = None
