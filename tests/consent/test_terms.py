"""Terms: what is refused, what is the same, what narrowing and caps do."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from broker.installation import load_purposes
from consent.caps import check_caps
from consent.errors import InvalidTermsError, RequiredItemMissingError
from consent.purposes import Purpose
from consent.terms import DateRange, Terms, narrow, parse, stored
from consent.vocabulary import Mode
from tests.consent.details import ABSENT, BILL, POLICY, PURPOSE, detail, detail_with, objects_in, terms_with
from vault.record_types.catalogue import Catalogue

NOW: Final = datetime(2026, 12, 1, tzinfo=UTC)
CATALOGUE: Final = Catalogue.load()


def _declared() -> Purpose:
    """The shipped purpose, but for its first two items alone, and without the patient of a bill."""
    shipped = load_purposes().get(PURPOSE)
    bill, policy = (shipped.item(code) for code in (BILL, POLICY))
    assert bill is not None
    assert policy is not None
    fields = tuple(name for name in bill.fields if name != "patient")
    return shipped.model_copy(update={"items": (bill.model_copy(update={"fields": fields}), policy)})


DECLARED: Final = _declared()
ITEM: Final = detail()["items"][1]
INSTANT_RULE: Final = "an instant of RFC 3339, with a zone"
DAY_RULE: Final = "a day such as 2026-11-30"
DAYS_RULE: Final = "a whole number of days, such as P90D"

# PIPA's decree article 42-5: purpose, what, from whom, how often, until when, how long kept, and to whom
# (the client's organisation; no holders named means all that are linked).
MISSING: Final = (
    "type",
    "actions",
    "purpose",
    "items",
    "items.0.record_type",
    "items.0.mode",
    "items.0.required",
    "items.0.filter.period.from",
    "items.0.filter.period.to",
    "access",
    "access.kind",
    "access.max_pulls",
    "access.valid_from",
    "access.valid_until",
    "data_period",
    "data_period.from",
    "data_period.to",
    "retention",
    "retention.store",
    "retention.period",
    "retention.on_end",
)

BROKEN: Final[tuple[tuple[Mapping[str, object], str, str], ...]] = (
    ({"type": "other"}, "type", "literal_error"),
    ({"actions": ["read", "read"]}, "actions", "too_long"),
    ({"actions": ["write"]}, "actions.0", "literal_error"),
    ({"actions": []}, "actions.0", "missing"),
    ({"purpose": ""}, "purpose", "string_too_short"),
    ({"purpose": 7}, "purpose", "string_type"),
    ({"purpose": "\ud800"}, "purpose", "string_unicode"),
    ({"locations": []}, "locations", "too_short"),
    ({"items": []}, "items", "too_short"),
    ({"items": "all"}, "items", "tuple_type"),
    ({"items": [ITEM | {"record_type": f"t{n}"} for n in range(21)]}, "items", "too_long"),
    ({"items": [ITEM, ITEM]}, "authorization_details", "each value once"),
    ({"items.0.mode": "everything"}, "items.0.mode", "enum"),
    ({"items.0.mode": "document"}, "items.0", "fields are named in mode fields, and only there"),
    ({"items.0.fields": ABSENT}, "items.0", "fields are named in mode fields, and only there"),
    ({"items.0.fields": []}, "items.0.fields", "too_short"),
    ({"items.0.fields": ["lines", "lines"]}, "items.0.fields", "each value once"),
    ({"items.0.fields": ["lines", ""]}, "items.0.fields.1", "string_too_short"),
    ({"items.0.required": "yes"}, "items.0.required", "bool_type"),
    ({"items.0.required": 1}, "items.0.required", "bool_type"),
    (
        {"items.0.filter.period": {"from": "2026-11-02", "to": "2026-11-01"}},
        "items.0.filter.period",
        "from lies after to",
    ),
    ({"items.0.filter.institution": ["1", "1"]}, "items.0.filter.institution", "each value once"),
    ({"holders": []}, "holders", "too_short"),
    ({"holders": ["a", "a"]}, "holders", "each value once"),
    ({"holders": [str(n) for n in range(51)]}, "holders", "too_long"),
    ({"holders": ["x" * 101]}, "holders.0", "string_too_long"),
    ({"access.kind": "always"}, "access.kind", "enum"),
    ({"access.kind": "periodic"}, "access", "a cycle is named for periodic access, and only there"),
    ({"access.cycle": "P1W"}, "access", "a cycle is named for periodic access, and only there"),
    ({"access.kind": "periodic", "access.cycle": "P1D"}, "access.cycle", "literal_error"),
    ({"access.kind": "periodic", "access.cycle": "P2M"}, "access.cycle", "literal_error"),
    ({"access.max_pulls": 0}, "access.max_pulls", "greater_than_equal"),
    ({"access.max_pulls": 1001}, "access.max_pulls", "less_than_equal"),
    ({"access.max_pulls": True}, "access.max_pulls", "int_type"),
    ({"access.max_pulls": 1.0}, "access.max_pulls", "int_type"),
    ({"access.max_pulls": "1"}, "access.max_pulls", "int_type"),
    (
        {"access.valid_from": "2026-12-31T00:00:00+09:00"},
        "access",
        "valid_from does not lie before valid_until",
    ),
    ({"access.valid_from": "2027-01-01T00:00:00Z"}, "access", "valid_from does not lie before valid_until"),
    ({"access.valid_from": "2026-12-01T00:00:00"}, "access.valid_from", INSTANT_RULE),
    ({"access.valid_from": "2026-12-01"}, "access.valid_from", INSTANT_RULE),
    ({"access.valid_from": 1764547200}, "access.valid_from", INSTANT_RULE),
    ({"access.valid_from": "1764547200"}, "access.valid_from", INSTANT_RULE),
    ({"access.valid_from": "2026-12-01T00:00:00.1234567Z"}, "access.valid_from", INSTANT_RULE),
    ({"access.valid_from": "2026-12-01T25:00:00Z"}, "access.valid_from", "datetime_from_date_parsing"),
    (
        {"access.valid_from": "0001-01-01T00:00:00+09:00"},
        "access.valid_from",
        "an instant that cannot be kept",
    ),
    (
        {"access.valid_until": "9999-12-31T23:59:59-09:00"},
        "access.valid_until",
        "an instant that cannot be kept",
    ),
    ({"data_period": {"from": "2026-02-01", "to": "2026-01-31"}}, "data_period", "from lies after to"),
    ({"data_period.from": "2026-02-30"}, "data_period.from", "date_from_datetime_parsing"),
    ({"data_period.from": "2026-1-1"}, "data_period.from", DAY_RULE),
    ({"data_period.from": "2026-01-01T00:00:00"}, "data_period.from", DAY_RULE),
    ({"data_period.from": 0}, "data_period.from", DAY_RULE),
    ({"data_period": {"from_": "2026-01-01", "to": "2026-11-30"}}, "data_period.from_", "extra_forbidden"),
    ({"retention.period": "P3M"}, "retention", DAYS_RULE),
    ({"retention.period": "P-1D"}, "retention", DAYS_RULE),
    ({"retention.period": "P090D"}, "retention", DAYS_RULE),
    ({"retention.period": "P９０D"}, "retention", DAYS_RULE),
    ({"retention.period": "P10000D"}, "retention", DAYS_RULE),
    ({"retention.period": "P0D"}, "retention", "storing needs a period, not storing has P0D"),
    ({"retention.store": False}, "retention", "storing needs a period, not storing has P0D"),
    ({"retention.on_end": "keep"}, "retention.on_end", "enum"),
)

OVER_ASKING: Final[tuple[tuple[Mapping[str, object], str, str], ...]] = (
    ({"items.1.record_type": "health.prescription"}, "items.1.record_type", "not part of this purpose"),
    ({"items.0.fields": ["lines", "patient"]}, "items.0.fields", "more than this purpose may ask for"),
    ({"items.1.filter": {"institution": ["1"]}}, "items.1.filter", "this record type cannot be filtered so"),
    ({"access.max_pulls": 2}, "access.max_pulls", "at most 1"),
    (
        {"access.valid_from": "2026-11-01T00:00:00Z", "access.valid_until": "2026-12-01T00:00:00Z"},
        "access.valid_until",
        "over already",
    ),
    ({"access.valid_until": "2027-01-30T00:00:01Z"}, "access.valid_until", "at most 60 days"),
    (
        {"access.valid_from": "2027-01-29T00:00:00Z", "access.valid_until": "2027-02-01T00:00:00Z"},
        "access.valid_until",
        "at most 60 days",
    ),
    ({"data_period.from": "2023-12-01"}, "data_period.from", "at most 1095 days back"),
    ({"retention.period": "P91D"}, "retention.period", "at most 90 days"),
)


def faults_of(unverified: object) -> list[tuple[str, str]]:
    with pytest.raises(InvalidTermsError) as caught:
        parse(unverified)
    return caught.value.faults


def cap_faults(terms: Terms, purpose: Purpose = DECLARED, now: datetime = NOW) -> list[tuple[str, str]]:
    try:
        check_caps(terms, purpose, CATALOGUE, now)
    except InvalidTermsError as error:
        return error.faults
    return []


def declared_with(changes: Mapping[str, object], **members: object) -> Purpose:
    """The declared purpose with other caps and other members."""
    raw = DECLARED.model_dump(mode="json")
    return Purpose.model_validate(raw | {"caps": raw["caps"] | dict(changes)} | members)


# What is no terms at all


@pytest.mark.parametrize("path", MISSING)
def test_nothing_that_a_person_must_be_told_can_be_missing(path: str) -> None:
    assert (path, "missing") in faults_of([detail_with({path: ABSENT})])


@pytest.mark.parametrize(("changes", "path", "rule"), BROKEN)
def test_broken_terms_are_refused_with_place_and_rule(
    changes: Mapping[str, object], path: str, rule: str
) -> None:
    assert (path, rule) in faults_of([detail_with(changes)])


@pytest.mark.parametrize("path", list(objects_in(detail())))
def test_a_member_that_nobody_knows_is_refused_everywhere(path: str) -> None:
    surprise = f"{path}.surprise".lstrip(".")
    assert faults_of([detail_with({surprise: "1"})]) == [(surprise, "extra_forbidden")]


@pytest.mark.parametrize("unverified", [None, {}, detail(), [], [detail(), detail()], "[]", 7])
def test_anything_but_one_object_in_a_list_is_refused(unverified: object) -> None:
    assert faults_of(unverified) == [("authorization_details", "exactly one object of type mydata_consent")]


@pytest.mark.parametrize("unverified", [None, [], "mydata_consent", 7])
def test_a_list_of_something_else_is_refused(unverified: object) -> None:
    assert [path for path, _ in faults_of([unverified])] == ["authorization_details"]


def test_every_fault_is_told_at_once_and_none_repeats_a_value() -> None:
    changes = {"purpose": "x" * 101, "holders": ["s3cret", "s3cret"], "data_period.from": "s3cret"}
    with pytest.raises(InvalidTermsError) as caught:
        parse([detail_with(changes)])
    assert len(caught.value.faults) == 3
    assert "s3cret" not in str(caught.value)
    assert "xx" not in str(caught.value)


def test_terms_cannot_be_changed() -> None:
    terms = terms_with()
    with pytest.raises(ValidationError):
        terms.purpose = "other"  # type: ignore[misc] # that is what is tried


# What is the same


def reordered(value: Any, order: st.DataObject) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        names = order.draw(st.permutations(list(value)))
        return {name: reordered(value[name], order) for name in names}
    if isinstance(value, list):
        return [reordered(member, order) for member in value]
    return value


@st.composite
def details(draw: st.DrawFn) -> dict[str, Any]:
    """Valid details, within the declared caps or beyond them."""
    days = st.integers(0, 2000).map(lambda days: (NOW + timedelta(days=days - 1500)).date().isoformat())
    start, length = draw(st.integers(-100, 100)), draw(st.integers(1, 100))
    zone = draw(st.sampled_from(["Z", "+09:00", "-03:30"]))
    opens = (NOW + timedelta(days=start)).strftime("%Y-%m-%dT%H:%M:%S") + zone
    closes = (NOW + timedelta(days=start + length)).strftime("%Y-%m-%dT%H:%M:%S.5") + zone
    first, last = sorted([draw(days), draw(days)])
    kept = draw(st.integers(0, 120))
    fields = st.lists(st.sampled_from(["lines", "totals", "patient", "period"]), min_size=1, unique=True)
    bill = {"record_type": BILL, "required": draw(st.booleans())}
    bill |= draw(
        st.one_of(
            st.just({"mode": "document"}), fields.map(lambda names: {"mode": "fields", "fields": names})
        )
    )
    changes = {
        "items": draw(st.permutations([bill, ITEM | {"required": draw(st.booleans())}])),
        "holders": draw(st.sampled_from([ABSENT, ["한빛", "\x1f\U0001f600"], ["a"]])),
        "access.max_pulls": draw(st.integers(1, 3)),
        "access.valid_from": opens,
        "access.valid_until": closes,
        "data_period": {"from": first, "to": last},
        "retention": {"store": kept > 0, "period": f"P{kept}D", "on_end": "delete"},
    }
    return detail_with(changes)


@given(raw=details(), order=st.data())
def test_the_digest_is_of_the_content_and_not_of_the_order_of_members(
    raw: dict[str, Any], order: st.DataObject
) -> None:
    terms = parse([raw])
    shuffled = parse([reordered(raw, order)])
    assert shuffled == terms
    assert shuffled.canonical() == terms.canonical()
    assert shuffled.digest() == terms.digest()


@given(raw=details())
def test_canonical_terms_come_back_as_the_same_bytes(raw: dict[str, Any]) -> None:
    terms = parse([raw])
    canonical = terms.canonical()
    assert stored(canonical) == terms
    assert stored(canonical).canonical() == canonical
    assert parse([terms.to_detail()]).canonical() == canonical
    assert rfc8785.dumps(json.loads(canonical)) == canonical


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": "other"},
        {"items.0.required": False},
        {"holders": ABSENT},
        {"access.valid_until": "2026-12-31T00:00:01+09:00"},
        {"retention.period": "P89D"},
    ],
)
def test_another_content_has_another_digest(changes: Mapping[str, object]) -> None:
    assert terms_with(changes).digest() != terms_with().digest()


def test_terms_tell_their_items_by_record_type() -> None:
    terms = terms_with()
    assert terms.item(BILL) == terms.items[0]
    assert terms.item("health.prescription") is None
    assert (
        terms_with({"retention": {"store": False, "period": "P0D", "on_end": "delete"}}).retention.days == 0
    )


@given(days=st.lists(st.dates(), min_size=4, max_size=4).map(sorted))
def test_a_range_contains_what_lies_wholly_inside_both_ends_included(days: list[Any]) -> None:
    a, b, c, d = days
    wide = DateRange.model_validate({"from": a.isoformat(), "to": d.isoformat()})
    narrow_range = DateRange.model_validate({"from": b.isoformat(), "to": c.isoformat()})
    assert wide.contains(b, c)
    assert wide.contains(a, d)
    assert narrow_range.contains(a, c) == (a == b)
    assert narrow_range.contains(b, d) == (c == d)


# Narrowing


def test_narrowing_to_what_was_never_asked_for_is_refused() -> None:
    with pytest.raises(InvalidTermsError):
        narrow(terms_with(), frozenset({BILL, "health.prescription"}))


def test_narrowing_to_nothing_is_refused_even_if_nothing_is_required() -> None:
    terms = terms_with({"items.0.required": False})
    with pytest.raises(RequiredItemMissingError) as caught:
        narrow(terms, frozenset())
    assert caught.value.record_types == [BILL, POLICY]


@given(raw=details(), granted=st.frozensets(st.sampled_from([BILL, POLICY])))
def test_narrowing_takes_items_away_and_changes_nothing_else(
    raw: dict[str, Any], granted: frozenset[str]
) -> None:
    terms = parse([raw])
    required = {item.record_type for item in terms.items if item.required}
    if required - granted or not granted:
        with pytest.raises(RequiredItemMissingError) as caught:
            narrow(terms, granted)
        assert set(caught.value.record_types) == (required - granted or {BILL, POLICY})
        return
    narrowed = narrow(terms, granted)
    assert {item.record_type for item in narrowed.items} == granted
    assert all(item in terms.items for item in narrowed.items)
    assert narrowed.model_copy(update={"items": terms.items}) == terms
    assert narrow(narrowed, granted) == narrowed


# Caps of the purpose


def test_what_the_purpose_declares_may_be_asked_for() -> None:
    assert cap_faults(terms_with()) == []
    assert (
        cap_faults(
            terms_with({"access.valid_until": "2027-01-30T00:00:00Z", "data_period.from": "2023-12-02"})
        )
        == []
    )


@pytest.mark.parametrize(("changes", "path", "rule"), OVER_ASKING)
def test_asking_for_more_than_the_purpose_declares_is_refused(
    changes: Mapping[str, object], path: str, rule: str
) -> None:
    assert (path, rule) in cap_faults(terms_with(changes))


def test_every_cap_that_is_exceeded_is_told_at_once() -> None:
    changes = {"access.max_pulls": 2, "retention.period": "P91D", "items.0.fields": ["patient"]}
    paths = [path for path, _ in cap_faults(terms_with(changes))]
    assert paths == ["items.0.fields", "access.max_pulls", "retention.period"]


def test_a_mode_a_field_or_a_necessity_that_the_purpose_does_not_have_is_refused() -> None:
    only_optional_documents = [{"record_type": BILL, "modes": ["document"], "fields": [], "required": False}]
    purpose = declared_with({}, items=only_optional_documents)
    assert cap_faults(terms_with({"items": detail()["items"][:1]}), purpose) == [
        ("items.0.mode", "not a mode of this purpose"),
        ("items.0.fields", "more than this purpose may ask for"),
        ("items.0.required", "this purpose may only ask for it as optional"),
    ]


def test_the_document_is_no_way_around_the_fields() -> None:
    whole = {"record_type": BILL, "mode": "document", "required": True}
    refused = ("items.0.mode", "the document holds more than this purpose may ask for")
    assert cap_faults(terms_with({"items": [whole]})) == [refused]
    assert cap_faults(terms_with({"items": [whole]}), load_purposes().get(PURPOSE)) == []


def test_a_field_that_the_record_type_does_not_have_is_refused() -> None:
    item = {"record_type": BILL, "modes": ["fields"], "fields": ["lines", "no_such"], "required": True}
    terms = terms_with({"items": [detail()["items"][0] | {"fields": ["no_such"]}]})
    assert cap_faults(terms, declared_with({}, items=[item])) == [
        ("items.0.fields", "not fields of this record type")
    ]


def test_a_kind_of_access_that_the_purpose_does_not_have_is_refused() -> None:
    periodic = DECLARED.model_copy(update={"caps": DECLARED.caps.model_copy(update={"kind": "periodic"})})
    assert ("access.kind", "not a kind of access of this purpose") in cap_faults(terms_with(), periodic)


CAPS: Final = st.fixed_dictionaries(
    {
        "max_pulls": st.integers(1, 3),
        "max_days": st.integers(1, 250),
        "max_lookback_days": st.integers(1, 2000),
        "max_retention_days": st.integers(0, 120),
    }
)


@st.composite
def purposes(draw: st.DrawFn) -> list[dict[str, Any]]:
    fields = draw(st.lists(st.sampled_from(["lines", "totals", "patient", "period"]), unique=True))
    modes = st.lists(st.sampled_from([Mode.FIELDS.value, Mode.DOCUMENT.value]), min_size=1, unique=True)
    bill = {"record_type": BILL, "modes": draw(modes), "fields": fields, "required": draw(st.booleans())}
    policy = {"record_type": POLICY, "modes": draw(modes), "fields": [], "required": draw(st.booleans())}
    return draw(
        st.lists(st.sampled_from([bill, policy]), min_size=1, unique_by=lambda item: item["record_type"])
    )


@st.composite
def tightened(draw: st.DrawFn, purpose: Purpose) -> Purpose:
    """The purpose with some bound lower, some mode, field or item gone, or a necessity taken back."""
    raw = purpose.model_dump(mode="json")
    lowest = {"max_retention_days": 0}
    for name in ("max_pulls", "max_days", "max_lookback_days", "max_retention_days"):
        raw["caps"][name] = draw(st.integers(lowest.get(name, 1), raw["caps"][name]))
    items = draw(
        st.lists(st.sampled_from(raw["items"]), min_size=1, unique_by=lambda item: item["record_type"])
    )
    for item in items:
        item["modes"] = draw(st.lists(st.sampled_from(item["modes"]), min_size=1, unique=True))
        item["fields"] = [name for name in item["fields"] if draw(st.booleans())]
        item["required"] = item["required"] and draw(st.booleans())
    return Purpose.model_validate(raw | {"items": items})


@given(
    raw=details(),
    caps=CAPS,
    items=purposes(),
    later=st.timedeltas(timedelta(0), timedelta(days=90)),
    more=st.data(),
)
def test_tightening_a_purpose_never_lets_more_through(
    raw: dict[str, Any],
    caps: dict[str, int],
    items: list[dict[str, Any]],
    later: timedelta,
    more: st.DataObject,
) -> None:
    terms, wide = parse([raw]), declared_with(caps, items=items)
    tight = more.draw(tightened(wide))
    if not cap_faults(terms, tight, NOW + later):
        assert not cap_faults(terms, wide, NOW + later)


@given(raw=details(), caps=CAPS)
def test_what_passes_lies_within_the_caps(raw: dict[str, Any], caps: dict[str, int]) -> None:
    terms = parse([raw])
    if cap_faults(terms, declared_with(caps)):
        return
    assert terms.access.max_pulls <= caps["max_pulls"]
    assert NOW < terms.access.valid_until <= NOW + timedelta(days=caps["max_days"])
    assert terms.data_period.from_ >= NOW.date() - timedelta(days=caps["max_lookback_days"])
    assert terms.retention.days <= caps["max_retention_days"]
