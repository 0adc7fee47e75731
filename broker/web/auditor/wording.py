"""Events of the log in an auditor's words: what happened, not to whom. Pure."""

from broker.web.i18n import Words
from consent.vocabulary import EventType


def event_for_auditors(words: Words, event: str) -> str:
    """The name of an event; an event of a later program keeps its code."""
    known: dict[str, str] = {
        EventType.SOURCE_LINKED: words.gettext("Source linked"),
        EventType.SOURCE_UNLINKED: words.gettext("Source unlinked"),
        EventType.SOURCE_EXPIRED: words.gettext("Source link expired"),
        EventType.RECORDS_COLLECTED: words.gettext("Records collected"),
        EventType.RECORDS_REJECTED: words.gettext("Foreign records rejected"),
        EventType.COLLECTION_REFUSED: words.gettext("Collection refused by the holder"),
        EventType.RECORD_HELD: words.gettext("Record kept apart"),
        EventType.RECORD_INSPECTED: words.gettext("Record kept apart was inspected"),
        EventType.RECORD_ADMITTED: words.gettext("Record kept apart was admitted"),
        EventType.RECORD_DISMISSED: words.gettext("Record kept apart was dismissed"),
        EventType.RECORD_LAPSED: words.gettext("Record kept apart lapsed"),
        EventType.SUBJECT_SEARCHED: words.gettext("Subject searched by number"),
        EventType.CONSENT_REQUESTED: words.gettext("Consent requested"),
        EventType.CONSENT_GIVEN: words.gettext("Consent given"),
        EventType.CONSENT_REFUSED: words.gettext("Consent refused"),
        EventType.CONSENT_PAUSED: words.gettext("Consent paused"),
        EventType.CONSENT_RESUMED: words.gettext("Consent resumed"),
        EventType.CONSENT_FULFILLED: words.gettext("Consent fulfilled"),
        EventType.CONSENT_EXPIRED: words.gettext("Consent expired"),
        EventType.CONSENT_WITHDRAWN: words.gettext("Consent withdrawn"),
        EventType.DELIVERY_RELEASED: words.gettext("Data released"),
        EventType.DELIVERY_REFUSED: words.gettext("Pull refused"),
        EventType.DELIVERY_REPEATED: words.gettext("Data redelivered"),
        EventType.DELIVERY_ACKNOWLEDGED: words.gettext("Delivery acknowledged"),
        EventType.DECISION_RECEIVED: words.gettext("Decision received"),
        EventType.DECISION_REVIEW_REQUESTED: words.gettext("Review of a decision requested"),
        EventType.RECIPIENT_TOLD: words.gettext("Recipient told of something new"),
        EventType.RECIPIENT_UNREACHABLE: words.gettext("Recipient could not be told"),
        EventType.RECORD_TAMPERED: words.gettext("Tampered record found"),
        EventType.SHARES_DESTROYED: words.gettext("Key shares destroyed"),
    }
    return known.get(event, event)
