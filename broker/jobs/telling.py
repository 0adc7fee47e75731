"""Telling recipients: signed events (RFC 8417) pushed to their endpoints (RFC 8935), until they are taken.

At least once: an event is leased before it is sent and settled after the answer, each in a commit of its own;
a death in between sends it again with the same `jti`. A recipient that does not take an event is tried
again, later each time, and given up after `events.give_up_days`; an operator can have it tried again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session

from broker.db import Transaction, transaction
from broker.installation import Installation
from broker.oauth.clients import find_active, show
from broker.oauth.security_event import RECORD_AVAILABLE, REVIEW_REQUESTED, TYPE, SecurityEvent, sign
from broker.service_keys import OAUTH_KEY
from connectors.errors import OutboundError, rule_of
from connectors.http import Limits, OutboundClient
from consent.evidence import record_consent_event
from consent.lifecycle import lock
from consent.models import Consent, Decision, Duty
from consent.outbox import DutyKind, bury, postpone, settle, take_due, wait_for_hurry
from consent.vocabulary import ConsentState, EventType

_log: Final = logging.getLogger(__name__)

_LIMITS: Final = Limits(
    connect_seconds=3, read_seconds=5, total_seconds=10, response_bytes=64 * 1024, attempts=1
)
_TAKEN: Final = range(200, 300)
NOT_TAKEN: Final = "answered_{status}"
SUSPENDED: Final = "recipient_suspended"
HELD_BACK: Final = "held_back"
NO_ENDPOINT: Final = "no_events_endpoint"


@dataclass(frozen=True, slots=True)
class _Letter:
    """One event on its way: the duty it settles, where it goes, what it says."""

    duty_id: str
    endpoint: str
    event: SecurityEvent


def tell_due(
    installation: Installation, now: datetime, should_stop: Callable[[], bool] = lambda: False
) -> int:
    """Push every event that is due; answers how many were taken.

    A recipient that fails is asked nothing more in this round: what it is owed waits its turn.
    """
    told = 0
    failed: set[str] = set()
    is_demo = installation.settings.server.profile == "demo"
    with OutboundClient(_LIMITS, allow_loopback=is_demo) as http:
        while not should_stop():
            with transaction(installation.data) as work:
                duty = take_due(work.session, now, is_pushed=True)
                if duty is None:
                    return told
                letter = _lease(installation, work, duty, failed, now)
            if letter is None:
                continue
            fault = _push(installation, http, letter)
            if fault is None:
                told += 1
            else:
                failed.add(letter.event.client_id)
            _close(installation, letter, fault)
    return told


def _lease(
    installation: Installation, work: Transaction, duty: Duty, failed: set[str], now: datetime
) -> _Letter | None:
    """The letter of a duty, put off until its next try; None if there is nothing to send now."""
    event = _event_of(work.session, duty)
    if event is None:
        settle(duty, now)
        return None
    consent = work.session.get_one(Consent, event.grant_id)
    if duty.kind == DutyKind.TELL_RECIPIENT:
        if consent.state == ConsentState.PAUSED and now < consent.valid_until:
            wait_for_hurry(duty, now, longest=_longest_wait(installation))
            return None
        if consent.state != ConsentState.GIVEN or now >= consent.valid_until:
            settle(duty, now)  # it could not pull any more
            return None
        if now < consent.valid_from:
            duty.due_at = consent.valid_from
            return None
    endpoint = show(work.session, event.client_id).events_endpoint
    if endpoint is None:
        duty.fault = NO_ENDPOINT
        if duty.kind == DutyKind.ASK_REVIEW:
            _give_up(installation, work, duty, consent.grant_id, now)  # somebody must tell it in another way
        else:
            settle(duty, now)  # it wants no events: it asks in its cycle
        return None
    is_held_back = event.client_id in failed
    is_active = find_active(work.session, event.client_id) is not None
    if is_held_back or not is_active:
        duty.fault = HELD_BACK if is_held_back else SUSPENDED
        _put_off(installation, work, duty, event.grant_id, now)
        return None
    postpone(duty, now, longest=_longest_wait(installation))
    return _Letter(duty.duty_id, endpoint, event)


def _event_of(session: Session, duty: Duty) -> SecurityEvent | None:
    """What a duty says to whom; None if what it is about is gone."""
    if duty.kind == DutyKind.ASK_REVIEW:
        decision = session.get(Decision, duty.target)
        grant_id = None if decision is None else decision.grant_id
        members = (
            {}
            if decision is None
            else {"delivery_id": decision.delivery_id, "decision_id": decision.decision_id}
        )
        event_type = REVIEW_REQUESTED
    else:
        grant_id, members, event_type = duty.target, {}, RECORD_AVAILABLE
    consent = None if grant_id is None else session.get(Consent, grant_id)
    if consent is None:
        return None
    return SecurityEvent(duty.duty_id, consent.client_id, event_type, consent.grant_id, members)


def _push(installation: Installation, http: OutboundClient, letter: _Letter) -> str | None:
    """Send it (RFC 8935 section 2.1); the fault, or None if it was taken."""
    (key, *_) = installation.keyring.service_keys(OAUTH_KEY)
    issuer, now = installation.settings.server.issuer, installation.clock()
    token = sign(letter.event, issuer=issuer, key=key, now=now)
    headers = {"Content-Type": f"application/{TYPE}", "Accept": "application/json"}
    try:
        answer = http.request("POST", letter.endpoint, headers=headers, body=token.encode())
    except OutboundError as error:
        return rule_of(error)
    return None if answer.status in _TAKEN else NOT_TAKEN.format(status=answer.status)


def _close(installation: Installation, letter: _Letter, fault: str | None) -> None:
    """Settle what was taken; note why the rest was not, and give it up when its time is over."""
    now = installation.clock()
    with transaction(installation.data) as work:
        duty = work.session.get_one(Duty, letter.duty_id, with_for_update=True)
        consent = lock(work, letter.event.grant_id)
        if duty.done_at is not None:
            return  # another worker, which took it over after the lease, was told yes first
        if fault is None:
            settle(duty, now)
            detail = {"event": letter.event.event_type, "event_id": letter.event.event_id}
            record_consent_event(
                work, installation.keyring, consent, EventType.RECIPIENT_TOLD, detail=detail, now=now
            )
            return
        duty.fault = fault
        _log.warning("event not taken", extra={"duty": letter.duty_id, "fault": fault})
        _give_up_if_late(installation, work, duty, consent.grant_id, now)


def _longest_wait(installation: Installation) -> timedelta:
    return timedelta(seconds=installation.settings.events.longest_wait_seconds)


def _put_off(installation: Installation, work: Transaction, duty: Duty, grant_id: str, now: datetime) -> None:
    """Later, without a try; but not for ever."""
    postpone(duty, now, longest=_longest_wait(installation))
    _give_up_if_late(installation, work, duty, grant_id, now)


def _give_up_if_late(
    installation: Installation, work: Transaction, duty: Duty, grant_id: str, now: datetime
) -> None:
    patience = timedelta(days=installation.settings.events.give_up_days)
    if duty.dead_at is None and now >= duty.created_at + patience:
        _give_up(installation, work, duty, grant_id, now)


def _give_up(installation: Installation, work: Transaction, duty: Duty, grant_id: str, now: datetime) -> None:
    bury(duty, now)
    consent = lock(work, grant_id)
    detail = {"event_id": duty.duty_id, "fault": duty.fault}
    record_consent_event(
        work, installation.keyring, consent, EventType.RECIPIENT_UNREACHABLE, detail=detail, now=now
    )
