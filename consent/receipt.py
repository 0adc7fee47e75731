"""The receipt a person keeps: content of ISO/IEC TS 27560 on terms of the W3C Data Privacy Vocabulary."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from consent.disclosure import instant
from consent.models import Organisation
from consent.terms import Terms

RECEIPT_SCHEMA: Final = "https://w3id.org/dpv/schema/dpv-27560#receipt"
_STATUS_GIVEN: Final = "https://w3id.org/dpv#ConsentGiven"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Everything a receipt speaks of. `subject_ref` names the person to nobody but the log."""

    grant_id: str
    version_number: int
    subject_ref: str
    recipient: Organisation
    holders: tuple[str, ...]
    terms: Terms
    notice_digest: bytes
    notice_revision: str
    language: str
    given_at: datetime


def receipt(agreement: Agreement) -> dict[str, Any]:
    """The receipt's claims, without issuer, audience and id: those are the signer's."""
    terms, recipient = agreement.terms, agreement.recipient
    return {
        "schema": RECEIPT_SCHEMA,
        "grant_id": agreement.grant_id,
        "version": agreement.version_number,
        "status": _STATUS_GIVEN,
        "given_at": instant(agreement.given_at),
        "data_subject": agreement.subject_ref,
        "recipient": {
            "id": recipient.organisation_id,
            "name": {"ko": recipient.name_ko, "en": recipient.name_en},
            "registration_number": recipient.registration_number,
            "contact": recipient.contact,
        },
        "holders": list(agreement.holders),
        "notice": {
            "revision": agreement.notice_revision,
            "language": agreement.language,
            "sha256": agreement.notice_digest.hex(),
        },
        "purpose": terms.purpose,
        "terms": terms.to_detail(),
        "terms_sha256": terms.digest().hex(),
    }
