"""Bands and totals: odd records first, then what must hold of every answer."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.services.lending.derivations import (
    BANDS,
    DERIVATIONS,
    balance_total,
    income_band,
    loan_total,
)
from consent.derivations import Derivation
from vault.record_types.catalogue import Catalogue

TODAY = date(2026, 11, 26)
CATALOGUE = Catalogue.load()

won = st.integers(0, 10**11)


def certificate(amount: object, year: object = 2025) -> dict[str, Any]:
    return {"amount": amount, "year": year, "income_type": "employment"}


def loan(balance: object, overdue: object = 0) -> dict[str, Any]:
    return {"balance": balance, "overdue_amount": overdue}


def account(balance: object, currency: str = "KRW", *, co_held: object = False) -> dict[str, Any]:
    return {"balance": balance, "currency": currency, "co_held": co_held}


@pytest.mark.parametrize(
    ("rule", "records"),
    [
        ("income.band@1", [certificate(None)]),
        ("income.band@1", [certificate(amount=True)]),
        ("income.band@1", [certificate("34,120,000")]),
        ("income.band@1", [certificate(1), {}]),
        ("income.band@1", [certificate(1, year=2026)]),
        ("income.band@1", [certificate(1, year="2025")]),
        ("credit.loan_total@1", [{}]),
        ("credit.loan_total@1", [{"loans": [loan("much")]}]),
        ("credit.loan_total@1", [{"loans": [loan(1, overdue=None)]}]),
        ("finance.balance_total@1", [account(1.5)]),
        ("finance.balance_total@1", [{"balance": 1}]),
    ],
)
def test_odd_records_leave_the_answer_unknown(rule: str, records: list[dict[str, Any]]) -> None:
    assert Derivation(rule, DERIVATIONS[rule]).answer(records, TODAY) is None


@pytest.mark.parametrize(
    ("amount", "band"),
    [
        (0, "under_20m"),
        (19_999_999, "under_20m"),
        (20_000_000, "20m_to_30m"),
        (34_120_000, "30m_to_40m"),
        (39_999_999, "30m_to_40m"),
        (99_999_999, "80m_to_100m"),
        (100_000_000, "100m_and_more"),
    ],
)
def test_a_band_begins_at_its_threshold(amount: int, band: str) -> None:
    assert income_band([certificate(amount)], TODAY) == {"band": band, "year": 2025}


def test_only_the_latest_year_counts_and_all_of_it() -> None:
    records = [certificate(90_000_000, 2024), certificate(19_000_000), certificate(12_000_000)]
    assert income_band(records, TODAY) == {"band": "30m_to_40m", "year": 2025}


@given(amounts=st.lists(won, min_size=1, max_size=6), more=won)
def test_more_income_is_never_a_lower_band_and_the_order_says_nothing(amounts: list[int], more: int) -> None:
    names = [band for _, band in BANDS]
    records = [certificate(amount) for amount in amounts]
    told = income_band(records, TODAY)
    assert told is not None
    assert told == income_band(records[::-1], TODAY)
    grown = income_band([*records, certificate(more)], TODAY)
    assert grown is not None
    assert names.index(str(grown["band"])) >= names.index(str(told["band"]))


def test_bands_are_in_order_and_begin_at_nothing() -> None:
    starts = [least for least, _ in BANDS]
    assert starts == sorted(set(starts))
    assert starts[0] == 0
    assert len({band for _, band in BANDS}) == len(BANDS)


@given(loans=st.lists(st.tuples(won, st.integers(0, 3)), max_size=8))
def test_loans_add_up(loans: list[tuple[int, int]]) -> None:
    told = loan_total([{"loans": [loan(*one) for one in loans]}], TODAY)
    assert told == {
        "total": sum(balance for balance, _ in loans),
        "loans": len(loans),
        "overdue_loans": sum(overdue > 0 for _, overdue in loans),
    }


@given(balances=st.lists(st.integers(-(10**9), 10**11), max_size=8), foreign=won, shared=won)
def test_only_ones_own_won_are_added(balances: list[int], foreign: int, shared: int) -> None:
    others = [account(foreign, "USD"), account(shared, co_held=True), account(shared, co_held=None)]
    told = balance_total([*others, *map(account, balances)], TODAY)
    assert told == {"total": sum(balances), "accounts": len(balances)}


@pytest.mark.parametrize(
    ("rule", "record_type"),
    [
        ("income.band@1", "income.certificate"),
        ("credit.loan_total@1", "credit.loan_balance"),
        ("finance.balance_total@1", "finance.account"),
    ],
)
def test_every_example_has_an_answer_that_may_leave(rule: str, record_type: str) -> None:
    example = CATALOGUE.get(record_type).example
    assert Derivation(rule, DERIVATIONS[rule]).answer([example], TODAY) is not None
