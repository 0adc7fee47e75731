"""Scopes (RFC 6749 section 3.3): what a person can grant, and what a client does on its own behalf."""

from collections.abc import Set as AbstractSet
from typing import Final

from broker.oauth.errors import OAuthCode, OAuthError

OPENID: Final = "openid"  # OpenID Connect Core section 3.1.2.1
RECORDS_READ: Final = "records.read"
DELIVERIES: Final = "deliveries"
OBLIGATIONS: Final = "obligations"
DEALS: Final = "deals"
EMERGENCY: Final = "emergency"
SSF: Final = "ssf"
SSF_READ: Final = "ssf.read"  # an event stream's configuration and status, and nothing of them changed
HOLDERS_RECORDS: Final = "holders.records"
GRANT_QUERY: Final = "grant_management_query"  # Grant Management for OAuth 2.0 section 6
GRANT_REVOKE: Final = "grant_management_revoke"

GRANTABLE: Final = frozenset({OPENID, RECORDS_READ})
CLIENT_OWN: Final = frozenset(
    {DELIVERIES, OBLIGATIONS, DEALS, EMERGENCY, HOLDERS_RECORDS, GRANT_QUERY, GRANT_REVOKE, SSF, SSF_READ}
)
SUPPORTED: Final = GRANTABLE | CLIENT_OWN
OF_HOLDERS: Final = frozenset({HOLDERS_RECORDS})
"""What only a holder's client can have; everything else is for recipients."""
OF_PLAIN: Final = frozenset({OPENID, SSF, SSF_READ})
"""What a client of the profile `oidc` can have: a sign-in, and an event stream of its own."""
OVER_GRANTS: Final = frozenset({GRANT_QUERY, GRANT_REVOKE})
"""What opens the grants endpoint, whatever the grant type (Grant Management section 6.1). It is no part of
what a person grants: with their grant it is good for that one."""


def understood(requested: str | None) -> str | None:
    """What is asked for without what nobody knows here (OpenID Connect Core section 3.1.2.1)."""
    return None if requested is None else " ".join(one for one in requested.split() if one in SUPPORTED)


def choose_with_person(requested: str | None, registered: AbstractSet[str]) -> str:
    """The scope of a request that a person answers: what they can grant, in the measure of `choose`.

    Beside it, by name only, what opens the grants endpoint for that grant. Raises OAuthError invalid_scope.
    """
    is_named = bool((requested or "").split())
    return choose(requested, registered & (GRANTABLE | OVER_GRANTS if is_named else GRANTABLE))


def choose(requested: str | None, allowed: AbstractSet[str]) -> str:
    """The scope that is asked for, or all that is allowed if none is; order and repetition say nothing.

    A sign-in is never meant unsaid: `openid` is asked for by name. Raises OAuthError invalid_scope.
    """
    asked = frozenset((requested or "").split()) or frozenset(allowed) - {OPENID}
    if not asked or not asked <= allowed:
        raise OAuthError(OAuthCode.INVALID_SCOPE, "a scope that this client cannot have here")
    return " ".join(sorted(asked))
