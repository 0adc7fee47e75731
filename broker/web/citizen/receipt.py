"""The receipt a person keeps: shown in words from the signed file itself, and to download."""

from datetime import UTC, datetime
from typing import Final

import rfc8785
from fastapi import APIRouter, Depends
from starlette.responses import Response

from broker.deps import Installed, Read
from broker.web.citizen.parties import TermsReader
from broker.web.citizen.receipts import claims_of
from broker.web.rendering import PageOf
from broker.web.signin.guards import Citizen, require_citizen
from consent.reading import Party, receipt_of
from consent.terms import stored

router = APIRouter(prefix="/consents", dependencies=[Depends(require_citizen)])

_MEDIA_TYPE: Final = "application/jose"  # RFC 7515 section 9.2.1


@router.get("/{grant_id}/receipt", name="receipt")
def show_receipt(grant_id: str, page: PageOf, citizen: Citizen, installation: Installed, session: Read) -> Response:
    """The receipt in words. Everything on the page comes from the signed file, nothing from today's tables."""
    receipt = receipt_of(session, installation.keyring, citizen.subject_id, grant_id)
    claims = claims_of(receipt)
    signed = claims["recipient"]
    recipient = Party(
        signed["id"], signed["name"]["ko"], signed["name"]["en"], signed["registration_number"], signed["contact"]
    )
    terms = stored(rfc8785.dumps(claims["terms"]))
    reader = TermsReader(installation, session, citizen.subject_id)
    return page.answer(
        "citizen/receipt.html",
        grant_id=grant_id,
        claims=claims,
        receipt=receipt,
        signed_at=datetime.fromtimestamp(claims["iat"], UTC),
        terms=reader.read(page.words, terms.model_copy(update={"holders": tuple(claims["holders"])}), recipient),
    )


@router.get("/{grant_id}/receipt.jws", name="receipt.file")
def download_receipt(grant_id: str, citizen: Citizen, installation: Installed, session: Read) -> Response:
    """The signed receipt, byte for byte as issued."""
    receipt = receipt_of(session, installation.keyring, citizen.subject_id, grant_id)
    headers = {"Content-Disposition": f'attachment; filename="consent-receipt-{grant_id}.jws"'}
    return Response(receipt, media_type=_MEDIA_TYPE, headers=headers)
