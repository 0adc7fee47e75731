"""The union of what stands and what is asked (consent/merging.py, docs/decisions/0023)."""

from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any, Final

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from consent.errors import InvalidTermsError
from consent.merging import merge
from consent.terms import Filter, Item, Terms, parse
from consent.vocabulary import AccessKind, Mode
from tests.consent.details import BILL, HOSPITAL, POLICY, REGISTER, terms_with

NOW: Final = datetime(2026, 12, 10, tzinfo=UTC)
PRESCRIPTION: Final = "health.prescription"
MIN_AGE: Final = {"record_type": BILL, "mode": "predicate", "required": True}
PAID: Final = {**MIN_AGE, "predicate": {"name": "paid_at_least", "value": 100_000}}
PAID_MORE: Final = {**MIN_AGE, "predicate": {"name": "paid_at_least", "value": 500_000}}
BAND: Final = {"record_type": BILL, "mode": "derived", "derivation": "test.band", "required": True}


def bill(*fields: str, required: bool = True, **members: object) -> dict[str, Any]:
    return {"record_type": BILL, "mode": "fields", "fields": list(fields), "required": required, **members}


def policy(*, required: bool = False) -> dict[str, Any]:
    return {"record_type": POLICY, "mode": "document", "required": required}


def terms(*items: dict[str, Any], **changes: object) -> Terms:
    named = {path.replace("__", "."): value for path, value in changes.items()}
    return terms_with({"items": list(items), **named})


def faults(standing: Terms, asked: Terms, now: datetime = NOW) -> list[str]:
    with pytest.raises(InvalidTermsError) as refused:
        merge(standing, asked, now)
    return [path for path, _ in refused.value.faults]


# What is refused


def test_a_grant_keeps_its_purpose() -> None:
    assert faults(terms_with(), terms_with({"purpose": "another.purpose"})) == ["purpose"]


def test_once_and_periodic_are_not_merged() -> None:
    often = terms_with({"access.kind": "periodic", "access.cycle": "P1W"})
    assert faults(terms_with(), often) == ["access.kind"]


@pytest.mark.parametrize(
    ("stands", "asked"),
    [(PAID, PAID_MORE), (PAID, BAND), (BAND, {**BAND, "derivation": "test.other"}), (PAID, bill("totals"))],
)
def test_an_item_answers_one_question(stands: dict[str, Any], asked: dict[str, Any]) -> None:
    assert faults(terms(stands), terms(asked)) == ["items.0.mode"]
    assert faults(terms(asked), terms(stands)) == ["items.0.mode"]


def test_the_document_does_not_stand_for_an_answer() -> None:
    document = {"record_type": BILL, "mode": "document", "required": True}
    assert faults(terms(PAID), terms(document)) == ["items.0.mode"]


def test_periods_are_joined_only_if_one_holds_the_other() -> None:
    """A record that reaches over their seam would match the union and neither of them."""
    early = {"period": {"from": "2026-01-01", "to": "2026-06-30"}}
    late = {"period": {"from": "2026-07-01", "to": "2026-11-30"}}
    asked = terms(policy(), bill("totals", filter=late))
    assert faults(terms(bill("totals", filter=early)), asked) == ["items.1.filter.period"]
    old, new = terms(bill("totals")), terms(bill("totals"), data_period__to="2026-12-31")
    assert merge(old, new, NOW).data_period == new.data_period
    later = terms(bill("totals"), data_period={"from": "2026-02-01", "to": "2026-12-31"})
    assert faults(old, later) == ["data_period"]


def test_an_item_differs_in_one_member_or_holds_the_other() -> None:
    here, there = {"institution": ["11100079"]}, {"institution": ["11100087"]}
    asked = terms(bill("period", filter=there))
    assert faults(terms(bill("totals", filter=here)), asked) == [
        "items.0.mode",
        "items.0.filter.institution",
    ]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"holders": [REGISTER]}, "holders"),
        ({"holders": [HOSPITAL]}, "holders"),
        ({"data_period.from": "2025-12-01"}, "data_period"),
        ({"access.valid_until": "2027-01-15T00:00:00Z"}, "access.valid_until"),
        ({"access.valid_until": "2026-12-20T00:00:00Z"}, "access.valid_until"),
        ({"access.max_pulls": 2}, "access.max_pulls"),
        ({"retention.period": "P30D"}, "retention"),
    ],
)
def test_nothing_new_comes_with_another_reach_than_what_stands(changes: dict[str, Any], path: str) -> None:
    """The items that stand would get the reach of the new one, or the new one theirs."""
    asked = terms_with({"items": [policy()], **changes})
    assert faults(terms(bill("totals")), asked) == ["items", path]


def test_two_windows_with_a_gap_are_not_one() -> None:
    later = terms_with(
        {"access.valid_from": "2027-01-05T00:00:00Z", "access.valid_until": "2027-01-20T00:00:00Z"}
    )
    assert faults(terms_with(), later) == ["access.valid_until"]


def test_more_of_what_is_required_cannot_be_optional() -> None:
    assert faults(terms(bill("totals")), terms(bill("period", required=False))) == ["items.0.required"]


def test_a_union_that_is_no_terms_is_refused() -> None:
    many = [f"holder-{number}" for number in range(50)]
    assert faults(terms_with({"holders": many}), terms_with({"holders": ["another"]})) == ["holders"]


# What comes of it


def test_a_new_item_comes_to_what_stands() -> None:
    merged = merge(terms(bill("totals")), terms(policy()), NOW)
    assert [(item.record_type, item.required) for item in merged.items] == [(BILL, True), (POLICY, False)]


def test_fields_and_institutions_are_added() -> None:
    here, there = {"institution": ["11100079"]}, {"institution": ["11100087", "11100079"]}
    fields = merge(terms(bill("totals")), terms(bill("period", "totals")), NOW)
    assert fields.items[0].fields == ("period", "totals")  # what is asked holds what stands
    fields = merge(terms(bill("totals")), terms(bill("period")), NOW)
    assert fields.items[0].fields == ("totals", "period")
    elsewhere = {"institution": ["11100087"]}
    places = merge(terms(bill("totals", filter=here)), terms(bill("totals", filter=elsewhere)), NOW)
    assert places.items[0].filter == Filter(institution=("11100079", "11100087"))
    more = merge(terms(bill("totals", filter=here)), terms(bill("totals", filter=there)), NOW)
    assert more.items[0].filter == Filter(institution=("11100087", "11100079"))
    everywhere = merge(terms(bill("totals", filter=here)), terms(bill("totals")), NOW)
    assert everywhere.items[0].filter is None


def test_the_document_holds_its_fields() -> None:
    document = {"record_type": BILL, "mode": "document", "required": True}
    for stands, asked in ((bill("totals"), document), (document, bill("totals"))):
        merged = merge(terms(stands), terms(asked), NOW)
        assert (merged.items[0].mode, merged.items[0].fields) == (Mode.DOCUMENT, None)


def test_the_same_answer_stays_one() -> None:
    for answer in (PAID, BAND):
        assert merge(terms(answer), terms(answer), NOW) == terms(answer)


def test_what_is_required_by_either_is_required() -> None:
    asked = merge(terms(policy()), terms(policy(required=True)), NOW)
    stands = merge(terms(policy(required=True)), terms(policy()), NOW)
    assert asked.items[0].required
    assert stands.items[0].required


def test_holders_that_are_not_named_are_those_that_stand() -> None:
    merged = merge(terms(bill("totals")), terms(policy(), holders=None), NOW)
    assert merged.holders == (HOSPITAL, REGISTER)
    assert merge(terms(bill("totals"), holders=None), terms(bill("totals")), NOW).holders is None


def test_windows_that_overlap_are_one_and_the_past_does_not_count() -> None:
    window = {"access.valid_from": "2026-12-20T00:00:00Z", "access.valid_until": "2027-01-10T00:00:00Z"}
    merged = merge(terms_with(), terms_with(window), NOW)
    assert merged.access.valid_from == datetime(2026, 12, 1, tzinfo=UTC)
    assert merged.access.valid_until == datetime(2027, 1, 10, tzinfo=UTC)
    begun = {"items": [bill("totals"), policy()], "access.valid_from": "2026-12-09T00:00:00Z"}
    assert len(merge(terms(bill("totals")), terms_with(begun), NOW).items) == 2


def test_the_wider_of_each_number_is_taken() -> None:
    often: dict[str, Any] = {"access.kind": "periodic", "access.cycle": "P1M", "access.max_pulls": 4}
    asked = {**often, "access.cycle": "P1W", "access.max_pulls": 9, "retention.period": "P120D"}
    merged = merge(terms_with(often), terms_with(asked), NOW)
    assert (merged.access.cycle, merged.access.max_pulls, merged.retention.days) == ("P1W", 9, 120)
    assert merge(merged, terms_with(often), NOW) == merged


def test_where_it_may_be_used_is_anywhere_or_what_either_names() -> None:
    both = [f"https://broker.example/v1/{name}" for name in ("records", "deliveries")]
    one, other = (terms_with({"locations": [name]}) for name in both)
    assert merge(one, other, NOW).locations == tuple(both)
    assert merge(one, terms_with(), NOW).locations is None


# Whatever the terms are

_DAYS: Final = ("2026-01-01", "2026-06-01", "2026-11-30")
_FIELDS: Final = ("period", "totals")
_PLACES: Final = ("11100079", "11100087")
_INSTANTS: Final = tuple(f"2026-12-{day:02d}T00:00:00Z" for day in (5, 12, 20, 28))


def ranges() -> st.SearchStrategy[dict[str, str]]:
    days = st.lists(st.sampled_from(_DAYS), min_size=2, max_size=2).map(sorted)
    return days.map(lambda pair: {"from": pair[0], "to": pair[1]})


def some(values: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, unique=True)


def contents() -> st.SearchStrategy[dict[str, Any]]:
    fields = some(_FIELDS).map(lambda names: {"mode": "fields", "fields": names})
    return fields | st.just({"mode": "document"})


def items(record_type: str) -> st.SearchStrategy[dict[str, Any]]:
    optional = {"institution": some(_PLACES), "period": ranges()}
    limits = st.none() | st.fixed_dictionaries({}, optional=optional)
    return st.builds(
        lambda content, limit, required: {
            "record_type": record_type,
            "required": required,
            **content,
            **({} if limit is None else {"filter": limit}),
        },
        contents(),
        limits,
        st.booleans(),
    )


@st.composite
def any_terms(draw: st.DrawFn) -> Terms:
    types = draw(some((BILL, POLICY)))
    window = draw(st.lists(st.sampled_from(_INSTANTS), min_size=2, max_size=2, unique=True).map(sorted))
    return terms_with(
        {
            "items": [draw(items(record_type)) for record_type in types],
            "holders": draw(some((HOSPITAL, REGISTER))),
            "data_period": draw(ranges()),
            "access.kind": "periodic",
            "access.cycle": draw(st.sampled_from(["P1W", "P1M"])),
            "access.max_pulls": draw(st.integers(1, 2)),
            "access.valid_from": window[0],
            "access.valid_until": window[1],
            "retention.period": draw(st.sampled_from(["P30D", "P90D"])),
        }
    )


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Terms, Terms]:
    """Two terms that differ in a few members only: others are refused nearly always."""
    one, other = draw(any_terms()), draw(any_terms())
    members = ["items", "holders", "access", "data_period", "retention"]
    kept = draw(st.lists(st.sampled_from(members), min_size=3, unique=True))
    return one, other.model_copy(update={name: getattr(one, name) for name in kept})


def matches(item: Item, field: str, place: str, days: tuple[date, date]) -> bool:
    limit = item.filter or Filter()
    return (
        (item.mode is Mode.DOCUMENT or field in (item.fields or ()))
        and (limit.institution is None or place in limit.institution)
        and (limit.period is None or limit.period.contains(*days))
    )


def allowed(what: Terms) -> set[tuple[Any, ...]]:
    """Everything that terms allow from now on, point by point: a model that knows nothing of unions."""
    dates = [date.fromisoformat(day) for day in _DAYS]
    spans = [(first, last) for first, last in product(dates, dates) if first <= last]
    instants = [NOW + timedelta(days=day) for day in range(20)]
    return {
        (item.record_type, field, place, days, holder, instant, cycle, pulls, kept)
        for item in what.items
        for field, place, days in product(("x", *_FIELDS), ("other", *_PLACES), spans)
        if matches(item, field, place, days) and what.data_period.contains(*days)
        for holder in what.holders or ()
        for instant in (instants[0], *instants[5::5])
        if what.access.valid_from <= instant < what.access.valid_until
        for cycle in ("P1M", "P1W")
        if what.access.cycle in {cycle, "P1W"}
        for pulls in range(1, what.access.max_pulls + 1)
        for kept in (30, 90)
        if kept <= what.retention.days
    }


def merged_or_none(standing: Terms, asked: Terms) -> Terms | None:
    try:
        return merge(standing, asked, NOW)
    except InvalidTermsError:
        return None


@given(pairs())
def test_a_merge_allows_what_either_allows_and_nothing_else(pair: tuple[Terms, Terms]) -> None:
    standing, asked = pair
    merged = merged_or_none(standing, asked)
    assume(merged is not None)
    assert merged is not None
    assert allowed(merged) == allowed(standing) | allowed(asked)
    assert merged.purpose == standing.purpose
    assert merged.access.kind is AccessKind.PERIODIC
    for record_type in (BILL, POLICY):
        before = [one.required for one in (standing.item(record_type), asked.item(record_type)) if one]
        after = merged.item(record_type)
        assert (after is not None and after.required) == any(before)


@given(pairs())
def test_merging_again_changes_nothing(pair: tuple[Terms, Terms]) -> None:
    standing, asked = pair
    merged = merged_or_none(standing, asked)
    assume(merged is not None)
    assert merged is not None
    assert merge(merged, asked, NOW) == merged
    assert parse([merged.to_detail()]) == merged


@given(any_terms())
def test_what_stands_with_itself_is_what_stands(standing: Terms) -> None:
    assert merge(standing, standing, NOW) == standing


@given(any_terms(), st.data())
def test_what_one_of_the_two_holds_is_never_refused(wide: Terms, data: st.DataObject) -> None:
    types = data.draw(some(tuple(item.record_type for item in wide.items)))
    narrow = wide.model_copy(
        update={
            "items": tuple(item for item in wide.items if item.record_type in types),
            "holders": tuple(data.draw(some(wide.holders or ()))),
            "access": wide.access.model_copy(update={"max_pulls": 1, "cycle": "P1M"}),
            "retention": wide.retention.model_copy(update={"period": "P30D"}),
        }
    )
    assert allowed(merge(narrow, wide, NOW)) == allowed(wide)
    assert merge(wide, narrow, NOW) == wide
