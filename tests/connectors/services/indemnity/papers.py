"""Papers of a claim to build tests from: bills as the demo's consent grants them, and a policy to change."""

import copy
from typing import Any

from connectors.services.indemnity.claim import Claim
from vault.record_types.catalogue import Catalogue

CATALOGUE = Catalogue.load()
CLINIC, TERTIARY = "31", "01"
HOSPITAL = "11100079"
POLICY: dict[str, Any] = dict(CATALOGUE.get("insurance.indemnity_policy").example)
LATER: dict[str, Any] = {"period": {"from": "2026-11-11", "to": "2026-11-11"}}


def line(category: str = "laboratory", **amounts: int) -> dict[str, Any]:
    zero = {"covered_copay": 0, "covered_nhis": 0, "covered_full_self": 0, "noncovered": 0}
    return {"category": category, **zero, **amounts}


def bill(lines: list[dict[str, Any]], number: str = "B-1", *, over_cap: int = 0) -> dict[str, Any]:
    """A bill of a clinic as the demo's consent grants it: no patient, no department."""
    own = sum(one["covered_copay"] + one["covered_full_self"] + one["noncovered"] for one in lines)
    return {
        "bill_no": number,
        "issue_date": "2026-11-10",
        "care_type": "outpatient",
        "institution": {"hira_code": "11100079", "name": "한빛", "grade": CLINIC, "brn": "220-82-10073"},
        "period": {"from": "2026-11-10", "to": "2026-11-10"},
        "lines": lines,
        "totals": {"patient_total": own - over_cap, "over_cap": over_cap},
    }


def simple(covered: int, noncovered: int, number: str = "B-1") -> dict[str, Any]:
    return bill([line(covered_copay=covered, covered_nhis=1, noncovered=noncovered)], number)


def at(grade: str) -> dict[str, Any]:
    return {"institution": {"hira_code": "11100079", "grade": grade}}


def policy(**changes: object) -> dict[str, Any]:
    """The example policy with members changed; `a__b` is member b of member a."""
    changed = copy.deepcopy(POLICY)
    for path, value in changes.items():
        place: dict[str, Any] = changed
        *parents, last = path.split("__")
        for parent in parents:
            place = place[parent]
        place[last] = value
    return changed


def reviewed(claim: Claim, rule_id: str) -> None:
    """Nothing paid, a person must look, and the reason is named in both languages."""
    assert (claim.payable, claim.status) == (0, "review")
    assert {reason.rule_id for reason in claim.reasons} == {rule_id}
    assert all(reason.explanation["ko"] and reason.explanation["en"] for reason in claim.reasons)
    assert all((entry.paid, entry.deductible, entry.rule_id) == (0, 0, rule_id) for entry in claim.lines)


def on(day: str, last: str | None = None) -> dict[str, Any]:
    """Another day, or other days."""
    return {"period": {"from": day, "to": last or day}}


def stay(
    lines: list[dict[str, Any]], number: str = "S-1", *, first: str = "2026-11-02", last: str = "2026-11-06"
) -> dict[str, Any]:
    """A bill at discharge."""
    return bill(lines, number) | {"care_type": "discharge"} | on(first, last)


def row(category: str, noncovered: int, special: str | None = "none", **changes: object) -> dict[str, Any]:
    """A row of a detailed bill, not covered; `special` None leaves the flag out."""
    flag = {} if special is None else {"special": special}
    amounts = {"covered_copay": 0, "covered_nhis": 0, "covered_full_self": 0, "noncovered": noncovered}
    told = {"category": category, "date": "2026-11-10", "count": "1", "days": 1}
    return told | amounts | flag | changes


def detail(rows: list[dict[str, Any]], number: str = "B-1") -> dict[str, Any]:
    """A detailed bill for the bill of this number."""
    return {"bill_no": number, "institution": {"hira_code": HOSPITAL}, "rows": rows}


def billed(rows: list[dict[str, Any]], number: str = "B-1") -> dict[str, Any]:
    """The bill that a detailed bill explains, with something that the national insurer paid."""
    names = ("covered_copay", "covered_nhis", "covered_full_self", "noncovered")
    return bill([line(one["category"], **{name: one[name] for name in names}) for one in rows], number)


SEEN = row("consultation", 0, covered_nhis=1)
"""A row that shows that the national insurer paid: bills without one go to a person."""


def drugs(covered: int, noncovered: int = 0, number: str = "R-1", **changes: object) -> dict[str, Any]:
    """A pharmacy bill for the prescription of `prescription()`; None takes a member away."""
    told = {
        "receipt_no": number,
        "dispense_date": "2026-11-10",
        "institution": {"hira_code": "11810023"},
        "prescription_no": "20261110-00012",
        "prescribed_by": {"hira_code": HOSPITAL},
        "amounts": {
            "covered_copay": covered,
            "covered_nhis": 1,
            "covered_full_self": 0,
            "noncovered": noncovered,
        },
        "totals": {"patient_total": covered + noncovered},
    }
    return {name: value for name, value in (told | changes).items() if value is not None}


def prescription(**changes: object) -> dict[str, Any]:
    """The prescription of the visit on 10 November."""
    told = {
        "issue_no": "20261110-00012",
        "issue_date": "2026-11-10",
        "institution": {"hira_code": HOSPITAL},
        "valid_days": 3,
    }
    return {name: value for name, value in (told | changes).items() if value is not None}


def found(claim: Claim) -> list[tuple[str, str, int, int]]:
    """Paper, rule, deductible and what is paid, of each line."""
    return [(entry.bill_no, entry.rule_id, entry.deductible, entry.paid) for entry in claim.lines]
