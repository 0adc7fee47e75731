"""What the contract service asks each person of a lease for: the least that the contract needs."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

IDENTITY: Final = "person.identity"
INCOME: Final = "income.certificate"
TAXES: Final = "tax.clearance"
REGISTRY: Final = "realestate.registry"
FIXED_DATE: Final = "realestate.fixed_date"
LICENCE: Final = "realestate.agent_licence"

ROLES: Final = ("tenant", "landlord", "agent")
PURPOSES: Final[Mapping[str, str]] = {role: f"realestate.lease_{role}" for role in ROLES}
HOLDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "tenant": ("city-hall", "tax-office"),
    "landlord": ("city-hall", "court-registry", "tax-office"),
    "agent": ("city-hall",),
}
"""The demo's holders of what each role is asked for."""

_MARGIN: Final = timedelta(days=3)
_LOOKBACK: Final = timedelta(days=900)
_YEAR: Final = timedelta(days=365)

_ITEMS: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
    "tenant": (
        {"record_type": IDENTITY, "mode": "fields", "fields": ["name", "birth_date"], "required": True},
        {"record_type": INCOME, "mode": "derived", "derivation": "income.band", "required": False},
    ),
    "landlord": (
        {
            "record_type": TAXES,
            "mode": "predicate",
            "predicate": {"name": "no_tax_arrears"},
            "required": True,
        },
        {
            "record_type": REGISTRY,
            "mode": "fields",
            "fields": ["unique_no", "address", "ownership", "encumbrances", "issued_on"],
            "required": True,
        },
        {
            "record_type": FIXED_DATE,
            "mode": "fields",
            # 주택임대차보호법 article 3-6: who wants to lease may see these, and no names.
            "fields": ["granted_on", "object", "deposit", "monthly_rent", "period", "ended_on"],
            "required": True,
        },
    ),
    "agent": (
        {
            "record_type": LICENCE,
            "mode": "predicate",
            "predicate": {"name": "licence_open"},
            "required": True,
        },
    ),
}


def asked_terms(
    role: str, *, issuer: str, holders: Sequence[str], deadline: datetime, now: datetime
) -> dict[str, Any]:
    """The `mydata_consent` object for one role: pulled once, a few days after the deadline at the latest.

    KeyError for a role that a lease does not have.
    """
    begin = now.astimezone(UTC).replace(microsecond=0)
    return {
        "type": "mydata_consent",
        "locations": [f"{issuer}/v1/records"],
        "actions": ["read"],
        "purpose": PURPOSES[role],
        "items": [dict(item) for item in _ITEMS[role]],
        "holders": list(holders),
        "access": {
            "kind": "once",
            "max_pulls": 1,
            "valid_from": begin.isoformat(),
            "valid_until": (deadline.astimezone(UTC).replace(microsecond=0) + _MARGIN).isoformat(),
        },
        "data_period": {
            "from": (begin - _LOOKBACK).date().isoformat(),
            "to": (begin + _YEAR).date().isoformat(),
        },
        "retention": {"store": True, "period": "P90D", "on_end": "delete"},
    }
