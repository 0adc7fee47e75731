"""Representations, approvals and shields in plain words. Pure."""

from broker.web.i18n import Words
from consent.parties import RepresentationView
from consent.people_vocabulary import (
    Action,
    EmergencyAnswer,
    EmergencyFinding,
    EmergencyReason,
    EmergencyState,
    GuardianEvidence,
    RepresentationEnd,
    RepresentationKind,
    RepresentationState,
)
from consent.vocabulary import ConsentState, EventType


def action_in_words(words: Words, action: Action) -> str:
    """What a representative may do."""
    return {
        Action.SEE: words.gettext("See what I agreed to"),
        Action.CONSENT: words.gettext("Agree for me, and let go on what was paused"),
        Action.WITHDRAW: words.gettext("Pause or stop what was agreed"),
    }[action]


def state_in_words(words: Words, view: RepresentationView) -> str:
    """How far it has come."""
    if view.state is RepresentationState.ACTIVE and view.kind is RepresentationKind.GUARDIAN:
        return words.gettext("Guardian")
    return {
        RepresentationState.OFFERED: words.gettext("Offered, not accepted yet"),
        RepresentationState.ACTIVE: words.gettext("In force"),
        RepresentationState.ENDED: words.gettext("Over"),
    }[view.state]


def end_in_words(words: Words, reason: str) -> str:
    """Why it ended; a reason of a later program keeps its code."""
    known: dict[str, str] = {
        RepresentationEnd.BY_SUBJECT: words.gettext("ended by the person themselves"),
        RepresentationEnd.BY_REPRESENTATIVE: words.gettext("given up by the one who acted"),
        RepresentationEnd.BY_STAFF: words.gettext("ended by our staff"),
        RepresentationEnd.DECLINED: words.gettext("it did not begin"),
        RepresentationEnd.EXPIRED: words.gettext("its time was over"),
        RepresentationEnd.HANDOVER: words.gettext("the child has come of age"),
    }
    return known.get(reason, reason)


def evidence_in_words(words: Words, evidence: str) -> str:
    """How a guardian was verified (PIPA decree article 17-2)."""
    known: dict[str, str] = {
        GuardianEvidence.SMS_NOTICE: words.gettext("by a text message to their phone"),
        GuardianEvidence.CARD: words.gettext("by their payment card"),
        GuardianEvidence.PHONE_IDENTITY: words.gettext("by phone identity check"),
        GuardianEvidence.SIGNED_PAPER: words.gettext("by a signed paper"),
        GuardianEvidence.EMAIL: words.gettext("by e-mail"),
        GuardianEvidence.PHONE_CALL: words.gettext("by a phone call"),
        GuardianEvidence.EQUIVALENT: words.gettext("in another way that is as good"),
    }
    return known.get(evidence, evidence)


def fault_in_words(words: Words, fault: str) -> str:
    """What is wrong with a mandate, and what to do."""
    known: dict[str, str] = {
        "username": words.gettext("Write the sign-in name of the person who is to act for you"),
        "self": words.gettext("Nobody needs a mandate from themselves. Write somebody else's sign-in name"),
        "scope": words.gettext("Choose at least one purpose"),
        "period": words.gettext("Choose a number of days within the limit"),
        "child": words.gettext("A child has a guardian and gives no mandate"),
        "circle": words.gettext("You act for this person yourself. End that first"),
        "too_many_offers": words.gettext("Many offers wait already. Take one back first"),
    }
    return known.get(fault, words.gettext("This mandate cannot begin. Ask the person to offer it again"))


def approval_in_words(words: Words, state: ConsentState, decision: str | None) -> str:
    """How a consent stands for somebody who was asked as a co-holder."""
    if decision == "refused":
        return words.gettext("You said no")
    return {
        ConsentState.PARTIALLY_SIGNED: words.gettext("Waiting for your decision")
        if decision is None
        else words.gettext("You agreed; somebody else has yet to"),
        ConsentState.GIVEN: words.gettext("Agreed, in use"),
        ConsentState.PAUSED: words.gettext("Paused"),
    }.get(state, words.gettext("Over"))


def people_event_in_words(words: Words, event: str) -> str | None:
    """What happened between people, as one short sentence; None for anything else."""
    known: dict[str, str] = {
        EventType.REPRESENTATION_OFFERED: words.gettext("A mandate to act for somebody was offered"),
        EventType.REPRESENTATION_BEGUN: words.gettext("Somebody may act for another person from now on"),
        EventType.REPRESENTATION_REFUSED: words.gettext("Somebody wanted to act for a person and may not"),
        EventType.REPRESENTATION_ENDED: words.gettext("Somebody may not act for another person any more"),
        EventType.COHOLDING_ADDED: words.gettext("An account was registered as shared"),
        EventType.COHOLDING_REMOVED: words.gettext("An account is not shared any more"),
        EventType.APPROVAL_REQUESTED: words.gettext("You were asked about an account that you share"),
        EventType.APPROVAL_GIVEN: words.gettext("You agreed about an account that you share"),
        EventType.APPROVAL_REFUSED: words.gettext("You declined about an account that you share"),
        EventType.APPROVAL_WITHDRAWN: words.gettext("You stopped it for all who share the account"),
        EventType.SHIELD_RAISED: words.gettext("Somebody is not asked or told about you any more"),
        EventType.SHIELD_LIFTED: words.gettext("Somebody is asked and told about you again"),
        EventType.EMERGENCY_OPENED: words.gettext("Your data was opened in an emergency"),
        EventType.EMERGENCY_REFUSED: words.gettext("An access in an emergency was refused"),
        EventType.EMERGENCY_REVIEWED: words.gettext("The access in an emergency was reviewed"),
        EventType.EMERGENCY_ANSWERED: words.gettext("You said what you think of the access in an emergency"),
    }
    return known.get(event)


def emergency_reason_in_words(words: Words, reason: EmergencyReason) -> str:
    """Why the person was not asked."""
    return {
        EmergencyReason.UNCONSCIOUS: words.gettext("you were unconscious"),
        EmergencyReason.UNABLE_TO_ANSWER: words.gettext("you could not answer"),
        EmergencyReason.LIFE_THREATENING: words.gettext("your life was in danger"),
    }[reason]


def emergency_state_in_words(words: Words, state: EmergencyState, finding: str | None) -> str:
    """How far the review has come, and what it found."""
    if finding == EmergencyFinding.JUSTIFIED:
        return words.gettext("Reviewed: it was right")
    if finding == EmergencyFinding.UNJUSTIFIED:
        return words.gettext("Reviewed: it was not right")
    if state is EmergencyState.OVERDUE:
        return words.gettext("The review is late")
    return words.gettext("Being reviewed")


def emergency_answer_in_words(words: Words, answer: str | None) -> str | None:
    """What the person has said of it."""
    known: dict[str | None, str] = {
        EmergencyAnswer.CONFIRMED: words.gettext("You said that it was right"),
        EmergencyAnswer.OBJECTED: words.gettext("You said that it was not right"),
    }
    return known.get(answer)
