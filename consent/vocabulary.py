"""The closed sets of the consent domain. Values are the standards' terms and go on the wire."""

from enum import StrEnum


class ConsentState(StrEnum):
    """The states of a consent (W3C DPV 2.3 consent statuses; ISO/IEC TS 27560)."""

    REQUESTED = "REQUESTED"
    GIVEN = "GIVEN"
    PAUSED = "PAUSED"
    FULFILLED = "FULFILLED"
    REFUSED = "REFUSED"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"


class Mode(StrEnum):
    """How much of a record is disclosed."""

    FIELDS = "fields"
    DOCUMENT = "document"


class AccessKind(StrEnum):
    """How often a recipient may pull."""

    ONCE = "once"
    PERIODIC = "periodic"


class OnEnd(StrEnum):
    """What a recipient does with what it stored once its time is over."""

    DELETE = "delete"


class Sensitivity(StrEnum):
    """Classes that Korean law asks a separate decision for (PIPA articles 23 and 24)."""

    ORDINARY = "ordinary"
    HEALTH = "health"
    FINANCIAL = "financial"


class Reason(StrEnum):
    """Why something about a person's data was refused: stable codes, on the wire and in the log."""

    CONSENT_REQUESTED = "consent_requested"
    CONSENT_PAUSED = "consent_paused"
    CONSENT_FULFILLED = "consent_fulfilled"
    CONSENT_REFUSED = "consent_refused"
    CONSENT_EXPIRED = "consent_expired"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    CONSENT_SUPERSEDED = "consent_superseded"
    NO_CONSENT = "no_consent"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a reason, no secret
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - a reason, no secret
    RECIPIENT_SUSPENDED = "recipient_suspended"
    ITEM_NOT_GRANTED = "item_not_granted"
    OUTSIDE_WINDOW = "outside_window"
    NO_PLACE_LEFT = "no_place_left"
    CYCLE_NOT_OVER = "cycle_not_over"
    KEY_REUSED = "key_reused"
    REDELIVERY_DIFFERS = "redelivery_differs"
    ERASED = "erased"
    RECORD_UNREADABLE = "record_unreadable"


class RefusalReason(StrEnum):
    """Why a holder may refuse or stop a transmission: the eleven grounds of PIPA decree article 42-8(1)."""

    GUARDIAN_UNVERIFIED = "GUARDIAN_UNVERIFIED"
    ACCESS_RESTRICTED_BY_LAW = "ACCESS_RESTRICTED_BY_LAW"
    THIRD_PARTY_RIGHTS = "THIRD_PARTY_RIGHTS"
    AGENT_UNVERIFIED = "AGENT_UNVERIFIED"
    REQUEST_NOT_SPECIFIC = "REQUEST_NOT_SPECIFIC"
    IDENTITY_UNVERIFIED = "IDENTITY_UNVERIFIED"
    CREDENTIAL_THEFT = "CREDENTIAL_THEFT"
    RECEIVER_NOT_ELIGIBLE = "RECEIVER_NOT_ELIGIBLE"
    CRIMINAL_MISUSE = "CRIMINAL_MISUSE"
    EXCESSIVE_REPEAT = "EXCESSIVE_REPEAT"
    DECEPTION_OR_DURESS = "DECEPTION_OR_DURESS"


class Doubt(StrEnum):
    """Why a record is kept apart until a person has decided: whose it is, or what it says, is not certain."""

    PERSON_NOT_LINKED = "person_not_linked"
    PERSON_AMBIGUOUS = "person_ambiguous"
    NUMBER_DIFFERS = "number_differs"
    NAME_DIFFERS = "name_differs"
    BIRTH_DATE_DIFFERS = "birth_date_differs"
    RECORD_FAULTY = "record_faulty"
    CONTRADICTS_ANOTHER = "contradicts_another"


class DecisionStatus(StrEnum):
    """What a recipient decided; `review` means that a person is still looking."""

    APPROVED = "approved"
    REJECTED = "rejected"
    REVIEW = "review"


class EventType(StrEnum):
    """What the ledger can say happened: `object.past_participle`, never reused for another meaning."""

    SOURCE_LINKED = "source.linked"
    SOURCE_UNLINKED = "source.unlinked"
    SOURCE_EXPIRED = "source.expired"
    RECORDS_COLLECTED = "records.collected"
    RECORDS_REJECTED = "records.rejected"
    COLLECTION_REFUSED = "collection.refused"
    RECORD_HELD = "record.held"
    RECORD_INSPECTED = "record.inspected"
    RECORD_ADMITTED = "record.admitted"
    RECORD_DISMISSED = "record.dismissed"
    RECORD_LAPSED = "record.lapsed"
    SUBJECT_SEARCHED = "subject.searched"
    CONSENT_REQUESTED = "consent.requested"
    CONSENT_GIVEN = "consent.given"
    CONSENT_REFUSED = "consent.refused"
    CONSENT_PAUSED = "consent.paused"
    CONSENT_RESUMED = "consent.resumed"
    CONSENT_FULFILLED = "consent.fulfilled"
    CONSENT_EXPIRED = "consent.expired"
    CONSENT_WITHDRAWN = "consent.withdrawn"
    DELIVERY_RELEASED = "delivery.released"
    DELIVERY_REFUSED = "delivery.refused"
    DELIVERY_REPEATED = "delivery.repeated"
    DELIVERY_ACKNOWLEDGED = "delivery.acknowledged"
    RECIPIENT_TOLD = "recipient.told"
    RECIPIENT_UNREACHABLE = "recipient.unreachable"
    DECISION_RECEIVED = "decision.received"
    DECISION_REVIEW_REQUESTED = "decision.review_requested"
    RECORD_TAMPERED = "record.tampered"
    SHARES_DESTROYED = "shares.destroyed"
