"""The broker's public keys (RFC 7517), fetched when one is needed that is not known, and not often."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from connectors.errors import OutboundError
from connectors.http import OutboundClient

_AT_MOST_EVERY: Final = timedelta(seconds=10)


class KeysAwayError(Exception):
    """The broker's keys cannot be fetched now: nothing is refused for it, it may come again."""


class BrokerKeys:
    """One broker's key set."""

    def __init__(self, issuer: str, http: OutboundClient) -> None:
        self._issuer = issuer
        self._http = http
        self._keys: Mapping[str, Any] = {"keys": []}
        self._fetched_at: datetime | None = None

    def with_kid(self, kid: object, now: datetime) -> Mapping[str, Any]:
        """The key set, fetched again for a key that is not among them. Raises KeysAwayError."""
        is_known = any(key.get("kid") == kid for key in self._keys["keys"])
        if not is_known and (self._fetched_at is None or now >= self._fetched_at + _AT_MOST_EVERY):
            self._fetched_at = now  # also if it fails: strangers must not make us ask a broker that is away
            try:
                fetched = orjson.loads(self._http.request("GET", f"{self._issuer}/jwks").body)
            except (OutboundError, orjson.JSONDecodeError) as error:
                raise KeysAwayError from error
            if not _is_key_set(fetched):
                raise KeysAwayError
            self._keys = fetched
        if not self._keys["keys"]:
            raise KeysAwayError
        return self._keys


def _is_key_set(fetched: object) -> bool:
    """RFC 7517 section 5, as far as looking for a key needs it."""
    keys = fetched.get("keys") if isinstance(fetched, dict) else None
    return isinstance(keys, list) and all(isinstance(key, dict) for key in keys)
