"""Codes and values of the consent domain in plain words, for people. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from broker.web.i18n import Words
from consent.terms import Access, DateRange, Filter, Item, Retention
from consent.vocabulary import ConsentState, DecisionStatus, EventType, Mode, Reason

_ACTIVE: Final = frozenset({ConsentState.GIVEN, ConsentState.PAUSED})
_WAITING: Final = frozenset({ConsentState.REQUESTED})
_CAN_BE_STOPPED: Final = frozenset({*_ACTIVE, ConsentState.FULFILLED, ConsentState.EXPIRED})

# An example stands on one line: two members of an object are enough to show what it is.
_MEMBERS_TOLD: Final = 2


def group_of(state: ConsentState) -> str:
    """Where a consent stands on the citizen's home: `active`, `waiting` or `ended`."""
    if state in _ACTIVE:
        return "active"
    return "waiting" if state in _WAITING else "ended"


def can_be_stopped(state: ConsentState, *, was_given: bool) -> bool:
    """Whether there is something to stop, or at least something that must be deleted at once.

    A request that nobody answered has expired too, and there is nothing of it to stop.
    """
    return was_given and state in _CAN_BE_STOPPED


def state_in_words(words: Words, state: ConsentState) -> str:
    """A state as a short label."""
    return {
        ConsentState.REQUESTED: words.gettext("Waiting for your decision"),
        ConsentState.GIVEN: words.gettext("Agreed, in use"),
        ConsentState.PAUSED: words.gettext("Paused by you"),
        ConsentState.FULFILLED: words.gettext("Sent, finished"),
        ConsentState.REFUSED: words.gettext("Declined"),
        ConsentState.EXPIRED: words.gettext("Time is over"),
        ConsentState.WITHDRAWN: words.gettext("Stopped by you"),
    }[state]


def event_in_words(words: Words, event: str, *, answers_review: bool = False) -> str:
    """What happened, as one short sentence; an event of a later program keeps its code.

    `answers_review`: a decision that came since the person had asked for a review.
    """
    if answers_review:
        return words.gettext("The recipient sent its decision after the review")
    known: dict[str, str] = {
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
        EventType.CONSENT_REQUESTED: words.gettext("Asked for your consent"),
        EventType.CONSENT_GIVEN: words.gettext("You agreed"),
        EventType.CONSENT_REFUSED: words.gettext("You declined"),
        EventType.CONSENT_PAUSED: words.gettext("You paused it"),
        EventType.CONSENT_RESUMED: words.gettext("You let it go on"),
        EventType.CONSENT_FULFILLED: words.gettext("Everything was sent; access has ended"),
        EventType.CONSENT_EXPIRED: words.gettext("The time was over; access has ended"),
        EventType.CONSENT_WITHDRAWN: words.gettext("You stopped it"),
        EventType.DELIVERY_RELEASED: words.gettext("Data was sent"),
        EventType.DELIVERY_REFUSED: words.gettext("A request for data was refused"),
        EventType.DELIVERY_REPEATED: words.gettext("The same data was sent again"),
        EventType.DELIVERY_ACKNOWLEDGED: words.gettext("The recipient confirmed that it arrived"),
        EventType.DECISION_RECEIVED: words.gettext("The recipient sent its decision"),
        EventType.DECISION_REVIEW_REQUESTED: words.gettext("You asked for a person to look at the decision"),
        EventType.RECIPIENT_TOLD: words.gettext("The recipient was told that there is something new"),
        EventType.RECIPIENT_UNREACHABLE: words.gettext("The recipient could not be told"),
        EventType.RECORD_TAMPERED: words.gettext("A changed record was found and not sent"),
        EventType.SHARES_DESTROYED: words.gettext("The keys for this consent were destroyed"),
    }
    return known.get(event, event)


def reason_in_words(words: Words, reason: str) -> str:
    """Why a request for data was refused; a reason of a later program keeps its code."""
    known: dict[str, str] = {
        Reason.CONSENT_REQUESTED: words.gettext("you had not agreed yet"),
        Reason.CONSENT_PAUSED: words.gettext("you had paused it"),
        Reason.CONSENT_FULFILLED: words.gettext("everything had been sent already"),
        Reason.CONSENT_REFUSED: words.gettext("you had declined"),
        Reason.CONSENT_EXPIRED: words.gettext("the time was over"),
        Reason.CONSENT_WITHDRAWN: words.gettext("you had stopped it"),
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
    }
    return known.get(reason, reason)


def mode_in_words(words: Words, item: Item) -> str:
    """How much of a record an item discloses."""
    if item.mode is Mode.DOCUMENT:
        return words.gettext("The whole document")
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
    """A part of a medical bill as indemnity insurance divides it."""
    known = {
        "covered": words.gettext("Covered care"),
        "noncovered": words.gettext("Non-covered care"),
    }
    return known.get(part, part)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """How one field's values are told: labels of coded values, and which members are whole won."""

    labels: Mapping[str, str]
    won_members: frozenset[str]


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
