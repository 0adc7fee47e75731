"""Answers within a purpose: which may be asked with which constants, and what may be chosen instead."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from broker.installation import load_purposes
from consent.caps import check_answers, check_caps
from consent.derivations import Derivations
from consent.errors import InvalidTermsError, RequiredItemMissingError
from consent.purposes import Alternative, Purpose, PurposeItem, Purposes
from consent.terms import Terms, narrow, offers, parse, stored
from consent.vocabulary import Mode
from tests.consent.details import BILL, POLICY, PURPOSE, detail_with, terms_with
from vault.record_types.catalogue import Catalogue

NOW: Final = datetime(2026, 12, 1, tzinfo=UTC)
CATALOGUE: Final = Catalogue.load()
ASKED: Final = {
    "record_type": BILL,
    "mode": "predicate",
    "predicate": {"name": "paid_at_least", "value": 100_000},
    "required": True,
}
DERIVED: Final = {"record_type": BILL, "mode": "derived", "derivation": "test.band", "required": True}
IN_FORCE: Final = {"mode": "predicate", "predicate": {"name": "in_force"}}
BAND: Final = {"mode": "derived", "derivation": "test.band"}
BAND_TEXT: Final = {"ko": "낸 진료비 구간", "en": "the band of what you paid"}


def declared(**members: object) -> Purpose:
    """A purpose that is content with answers about bills and policies; `members` of the bill's item."""
    raw = load_purposes().get(PURPOSE).model_dump(mode="json")
    bill = {
        "record_type": BILL,
        "modes": ["predicate", "derived", "fields"],
        "fields": ["totals"],
        "predicates": {"paid_at_least": [100_000, 500_000]},
        "derivations": {"test.band": BAND_TEXT},
        "alternatives": [{"mode": "predicate", "predicate": ASKED["predicate"]}, BAND],
        "required": True,
    }
    policy = {
        "record_type": POLICY,
        "modes": ["predicate", "document"],
        "predicates": {"in_force": [], "generation_one_of": [["3", "4"]]},
        "alternatives": [IN_FORCE],
        "required": True,
    }
    raw["caps"]["max_pulls"] = 3
    return Purpose.model_validate(raw | {"items": [bill | members, policy]})


DECLARED: Final = declared()


def asking(*items: Mapping[str, Any], **changes: object) -> Terms:
    return terms_with({"items": list(items), **changes})


def faults(terms: Terms, purpose: Purpose = DECLARED) -> list[tuple[str, str]]:
    try:
        check_caps(terms, purpose, CATALOGUE, NOW)
    except InvalidTermsError as error:
        return error.faults
    return []


# What is no item


@pytest.mark.parametrize(
    ("item", "path", "rule"),
    [
        ({"mode": "predicate"}, "items.0", "a predicate is named in mode predicate, and only there"),
        ({"mode": "derived"}, "items.0", "a derivation is named in mode derived, and only there"),
        ({"mode": "document", **BAND, "predicate": {"name": "a"}}, "items.0", None),
        ({"mode": "document", "predicate": {"name": "a"}}, "items.0", None),
        ({**BAND, "fields": ["totals"]}, "items.0", "fields are named in mode fields, and only there"),
        ({**BAND, "derivation": ""}, "items.0.derivation", "string_too_short"),
        ({"mode": "predicate", "predicate": "a"}, "items.0.predicate", "model_type"),
        ({"mode": "predicate", "predicate": {}}, "items.0.predicate.name", "missing"),
        (
            {"mode": "predicate", "predicate": {"name": "a", "op": ">"}},
            "items.0.predicate.op",
            "extra_forbidden",
        ),
        (
            {"mode": "predicate", "predicate": {"name": "a", "value": 1.5}},
            "items.0.predicate.value",
            "an integer, a string, or a list of strings",
        ),
    ],
)
def test_a_malformed_answer_is_refused_with_place_and_rule(
    item: dict[str, Any], path: str, rule: str | None
) -> None:
    with pytest.raises(InvalidTermsError) as caught:
        parse([detail_with({"items": [{"record_type": BILL, "required": True} | item]})])
    assert path in {place for place, _ in caught.value.faults}
    assert rule is None or (path, rule) in caught.value.faults


@pytest.mark.parametrize("item", [ASKED, DERIVED], ids=["predicate", "derived"])
def test_terms_with_an_answer_come_back_as_the_same_bytes(item: dict[str, Any]) -> None:
    terms = asking(item)
    assert terms.to_detail()["items"] == [item]
    assert stored(terms.canonical()) == terms


# What is over-asking


def test_what_the_purpose_declares_may_be_asked() -> None:
    assert faults(asking(ASKED)) == []
    assert faults(asking(DERIVED)) == []
    generation = {"mode": "predicate", "predicate": {"name": "generation_one_of", "value": ["3", "4"]}}
    assert faults(asking({"record_type": POLICY, "required": True} | generation)) == []


@pytest.mark.parametrize("value", [100_001, 99_999, 0, "100000", ["100000"], None])
def test_a_constant_that_the_purpose_does_not_list_is_refused(value: object) -> None:
    item = ASKED | {"predicate": {"name": "paid_at_least"} | ({} if value is None else {"value": value})}
    rule = "not one of the values that this purpose may ask for"
    assert faults(asking(item)) == [("items.0.predicate.value", rule)]


@pytest.mark.parametrize("value", [["4", "3"], ["3"], ["3", "4", "5"], "3"])
def test_a_list_is_asked_as_it_is_listed(value: object) -> None:
    item = {"record_type": POLICY, "required": True, "mode": "predicate"}
    item |= {"predicate": {"name": "generation_one_of", "value": value}}
    assert [path for path, _ in faults(asking(item))] == ["items.0.predicate.value"]


def test_a_predicate_without_a_constant_takes_none() -> None:
    item = {"record_type": POLICY, "required": True} | IN_FORCE
    assert faults(asking(item)) == []
    item |= {"predicate": {"name": "in_force", "value": 1}}
    assert [path for path, _ in faults(asking(item))] == ["items.0.predicate.value"]


def test_a_predicate_or_derivation_that_the_purpose_does_not_list_is_refused() -> None:
    unknown = asking(ASKED | {"predicate": {"name": "members_at_least", "value": 1}})
    assert faults(unknown) == [("items.0.predicate.name", "not a predicate of this purpose")]
    other = asking(DERIVED | {"derivation": "test.other"})
    assert faults(other) == [("items.0.derivation", "not a derivation of this purpose")]
    no_answers = load_purposes().get(PURPOSE)
    assert ("items.0.mode", "not a mode of this purpose") in faults(asking(ASKED), no_answers)
    assert ("items.0.record_type", "not part of this purpose") in faults(
        asking(ASKED | {"record_type": "resident.household"})
    )


def test_a_predicate_that_the_record_type_has_lost_is_refused() -> None:
    lost = replace(CATALOGUE.get(BILL), predicates={})
    catalogue = Catalogue({BILL: lost, POLICY: CATALOGUE.get(POLICY)})
    with pytest.raises(InvalidTermsError):
        check_caps(asking(ASKED), DECLARED, catalogue, NOW)


@pytest.mark.parametrize("item", [ASKED, DERIVED], ids=["predicate", "derived"])
def test_an_answer_is_asked_only_once_under_a_once_consent(item: dict[str, Any]) -> None:
    terms = asking(item, **{"access.max_pulls": 2})
    assert faults(terms) == [("access.max_pulls", "at most 1: an answer is given once and stays")]


@given(
    value=st.integers(-(2**53) + 1, 2**53 - 1), kept=st.lists(st.sampled_from([100_000, 500_000]), min_size=1)
)
def test_a_narrower_list_of_constants_lets_no_more_through(value: int, kept: list[int]) -> None:
    terms = asking(ASKED | {"predicate": {"name": "paid_at_least", "value": value}})
    tight = declared(predicates={"paid_at_least": kept}, alternatives=[])
    if not faults(terms, tight):
        assert not faults(terms)
    assert bool(faults(terms)) == (value not in {100_000, 500_000})


# What is no purpose


@pytest.mark.parametrize(
    "members",
    [
        {"modes": ["fields", "derived"]},
        {"modes": ["fields", "predicate"]},
        {"predicates": {}},
        {"derivations": {}},
        {"predicates": {"paid_at_least": [1.5]}},
        {"alternatives": [{"mode": "predicate", "predicate": {"name": "paid_at_least", "value": 1}}]},
        {"alternatives": [{"mode": "predicate", "predicate": {"name": "other"}}]},
        {"alternatives": [{"mode": "derived", "derivation": "other"}]},
        {"alternatives": [{"mode": "derived"}]},
        {"alternatives": [{"mode": "predicate"}]},
        {"alternatives": [{"mode": "fields", "fields": ["totals"]}]},
    ],
)
def test_a_purpose_item_that_does_not_fit_together_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        declared(**members)


@pytest.mark.parametrize(
    ("members", "derivations"),
    [
        ({}, []),
        ({"predicates": {"paid_at_least": ["a"]}, "alternatives": []}, ["test.band@1"]),
        ({"predicates": {"paid_at_least": []}, "alternatives": []}, ["test.band@1"]),
        ({"predicates": {"other": [1]}, "alternatives": []}, ["test.band@1"]),
    ],
)
def test_a_purpose_that_offers_what_nobody_can_answer_is_refused(
    members: dict[str, Any], derivations: list[str]
) -> None:
    purposes = Purposes({PURPOSE: declared(**members)})
    known = Derivations([(rule, lambda _, __: None) for rule in derivations])
    with pytest.raises(ValueError, match="cannot answer"):
        check_answers(purposes, CATALOGUE, known)


def test_a_purpose_whose_answers_can_be_given_is_taken() -> None:
    known = Derivations([("test.band@1", lambda _, __: None)])
    check_answers(Purposes({PURPOSE: DECLARED}), CATALOGUE, known)


# What the person may choose instead

FIELDS: Final = {"record_type": BILL, "mode": "fields", "fields": ["totals"], "required": True}
DOCUMENT: Final = {"record_type": POLICY, "mode": "document", "required": False}


def alternative(record_type: str = BILL, place: int = 0) -> Alternative:
    item = DECLARED.item(record_type)
    assert isinstance(item, PurposeItem)
    return item.alternatives[place]


def offered(terms: Terms) -> list[tuple[Mode, ...]]:
    return [tuple(one.mode for one in offers(terms, item, DECLARED)) for item in terms.items]


def test_only_what_reveals_less_is_offered() -> None:
    assert offered(asking(FIELDS, DOCUMENT)) == [(Mode.PREDICATE, Mode.DERIVED), (Mode.PREDICATE,)]
    assert offered(asking(DERIVED)) == [(Mode.PREDICATE,)]
    assert offered(asking(ASKED)) == [()]
    assert offered(asking(FIELDS | {"record_type": "health.prescription"})) == [()]
    assert offered(asking(FIELDS, **{"access.max_pulls": 2})) == [()]


def test_a_choice_is_known_by_what_it_says() -> None:
    keys = {one.key for one in (alternative(), alternative(place=1), alternative(POLICY))}
    assert len(keys) == 3
    assert DECLARED.choose({BILL: alternative().key}) == {BILL: alternative()}


@pytest.mark.parametrize("keys", [{BILL: "0" * 16}, {POLICY: "bill"}, {"no.such": "bill"}])
def test_a_choice_that_is_not_offered_is_refused(keys: dict[str, str]) -> None:
    with pytest.raises(InvalidTermsError):
        DECLARED.choose({name: alternative().key if key == "bill" else key for name, key in keys.items()})


def test_narrowing_takes_the_answer_that_was_chosen_and_changes_nothing_else() -> None:
    asked = asking(FIELDS | {"filter": {"institution": ["11100079"]}}, DOCUMENT)
    narrowed = narrow(asked, frozenset({BILL, POLICY}), {BILL: alternative()})
    assert narrowed.to_detail()["items"] == [ASKED | {"filter": {"institution": ["11100079"]}}, DOCUMENT]
    assert parse([narrowed.to_detail()]) == narrowed
    assert narrowed.model_copy(update={"items": asked.items}) == asked


def test_what_was_chosen_for_an_item_that_is_left_off_does_not_count() -> None:
    asked = asking(FIELDS, DOCUMENT)
    assert narrow(asked, frozenset({BILL}), {POLICY: alternative(POLICY)}).to_detail()["items"] == [FIELDS]
    with pytest.raises(RequiredItemMissingError):
        narrow(asked, frozenset({POLICY}), {BILL: alternative()})


@pytest.mark.parametrize(
    ("items", "place", "max_pulls"),
    [
        ((ASKED,), 1, 1),
        ((ASKED,), 0, 1),
        ((DERIVED,), 1, 1),
        ((FIELDS,), 0, 2),
        ((DOCUMENT | {"required": True},), 0, 1),
    ],
    ids=["more", "the-same", "as-much", "repeats", "never-asked"],
)
def test_narrowing_never_reveals_more(items: tuple[dict[str, Any], ...], place: int, max_pulls: int) -> None:
    asked = asking(*items, **{"access.max_pulls": max_pulls})
    granted = frozenset(item.record_type for item in asked.items)
    with pytest.raises(InvalidTermsError):
        narrow(asked, granted, {BILL: alternative(place=place)})


@pytest.mark.parametrize(
    "filter_", [{"institution": ["11100079"]}, {"period": {"from": "2026-11-01", "to": "2026-11-30"}}, {}]
)
@pytest.mark.parametrize("item", [ASKED, DERIVED], ids=["predicate", "derived"])
def test_an_answer_is_over_everything_that_is_granted(item: dict[str, Any], filter_: dict[str, Any]) -> None:
    found = faults(asking(item | {"filter": filter_}))
    assert found == [("items.0.filter", "an answer is over everything that is granted")]
