"""Security event tokens for recipients (RFC 8417): what happened to a consent, signed, without a record.

The event's own members are ids that the recipient knows already; `sub_id` is RFC 9493's opaque form of the
grant. `jti` is the duty's id, so that an event that comes twice can be told by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from vault.jose import sign_jwt
from vault.keys.service_keys import ServiceKey

TYPE: Final = "secevent+jwt"
RECORD_AVAILABLE: Final = "urn:mydata:event:record-available"
REVIEW_REQUESTED: Final = "urn:mydata:event:review-requested"


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """One event for one client."""

    event_id: str
    client_id: str
    event_type: str
    grant_id: str
    members: Mapping[str, str]


def sign(event: SecurityEvent, *, issuer: str, key: ServiceKey, now: datetime) -> str:
    """The event as a compact JWS. No `exp` (RFC 8417 section 2.2); `typ` as section 2.3 asks."""
    claims = {
        "iss": issuer,
        "aud": event.client_id,
        "iat": int(now.timestamp()),
        "jti": event.event_id,
        "sub_id": {"format": "opaque", "id": event.grant_id},
        "events": {event.event_type: {"grant_id": event.grant_id, **event.members}},
    }
    return sign_jwt(claims, key.private_pem, kid=key.kid, typ=TYPE, alg=key.kind)
