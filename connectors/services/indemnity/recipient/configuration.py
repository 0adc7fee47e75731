"""The insurer's own configuration: a JSON file, its keys beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from vault.jose import Jwk

_BILL_FIELDS: Final = [
    "bill_no",
    "care_type",
    "institution",
    "issue_date",
    "lines",
    "patient_class",
    "period",
    "totals",
]
_POLICY_FIELDS: Final = [
    "contract_date",
    "coverages",
    "end_date",
    "generation",
    "insurer_code",
    "limits",
    "policy_no",
    "product_name",
    "status",
    "ytd_used",
]
_YEAR: Final = 365
_MOST_PULLS: Final = 1000
_DRUG_ITEMS: Final = (
    {
        "record_type": "health.prescription",
        "mode": "fields",
        "fields": ["institution", "issue_date", "issue_no", "valid_days"],
        "required": False,
    },
    {
        "record_type": "health.pharmacy_bill",
        "mode": "fields",
        "fields": [
            "amounts",
            "dispense_date",
            "institution",
            "patient_class",
            "prescribed_by",
            "prescription_no",
            "receipt_no",
            "totals",
        ],
        "required": False,
    },
)
_DETAIL_FIELDS: Final = ["bill_no", "institution", "issue_date", "patient_class", "period", "rows", "totals"]


@dataclass(frozen=True, slots=True)
class Configuration:
    """Who this insurer is at which broker, where it listens, and where it keeps what it received.

    `acknowledge` is `at_once`, or `when_told` for staff who want to look before they confirm.
    """

    issuer: str
    client_id: str
    name: str
    purpose: str
    host: str
    port: int
    redirect_uri: str
    institution: str
    holders: tuple[str, ...]
    store: Path
    staff_token: str = field(repr=False)
    acknowledge: Literal["at_once", "when_told"]
    client_key: Jwk = field(repr=False)
    proof_key: Jwk = field(repr=False)


def load_configuration(path: Path) -> Configuration:
    """Read a configuration file; relative paths are relative to it. Raises OSError, KeyError, ValueError."""
    raw: dict[str, Any] = orjson.loads(path.read_bytes())
    folder = path.parent
    return Configuration(
        issuer=raw["issuer"],
        client_id=raw["client_id"],
        name=raw["name"],
        purpose=raw["purpose"],
        host=raw["host"],
        port=int(raw["port"]),
        redirect_uri=raw["redirect_uri"],
        institution=raw["institution"],
        holders=tuple(raw["holders"]),
        store=folder / raw["store"],
        staff_token=raw["staff_token"],
        acknowledge=raw["acknowledge"],
        client_key=orjson.loads((folder / raw["private_jwks"]).read_bytes())["keys"][0],
        proof_key=orjson.loads((folder / raw["proof_jwks"]).read_bytes())["keys"][0],
    )


def asked_terms(  # noqa: PLR0913 - who asks whom for what, how often, and when
    *,
    issuer: str,
    purpose: str,
    institution: str,
    holders: tuple[str, ...],
    now: datetime,
    access: Literal["once", "periodic"] = "once",
) -> dict[str, Any]:
    """The `mydata_consent` object that this insurer asks for: 90 days of one hospital's bills, the policy.

    The detailed bills are optional: without them a person looks at what only they would decide. Periodic
    access goes on for a year, whenever a new bill arrives, and then drugs belong to it as well.
    """
    is_periodic = access == "periodic"
    seoul = now.astimezone(UTC) + timedelta(hours=9)
    end = seoul + timedelta(days=_YEAR if is_periodic else 0)
    period = {"from": (seoul - timedelta(days=90)).date().isoformat(), "to": end.date().isoformat()}
    until = now.astimezone(UTC) + timedelta(days=_YEAR if is_periodic else 30)
    return {
        "type": "mydata_consent",
        "locations": [f"{issuer}/v1/records"],
        "actions": ["read"],
        "purpose": purpose,
        "items": [
            *_asked_items({"institution": [institution], "period": period}),
            *(_DRUG_ITEMS if is_periodic else ()),
        ],
        "holders": list(holders),
        "access": {
            **({"kind": access, "cycle": "P1W"} if is_periodic else {"kind": access}),
            "max_pulls": _MOST_PULLS if is_periodic else 1,
            "valid_from": now.astimezone(UTC).replace(microsecond=0).isoformat(),
            "valid_until": until.replace(microsecond=0).isoformat(),
        },
        "data_period": period,
        "retention": {"store": True, "period": "P365D" if is_periodic else "P90D", "on_end": "delete"},
    }


def _asked_items(of_these_bills: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Bills and policy, without which there is no claim; and the detailed bills, which may be left off."""
    return [
        {
            "record_type": "health.medical_bill",
            "mode": "fields",
            "fields": _BILL_FIELDS,
            "required": True,
            "filter": of_these_bills,
        },
        {
            "record_type": "insurance.indemnity_policy",
            "mode": "fields",
            "fields": _POLICY_FIELDS,
            "required": True,
        },
        {
            "record_type": "health.medical_bill_detail",
            "mode": "fields",
            "fields": _DETAIL_FIELDS,
            "required": False,
            "filter": of_these_bills,
        },
    ]
