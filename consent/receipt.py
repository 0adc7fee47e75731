"""The receipt a person keeps: content of ISO/IEC TS 27560 on W3C DPV terms, as JSON-LD.

Pure: a receipt says what the record was when it was issued. A receipt of an end begins with the very receipt
of the version that ended, so no later edit of a purpose or a name can come into it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from consent.disclosure import instant
from consent.models import Organisation
from consent.purposes import Purpose
from consent.receipt_vocabulary import (
    CONTEXT,
    EVENTS_OF_KIND,
    OF_VERSION,
    RECEIPT_SCHEMA,
    STATUS_OF_EVENT,
    ReceiptKind,
    dpv,
)
from consent.terms import Item, Terms
from consent.vocabulary import AccessKind, EventType, VersionKind

# Where each of the seven items of PIPA decree article 42-5(3) stands (JSON Pointer, RFC 6901).
SEVEN_ITEMS: Final[Mapping[str, str]] = {
    "purpose": "/process/purpose",
    "holder": "/process/holders",
    "recipient": "/recipient",
    "data": "/process/personal_data",
    "periodicity": "/process/frequency",
    "end": "/process/duration/valid_until",
    "retention": "/process/storage/period",
}
_OF_SIGNER: Final = frozenset({"iss", "aud", "jti", "iat"})
_BY_PERSON: Final = frozenset(
    {
        EventType.CONSENT_SIGNED,
        EventType.CONSENT_GIVEN,
        EventType.CONSENT_AMENDED,
        EventType.CONSENT_RENEWED,
        EventType.CONSENT_NARROWED,
        EventType.CONSENT_WITHDRAWN,
    }
)


@dataclass(frozen=True, slots=True)
class Happened:
    """One step in the life of a consent, as the log has it."""

    event: EventType
    at: datetime


@dataclass(frozen=True, slots=True)
class Agreement:
    """Everything a receipt of a version speaks of. `subject_ref` names the person to nobody but the log."""

    grant_id: str
    version_number: int
    kind: VersionKind
    subject_ref: str
    recipient: Organisation
    holders: tuple[Organisation, ...]
    terms: Terms
    purpose: Purpose
    notice_digest: bytes
    language: str
    agreed_at: datetime
    is_represented: bool = False
    history: Sequence[Happened] = ()


@dataclass(frozen=True, slots=True)
class Delivered:
    """A delivery as a receipt of an end names it: counts and digests, no content."""

    delivery_id: str
    as_of: datetime
    record_count: int
    payload_digest: bytes
    acknowledged_at: datetime | None


@dataclass(frozen=True, slots=True)
class Owed:
    """What the recipient must delete: the deliveries it may keep until then, by their digests."""

    due_at: datetime
    digests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Deletion:
    """What the recipient has attested."""

    attested_at: datetime
    digests: tuple[bytes, ...]
    attestation_digest: bytes


def receipt(agreement: Agreement) -> dict[str, Any]:
    """The claims of a receipt of a version, without issuer, audience and id: those are the signer's.

    An address of this broker is a path in an `@id`; the signer, who knows the issuer, makes it absolute.
    """
    kind = OF_VERSION[agreement.kind]
    happened = Happened(EVENTS_OF_KIND[kind], agreement.agreed_at)
    recipient, grant_id = agreement.recipient, agreement.grant_id
    pages = f"/{agreement.language}/consents/{grant_id}"
    return {
        "@context": dict(CONTEXT),
        "@type": dpv("ConsentReceipt"),
        "schema": RECEIPT_SCHEMA,
        "kind": kind,
        "grant_id": grant_id,
        "version": agreement.version_number,
        "status": _status(kind),
        "given_at": instant(agreement.agreed_at),
        "language": agreement.language,
        "jurisdiction": "KR",
        "data_subject": {"@type": dpv("DataSubject"), "ref": agreement.subject_ref},
        "recipient": {
            "@type": [dpv("DataController"), dpv("Recipient")],
            **_party(recipient),
            "registration_number": recipient.registration_number,
            "contact": recipient.contact,
        },
        "notice": {
            "@type": dpv("ConsentNotice"),
            "revision": agreement.purpose.notice.revision,
            "language": agreement.language,
            "sha256": agreement.notice_digest.hex(),
        },
        "process": _process(agreement),
        "withdrawal": {"@type": dpv("WithdrawConsent"), "exercised_at": {"@id": f"{pages}/stop"}},
        "rights": [{"@type": dpv("DataSubjectRight"), "exercised_at": {"@id": pages}}],
        "events": _events([*agreement.history, happened], is_represented=agreement.is_represented),
        "terms": agreement.terms.to_detail(),
        "terms_sha256": agreement.terms.digest().hex(),
        "seven_items": dict(SEVEN_ITEMS),
    }


def receipt_of_end(  # noqa: PLR0913 - an end has this many sides
    agreed: Mapping[str, Any],
    kind: ReceiptKind,
    history: Sequence[Happened],
    *,
    reason: str | None,
    delivered: Sequence[Delivered],
    owed: Owed | None,
) -> dict[str, Any]:
    """The claims of a termination receipt: what ended, when and why, what had left, and what must go.

    `agreed` are the claims of the receipt of the version that ended; the last step of `history` is the end.
    """
    content = _continued(agreed, kind, history)
    content["end"] = {
        "cause": kind,
        **({} if reason is None else {"reason": reason}),
        "at": instant(history[-1].at),
        "delivered": [_delivered(one) for one in delivered],
        "delivered_count": len(delivered),
        "records_count": sum(one.record_count for one in delivered),
    }
    if owed is not None:
        content["obligation"] = {
            "@type": [dpv("Obligation"), dpv("StorageDeletion")],
            "fulfilment": dpv("ObligationUnfulfilled"),
            "delete": [digest.hex() for digest in owed.digests],
            "due_at": instant(owed.due_at),
        }
    return content


def receipt_of_deletion(
    agreed: Mapping[str, Any], history: Sequence[Happened], deletion: Deletion
) -> dict[str, Any]:
    """The claims of a receipt that the recipient attested the deletion of what it had kept."""
    content = _continued(agreed, ReceiptKind.DELETION, history)
    content["obligation"] = {
        "@type": [dpv("Obligation"), dpv("StorageDeletion")],
        "fulfilment": dpv("ObligationFulfilled"),
        "delete": [digest.hex() for digest in deletion.digests],
        "attested_at": instant(deletion.attested_at),
        "attestation_sha256": deletion.attestation_digest.hex(),
    }
    return content


def _continued(agreed: Mapping[str, Any], kind: ReceiptKind, history: Sequence[Happened]) -> dict[str, Any]:
    """What was agreed, as its own receipt says it, with what has become of it."""
    is_represented = any(one.get("indicated_by") == "representative" for one in agreed.get("events", ()))
    content = {name: value for name, value in agreed.items() if name not in _OF_SIGNER}
    moved = [one for one in history if one.event in STATUS_OF_EVENT]
    return content | {
        "kind": kind,
        "status": STATUS_OF_EVENT[moved[-1].event],
        "continues": agreed["jti"],
        "events": _events(moved, is_represented=is_represented),
    }


def _status(kind: ReceiptKind) -> str:
    if kind is ReceiptKind.RECONSENT:
        return dpv("RenewedConsentGiven")
    return STATUS_OF_EVENT[EVENTS_OF_KIND[kind]]


def _process(agreement: Agreement) -> dict[str, Any]:
    terms, purpose = agreement.terms, agreement.purpose
    is_once = terms.access.kind is AccessKind.ONCE
    frequency = {"@type": dpv("SingularFrequency" if is_once else "SporadicFrequency")}
    return {
        "@type": dpv("PersonalDataProcess"),
        "purpose": {
            "@type": purpose.dpv_purpose,
            "code": purpose.code,
            "name": {"ko": purpose.name.ko, "en": purpose.name.en},
        },
        "legal_basis": purpose.legal_basis,
        "processing": [dpv("Transmit"), dpv("Store" if terms.retention.store else "Use")],
        "holders": [{"@type": dpv("DataSource"), **_party(holder)} for holder in agreement.holders],
        "personal_data": [_personal_data(item) for item in terms.items],
        "data_period": terms.data_period.model_dump(mode="json", by_alias=True),
        "frequency": frequency
        | terms.access.model_dump(mode="json", exclude_none=True, include={"kind", "cycle", "max_pulls"}),
        "duration": {
            "@type": dpv("UntilTimeDuration"),
            "valid_from": instant(terms.access.valid_from),
            "valid_until": instant(terms.access.valid_until),
        },
        "storage": {
            "@type": [dpv("StorageDuration"), dpv("StorageDeletion")],
            **terms.retention.model_dump(mode="json"),
        },
    }


def _personal_data(item: Item) -> dict[str, Any]:
    """One record type: an answer about it is derived from it, and no copy."""
    return {
        "@type": dpv("DerivedPersonalData" if item.mode.is_answer else "PersonalData"),
        "@id": f"/v1/catalogue/record-types/{item.record_type}",
        "necessity": dpv("Required" if item.required else "Optional"),
        **item.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"required"}),
    }


def _party(organisation: Organisation) -> dict[str, Any]:
    return {
        "id": organisation.organisation_id,
        "name": {"ko": organisation.name_ko, "en": organisation.name_en},
    }


def _delivered(one: Delivered) -> dict[str, Any]:
    told = {
        "delivery_id": one.delivery_id,
        "as_of": instant(one.as_of),
        "record_count": one.record_count,
        "payload_digest": one.payload_digest.hex(),
    }
    if one.acknowledged_at is not None:
        told["acknowledged_at"] = instant(one.acknowledged_at)
    return told


def _events(history: Sequence[Happened], *, is_represented: bool) -> list[dict[str, Any]]:
    return [_event(one, is_represented=is_represented) for one in history if one.event in STATUS_OF_EVENT]


def _event(one: Happened, *, is_represented: bool) -> dict[str, Any]:
    told = {"status": STATUS_OF_EVENT[one.event], "event": one.event, "at": instant(one.at)}
    if one.event is EventType.CONSENT_REQUESTED:
        told["indicated_by"] = "recipient"
    elif one.event in _BY_PERSON:
        told["indicated_by"] = "representative" if is_represented else "data_subject"
    return told
