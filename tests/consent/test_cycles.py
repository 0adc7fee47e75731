"""Periodic access in terms: its cycle, and the caps that a purpose has for it."""

from datetime import timedelta

import pytest

from tests.consent.details import terms_with
from tests.consent.test_terms import DECLARED, cap_faults


def test_periodic_access_has_caps_of_its_own() -> None:
    wish = {"access.kind": "periodic", "access.cycle": "P1W", "access.valid_until": "2027-11-30T00:00:00Z"}
    terms = terms_with({**wish, "access.max_pulls": 100, "data_period.from": "2026-06-01"})
    assert cap_faults(terms, DECLARED) == []
    assert DECLARED.periodic_caps is not None
    slower = DECLARED.periodic_caps.model_copy(update={"shortest_cycle_days": 14})
    assert cap_faults(terms, DECLARED.model_copy(update={"periodic_caps": slower})) == [
        ("access.cycle", "at least 14 days")
    ]
    unlimited = DECLARED.periodic_caps.model_copy(update={"shortest_cycle_days": None})
    assert cap_faults(terms, DECLARED.model_copy(update={"periodic_caps": unlimited})) == []
    assert cap_faults(terms, DECLARED.model_copy(update={"periodic_caps": None})) == [
        ("access.kind", "not a kind of access of this purpose")
    ]


@pytest.mark.parametrize(("cycle", "days"), [("P1W", 7), ("P2W", 14), ("P3W", 21), ("P4W", 28), ("P1M", 30)])
def test_cycles_have_their_days(cycle: str, days: int) -> None:
    terms = terms_with({"access.kind": "periodic", "access.cycle": cycle})
    assert terms.access.cycle_length == timedelta(days=days)
    assert terms_with().access.cycle_length is None
