"""The demo's contract service: who it is, and what it asks three personas for, in one deal."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from broker.demo.people import CONTRACTS
from broker.demo.recipients import Recipient
from connectors.services.lease.asking import HOLDERS, PURPOSES, ROLES, asked_terms

PEOPLE: Final[Mapping[str, str]] = {"tenant": "haneul", "landlord": "youngsu", "agent": "sera"}
"""Which persona has which role."""

HOME: Final[Mapping[str, str]] = {
    "address": "서울특별시 마포구 바람길 7, 1층 101호",
    "deposit": "100,000,000",
    "rent": "0",
    "value": "900,000,000",
    "landlord_name": "최영수",
    "tenant_name": "김하늘",
}
"""The home that the story leases, as its agent fills in the form."""

_DAYS: Final = 14


def demo_contracts(*, issuer: str, port: int, now: datetime) -> Recipient:
    """The contract service of the demo. What it asks for can be granted in a deal only."""
    deadline = now + timedelta(days=_DAYS)
    roles = {
        role: {
            "persona": PEOPLE[role],
            "authorization_details": [
                asked_terms(role, issuer=issuer, holders=HOLDERS[role], deadline=deadline, now=now)
            ],
        }
        for role in ROLES
    }
    return Recipient(
        key="contracts",
        module="connectors.services.lease.recipient",
        port=port,
        client_id="zipsign-contracts",
        organisation=CONTRACTS,
        name="집사인",
        client_name="Zipsign contracts",
        purposes=tuple(PURPOSES[role] for role in ROLES),
        settings={"holders": dict(HOLDERS)},
        authorization_details=(),
        scope="records.read deliveries obligations deals grant_management_query grant_management_revoke",
        deals=({"kind": "lease", "roles": roles},),
    )
