"""Events of the log in an auditor's words: what happened, not to whom. Pure."""

from collections.abc import Mapping

from broker.web.auditor.people_wording import people_event_for_auditors
from broker.web.i18n import Words
from consent.vocabulary import EventType


def event_for_auditors(words: Words, event: str) -> str:
    """The name of an event; an event of a later program keeps its code."""
    told = _of_records(words).get(event) or _of_consents(words).get(event)
    return told or people_event_for_auditors(words, event) or _deletion_for_auditors(words, event)


def _of_records(words: Words) -> Mapping[str, str]:
    return {
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
        EventType.RECORD_TAMPERED: words.gettext("Tampered record found"),
        EventType.RIGHT_REQUESTED: words.gettext("Request by right filed"),
        EventType.RIGHT_INSPECTED: words.gettext("Request by right was inspected"),
        EventType.RIGHT_ANSWERED: words.gettext("Request by right answered"),
        EventType.RIGHT_REJECTED: words.gettext("Request by right rejected"),
        EventType.SUBJECT_EXPORTED: words.gettext("Everything about a subject exported"),
        EventType.SUBJECT_ERASED: words.gettext("Subject erased"),
        EventType.RECORDS_ERASED: words.gettext("Records of a source erased"),
        EventType.SIGN_IN_SHARED: words.gettext("Person signed in at a recipient"),
        EventType.SIGN_IN_REFUSED: words.gettext("Person declined to sign in at a recipient"),
    }


def _of_consents(words: Words) -> Mapping[str, str]:
    return {
        EventType.CONSENT_REQUESTED: words.gettext("Consent requested"),
        EventType.CONSENT_SIGNED: words.gettext("Consent signed, not by everybody yet"),
        EventType.CONSENT_GIVEN: words.gettext("Consent given"),
        EventType.CONSENT_REFUSED: words.gettext("Consent refused"),
        EventType.CONSENT_PAUSED: words.gettext("Consent paused"),
        EventType.CONSENT_RESUMED: words.gettext("Consent resumed"),
        EventType.CONSENT_FULFILLED: words.gettext("Consent fulfilled"),
        EventType.CONSENT_EXPIRED: words.gettext("Consent expired"),
        EventType.CONSENT_WITHDRAWN: words.gettext("Consent withdrawn"),
        EventType.CONSENT_REVOKED: words.gettext("Consent revoked"),
        EventType.CONSENT_INVALIDATED: words.gettext("Consent invalidated"),
        EventType.DEAL_OPENED: words.gettext("Deal opened"),
        EventType.DEAL_JOINED: words.gettext("Role of a deal taken"),
        EventType.DEAL_COMPLETED: words.gettext("Deal completed: all consents given"),
        EventType.DEAL_REFUSED: words.gettext("Deal refused"),
        EventType.DEAL_EXPIRED: words.gettext("Deal expired"),
        EventType.CHANGE_REQUESTED: words.gettext("Change of a consent requested"),
        EventType.CHANGE_REFUSED: words.gettext("Change of a consent refused"),
        EventType.CHANGE_EXPIRED: words.gettext("Change of a consent expired"),
        EventType.CONSENT_AMENDED: words.gettext("Consent amended"),
        EventType.CONSENT_RENEWED: words.gettext("Consent renewed"),
        EventType.CONSENT_NARROWED: words.gettext("Consent narrowed"),
        EventType.NOTICE_REVISED: words.gettext("Notice revised"),
        EventType.DELIVERY_RELEASED: words.gettext("Data released"),
        EventType.DELIVERY_REFUSED: words.gettext("Pull refused"),
        EventType.DELIVERY_REPEATED: words.gettext("Data redelivered"),
        EventType.DELIVERY_ACKNOWLEDGED: words.gettext("Delivery acknowledged"),
        EventType.DECISION_RECEIVED: words.gettext("Decision received"),
        EventType.DECISION_REVIEW_REQUESTED: words.gettext("Review of a decision requested"),
        EventType.RECIPIENT_TOLD: words.gettext("Recipient told"),
        EventType.RECIPIENT_UNREACHABLE: words.gettext("Recipient could not be told"),
        EventType.SHARES_DESTROYED: words.gettext("Key shares destroyed"),
    }


def _deletion_for_auditors(words: Words, event: str) -> str:
    known: dict[str, str] = {
        EventType.OBLIGATION_DUE: words.gettext("Deletion due"),
        EventType.OBLIGATION_NOTIFIED: words.gettext("Recipient acknowledged deletion duty"),
        EventType.OBLIGATION_ATTESTED: words.gettext("Deletion attested"),
        EventType.OBLIGATION_OVERDUE: words.gettext("Deletion overdue"),
        EventType.OBLIGATION_DISPUTED: words.gettext("Deletion attestation disputed"),
        EventType.ATTESTATION_REFUSED: words.gettext("Deletion attestation refused"),
    }
    return known.get(event, event)
