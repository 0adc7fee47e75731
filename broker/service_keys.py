"""The broker's own signing keys, by name: what it signs with, and nothing else has."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from vault.keys.keyring import Keyring
from vault.keys.service_keys import ServiceKeyKind

OAUTH_KEY: Final = "oauth"
RECEIPT_KEY: Final = "receipt"
LOG_KEY: Final = "log"

SERVICE_KEYS: Final[Mapping[str, ServiceKeyKind]] = MappingProxyType(
    {OAUTH_KEY: "ES256", RECEIPT_KEY: "ES256", LOG_KEY: "Ed25519"}
)


def ensure_service_keys(keyring: Keyring, now: datetime) -> None:
    """Make every signing key that is not there."""
    for name, kind in SERVICE_KEYS.items():
        keyring.ensure_service_key(name, kind, now)
