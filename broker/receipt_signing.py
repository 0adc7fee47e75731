"""Signing with the receipt key: for pages that agree to something, and for the job after an end."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from broker.installation import Installation
from broker.service_keys import RECEIPT_KEY
from consent.granting import ReceiptSigner as SignReceipt
from consent.receipt_signature import ReceiptSigner
from vault.schema import random_id


def receipt_signer(installation: Installation, now: datetime) -> SignReceipt:
    """Signs one receipt with the current receipt key, issued now."""
    key = installation.keyring.service_keys(RECEIPT_KEY)[0]
    signer = ReceiptSigner(key.private_pem, key.kid, installation.settings.server.issuer)

    def sign(content: Mapping[str, Any]) -> str:
        return signer.sign(content, receipt_id=random_id(), issued_at=int(now.timestamp()))

    return sign
