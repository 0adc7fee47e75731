"""Signing in at a recipient, without any record: on the person's own side of the log.

No consent stands behind it, so its handle is the person's own; at whom is in the sealed detail only, or the
log would show where somebody goes.
"""

from datetime import datetime
from typing import Final

from consent.dossier import subject_handle
from consent.evidence import Occurrence, Work, evidence
from consent.vocabulary import EventType
from vault.keys.keyring import Keyring

SIGN_IN_PURPOSE: Final = "subject.sign_in"


def record_recognition(  # noqa: PLR0913 - who, at whom, and what they said
    work: Work, keyring: Keyring, subject_id: str, recipient_id: str, now: datetime, *, is_told: bool
) -> None:
    """Put on record that a person let a recipient know who they are to it, or did not (`is_told`)."""
    occurrence = Occurrence(
        event=EventType.SIGN_IN_SHARED if is_told else EventType.SIGN_IN_REFUSED,
        handle=subject_handle(keyring, subject_id),
        at=now,
        purpose=SIGN_IN_PURPOSE,
        detail={"subject_id": subject_id, "recipient": recipient_id},
    )
    work.record(evidence(keyring.audit_key(subject_id), occurrence))
