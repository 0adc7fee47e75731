"""What happened between us and a holder in plain words: refusals, doubts, the steps of a link. Pure."""

from collections.abc import Sequence

from broker.web.citizen import wording
from broker.web.citizen.views import Step
from broker.web.i18n import Words
from consent.reading import TimelineEvent
from consent.vocabulary import Doubt, EventType, RefusalReason

_REFUSALS = frozenset({EventType.COLLECTION_REFUSED, EventType.RECORDS_REJECTED})


def refusal_in_words(words: Words, reason: str) -> str:
    """On which legal ground a holder sends nothing; a ground of a later program keeps its code."""
    known: dict[str, str] = {
        RefusalReason.GUARDIAN_UNVERIFIED: words.gettext("it could not confirm the guardian"),
        RefusalReason.ACCESS_RESTRICTED_BY_LAW: words.gettext("a law restricts access to these records"),
        RefusalReason.THIRD_PARTY_RIGHTS: words.gettext("it could harm the rights of somebody else"),
        RefusalReason.AGENT_UNVERIFIED: words.gettext("it could not confirm who acts for you"),
        RefusalReason.REQUEST_NOT_SPECIFIC: words.gettext("the request was not specific enough"),
        RefusalReason.IDENTITY_UNVERIFIED: words.gettext("it could not confirm that it is you"),
        RefusalReason.CREDENTIAL_THEFT: words.gettext("it suspects that somebody uses your identity"),
        RefusalReason.RECEIVER_NOT_ELIGIBLE: words.gettext("it may not send to this service"),
        RefusalReason.CRIMINAL_MISUSE: words.gettext("it suspects that the records serve a crime"),
        RefusalReason.EXCESSIVE_REPEAT: words.gettext("it was asked too often"),
        RefusalReason.DECEPTION_OR_DURESS: words.gettext("it suspects deception or pressure"),
    }
    return known.get(reason, reason)


def doubt_in_words(words: Words, rule: str) -> str:
    """Why a record was kept apart; a rule of a later program keeps its code."""
    known: dict[str, str] = {
        Doubt.PERSON_NOT_LINKED: words.gettext("the number belongs to nobody here"),
        Doubt.PERSON_AMBIGUOUS: words.gettext("it could belong to more than one person"),
        Doubt.NUMBER_DIFFERS: words.gettext("your name was on it, with another number"),
        Doubt.NAME_DIFFERS: words.gettext("it bore another name"),
        Doubt.BIRTH_DATE_DIFFERS: words.gettext("it bore another birth date"),
        Doubt.RECORD_FAULTY: words.gettext("it had mistakes that only the organisation can mend"),
        Doubt.CONTRADICTS_ANOTHER: words.gettext("two records under one number said different things"),
        "foreign_person": words.gettext("they belong to somebody else"),
    }
    return known.get(rule, rule)


def link_steps(words: Words, events: Sequence[TimelineEvent]) -> list[Step]:
    """What happened to a link, the newest first."""
    return [
        Step(
            index=event.index,
            at=event.at,
            text=wording.event_in_words(words, event.type),
            note=_note(words, event),
            is_refusal=event.type in _REFUSALS,
        )
        for event in reversed(events)
    ]


def _note(words: Words, event: TimelineEvent) -> str | None:
    if (reason := event.facts.get("reason")) is not None:
        return refusal_in_words(words, str(reason))
    if (rule := event.facts.get("rule")) is not None:
        return doubt_in_words(words, str(rule))
    return None
