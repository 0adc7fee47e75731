"""The receipt a person keeps: shown in words from the signed file itself, and to download."""

from datetime import UTC, datetime
from typing import Any, Final

import rfc8785
from fastapi import APIRouter, Depends
from starlette.responses import Response

from broker.web.citizen.desk import Reader, ReaderOf
from broker.web.citizen.receipts import claims_of
from broker.web.rendering import PageOf
from broker.web.signin.guards import require_citizen
from consent.reading import Party, receipt_of
from consent.terms import Terms, stored

router = APIRouter(prefix="/consents", dependencies=[Depends(require_citizen)])

_MEDIA_TYPE: Final = "application/jose"  # RFC 7515 section 9.2.1


@router.get("/{grant_id}/receipt", name="receipt")
def show_receipt(grant_id: str, page: PageOf, reader: ReaderOf) -> Response:
    """The receipt in words: everything comes from the signed file, nothing from today's tables."""
    receipt = _receipt(reader, grant_id)
    claims = claims_of(receipt)
    return page.answer(
        "citizen/receipt.html",
        grant_id=grant_id,
        claims=claims,
        receipt=receipt,
        signed_at=datetime.fromtimestamp(claims["iat"], UTC),
        terms=reader.in_words(page.words, _terms(claims), _recipient(claims["recipient"])),
    )


@router.get("/{grant_id}/receipt.jws", name="receipt.file")
def download_receipt(grant_id: str, reader: ReaderOf) -> Response:
    """The signed receipt, byte for byte as issued."""
    headers = {"Content-Disposition": f'attachment; filename="consent-receipt-{grant_id}.jws"'}
    return Response(_receipt(reader, grant_id), media_type=_MEDIA_TYPE, headers=headers)


def _receipt(reader: Reader, grant_id: str) -> str:
    return receipt_of(reader.session, reader.keyring, reader.subject_id, grant_id)


def _terms(claims: dict[str, Any]) -> Terms:
    """The signed terms with the holders that were linked then, as the receipt lists them."""
    return stored(rfc8785.dumps(claims["terms"])).model_copy(update={"holders": tuple(claims["holders"])})


def _recipient(signed: dict[str, Any]) -> Party:
    return Party(
        organisation_id=signed["id"],
        name_ko=signed["name"]["ko"],
        name_en=signed["name"]["en"],
        registration_number=signed["registration_number"],
        contact=signed["contact"],
    )
