"""Answers: padded to a size that tells nothing, and whole without any record."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.answers import Bearings, answer, claims, day_of, entry
from consent.derivations import Derivations
from consent.terms import Item
from tests.consent.details import BILL, HOSPITAL, PURPOSE, REGISTER, terms_with
from vault.record_types.catalogue import Catalogue

TYPE: Final = Catalogue.load().get(BILL)
TODAY: Final = date(2026, 12, 1)
NOW: Final = datetime(2026, 12, 1, tzinfo=UTC)
TERMS: Final = terms_with({"holders": [REGISTER, HOSPITAL]})
BEARINGS: Final = Bearings("https://broker.example", "bank", "grant", "delivery", NOW, "who", TERMS)


def asked(**members: object) -> Item:
    return Item.model_validate({"record_type": BILL, "required": True} | members)


AT_LEAST: Final = asked(mode="predicate", predicate={"name": "paid_at_least", "value": 1000})
SHARE: Final = asked(mode="derived", derivation="test.share")


def share(records: Any, as_of: date) -> dict[str, int | str] | None:  # noqa: ANN401 - JSON
    total = sum(record["totals"]["patient_total"] for record in records)
    return None if total < 0 else {"won": total, "day": as_of.isoformat(), "말": "가" * (total % 40)}


DERIVATIONS: Final = Derivations([("test.share@3", share)])


def said(item: Item, *amounts: int) -> dict[str, Any]:
    records = [{"totals": {"patient_total": amount}} for amount in amounts]
    return answer(item, TYPE, DERIVATIONS, records, TODAY)


def test_a_rule_that_is_gone_is_an_error_and_no_answer() -> None:
    with pytest.raises(KeyError):
        said(asked(mode="predicate", predicate={"name": "gone"}))
    with pytest.raises(KeyError):
        said(asked(mode="derived", derivation="gone"))


@given(
    amounts=st.lists(st.integers(-(2**40), 2**40), max_size=3),
    others=st.lists(st.integers(0, 2000), max_size=3),
)
def test_two_answers_are_of_one_size_whatever_lies_behind(amounts: list[int], others: list[int]) -> None:
    for item in (AT_LEAST, SHARE):
        first, second = said(item, *amounts), said(item, *others)
        assert len(orjson.dumps(first)) == len(orjson.dumps(second))
        assert first.keys() == second.keys()


@given(one=st.integers(1000, 2**40), other=st.integers(1000, 2**40))
def test_records_with_the_same_answer_give_the_same_bytes(one: int, other: int) -> None:
    assert orjson.dumps(said(AT_LEAST, one)) == orjson.dumps(said(AT_LEAST, other))


def test_an_answer_says_what_was_asked_and_by_which_rule() -> None:
    assert said(SHARE, 600, 400) == {
        "derivation": "test.share",
        "answer": {"won": 1000, "day": "2026-12-01", "말": ""},
        "as_of": "2026-12-01",
        "rule": "test.share@3",
        "padding": "0" * (256 - 40),
    }
    assert said(AT_LEAST)["answer"] is None


def test_the_day_is_koreas() -> None:
    assert day_of(datetime(2026, 11, 30, 15, 0, tzinfo=UTC)) == TODAY
    assert day_of(datetime(2026, 11, 30, 14, 59, tzinfo=UTC)) == date(2026, 11, 30)


def test_the_entry_names_the_delivery_and_no_record() -> None:
    answered = said(AT_LEAST, 1)
    one = entry(answered, AT_LEAST, BEARINGS, "a.b.c")
    assert (one["version"], one["holder"], len(one["record_id"])) == (1, "https://broker.example", 32)
    assert one["data"] == {**answered, "signature": "a.b.c"}
    another = replace(BEARINGS, delivery_id="other-delivery")
    assert entry(answered, AT_LEAST, another, "a.b.c")["record_id"] != one["record_id"]
    assert claims(answered, AT_LEAST, BEARINGS) == answered | {
        "iss": "https://broker.example",
        "recipient": "bank",
        "grant_id": "grant",
        "delivery_id": "delivery",
        "record_type": BILL,
        "sub": "who",
        "purpose": PURPOSE,
        "holders": [REGISTER, HOSPITAL],
        "data_period": TERMS.to_detail()["data_period"],
    }


def test_answers_about_two_people_or_two_periods_are_not_interchangeable() -> None:
    answered = said(AT_LEAST, 1)
    shorter = terms_with({"data_period.from": "2026-11-01"})
    for other in (replace(BEARINGS, subject="another"), replace(BEARINGS, terms=shorter)):
        assert claims(answered, AT_LEAST, other) != claims(answered, AT_LEAST, BEARINGS)
