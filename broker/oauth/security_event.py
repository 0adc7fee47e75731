"""Security event tokens for recipients (RFC 8417): what happened to a consent, signed, without a record.

The event's own members are ids that the recipient knows already; `sub_id` is RFC 9493's opaque form of the
grant, unless the event names another. `jti` is the duty's id, so that an event that comes twice can be told
by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from vault.jose import sign_jwt
from vault.keys.service_keys import ServiceKey

TYPE: Final = "secevent+jwt"
RECORD_AVAILABLE: Final = "urn:mydata:event:record-available"
REVIEW_REQUESTED: Final = "urn:mydata:event:review-requested"
CONSENT_ENDED: Final = "urn:mydata:event:consent-ended"
CONSENT_PAUSED: Final = "urn:mydata:event:consent-paused"
CONSENT_RESUMED: Final = "urn:mydata:event:consent-resumed"
OBLIGATION_DUE: Final = "urn:mydata:event:obligation-due"

# Told on a stream only (broker/signals).
CONSENT_REVOKED: Final = "urn:mydata:event:consent-revoked"
CONSENT_EXPIRED: Final = "urn:mydata:event:consent-expired"
CONSENT_REPLACED: Final = "urn:mydata:event:consent-replaced"
TOKEN_REVOKED: Final = "https://schemas.openid.net/secevent/oauth/event-type/token-revoked"  # noqa: S105 - a name
VERIFICATION: Final = "https://schemas.openid.net/secevent/ssf/event-type/verification"


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """One event for one client. Without a grant it is about the stream that it is told on.

    `txn` is the same for all that one change has led to (RFC 8417 section 2.2).
    """

    event_id: str
    client_id: str
    event_type: str
    grant_id: str | None
    members: Mapping[str, Any]
    sub_id: Mapping[str, Any] | None = None
    txn: str | None = None


def sign(event: SecurityEvent, *, issuer: str, key: ServiceKey, now: datetime) -> str:
    """The event as a compact JWS. No `exp` (RFC 8417 section 2.2); `typ` as section 2.3 asks."""
    about = {} if event.grant_id is None else {"grant_id": event.grant_id}
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": event.client_id,
        "iat": int(now.timestamp()),
        "jti": event.event_id,
        "sub_id": event.sub_id or {"format": "opaque", "id": event.grant_id},
        "events": {event.event_type: {**about, **event.members}},
    }
    if event.txn is not None:
        claims["txn"] = event.txn
    return sign_jwt(claims, key.private_pem, kid=key.kid, typ=TYPE, alg=key.kind)
