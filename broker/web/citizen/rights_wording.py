"""Kinds, states and rejections of requests by right in plain words. Pure."""

from broker.web.citizen.collecting import refusal_in_words
from broker.web.i18n import Words
from consent.rights import LONGEST_TEXT, STATUTORY_RETENTION
from consent.vocabulary import RightKind, RightState


def kind_in_words(words: Words, kind: RightKind) -> str:
    """What a person asks for."""
    return {
        RightKind.CORRECT: words.gettext("Correct a record about me"),
        RightKind.STOP: words.gettext("Stop using my data"),
        RightKind.ERASE: words.gettext("Erase what is kept about me"),
        RightKind.COMPLAIN: words.gettext("Complain about an organisation that received my data"),
        RightKind.OBJECT: words.gettext("Object to how my data is used"),
    }[kind]


def state_in_words(words: Words, state: RightState) -> str:
    """How far it has come."""
    return {
        RightState.FILED: words.gettext("We have your request"),
        RightState.IN_PROGRESS: words.gettext("A person is working on it"),
        RightState.ANSWERED: words.gettext("Answered"),
        RightState.REJECTED: words.gettext("Turned down"),
        RightState.OVERDUE: words.gettext("Our answer is late"),
    }[state]


def rejection_in_words(words: Words, reason: str) -> str:
    """On which ground it was turned down; a ground of a later program keeps its code."""
    if reason == STATUTORY_RETENTION:
        return words.gettext("another law makes us keep it")
    return refusal_in_words(words, reason)


def fault_in_words(words: Words, field: str, rule: str) -> str:
    """What is wrong with a form; a rule of a later program keeps its code."""
    known = {
        ("kind", "needed"): words.gettext("Choose what you ask for"),
        ("text", "needed"): words.gettext("Write what this is about"),
        ("text", "too_long"): words.gettext(
            "Write at most %(count)s characters", count=words.number(LONGEST_TEXT)
        ),
        ("grant_id", "needed"): words.gettext("Choose the consent that the complaint is about"),
        ("organisation_id", "needed"): words.gettext("Choose the organisation that the record is from"),
        ("for_authority", "complaints_only"): words.gettext(
            "A copy for the authority goes with a complaint only"
        ),
        ("request", "EXCESSIVE_REPEAT"): words.gettext(
            "You have many open requests. Please wait until some of them are answered"
        ),
    }
    return known.get((field, rule), rule)
