"""Predicates: the same answer as a plain reading of the records, never an error, nothing but the answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from consent.predicates import Constant, Predicate, Question, evaluate, predicate_of
from vault.record_types.catalogue import Catalogue

TODAY: Final = date(2026, 12, 1)
CATALOGUE: Final = Catalogue.load()
TEXT: Final = {"ko": "{value}", "en": "{value}"}
SMALL: Final = st.integers(-3, 3)
DAYS: Final = st.dates(date(2026, 11, 28), date(2026, 12, 4))

# Whatever a record may hold where a rule looks.
ODD: Final = st.recursive(
    st.none() | st.booleans() | SMALL | st.sampled_from(["", "a", "2026-11-30", "2026-02-30", "2026-11"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)
    ),
    max_leaves=4,
)
ODD_RECORDS: Final = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "list"]), ODD, max_size=3), max_size=3
)


def rule(**members: object) -> Predicate:
    return Predicate.model_validate({"version": 1, "path": "a", "text": TEXT} | members)


def without_path(**members: object) -> Predicate:
    return rule(**{"path": None} | members)


RULES: Final = (
    *(rule(operation="at_least", combine=combine) for combine in ("any", "all", "sum", "max", "min")),
    rule(operation="at_least", combine="latest", by="b"),
    rule(operation="at_most", each="list", where={"b": [None, 1, "a", True]}),
    rule(operation="equals", value="day"),
    rule(operation="equals", value="string", combine="all"),
    rule(operation="at_least", value="as_of", combine="min"),
    without_path(operation="at_least", combine="count", each="list"),
    rule(operation="one_of", combine="latest", by="b"),
    without_path(operation="matches", where={"a": [True, 0, None]}, combine="all"),
    without_path(operation="matches", where={"a.b": ["a"]}, each="list"),
    rule(operation="age_at_least"),
    rule(operation="age_at_most", each="list", path="a.b"),
    without_path(operation="complete", paths=["a", "b.a"], combine="all"),
    rule(operation="covers", each="list"),
    rule(operation="covers_last_months"),
)
CONSTANTS: Final[Mapping[str, Constant | None]] = {
    "integer": 1,
    "day": "2026-11-30",
    "string": "a",
    "strings": ("a", "1"),
    "nothing": None,
}


# What is no rule


@pytest.mark.parametrize(
    "members",
    [
        {"operation": "between"},
        {"operation": "at_least", "surprise": 1},
        {"operation": "at_least", "version": 0},
        {"operation": "at_least", "path": None},
        {"operation": "at_least", "combine": "count"},
        {"operation": "matches", "path": None},
        {"operation": "matches", "where": {"a": [1]}},
        {"operation": "complete", "path": None},
        {"operation": "at_least", "paths": ["a"]},
        {"operation": "at_least", "combine": "latest"},
        {"operation": "at_least", "by": "b"},
        {"operation": "one_of", "combine": "sum"},
        {"operation": "age_at_least", "combine": "max"},
        {"operation": "covers", "combine": "all"},
        {"operation": "one_of", "value": "day"},
        {"operation": "at_least", "value": "string"},
        {"operation": "equals", "value": "string", "combine": "max"},
        {"operation": "at_least", "value": "day", "combine": "sum"},
        {"operation": "at_least", "text": {"ko": "얼마 이상인지", "en": "{value}"}},
        {"operation": "at_least", "text": {"ko": "{value}"}},
        {"operation": "one_of", "value_labels": {"a": {"ko": "가"}}},
    ],
)
def test_a_rule_that_is_not_one_operation_is_refused(members: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        rule(**members)


@pytest.mark.parametrize(
    "value", [True, 1.5, 2**53, -(2**53), "", "x" * 101, [], [1], ["a", ""], {}, ["a"] * 101]
)
def test_a_constant_of_no_kind_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="an integer, a string, or a list of strings"):
        Question.model_validate({"name": "asked", "value": value})


@pytest.mark.parametrize("value", [1, -1, "a", ["a", "b"], None])
def test_a_constant_comes_back_as_it_was_asked(value: object) -> None:
    asked = Question.model_validate({"name": "asked", "value": value})
    assert asked.model_dump(mode="json")["value"] == value
    assert Question.model_validate_json(asked.model_dump_json(exclude_none=True)) == asked


@pytest.mark.parametrize("asked", RULES, ids=lambda one: f"{one.operation}-{one.combine}-{one.value}")
def test_only_a_constant_of_its_kind_is_answered(asked: Predicate) -> None:
    for kind, value in CONSTANTS.items():
        assert asked.accepts(value) == (asked.takes == kind or (asked.takes == "string" and kind == "day"))
        if not asked.accepts(value):
            assert evaluate(asked, value, [{"a": 1, "list": []}], TODAY) is None
    assert not asked.accepts(True)  # noqa: FBT003 - a constant


def test_a_record_type_has_only_what_it_declares() -> None:
    assert predicate_of(CATALOGUE.get("health.prescription"), "no_such") is None
    broken = replace(CATALOGUE.get("resident.household"), predicates={"broken": {"version": 1}})
    with pytest.raises(ValidationError):
        predicate_of(broken, "broken")


@pytest.mark.parametrize("code", Catalogue.load().codes())
def test_every_declared_predicate_is_a_rule_that_leads_somewhere(code: str) -> None:
    record_type = CATALOGUE.get(code)
    for name in record_type.predicates:
        declared = predicate_of(record_type, name)
        assert declared is not None
        value = CONSTANTS[declared.takes]
        assert evaluate(declared, value, [record_type.example], TODAY) is not None, name


# Nothing but an answer


@given(records=ODD_RECORDS, asked=st.sampled_from(RULES))
def test_no_record_makes_it_raise(records: list[dict[str, Any]], asked: Predicate) -> None:
    assert evaluate(asked, CONSTANTS[asked.takes], records, TODAY) in (True, False, None)


@pytest.mark.parametrize("asked", RULES, ids=lambda one: f"{one.operation}-{one.combine}-{one.value}")
def test_without_a_record_nothing_is_known(asked: Predicate) -> None:
    assert evaluate(asked, CONSTANTS[asked.takes], [], TODAY) is None


# The same as a plain reading


def entries(values: Sequence[object], others: Sequence[object] | None = None) -> list[dict[str, Any]]:
    return [{"a": value, "b": other} for value, other in zip(values, others or values, strict=False)]


COMPARED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "at_least": lambda said, wanted: bool(said >= wanted),
    "at_most": lambda said, wanted: bool(said <= wanted),
    "equals": lambda said, wanted: bool(said == wanted),
}
REDUCED: Final[Mapping[str, Callable[[list[int]], int]]] = {"sum": sum, "max": max, "min": min, "count": len}


@given(
    values=st.lists(SMALL, min_size=1, max_size=4),
    wanted=SMALL,
    operation=st.sampled_from(sorted(COMPARED)),
    combine=st.sampled_from(["any", "all", *REDUCED]),
)
def test_a_comparison_says_what_the_numbers_say(
    values: list[int], wanted: int, operation: str, combine: str
) -> None:
    asked = rule(operation=operation, combine=combine, path=None if combine == "count" else "a")
    compare = COMPARED[operation]
    if combine in REDUCED:
        expected = compare(REDUCED[combine](values), wanted)
    else:
        expected = (any if combine == "any" else all)(compare(value, wanted) for value in values)
    assert evaluate(asked, wanted, entries(values), TODAY) is expected


@given(
    values=st.lists(SMALL, min_size=1, max_size=4, unique=True), wanted=SMALL, keys=st.permutations(range(4))
)
def test_the_latest_entry_speaks_alone(values: list[int], wanted: int, keys: list[int]) -> None:
    records = entries(values, keys)
    last = max(records, key=lambda record: int(record["b"]))
    asked = rule(operation="at_least", combine="latest", by="b")
    assert evaluate(asked, wanted, records, TODAY) is (last["a"] >= wanted)


@given(
    born=st.dates(date(1900, 1, 1), TODAY),
    wanted=st.integers(0, 130),
    as_of=st.dates(TODAY, date(2030, 3, 1)),
)
def test_an_age_is_in_full_years(born: date, wanted: int, as_of: date) -> None:
    birthdays = 0
    while (born.year + birthdays + 1, born.month, born.day) <= (as_of.year, as_of.month, as_of.day):
        birthdays += 1
    records = [{"a": born.isoformat()}]
    assert evaluate(rule(operation="age_at_least"), wanted, records, as_of) is (birthdays >= wanted)
    assert evaluate(rule(operation="age_at_most"), wanted, records, as_of) is (birthdays <= wanted)


@given(days=st.lists(DAYS, min_size=1, max_size=3), as_of=DAYS)
def test_what_is_still_valid_is_judged_on_the_day(days: list[date], as_of: date) -> None:
    records = entries([day.isoformat() for day in days])
    asked = rule(operation="at_least", value="as_of", combine="all")
    assert evaluate(asked, None, records, as_of) is all(day >= as_of for day in days)
    dated = rule(operation="equals", value="day")
    assert evaluate(dated, as_of.isoformat(), records, TODAY) is (as_of in days)


@given(
    values=st.lists(st.sampled_from(["a", "b", 1]), min_size=1, max_size=3),
    wanted=st.sets(st.sampled_from("ab1"), min_size=1),
)
def test_membership_and_covering(values: list[str | int], wanted: set[str]) -> None:
    said = {str(value) for value in values}
    records, constant = entries(values), tuple(sorted(wanted))
    assert evaluate(rule(operation="one_of"), constant, records, TODAY) is bool(said & wanted)
    assert evaluate(rule(operation="one_of", combine="all"), constant, records, TODAY) is (said <= wanted)
    assert evaluate(rule(operation="covers"), constant, records, TODAY) is (wanted <= said)


@given(first=st.integers(0, 30), count=st.integers(1, 30))
def test_the_last_months_are_all_there(first: int, count: int) -> None:
    month = date(2026, 11, 15)
    months = []
    for _ in range(first):
        months.append({"a": month.isoformat()})
        month = month.replace(day=1) - timedelta(days=1)
    asked = rule(operation="covers_last_months")
    assert evaluate(asked, count, months or [{"a": "2026-12-01"}], TODAY) is (first >= count)


@given(values=st.lists(st.sampled_from([True, False, 1, 0, "a", None]), min_size=1, max_size=4))
def test_what_matches_is_there_and_true_is_not_one(values: list[object]) -> None:
    records = entries(values)
    wanted = {"a": [True, "a"]}
    found = [value is True or value == "a" for value in values]
    assert evaluate(without_path(operation="matches", where=wanted), None, records, TODAY) is any(found)
    asked = without_path(operation="matches", where=wanted, combine="all")
    assert evaluate(asked, None, records, TODAY) is all(found)


@pytest.mark.parametrize("empty", [None, "", [], {}])
def test_what_is_empty_is_not_complete(empty: object) -> None:
    asked = without_path(operation="complete", paths=["a", "list"])
    assert evaluate(asked, None, [{"a": empty, "list": [1]}], TODAY) is False
    assert evaluate(asked, None, [{"a": 0, "list": [1]}], TODAY) is True


# What is not known


@pytest.mark.parametrize(
    ("asked", "records", "said"),
    [
        (rule(operation="at_least"), [{"a": "x"}, {"a": 1}], True),
        (rule(operation="at_least"), [{"a": "x"}, {"a": 0}], None),
        (rule(operation="at_least", path="a.b"), [{"a": 1}], None),
        (rule(operation="at_least", combine="all"), [{"a": True}, {"a": 0}], False),
        (rule(operation="at_least", combine="all"), [{}, {"a": 1}], None),
        (rule(operation="at_least", combine="sum"), [{}, {"a": 9}], None),
        (rule(operation="at_least", combine="latest", by="b"), [{"a": 1, "b": "x"}, {"a": 0, "b": 1}], None),
        (rule(operation="at_least", combine="latest", by="b"), [{"a": 1, "b": 1}, {"a": 0, "b": 1}], None),
        (rule(operation="at_least", combine="latest", by="b"), [{"a": 1, "b": 1}, {"a": 2, "b": 1}], True),
        (rule(operation="at_least", each="list"), [{"list": []}], False),
        (rule(operation="at_least", each="list", combine="all"), [{"list": []}], True),
        (rule(operation="at_least", each="list", combine="max"), [{"list": []}], None),
        (rule(operation="at_least", each="list", combine="sum"), [{"list": []}], False),
        (rule(operation="at_least", each="list", combine="sum"), [{}], None),
        (rule(operation="at_least", each="list"), [{}, {"list": [{"a": 1}]}], True),
        (rule(operation="age_at_least"), [{"a": "2026-12-02"}], None),
        (rule(operation="age_at_least"), [{"a": "2026-02-30"}], None),
    ],
)
def test_what_is_missing_or_odd_is_not_known(
    asked: Predicate,
    records: list[dict[str, Any]],
    said: bool | None,  # noqa: FBT001 - the answer itself
) -> None:
    assert evaluate(asked, 1, records, TODAY) is said


@pytest.mark.parametrize(
    ("records", "said"), [([{"a": "a"}, {"a": []}], None), ([{"a": "a"}, {"a": "1"}, {}], True)]
)
def test_covering_is_not_known_while_an_entry_is_not(
    records: list[dict[str, Any]],
    said: bool | None,  # noqa: FBT001 - the answer itself
) -> None:
    assert evaluate(rule(operation="covers"), ("1", "a"), records, TODAY) is said
    assert evaluate(rule(operation="covers", each="list"), ("a",), [{}], TODAY) is None


@pytest.mark.parametrize(("found", "said"), [("a", True), ("b", False), (1, None), (None, None)])
def test_strings_are_equal_or_not(found: object, said: bool | None) -> None:  # noqa: FBT001 - the answer
    assert evaluate(rule(operation="equals", value="string"), "a", [{"a": found}], TODAY) is said


def test_entries_are_narrowed_before_they_are_asked() -> None:
    household = Catalogue.load().get("resident.household")
    members = [
        {"relation": "head", "birth_date": "2008-12-01"},
        {"relation": "parent", "birth_date": "1970-01-01"},
    ]
    asked, counted = predicate_of(household, "age_at_least"), predicate_of(household, "members_at_least")
    assert asked is not None
    assert counted is not None
    assert evaluate(asked, 18, [{"members": members}], TODAY) is True
    assert evaluate(asked, 19, [{"members": members}], TODAY) is False
    assert evaluate(counted, 2, [{"members": members}], TODAY) is True
