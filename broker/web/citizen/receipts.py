"""Receipts in words: what each says, in the language that it was agreed in or that the page has."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import rfc8785

from broker.web.citizen import wording
from broker.web.citizen.desk import Reader
from broker.web.citizen.views import TermsWords
from broker.web.i18n import Words
from consent.reading import Party
from consent.receipt_reading import ReceiptView
from consent.receipt_vocabulary import ReceiptKind
from consent.terms import Terms, stored


@dataclass(frozen=True, slots=True)
class ReceiptWords:
    """One receipt for people: all from the signed file, record types by their labels of today."""

    reference: str
    kind: str
    is_end: bool
    issued_at: datetime
    terms: TermsWords
    claims: dict[str, Any]
    reason: str | None
    agreed_at: datetime
    ended_at: datetime | None
    due_at: datetime | None
    attested_at: datetime | None


def kind_in_words(words: Words, kind: ReceiptKind) -> str:
    """What a receipt is the proof of."""
    return {
        ReceiptKind.GRANT: words.gettext("Agreed: it may be sent as written here"),
        ReceiptKind.AMENDMENT: words.gettext("Consent changed"),
        ReceiptKind.RENEWAL: words.gettext("Renewed: it goes on as agreed"),
        ReceiptKind.NARROWING: words.gettext("Narrowed: less is sent"),
        ReceiptKind.RECONSENT: words.gettext("Consent given to a new text"),
        ReceiptKind.FULFILMENT: words.gettext("Consent fulfilled: everything agreed was sent"),
        ReceiptKind.EXPIRY: words.gettext("Consent over: its time has ended"),
        ReceiptKind.WITHDRAWAL: words.gettext("Withdrawn: nothing is sent any more"),
        ReceiptKind.REVOCATION: words.gettext("Revoked: nothing is sent any more"),
        ReceiptKind.INVALIDATION: words.gettext("Consent no longer valid"),
        ReceiptKind.DELETION: words.gettext("Deletion confirmed by the recipient"),
    }[kind]


def describe_receipt(reader: Reader, words: Words, view: ReceiptView) -> ReceiptWords:
    """A receipt in words. Raises UnknownPurposeError once no service declares its purpose any more."""
    claims = view.claims
    end, obligation = claims.get("end", {}), claims.get("obligation", {})
    return ReceiptWords(
        reference=view.reference,
        kind=kind_in_words(words, view.kind),
        is_end="end" in claims or "obligation" in claims,
        issued_at=view.issued_at,
        terms=_terms_in_words(reader, words, claims),
        claims=claims,
        reason=wording.state_reason_in_words(words, end.get("reason")),
        agreed_at=datetime.fromisoformat(claims["given_at"]),
        ended_at=_instant(end.get("at")),
        due_at=_instant(obligation.get("due_at")),
        attested_at=_instant(obligation.get("attested_at")),
    )


def agreed_text_digest(text: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of a text: the receipt's notice names it."""
    return hashlib.sha256(rfc8785.dumps(dict(text))).hexdigest()


def parties_of(claims: Mapping[str, Any], language: str) -> Sequence[str]:
    """The names of the holders as they were when the receipt was issued."""
    return [str(holder["name"][language]) for holder in claims["process"]["holders"]]


def _terms_in_words(reader: Reader, words: Words, claims: dict[str, Any]) -> TermsWords:
    told = reader.in_words(words, _terms(claims), _recipient(claims["recipient"]))
    return replace(
        told,
        purpose_name=str(claims["process"]["purpose"]["name"][words.language]),
        holders=tuple(parties_of(claims, words.language)),
    )


def _terms(claims: dict[str, Any]) -> Terms:
    return stored(rfc8785.dumps(claims["terms"]))


def _recipient(signed: dict[str, Any]) -> Party:
    return Party(
        organisation_id=signed["id"],
        name_ko=signed["name"]["ko"],
        name_en=signed["name"]["en"],
        registration_number=signed["registration_number"],
        contact=signed["contact"],
    )


def _instant(written: str | None) -> datetime | None:
    return None if written is None else datetime.fromisoformat(written)
