"""Codes of operation in an operator's words. Pure; a code of a later program stays as it is."""

from collections.abc import Mapping
from datetime import timedelta

from broker.web.i18n import Words
from consent.counting import ABANDONED, ACTIVE
from consent.outbox import DutyKind
from consent.statistics import (
    AMENDED,
    DELIVERIES,
    EXPIRED,
    FULFILLED,
    INVALIDATED,
    NARROWED,
    NEW_ONCE,
    NEW_ONGOING,
    NEW_UNKNOWN,
    PRE_AUTHORISATION,
    RECONSENTED,
    REDELIVERIES,
    REFUSALS,
    REJECTED,
    RENEWED,
    REVOKED,
    STAGES,
)
from consent.vocabulary import RightKind, RightState


def right_kind(words: Words, kind: str) -> str:
    """What a person asks for."""
    known: Mapping[str, str] = {
        RightKind.CORRECT: words.gettext("Correction"),
        RightKind.STOP: words.gettext("Stop of use"),
        RightKind.ERASE: words.gettext("Erasure"),
        RightKind.COMPLAIN: words.gettext("Complaint"),
        RightKind.OBJECT: words.gettext("Objection"),
    }
    return known.get(kind, kind)


def right_state(words: Words, state: str) -> str:
    """How far an open request has come."""
    known: Mapping[str, str] = {
        RightState.FILED: words.gettext("Nobody has looked at it"),
        RightState.IN_PROGRESS: words.gettext("In progress"),
    }
    return known.get(state, state)


def duty_kind(words: Words, kind: str) -> str:
    """What was to be done and was given up: only what goes out to others ever is."""
    told = words.gettext("Tell a recipient about a consent")
    known: Mapping[str, str] = {
        DutyKind.TELL_RECIPIENT: told,
        DutyKind.TELL_ENDED: told,
        DutyKind.TELL_PAUSED: told,
        DutyKind.TELL_RESUMED: told,
        DutyKind.TELL_REPLACED: told,
        DutyKind.TELL_TOKEN: words.gettext("Tell a recipient that a token has ended"),
        DutyKind.TELL_STREAM: words.gettext("Verify a recipient's event stream"),
        DutyKind.TELL_DUE: words.gettext("Tell a recipient what it must delete"),
        DutyKind.ASK_REVIEW: words.gettext("Ask a recipient for a review of a decision"),
        DutyKind.MAIL_NOTICE: words.gettext("Mail a notice to a person"),
        DutyKind.MAIL_CODE: words.gettext("Mail a code to a person"),
        DutyKind.PUSH_NOTICE: words.gettext("Push a notice to a person"),
        DutyKind.PING_CLIENT: words.gettext("Tell a recipient that a person has answered"),
        DutyKind.PUSH_CODE: words.gettext("Push a code to a person"),
        DutyKind.TELL_LOGOUT: words.gettext("Tell a recipient that a person has signed out"),
    }
    return known.get(kind, kind)


def organisation_roles(words: Words, *, is_recipient: bool, is_holder: bool) -> str:
    """What an organisation does here."""
    if is_recipient and is_holder:
        return words.gettext("Recipient and holder")
    return words.gettext("Recipient") if is_recipient else words.gettext("Holder")


def metric(words: Words, name: str) -> str:
    """A metric of the statistics, `group.member` where it is in a group."""
    if name.startswith(REFUSALS):
        return words.gettext("Pulls refused: %(reason)s", reason=name.removeprefix(REFUSALS))
    return (_consent_metrics(words) | _flow_metrics(words)).get(name, name)


def age(words: Words, past: timedelta) -> str:
    """How long ago something was, in the largest unit of which there are two."""
    minutes = int(past.total_seconds()) // 60
    if minutes < 1:
        return words.gettext("less than a minute ago")
    if minutes < 2 * 60:
        return words.ngettext("%(count)s minute ago", "%(count)s minutes ago", minutes)
    if minutes < 2 * 60 * 24:
        return words.ngettext("%(count)s hour ago", "%(count)s hours ago", minutes // 60)
    return words.ngettext("%(count)s day ago", "%(count)s days ago", minutes // (60 * 24))


def _consent_metrics(words: Words) -> dict[str, str]:
    return {
        ACTIVE: words.gettext("Consents in force"),
        NEW_ONCE: words.gettext("Consents given, for once"),
        NEW_ONGOING: words.gettext("Consents given, ongoing"),
        NEW_UNKNOWN: words.gettext("Consents given, kind unknown"),
        AMENDED: words.gettext("Consents amended"),
        RECONSENTED: words.gettext("Consents agreed to again"),
        RENEWED: words.gettext("Consents renewed"),
        NARROWED: words.gettext("Consents narrowed"),
        REVOKED: words.gettext("Consents withdrawn or revoked"),
        EXPIRED: words.gettext("Consents expired"),
        FULFILLED: words.gettext("Consents fulfilled"),
        INVALIDATED: words.gettext("Consents invalidated"),
        DELIVERIES: words.gettext("Deliveries"),
        REDELIVERIES: words.gettext("Redeliveries"),
    }


def _flow_metrics(words: Words) -> dict[str, str]:
    return {
        ABANDONED: words.gettext("Requests that came to nothing"),
        STAGES + "preIdentification": words.gettext("… the page was never opened"),
        STAGES + "preAuthentication": words.gettext("… nobody signed in"),
        STAGES + "preAccountSelection": words.gettext("… no source was chosen"),
        PRE_AUTHORISATION: words.gettext("… nobody decided in time"),
        REJECTED: words.gettext("… the person declined"),
        STAGES + "failedTokenExchange": words.gettext("… the recipient did not fetch its token"),
    }
