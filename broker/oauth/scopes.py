"""Scopes (RFC 6749 section 3.3): what a person can grant, and what a client does on its own behalf."""

from collections.abc import Set as AbstractSet
from typing import Final

from broker.oauth.errors import OAuthCode, OAuthError

RECORDS_READ: Final = "records.read"
DELIVERIES: Final = "deliveries"
OBLIGATIONS: Final = "obligations"

GRANTABLE: Final = frozenset({RECORDS_READ})
CLIENT_OWN: Final = frozenset({DELIVERIES, OBLIGATIONS})
SUPPORTED: Final = GRANTABLE | CLIENT_OWN


def choose(requested: str | None, allowed: AbstractSet[str]) -> str:
    """The scope that is asked for, or all that is allowed if none is; order and repetition say nothing.

    Raises OAuthError invalid_scope for anything else: `openid` too, until there are ID tokens.
    """
    asked = frozenset((requested or "").split()) or frozenset(allowed)
    if not asked or not asked <= allowed:
        raise OAuthError(OAuthCode.INVALID_SCOPE, "a scope that this client cannot have here")
    return " ".join(sorted(asked))
