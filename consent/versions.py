"""Versions of a consent at rest: terms and receipts, sealed under the subject's audit key."""

from typing import Final

from consent.models import ConsentVersion
from consent.terms import Terms, stored
from vault.keys.keyring import Keyring
from vault.seal import SealingKey, context_of, open_sealed, seal

REQUESTED_NUMBER: Final = 0


def version_id_of(grant_id: str, number: int) -> str:
    """The id that shares and deliveries are bound to."""
    return f"{grant_id}.{number}"


def seal_terms(keyring: Keyring, subject_id: str, version_id: str, terms: Terms) -> bytes:
    """Terms for the version's row."""
    return seal(keyring.audit_key(subject_id), terms_context(version_id), terms.canonical())


def open_terms(keyring: Keyring, subject_id: str, version: ConsentVersion) -> Terms:
    """The terms of a version; raises TamperedError."""
    return open_terms_with(keyring.audit_key(subject_id), version.version_id, version.terms_sealed)


def open_terms_with(audit_key: SealingKey, version_id: str, terms_sealed: bytes) -> Terms:
    """The same from raw columns, for the lane."""
    return stored(open_sealed(audit_key, terms_context(version_id), terms_sealed))


def seal_change(keyring: Keyring, subject_id: str, change_id: str, terms: Terms) -> bytes:
    """Proposed terms for the change's row."""
    return seal(keyring.audit_key(subject_id), _change_context(change_id), terms.canonical())


def unseal_change(keyring: Keyring, subject_id: str, change_id: str, terms_sealed: bytes) -> Terms:
    """The terms that were proposed; raises TamperedError."""
    return stored(open_sealed(keyring.audit_key(subject_id), _change_context(change_id), terms_sealed))


def terms_context(version_id: str) -> bytes:
    """What sealed terms are bound to."""
    return context_of("mydata/consent/terms@v1", version_id)


def seal_receipt(keyring: Keyring, subject_id: str, version_id: str, receipt_jws: str) -> bytes:
    """A receipt for the version's row."""
    return seal(keyring.audit_key(subject_id), _receipt_context(version_id), receipt_jws.encode())


def open_receipt(keyring: Keyring, subject_id: str, version_id: str, receipt_sealed: bytes) -> str:
    """The receipt of a version, byte for byte as it was issued."""
    return open_sealed(keyring.audit_key(subject_id), _receipt_context(version_id), receipt_sealed).decode()


def _change_context(change_id: str) -> bytes:
    return context_of("mydata/consent/change@v1", change_id)


def _receipt_context(version_id: str) -> bytes:
    return context_of("mydata/consent/receipt@v1", version_id)
