"""Telling recipients: signed events (RFC 8417) pushed to their endpoints (RFC 8935), until they are taken.

What is sent again has the same `jti`. A recipient that does not take an event is tried again, later each
time, and given up after `events.give_up_days`; an operator can have it tried again.
"""

import json
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.addressing import Letter, close, fail, take, write
from broker.jobs.pushing import NOT_TAKEN, TAKEN, Way, is_held, push_due, signing_key
from broker.oauth.security_event import TYPE, sign
from connectors.errors import OutboundError, rule_of
from connectors.http import Answer, OutboundClient
from consent.models import Duty
from consent.outbox import PUSHED

_log: Final = logging.getLogger(__name__)

_ACCEPTED: Final = 202  # RFC 8935 section 2.2: what a stream's receiver acknowledges with
_BAD_REQUEST: Final = 400
_ERRORS: Final = frozenset(
    {
        "invalid_request",
        "invalid_key",
        "invalid_issuer",
        "invalid_audience",
        "authentication_failed",
        "access_denied",
    }
)
"""What a receiver may say is wrong (RFC 8935 section 2.4). Whatever else it says is not kept."""


def tell_due(
    installation: Installation, now: datetime, should_stop: Callable[[], bool] = lambda: False
) -> int:
    """Push every event that is due; answers how many were taken.

    When one is not taken, whatever else its client is owed waits as long: one that is away costs everybody
    else no more than one try, later each time.
    """
    return push_due(installation, Way(PUSHED, _take, _tell), now, should_stop=should_stop)


def _take(installation: Installation, found: Duty, now: datetime) -> Letter | None:
    with transaction(installation.data) as work:
        return write(installation, work, found, now)


def _tell(installation: Installation, http: OutboundClient, letter: Letter) -> bool:
    fault = _push(installation, http, letter)
    _close(installation, letter, fault)
    return fault is None


def _push(installation: Installation, http: OutboundClient, letter: Letter) -> str | None:
    """Send it (RFC 8935 section 2.1); the fault, or None if it was taken."""
    key = signing_key(installation)
    issuer, now = installation.settings.server.issuer, installation.clock()
    token = sign(letter.event, issuer=issuer, key=key, now=now)
    headers = {"Content-Type": f"application/{TYPE}", "Accept": "application/json"}
    if letter.authorization is not None:
        headers["Authorization"] = letter.authorization
    try:
        answer = http.request("POST", letter.endpoint, headers=headers, body=token.encode())
    except OutboundError as error:
        return rule_of(error)
    is_taken = answer.status == _ACCEPTED if letter.is_on_stream else answer.status in TAKEN
    return None if is_taken else _fault_of(answer)


def _fault_of(answer: Answer) -> str:
    """The status, and the error that a receiver names, if it is one that there is (RFC 8935 section 2.3)."""
    fault = NOT_TAKEN.format(status=answer.status)
    if answer.status != _BAD_REQUEST:
        return fault
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return fault
    error = said.get("err") if isinstance(said, dict) else None
    return f"{fault}_{error}" if isinstance(error, str) and error in _ERRORS else fault


def _close(installation: Installation, letter: Letter, fault: str | None) -> None:
    """Settle what was taken; note why the rest was not, and give it up when its time is over."""
    with transaction(installation.data) as work:
        duty = take(work, letter.duty_id, letter.event.grant_id)
        if duty is None:
            return  # another worker, which took it over after the lease, was told yes first
        if fault is not None:
            _log.warning("event not taken", extra={"duty": letter.duty_id, "fault": fault})
            if not is_held(duty, letter):
                return
            fail(installation, work, duty, fault)
            return
        event_type = letter.event.event_type
        close(installation, work, duty, event_type, letter.told_due, installation.clock())
