"""Closed sets of what people do for people: representations, shields, accesses in an emergency."""

from enum import StrEnum


class RepresentationKind(StrEnum):
    """Why somebody may act for another: the law gives it to a guardian, an adult gives a mandate."""

    GUARDIAN = "guardian"
    MANDATE = "mandate"


class RepresentationState(StrEnum):
    """How far a representation has come; that its time is over is evaluated on reading."""

    OFFERED = "OFFERED"
    ACTIVE = "ACTIVE"
    ENDED = "ENDED"


class RepresentationEnd(StrEnum):
    """Why a representation ended."""

    BY_SUBJECT = "by_subject"
    BY_REPRESENTATIVE = "by_representative"
    BY_STAFF = "by_staff"
    DECLINED = "declined"
    EXPIRED = "expired"
    HANDOVER = "handover"


class Action(StrEnum):
    """What a representative may do: see consents, agree to requests, stop what was agreed."""

    SEE = "see"
    CONSENT = "consent"
    WITHDRAW = "withdraw"


class GuardianEvidence(StrEnum):
    """How it was verified that the guardian agrees: the seven methods of PIPA decree article 17-2."""

    SMS_NOTICE = "sms_notice"
    CARD = "card"
    PHONE_IDENTITY = "phone_identity"
    SIGNED_PAPER = "signed_paper"
    EMAIL = "email"
    PHONE_CALL = "phone_call"
    EQUIVALENT = "equivalent"


class ShieldReason(StrEnum):
    """Why a co-holder is neither asked nor told."""

    OWN_WISH = "own_wish"
    VIOLENCE = "violence"
    ABUSE = "abuse"
    COURT_ORDER = "court_order"


class EmergencyReason(StrEnum):
    """Why somebody cannot be asked while their life is in danger."""

    UNCONSCIOUS = "unconscious"
    UNABLE_TO_ANSWER = "unable_to_answer"
    LIFE_THREATENING = "life_threatening"


class EmergencyState(StrEnum):
    """Whether an access in an emergency was reviewed; OVERDUE is evaluated on reading and never stored."""

    OPEN = "OPEN"
    REVIEWED = "REVIEWED"
    OVERDUE = "OVERDUE"


class EmergencyFinding(StrEnum):
    """What the staff found of it."""

    JUSTIFIED = "justified"
    UNJUSTIFIED = "unjustified"


class EmergencyAnswer(StrEnum):
    """What the person says of it."""

    CONFIRMED = "confirmed"
    OBJECTED = "objected"
