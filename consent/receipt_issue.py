"""Issuing receipts: of a version with the transaction that agrees it, of an end by a duty right after it.

Ends happen in many places (a page, a job, a removal), and none of them has the key that signs receipts. So
the end owes a receipt in its own transaction, and a worker makes it of what the log says: once an entry.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from consent.errors import NotFoundError
from consent.evidence import Work, open_detail
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import Consent, ConsentVersion, Delivery, Organisation, Receipt
from consent.obligations import ANSWERED, find, kept_deliveries, standing
from consent.outbox import DutyKind, owe
from consent.purposes import Purpose
from consent.receipt import (
    Agreement,
    Deletion,
    Delivered,
    Happened,
    Owed,
    receipt_of_deletion,
    receipt_of_end,
)
from consent.receipt_signature import claims_of
from consent.receipt_vocabulary import EVENTS_OF_KIND, OF_END, STATUS_OF_EVENT, ReceiptKind
from consent.terms import Terms
from consent.versions import open_receipt, version_id_of
from consent.vocabulary import EventType, VersionKind
from vault.keys.keyring import Keyring
from vault.seal import context_of, open_sealed, seal

SignReceipt = Callable[[Mapping[str, Any]], str]


def agreement_of(  # noqa: PLR0913 - an agreement is all of these
    session: Session,
    consent: Consent,
    version: ConsentVersion,
    terms: Terms,
    purpose: Purpose,
    *,
    now: datetime,
) -> Agreement:
    """What the receipt of a version speaks of. Raises NotFoundError for parties that are not registered."""
    names = [consent.recipient_id, *(terms.holders or ())]
    rows = session.exec(select(Organisation).where(col(Organisation.organisation_id).in_(names))).all()
    known = {row.organisation_id: row for row in rows}
    if len(known) != len(set(names)):
        raise NotFoundError
    return Agreement(
        grant_id=consent.grant_id,
        version_number=version.number,
        kind=VersionKind(version.kind),
        subject_ref=consent.handle,
        recipient=known[consent.recipient_id],
        holders=tuple(known[name] for name in sorted(terms.holders or ())),
        terms=terms,
        purpose=purpose,
        notice_digest=version.notice_digest,
        language=version.language,
        agreed_at=now,
        is_represented=consent.signed_by is not None,
        history=[happened for _, happened in _history(session, consent)],
    )


def owe_receipt(session: Session, consent: Consent, event: EventType, now: datetime) -> None:
    """Add the duty to issue the receipt of an end or a deletion, if the person had agreed to anything."""
    kind = ReceiptKind.DELETION if event is EventType.OBLIGATION_ATTESTED else OF_END.get(event)
    if kind is not None and consent.given_at is not None:
        owe(session, DutyKind.ISSUE_RECEIPT, f"{consent.grant_id}:{kind}", now)


def issue(work: Work, keyring: Keyring, target: str, sign_receipt: SignReceipt, now: datetime) -> None:
    """Make the receipt that a duty asks for, unless there is one of this entry. `target` is `grant_id:kind`.

    Raises NotFoundError for what never happened, UnknownKeyError once the person's audit key is gone.
    """
    grant_id, _, name = target.rpartition(":")
    kind = ReceiptKind(name)
    consent = work.session.get(Consent, grant_id)
    if consent is None:
        raise NotFoundError
    until = _history(work.session, consent)
    while until and until[-1][1].event != EVENTS_OF_KIND[kind]:
        until.pop()
    if not until:
        raise NotFoundError
    index, _ = until[-1]
    if work.session.exec(select(Receipt.receipt_id).where(Receipt.entry_index == index)).first() is not None:
        return
    version = work.session.get_one(ConsentVersion, version_id_of(grant_id, consent.version_number))
    if version.receipt_sealed is None:
        return  # not everybody had signed it: it was never in force, and its end says so in the log alone
    agreed = claims_of(open_receipt(keyring, consent.subject_id, version.version_id, version.receipt_sealed))
    content = _content(work.session, keyring, consent, kind, until, agreed)
    row = Receipt(
        receipt_id="",
        grant_id=grant_id,
        subject_id=consent.subject_id,
        kind=kind,
        number=consent.version_number,
        entry_index=index,
        receipt_sealed=b"",
        created_at=now,
    )
    _keep(work, keyring, row, sign_receipt(content))


def open_later_receipt(keyring: Keyring, row: Receipt) -> str:
    """The receipt of an end or a deletion, byte for byte as it was issued. Raises TamperedError."""
    key = keyring.audit_key(row.subject_id)
    return open_sealed(key, _context(row.receipt_id), row.receipt_sealed).decode()


def _keep(work: Work, keyring: Keyring, row: Receipt, receipt_jws: str) -> None:
    row.receipt_id = str(claims_of(receipt_jws)["jti"])
    row.receipt_sealed = seal(
        keyring.audit_key(row.subject_id), _context(row.receipt_id), receipt_jws.encode()
    )
    work.session.add(row)


def _history(session: Session, consent: Consent) -> list[tuple[int, Happened]]:
    """What happened to a consent so far, by index in the log: what a receipt tells of, and attestations."""
    rows = session.exec(
        select(LedgerEntry).where(LedgerEntry.handle == consent.handle).order_by(col(LedgerEntry.idx))
    )
    events = [(row.idx, Event.from_leaf(row.leaf)) for row in rows]
    told = {*STATUS_OF_EVENT, EventType.OBLIGATION_ATTESTED}
    return [(idx, Happened(EventType(one.type), one.at)) for idx, one in events if one.type in told]


def _content(  # noqa: PLR0913, PLR0917 - a receipt is made of all of these
    session: Session,
    keyring: Keyring,
    consent: Consent,
    kind: ReceiptKind,
    until: list[tuple[int, Happened]],
    agreed: dict[str, Any],
) -> dict[str, Any]:
    """What the receipt says; `agreed`, the receipt of the version that stood, is what it begins with."""
    history = [happened for _, happened in until]
    index, last = until[-1]
    if kind is ReceiptKind.DELETION:
        attested = _detail(session, keyring, consent, index)
        return receipt_of_deletion(agreed, history, _deletion(attested, last.at))
    return receipt_of_end(
        agreed,
        kind,
        history,
        reason=_reason(session, keyring, consent, index),
        delivered=_delivered(session, consent.grant_id),
        owed=_owed(session, consent),
    )


def _reason(session: Session, keyring: Keyring, consent: Consent, index: int) -> str | None:
    """Why it ended, as its own entry says: the state may have moved on before the receipt is made."""
    reason = _detail(session, keyring, consent, index).get("reason")
    return None if reason is None else str(reason)


def _detail(session: Session, keyring: Keyring, consent: Consent, index: int) -> Mapping[str, Any]:
    """What the log's entry says in its sealed part."""
    entry = session.get_one(LedgerEntry, index)
    return open_detail(
        keyring.audit_key(consent.subject_id),
        handle=consent.handle,
        commitment=Event.from_leaf(entry.leaf).commitment,
        detail_sealed=entry.detail_sealed,
    )


def _delivered(session: Session, grant_id: str) -> list[Delivered]:
    rows = session.exec(
        select(Delivery)
        .where(Delivery.grant_id == grant_id)
        .order_by(col(Delivery.as_of), col(Delivery.delivery_id))
    )
    return [
        Delivered(row.delivery_id, row.as_of, row.record_count, row.payload_digest, row.acknowledged_at)
        for row in rows
    ]


def _owed(session: Session, consent: Consent) -> Owed | None:
    """What the recipient has still to delete, with the date that the obligation has now."""
    row = find(session, consent.grant_id)
    if row is None:
        return None
    stands = standing(consent, row, kept_deliveries(session, consent.grant_id))
    if stands.state in ANSWERED:
        return None
    return Owed(stands.due_at, tuple(one.payload_digest for one in stands.kept))


def _deletion(attested: Mapping[str, Any], at: datetime) -> Deletion:
    """What the recipient signed, by the attestation's own entry: more deliveries may have followed it."""
    digests = tuple(bytes.fromhex(digest) for digest in attested["deliveries"])
    return Deletion(at, digests, bytes.fromhex(attested["sha256"]))


def _context(receipt_id: str) -> bytes:
    return context_of("mydata/consent/later-receipt@v1", receipt_id)
