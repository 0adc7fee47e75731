"""Receipts as their owner finds them: all of a consent's in order, and each with its proof from the log."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from consent.errors import NotFoundError
from consent.evidence import open_commitment
from consent.ledger.errors import NotInLogError
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.ledger.proof import inclusion_proof
from consent.ledger.verify import BUNDLE_FORMAT
from consent.models import Consent, ConsentVersion, Receipt
from consent.receipt_issue import open_later_receipt
from consent.receipt_signature import claims_of
from consent.receipt_vocabulary import EVENTS_OF_KIND, OF_VERSION, ReceiptKind
from consent.versions import open_receipt
from consent.vocabulary import VersionKind
from vault.keys.keyring import Keyring


@dataclass(frozen=True, slots=True)
class ReceiptView:
    """One receipt: `reference` names it among those of its consent."""

    reference: str
    kind: ReceiptKind
    number: int
    issued_at: datetime
    jws: str
    entry_index: int | None

    @property
    def claims(self) -> dict[str, Any]:
        """What it says."""
        return claims_of(self.jws)


def receipts_of(session: Session, keyring: Keyring, subject_id: str, grant_id: str) -> list[ReceiptView]:
    """Every receipt of a person's consent, the oldest first; NotFoundError for somebody else's too."""
    consent = _own(session, subject_id, grant_id)
    versions = session.exec(
        select(ConsentVersion)
        .where(ConsentVersion.grant_id == grant_id, col(ConsentVersion.receipt_sealed).is_not(None))
        .order_by(col(ConsentVersion.number))
    )
    later = session.exec(
        select(Receipt).where(Receipt.grant_id == grant_id).order_by(col(Receipt.entry_index))
    )
    return [
        *(_of_version(keyring, consent, row) for row in versions),
        *(_of_row(keyring, row) for row in later),
    ]


def receipt_view(
    session: Session, keyring: Keyring, subject_id: str, grant_id: str, reference: str
) -> ReceiptView:
    """One of them; raises NotFoundError."""
    for view in receipts_of(session, keyring, subject_id, grant_id):
        if view.reference == reference:
            return view
    raise NotFoundError


def bundle_of(  # noqa: PLR0913 - a proof is of all of these
    session: Session,
    keyring: Keyring,
    subject_id: str,
    view: ReceiptView,
    *,
    jwks: Sequence[Mapping[str, Any]],
    log_key: str,
    is_opened: bool,
) -> dict[str, Any]:
    """A receipt with the proof that its entry is in the signed log; verifiable offline, by anybody.

    `is_opened` adds the detail of the entry and what opens its commitment: it names holders and record types,
    so the person decides. Raises NotInLogError until a checkpoint covers the entry: a few seconds.
    """
    consent = _own(session, subject_id, view.claims["grant_id"])
    entry = _entry(session, consent, view)
    bundle: dict[str, Any] = {
        "format": BUNDLE_FORMAT,
        "receipt": view.jws,
        "jwks": {"keys": list(jwks)},
        "log_key": log_key,
        "entry": {
            "index": entry.idx,
            "leaf": _base64(entry.leaf),
            "proof": inclusion_proof(session, entry.idx),
        },
    }
    if is_opened:
        opening, detail = open_commitment(
            keyring.audit_key(subject_id),
            handle=consent.handle,
            commitment=Event.from_leaf(entry.leaf).commitment,
            detail_sealed=entry.detail_sealed,
        )
        bundle["opening"] = {"key": _base64(opening), "detail": _base64(detail)}
    return bundle


def _entry(session: Session, consent: Consent, view: ReceiptView) -> LedgerEntry:
    """The entry that a receipt belongs to: an end names it, a version has its kind and instant."""
    if view.entry_index is not None:
        return session.get_one(LedgerEntry, view.entry_index)
    rows = session.exec(
        select(LedgerEntry)
        .where(LedgerEntry.handle == consent.handle, LedgerEntry.at == view.issued_at)
        .order_by(col(LedgerEntry.idx))
    )
    for row in rows:
        if Event.from_leaf(row.leaf).type == EVENTS_OF_KIND[view.kind]:
            return row
    raise NotInLogError


def _own(session: Session, subject_id: str, grant_id: str) -> Consent:
    consent = session.exec(
        select(Consent).where(Consent.grant_id == grant_id, Consent.subject_id == subject_id)
    ).one_or_none()
    if consent is None:
        raise NotFoundError
    return consent


def _of_version(keyring: Keyring, consent: Consent, row: ConsentVersion) -> ReceiptView:
    jws = open_receipt(keyring, consent.subject_id, row.version_id, row.receipt_sealed or b"")
    given_at = datetime.fromisoformat(claims_of(jws)["given_at"])
    kind = OF_VERSION[VersionKind(row.kind)]
    return ReceiptView(str(row.number), kind, row.number, given_at, jws, None)


def _of_row(keyring: Keyring, row: Receipt) -> ReceiptView:
    jws = open_later_receipt(keyring, row)
    return ReceiptView(
        row.receipt_id, ReceiptKind(row.kind), row.number, row.created_at, jws, row.entry_index
    )


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
