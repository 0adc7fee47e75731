"""Authorization details that are valid, and ways to break them one place at a time."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

from consent.terms import Terms, parse

ABSENT: Final = object()
PURPOSE: Final = "insurance.indemnity_claim"
BILL: Final = "health.medical_bill"
POLICY: Final = "insurance.indemnity_policy"
HOSPITAL: Final = "seoul-hospital"
REGISTER: Final = "insurance-register"


def detail() -> dict[str, Any]:
    """What the demo's insurer would ask for: the bill's fields, and the policy if the person likes."""
    return {
        "type": "mydata_consent",
        "actions": ["read"],
        "purpose": PURPOSE,
        "items": [
            {
                "record_type": BILL,
                "mode": "fields",
                "fields": ["institution", "period", "lines", "totals"],
                "required": True,
                "filter": {
                    "institution": ["11100079"],
                    "period": {"from": "2026-11-01", "to": "2026-11-30"},
                },
            },
            {"record_type": POLICY, "mode": "document", "required": False},
        ],
        "holders": [HOSPITAL, REGISTER],
        "access": {
            "kind": "once",
            "max_pulls": 1,
            "valid_from": "2026-12-01T00:00:00Z",
            "valid_until": "2026-12-31T00:00:00+09:00",
        },
        "data_period": {"from": "2026-01-01", "to": "2026-11-30"},
        "retention": {"store": True, "period": "P90D", "on_end": "delete"},
    }


def detail_with(changes: Mapping[str, object]) -> dict[str, Any]:
    """The valid details with other values at dotted paths; ABSENT takes a member away."""
    changed = detail()
    for path, value in changes.items():
        *steps, last = path.split(".")
        place: Any = changed
        for step in steps:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if value is ABSENT:
            del place[last]
        else:
            place[int(last) if isinstance(place, list) else last] = copy.deepcopy(value)
    return changed


def terms_with(changes: Mapping[str, object] | None = None) -> Terms:
    """The valid details as terms, with other values at dotted paths."""
    return parse([detail_with(changes or {})])


def objects_in(value: object, path: str = "") -> Iterator[str]:
    """The dotted path of every object inside a JSON value; its own is the empty one."""
    if isinstance(value, dict):
        yield path
        members = value.items()
    elif isinstance(value, list):
        members = {str(place): member for place, member in enumerate(value)}.items()
    else:
        return
    for name, member in members:
        yield from objects_in(member, f"{path}.{name}" if path else name)
