"""Pairwise subject identifiers (OpenID Connect Core section 8.1): one for each person and organisation."""

import base64
from typing import Final

from vault.keys.keyring import Keyring

_FIELD: Final = "pairwise_subject"
_SESSION_FIELD: Final = "pairwise_session"
_SEPARATOR: Final = "\x1f"  # in neither id


def pairwise_subject(keyring: Keyring, organisation_id: str, subject_id: str) -> str:
    """Who a person is to one organisation, in 43 characters: two organisations cannot compare theirs."""
    digest = keyring.index(_FIELD, _SEPARATOR.join((organisation_id, subject_id)))
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def pairwise_session(keyring: Keyring, organisation_id: str, session_digest: bytes) -> str:
    """`sid` of a browser's session (Back-Channel Logout section 2.1), to one organisation and no other."""
    digest = keyring.index(_SESSION_FIELD, _SEPARATOR.join((organisation_id, session_digest.hex())))
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
