"""What would be sent now: the person's own look, under their own keys, before they decide.

Nothing is stored, signed or logged, and nothing leaves: the rules are those of a delivery.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from consent.answers import answer, day_of
from consent.derivations import Derivations
from consent.disclosure import matches, shape
from consent.terms import Item, Terms
from vault.keys.keyring import Keyring
from vault.record_types.catalogue import Catalogue
from vault.store import SealedRecord, latest, open_record


@dataclass(frozen=True, slots=True)
class Previewed:
    """One item as it would be sent: its records, or in the mode of an answer what the answer would say."""

    item: Item
    records: tuple[Mapping[str, Any], ...]
    answer: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Previewer:
    """What a look needs: a session, the keys, and the rules."""

    session: Session
    keyring: Keyring
    catalogue: Catalogue
    derivations: Derivations

    def look(
        self, subject_id: str, terms: Terms, holders: Sequence[str], now: datetime
    ) -> tuple[Previewed, ...]:
        """Every item of the terms, from the records that these holders have sent so far."""
        compartments = [
            self.keyring.compartment_id(subject_id, holder, item.record_type)
            for item in terms.items
            for holder in holders
        ]
        sealed = latest(self.session, subject_id, compartments)
        keys = self.keyring.compartment_keys({one.identity.compartment_id: subject_id for one in sealed})
        opened = [
            (one, open_record(keys[one.identity.compartment_id], one.identity, one.ciphertext))
            for one in sorted(sealed, key=lambda one: one.identity.record_id)
            if one.identity.compartment_id in keys
        ]
        return tuple(self._item(item, terms, opened, now) for item in terms.items)

    def _item(
        self,
        item: Item,
        terms: Terms,
        opened: Sequence[tuple[SealedRecord, Mapping[str, Any]]],
        now: datetime,
    ) -> Previewed:
        record_type = self.catalogue.get(item.record_type)
        found = [
            data
            for one, data in opened
            if one.identity.record_type == item.record_type
            and matches(item, record_type, data, terms.data_period)
        ]
        if item.mode.is_answer:
            return Previewed(item, (), answer(item, record_type, self.derivations, found, day_of(now)))
        return Previewed(item, tuple(shape(item, data) for data in found), None)
