"""The demo's bank: who it is, and what it asks the first persona for."""

from datetime import datetime
from typing import Final

from broker.demo.people import BANK
from broker.demo.recipients import Recipient
from connectors.services.lending.asking import asked_terms

PURPOSE: Final = "lending.loan_underwriting"
HOLDERS: Final = ("credit-bureau", "employment-office", "hanbit-bank", "tax-office")
AMOUNT: Final = 15_000_000
"""What the story borrows, in won."""


def demo_bank(*, issuer: str, port: int, now: datetime) -> Recipient:
    """The bank of the demo."""
    asked = asked_terms(issuer=issuer, purpose=PURPOSE, holders=HOLDERS, amount=AMOUNT, now=now)
    return Recipient(
        key="bank",
        module="connectors.services.lending.recipient",
        port=port,
        client_id="nuri-loans",
        organisation=BANK,
        name="누리은행",
        client_name="Nuri loans",
        purposes=(PURPOSE, "lending.mortgage_for_sale"),
        settings={"purpose": PURPOSE, "holders": HOLDERS},
        authorization_details=(asked,),
    )
