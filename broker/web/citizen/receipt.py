"""The receipts a person keeps: shown in words from the signed files themselves, and to download."""

from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from broker.jobs.publishing import log_key
from broker.service_keys import RECEIPT_KEY
from broker.web.citizen.desk import Reader, ReaderOf
from broker.web.citizen.receipts import agreed_text_digest, describe_receipt, kind_in_words
from broker.web.errors import PageNotFoundError, ProofNotReadyError
from broker.web.receipt_pdf import Printer
from broker.web.rendering import Page, PageOf
from broker.web.signin.guards import require_citizen
from consent.ledger.errors import NotInLogError
from consent.receipt_reading import ReceiptView, bundle_of, receipt_view, receipts_of

router = APIRouter(prefix="/consents", dependencies=[Depends(require_citizen)])

_MEDIA_TYPE: Final = "application/jose"  # RFC 7515 section 9.2.1

Opened = Annotated[bool, Query(alias="opened")]


@router.get("/{grant_id}/receipt", name="receipt")
def show_receipt(grant_id: str, page: PageOf, reader: ReaderOf) -> Response:
    """The newest version's receipt in words, and what other receipts there are."""
    found = _all(reader, grant_id)
    return _show(page, reader, _newest_version(found), found)


@router.get("/{grant_id}/receipt.jws", name="receipt.file")
def download_receipt(grant_id: str, reader: ReaderOf) -> Response:
    """The newest version's signed receipt, byte for byte as issued."""
    return _file(_newest_version(_all(reader, grant_id)).jws, f"consent-receipt-{grant_id}.jws")


@router.get("/{grant_id}/text", name="receipt.text")
def show_text(grant_id: str, page: PageOf, reader: ReaderOf) -> Response:
    """The very texts that were agreed to, the newest first, as the log has kept them."""
    consent = reader.consent(grant_id)
    texts = [
        {"at": event.at, "index": event.index, "digest": agreed_text_digest(event.detail["text"])}
        | {"text": event.detail["text"], "agreed_digest": event.detail["notice"]}
        for event in consent.timeline
        if "text" in event.detail and "notice" in event.detail
    ]
    if not texts:
        raise PageNotFoundError
    return page.answer("citizen/agreed_text.html", consent=consent, texts=texts[::-1])


@router.get("/{grant_id}/receipt/{reference}", name="receipt.one")
def show_one(grant_id: str, reference: str, page: PageOf, reader: ReaderOf) -> Response:
    """One receipt in words."""
    return _show(page, reader, _one(reader, grant_id, reference), _all(reader, grant_id))


@router.get("/{grant_id}/receipt/{reference}/file.jws", name="receipt.one.file")
def download_one(grant_id: str, reference: str, reader: ReaderOf) -> Response:
    """One signed receipt, byte for byte as issued."""
    receipt = _one(reader, grant_id, reference)
    return _file(receipt.jws, f"consent-receipt-{grant_id}-{receipt.kind}.jws")


@router.get("/{grant_id}/receipt/{reference}/proof.json", name="receipt.one.proof")
def download_proof(grant_id: str, reference: str, reader: ReaderOf, *, is_opened: Opened = False) -> Response:
    """The receipt with the proof that it is in the log; `opened` adds what was agreed, to compare."""
    receipt = _one(reader, grant_id, reference)
    content = orjson.dumps(_bundle(reader, receipt, is_opened=is_opened), option=orjson.OPT_INDENT_2)
    name = f"consent-receipt-{grant_id}-{receipt.kind}-proof.json"
    return _file(content.decode(), name, "application/json")


@router.get("/{grant_id}/receipt/{reference}/receipt.pdf", name="receipt.one.pdf")
def download_pdf(grant_id: str, reference: str, page: PageOf, reader: ReaderOf) -> Response:
    """The receipt as a PDF, in the language that was read when it was agreed."""
    receipt = _one(reader, grant_id, reference)
    words = page.pages.words("en" if receipt.claims["language"] == "en" else "ko")
    told = describe_receipt(reader, words, receipt)
    printer: Printer = page.request.app.state.receipt_printer
    content = printer.print(told, receipt, words)
    headers = {"Content-Disposition": f'attachment; filename="consent-receipt-{grant_id}-{receipt.kind}.pdf"'}
    return Response(content, media_type="application/pdf", headers=headers)


def _show(page: Page, reader: Reader, receipt: ReceiptView, found: list[ReceiptView]) -> Response:
    others = [
        {"reference": one.reference, "kind": kind_in_words(page.words, one.kind), "at": one.issued_at}
        for one in found
        if one.reference != receipt.reference
    ]
    try:
        _bundle(reader, receipt, is_opened=False)
    except ProofNotReadyError:
        is_proven = False
    else:
        is_proven = True
    return page.answer(
        "citizen/receipt.html",
        grant_id=receipt.claims["grant_id"],
        receipt=describe_receipt(reader, page.words, receipt),
        jws=receipt.jws,
        others=others,
        is_proven=is_proven,
    )


def _bundle(reader: Reader, receipt: ReceiptView, *, is_opened: bool) -> dict[str, Any]:
    try:
        return bundle_of(
            reader.session,
            reader.keyring,
            reader.subject_id,
            receipt,
            jwks=[key.public_jwk for key in reader.keyring.service_keys(RECEIPT_KEY)],
            log_key=log_key(reader.installation).vkey,
            is_opened=is_opened,
        )
    except NotInLogError as error:
        raise ProofNotReadyError from error


def _all(reader: Reader, grant_id: str) -> list[ReceiptView]:
    return receipts_of(reader.session, reader.keyring, reader.subject_id, grant_id)


def _one(reader: Reader, grant_id: str, reference: str) -> ReceiptView:
    return receipt_view(reader.session, reader.keyring, reader.subject_id, grant_id, reference)


def _newest_version(found: list[ReceiptView]) -> ReceiptView:
    """Of the agreement itself; ends and deletions come after it."""
    versions = [one for one in found if one.entry_index is None]
    if not versions:
        raise PageNotFoundError
    return versions[-1]


def _file(content: str, name: str, media_type: str = _MEDIA_TYPE) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)
