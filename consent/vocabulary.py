"""The closed sets of the consent domain. Values are the standards' terms and go on the wire."""

from enum import StrEnum


class ConsentState(StrEnum):
    """The states of a consent (W3C DPV 2.3 consent statuses; ISO/IEC TS 27560)."""

    REQUESTED = "REQUESTED"
    PARTIALLY_SIGNED = "PARTIALLY_SIGNED"
    GIVEN = "GIVEN"
    PAUSED = "PAUSED"
    FULFILLED = "FULFILLED"
    REFUSED = "REFUSED"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"
    REVOKED = "REVOKED"
    INVALIDATED = "INVALIDATED"


class StateReason(StrEnum):
    """Why a consent is paused, revoked or invalidated, where its state alone does not say it."""

    BY_SUBJECT = "by_subject"
    RECONSENT = "reconsent"
    RECIPIENT_SUSPENDED = "recipient_suspended"
    INACTIVITY = "inactivity"
    HANDOVER = "handover"
    RECIPIENT_REMOVED = "recipient_removed"
    SOURCE_UNLINKED = "source_unlinked"
    PURPOSE_WITHDRAWN = "purpose_withdrawn"
    MANDATE_ENDED = "mandate_ended"
    SECURITY = "security"
    BY_AUTHORITY = "by_authority"
    BY_RECIPIENT = "by_recipient"
    UNCLAIMED = "unclaimed"
    CO_HOLDER = "co_holder"
    DEAL_REFUSED = "deal_refused"
    DEAL_EXPIRED = "deal_expired"
    DEAL_CANCELLED = "deal_cancelled"
    DEAL_TEXT_CHANGED = "deal_text_changed"
    DEAL_ROLE = "deal_role"
    DEAL_IMPOSSIBLE = "deal_impossible"


class PartyDecision(StrEnum):
    """What somebody decided who had to sign too."""

    APPROVED = "approved"
    REFUSED = "refused"


class VersionKind(StrEnum):
    """How a version of a consent came to be."""

    REQUEST = "request"
    GRANT = "grant"
    AMENDMENT = "amendment"
    RENEWAL = "renewal"
    NARROWING = "narrowing"
    RECONSENT = "reconsent"


class DealState(StrEnum):
    """What became of a deal: all of its consents are given at once, or none ever is."""

    OPEN = "OPEN"
    COMPLETE = "COMPLETE"
    REFUSED = "REFUSED"
    EXPIRED = "EXPIRED"


class ChangeState(StrEnum):
    """What became of a change that was proposed."""

    OPEN = "OPEN"
    SIGNED = "SIGNED"
    REFUSED = "REFUSED"
    EXPIRED = "EXPIRED"


class Mode(StrEnum):
    """How much of a record is disclosed."""

    PREDICATE = "predicate"
    DERIVED = "derived"
    FIELDS = "fields"
    DOCUMENT = "document"

    @property
    def is_answer(self) -> bool:
        """Whether an answer leaves, and no record."""
        return self in {Mode.PREDICATE, Mode.DERIVED}

    def reveals_less_than(self, other: "Mode") -> bool:
        """The modes are written in the order of what they reveal."""
        order = list(Mode)
        return order.index(self) < order.index(other)


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
    CONSENT_PARTIALLY_SIGNED = "consent_partially_signed"
    CONSENT_PAUSED = "consent_paused"
    CONSENT_FULFILLED = "consent_fulfilled"
    CONSENT_REFUSED = "consent_refused"
    CONSENT_EXPIRED = "consent_expired"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    CONSENT_REVOKED = "consent_revoked"
    CONSENT_INVALIDATED = "consent_invalidated"
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
    ROLE_FORBIDS = "role_forbids"
    INSUFFICIENT_USER_AUTHENTICATION = "insufficient_user_authentication"  # RFC 9470 section 3


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


class RightKind(StrEnum):
    """What a person asks for by right (PIPA articles 35 to 38)."""

    CORRECT = "correct"
    STOP = "stop"
    ERASE = "erase"
    COMPLAIN = "complain"
    OBJECT = "object"


class RightState(StrEnum):
    """How far such a request has come; OVERDUE is evaluated on reading and never stored."""

    FILED = "FILED"
    IN_PROGRESS = "IN_PROGRESS"
    ANSWERED = "ANSWERED"
    REJECTED = "REJECTED"
    OVERDUE = "OVERDUE"


class ObligationState(StrEnum):
    """How far a recipient's obligation to delete has come (dpv:ObligationFulfilled, ObligationViolated)."""

    PENDING = "PENDING"
    NOTIFIED = "NOTIFIED"
    ATTESTED = "ATTESTED"
    OVERDUE = "OVERDUE"
    DISPUTED = "DISPUTED"


class DueCause(StrEnum):
    """Why a recipient must delete what it stored."""

    WITHDRAWN = "withdrawn"
    REVOKED = "revoked"
    INVALIDATED = "invalidated"
    FULFILLED = "fulfilled"
    EXPIRED = "expired"
    RETENTION_OVER = "retention_over"


class DeletionMethod(StrEnum):
    """How a recipient says that it deleted (PIPA decree article 16: so that nobody can restore it)."""

    ERASED = "erased"
    OVERWRITTEN = "overwritten"
    KEY_DESTROYED = "key_destroyed"
    MEDIA_DESTROYED = "media_destroyed"


class AttestationFault(StrEnum):
    """Why an attestation of deletion was refused: stable codes, on the wire and in the log."""

    MALFORMED = "attestation_malformed"
    KEY_UNKNOWN = "attestation_key_unknown"
    MISADDRESSED = "attestation_misaddressed"
    OF_ANOTHER = "attestation_of_another"
    NOT_FRESH = "attestation_not_fresh"
    TOO_EARLY = "attestation_too_early"
    IN_FUTURE = "attestation_in_future"
    DIGESTS_DIFFER = "attestation_digests_differ"


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
    CONSENT_SIGNED = "consent.signed"
    CONSENT_GIVEN = "consent.given"
    CONSENT_REFUSED = "consent.refused"
    CONSENT_PAUSED = "consent.paused"
    CONSENT_RESUMED = "consent.resumed"
    CONSENT_FULFILLED = "consent.fulfilled"
    CONSENT_EXPIRED = "consent.expired"
    CONSENT_WITHDRAWN = "consent.withdrawn"
    CONSENT_REVOKED = "consent.revoked"
    CONSENT_INVALIDATED = "consent.invalidated"
    DEAL_OPENED = "deal.opened"
    DEAL_JOINED = "deal.joined"
    DEAL_COMPLETED = "deal.completed"
    DEAL_REFUSED = "deal.refused"
    DEAL_EXPIRED = "deal.expired"
    CHANGE_REQUESTED = "change.requested"
    CHANGE_REFUSED = "change.refused"
    CHANGE_EXPIRED = "change.expired"
    CONSENT_AMENDED = "consent.amended"
    CONSENT_RENEWED = "consent.renewed"
    CONSENT_NARROWED = "consent.narrowed"
    NOTICE_REVISED = "notice.revised"
    DELIVERY_RELEASED = "delivery.released"
    DELIVERY_REFUSED = "delivery.refused"
    DELIVERY_REPEATED = "delivery.repeated"
    DELIVERY_ACKNOWLEDGED = "delivery.acknowledged"
    RECIPIENT_TOLD = "recipient.told"
    RECIPIENT_UNREACHABLE = "recipient.unreachable"
    DECISION_RECEIVED = "decision.received"
    DECISION_REVIEW_REQUESTED = "decision.review_requested"
    RECORD_TAMPERED = "record.tampered"
    OBLIGATION_DUE = "obligation.due"
    OBLIGATION_NOTIFIED = "obligation.notified"
    OBLIGATION_ATTESTED = "obligation.attested"
    OBLIGATION_OVERDUE = "obligation.overdue"
    OBLIGATION_DISPUTED = "obligation.disputed"
    ATTESTATION_REFUSED = "attestation.refused"
    SHARES_DESTROYED = "shares.destroyed"
    RIGHT_REQUESTED = "right.requested"
    RIGHT_INSPECTED = "right.inspected"
    RIGHT_ANSWERED = "right.answered"
    RIGHT_REJECTED = "right.rejected"
    SUBJECT_EXPORTED = "subject.exported"
    SUBJECT_ERASED = "subject.erased"
    RECORDS_ERASED = "records.erased"
    SIGN_IN_SHARED = "sign_in.shared"
    SIGN_IN_REFUSED = "sign_in.refused"
    REPRESENTATION_OFFERED = "representation.offered"
    REPRESENTATION_BEGUN = "representation.begun"
    REPRESENTATION_REFUSED = "representation.refused"
    REPRESENTATION_ENDED = "representation.ended"
    COHOLDING_ADDED = "coholding.added"
    COHOLDING_REMOVED = "coholding.removed"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_GIVEN = "approval.given"
    APPROVAL_REFUSED = "approval.refused"
    APPROVAL_WITHDRAWN = "approval.withdrawn"
    SHIELD_RAISED = "shield.raised"
    SHIELD_LIFTED = "shield.lifted"
    EMERGENCY_OPENED = "emergency.opened"
    EMERGENCY_REFUSED = "emergency.refused"
    EMERGENCY_REVIEWED = "emergency.reviewed"
    EMERGENCY_ANSWERED = "emergency.answered"
