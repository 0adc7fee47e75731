"""Answers: what leaves in the place of records, in mode predicate or derived. Pure.

However many records lie behind it, there is one answer, and its size does not tell what it is: `padding`
fills it up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any, Final

import orjson

from consent.derivations import Derivations
from consent.predicates import evaluate, predicate_of
from consent.terms import Item, Terms
from vault.record_types.catalogue import RecordType

ANSWER_TYPE: Final = "mydata-answer+jwt"

# Ages and validity are judged on Korea's day.
_KST: Final = timezone(timedelta(hours=9), "KST")
_PREDICATE_BYTES: Final = 8
_DERIVED_BYTES: Final = 256
_ID_LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class Bearings:
    """What an answer is part of: whom it goes to, under which consent, in which delivery, as of when.

    And what was counted: `subject` is who the person is to this recipient alone.
    """

    issuer: str
    recipient_id: str
    grant_id: str
    delivery_id: str
    as_of: datetime
    subject: str
    terms: Terms


def day_of(as_of: datetime) -> date:
    """The day that an instant falls on in Korea."""
    return as_of.astimezone(_KST).date()


def answer(
    item: Item,
    record_type: RecordType,
    derivations: Derivations,
    records: Sequence[Mapping[str, Any]],
    as_of: date,
) -> dict[str, Any]:
    """The question, its answer, the day, the rule, and padding. The answer is None where nothing says it.

    Raises KeyError if the rule is gone: what was agreed can no longer be answered.
    """
    asked: dict[str, Any]
    said: bool | dict[str, int | str] | None
    if item.predicate is not None:
        rule = predicate_of(record_type, item.predicate.name)
        if rule is None:
            raise KeyError(item.predicate.name)
        asked = {"predicate": item.predicate.model_dump(mode="json", exclude_none=True)}
        name = f"{item.predicate.name}@{rule.version}"
        said, step = evaluate(rule, item.predicate.value, records, as_of), _PREDICATE_BYTES
    else:
        derivation = derivations.get(item.derivation or "")
        asked, name = {"derivation": item.derivation}, derivation.rule
        said, step = derivation.answer(records, as_of), _DERIVED_BYTES
    padding = "0" * (-len(orjson.dumps(said)) % step)
    return {**asked, "answer": said, "as_of": as_of.isoformat(), "rule": name, "padding": padding}


def claims(said: Mapping[str, Any], item: Item, bearings: Bearings) -> dict[str, Any]:
    """What is signed, so that the recipient can show the answer to others.

    It says whose records of which holders and days were counted: no answer stands for another's.
    """
    return {
        **said,
        "iss": bearings.issuer,
        "recipient": bearings.recipient_id,
        "grant_id": bearings.grant_id,
        "delivery_id": bearings.delivery_id,
        "record_type": item.record_type,
        "sub": bearings.subject,
        "purpose": bearings.terms.purpose,
        "holders": sorted(bearings.terms.holders or ()),
        "data_period": bearings.terms.to_detail()["data_period"],
    }


def entry(said: Mapping[str, Any], item: Item, bearings: Bearings, signature: str) -> dict[str, Any]:
    """The one entry of a delivery for this item. Its id and its holder, the broker, tell of no record."""
    name = f"{bearings.delivery_id}/{item.record_type}".encode()
    return {
        "record_id": sha256(name).hexdigest()[:_ID_LENGTH],
        "version": 1,
        "holder": bearings.issuer,
        "data": {**said, "signature": signature},
    }
