"""The claim: what is refused or left to a person first, then vectors, then properties."""

import json
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.services.indemnity.claim import Claim, ClaimLine, compute
from connectors.services.indemnity.rules import Rules
from tests.connectors.services.indemnity.papers import (
    CLINIC,
    LATER,
    POLICY,
    TERTIARY,
    at,
    bill,
    line,
    policy,
    reviewed,
    simple,
)
from vault.identifiers import INSTITUTION_GRADES
from vault.record_types.catalogue import Catalogue

CATALOGUE = Catalogue.load()
SOME_COVERAGES = ["covered_illness", "noncovered_illness"]
GRANTED = ("institution", "period", "lines", "totals", "bill_no", "care_type", "issue_date")


def purpose() -> dict[str, Any]:
    """The purpose declaration, as the broker reads it."""
    text = files("connectors.services.indemnity").joinpath("purpose.json").read_text(encoding="utf-8")
    declared: dict[str, Any] = json.loads(text)
    return declared


@pytest.mark.parametrize(
    ("rule_id", "changes"),
    [
        ("review.care_type_unknown", {"care_type": "something new"}),
        ("gen4.outside_contract", {"period": {"from": "2023-01-09", "to": "2023-01-09"}}),
        ("gen4.outside_contract", {"period": {"from": "2028-01-10", "to": "2028-01-10"}}),
        ("gen4.outside_contract", {"period": {"from": "2026-11-11", "to": "2026-11-10"}}),
        ("review.policy_year", {"period": {"from": "2026-01-09", "to": "2026-01-09"}}),
        ("review.several_days", {"period": {"from": "2026-11-09", "to": "2026-11-10"}}),
        ("review.grade_unknown", {"institution": {"hira_code": "11100079", "grade": "81"}}),
        ("review.data_differs", {"totals": {"patient_total": 130_001, "over_cap": 0}}),
        ("review.data_differs", {"totals": {"patient_total": 29_999, "over_cap": 100_001}}),
        ("review.payer_unknown", {"patient_class": "uninsured"}),
        ("review.payer_unknown", {"lines": [line(covered_full_self=130_000)]}),
        ("review.special_noncovered", {"lines": [line("mri", noncovered=130_000, covered_nhis=1)]}),
    ],
)
def test_bills_that_a_person_decides(rule_id: str, changes: dict[str, Any]) -> None:
    reviewed(compute(POLICY, [simple(100_000, 30_000) | changes]), rule_id)


@pytest.mark.parametrize(
    ("rule_id", "changes"),
    [
        ("review.other_generation", {"generation": 3}),
        ("review.other_generation", {"generation": 5}),
        ("review.policy_not_active", {"status": "lapsed"}),
        (
            "review.cover_in_part",
            {"coverages": [*SOME_COVERAGES, "noncovered_injury"]},
        ),
        ("review.cover_in_part", {"coverages": [*SOME_COVERAGES, "covered_injury"]}),
    ],
)
def test_policies_that_a_person_decides(rule_id: str, changes: dict[str, Any]) -> None:
    reviewed(compute(policy(**changes), [simple(100_000, 30_000)]), rule_id)


@pytest.mark.parametrize(
    "member", ["generation", "contract_date", "end_date", "status", "coverages", "limits", "ytd_used"]
)
def test_a_policy_without_what_the_rules_need(member: str) -> None:
    granted = {name: value for name, value in POLICY.items() if name != member}
    claim = compute(granted, [simple(100_000, 30_000)])
    reviewed(claim, "review.data_missing")
    assert [reason.path for reason in claim.reasons] == [f"policy: $.{member}"]


@pytest.mark.parametrize("member", ["institution", "period", "lines", "totals", "bill_no", "care_type"])
def test_a_bill_without_what_the_rules_need(member: str) -> None:
    granted = simple(100_000, 30_000)
    del granted[member]
    claim = compute(POLICY, [granted])
    reviewed(claim, "review.data_missing")
    assert [reason.path for reason in claim.reasons] == [f"bills[0]: $.{member}"]


@pytest.mark.parametrize("amount", [-1, 1.0, "50,000", True, None])
def test_amounts_are_never_coerced(amount: object) -> None:
    odd = simple(100_000, 30_000)
    odd["lines"][0]["covered_copay"] = amount
    claim = compute(POLICY, [odd])
    reviewed(claim, "review.data_missing")
    assert claim.reasons[0].path == "bills[0]: $.lines[0].covered_copay"


@pytest.mark.parametrize("day", ["2026-02-30", "20261110", "2026-W46-2", 20261110])
def test_days_are_never_coerced(day: object) -> None:
    reviewed(
        compute(POLICY, [simple(1, 0) | {"period": {"from": day, "to": "2026-11-10"}}]), "review.data_missing"
    )


def test_a_bill_that_came_twice_is_not_paid_at_all() -> None:
    claim = compute(POLICY, [simple(100_000, 0), simple(100_000, 0)])
    reviewed(claim, "review.bill_twice")
    assert len(claim.reasons) == 2


def test_one_bill_for_a_person_does_not_hold_up_the_others() -> None:
    claim = compute(
        POLICY, [simple(50_000, 0), simple(50_000, 0, "B-2") | LATER | {"care_type": "something new"}]
    )
    assert (claim.payable, claim.status) == (40_000, "review")
    assert [(reason.rule_id, reason.bill_no) for reason in claim.reasons] == [
        ("review.care_type_unknown", "B-2")
    ]


def test_one_bill_for_a_person_holds_up_its_own_visit() -> None:
    mri = bill([line("mri", noncovered=300_000, covered_nhis=1)], "B-2")
    claim = compute(POLICY, [simple(50_000, 0), mri])
    assert claim.payable == 0
    assert [(reason.bill_no, reason.rule_id) for reason in claim.reasons] == [
        ("B-1", "review.same_visit"),
        ("B-2", "review.special_noncovered"),
    ]


@pytest.mark.parametrize("patient_class", ["motor", "work_accident"])
def test_what_another_insurer_deals_with_is_decided_and_not_paid(patient_class: str) -> None:
    claim = compute(POLICY, [simple(100_000, 30_000) | {"patient_class": patient_class}])
    assert (claim.payable, claim.status, claim.reasons) == (0, "approved", ())
    assert {entry.rule_id for entry in claim.lines} == {"gen4.other_insurer"}


def test_certificates_are_never_paid_and_named() -> None:
    claim = compute(
        POLICY, [bill([line(noncovered=50_000, covered_nhis=1), line("certificate", noncovered=20_000)])]
    )
    assert [(entry.billed, entry.paid, entry.rule_id) for entry in claim.lines] == [
        (50_000, 20_000, "gen4.noncovered.outpatient"),
        (20_000, 0, "gen4.never_payable"),
    ]
    assert claim.status == "approved"


def test_a_part_that_is_not_insured_is_not_paid() -> None:
    claim = compute(policy(coverages=["covered_injury", "covered_illness"]), [simple(50_000, 80_000)])
    assert [(entry.part, entry.paid, entry.rule_id) for entry in claim.lines] == [
        ("covered", 40_000, "gen4.covered.outpatient"),
        ("noncovered", 0, "gen4.not_insured"),
    ]


@pytest.mark.parametrize(
    ("covered", "noncovered", "grade", "paid"),
    [
        (50_000, 0, CLINIC, 40_000),
        (8_500, 1_130, CLINIC, 0),
        (9_000, 0, CLINIC, 0),
        (120_000, 80_000, TERTIARY, 146_000),
        (50_001, 0, CLINIC, 40_000),  # 20 % is 10,000.2: what is paid is rounded down
        (100_000, 0, "11", 80_000),
        (99_999, 0, "11", 79_999),
        (0, 100_001, CLINIC, 70_000),
        (0, 30_001, CLINIC, 1),
        (1_000_000, 1_000_000, CLINIC, 400_000),  # 200,000 won a visit, each part
        (0, 0, CLINIC, 0),
    ],
)
def test_vectors(covered: int, noncovered: int, grade: str, paid: int) -> None:
    claim = compute(POLICY, [simple(covered, noncovered) | at(grade)])
    assert (claim.payable, claim.status) == (paid, "approved")


def test_a_line_says_by_which_rule_and_how() -> None:
    claim = compute(POLICY, [simple(400_000, 0) | at(TERTIARY)])
    assert claim.lines == (
        ClaimLine(
            bill_no="B-1",
            part="covered",
            billed=400_000,
            deductible=80_000,
            paid=200_000,
            rule_id="gen4.covered.outpatient",
            explanation={
                "ko": "급여 통원: 본인부담금 400,000원에서 공제금액 80,000원을 뺐습니다. "
                "공제금액은 20,000원과 20% 가운데 큰 금액이며 청구금액을 넘지 않습니다. "
                "한도를 넘는 120,000원은 지급하지 않습니다.",
                "en": "Covered outpatient care: your share of 400,000 won less a deductible of 80,000 won, "
                "which is the larger of 20,000 won and 20 per cent, and never more than was billed. "
                "120,000 won above the "
                "limit of the policy are not paid.",
            },
            over_limit=120_000,
        ),
    )


def test_what_the_national_insurer_gives_back_is_not_paid_again() -> None:
    claim = compute(POLICY, [bill([line(covered_copay=90_000, covered_nhis=1)], over_cap=40_000)])
    assert claim.payable == 40_000


def test_care_that_is_paid_in_full_counts_as_covered() -> None:
    claim = compute(
        POLICY, [bill([line(covered_copay=30_000, covered_nhis=30_000, covered_full_self=20_000)])]
    )
    assert claim.payable == 40_000


def test_one_day_at_one_institution_is_one_visit() -> None:
    claim = compute(POLICY, [simple(8_000, 0, "B-2"), simple(42_000, 0)])
    assert [(entry.bill_no, entry.deductible, entry.paid) for entry in claim.lines] == [
        ("B-1", 10_000, 32_000),
        ("B-2", 0, 8_000),
    ]
    assert all("한 번으로" in entry.explanation["ko"] for entry in claim.lines)


def test_another_institution_is_another_visit() -> None:
    elsewhere = {"hira_code": "31100079", "grade": CLINIC}
    claim = compute(POLICY, [simple(50_000, 0), simple(50_000, 0, "B-1") | {"institution": elsewhere}])
    assert claim.payable == 80_000


def test_yearly_limits_run_out_oldest_visit_first() -> None:
    almost = policy(ytd_used__covered=49_950_000)
    claim = compute(almost, [simple(50_000, 0, "B-2") | LATER, simple(50_000, 0)])
    assert [(entry.bill_no, entry.paid, entry.over_limit) for entry in claim.lines] == [
        ("B-1", 40_000, 0),
        ("B-2", 10_000, 30_000),
    ]
    assert compute(policy(ytd_used__covered=60_000_000), [simple(50_000, 0)]).payable == 0


def test_visits_that_are_not_covered_are_counted() -> None:
    bills = [simple(0, 80_000), simple(0, 80_000, "B-2") | LATER]
    assert compute(policy(ytd_used__noncovered_visits=99), bills).payable == 50_000
    assert compute(policy(ytd_used__noncovered_visits=100), bills).payable == 0


def test_a_policy_with_lower_limits_holds() -> None:
    assert compute(policy(limits__covered_per_visit=15_000), [simple(50_000, 0)]).payable == 15_000


def test_no_bills_no_claim() -> None:
    assert compute(POLICY, []) == Claim((), 0, "approved", ())


def test_whole_documents_are_computed_like_granted_fields() -> None:
    whole = dict(CATALOGUE.get("health.medical_bill").example)
    fields = {name: whole[name] for name in GRANTED}
    # 9,200 + 31,000 + 4,000 covered less 20,000; 80,000 not covered less 30,000
    assert compute(POLICY, [whole]).payable == compute(POLICY, [fields]).payable == 24_200 + 50_000


def test_the_claim_is_json() -> None:
    claim = compute(POLICY, [simple(400_000, 30_000), simple(1, 1, "B-2") | {"care_type": "something new"}])
    assert json.loads(json.dumps(claim.to_json())) == claim.to_json()
    assert set(claim.to_json()) == {"lines", "payable", "status", "reasons"}


won = st.integers(0, 3_000_000)
grades = st.sampled_from(sorted(set(INSTITUTION_GRADES) - {"81"}))


@given(covered=won, noncovered=won, grade=grades)
def test_nothing_is_paid_beyond_the_bill_and_every_won_has_its_place(
    covered: int, noncovered: int, grade: str
) -> None:
    claim = compute(POLICY, [simple(covered, noncovered) | at(grade)])
    assert claim.status == "approved"
    for entry in claim.lines:
        assert 0 <= entry.paid <= entry.billed
        assert entry.billed == entry.deductible + entry.over_limit + entry.paid
        assert entry.paid <= 200_000
    assert sum(entry.billed for entry in claim.lines) == covered + noncovered
    assert claim.payable == sum(entry.paid for entry in claim.lines)


@given(smaller=won, more=won, grade=grades)
def test_a_larger_bill_never_pays_less(smaller: int, more: int, grade: str) -> None:
    def paid(covered: int, noncovered: int) -> int:
        return compute(POLICY, [simple(covered, noncovered) | at(grade)]).payable

    assert paid(smaller, 0) <= paid(smaller + more, 0)
    assert paid(0, smaller) <= paid(0, smaller + more)


@given(amounts=st.lists(st.tuples(won, won), min_size=1, max_size=5))
def test_a_visit_pays_the_same_however_it_is_cut_into_bills(amounts: list[tuple[int, int]]) -> None:
    bills = [simple(*pair, f"B-{index}") for index, pair in enumerate(amounts)]
    covered, noncovered = (sum(column) for column in zip(*amounts, strict=True))
    assert compute(POLICY, bills).payable == compute(POLICY, [simple(covered, noncovered)]).payable


def test_every_rule_has_its_source_and_both_languages() -> None:
    rules = Rules.load()
    explained = [(rule.source, rule.explanation) for rule in rules.parts.values()]
    explained += [(rule.source, rule.explanation) for rule in rules.stays.values()]
    explained += [(rule.source, rule.explanation) for rule in rules.special.values()]
    explained += [(finding.source, finding.explanation) for finding in rules.findings.values()]
    assert all(source and set(explanation) == {"ko", "en"} for source, explanation in explained)
    assert all(set(text) == {"ko", "en"} for text in rules.additions.values())
    properties = CATALOGUE.get("health.medical_bill").value_labels
    categories = rules.never_payable_categories | rules.special_noncovered_categories
    assert categories <= set(properties["lines[].category"])
    assert rules.other_insurer_classes | rules.unclear_classes <= set(properties["patient_class"])
    for part in rules.parts.values():
        assert part.insured_as <= set(CATALOGUE.get("insurance.indemnity_policy").value_labels["coverages[]"])
        assert set(part.fixed_by_grade) == set(INSTITUTION_GRADES) - {"81"}


def test_the_purpose_asks_for_fields_that_exist_and_speaks_both_languages() -> None:
    declared = purpose()
    assert declared["code"] == "insurance.indemnity_claim"
    for item in declared["items"]:
        assert set(item["fields"]) <= set(CATALOGUE.get(item["record_type"]).fields)
        # A document discloses every field: it may be asked for where every field may.
        is_whole = set(item["fields"]) == set(CATALOGUE.get(item["record_type"]).fields)
        assert item["modes"] == ["fields", "document"] or item["modes"] == ["fields"]
        assert is_whole or "document" not in item["modes"]
    texts = [declared["name"], declared["text"], declared["refusal_effect"]]
    assert all(set(text) == {"ko", "en"} for text in texts)
    assert declared["notice"]["ko"]
    assert declared["notice"]["en"]


def test_only_bill_and_policy_are_needed_for_the_purpose() -> None:
    needed = {item["record_type"] for item in purpose()["items"] if item["required"]}
    assert needed == {"health.medical_bill", "insurance.indemnity_policy"}


def test_the_purpose_covers_what_the_calculation_reads() -> None:
    def shaped(record_type: str) -> dict[str, Any]:
        whole = dict(CATALOGUE.get(record_type).example)
        return {name: value for name, value in whole.items() if name in fields[record_type]}

    fields = {item["record_type"]: set(item["fields"]) for item in purpose()["items"]}
    claim = compute(
        shaped("insurance.indemnity_policy"),
        [shaped("health.medical_bill")],
        details=[shaped("health.medical_bill_detail")],
        prescriptions=[shaped("health.prescription")],
        pharmacy_bills=[shaped("health.pharmacy_bill")],
    )
    # The catalogue's examples are of one visit: with its drugs 49,600 won covered and 82,000 won not.
    assert (claim.status, claim.payable) == ("approved", 29_600 + 52_000)
