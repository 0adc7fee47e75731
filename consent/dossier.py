"""The whole record of one consent as plain values, so that whoever gets it can check it by themselves.

Terms and receipts of every version, deliveries with their digests, decisions, and the log's leaves each with
its detail and the opening of its commitment (`consent.ledger.entries.check_opening` over the detail in the
canonical form of RFC 8785). Instants are RFC 3339, bytes base64url without padding, digests hexadecimal.
"""

import base64
from collections.abc import Iterable
from typing import Any, Final

import orjson
from sqlmodel import Session, col, select

from consent.delivery import open_decision
from consent.errors import NotFoundError
from consent.evidence import open_commitment
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import (
    Consent,
    ConsentVersion,
    Decision,
    Delivery,
    Obligation,
    Organisation,
    Receipt,
)
from consent.receipt_issue import open_later_receipt
from consent.versions import open_receipt, open_terms
from vault.errors import UnknownKeyError
from vault.keys.keyring import Keyring

DOSSIER_FORMAT: Final = "mydata/consent-record@v1"


def consent_record(session: Session, keyring: Keyring, subject_id: str, grant_id: str) -> dict[str, Any]:
    """Everything on record of one consent of a subject. Raises NotFoundError, for a foreign one too."""
    consent = session.exec(
        select(Consent).where(Consent.grant_id == grant_id, Consent.subject_id == subject_id)
    ).one_or_none()
    if consent is None:
        raise NotFoundError
    return {
        "format": DOSSIER_FORMAT,
        "grant_id": grant_id,
        "state": consent.state,
        "recipient": organisation_of(session, consent.recipient_id),
        "purpose": consent.purpose,
        "created_at": consent.created_at,
        "given_at": consent.given_at,
        "ended_at": consent.ended_at,
        "valid_from": consent.valid_from,
        "valid_until": consent.valid_until,
        "versions": _versions(session, keyring, consent),
        "later_receipts": _later_receipts(session, keyring, grant_id),
        "deliveries": _deliveries(session, grant_id),
        "decisions": _decisions(session, keyring, grant_id),
        "obligations": _obligations(session, grant_id),
        "timeline": timeline_of(session, keyring, subject_id, [consent.handle]),
    }


def timeline_of(
    session: Session, keyring: Keyring, subject_id: str, handles: Iterable[str]
) -> list[dict[str, Any]]:
    """The log's entries under a subject's handles, in order: index, leaf, detail, opening."""
    audit_key = keyring.audit_key(subject_id)
    rows = session.exec(
        select(LedgerEntry).where(col(LedgerEntry.handle).in_(list(handles))).order_by(col(LedgerEntry.idx))
    )
    entries = []
    for row in rows:
        event = Event.from_leaf(row.leaf)
        opening, detail = open_commitment(
            audit_key, handle=event.handle, commitment=event.commitment, detail_sealed=row.detail_sealed
        )
        entries.append(
            {
                "index": row.idx,
                "type": event.type,
                "at": event.at,
                "leaf": _base64url(row.leaf),
                "opening": _base64url(opening),
                "detail": orjson.loads(detail),
            }
        )
    return entries


def organisation_of(session: Session, organisation_id: str) -> dict[str, str]:
    """An organisation with its contact."""
    row = session.get_one(Organisation, organisation_id)
    return {
        "id": row.organisation_id,
        "name_ko": row.name_ko,
        "name_en": row.name_en,
        "registration_number": row.registration_number,
        "contact": row.contact,
    }


def subject_handle(keyring: Keyring, subject_id: str) -> str:
    """The handle of what concerns a person and no single consent or link: exports and erasures."""
    return keyring.index("subject.handle", subject_id).hex()[:32]


def as_json(value: object) -> bytes:
    """Plain values as JSON in UTF-8, instants in RFC 3339."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2)


def _versions(session: Session, keyring: Keyring, consent: Consent) -> list[dict[str, Any]]:
    rows = session.exec(
        select(ConsentVersion)
        .where(ConsentVersion.grant_id == consent.grant_id)
        .order_by(col(ConsentVersion.number))
    )
    return [
        {
            "version_id": row.version_id,
            "number": row.number,
            "kind": row.kind,
            "terms": orjson.loads(open_terms(keyring, consent.subject_id, row).canonical()),
            "notice_digest": row.notice_digest.hex(),
            "language": row.language,
            "receipt": None
            if row.receipt_sealed is None
            else open_receipt(keyring, consent.subject_id, row.version_id, row.receipt_sealed),
            "created_at": row.created_at,
        }
        for row in rows
    ]


def _later_receipts(session: Session, keyring: Keyring, grant_id: str) -> list[str]:
    """The receipts of ends and deletions."""
    rows = session.exec(
        select(Receipt).where(Receipt.grant_id == grant_id).order_by(col(Receipt.entry_index))
    )
    return [open_later_receipt(keyring, row) for row in rows]


def _obligations(session: Session, grant_id: str) -> list[dict[str, Any]]:
    """What the recipient still owes, or has attested."""
    rows = session.exec(select(Obligation).where(Obligation.grant_id == grant_id))
    return [
        {
            "obligation_id": row.obligation_id,
            "state": row.state,
            "opened_at": row.opened_at,
            "due_at": row.due_at,
            "attested_at": row.attested_at,
        }
        for row in rows
    ]


def _deliveries(session: Session, grant_id: str) -> list[dict[str, Any]]:
    rows = session.exec(select(Delivery).where(Delivery.grant_id == grant_id).order_by(col(Delivery.as_of)))
    return [
        {
            "delivery_id": row.delivery_id,
            "version_id": row.version_id,
            "ordinal": row.ordinal,
            "payload_digest": row.payload_digest.hex(),
            "record_count": row.record_count,
            "as_of": row.as_of,
            "acknowledged_at": row.acknowledged_at,
        }
        for row in rows
    ]


def _decisions(session: Session, keyring: Keyring, grant_id: str) -> list[dict[str, Any]]:
    rows = session.exec(
        select(Decision)
        .where(Decision.grant_id == grant_id)
        .order_by(col(Decision.received_at), col(Decision.number))
    )
    return [
        {
            "decision_id": row.decision_id,
            "delivery_id": row.delivery_id,
            "number": row.number,
            "received_at": row.received_at,
            "review_requested_at": row.review_requested_at,
            "body": _body(keyring, row),
        }
        for row in rows
    ]


def _body(keyring: Keyring, row: Decision) -> dict[str, Any] | None:
    """None once its key was erased."""
    try:
        return open_decision(keyring, row)
    except UnknownKeyError:
        return None


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
