"""Shaping: what of a record an item discloses, and the digest of what left. Pure."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final, NewType

import orjson

from consent.terms import DateRange, Item
from consent.vocabulary import Mode
from vault.record_types.catalogue import RecordType

Record = Mapping[str, Any]
Payload = NewType("Payload", bytes)

_CANONICAL: Final = orjson.OPT_SORT_KEYS


def matches(item: Item, record_type: RecordType, record: Record, data_period: DateRange) -> bool:
    """Whether a record lies within the item's filter and the consent's look-back window.

    A record's whole period must lie inside, both ends included. A record type without a period is
    not limited by one.
    """
    period = _period(record_type, record)
    wanted = item.filter
    if period is not None:
        if not data_period.contains(*period):
            return False
        if wanted is not None and wanted.period is not None and not wanted.period.contains(*period):
            return False
    if wanted is not None and wanted.institution is not None:
        return _at(record, str(record_type.filters["institution"])) in wanted.institution
    return True


def shape(item: Item, record: Record) -> dict[str, Any]:
    """The record as the item's mode discloses it: the named top-level fields, or the document."""
    if item.mode is Mode.DOCUMENT:
        return dict(record)
    return {name: record[name] for name in item.fields or () if name in record}


def payload(
    delivery_id: str, grant_id: str, as_of: datetime, records: Mapping[str, list[dict[str, Any]]]
) -> Payload:
    """What a delivery says, in canonical bytes: the same content is the same bytes.

    Canonical JSON (RFC 8785); without floats, and with ASCII member names, sorted orjson is that.
    """
    content = {"as_of": instant(as_of), "delivery_id": delivery_id, "grant_id": grant_id, "records": records}
    return Payload(orjson.dumps(content, option=_CANONICAL))


def payload_digest(content: Payload, nonce: bytes) -> bytes:
    """SHA-256 over nonce and content. The nonce keeps a guessable content from being tried out."""
    return hashlib.sha256(nonce + content).digest()


def instant(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _period(record_type: RecordType, record: Record) -> tuple[date, date] | None:
    path = record_type.filters.get("period")
    if path is None or isinstance(path, str):
        return None
    return date.fromisoformat(_at(record, path["from"])), date.fromisoformat(_at(record, path["to"]))


def _at(record: Record, path: str) -> Any:  # noqa: ANN401 - a JSON value
    value: Any = record
    for name in path.split("."):
        value = value[name]
    return value
