"""Everything that came for a claim, read; what cannot be read is named by its place."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from connectors.services.indemnity.claim_input import (
    Bill,
    Detail,
    MissingDataError,
    Paper,
    PharmacyBill,
    Prescription,
)

Key = tuple[str, str]
"""Institution and number of a paper: unique in truth."""

RawRecords = Sequence[Mapping[str, Any]]

_Model = TypeVar("_Model", Bill, Detail, Prescription, PharmacyBill)


@dataclass(frozen=True)
class Papers:
    """The papers of a claim. `twice`: came more than once. `unreadable`: paths, and the list they are in."""

    bills: tuple[Bill, ...]
    details: Mapping[Key, Detail]
    prescriptions: tuple[Prescription, ...]
    pharmacy_bills: tuple[PharmacyBill, ...]
    twice: frozenset[Key]
    details_twice: frozenset[Key]
    unreadable: tuple[str, ...]

    def detail_of(self, bill: Bill) -> Detail | None:
        """The detailed bill that belongs to a bill, if it came."""
        return self.details.get(key_of(bill))


def key_of(paper: Paper) -> Key:
    """Institution and number."""
    return paper.institution.hira_code, paper.number


def read_papers(
    bills: RawRecords, details: RawRecords, prescriptions: RawRecords, pharmacy_bills: RawRecords
) -> Papers:
    """Read record data. Prescriptions only tell where drugs come from: without drugs nobody reads them."""
    unreadable: list[str] = []
    read_bills = _read(Bill, "bills", bills, unreadable)
    read_details = _read(Detail, "details", details, unreadable)
    drugs = _read(PharmacyBill, "pharmacy_bills", pharmacy_bills, unreadable)
    keys = [(detail.institution.hira_code, detail.bill_no) for detail in read_details]
    return Papers(
        bills=read_bills,
        details=dict(zip(keys, read_details, strict=True)),
        prescriptions=_read(Prescription, "prescriptions", prescriptions if drugs else (), unreadable),
        pharmacy_bills=drugs,
        twice=_more_than_once([*map(key_of, read_bills), *map(key_of, drugs)]),
        details_twice=_more_than_once(keys),
        unreadable=tuple(unreadable),
    )


def _more_than_once(keys: Sequence[Key]) -> frozenset[Key]:
    return frozenset(key for key, count in Counter(keys).items() if count > 1)


def _read(
    model: type[_Model], name: str, raw_records: RawRecords, unreadable: list[str]
) -> tuple[_Model, ...]:
    found: list[_Model] = []
    for index, raw in enumerate(raw_records):
        try:
            found.append(model.of(raw))
        except MissingDataError as error:
            unreadable += [f"{name}[{index}]: {path}" for path in error.paths]
    return tuple(found)
