"""What happens between people, as auditors read it. Pure."""

from broker.web.i18n import Words
from consent.vocabulary import EventType


def people_event_for_auditors(words: Words, event: str) -> str | None:
    """An event of people who act, or decide, for people; None for anything else."""
    known: dict[str, str] = {
        EventType.REPRESENTATION_OFFERED: words.gettext("Mandate offered"),
        EventType.REPRESENTATION_BEGUN: words.gettext("Representation begun"),
        EventType.REPRESENTATION_REFUSED: words.gettext("Representation refused"),
        EventType.REPRESENTATION_ENDED: words.gettext("Representation ended"),
        EventType.COHOLDING_ADDED: words.gettext("Shared account registered"),
        EventType.COHOLDING_REMOVED: words.gettext("Shared account removed"),
        EventType.APPROVAL_REQUESTED: words.gettext("Co-holder asked"),
        EventType.APPROVAL_GIVEN: words.gettext("Co-holder approved"),
        EventType.APPROVAL_REFUSED: words.gettext("Co-holder refused"),
        EventType.APPROVAL_WITHDRAWN: words.gettext("Co-holder withdrew the consent"),
        EventType.SHIELD_RAISED: words.gettext("Shield raised"),
        EventType.SHIELD_LIFTED: words.gettext("Shield lifted"),
        EventType.EMERGENCY_OPENED: words.gettext("Emergency access opened"),
        EventType.EMERGENCY_REFUSED: words.gettext("Emergency access refused"),
        EventType.EMERGENCY_REVIEWED: words.gettext("Emergency access reviewed"),
        EventType.EMERGENCY_ANSWERED: words.gettext("Person answered to an emergency access"),
    }
    return known.get(event)
