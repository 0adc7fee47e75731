"""What a stream tells, and how: the event types, and an event as a Shared Signal (OpenID SSF 1.0 section 3).

The subject is complex: the person by their pairwise identifier, and the client. `event_timestamp` and
`initiating_entity` are named as in CAEP 1.0 section 2.
"""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from broker.oauth.models import Token
from broker.oauth.pairwise import pairwise_subject
from broker.oauth.security_event import (
    CONSENT_ENDED,
    CONSENT_EXPIRED,
    CONSENT_PAUSED,
    CONSENT_REPLACED,
    CONSENT_RESUMED,
    CONSENT_REVOKED,
    OBLIGATION_DUE,
    RECORD_AVAILABLE,
    REVIEW_REQUESTED,
    TOKEN_REVOKED,
    VERIFICATION,
    SecurityEvent,
)
from consent.models import Consent, Duty
from consent.vocabulary import ConsentState, StateReason
from vault.keys.keyring import Keyring
from vault.schema import to_microseconds

SUPPORTED: Final = (
    TOKEN_REVOKED,
    CONSENT_REVOKED,
    CONSENT_EXPIRED,
    CONSENT_REPLACED,
    CONSENT_PAUSED,
    CONSENT_RESUMED,
    RECORD_AVAILABLE,
    REVIEW_REQUESTED,
    OBLIGATION_DUE,
)
"""Every event type that a client can ask for. Verification comes without being asked for here."""

STREAM_ONLY: Final = frozenset({TOKEN_REVOKED, CONSENT_REPLACED})
"""What clients without a stream are not told of."""

_ENDED_BY_ITSELF: Final = frozenset({ConsentState.EXPIRED, ConsentState.FULFILLED})
_BY_USER: Final = frozenset({CONSENT_REPLACED, REVIEW_REQUESTED})
_BY_SYSTEM: Final = frozenset({RECORD_AVAILABLE, OBLIGATION_DUE})
_ENDED_BY: Final[Mapping[str, str]] = MappingProxyType(
    {
        ConsentState.WITHDRAWN: "user",
        ConsentState.REVOKED: "admin",
        ConsentState.INVALIDATED: "policy",
        ConsentState.EXPIRED: "system",
        ConsentState.FULFILLED: "system",
    }
)


def supported_for(*, is_plain: bool) -> tuple[str, ...]:
    """What a receiver can be told of (SSF 1.0 section 8.1.1).

    One of the profile `oidc` has neither consents nor refresh tokens, and nothing is promised to it.
    """
    return () if is_plain else SUPPORTED


def user_of(keyring: Keyring, issuer: str, consent: Consent) -> dict[str, str]:
    """The person of a consent as its recipient knows them (RFC 9493 section 3.2.3)."""
    sub = pairwise_subject(keyring, consent.recipient_id, consent.subject_id)
    return {"format": "iss_sub", "iss": issuer, "sub": sub}


def as_signal(
    event: SecurityEvent, *, keyring: Keyring, issuer: str, consent: Consent, duty: Duty
) -> SecurityEvent:
    """An event about a consent as it is told on a stream."""
    event_type = event.event_type
    if event_type == CONSENT_ENDED:
        event_type = CONSENT_EXPIRED if consent.state in _ENDED_BY_ITSELF else CONSENT_REVOKED
    members = dict(event.members)
    members.pop("ended_at", None)  # the event's own instant
    if "due_at" in members:
        members |= {"retention_action": "delete", "delete_by": members.pop("due_at")}
    happened_at = duty.happened_at or duty.created_at
    members["event_timestamp"] = int(happened_at.timestamp())
    if (by := _initiator(event_type, consent)) is not None:
        members["initiating_entity"] = by
    return SecurityEvent(
        event.event_id,
        event.client_id,
        event_type,
        event.grant_id,
        members,
        sub_id={
            "format": "complex",
            "user": user_of(keyring, issuer, consent),
            "application": {"format": "opaque", "id": consent.client_id},
        },
        txn=_transaction(consent.grant_id, happened_at),
    )


def verification(event_id: str, client_id: str, stream_id: str, state: str | None) -> SecurityEvent:
    """What shows a client that its stream works; `state` is its own (SSF 1.0 section 8.1.4.1).

    What led to it is that one call: its `txn` is the event's own id, whoever sends it again.
    """
    members = {} if state is None else {"state": state}
    about = {"format": "opaque", "id": stream_id}
    return SecurityEvent(event_id, client_id, VERIFICATION, None, members, sub_id=about, txn=event_id)


def token_members(token: Token, consent: Consent) -> dict[str, Any]:
    """Which refresh token ended, by its hash, and why (OAuth Event Types 1.0, sections 2.1 and 3.2)."""
    if token.revoked_at is not None:
        reason = "api"  # given back (RFC 7009), or its code was used twice
    else:
        reason = "issuer" if _ENDED_BY.get(consent.state, "user") != "user" else "user"
    return {
        "subject": {
            "subject_type": "oauth_token",
            "token_type": "refresh_token",
            "token_identifier_alg": "hash_base64url_sha256",
            "token": base64.urlsafe_b64encode(token.token_hash).rstrip(b"=").decode(),
        },
        "reason": reason,
    }


def _initiator(event_type: str, consent: Consent) -> str | None:
    """Who began it, where that is known. Of a pause only what its recipient knows by itself is told."""
    if event_type in _BY_USER:
        return "user"
    if event_type in _BY_SYSTEM:
        return "system"
    if event_type == CONSENT_PAUSED:
        reasons = {StateReason.BY_SUBJECT: "user", StateReason.RECIPIENT_SUSPENDED: "admin"}
        return reasons.get(StateReason(consent.state_reason), "policy") if consent.state_reason else None
    return _ENDED_BY.get(consent.state) if event_type in {CONSENT_REVOKED, CONSENT_EXPIRED} else None


def _transaction(grant_id: str, happened_at: datetime) -> str:
    """One id for all that one change of a consent has led to."""
    digest = hashlib.sha256(f"{grant_id}\x1f{to_microseconds(happened_at)}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()
