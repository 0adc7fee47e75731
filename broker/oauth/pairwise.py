"""Pairwise subject identifiers (OpenID Connect Core section 8.1): one for each person and organisation."""

import base64
from typing import Final

from vault.keys.keyring import Keyring

_FIELD: Final = "pairwise_subject"
_SEPARATOR: Final = "\x1f"  # in neither id


def pairwise_subject(keyring: Keyring, organisation_id: str, subject_id: str) -> str:
    """Who a person is to one organisation, in 43 characters: two organisations cannot compare theirs."""
    digest = keyring.index(_FIELD, _SEPARATOR.join((organisation_id, subject_id)))
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
