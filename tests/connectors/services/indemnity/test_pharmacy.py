"""Drugs and the visit that they were prescribed at: what a person decides first, then what is paid."""

from typing import Any

import pytest

from connectors.services.indemnity.claim import Claim, compute
from tests.connectors.services.indemnity.papers import (
    CLINIC,
    LATER,
    POLICY,
    drugs,
    found,
    policy,
    prescription,
    simple,
    stay,
)

ELSEWHERE = {"hira_code": "31100079"}
VISIT = simple(4_500, 0)
RATHER_MORE = simple(50_000, 0)


def reviewed_alone(claim: Claim, rule_id: str) -> None:
    """The drugs wait for a person, the visit is paid without them."""
    assert [(reason.bill_no, reason.rule_id) for reason in claim.reasons] == [("R-1", rule_id)]
    assert found(claim) == [
        ("B-1", "gen4.covered.outpatient", 10_000, 40_000),
        ("R-1", rule_id, 0, 0),
    ]


def joined(bills: list[dict[str, Any]], *pharmacy: dict[str, Any], by: tuple[dict[str, Any], ...]) -> Claim:
    return compute(POLICY, bills, prescriptions=by, pharmacy_bills=pharmacy)


@pytest.mark.parametrize(
    ("rule_id", "bill", "prescriptions"),
    [
        # Nothing says which institution it was.
        ("review.pharmacy_ambiguous", {"prescribed_by": None}, []),
        ("review.pharmacy_ambiguous", {"prescribed_by": None, "prescription_no": None}, [prescription()]),
        ("review.pharmacy_ambiguous", {"prescribed_by": None}, [prescription(issue_no="20261110-00013")]),
        # Two institutions gave out this number that day.
        (
            "review.pharmacy_ambiguous",
            {"prescribed_by": None},
            [prescription(), prescription(institution=ELSEWHERE)],
        ),
        # Two prescriptions were valid, and the bill does not say which.
        (
            "review.pharmacy_ambiguous",
            {"prescription_no": None},
            [prescription(), prescription(issue_no="20261109-00001", issue_date="2026-11-09")],
        ),
        ("review.pharmacy_ambiguous", {"prescription_no": "not a number"}, []),
        ("review.pharmacy_ambiguous", {"prescription_no": "20261131-00001"}, []),
        ("review.pharmacy_dates", {"dispense_date": "2026-11-09"}, [prescription()]),
        ("review.pharmacy_dates", {"dispense_date": "2026-11-13"}, [prescription()]),
        ("review.pharmacy_dates", {"dispense_date": "2026-11-09"}, []),
        ("review.pharmacy_visit_unknown", {"prescription_no": "20261109-00001"}, []),
        ("review.pharmacy_visit_unknown", {"prescribed_by": ELSEWHERE}, [prescription()]),
        ("review.pharmacy_visit_unknown", {"prescription_no": None, "dispense_date": "2026-11-12"}, []),
        ("review.data_differs", {"prescribed_by": None, "totals": {"patient_total": 1}}, []),
    ],
)
def test_drugs_of_no_certain_visit(
    rule_id: str, bill: dict[str, Any], prescriptions: list[dict[str, Any]]
) -> None:
    reviewed_alone(joined([RATHER_MORE], drugs(6_000, **bill), by=tuple(prescriptions)), rule_id)


def test_drugs_for_the_days_after_a_stay_have_no_visit() -> None:
    claim = joined([stay(RATHER_MORE["lines"], last="2026-11-10")], drugs(6_000), by=(prescription(),))
    assert [reason.rule_id for reason in claim.reasons] == ["review.pharmacy_visit_unknown"]
    assert claim.payable == 40_000


@pytest.mark.parametrize(
    ("rule_id", "changes"),
    [
        ("review.data_differs", {"totals": {"patient_total": 6_001}}),
        ("review.payer_unknown", {"patient_class": "uninsured"}),
        (
            "review.payer_unknown",
            {
                "amounts": {
                    "covered_copay": 6_000,
                    "covered_nhis": 0,
                    "covered_full_self": 0,
                    "noncovered": 0,
                }
            },
        ),
    ],
)
def test_doubtful_drugs_hold_up_their_visit(rule_id: str, changes: dict[str, Any]) -> None:
    claim = joined([RATHER_MORE], drugs(6_000, **changes), by=(prescription(),))
    assert claim.payable == 0
    assert [(reason.bill_no, reason.rule_id) for reason in claim.reasons] == [
        ("B-1", "review.same_visit"),
        ("R-1", rule_id),
    ]


def test_a_doubtful_visit_holds_up_its_drugs() -> None:
    claim = joined([RATHER_MORE | {"patient_class": "uninsured"}], drugs(6_000), by=(prescription(),))
    assert {(reason.bill_no, reason.rule_id) for reason in claim.reasons} == {
        ("B-1", "review.payer_unknown"),
        ("R-1", "review.same_visit"),
    }


def test_a_pharmacy_bill_that_came_twice() -> None:
    claim = joined([RATHER_MORE], drugs(6_000), drugs(6_000), by=())
    assert claim.payable == 0
    assert [reason.rule_id for reason in claim.reasons] == [
        "review.same_visit",
        "review.bill_twice",
        "review.bill_twice",
    ]


def test_what_motor_insurance_dealt_with() -> None:
    claim = joined([RATHER_MORE], drugs(6_000, patient_class="motor"), by=(prescription(),))
    assert (claim.payable, claim.status) == (40_000, "approved")
    assert ("R-1", "gen4.other_insurer", 0, 0) in found(claim)
    # The visit was dealt with elsewhere, its drugs were not: that does not fit.
    odd = joined([RATHER_MORE | {"patient_class": "motor"}], drugs(6_000), by=(prescription(),))
    assert [(reason.bill_no, reason.rule_id) for reason in odd.reasons] == [("R-1", "review.payer_unknown")]


def test_under_a_policy_that_a_person_decides_the_drugs_wait_for_the_same_reason() -> None:
    claim = compute(policy(generation=3), [RATHER_MORE], pharmacy_bills=[drugs(6_000, prescribed_by=None)])
    assert {reason.rule_id for reason in claim.reasons} == {"review.other_generation"}


@pytest.mark.parametrize("member", ["receipt_no", "dispense_date", "institution", "amounts", "totals"])
def test_a_pharmacy_bill_without_what_the_rules_need(member: str) -> None:
    whole = drugs(6_000)
    del whole[member]
    claim = joined([RATHER_MORE], whole, by=())
    assert [(reason.rule_id, reason.path) for reason in claim.reasons] == [
        ("review.data_missing", f"pharmacy_bills[0]: $.{member}")
    ]


def test_a_prescription_that_cannot_be_read_matters_only_to_drugs() -> None:
    broken = prescription(issue_date="2026-02-30")
    assert compute(POLICY, [RATHER_MORE], prescriptions=[broken]).status == "approved"
    claim = joined([RATHER_MORE], drugs(6_000), by=(broken,))
    assert [reason.path for reason in claim.reasons] == ["prescriptions[0]: $.issue_date"]
    assert claim.payable == 44_800


def test_the_visit_and_its_drugs_have_one_deductible() -> None:
    # 8,500 won covered at a clinic, drugs included, and 1,130 won that are not: nothing is left to pay.
    claim = joined([simple(4_500, 1_130)], drugs(4_000), by=(prescription(),))
    assert (claim.payable, claim.status) == (0, "approved")
    claim = joined([RATHER_MORE], drugs(10_000, 40_000), by=(prescription(),))
    assert found(claim) == [
        ("B-1", "gen4.covered.outpatient", 12_000, 38_000),
        ("R-1", "gen4.covered.outpatient", 0, 10_000),
        ("R-1", "gen4.noncovered.outpatient", 30_000, 10_000),
    ]
    assert all("약값" in entry.explanation["ko"] for entry in claim.lines if entry.bill_no == "R-1")


def test_what_is_paid_for_a_visit_is_limited_with_its_drugs() -> None:
    claim = joined([simple(240_000, 0)], drugs(60_000), by=(prescription(),))
    assert sum(entry.paid for entry in claim.lines) == 200_000


@pytest.mark.parametrize(
    ("bill", "prescriptions"),
    [
        ({}, [prescription()]),
        ({}, []),
        ({"prescribed_by": None}, [prescription()]),
        ({"prescribed_by": None}, [prescription(), prescription()]),
        ({"prescribed_by": None, "prescription_no": "2026111000012"}, [prescription()]),
        ({"prescription_no": None}, [prescription()]),
        ({"prescription_no": None}, []),
        ({"prescription_no": None, "dispense_date": "2026-11-12"}, [prescription()]),
        ({"dispense_date": "2026-11-12"}, [prescription()]),
        ({"dispense_date": "2026-12-24"}, [prescription(valid_days=None)]),
        ({"dispense_date": "2026-12-24"}, [prescription(valid_days=10**9)]),
        ({}, [prescription(institution=ELSEWHERE), prescription()]),
    ],
)
def test_how_drugs_find_their_visit(bill: dict[str, Any], prescriptions: list[dict[str, Any]]) -> None:
    others = [simple(50_000, 0, "B-2") | LATER, simple(50_000, 0, "B-3") | {"institution": ELSEWHERE}]
    others[1]["institution"] = {**ELSEWHERE, "grade": CLINIC}
    claim = joined([VISIT, *others], drugs(20_000, **bill), by=tuple(prescriptions))
    assert claim.status == "approved"
    assert [entry for entry in found(claim) if entry[0] in {"B-1", "R-1"}] == [
        ("B-1", "gen4.covered.outpatient", 4_500, 0),
        ("R-1", "gen4.covered.outpatient", 5_500, 14_500),
    ]
