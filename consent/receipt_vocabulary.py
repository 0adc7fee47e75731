"""Words of receipts: kinds, the DPV term of every status, and the JSON-LD context with each name's IRI.

Nothing outside the core terms of the W3C Data Privacy Vocabulary 2.3 can be said in its name: the whole list
comes along as data, and `dpv()` refuses what is not in it.
"""

from collections.abc import Mapping
from enum import StrEnum
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

import orjson

from consent.vocabulary import EventType, VersionKind

DPV: Final = "https://w3id.org/dpv#"
RECEIPT_SCHEMA: Final = "https://w3id.org/dpv/schema/dpv-27560#receipt"


def _load_terms() -> frozenset[str]:
    listed = orjson.loads(resources.files(__package__).joinpath("dpv_terms.json").read_bytes())
    return frozenset([*listed["classes"], *listed["properties"]])


TERMS: Final = _load_terms()


def dpv(term: str) -> str:
    """The IRI of a DPV term. Raises ValueError for one that DPV 2.3 does not have."""
    if term not in TERMS:
        message = f"DPV 2.3 has no term {term}"
        raise ValueError(message)
    return DPV + term


class ReceiptKind(StrEnum):
    """What a receipt is the proof of: one version of a consent, an end, or that what was kept is deleted."""

    GRANT = "grant"
    AMENDMENT = "amendment"
    RENEWAL = "renewal"
    NARROWING = "narrowing"
    RECONSENT = "reconsent"
    FULFILMENT = "fulfilment"
    EXPIRY = "expiry"
    WITHDRAWAL = "withdrawal"
    REVOCATION = "revocation"
    INVALIDATION = "invalidation"
    DELETION = "deletion"


OF_VERSION: Final[Mapping[VersionKind, ReceiptKind]] = MappingProxyType(
    {kind: ReceiptKind(kind) for kind in VersionKind if kind is not VersionKind.REQUEST}
)

OF_END: Final[Mapping[EventType, ReceiptKind]] = MappingProxyType(
    {
        EventType.CONSENT_FULFILLED: ReceiptKind.FULFILMENT,
        EventType.CONSENT_EXPIRED: ReceiptKind.EXPIRY,
        EventType.CONSENT_WITHDRAWN: ReceiptKind.WITHDRAWAL,
        EventType.CONSENT_REVOKED: ReceiptKind.REVOCATION,
        EventType.CONSENT_INVALIDATED: ReceiptKind.INVALIDATION,
    }
)
"""Ends of what was given; a refusal ends nothing that anybody agreed to."""

# DPV has no term for a pause: what it says of it is that nothing may be processed.
STATUS_OF_EVENT: Final[Mapping[EventType, str]] = MappingProxyType(
    {
        EventType.CONSENT_REQUESTED: dpv("ConsentRequested"),
        EventType.CONSENT_SIGNED: dpv("ConsentRequestDeferred"),
        EventType.CONSENT_GIVEN: dpv("ConsentGiven"),
        EventType.CONSENT_PAUSED: dpv("ConsentStatusInvalidForProcessing"),
        EventType.CONSENT_RESUMED: dpv("ConsentGiven"),
        EventType.CONSENT_AMENDED: dpv("ConsentGiven"),
        EventType.CONSENT_NARROWED: dpv("ConsentGiven"),
        EventType.CONSENT_RENEWED: dpv("RenewedConsentGiven"),
        EventType.CONSENT_FULFILLED: dpv("PermissionUtilised"),
        EventType.CONSENT_EXPIRED: dpv("ConsentExpired"),
        EventType.CONSENT_WITHDRAWN: dpv("ConsentWithdrawn"),
        EventType.CONSENT_REVOKED: dpv("ConsentRevoked"),
        EventType.CONSENT_INVALIDATED: dpv("ConsentInvalidated"),
    }
)

EVENTS_OF_KIND: Final[Mapping[ReceiptKind, EventType]] = MappingProxyType(
    {
        ReceiptKind.GRANT: EventType.CONSENT_GIVEN,
        ReceiptKind.AMENDMENT: EventType.CONSENT_AMENDED,
        ReceiptKind.RENEWAL: EventType.CONSENT_RENEWED,
        ReceiptKind.NARROWING: EventType.CONSENT_NARROWED,
        ReceiptKind.RECONSENT: EventType.CONSENT_AMENDED,
        **{kind: event for event, kind in OF_END.items()},
        ReceiptKind.DELETION: EventType.OBLIGATION_ATTESTED,
    }
)
"""The event of the log that a receipt belongs to."""

_IRI: Final = "@id"  # of a value that is an IRI itself


def _is(term: str, kind: str | None = None) -> dict[str, str]:
    return {"@id": dpv(term)} if kind is None else {"@id": dpv(term), "@type": kind}


# Everything else is a name of ours: `@vocab` gives it an IRI too, so nothing is lost on expansion.
CONTEXT: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "@version": 1.1,
        "@vocab": "urn:mydata:receipt:",
        "dpv": DPV,
        "dct": "http://purl.org/dc/terms/",
        "schema": {"@id": "dct:conformsTo", "@type": _IRI},
        "jti": {"@id": "dct:identifier"},
        "grant_id": _is("hasIdentifier"),
        "status": _is("hasConsentStatus", _IRI),
        "issued_for": {"@id": "dct:date"},
        "language": {"@id": "dct:language"},
        "jurisdiction": _is("hasJurisdiction"),
        "data_subject": _is("hasDataSubject"),
        "notice": _is("hasNotice"),
        "process": _is("hasProcess"),
        "purpose": _is("hasPurpose"),
        "legal_basis": _is("hasLegalBasis", _IRI),
        "processing": _is("hasProcessing", _IRI),
        "personal_data": _is("hasPersonalData"),
        "necessity": _is("hasNecessity", _IRI),
        "recipient": _is("hasRecipientDataController"),
        "holders": _is("hasDataSource"),
        "name": _is("hasName"),
        "contact": _is("hasContact"),
        "storage": _is("hasStorageCondition"),
        "frequency": _is("hasFrequency"),
        "duration": _is("hasDuration"),
        "withdrawal": _is("hasConsentControl"),
        "rights": _is("hasRight"),
        "exercised_at": _is("isExercisedAt", _IRI),
        "indicated_by": _is("isIndicatedBy"),
        "at": _is("isIndicatedAtTime"),
        "valid_until": {"@id": "dct:valid"},
        "obligation": _is("hasObligation"),
        "fulfilment": _is("hasFulfilmentStatus", _IRI),
        "terms": {"@id": "urn:mydata:receipt:terms", "@type": "@json"},
    }
)
