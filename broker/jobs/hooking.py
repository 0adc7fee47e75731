"""Pushing notices to an endpoint that a person has named: signed events (RFC 8417) as RFC 8935 delivers them.

The endpoint checks them with the broker's published keys. `jti` is the duty's id, `aud` the endpoint.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from broker.installation import Installation
from broker.jobs.outgoing import Outgoing, close, lease
from broker.jobs.pushing import NOT_TAKEN, TAKEN, Way, push_due, signing_key
from broker.oauth.security_event import TYPE
from connectors.errors import BlockedAddressError, OutboundError, UrlRefusedError, rule_of
from connectors.http import OutboundClient
from consent.inbox import NoticeView
from consent.models import Duty
from consent.notification_wishes import Channel
from consent.outbox import HOOKED
from vault.jose import sign_jwt

_log: Final = logging.getLogger(__name__)

NOTICE: Final = "urn:mydata:event:notice"
CONFIRMATION: Final = "urn:mydata:event:confirmation"


def push_notices(
    installation: Installation, now: datetime, should_stop: Callable[[], bool] = lambda: False
) -> int:
    """Push every notice that is due; answers how many were taken. An address that is private never is."""
    return push_due(installation, Way(HOOKED, _take, _tell), now, should_stop=should_stop)


def _take(installation: Installation, found: Duty, now: datetime) -> Outgoing | None:
    return lease(installation, found, Channel.WEBHOOK, now)


def _tell(installation: Installation, http: OutboundClient, outgoing: Outgoing) -> bool:
    fault, is_final = _push(installation, http, outgoing)
    if fault is not None:
        _log.warning("notice not taken", extra={"duty": outgoing.duty_id, "fault": fault})
    close(installation, outgoing, fault, is_final=is_final)
    return fault is None


def _push(installation: Installation, http: OutboundClient, outgoing: Outgoing) -> tuple[str | None, bool]:
    """Send it (RFC 8935 section 2.1); the fault, None if it was taken, and whether it is final."""
    token = _signed(installation, outgoing)
    headers = {"Content-Type": f"application/{TYPE}", "Accept": "application/json"}
    try:
        answer = http.request("POST", outgoing.to.address, headers=headers, body=token.encode())
    except OutboundError as error:
        return rule_of(error), isinstance(error, BlockedAddressError | UrlRefusedError)
    return (None if answer.status in TAKEN else NOT_TAKEN.format(status=answer.status)), False


def _signed(installation: Installation, outgoing: Outgoing) -> str:
    key = signing_key(installation)
    issuer = installation.settings.server.issuer
    event: dict[str, Any] = {CONFIRMATION: {"code": outgoing.to.code}}
    if outgoing.notice is not None:
        event = {NOTICE: _members(outgoing, outgoing.notice, issuer)}
    claims = {
        "iss": issuer,
        "aud": outgoing.to.address,
        "iat": int(installation.clock().timestamp()),
        "jti": outgoing.duty_id,
        "sub_id": {"format": "opaque", "id": outgoing.to.contact_id},
        "events": event,
    }
    return sign_jwt(claims, key.private_pem, kid=key.kid, typ=TYPE, alg=key.kind)


def _members(outgoing: Outgoing, notice: NoticeView, issuer: str) -> dict[str, Any]:
    """Who, what sort of thing, when; and where to read on after signing in."""
    organisation = notice.organisation
    told: dict[str, Any] = {
        "kind": notice.kind,
        "event": notice.event,
        "at": _iso(notice.at),
        "page": f"{issuer}/{outgoing.language}/inbox",
    }
    if organisation is not None:
        told["organisation"] = organisation.organisation_id
    if outgoing.lines:
        told["digest"] = [
            {
                "event": line.event,
                "organisation": line.organisation.organisation_id if line.organisation else None,
                "count": line.count,
                "first_at": _iso(line.first_at),
                "last_at": _iso(line.last_at),
            }
            for line in outgoing.lines
        ]
    return told


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
