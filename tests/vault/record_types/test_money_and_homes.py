"""Income, work, accounts, loans, taxes and homes: what each record type refuses, and what it doubts."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import Fault, RecordInvalidError
from vault.record_types.catalogue import Catalogue

CATALOGUE = Catalogue.load()
IDENTITY = "person.identity"
INCOME = "income.certificate"
WORK = "employment.history"
ACCOUNT = "finance.account"
LOANS = "credit.loan_balance"
CLEARANCE = "tax.clearance"
REGISTRY = "realestate.registry"
FIXED_DATE = "realestate.fixed_date"
LICENCE = "realestate.agent_licence"
ALL = (IDENTITY, INCOME, WORK, ACCOUNT, LOANS, CLEARANCE, REGISTRY, FIXED_DATE, LICENCE)
CHECKSUM = "business_number_checksum"
MISTYPED = "105-86-00085"


def record(record_type: str, changes: dict[str, object]) -> dict[str, Any]:
    """The example with other values at dotted paths, such as `payers.0.amount`."""
    data = copy.deepcopy(dict(CATALOGUE.get(record_type).example))
    for path, value in changes.items():
        *steps, last = path.split(".")
        place: Any = data
        for step in steps:
            place = place[int(step)] if isinstance(place, list) else place[step]
        place[last] = value
    return data


def faults_of(record_type: str, changes: dict[str, object]) -> set[tuple[str, str]]:
    with pytest.raises(RecordInvalidError) as caught:
        CATALOGUE.validate(record_type, record(record_type, changes))
    return {(fault.path, fault.rule) for fault in caught.value.faults}


@pytest.mark.parametrize(
    ("record_type", "changes", "expected"),
    [
        (IDENTITY, {"birth_date": "2026-11-03"}, {("$.birth_date", "born_before_issue")}),
        (IDENTITY, {"nationality": "martian"}, {("$.nationality", "enum")}),
        (
            IDENTITY,
            {"register_no": "970514-2000000"},
            {("$.register_no", "contains_resident_registration_number")},
        ),
        (INCOME, {"amount": 34_120_001}, {("$.amount", "amounts_add_up")}),
        (INCOME, {"payers.0.amount": 1}, {("$.amount", "amounts_add_up")}),
        (INCOME, {"tax": 34_120_001}, {("$.tax", "tax_within_amount")}),
        (INCOME, {"year": 2024}, {("$.period", "period_is_the_year")}),
        (INCOME, {"period.from": "2025-02-01"}, {("$.period", "period_is_the_year")}),
        (INCOME, {"period.to": "2025-12-30"}, {("$.period", "period_is_the_year")}),
        (INCOME, {"year": "2025"}, {("$.year", "type")}),
        (INCOME, {"issued_on": "2025-12-30"}, {("$.issued_on", "year_over_at_issue")}),
        (INCOME, {"payers.0.brn": "1058600084"}, {("$.payers[0].brn", "format")}),
        (
            WORK,
            {"workplaces.0.lost_on": "2021-06-30"},
            {("$.workplaces[0].lost_on", "joined_before_leaving")},
        ),
        (WORK, {"workplaces.1.acquired_on": "2026-11-03"}, {("$.workplaces", "joined_before_issue")}),
        (WORK, {"workplaces.0.weekly_hours": 169}, {("$.workplaces[0].weekly_hours", "maximum")}),
        (ACCOUNT, {"account_no": "110-000-000019"}, {("$.account_no", "format")}),
        (ACCOUNT, {"currency": "won"}, {("$.currency", "pattern")}),
        (ACCOUNT, {"co_held": "N"}, {("$.co_held", "type")}),
        (LOANS, {"overdue_amount": 1}, {("$.overdue_amount", "overdue_adds_up")}),
        (
            LOANS,
            {"loans.0.overdue_amount": 3_600_001, "overdue_amount": 3_600_001},
            {("$.loans[0].overdue_amount", "overdue_within_balance")},
        ),
        (LOANS, {"loans.0.matures_on": "2018-03-04"}, {("$.loans[0].matures_on", "began_before_end")}),
        (LOANS, {"as_of": "2018-03-04"}, {("$.loans", "began_before_report")}),
        (CLEARANCE, {"valid_until": "2026-11-01"}, {("$.valid_until", "valid_after_issue")}),
        (CLEARANCE, {"arrears_exist": 0}, {("$.arrears_exist", "type")}),
        (REGISTRY, {"unique_no": "11012008000206"}, {("$.unique_no", "pattern")}),
        (REGISTRY, {"unique_no": "1101-2008-00020"}, {("$.unique_no", "format"), ("$.unique_no", "pattern")}),
        (
            REGISTRY,
            {"issued_on": "2015-09-10"},
            {
                ("$.ownership", "owned_before_issue"),
                ("$.encumbrances", "secured_before_issue"),
            },
        ),
        (REGISTRY, {"ownership.1.share": "half"}, {("$.ownership[1].share", "pattern")}),
        (
            FIXED_DATE,
            {"period.to": "2024-02-29", "ended_on": "2024-03-01"},
            {("$.period.to", "period_in_order")},
        ),
        (FIXED_DATE, {"ended_on": "2024-02-29"}, {("$.ended_on", "ended_after_beginning")}),
        (FIXED_DATE, {"parties": [{"role": "lessor", "name": "최영수"}]}, {("$.parties", "minItems")}),
        (LICENCE, {"office.registration_no": "1144020180030"}, {("$.office.registration_no", "pattern")}),
        (LICENCE, {"insured_until": "2018-04-01"}, {("$.insured_until", "insured_after_registration")}),
    ],
)
def test_what_is_refused(
    record_type: str, changes: dict[str, object], expected: set[tuple[str, str]]
) -> None:
    assert faults_of(record_type, changes) == expected


@pytest.mark.parametrize(
    ("record_type", "changes", "path", "rule"),
    [
        (INCOME, {"payers.0.brn": MISTYPED}, "$.payers[0].brn", CHECKSUM),
        (WORK, {"workplaces.1.brn": MISTYPED}, "$.workplaces[1].brn", CHECKSUM),
        (LICENCE, {"office.brn": MISTYPED}, "$.office.brn", CHECKSUM),
        (ACCOUNT, {"bank_code": "999"}, "$.bank_code", "bank_not_known"),
        (
            ACCOUNT,
            {"account_no": "1002123456789"},
            "$.account_no",
            "may_be_a_resident_registration_number",
        ),
    ],
)
def test_what_is_doubted_and_taken(
    record_type: str, changes: dict[str, object], path: str, rule: str
) -> None:
    data = record(record_type, changes)
    CATALOGUE.validate(record_type, data)
    assert CATALOGUE.doubts(record_type, data) == (Fault(path, rule),)


@pytest.mark.parametrize("record_type", ALL)
def test_examples_leave_no_doubt(record_type: str) -> None:
    assert CATALOGUE.doubts(record_type, record(record_type, {})) == ()


@pytest.mark.parametrize("data", [{}, {"year": 2025}, {"year": 2025, "period": {}}, {"period": []}, None])
def test_the_rule_on_a_whole_year_stays_silent_on_what_the_schema_names(data: object) -> None:
    with pytest.raises(RecordInvalidError) as caught:
        CATALOGUE.validate(INCOME, data)
    assert {fault.rule for fault in caught.value.faults} <= {"type", "required"}


def test_who_has_no_loan_has_a_report_all_the_same() -> None:
    CATALOGUE.validate(LOANS, record(LOANS, {"loans": [], "overdue_amount": 0}))
    assert faults_of(LOANS, {"loans": []} | {"overdue_amount": 5}) == {
        ("$.overdue_amount", "overdue_adds_up")
    }


def test_an_account_may_be_overdrawn() -> None:
    CATALOGUE.validate(ACCOUNT, record(ACCOUNT, {"balance": -120_000}))


def test_a_fixed_date_has_its_names_in_one_member_alone() -> None:
    """HLPA decree article 6: who wants to lease may see all but names."""
    told = dict(CATALOGUE.get(FIXED_DATE).example)
    names = {party["name"] for party in told.pop("parties")}
    assert names
    assert not any(name in str(told) for name in names)


@given(amounts=st.lists(st.integers(0, 10**8), min_size=1, max_size=8), by=st.integers(1, 1000))
def test_certificates_that_add_up_are_taken_and_no_others(amounts: list[int], by: int) -> None:
    payer = record(INCOME, {})["payers"][0]
    data = record(
        INCOME, {"payers": [payer | {"amount": one} for one in amounts], "amount": sum(amounts), "tax": 0}
    )
    CATALOGUE.validate(INCOME, data)
    data["payers"][0]["amount"] += by
    with pytest.raises(RecordInvalidError) as caught:
        CATALOGUE.validate(INCOME, data)
    assert caught.value.faults == [Fault("$.amount", "amounts_add_up")]
