"""The record types around a bill, a payout account and a household: what each refuses, and what it doubts."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import Fault, RecordInvalidError
from vault.record_types.catalogue import Catalogue

CATALOGUE = Catalogue.load()
DETAIL = "health.medical_bill_detail"
PRESCRIPTION = "health.prescription"
PHARMACY = "health.pharmacy_bill"
ACCOUNT = "finance.payout_account"
HOUSEHOLD = "resident.household"


def record(record_type: str, changes: dict[str, object] | None = None) -> dict[str, Any]:
    """The example with other values at dotted paths, such as `rows.0.amount`."""
    data = copy.deepcopy(dict(CATALOGUE.get(record_type).example))
    for path, value in (changes or {}).items():
        *steps, last = path.split(".")
        place: Any = data
        for step in steps:
            place = place[int(step)] if isinstance(place, list) else place[step]
        place[int(last) if isinstance(place, list) else last] = value
    return data


def faults_of(record_type: str, changes: dict[str, object]) -> set[tuple[str, str]]:
    with pytest.raises(RecordInvalidError) as caught:
        CATALOGUE.validate(record_type, record(record_type, changes))
    return {(fault.path, fault.rule) for fault in caught.value.faults}


@pytest.mark.parametrize(
    ("record_type", "changes", "expected"),
    [
        (
            DETAIL,
            {"rows.1.date": "2026-02-30"},
            {("$.rows[1].date", "format"), ("$.rows", "rows_within_period")},
        ),
        (DETAIL, {"rows.1.date": "2026-11-11"}, {("$.rows", "rows_within_period")}),
        (DETAIL, {"rows.0.count": "1.2345"}, {("$.rows[0].count", "pattern")}),
        (DETAIL, {"rows.0.count": 1}, {("$.rows[0].count", "type")}),
        (DETAIL, {"rows.0.days": 0}, {("$.rows[0].days", "minimum")}),
        (DETAIL, {"rows.0.special": "surgery"}, {("$.rows[0].special", "enum")}),
        (DETAIL, {"institution.hira_code": "1110007"}, {("$.institution.hira_code", "format")}),
        (
            DETAIL,
            {"period.to": "2026-11-09"},
            {("$.period.to", "period_in_order"), ("$.rows", "rows_within_period")},
        ),
        (
            DETAIL,
            {"rows.2.amount": 4_001},
            {("$.rows[2].amount", "row_adds_up"), ("$.totals.amount", "amounts_add_up")},
        ),
        (
            DETAIL,
            {"rows.0.covered_copay": 9_201, "rows.0.covered_nhis": 9_199},
            {("$.totals.covered_copay", "copay_adds_up"), ("$.totals.covered_nhis", "nhis_adds_up")},
        ),
        (
            DETAIL,
            {"totals.covered_full_self": 1, "totals.noncovered": 1},
            {
                ("$.totals.covered_full_self", "full_self_adds_up"),
                ("$.totals.noncovered", "noncovered_adds_up"),
            },
        ),
        (PRESCRIPTION, {"issue_no": "20261110"}, {("$.issue_no", "format"), ("$.issue_no", "pattern")}),
        (PRESCRIPTION, {"issue_no": "2026111000012"}, {("$.issue_no", "pattern")}),
        (PRESCRIPTION, {"issue_no": "20260230-00012"}, {("$.issue_no", "format")}),
        (PRESCRIPTION, {"kcd_codes": ["J20.9", "J20.9"]}, {("$.kcd_codes", "uniqueItems")}),
        (PRESCRIPTION, {"kcd_codes.0": "감기"}, {("$.kcd_codes[0]", "format")}),
        (PRESCRIPTION, {"drugs.0.code": "1"}, {("$.drugs[0].code", "format")}),
        (PRESCRIPTION, {"drugs.0.dose": "½"}, {("$.drugs[0].dose", "pattern")}),
        (
            PRESCRIPTION,
            {"dispensing.dispensed_on": "2026-11-09"},
            {("$.dispensing.dispensed_on", "dispensed_after_issue")},
        ),
        (
            PHARMACY,
            {"amounts.noncovered": 2_001},
            {("$.totals.total", "total_adds_up"), ("$.totals.patient_total", "patient_total_adds_up")},
        ),
        (PHARMACY, {"totals.unpaid": 1}, {("$.totals.unpaid", "payments_add_up")}),
        (PHARMACY, {"prescribed_by.hira_code": "1"}, {("$.prescribed_by.hira_code", "format")}),
        (ACCOUNT, {"account_no": "110-000-000019"}, {("$.account_no", "format")}),
        (ACCOUNT, {"account_no": "900101-1234567"}, {("$.account_no", "format")}),
        (ACCOUNT, {"bank_code": "88"}, {("$.bank_code", "format")}),
        (
            ACCOUNT,
            {"account_holder": "김하늘 900101-1234567"},
            {("$.account_holder", "contains_resident_registration_number")},
        ),
        (ACCOUNT, {"account_no": "\ud800"}, {("$.account_no", "not_unicode_text")}),
        (
            HOUSEHOLD,
            {"members.0.birth_date": "2024-03-05"},
            {("$.members[0].changed_on", "born_before_entry")},
        ),
        (HOUSEHOLD, {"members.1.changed_on": "2026-11-03"}, {("$.members", "entries_before_issue")}),
        (HOUSEHOLD, {"formed_on": "2026-11-03"}, {("$.formed_on", "formed_before_issue")}),
        (
            HOUSEHOLD,
            {"members.0.rrn": "970514-2000000"},
            {
                ("$.members[0].rrn", "unknown_member"),
                ("$.members[0].rrn", "contains_resident_registration_number"),
            },
        ),
        (
            HOUSEHOLD,
            {"members.0.name": "김하늘 970514-2******"},
            {
                ("$.members[0].name", "contains_resident_registration_number"),
            },
        ),
        (
            HOUSEHOLD,
            {"members.0.birth_date": "970514-2000000"},
            {
                ("$.members[0].birth_date", "format"),
                ("$.members[0].birth_date", "contains_resident_registration_number"),
                ("$.members[0].changed_on", "born_before_entry"),
            },
        ),
        (HOUSEHOLD, {"address.postal_code": "0452"}, {("$.address.postal_code", "format")}),
    ],
)
def test_what_is_refused(
    record_type: str, changes: dict[str, object], expected: set[tuple[str, str]]
) -> None:
    assert faults_of(record_type, changes) == expected


@pytest.mark.parametrize("rows", [{}, [[]], [{}], None])
def test_rules_on_rows_stay_silent_on_what_the_schema_names(rows: object) -> None:
    faults = faults_of(DETAIL, {"rows": rows})
    assert {rule for _, rule in faults} <= {"type", "required"}


@pytest.mark.parametrize(
    ("record_type", "changes", "doubts"),
    [
        (
            DETAIL,
            {"rows.2.code": "D-1", "rows.3.code": "X"},
            {
                ("$.rows[2].code", "billing_code_unknown_form"),
                ("$.rows[3].code", "billing_code_unknown_form"),
            },
        ),
        (DETAIL, {"institution.brn": "220-82-10074"}, {("$.institution.brn", "business_number_checksum")}),
        (PRESCRIPTION, {"issue_no": "20261109-00012"}, {("$.issue_no", "number_of_another_day")}),
        (
            PRESCRIPTION,
            {"institution.brn": "220-82-10074"},
            {("$.institution.brn", "business_number_checksum")},
        ),
        (PHARMACY, {"institution.brn": "104-05-00007"}, {("$.institution.brn", "business_number_checksum")}),
        (ACCOUNT, {"bank_code": "999"}, {("$.bank_code", "bank_not_known")}),
        # Thirteen digits of some banks cannot be told from a resident's: told to a person, not refused.
        (
            ACCOUNT,
            {"account_no": "1002123456789"},
            {("$.account_no", "may_be_a_resident_registration_number")},
        ),
    ],
)
def test_what_is_doubted_and_taken(
    record_type: str, changes: dict[str, object], doubts: set[tuple[str, str]]
) -> None:
    data = record(record_type, changes)
    CATALOGUE.validate(record_type, data)
    assert {(doubt.path, doubt.rule) for doubt in CATALOGUE.doubts(record_type, data)} == doubts


@pytest.mark.parametrize("record_type", [DETAIL, PRESCRIPTION, PHARMACY, ACCOUNT, HOUSEHOLD])
def test_examples_leave_no_doubt(record_type: str) -> None:
    assert CATALOGUE.doubts(record_type, record(record_type)) == ()


def test_what_may_be_missing() -> None:
    detail = record(DETAIL)
    del detail["rows"][0]["code"], detail["rows"][0]["special"], detail["room"], detail["remarks"]
    CATALOGUE.validate(DETAIL, detail)
    assert CATALOGUE.doubts(DETAIL, detail) == ()
    prescription = record(PRESCRIPTION)
    del prescription["dispensing"]
    CATALOGUE.validate(PRESCRIPTION, prescription)
    pharmacy = record(PHARMACY)
    del pharmacy["prescription_no"], pharmacy["prescribed_by"]
    CATALOGUE.validate(PHARMACY, pharmacy)


def test_doubts_about_what_is_no_record_are_silent() -> None:
    assert CATALOGUE.doubts(PRESCRIPTION, {"issue_no": 1, "issue_date": "2026-11-10"}) == ()
    assert CATALOGUE.doubts(DETAIL, {"rows": [1, {"code": 2}]}) == ()
    assert CATALOGUE.doubts(DETAIL, []) == ()


def test_classes_that_the_law_treats_separately() -> None:
    assert CATALOGUE.get(ACCOUNT).sensitivity == "financial"
    assert CATALOGUE.get(HOUSEHOLD).sensitivity == "ordinary"
    assert {CATALOGUE.get(code).sensitivity for code in (DETAIL, PRESCRIPTION, PHARMACY)} == {"health"}


def test_what_a_consent_may_filter_by() -> None:
    assert CATALOGUE.get(DETAIL).filters["period"] == {"from": "period.from", "to": "period.to"}
    assert CATALOGUE.get(PRESCRIPTION).filters["period"] == {"from": "issue_date", "to": "issue_date"}
    assert CATALOGUE.get(PHARMACY).filters["period"] == {"from": "dispense_date", "to": "dispense_date"}
    for code in (DETAIL, PRESCRIPTION, PHARMACY):
        assert CATALOGUE.get(code).filters["institution"] == "institution.hira_code"
    assert CATALOGUE.get(ACCOUNT).filters == CATALOGUE.get(HOUSEHOLD).filters == {}


won = st.integers(0, 10_000_000)


@given(rows=st.lists(st.tuples(won, won, won, won), min_size=1, max_size=12), by=st.integers(1, 1_000))
def test_every_detailed_bill_that_adds_up_is_taken_and_no_other(
    rows: list[tuple[int, int, int, int]], by: int
) -> None:
    names = ("covered_copay", "covered_nhis", "covered_full_self", "noncovered")
    data = record(DETAIL)
    plain = data["rows"][0]
    data["rows"] = [plain | dict(zip(names, row, strict=True)) | {"amount": sum(row)} for row in rows]
    sums = {name: sum(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    data["totals"] = {**sums, "amount": sum(sums.values())}
    CATALOGUE.validate(DETAIL, data)
    data["rows"][-1]["amount"] += by
    with pytest.raises(RecordInvalidError) as caught:
        CATALOGUE.validate(DETAIL, data)
    assert caught.value.faults == [
        Fault(f"$.rows[{len(rows) - 1}].amount", "row_adds_up"),
        Fault("$.totals.amount", "amounts_add_up"),
    ]
