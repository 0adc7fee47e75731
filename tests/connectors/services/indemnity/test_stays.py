"""Inpatient care: what a person decides first, then vectors."""

from typing import Any

import pytest

from connectors.services.indemnity.claim import compute
from tests.connectors.services.indemnity.papers import (
    POLICY,
    bill,
    found,
    line,
    on,
    policy,
    reviewed,
    simple,
    stay,
)

ROOM_ONLY = ["covered_injury", "covered_illness"]


def care(covered: int = 0, noncovered: int = 0) -> list[dict[str, Any]]:
    return [line("procedure", covered_copay=covered, covered_nhis=1, noncovered=noncovered)]


def test_a_policy_that_does_not_tell_the_own_share_so_far() -> None:
    used = {name: value for name, value in POLICY["ytd_used"].items() if name != "inpatient_own_share"}
    claim = compute(policy(ytd_used=used), [stay(care(100_000))])
    reviewed(claim, "review.data_missing")
    (reason,) = claim.reasons
    assert (reason.bill_no, reason.path) == ("S-1", "policy: $.ytd_used.inpatient_own_share")
    # It is of no use for care that is not covered, or not insured.
    assert compute(policy(ytd_used=used), [stay(care(0, 100_000))]).payable == 70_000
    outside = ["noncovered_injury", "noncovered_illness"]
    assert compute(policy(ytd_used=used, coverages=outside), [stay(care(100_000))]).status == "approved"


@pytest.mark.parametrize(
    ("rule_id", "first", "last"),
    [
        ("gen4.outside_contract", "2023-01-08", "2023-01-12"),
        ("gen4.outside_contract", "2028-01-08", "2028-01-12"),
        ("review.policy_year", "2026-01-08", "2026-01-12"),
        ("review.policy_year", "2027-01-08", "2027-01-12"),
    ],
)
def test_stays_across_a_boundary(rule_id: str, first: str, last: str) -> None:
    reviewed(compute(POLICY, [stay(care(100_000), first=first, last=last)]), rule_id)


def test_bills_of_a_stay_that_charge_the_same_days() -> None:
    interim = stay(care(100_000), "S-0", first="2026-11-02", last="2026-11-04") | {"care_type": "interim"}
    whole = stay(care(200_000), "S-1", first="2026-11-02", last="2026-11-06")
    claim = compute(POLICY, [whole, interim])
    reviewed(claim, "review.stays_overlap")
    assert len(claim.reasons) == 2


def test_a_visit_during_a_stay_waits_and_the_stay_does_not() -> None:
    claim = compute(POLICY, [stay(care(100_000)), simple(50_000, 0) | on("2026-11-04")])
    assert (claim.payable, claim.status) == (80_000, "review")
    assert [(reason.bill_no, reason.rule_id) for reason in claim.reasons] == [
        ("B-1", "review.visit_during_stay")
    ]
    elsewhere = {"institution": {"hira_code": "31100079", "grade": "31"}}
    two = compute(POLICY, [stay(care(100_000)), simple(50_000, 0) | on("2026-11-04") | elsewhere])
    assert (two.payable, two.status) == (120_000, "approved")


def test_a_bundled_fee_for_one_day_tells_no_stay_from_a_visit() -> None:
    day = bill([line("bundled_fee", covered_copay=200_000, covered_nhis=1)]) | {"care_type": "discharge"}
    reviewed(compute(POLICY, [day]), "review.day_care_unclear")


def test_one_bill_for_a_person_holds_up_its_stay() -> None:
    odd = stay(care(100_000), "S-2", first="2026-11-07", last="2026-11-09")
    odd["totals"]["patient_total"] += 1
    claim = compute(POLICY, [stay(care(100_000)), odd])
    assert claim.payable == 0
    assert [(reason.bill_no, reason.rule_id) for reason in claim.reasons] == [
        ("S-1", "review.same_visit"),
        ("S-2", "review.data_differs"),
    ]


def test_a_stay_that_motor_insurance_deals_with() -> None:
    claim = compute(POLICY, [stay(care(100_000, 50_000)) | {"patient_class": "motor"}])
    assert (claim.payable, claim.status) == (0, "approved")


@pytest.mark.parametrize(
    ("covered", "own_share_used", "deductible", "paid"),
    [
        (1_000_000, 0, 200_000, 800_000),
        (1_000_001, 0, 200_001, 800_000),  # 20 % is 200,000.2: what is paid is rounded down
        (10_000_000, 0, 2_000_000, 8_000_000),
        (12_000_000, 0, 2_000_000, 10_000_000),  # the 400,000 above the cap are paid too
        (1_000_000, 1_900_000, 100_000, 900_000),
        (1_000_000, 2_000_000, 0, 1_000_000),
        (1_000_000, 2_500_000, 0, 1_000_000),
        (0, 0, 0, 0),
    ],
)
def test_covered_care(covered: int, own_share_used: int, deductible: int, paid: int) -> None:
    claim = compute(policy(ytd_used__inpatient_own_share=own_share_used), [stay(care(covered))])
    assert (claim.payable, claim.status) == (paid, "approved")
    assert sum(entry.deductible for entry in claim.lines) == deductible
    capped = [entry for entry in claim.lines if "2,000,000원까지여서" in entry.explanation["ko"]]
    assert bool(capped) == (deductible < -(-covered * 20 // 100))
    assert claim.used_after["inpatient_own_share"] == own_share_used + deductible


def test_the_own_share_runs_through_the_stays_of_a_year() -> None:
    first = stay(care(6_000_000), "S-1", first="2026-03-02", last="2026-03-09")
    second = stay(care(6_000_000), "S-2", first="2026-06-02", last="2026-06-09")
    claim = compute(POLICY, [second, first])
    assert found(claim) == [
        ("S-1", "gen4.covered.inpatient", 1_200_000, 4_800_000),
        ("S-2", "gen4.covered.inpatient", 800_000, 5_200_000),
    ]


def test_care_that_is_not_covered_has_no_cap_on_the_own_share() -> None:
    claim = compute(POLICY, [stay(care(0, 20_000_000))])
    assert found(claim) == [("S-1", "gen4.noncovered.inpatient", 6_000_000, 14_000_000)]


@pytest.mark.parametrize(
    ("category", "charged", "last", "paid"),
    [
        ("room_single", 600_000, "2026-11-06", 300_000),
        ("room_double", 1_000_000, "2026-11-06", 500_000),  # five days, 100,000 won each
        ("room_single", 1_000_001, "2026-11-06", 500_000),
        ("room_single", 1_200_000, "2026-11-06", 500_000),
        ("room_single", 1_200_000, "2026-11-03", 200_000),
        ("room_single", 300_001, "2026-11-06", 150_000),
    ],
)
def test_the_extra_charge_for_a_room(category: str, charged: int, last: str, paid: int) -> None:
    room = line(category, covered_nhis=1, noncovered=charged)
    claim = compute(POLICY, [stay([room], last=last)])
    assert (claim.payable, claim.lines[0].rule_id) == (paid, "gen4.noncovered.room_difference")


def test_the_average_is_over_the_whole_stay() -> None:
    room, plain = line("room_single", covered_nhis=1, noncovered=800_000), care(100_000)
    first = stay([room], "S-1", first="2026-11-02", last="2026-11-03") | {"care_type": "interim"}
    second = stay(plain, "S-2", first="2026-11-03", last="2026-11-06")
    claim = compute(POLICY, [first, second])
    assert ("S-1", "gen4.noncovered.room_difference", 400_000, 400_000) in found(claim)


def test_every_part_of_a_stay_has_its_rule() -> None:
    lines = [
        line("procedure", covered_copay=1_000_000, covered_nhis=1),
        line("materials", noncovered=300_000),
        line("room_single", noncovered=400_000),
        line("certificate", noncovered=20_000),
    ]
    assert found(compute(POLICY, [stay(lines)])) == [
        ("S-1", "gen4.covered.inpatient", 200_000, 800_000),
        ("S-1", "gen4.noncovered.inpatient", 90_000, 210_000),
        ("S-1", "gen4.noncovered.room_difference", 200_000, 200_000),
        ("S-1", "gen4.never_payable", 0, 0),
    ]


def test_what_a_policy_does_not_insure() -> None:
    claim = compute(policy(coverages=ROOM_ONLY), [stay(care(100_000, 50_000))])
    assert [(entry.rule_id, entry.paid) for entry in claim.lines] == [
        ("gen4.covered.inpatient", 80_000),
        ("gen4.not_insured", 0),
    ]


def test_no_visit_limit_but_the_yearly_one() -> None:
    claim = compute(policy(ytd_used__covered=49_500_000), [stay(care(1_000_000))])
    assert [(entry.paid, entry.over_limit) for entry in claim.lines] == [(500_000, 300_000)]
    assert compute(policy(ytd_used__noncovered_visits=100), [stay(care(0, 100_000))]).payable == 70_000
    assert compute(POLICY, [stay(care(0, 100_000))]).used_after["noncovered_visits"] == 0


def test_one_day_in_a_bed_is_a_stay() -> None:
    lines = [*care(1_000_000), line("room_ward", covered_copay=10_000, covered_nhis=40_000)]
    day = stay(lines, first="2026-11-10", last="2026-11-10")
    assert found(compute(POLICY, [day])) == [("S-1", "gen4.covered.inpatient", 202_000, 808_000)]


def test_day_surgery_and_what_came_before_it_that_day_are_one_visit() -> None:
    surgery = bill(care(300_000), "B-2") | {"care_type": "discharge"}
    claim = compute(POLICY, [surgery, simple(20_000, 0)])
    # 320,000 won less 20 per cent, at most 200,000 won for the visit
    assert found(claim) == [
        ("B-1", "gen4.covered.outpatient", 20_000, 0),
        ("B-2", "gen4.covered.outpatient", 44_000, 200_000),
    ]
    assert {entry.over_limit for entry in claim.lines} == {0, 56_000}
