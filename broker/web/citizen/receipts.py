"""Receipts at the web's edge: signing with the receipt key, and reading one for display."""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from broker.installation import Installation
from consent.lifecycle import ReceiptSigner as SignReceipt
from consent.receipt_signature import ReceiptSigner
from vault.schema import random_id

_SERVICE_KEY: Final = "receipt"


def receipt_signer(installation: Installation, now: datetime) -> SignReceipt:
    """Signs one receipt with the current receipt key, issued now."""
    key = installation.keyring.service_keys(_SERVICE_KEY)[0]
    signer = ReceiptSigner(key.private_pem, key.kid, installation.settings.server.issuer)

    def sign(content: Mapping[str, Any]) -> str:
        return signer.sign(content, receipt_id=random_id(), issued_at=int(now.timestamp()))

    return sign


def claims_of(receipt_jws: str) -> dict[str, Any]:
    """What a receipt of our own store says (RFC 7515 section 3.1), for display; doubters verify the file."""
    payload = receipt_jws.split(".")[1]
    claims: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims
