"""The bank's rules: what is refused, what waits for a person, and what is lent; and what is asked for it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.api.deliveries import DecisionBody
from broker.installation import load_purposes
from connectors.services.lending.asking import asked_terms
from connectors.services.lending.decision import (
    ACCOUNTS,
    EMPLOYMENT,
    INCOME,
    LOANS,
    Findings,
    decide,
    findings_of,
)
from connectors.services.lending.rules import RULES
from connectors.services.relying_party.answers import SignedAnswer
from consent.caps import check_caps
from consent.terms import parse
from vault.record_types.catalogue import Catalogue

PURPOSE = "lending.loan_underwriting"
DECLARED = load_purposes().get(PURPOSE)
CATALOGUE = Catalogue.load()
HOLDERS = ("credit-bureau", "employment-office", "hanbit-bank", "tax-office")
SMALL, LARGE = 15_000_000, 40_000_000
GOOD = Findings(
    is_employed=True, is_overdue=False, income=30_000_000, loan_total=3_600_000, savings=20_000_000
)

maybe = st.none() | st.booleans()
won = st.none() | st.integers(0, 10**9)
findings = st.builds(Findings, is_employed=maybe, is_overdue=maybe, income=won, loan_total=won, savings=won)


def answer(said: bool | Mapping[str, int | str] | None, asked: object = None) -> SignedAnswer:  # noqa: FBT001 - what an answer says
    return SignedAnswer(asked, said, "2026-11-26", "rule@1", "signature", {})


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"is_employed": False}, "LN-EMPLOYED"),
        ({"is_overdue": True}, "LN-NOT-OVERDUE"),
        ({"income": 29_999_999}, "LN-INCOME"),
        ({"income": 0}, "LN-INCOME"),
    ],
)
def test_one_rule_that_fails_says_no_and_names_itself(changes: dict[str, Any], failed: str) -> None:
    decision = decide(SMALL, Findings(**(fields(GOOD) | changes)), RULES)
    assert (decision.status, decision.payable, decision.rate) == ("rejected", 0, None)
    assert [check.rule_id for check in decision.checks if check.holds is False] == [failed]


@pytest.mark.parametrize(
    ("amount", "missing"),
    [
        (SMALL, "is_employed"),
        (SMALL, "is_overdue"),
        (SMALL, "income"),
        (LARGE, "income"),
        (LARGE, "loan_total"),
    ],
)
def test_what_is_not_known_waits_for_a_person(amount: int, missing: str) -> None:
    decision = decide(amount, Findings(**(fields(GOOD) | {missing: None})), RULES)
    assert (decision.status, decision.payable) == ("review", 0)
    assert [check.holds for check in decision.checks].count(None) == 1


def test_a_small_loan_needs_no_totals() -> None:
    found = Findings(is_employed=True, is_overdue=False, income=30_000_000)
    decision = decide(SMALL, found, RULES)
    assert (decision.status, decision.payable, decision.rate) == ("approved", SMALL, 590)


def test_a_large_loan_stays_within_the_limit_together_with_the_old_ones() -> None:
    limit = 45_000_000  # 150 % of the lower end of the band
    within, beyond = limit - 3_600_000, limit - 3_600_000 + 1
    assert decide(within, GOOD, RULES).status == "approved"
    decision = decide(beyond, GOOD, RULES)
    assert decision.status == "rejected"
    assert "45,000,000" in decision.checks[-1].explanation["ko"]


def test_savings_make_it_cheaper_and_decide_nothing() -> None:
    for savings, rate in ((7_500_000, 540), (7_499_999, 590), (None, 590)):
        decision = decide(SMALL, Findings(**(fields(GOOD) | {"savings": savings})), RULES)
        assert (decision.status, decision.rate) == ("approved", rate)
        assert f"{rate // 100}.{rate % 100}%" in decision.explanation["ko"]


@given(amount=st.integers(RULES.least_amount, RULES.by_totals.up_to), found=findings)
def test_every_decision_fits_the_brokers_form_and_pays_only_what_was_approved(
    amount: int, found: Findings
) -> None:
    decision = decide(amount, found, RULES)
    DecisionBody.model_validate(decision.to_json("L-1", amount))
    assert decision.payable == (amount if decision.status == "approved" else 0)
    assert (decision.rate is None) == (decision.status != "approved")
    assert all("{" not in text for check in decision.checks for text in check.explanation.values())


@given(amount=st.integers(RULES.least_amount, RULES.by_totals.up_to), more=st.integers(0, 10**8))
def test_who_earns_more_never_gets_less(amount: int, more: int) -> None:
    richer = Findings(**(fields(GOOD) | {"income": 30_000_000 + more}))
    ranks = ("rejected", "approved")
    assert ranks.index(decide(amount, richer, RULES).status) >= ranks.index(
        decide(amount, GOOD, RULES).status
    )


def test_answers_are_read_as_they_were_asked_or_chosen() -> None:
    by_answers = {
        INCOME: answer(said=True, asked=30_000_000),
        EMPLOYMENT: answer(said=True),
        LOANS: answer(said=True),
        ACCOUNTS: None,
    }
    assert findings_of(by_answers) == Findings(is_employed=True, is_overdue=False, income=30_000_000)
    by_totals = {
        INCOME: answer({"band": "30m_to_40m", "year": 2025}),
        EMPLOYMENT: answer(said=False),
        LOANS: answer({"total": 3_600_000, "loans": 1, "overdue_loans": 1}),
        ACCOUNTS: answer({"total": 20_000_000, "accounts": 2}),
    }
    assert findings_of(by_totals) == Findings(
        is_employed=False, is_overdue=True, income=30_000_000, loan_total=3_600_000, savings=20_000_000
    )
    assert findings_of({INCOME: answer(said=False, asked=30_000_000), LOANS: answer(said=False)}) == Findings(
        is_overdue=True, income=0
    )
    assert findings_of(dict.fromkeys((INCOME, EMPLOYMENT, LOANS, ACCOUNTS), answer(None))) == Findings()
    assert findings_of({}) == Findings()


@pytest.mark.parametrize("amount", [1, 999_999, 100_000_001])
def test_amounts_that_the_bank_does_not_lend(amount: int) -> None:
    assert not RULES.takes(amount)


@given(
    amount=st.integers(RULES.least_amount, RULES.by_totals.up_to),
    now=st.datetimes(datetime(2026, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds
)
def test_what_it_asks_for_lies_within_its_purpose_whenever_it_asks(amount: int, now: datetime) -> None:
    asked = asked_terms(issuer="http://b", purpose=PURPOSE, holders=HOLDERS, amount=amount, now=now)
    terms = parse([asked])
    check_caps(terms, DECLARED, CATALOGUE, now)
    years = {f"{year}-01-01" for year in range(terms.data_period.from_.year + 1, now.year)}
    assert years, "at least one whole year lies in the window"


def test_a_small_loan_is_asked_for_with_yes_and_no_and_every_required_item_is_an_answer() -> None:
    now = datetime(2026, 11, 26, tzinfo=UTC)
    for amount, modes in (
        (SMALL, ["predicate", "predicate", "predicate", "derived"]),
        (LARGE, ["derived", "predicate", "derived", "derived"]),
    ):
        asked = asked_terms(issuer="http://b", purpose=PURPOSE, holders=HOLDERS, amount=amount, now=now)
        assert [item["mode"] for item in asked["items"]] == modes
        assert [item["required"] for item in asked["items"]] == [True, True, True, False]


def fields(found: Findings) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Findings.__dataclass_fields__}
