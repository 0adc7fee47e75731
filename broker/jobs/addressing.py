"""What a duty says now, to whom, by which way: to a client's stream, or else to its `events_endpoint`.

Pushing (broker/jobs/telling.py) and polling (broker/signals/poll.py) share it: what may not be said is said
by neither. Who has a stream is told on it, and by its wishes (OpenID SSF 1.0 section 8.1).
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from broker.db import Transaction
from broker.installation import Installation
from broker.jobs.letters import event_of, grant_of
from broker.jobs.pushing import lease, try_again
from broker.oauth.clients import find_active, show
from broker.oauth.pairwise import pairwise_subject
from broker.oauth.scopes import SSF
from broker.oauth.security_event import TOKEN_REVOKED, SecurityEvent
from broker.oauth.tokens import ended_refresh_tokens, owe_token_told
from broker.signals.event_types import STREAM_ONLY, as_signal
from broker.signals.streams import DeliveryMethod, Stream, StreamStatus, find_stream
from broker.signals.subjects import is_told_of
from broker.signals.verification import event_of_notice, forget
from consent.evidence import record_consent_event
from consent.lifecycle import lock
from consent.models import Consent, Duty
from consent.obligations import acknowledge_due, settle_date
from consent.outbox import (
    HELD_BACK,
    DutyKind,
    bury,
    held_back_until,
    hold_back_client,
    release_client,
    settle,
    take_pushed,
    take_told,
    wait_for_hurry,
)
from consent.vocabulary import ConsentState, EventType

TOLD_ALWAYS: Final = frozenset({DutyKind.TELL_ENDED, DutyKind.TELL_DUE})  # also who is suspended must delete
_ENDS_TOKENS: Final = frozenset({DutyKind.TELL_ENDED, DutyKind.TELL_REPLACED})
SUSPENDED: Final = "recipient_suspended"
NO_ENDPOINT: Final = "no_events_endpoint"
NOT_WANTED: Final = "not_wanted_on_stream"
NOT_POLLED: Final = "not_polled"


@dataclass(frozen=True, slots=True)
class Letter:
    """One event on its way: the duty it settles, what it says, and where a push of it goes.

    `told_due` is the date of deletion that it names. `is_on_stream`: RFC 8935 to the letter. `leased_until`:
    until when nobody else pushes it; None if it is polled.
    """

    duty_id: str
    event: SecurityEvent
    told_due: str | None
    endpoint: str = ""
    authorization: str | None = field(default=None, repr=False)
    is_on_stream: bool = False
    leased_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    """A duty with what it is about; `consent` is locked, and None where it is about the stream itself."""

    installation: Installation
    work: Transaction
    duty: Duty
    consent: Consent | None
    stream: Stream | None
    now: datetime


def write(
    installation: Installation, work: Transaction, found: Duty, now: datetime, *, is_polled: bool = False
) -> Letter | None:
    """The letter of a duty, leased if it is to be pushed; None: there is nothing to send now, or to anybody.

    The consent is locked before its duty: pausing, resuming and withdrawing come in that order too.
    """
    grant_id = grant_of(work.session, found)
    consent = None if grant_id is None else lock(work, grant_id)
    duty = (
        take_told(work.session, found.duty_id) if is_polled else take_pushed(work.session, found.duty_id, now)
    )
    if duty is None:
        return None  # another worker has it
    client_id = duty.target if consent is None else consent.client_id
    if consent is not None:
        duty.client_id = client_id  # a program of before, which may run beside this one, leaves it out
    stream = find_stream(work.session, installation.keyring, client_id)
    if stream is not None and SSF not in show(work.session, client_id).scopes:
        stream = None  # made while the client gave the scope up
    case = _Case(installation, work, duty, consent, stream, now)
    event = _event(case)
    if event is None:
        settle(duty, now)
        forget(work.session, duty)
        return None
    if not _is_time(case) or not _is_open(case, event, is_polled=is_polled):
        return None
    told_due = event.members.get("delete_by", event.members.get("due_at"))
    if is_polled:
        duty.told_type, duty.told_due = event.event_type, told_due
        return Letter(duty.duty_id, event, told_due, is_on_stream=True)
    return _leased(case, event, told_due)


def take(work: Transaction, duty_id: str, grant_id: str | None) -> Duty | None:
    """A duty that has been told, locked, its consent before it; None if another has settled it."""
    if grant_id is not None:
        lock(work, grant_id)
    return take_told(work.session, duty_id)


def close(  # noqa: PLR0913, PLR0917 - what was told to whom
    installation: Installation,
    work: Transaction,
    duty: Duty,
    event_type: str,
    told_due: str | None,
    now: datetime,
) -> None:
    """It was taken (`take`): settled, and on record, also if it had been given up."""
    settle(duty, now)
    duty.dead_at = None
    grant_id = grant_of(work.session, duty)
    if grant_id is None:
        release_client(work.session, duty.target, now)
        forget(work.session, duty)
        return
    consent = lock(work, grant_id)
    release_client(work.session, consent.client_id, now)
    if duty.kind in TOLD_ALWAYS:
        acknowledge_due(work, installation.keyring, consent, told_due, now)
    detail = {"event": event_type, "event_id": duty.duty_id}
    record_consent_event(
        work, installation.keyring, consent, EventType.RECIPIENT_TOLD, detail=detail, now=now
    )


def fail(installation: Installation, work: Transaction, duty: Duty, fault: str) -> None:
    """Later, and everything else of its client with it; but not for ever."""
    now = installation.clock()
    is_over = not try_again(installation, duty, fault)
    until = duty.due_at
    if is_over:
        give_up(installation, work, duty, now)
    grant_id = grant_of(work.session, duty)
    client_id = duty.target if grant_id is None else lock(work, grant_id).client_id
    hold_back_client(work.session, client_id, until, now)


def give_up(installation: Installation, work: Transaction, duty: Duty, now: datetime) -> None:
    """Nothing tries it any more, which is on record; an operator can have it tried again."""
    bury(duty, now)
    grant_id = grant_of(work.session, duty)
    if grant_id is None:
        return
    detail = {"event_id": duty.duty_id, "fault": duty.fault}
    record_consent_event(
        work,
        installation.keyring,
        lock(work, grant_id),
        EventType.RECIPIENT_UNREACHABLE,
        detail=detail,
        now=now,
    )


def longest_wait(installation: Installation) -> timedelta:
    """How long something waits at most until it is tried again."""
    return timedelta(seconds=installation.settings.events.longest_wait_seconds)


def _event(case: _Case) -> SecurityEvent | None:
    """What is so and is told this client; what follows from it for its tokens is owed."""
    session, keyring, consent = case.work.session, case.installation.keyring, case.consent
    if consent is None:
        return None if case.stream is None else event_of_notice(session, case.stream, case.duty)
    if case.duty.kind == DutyKind.TELL_ENDED:
        settle_date(case.work, keyring, consent, case.now)
    tells_of_tokens = case.stream is not None and TOKEN_REVOKED in case.stream.events_delivered
    if tells_of_tokens and case.duty.kind in _ENDS_TOKENS:
        for token_hash in ended_refresh_tokens(session, consent.grant_id, case.now):
            owe_token_told(session, consent.grant_id, token_hash, case.duty.happened_at or case.now)
    event = event_of(session, case.duty, consent)
    if case.stream is None or event is None:
        return None if event is None or event.event_type in STREAM_ONLY else event
    issuer = case.installation.settings.server.issuer
    return as_signal(event, keyring=keyring, issuer=issuer, consent=consent, duty=case.duty)


def _is_time(case: _Case) -> bool:
    """Whether a pull that news invite to would be allowed now; if not, the duty waits or is settled."""
    duty, consent, now = case.duty, case.consent, case.now
    if consent is None or duty.kind != DutyKind.TELL_RECIPIENT:
        return True
    if consent.state == ConsentState.PAUSED and now < consent.valid_until:
        wait_for_hurry(duty, now, longest=longest_wait(case.installation))
        return False
    if consent.state != ConsentState.GIVEN or now >= consent.valid_until:
        settle(duty, now)  # it could not pull any more
        return False
    if now < consent.valid_from:
        duty.due_at = duty.created_at = consent.valid_from
        duty.fault = None
        return False
    return True


def _is_open(case: _Case, event: SecurityEvent, *, is_polled: bool) -> bool:
    """Whether the client can be told now, in this way; if not, the duty is dropped, waits or is given up."""
    duty, stream = case.duty, case.stream
    refusal = _refusal(case, event)
    if refusal is not None:
        duty.fault = refusal
        if duty.kind == DutyKind.ASK_REVIEW:
            give_up(case.installation, case.work, duty, case.now)  # somebody must tell it in another way
        else:
            settle(duty, case.now)  # it wants no events: it asks, in its cycle and for what it owes
            forget(case.work.session, duty)
        return False
    if stream is not None and stream.status is StreamStatus.PAUSED:
        wait_for_hurry(duty, case.now, longest=longest_wait(case.installation))
        return False
    if duty.kind not in TOLD_ALWAYS and find_active(case.work.session, event.client_id) is None:
        fail(case.installation, case.work, duty, SUSPENDED)
        return False
    if stream is not None and stream.wishes.method is DeliveryMethod.POLL and not is_polled:
        _await_poll(case)
        return False
    return True


def _refusal(case: _Case, event: SecurityEvent) -> str | None:
    """Why the client is not to be told at all; None if it is."""
    session, stream, consent = case.work.session, case.stream, case.consent
    if stream is None:
        return NO_ENDPOINT if show(session, event.client_id).events_endpoint is None else None
    if stream.status is StreamStatus.DISABLED:
        return NOT_WANTED
    if consent is None:
        return None
    keyring = case.installation.keyring
    pairwise = pairwise_subject(keyring, consent.recipient_id, consent.subject_id)
    is_wanted = event.event_type in stream.events_delivered and is_told_of(session, keyring, stream, pairwise)
    return None if is_wanted else NOT_WANTED


def _await_poll(case: _Case) -> None:
    """It is there for the client to fetch, as long as an event would be tried."""
    duty = case.duty
    given_up_at = duty.created_at + timedelta(days=case.installation.settings.events.give_up_days)
    if case.now >= given_up_at:
        duty.fault = NOT_POLLED
        give_up(case.installation, case.work, duty, case.now)
        return
    wait_for_hurry(duty, case.now, longest=longest_wait(case.installation))


def _leased(case: _Case, event: SecurityEvent, told_due: str | None) -> Letter | None:
    """The letter to be pushed, out of others' hands until it must have been answered."""
    session, duty, stream = case.work.session, case.duty, case.stream
    held_back = held_back_until(session, event.client_id, case.now)
    if held_back is not None:
        duty.due_at, duty.fault = held_back, HELD_BACK
        return None
    until = lease(case.installation, duty)
    if stream is None:
        endpoint = show(session, event.client_id).events_endpoint or ""
        return Letter(duty.duty_id, event, told_due, endpoint, leased_until=until)
    endpoint = stream.endpoint_of(case.installation.settings.server.issuer)
    authorization = stream.wishes.authorization_header
    return Letter(
        duty.duty_id, event, told_due, endpoint, authorization, is_on_stream=True, leased_until=until
    )
