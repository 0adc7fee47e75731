"""What happened, in plain words for the person it happened to. Pure; `wording.event_in_words` is the door."""

from collections.abc import Mapping

from broker.web.i18n import Words
from consent.vocabulary import EventType


def of_sources(words: Words) -> Mapping[str, str]:
    """What happened to links and to records that are collected."""
    return {
        EventType.SOURCE_LINKED: words.gettext("A source was linked"),
        EventType.SOURCE_UNLINKED: words.gettext("A source was unlinked"),
        EventType.SOURCE_EXPIRED: words.gettext("The agreed time was over; collecting has ended"),
        EventType.RECORDS_COLLECTED: words.gettext("Records were collected"),
        EventType.RECORDS_REJECTED: words.gettext("Records of somebody else arrived and were not kept"),
        EventType.COLLECTION_REFUSED: words.gettext("The organisation refused to send your records"),
        EventType.RECORD_HELD: words.gettext("A record is kept apart until a person has looked at it"),
        EventType.RECORD_INSPECTED: words.gettext("A member of our staff looked at a record kept apart"),
        EventType.RECORD_ADMITTED: words.gettext("A record kept apart was found to be right, and taken"),
        EventType.RECORD_DISMISSED: words.gettext("A record kept apart was not taken"),
        EventType.RECORD_LAPSED: words.gettext(
            "A record kept apart was destroyed, since nobody decided in time"
        ),
        EventType.SUBJECT_SEARCHED: words.gettext("A member of our staff looked you up by your number"),
    }


def of_consents(words: Words) -> Mapping[str, str]:
    """What happened to consents and deals."""
    return {
        EventType.CONSENT_REQUESTED: words.gettext("Asked for your consent"),
        EventType.CONSENT_SIGNED: words.gettext("You agreed; somebody else has yet to"),
        EventType.CONSENT_GIVEN: words.gettext("You agreed"),
        EventType.CONSENT_REFUSED: words.gettext("You declined"),
        EventType.CONSENT_PAUSED: words.gettext("It was paused"),
        EventType.CONSENT_RESUMED: words.gettext("It went on"),
        EventType.CONSENT_FULFILLED: words.gettext("Everything was sent; access has ended"),
        EventType.CONSENT_EXPIRED: words.gettext("The time was over; access has ended"),
        EventType.CONSENT_WITHDRAWN: words.gettext("You stopped it"),
        EventType.CONSENT_REVOKED: words.gettext("It was ended, and not by you"),
        EventType.CONSENT_INVALIDATED: words.gettext("What it stood on has fallen; access has ended"),
        EventType.DEAL_OPENED: words.gettext("A contract of several people was begun"),
        EventType.DEAL_JOINED: words.gettext("You came to your role in the contract"),
        EventType.DEAL_COMPLETED: words.gettext("Everybody in the contract has signed"),
        EventType.DEAL_REFUSED: words.gettext("The contract is off: somebody said no"),
        EventType.DEAL_EXPIRED: words.gettext("The contract is off: not everybody signed in time"),
        EventType.CHANGE_REQUESTED: words.gettext("The recipient asked to change it"),
        EventType.CHANGE_REFUSED: words.gettext("You declined the change; it stays as it was"),
        EventType.CHANGE_EXPIRED: words.gettext("Nobody decided on the change; it stays as it was"),
        EventType.CONSENT_AMENDED: words.gettext("You agreed to the change"),
        EventType.CONSENT_RENEWED: words.gettext("You extended it"),
        EventType.CONSENT_NARROWED: words.gettext("You took something away from it"),
        EventType.NOTICE_REVISED: words.gettext("The text about it was revised"),
        EventType.SHARES_DESTROYED: words.gettext("The keys for this consent were destroyed"),
    }


def of_deliveries(words: Words) -> Mapping[str, str]:
    """What happened with deliveries and what followed from them."""
    return {
        EventType.DELIVERY_RELEASED: words.gettext("Data was sent"),
        EventType.DELIVERY_REFUSED: words.gettext("A request for data was refused"),
        EventType.DELIVERY_REPEATED: words.gettext("The same data was sent again"),
        EventType.DELIVERY_ACKNOWLEDGED: words.gettext("The recipient confirmed that it arrived"),
        EventType.DECISION_RECEIVED: words.gettext("The recipient sent its decision"),
        EventType.DECISION_REVIEW_REQUESTED: words.gettext("You asked for a person to look at the decision"),
        EventType.RECIPIENT_TOLD: words.gettext("The recipient was told what is new"),
        EventType.RECIPIENT_UNREACHABLE: words.gettext("The recipient could not be told"),
        EventType.RECORD_TAMPERED: words.gettext("A changed record was found and not sent"),
    }


def of_rights(words: Words) -> Mapping[str, str]:
    """What happened with requests by right, downloads and erasures."""
    return {
        EventType.RIGHT_REQUESTED: words.gettext("You sent us a request about your rights"),
        EventType.RIGHT_INSPECTED: words.gettext("A member of our staff looked at your request"),
        EventType.RIGHT_ANSWERED: words.gettext("Your request was answered"),
        EventType.RIGHT_REJECTED: words.gettext("Your request was turned down"),
        EventType.SUBJECT_EXPORTED: words.gettext("Everything about you was downloaded"),
        EventType.SUBJECT_ERASED: words.gettext("Everything about you was erased"),
        EventType.RECORDS_ERASED: words.gettext("What was kept from this source was erased"),
        EventType.SIGN_IN_SHARED: words.gettext("You signed in at an organisation with this account"),
        EventType.SIGN_IN_REFUSED: words.gettext("You chose not to sign in at an organisation"),
    }
