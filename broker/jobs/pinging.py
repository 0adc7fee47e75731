"""Pinging clients that a person has answered (OpenID CIBA Core section 10.2).

A client that answers with a 4xx is not asked again, and no redirect is followed: it polls, as it may anyway.
One that is away is tried again, later each time, while its request lives; after that there is nothing to say.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import col, select

from broker.db import Transaction, transaction
from broker.installation import Installation
from broker.jobs.pushing import NOT_TAKEN, TAKEN, Way, is_held, lease, push_due, try_again
from broker.oauth.ciba_models import BackchannelRequest
from broker.oauth.ciba_requests import Notification, open_notification
from broker.oauth.clients import find_active
from connectors.errors import (
    BlockedAddressError,
    OutboundError,
    ResponseRefusedError,
    ResponseTooLargeError,
    UrlRefusedError,
    rule_of,
)
from connectors.http import OutboundClient
from consent.models import Duty
from consent.outbox import PINGED, settle, take_pushed, take_told
from vault.errors import TamperedError

_log: Final = logging.getLogger(__name__)

_REFUSED: Final = range(300, 500)
_LATER: Final = frozenset({408, 429})
# It is not to be called, or has answered, in whatever way.
_FINAL: Final = (BlockedAddressError, UrlRefusedError, ResponseRefusedError, ResponseTooLargeError)


@dataclass(frozen=True, slots=True)
class _Ping:
    """One ping on its way."""

    duty_id: str
    endpoint: str
    notification: Notification
    request_expires_at: datetime
    leased_until: datetime


def ping_due(
    installation: Installation, now: datetime, should_stop: Callable[[], bool] = lambda: False
) -> int:
    """Make every ping that is due; answers how many were taken."""
    return push_due(installation, Way(PINGED, _take, _ping), now, should_stop=should_stop)


def _take(installation: Installation, found: Duty, now: datetime) -> _Ping | None:
    with transaction(installation.data) as work:
        return _leased(installation, work, found.duty_id, now)


def _ping(installation: Installation, http: OutboundClient, ping: _Ping) -> bool:
    fault, is_final = _send(http, ping)
    with transaction(installation.data) as work:
        duty = take_told(work.session, ping.duty_id)
        if duty is not None:
            _close(installation, work, duty, ping, fault, is_final=is_final)
    return fault is None


def _leased(installation: Installation, work: Transaction, duty_id: str, now: datetime) -> _Ping | None:
    """What is to be sent, out of others' hands until it must have been answered; None: nothing is."""
    duty = take_pushed(work.session, duty_id, now)
    if duty is None:
        return None  # another worker has it
    row = work.session.exec(
        select(BackchannelRequest).where(
            BackchannelRequest.request_id == duty.target, col(BackchannelRequest.expires_at) > now
        )
    ).one_or_none()
    client = None if row is None else find_active(work.session, row.client_id)
    endpoint = None if client is None else client.metadata.backchannel_client_notification_endpoint
    try:
        notification = None if row is None else open_notification(installation.keyring, row)
    except TamperedError:
        notification = None
    if row is None or endpoint is None or notification is None:
        settle(duty, now)  # over, fetched already, or nobody to tell
        return None
    return _Ping(duty_id, endpoint, notification, row.expires_at, lease(installation, duty))


def _send(http: OutboundClient, ping: _Ping) -> tuple[str | None, bool]:
    """The fault, None if it was taken, and whether it is final."""
    body = json.dumps({"auth_req_id": ping.notification.auth_req_id}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {ping.notification.token}"}
    try:
        answer = http.request("POST", ping.endpoint, headers=headers, body=body)
    except OutboundError as error:
        return rule_of(error), isinstance(error, _FINAL)
    if answer.status in TAKEN:
        return None, True
    return NOT_TAKEN.format(status=answer.status), answer.status in _REFUSED and answer.status not in _LATER


def _close(  # noqa: PLR0913 - what became of which ping
    installation: Installation,
    work: Transaction,
    duty: Duty,
    ping: _Ping,
    fault: str | None,
    *,
    is_final: bool,
) -> None:
    if fault is not None:
        _log.warning("ping not taken", extra={"duty": ping.duty_id, "fault": fault})
    if fault is not None and not is_held(duty, ping):
        return
    if fault is not None and not is_final:
        try_again(installation, duty, fault)
        if duty.due_at < ping.request_expires_at:
            return
    settle(duty, installation.clock())
    duty.fault = fault
    row = work.session.exec(
        select(BackchannelRequest).where(BackchannelRequest.request_id == duty.target)
    ).one_or_none()
    if row is not None:
        row.notification_sealed = None
        work.session.add(row)
