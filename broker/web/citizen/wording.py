"""Codes and values of the consent domain in plain words, for people. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from broker.web.citizen.deleting import deletion_event_in_words, fault_in_words
from broker.web.citizen.event_wording import of_consents, of_deliveries, of_rights, of_sources
from broker.web.citizen.people_wording import people_event_in_words
from broker.web.i18n import Words
from consent.terms import Access, DateRange, Filter, Item, Retention
from consent.vocabulary import ConsentState, DealState, DecisionStatus, Mode, Reason, StateReason
from vault.record_types.catalogue import RecordType

_ACTIVE: Final = frozenset({ConsentState.GIVEN, ConsentState.PAUSED})
_WAITING: Final = frozenset({ConsentState.REQUESTED, ConsentState.PARTIALLY_SIGNED})
_CAN_BE_STOPPED: Final = frozenset({*_ACTIVE, ConsentState.FULFILLED, ConsentState.EXPIRED})

# An example stands on one line: two members of an object are enough to show what it is.
_MEMBERS_TOLD: Final = 2

# How the catalogue's schemas say that a number is an amount in whole won.
_WON: Final = "#/$defs/won"


def group_of(state: ConsentState) -> str:
    """Where a consent stands on the citizen's home: `active`, `waiting` or `ended`."""
    if state in _ACTIVE:
        return "active"
    return "waiting" if state in _WAITING else "ended"


def can_be_stopped(state: ConsentState, *, was_given: bool) -> bool:
    """Whether there is something to stop, or at least something that must be deleted at once.

    A request that nobody answered has expired too, and there is nothing of it to stop. A signature that
    waits for others' can be taken back.
    """
    return state is ConsentState.PARTIALLY_SIGNED or (was_given and state in _CAN_BE_STOPPED)


def state_in_words(words: Words, state: ConsentState) -> str:
    """A state as a short label."""
    return {
        ConsentState.REQUESTED: words.gettext("Waiting for your decision"),
        ConsentState.PARTIALLY_SIGNED: words.gettext("You agreed; somebody else has yet to"),
        ConsentState.GIVEN: words.gettext("Agreed, in use"),
        ConsentState.PAUSED: words.gettext("Paused"),
        ConsentState.FULFILLED: words.gettext("Sent, finished"),
        ConsentState.REFUSED: words.gettext("Declined"),
        ConsentState.EXPIRED: words.gettext("Time is over"),
        ConsentState.WITHDRAWN: words.gettext("Stopped by you"),
        ConsentState.REVOKED: words.gettext("Ended, and not by you"),
        ConsentState.INVALIDATED: words.gettext("No longer valid"),
    }[state]


def deal_state_in_words(words: Words, state: DealState) -> str:
    """The state of a deal as a short label."""
    return {
        DealState.OPEN: words.gettext("Not everybody has signed yet"),
        DealState.COMPLETE: words.gettext("Everybody has signed"),
        DealState.REFUSED: words.gettext("Off: somebody said no"),
        DealState.EXPIRED: words.gettext("Off: time is over"),
    }[state]


def state_reason_in_words(words: Words, reason: str | None) -> str | None:
    """Why a consent is paused or was ended, as a sentence; None where its state says it all."""
    known: dict[str | None, str] = {
        StateReason.BY_SUBJECT: words.gettext("You paused it."),
        StateReason.RECONSENT: words.gettext(
            "The text has changed in a way that matters. It goes on once you have read it and agreed again."
        ),
        StateReason.RECIPIENT_SUSPENDED: words.gettext("The recipient is suspended at the moment."),
        StateReason.INACTIVITY: words.gettext(
            "You have not looked in for a long time, so sending has stopped. You can let it go on."
        ),
        StateReason.HANDOVER: words.gettext(
            "Your guardian agreed to this. You decide for yourself now: let it go on, or stop it."
        ),
        StateReason.RECIPIENT_REMOVED: words.gettext("The recipient may not receive anything any more."),
        StateReason.SOURCE_UNLINKED: words.gettext("The source it came from is not linked any more."),
        StateReason.PURPOSE_WITHDRAWN: words.gettext("The purpose it was given for does not exist any more."),
        StateReason.MANDATE_ENDED: words.gettext("Whoever decided for you may not do so any more."),
        StateReason.SECURITY: words.gettext("It was stopped to protect your data."),
        StateReason.BY_AUTHORITY: words.gettext("An authority had it stopped."),
        StateReason.BY_RECIPIENT: words.gettext("The recipient gave it up."),
        StateReason.UNCLAIMED: words.gettext("The recipient never came for it."),
        StateReason.CO_HOLDER: words.gettext("Somebody whose account it is too said no."),
        StateReason.DEAL_REFUSED: words.gettext("Somebody else in the contract said no, so it is off."),
        StateReason.DEAL_EXPIRED: words.gettext("Not everybody signed in time, so it is off for all."),
        StateReason.DEAL_CANCELLED: words.gettext("Whoever began the contract called it off."),
        StateReason.DEAL_IMPOSSIBLE: words.gettext(
            "It could not come about for one of you any more, so it is off for all."
        ),
        StateReason.DEAL_TEXT_CHANGED: words.gettext(
            "A text that somebody had signed has changed since, so it is off for all."
        ),
        StateReason.DEAL_ROLE: words.gettext("This role in the contract is not for you."),
    }
    return known.get(reason)


def event_in_words(words: Words, event: str, *, answers_review: bool = False) -> str:
    """What happened, as one short sentence; an event of a later program keeps its code.

    `answers_review`: a decision that came since the person had asked for a review.
    """
    if answers_review:
        return words.gettext("The recipient sent its decision after the review")
    known = (of_sources(words), of_consents(words), of_deliveries(words), of_rights(words))
    told = next((texts[event] for texts in known if event in texts), None)
    return told or people_event_in_words(words, event) or deletion_event_in_words(words, event)


def reason_in_words(words: Words, reason: str) -> str:
    """Why a request for data was refused; a reason of a later program keeps its code."""
    known: dict[str, str] = {
        Reason.CONSENT_REQUESTED: words.gettext("you had not agreed yet"),
        Reason.CONSENT_PARTIALLY_SIGNED: words.gettext("somebody else had not agreed yet"),
        Reason.CONSENT_PAUSED: words.gettext("it was paused"),
        Reason.CONSENT_FULFILLED: words.gettext("everything had been sent already"),
        Reason.CONSENT_REFUSED: words.gettext("you had declined"),
        Reason.CONSENT_EXPIRED: words.gettext("the time was over"),
        Reason.CONSENT_WITHDRAWN: words.gettext("you had stopped it"),
        Reason.CONSENT_REVOKED: words.gettext("somebody other than you had ended it"),
        Reason.CONSENT_INVALIDATED: words.gettext("it was no longer valid"),
        Reason.CONSENT_SUPERSEDED: words.gettext("a newer consent had taken its place"),
        Reason.NO_CONSENT: words.gettext("there was no consent"),
        Reason.TOKEN_EXPIRED: words.gettext("the recipient's key was too old"),
        Reason.TOKEN_REVOKED: words.gettext("the recipient's key had been withdrawn"),
        Reason.RECIPIENT_SUSPENDED: words.gettext("the recipient was suspended"),
        Reason.ITEM_NOT_GRANTED: words.gettext("you had not agreed to this item"),
        Reason.OUTSIDE_WINDOW: words.gettext("it was outside the agreed time"),
        Reason.NO_PLACE_LEFT: words.gettext("it had been sent as often as agreed"),
        Reason.CYCLE_NOT_OVER: words.gettext("nothing new had arrived since the last time"),
        Reason.KEY_REUSED: words.gettext("the request contradicted an earlier one"),
        Reason.REDELIVERY_DIFFERS: words.gettext("it would not have been the same data again"),
        Reason.ERASED: words.gettext("the data had been erased"),
        Reason.RECORD_UNREADABLE: words.gettext("a record failed its integrity check"),
        Reason.ROLE_FORBIDS: words.gettext("the law does not let us send this"),
        Reason.INSUFFICIENT_USER_AUTHENTICATION: words.gettext("you had not signed in lately enough for it"),
    }
    return known.get(reason) or fault_in_words(words, reason)


def mode_in_words(words: Words, item: Item) -> str:
    """How much of a record an item discloses."""
    if item.mode is Mode.DOCUMENT:
        return words.gettext("The whole document")
    if item.mode.is_answer:
        return words.gettext("Only the answer, not the record")
    return words.ngettext("Only %(count)s field", "Only %(count)s fields", len(item.fields or ()))


def filter_in_words(words: Words, wanted: Filter | None, data_period: DateRange) -> list[str]:
    """Which records an item covers, one phrase for each limit."""
    period = wanted.period if wanted is not None and wanted.period is not None else data_period
    phrases = [days_in_words(words, period)]
    if wanted is not None and wanted.institution is not None:
        codes = ", ".join(wanted.institution)
        phrases.append(
            words.gettext("Only from the hospital with care institution code %(codes)s", codes=codes)
        )
    return phrases


def days_in_words(words: Words, period: DateRange) -> str:
    """Days from and to, both ends included."""
    return words.gettext(
        "From %(first)s to %(last)s", first=words.day(period.from_), last=words.day(period.to)
    )


def frequency_in_words(words: Words, access: Access) -> str:
    """Whether it is sent regularly, and how often at most (PIPA decree article 42-5: regular or not)."""
    if access.cycle is not None:
        return _cycle_in_words(words, access.cycle)
    if access.max_pulls == 1:
        return words.gettext("Only once, not regularly")
    return words.ngettext(
        "At most %(count)s time, not regularly", "At most %(count)s times, not regularly", access.max_pulls
    )


def _cycle_in_words(words: Words, cycle: str) -> str:
    """When something is sent by itself; a cycle of a later program keeps its code."""
    known = {
        "P1W": words.gettext("once a week"),
        "P2W": words.gettext("once in two weeks"),
        "P3W": words.gettext("once in three weeks"),
        "P4W": words.gettext("once in four weeks"),
        "P1M": words.gettext("once a month"),
    }
    return words.gettext(
        "Regularly: whenever something new arrives, and otherwise at most %(cycle)s",
        cycle=known.get(cycle, cycle),
    )


def until_in_words(words: Words, valid_until: datetime) -> str:
    """The end of access."""
    return words.gettext("Until %(moment)s", moment=words.moment(valid_until))


def retention_in_words(words: Words, retention: Retention) -> str:
    """How long the recipient may keep what it gets, and what it does then."""
    if not retention.store:
        return words.gettext("Not kept: used once, then deleted")
    return words.ngettext(
        "%(count)s day after receiving it, then deleted",
        "%(count)s days after receiving it, then deleted",
        retention.days,
    )


def sensitivity_in_words(words: Words, sensitivity: str) -> str | None:
    """The label of a class that the law treats separately; None for anything else."""
    return words.gettext("Health information (sensitive)") if sensitivity == "health" else None


def decision_in_words(words: Words, status: str) -> str:
    """What a recipient decided; a status of a later program keeps its code."""
    known: dict[str, str] = {
        DecisionStatus.APPROVED: words.gettext("Approved"),
        DecisionStatus.REJECTED: words.gettext("Not approved"),
        DecisionStatus.REVIEW: words.gettext("A person is looking at it"),
    }
    return known.get(status, status)


def part_in_words(words: Words, part: str) -> str:
    """A part of a medical bill as indemnity insurance divides it, or what a rule on a loan looks at."""
    known = {
        "covered": words.gettext("Covered care"),
        "noncovered": words.gettext("Non-covered care"),
        "employment": words.gettext("Employment"),
        "income": words.gettext("Income"),
        "overdue": words.gettext("Overdue loans"),
        "limit": words.gettext("Loans in all"),
    }
    return known.get(part, part)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """How one field's values are told: labels of coded values, and which members are whole won."""

    labels: Mapping[str, str]
    won_members: frozenset[str]


def lexicon_of(words: Words, record_type: RecordType, name: str) -> Lexicon:
    """How the values of one top-level field are told."""
    labels = {
        value: by_language[words.language]
        for path, values in record_type.value_labels.items()
        if path.partition(".")[0].removesuffix("[]") == name
        for value, by_language in values.items()
    }
    schema = record_type.schema["properties"][name]
    members = schema.get("items", schema).get("properties", {})
    return Lexicon(labels, frozenset(member for member, told in members.items() if told.get("$ref") == _WON))


def value_in_words(words: Words, value: Any, lexicon: Lexicon, *, is_won: bool = False) -> str:  # noqa: ANN401 - a JSON value
    """An example value, short enough for one line: of an object two members, of a list the first."""
    match value:
        case bool():
            return words.gettext("Yes") if value else words.gettext("No")
        case int():
            return words.won(value) if is_won else words.number(value)
        case str():
            return lexicon.labels.get(value, _day_or_text(words, value))
        case dict():
            told = list(value.items())[:_MEMBERS_TOLD]
            return ", ".join(
                value_in_words(words, member, lexicon, is_won=name in lexicon.won_members)
                for name, member in told
            )
    first = value_in_words(words, value[0], lexicon) if value else ""
    more = len(value) - 1
    if more < 1:
        return first
    return words.ngettext("%(first)s and %(count)s more", "%(first)s and %(count)s more", more, first=first)


def _day_or_text(words: Words, value: str) -> str:
    try:
        return words.day(date.fromisoformat(value))
    except ValueError:
        return value
