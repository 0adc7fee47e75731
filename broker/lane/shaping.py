"""What a delivery says: the consent's records opened, matched, and shaped as its items are."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from broker.lane.pulls import StoredRecord, StoredShare
from broker.service_keys import AnswerSigner
from consent.answers import Bearings, answer, claims, day_of, entry
from consent.derivations import Derivations
from consent.disclosure import matches, shape
from consent.terms import Item, Terms
from consent.vocabulary import EventType, Reason
from vault.errors import TamperedError, UnknownKeyError
from vault.keys.keyring import Keyring
from vault.record_types.catalogue import Catalogue
from vault.store import RecordIdentity, open_record


class CannotOpenError(Exception):
    """Something that the consent covers cannot be opened: what goes on record about it."""

    def __init__(self, reason: Reason, detail: dict[str, Any]) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(reason)

    @property
    def event(self) -> EventType:
        """Tampering is an event of its own; what was erased is a refusal like others."""
        if self.reason is Reason.RECORD_UNREADABLE:
            return EventType.RECORD_TAMPERED
        return EventType.DELIVERY_REFUSED


@dataclass(frozen=True, slots=True)
class Shaper:
    """What opening and shaping need: keys, record types, derivations, and the key that signs answers."""

    keyring: Keyring
    catalogue: Catalogue
    derivations: Derivations
    signer: AnswerSigner


@dataclass(frozen=True, slots=True)
class Source:
    """Whose records these are, and the keys that this consent may open them with."""

    subject_id: str
    shares: Mapping[str, StoredShare]
    records: Sequence[StoredRecord]


@dataclass(frozen=True, slots=True)
class Content:
    """What leaves, by record type, and the record versions that were opened for it."""

    records: Mapping[str, list[dict[str, Any]]]
    opened: tuple[StoredRecord, ...]

    @property
    def size(self) -> int:
        """How many entries leave: an answer is one, however many records lie behind it."""
        return sum(len(entries) for entries in self.records.values())


def content_of(
    shaper: Shaper, source: Source, terms: Terms, items: Sequence[Item], bearings: Bearings
) -> Content:
    """Every record of the items that matches, shaped, in the order of record ids; one entry for an answer.

    Raises CannotOpenError.
    """
    by_type = {item.record_type: item for item in items}
    opened = list(_opened(shaper, source, by_type, terms))
    records: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        own = [(record, data) for record, data in opened if record.record_type == item.record_type]
        if item.mode.is_answer:
            found = [data for _, data in own]
            records[item.record_type] = [_answered(shaper, item, found, bearings)]
        else:
            records[item.record_type] = [_entry(record, shape(item, data)) for record, data in own]
    return Content(records, tuple(record for record, _ in opened))


def _opened(
    shaper: Shaper, source: Source, items: Mapping[str, Item], terms: Terms
) -> Iterator[tuple[StoredRecord, dict[str, Any]]]:
    for record in source.records:
        item = items.get(record.record_type)
        if item is None:
            continue
        data = _open(shaper, source, record)
        if matches(item, shaper.catalogue.get(record.record_type), data, terms.data_period):
            yield record, data


def _entry(record: StoredRecord, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "record_id": record.record_id,
        "version": record.version,
        "holder": record.holder_id,
        "data": data,
    }


def _answered(
    shaper: Shaper, item: Item, records: Sequence[dict[str, Any]], bearings: Bearings
) -> dict[str, Any]:
    record_type = shaper.catalogue.get(item.record_type)
    said = answer(item, record_type, shaper.derivations, records, day_of(bearings.as_of))
    return entry(said, item, bearings, shaper.signer.sign(claims(said, item, bearings), bearings.as_of))


def _open(shaper: Shaper, source: Source, record: StoredRecord) -> dict[str, Any]:
    which = {"record_id": record.record_id, "version": record.version}
    share = source.shares.get(record.compartment_id)
    if share is None:
        raise CannotOpenError(Reason.ERASED, which)
    # The log will say that these bytes were opened: the digest must be theirs.
    if hashlib.sha256(record.ciphertext).digest() != record.ciphertext_digest:
        raise CannotOpenError(Reason.RECORD_UNREADABLE, which)
    try:
        identity = RecordIdentity(
            record.record_id,
            record.version,
            source.subject_id,
            record.compartment_id,
            record.holder_id,
            record.record_type,
            record.schema_revision,
        )
        return open_record(shaper.keyring.open_share(share), identity, record.ciphertext)
    except TamperedError as error:
        raise CannotOpenError(Reason.RECORD_UNREADABLE, which) from error
    except UnknownKeyError as error:
        raise CannotOpenError(Reason.ERASED, which) from error
