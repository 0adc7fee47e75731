"""Telling clients that a person has signed out (OpenID Connect Back-Channel Logout 1.0 section 2.5).

Each try has a token of its own. A client that does not take it is tried again, later each time, and given up
after `events.give_up_days`; an operator can have it tried again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from sqlalchemy import ColumnElement
from sqlmodel import col, select

from broker.db import transaction
from broker.deps import FORM_MEDIA_TYPE
from broker.installation import Installation
from broker.jobs.isolation import one_at_a_time
from broker.jobs.pushing import NOT_TAKEN, Way, is_held, lease, push_due, try_again
from broker.oauth.clients import RegisteredClient, show
from broker.oauth.logout_token import Ended, issue
from broker.oauth.models import SessionClient
from broker.oauth.session_clients import forget
from broker.web.signin.ending import end_session, overdue_sessions
from connectors.errors import OutboundError, rule_of
from connectors.http import OutboundClient
from consent.models import Duty
from consent.outbox import LOGOUTS, bury, hold_back, release, settle, take_pushed, take_told
from vault.schema import random_id

_log: Final = logging.getLogger(__name__)

_TAKEN: Final = frozenset({200, 204})  # section 2.8


@dataclass(frozen=True, slots=True)
class _Notice:
    """One logout on its way: the duty it settles, to whom, where to, and what it tells."""

    duty_id: str
    client: RegisteredClient
    address: str
    ended: Ended
    leased_until: datetime


def end_overdue_sessions(installation: Installation, now: datetime) -> int:
    """End sessions that time has ended and that clients were told of; answers how many."""
    idle = timedelta(minutes=installation.settings.session.idle_minutes)
    with installation.data.read() as session:
        due = overdue_sessions(session, now, idle=idle)
    for session_digest in due:
        with one_at_a_time("sessions"), transaction(installation.data) as work:
            end_session(work.session, session_digest, now)
    return len(due)


def tell_logouts(
    installation: Installation, now: datetime, should_stop: Callable[[], bool] = lambda: False
) -> int:
    """Tell every client that is due; answers how many took it. An address that is private never is called."""
    return push_due(installation, Way(LOGOUTS, _take, _tell), now, should_stop=should_stop)


def _tell(installation: Installation, http: OutboundClient, notice: _Notice) -> bool:
    fault = _push(installation, http, notice)
    _close(installation, notice, fault)
    return fault is None


def _take(installation: Installation, found: Duty, now: datetime) -> _Notice | None:
    """What a duty tells, out of others' hands until it must have been answered; None: nothing to tell."""
    with transaction(installation.data) as work:
        duty = take_pushed(work.session, found.duty_id, now)
        if duty is None:
            return None  # another worker has it
        row = work.session.get(SessionClient, duty.target)
        # A suspended one hears of it, too: that is for the person who signed out.
        client = None if row is None else show(work.session, row.client_id)
        if row is None or client is None or client.metadata.backchannel_logout_uri is None:
            settle(duty, now)  # it wants to hear of none any more
            forget(work.session, duty.target)
            return None
        ended = Ended(row.subject_id, row.sid_digest)
        until = lease(installation, duty)
        return _Notice(duty.duty_id, client, client.metadata.backchannel_logout_uri, ended, until)


def _push(installation: Installation, http: OutboundClient, notice: _Notice) -> str | None:
    """Send it; the fault, or None if it was taken."""
    issuer, now = installation.settings.server.issuer, installation.clock()
    token = issue(installation.keyring, issuer, notice.client, notice.ended, random_id(), now)
    body = urlencode({"logout_token": token}).encode()
    try:
        answer = http.request("POST", notice.address, headers={"Content-Type": FORM_MEDIA_TYPE}, body=body)
    except OutboundError as error:
        return rule_of(error)
    return None if answer.status in _TAKEN else NOT_TAKEN.format(status=answer.status)


def _close(installation: Installation, notice: _Notice, fault: str | None) -> None:
    """Settle what was taken; note why the rest was not, and give it up when its time is over.

    What else the client is to hear waits as long, or is due once it listens again.
    """
    now, others = installation.clock(), _of_client(notice.client.client_id)
    with transaction(installation.data) as work:
        duty = take_told(work.session, notice.duty_id)
        if duty is None:
            return  # another worker, which took it over after the lease, was told yes first
        if fault is None:
            settle(duty, now)
            duty.dead_at = None
            forget(work.session, duty.target)
            release(work.session, others, now)
            return
        _log.warning("logout not taken", extra={"duty": notice.duty_id, "fault": fault})
        if not is_held(duty, notice):
            return
        is_over = not try_again(installation, duty, fault)
        until = duty.due_at
        if is_over:
            bury(duty, now)
        hold_back(work.session, others, until, now)


def _of_client(client_id: str) -> tuple[ColumnElement[bool], ...]:
    own = select(SessionClient.participation_id).where(SessionClient.client_id == client_id)
    return col(Duty.kind).in_(LOGOUTS), col(Duty.target).in_(own)
