"""Shaping: what lies outside filter, period or granted fields stays; payloads are canonical bytes."""

import copy
import hashlib
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Final

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from consent.disclosure import Payload, instant, matches, payload, payload_digest, shape
from consent.terms import DateRange, Item
from tests.consent.details import BILL, POLICY
from vault.record_types.catalogue import Catalogue, RecordType

CATALOGUE: Final = Catalogue.load()
EXAMPLE: Final = copy.deepcopy(dict(CATALOGUE.get(BILL).example))
POLICY_EXAMPLE: Final = copy.deepcopy(dict(CATALOGUE.get(POLICY).example))
WHOLE_YEAR: Final = {"from": "2026-01-01", "to": "2026-12-31"}
DAYS: Final = st.dates(date(2026, 1, 1), date(2026, 2, 15))


def item(record_type: str = BILL, **members: object) -> Item:
    return Item.model_validate({"record_type": record_type, "mode": "document", "required": True} | members)


def days(first: date | str, last: date | str) -> DateRange:
    return DateRange.model_validate({"from": str(first), "to": str(last)})


def bill(first: str = "2026-11-10", last: str = "2026-11-12", hira_code: str = "11100079") -> dict[str, Any]:
    institution = EXAMPLE["institution"] | {"hira_code": hira_code}
    return EXAMPLE | {"period": {"from": first, "to": last}, "institution": institution}


def bill_matches(record: dict[str, Any], data_period: DateRange, **filters: object) -> bool:
    wanted = item(filter=filters) if filters else item()
    return matches(wanted, CATALOGUE.get(BILL), record, data_period)


# Which records


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2026-11-11", "2026-11-30"),
        ("2026-11-01", "2026-11-11"),
        ("2026-11-11", "2026-11-11"),
        ("2026-01-01", "2026-11-09"),
    ],
)
def test_a_record_that_is_not_wholly_inside_the_look_back_window_stays(first: str, last: str) -> None:
    assert not bill_matches(bill(), days(first, last))


def test_a_record_that_is_not_wholly_inside_the_filter_stays() -> None:
    assert not bill_matches(bill(), days(**year()), period={"from": "2026-11-10", "to": "2026-11-11"})
    assert not bill_matches(bill(), days(**year()), period={"from": "2026-11-11", "to": "2026-11-12"})


def test_a_record_of_another_institution_stays() -> None:
    assert not bill_matches(bill(hira_code="99999999"), days(**year()), institution=["11100079", "1"])


def test_the_filter_does_not_widen_the_look_back_window() -> None:
    assert not bill_matches(bill(), days("2026-11-01", "2026-11-11"), period=WHOLE_YEAR)


def test_a_record_inside_goes_with_both_ends_included() -> None:
    exactly = {"from": "2026-11-10", "to": "2026-11-12"}
    assert bill_matches(bill(), days("2026-11-10", "2026-11-12"))
    assert bill_matches(bill(), days(**year()), period=exactly, institution=["1", "11100079"])
    assert bill_matches(bill(), days(**year()), institution=["11100079"])


def test_a_record_type_without_a_period_is_not_limited_by_one() -> None:
    policy_type = CATALOGUE.get(POLICY)
    assert matches(item(POLICY), policy_type, POLICY_EXAMPLE, days("2020-01-01", "2020-01-01"))
    assert matches(item(POLICY, filter={}), policy_type, POLICY_EXAMPLE, days("2020-01-01", "2020-01-01"))


@given(ends=st.lists(DAYS, min_size=6, max_size=6))
def test_a_record_goes_if_and_only_if_its_whole_period_lies_inside_both(ends: list[date]) -> None:
    (a, b), (c, d), (e, f) = sorted(ends[:2]), sorted(ends[2:4]), sorted(ends[4:])
    goes = bill_matches(bill(str(a), str(b)), days(c, d), period={"from": str(e), "to": str(f)})
    assert goes == (max(c, e) <= a and b <= min(d, f))


def year() -> dict[str, str]:
    return {"first": WHOLE_YEAR["from"], "last": WHOLE_YEAR["to"]}


# What of a record


@given(granted=st.lists(st.sampled_from([*EXAMPLE, "no_such"]), min_size=1, unique=True))
def test_only_granted_fields_leave_and_they_leave_unchanged(granted: list[str]) -> None:
    shaped = shape(item(mode="fields", fields=granted), EXAMPLE)
    assert set(shaped) == set(granted) - {"no_such"}
    assert all(shaped[name] == EXAMPLE[name] for name in shaped)


def test_a_document_is_the_whole_record() -> None:
    assert shape(item(), EXAMPLE) == EXAMPLE


def test_shaping_leaves_the_record_as_it_was() -> None:
    record = copy.deepcopy(EXAMPLE)
    shape(item(), record).clear()
    assert record == EXAMPLE


# Canonical bytes

NAMES: Final = st.text(st.characters(max_codepoint=0x7F), max_size=8)
NUMBERS: Final = st.integers(-(2**53) + 1, 2**53 - 1)
JSON: Final = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)
AS_OF: Final = datetime(2026, 12, 1, 9, 30, 0, 123456, tzinfo=UTC)


@given(records=st.dictionaries(NAMES, st.lists(st.dictionaries(NAMES, JSON), max_size=3), max_size=3))
def test_a_payload_is_canonical_json(records: dict[str, list[dict[str, Any]]]) -> None:
    content: dict[str, Any] = {
        "as_of": instant(AS_OF),
        "delivery_id": "d",
        "grant_id": "g",
        "records": records,
    }
    assert payload("d", "g", AS_OF, records) == rfc8785.dumps(content)


@pytest.mark.parametrize(
    "character", ["\x00", "\b", "\t", "\n", "\x1f", '"', "\\", "/", "\x7f", "\u2028", "é", "\U0001f600"]
)
def test_characters_that_need_care_are_written_canonically(character: str) -> None:
    records = {BILL: [{"data": {"name": character}}]}
    assert payload("d", "g", AS_OF, records).endswith(b'"records":' + rfc8785.dumps(records) + b"}")


@given(record=st.dictionaries(NAMES, JSON, max_size=4))
def test_the_order_of_members_does_not_change_the_bytes(record: dict[str, Any]) -> None:
    turned = dict(reversed(record.items()))
    assert payload("d", "g", AS_OF, {"t": [record]}) == payload("d", "g", AS_OF, {"t": [turned]})


@pytest.mark.parametrize("record_type", CATALOGUE.codes())
def test_members_of_our_record_types_are_ascii(record_type: str) -> None:
    assert all(name.isascii() for name in names_in(CATALOGUE.get(record_type)))


def names_in(record_type: RecordType) -> set[str]:
    found: set[str] = set()

    def walk(schema: object) -> None:
        if isinstance(schema, dict):
            found.update(schema.get("properties", {}))
            for member in schema.values():
                walk(member)
        elif isinstance(schema, list):
            for member in schema:
                walk(member)

    walk(dict(record_type.schema))
    return found


def test_the_digest_is_over_nonce_and_content() -> None:
    content = payload("d", "g", AS_OF, {})
    digest = payload_digest(content, b"n" * 32)
    assert digest == hashlib.sha256(b"n" * 32 + content).digest()
    assert digest != payload_digest(content, b"m" * 32)
    assert digest != payload_digest(Payload(content + b" "), b"n" * 32)


def test_an_instant_is_told_in_utc_with_microseconds() -> None:
    assert instant(AS_OF) == "2026-12-01T09:30:00.123456Z"
    seoul = AS_OF.astimezone(timezone(timedelta(hours=9)))
    assert instant(seoul) == "2026-12-01T09:30:00.123456Z"
