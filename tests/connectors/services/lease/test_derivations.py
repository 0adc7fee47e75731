"""The deposits that come before a new tenant's: odd records first, then what must hold of the sum."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.services.lease.derivations import DERIVATIONS, senior_deposits_total
from consent.derivations import Derivation
from vault.record_types.catalogue import Catalogue

TODAY = date(2026, 11, 26)
RULE = "realestate.senior_deposits_total@1"


def lease(deposit: object, ended_on: object = None) -> dict[str, Any]:
    told: dict[str, Any] = {"deposit": deposit, "period": {"from": "2024-03-01", "to": "2025-02-28"}}
    return told if ended_on is None else told | {"ended_on": ended_on}


@pytest.mark.parametrize("record", [{}, lease("90,000,000"), lease(deposit=True), lease(1, ended_on="soon")])
def test_odd_records_leave_the_answer_unknown(record: dict[str, Any]) -> None:
    assert Derivation(RULE, DERIVATIONS[RULE]).answer([record], TODAY) is None


def test_a_lease_counts_until_it_has_ended_and_not_until_its_period_is_over() -> None:
    records = [
        lease(90_000_000),
        lease(50_000_000, ended_on="2026-11-27"),
        lease(30_000_000, ended_on="2026-11-26"),
    ]
    assert senior_deposits_total(records, TODAY) == {"total": 140_000_000, "leases": 2}


@given(
    standing=st.lists(st.integers(0, 10**11), max_size=8), ended=st.lists(st.integers(0, 10**11), max_size=8)
)
def test_the_sum_is_of_what_stands_alone(standing: list[int], ended: list[int]) -> None:
    records = [*map(lease, standing), *(lease(deposit, "2025-02-28") for deposit in ended)]
    told = senior_deposits_total(records, TODAY)
    assert told == senior_deposits_total(records[::-1], TODAY)
    assert told == {"total": sum(standing), "leases": len(standing)}


def test_the_example_has_ended_and_is_not_counted() -> None:
    example = Catalogue.load().get("realestate.fixed_date").example
    told = Derivation(RULE, DERIVATIONS[RULE]).answer([example], TODAY)
    assert told == {"total": 0, "leases": 0}
