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
from consent.outbox import (
    HELD_BACK,
    DutyKind,
    bury,
    find_pushed,
    held_back_until,
    hold_back_client,
    postpone,
    release_client,
    settle,
    take_pushed,
    wait_for_hurry,
)
from consent.vocabulary import ConsentState, EventType

_log: Final = logging.getLogger(__name__)

_LIMITS: Final = Limits(
    connect_seconds=3, read_seconds=5, total_seconds=10, response_bytes=64 * 1024, attempts=1
)
_LEASE: Final = timedelta(seconds=15)  # longer than any push
_TAKEN: Final = range(200, 300)
NOT_TAKEN: Final = "answered_{status}"
SUSPENDED: Final = "recipient_suspended"
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

    When one is not taken, whatever else its client is owed waits as long: one that is away costs everybody
    else no more than one try, later each time.
    """
    told = 0
    is_demo = installation.settings.server.profile == "demo"
    with OutboundClient(_LIMITS, allow_loopback=is_demo) as http:
        while not should_stop():
            with installation.data.read() as session:
                found = find_pushed(session, now)
            if found is None:
                break
            letter = _lease(installation, found, now)
            if letter is not None:
                fault = _push(installation, http, letter)
                _close(installation, letter, fault)
                told += fault is None
    return told


def _lease(installation: Installation, found: Duty, now: datetime) -> _Letter | None:
    """The letter of a duty, out of others' hands until it must have been answered; None: nothing to send now.

    The consent is locked before its duty: pausing, resuming and withdrawing come in that order too.
    """
    with transaction(installation.data) as work:
        event = _event_of(work.session, found)
        consent = None if event is None else lock(work, event.grant_id)
        duty = take_pushed(work.session, found.duty_id, now)
        if duty is None:
            return None  # another worker has it
        if event is None or consent is None:
            settle(duty, now)
            return None
        if duty.kind == DutyKind.TELL_RECIPIENT and not _is_time(installation, duty, consent, now):
            return None
        client = show(work.session, event.client_id)
        if client.events_endpoint is None:
            duty.fault = NO_ENDPOINT
            if duty.kind == DutyKind.ASK_REVIEW:
                _give_up(installation, work, duty, consent, now)  # somebody must tell it in another way
            else:
                settle(duty, now)  # it wants no events: it asks in its cycle
            return None
        if find_active(work.session, event.client_id) is None:
            _fail(installation, work, duty, consent, SUSPENDED)
            return None
        held_back = held_back_until(work.session, event.client_id, now)
        if held_back is not None:
            duty.due_at, duty.fault = held_back, HELD_BACK
            return None
        duty.due_at, duty.fault = installation.clock() + _LEASE, None
        return _Letter(duty.duty_id, client.events_endpoint, event)


def _is_time(installation: Installation, duty: Duty, consent: Consent, now: datetime) -> bool:
    """Whether a pull would be allowed now; if not, the duty waits until it is, or is settled."""
    if consent.state == ConsentState.PAUSED and now < consent.valid_until:
        wait_for_hurry(duty, now, longest=_longest_wait(installation))
        return False
    if consent.state != ConsentState.GIVEN or now >= consent.valid_until:
        settle(duty, now)  # it could not pull any more
        return False
    if now < consent.valid_from:
        duty.due_at = duty.created_at = consent.valid_from
        return False
    return True


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
        consent = lock(work, letter.event.grant_id)
        duty = work.session.get_one(Duty, letter.duty_id, with_for_update=True, populate_existing=True)
        if duty.done_at is not None:
            return  # another worker, which took it over after the lease, was told yes first
        if fault is not None:
            _log.warning("event not taken", extra={"duty": letter.duty_id, "fault": fault})
            _fail(installation, work, duty, consent, fault)
            return
        settle(duty, now)
        release_client(work.session, consent.client_id, now)
        detail = {"event": letter.event.event_type, "event_id": letter.event.event_id}
        record_consent_event(
            work, installation.keyring, consent, EventType.RECIPIENT_TOLD, detail=detail, now=now
        )


def _fail(installation: Installation, work: Transaction, duty: Duty, consent: Consent, fault: str) -> None:
    """Later, and everything else of its client with it; but not for ever."""
    now = installation.clock()
    duty.fault = fault
    postpone(duty, now, longest=_longest_wait(installation))
    if now >= duty.created_at + timedelta(days=installation.settings.events.give_up_days):
        _give_up(installation, work, duty, consent, now)
    hold_back_client(work.session, consent.client_id, duty.due_at, now)


def _give_up(
    installation: Installation, work: Transaction, duty: Duty, consent: Consent, now: datetime
) -> None:
    bury(duty, now)
    detail = {"event_id": duty.duty_id, "fault": duty.fault}
    record_consent_event(
        work, installation.keyring, consent, EventType.RECIPIENT_UNREACHABLE, detail=detail, now=now
    )


def _longest_wait(installation: Installation) -> timedelta:
    return timedelta(seconds=installation.settings.events.longest_wait_seconds)
