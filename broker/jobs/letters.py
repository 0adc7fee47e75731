"""What a duty says to whom: the event for a recipient, made from how things stand when it is sent."""

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session

from broker.oauth.models import Token
from broker.oauth.security_event import (
    CONSENT_ENDED,
    CONSENT_PAUSED,
    CONSENT_REPLACED,
    CONSENT_RESUMED,
    OBLIGATION_DUE,
    RECORD_AVAILABLE,
    REVIEW_REQUESTED,
    TOKEN_REVOKED,
    SecurityEvent,
)
from broker.signals.event_types import token_members
from consent.disclosure import instant
from consent.models import Consent, Decision, Duty
from consent.obligations import ANSWERED, find, kept_deliveries, standing
from consent.outbox import DutyKind
from consent.vocabulary import ConsentState


def grant_of(session: Session, duty: Duty) -> str | None:
    """The consent that a duty is about; None if what it is about is gone, or is a stream."""
    grant_id: str | None = duty.target
    if duty.kind == DutyKind.TELL_STREAM:
        return None
    if duty.kind == DutyKind.ASK_REVIEW:
        decision = session.get(Decision, duty.target)
        grant_id = None if decision is None else decision.grant_id
    return None if grant_id is None or session.get(Consent, grant_id) is None else grant_id


def event_of(session: Session, duty: Duty, consent: Consent) -> SecurityEvent | None:
    """The event of a duty; None once it would say what is not so any more. `consent` is locked."""
    match duty.kind:
        case DutyKind.ASK_REVIEW:
            decision = session.get_one(Decision, duty.target)
            members = {"delivery_id": decision.delivery_id, "decision_id": decision.decision_id}
            return _event(duty, consent, REVIEW_REQUESTED, members)
        case DutyKind.TELL_ENDED:
            return _event(duty, consent, CONSENT_ENDED, _end(consent) | _due(session, consent))
        case DutyKind.TELL_DUE:
            due = _due(session, consent)
            return _event(duty, consent, OBLIGATION_DUE, due) if due else None
        case DutyKind.TELL_PAUSED:
            is_so = consent.state == ConsentState.PAUSED
            return _event(duty, consent, CONSENT_PAUSED, {}) if is_so else None
        case DutyKind.TELL_RESUMED:
            is_so = consent.state == ConsentState.GIVEN
            return _event(duty, consent, CONSENT_RESUMED, {}) if is_so else None
        case DutyKind.TELL_REPLACED:
            return _event(duty, consent, CONSENT_REPLACED, {"version": consent.version_number})
        case DutyKind.TELL_TOKEN:
            token = session.get(Token, bytes.fromhex(duty.duty_id))
            return (
                None if token is None else _event(duty, consent, TOKEN_REVOKED, token_members(token, consent))
            )
    return _event(duty, consent, RECORD_AVAILABLE, {})


def _event(duty: Duty, consent: Consent, event_type: str, members: Mapping[str, Any]) -> SecurityEvent:
    return SecurityEvent(duty.duty_id, consent.client_id, event_type, consent.grant_id, members)


def _end(consent: Consent) -> dict[str, str]:
    """How it ended and when, and not why: that may be somebody's private matter."""
    ended = {"state": consent.state}
    return ended if consent.ended_at is None else ended | {"ended_at": instant(consent.ended_at)}


def _due(session: Session, consent: Consent) -> dict[str, str]:
    """What must be deleted by when; nothing if there is nothing, or if it was."""
    row = find(session, consent.grant_id)
    if row is None:
        return {}
    found = standing(consent, row, kept_deliveries(session, consent.grant_id))
    if found.state in ANSWERED:
        return {}
    due = {"obligation_id": row.obligation_id, "due_at": instant(found.due_at)}
    return due if found.cause is None else due | {"cause": found.cause}
