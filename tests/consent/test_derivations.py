"""Derivations: whatever a function does, a small answer or none comes out."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from broker.installation import load_derivations, load_purposes
from consent.caps import check_answers
from consent.derivations import Derivations
from vault.record_types.catalogue import Catalogue

TODAY = date(2026, 12, 1)


def said(derive: Callable[..., Any], records: list[dict[str, Any]] | None = None) -> object:
    return Derivations([("one@1", derive)]).get("one").answer([{}] if records is None else records, TODAY)


@pytest.mark.parametrize("rule", ["one", "one@0", "one@x", "One@1", "@1", "one@1@1", "one @1"])
def test_a_rule_of_another_form_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match="name@version"):
        Derivations([(rule, lambda _, __: None)])


def test_two_versions_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="one@2"):
        Derivations([("one@1", lambda _, __: None), ("one@2", lambda _, __: None)])


def test_a_derivation_that_nobody_brought_is_not_there() -> None:
    known = Derivations([("one@1", lambda _, __: None)])
    assert "one" in known
    assert "two" not in known
    with pytest.raises(KeyError):
        known.get("two")


def fail(records: Any, as_of: date) -> Any:  # noqa: ANN401 - whatever a service does
    raise KeyError(records, as_of)


@pytest.mark.parametrize(
    "derived",
    [
        {"a": 1.0},
        {"a": True},
        {"a": None},
        {"a": 2**53},
        {"a": "x" * 201},
        {"a": "two\nlines"},
        {"a": [1]},
        {1: 1},
        {str(n): n for n in range(21)},
        [1],
        7,
    ],
)
def test_what_no_answer_may_be_is_no_answer(derived: object) -> None:
    assert said(lambda _, __: derived) is None


def test_a_function_that_fails_tells_nothing() -> None:
    assert said(fail) is None


def test_a_function_may_know_nothing_and_is_not_asked_without_records() -> None:
    assert said(lambda _, __: None) is None
    assert said(lambda _, __: {"a": 1}, []) is None


def test_integers_and_strings_come_out_as_they_are() -> None:
    assert said(lambda records, as_of: {"n": len(records), "day": as_of.isoformat(), "말": "구간"}) == {
        "n": 1,
        "day": "2026-12-01",
        "말": "구간",
    }


def test_what_the_services_bring_fits_together() -> None:
    check_answers(load_purposes(), Catalogue.load(), load_derivations())
