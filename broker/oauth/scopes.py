"""Scopes (RFC 6749 section 3.3): what a person can grant, and what a client does on its own behalf."""

from collections.abc import Set as AbstractSet
from typing import Final

from broker.oauth.errors import OAuthCode, OAuthError

RECORDS_READ: Final = "records.read"
DELIVERIES: Final = "deliveries"
OBLIGATIONS: Final = "obligations"
HOLDERS_RECORDS: Final = "holders.records"

GRANTABLE: Final = frozenset({RECORDS_READ})
CLIENT_OWN: Final = frozenset({DELIVERIES, OBLIGATIONS, HOLDERS_RECORDS})
SUPPORTED: Final = GRANTABLE | CLIENT_OWN
OF_HOLDERS: Final = frozenset({HOLDERS_RECORDS})
"""What only a holder's client can have; everything else is for recipients."""


def choose(requested: str | None, allowed: AbstractSet[str]) -> str:
    """The scope that is asked for, or all that is allowed if none is; order and repetition say nothing.

    Raises OAuthError invalid_scope for anything else: `openid` too, until there are ID tokens.
    """
    asked = frozenset((requested or "").split()) or frozenset(allowed)
    if not asked or not asked <= allowed:
        raise OAuthError(OAuthCode.INVALID_SCOPE, "a scope that this client cannot have here")
    return " ".join(sorted(asked))
