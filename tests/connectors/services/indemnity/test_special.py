"""Manual therapy, injections and MRI that are not covered: what a person decides, then what is paid."""

from typing import Any

import pytest

from connectors.services.indemnity.claim import Claim, compute
from tests.connectors.services.indemnity.papers import (
    POLICY,
    SEEN,
    billed,
    detail,
    found,
    on,
    policy,
    reviewed,
    row,
    stay,
)

MANUAL, INJECTION, MRI = "manual_therapy", "injection", "mri"


def claimed(*rows: dict[str, Any], under: dict[str, Any] = POLICY) -> Claim:
    """The claim for one visit with these rows and one that the national insurer paid."""
    all_rows = [SEEN, *rows]
    return compute(under, [billed(all_rows)], details=[detail(all_rows)])


@pytest.mark.parametrize(
    ("rule_id", "rows"),
    [
        ("review.special_noncovered", [row("rehabilitation", 100_000, None)]),
        ("review.special_noncovered", [row("injection_drug", 100_000, "something new")]),
        ("review.special_noncovered", [row("rehabilitation", 100_000, MANUAL, count="0.5")]),
        ("review.special_noncovered", [row("rehabilitation", 100_000, MANUAL, count="x")]),
        ("review.special_noncovered", [row("rehabilitation", 100_000, MANUAL, count="51", days=2)]),
        ("review.data_differs", [row("certificate", 100_000, INJECTION)]),
        ("review.data_differs", [row("room_single", 100_000, INJECTION)]),
    ],
)
def test_rows_that_do_not_say_enough(rule_id: str, rows: list[dict[str, Any]]) -> None:
    reviewed(claimed(*rows), rule_id)


def test_a_detailed_bill_that_says_something_else() -> None:
    rows = [SEEN, row("rehabilitation", 100_000, MANUAL)]
    for others in ([SEEN], [*rows, row("other", 1)], [SEEN, row("mri", 100_000, MANUAL)]):
        reviewed(compute(POLICY, [billed(rows)], details=[detail(others)]), "review.data_differs")


def test_two_detailed_bills_for_one_bill() -> None:
    rows = [SEEN, row("rehabilitation", 100_000, MANUAL)]
    claim = compute(POLICY, [billed(rows)], details=[detail(rows), detail(rows)])
    reviewed(claim, "review.detail_twice")


def test_a_detailed_bill_of_another_institution_explains_nothing() -> None:
    rows = [SEEN, row("rehabilitation", 100_000, MANUAL)]
    foreign = detail(rows) | {"institution": {"hira_code": "31100079"}}
    reviewed(compute(POLICY, [billed(rows)], details=[foreign]), "review.special_noncovered")


def test_a_detailed_bill_that_cannot_be_read() -> None:
    rows = [SEEN, row("rehabilitation", 100_000, MANUAL, days=0)]
    claim = compute(POLICY, [billed(rows)], details=[detail(rows)])
    assert claim.payable == 0
    assert {(reason.rule_id, reason.path) for reason in claim.reasons} == {
        ("review.data_missing", "details[0]: $.rows[1].days"),
        ("review.special_noncovered", None),
    }


@pytest.mark.parametrize("group", [MANUAL, INJECTION, MRI])
def test_a_policy_that_does_not_tell_what_is_used(group: str) -> None:
    used = {name: value for name, value in POLICY["ytd_used"].items() if name != group}
    claim = claimed(row("other", 100_000, group), under=policy(ytd_used=used))
    reviewed(claim, "review.data_missing")
    assert {reason.path for reason in claim.reasons} == {f"policy: $.ytd_used.{group}"}
    assert claimed(row("other", 100_000), under=policy(ytd_used=used)).status == "approved"


def test_what_is_not_insured_needs_nobody() -> None:
    covered_only = policy(coverages=["covered_injury", "covered_illness"])
    claim = claimed(row("mri", 300_000, MRI), under=covered_only)
    assert (claim.status, found(claim)) == ("approved", [("B-1", "gen4.not_insured", 0, 0)])


@pytest.mark.parametrize(("used", "paid"), [(0, 10), (7, 3), (9, 1), (11, 9), (20, 0), (49, 1)])
def test_improvement_is_shown_after_every_ten_sessions(used: int, paid: int) -> None:
    start = policy(ytd_used__manual_therapy={"paid": 0, "sessions": used})
    bills, details = [], []
    for number in range(12):
        rows = [SEEN, row("rehabilitation", 100_000, MANUAL)]
        day = f"2026-11-{number + 1:02}"
        bills.append(billed(rows, f"B-{number:02}") | on(day))
        details.append(detail(rows, f"B-{number:02}"))
    claim = compute(start, bills, details=details)
    assert sum(entry.paid > 0 for entry in claim.lines) == paid
    # From the fiftieth on the year pays nothing: then nobody has to show anything.
    held = 0 if used == 49 else 12 - paid
    assert [reason.rule_id for reason in claim.reasons] == ["review.improvement"] * held


@pytest.mark.parametrize(
    ("rows", "deductible", "paid"),
    [
        ([row("rehabilitation", 100_000, MANUAL)], 30_000, 70_000),
        ([row("rehabilitation", 150_001, MANUAL)], 45_001, 105_000),
        ([row("rehabilitation", 20_000, MANUAL)], 20_000, 0),
        ([row("rehabilitation", 100_000, MANUAL)] * 2, 60_000, 140_000),
        ([row("rehabilitation", 200_000, MANUAL, count="2")], 60_000, 140_000),
        ([row("rehabilitation", 200_001, MANUAL, count="1.0", days=2)], 60_001, 140_000),
        (
            [row("injection_drug", 60_000, INJECTION), row("injection_service", 40_000, INJECTION)],
            30_000,
            70_000,
        ),
        ([row("injection_drug", 60_000, INJECTION, count="0.5")], 30_000, 30_000),
        ([row("mri", 400_000, MRI)], 120_000, 280_000),
        ([row("mri", 400_000, MRI), row("mri", 60_000, MRI)], 150_000, 310_000),
        ([row("rehabilitation", 100_000, "none")], 30_000, 70_000),
        ([row("other", 100_000, None)], 30_000, 70_000),
    ],
)
def test_what_sessions_are_paid(rows: list[dict[str, Any]], deductible: int, paid: int) -> None:
    claim = claimed(*rows)
    assert claim.status == "approved"
    assert sum(entry.deductible for entry in claim.lines) == deductible
    assert claim.payable == paid
    assert all(entry.billed == entry.deductible + entry.over_limit + entry.paid for entry in claim.lines)


def test_special_care_stands_beside_the_rest_of_the_visit() -> None:
    claim = claimed(row("other", 80_000), row("rehabilitation", 100_000, MANUAL), row("certificate", 5_000))
    assert found(claim) == [
        ("B-1", "gen4.noncovered.outpatient", 30_000, 50_000),
        ("B-1", "gen4.special.manual_therapy", 30_000, 70_000),
        ("B-1", "gen4.never_payable", 0, 0),
    ]
    assert claim.lines[1].explanation["ko"].startswith("비급여 도수·체외충격파·증식치료 1회: 100,000원")


@pytest.mark.parametrize(
    ("group", "used", "paid"),
    [
        (MANUAL, {"paid": 3_450_000, "sessions": 2}, 50_000),
        (MANUAL, {"paid": 3_600_000, "sessions": 2}, 0),
        (MANUAL, {"paid": 0, "sessions": 50}, 0),
        (INJECTION, {"paid": 2_470_000, "sessions": 2}, 30_000),
        (INJECTION, {"paid": 0, "sessions": 49}, 70_000),
        (INJECTION, {"paid": 0, "sessions": 50}, 0),
        (MRI, {"paid": 2_980_000, "sessions": 2}, 20_000),
        (MRI, {"paid": 0, "sessions": 500}, 70_000),
    ],
)
def test_yearly_limits_of_each_kind(group: str, used: dict[str, int], paid: int) -> None:
    claim = claimed(row("other", 100_000, group), under=policy(**{f"ytd_used__{group}": used}))
    assert (claim.payable, claim.status) == (paid, "approved")
    after = {"paid": used["paid"] + paid, "sessions": used["sessions"] + (paid > 0)}
    assert claim.used_after[group] == after
    assert claim.used_after["noncovered"] == 0


def test_injections_of_one_visit_are_one_session_across_its_bills() -> None:
    bills, details = [], []
    for number, amount in (("B-1", 20_000), ("B-2", 80_000)):
        rows = [SEEN, row("injection_drug", amount, INJECTION)]
        bills.append(billed(rows, number))
        details.append(detail(rows, number))
    claim = compute(POLICY, bills, details=details)
    assert found(claim) == [
        ("B-1", "gen4.special.injection", 20_000, 0),
        ("B-2", "gen4.special.injection", 10_000, 70_000),
    ]
    assert claim.used_after[INJECTION] == {"paid": 70_000, "sessions": 1}


def test_special_care_during_a_stay() -> None:
    rows = [SEEN, row("mri", 400_000, MRI), row("materials", 100_000)]
    whole = stay(billed(rows)["lines"], "B-1")
    claim = compute(POLICY, [whole], details=[detail(rows)])
    assert found(claim) == [
        ("B-1", "gen4.noncovered.inpatient", 30_000, 70_000),
        ("B-1", "gen4.special.mri", 120_000, 280_000),
    ]
