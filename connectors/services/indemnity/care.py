"""Which bills are decided together: a visit is one day at one institution, a stay the days in its beds.

Care that begins and ends on one day is a stay when a room was charged, else a visit (`day_care` in the rules
table). Bills of one institution whose days follow each other without a gap are one stay.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby
from typing import Literal

from connectors.services.indemnity.claim_input import Bill, Paper, PharmacyBill
from connectors.services.indemnity.rules import Rules

Visit = tuple[str, str]
"""Day and institution: there is one visit for each."""


@dataclass(frozen=True)
class Care:
    """Bills that are decided together, and the drugs prescribed at them. Days as `YYYY-MM-DD`."""

    kind: Literal["visit", "stay"]
    institution: str
    first: str
    last: str
    bills: tuple[Bill, ...]
    drugs: tuple[PharmacyBill, ...] = ()
    is_within_stay: bool = False
    has_overlap: bool = False

    @property
    def papers(self) -> tuple[Paper, ...]:
        """Everything that money is claimed for."""
        return (*self.bills, *self.drugs)

    @property
    def days(self) -> int:
        """Days from the first to the last, both counted."""
        return (date.fromisoformat(self.last) - date.fromisoformat(self.first)).days + 1

    def with_drugs(self, drugs: Sequence[PharmacyBill]) -> "Care":
        """The same with the drugs that were prescribed at it, in an order of their own."""
        return replace(self, drugs=tuple(sorted(drugs, key=_place_in_order)))


def group(bills: Sequence[Bill], rules: Rules) -> list[Care]:
    """Visits and stays, oldest first: yearly limits run in that order, however the bills came."""
    in_order = sorted(bills, key=_place_in_order)
    stays = list(_stays([bill for bill in in_order if _is_stay(bill, rules)]))
    visits = _visits([bill for bill in in_order if not _is_stay(bill, rules)], stays)
    return sorted([*stays, *visits], key=lambda care: (care.first, care.institution, care.kind, care.last))


def _place_in_order(paper: Paper) -> tuple[str, str]:
    return paper.number, paper.model_dump_json()


def _is_stay(bill: Bill, rules: Rules) -> bool:
    if bill.care_type not in rules.stay_care_types:
        return False
    is_longer = bill.period.first < bill.period.last
    return is_longer or (
        bill.period.first == bill.period.last and bill.charged_in(rules.day_care.room_categories) > 0
    )


def _visits(bills: Sequence[Bill], stays: Sequence[Care]) -> Iterator[Care]:
    def visit_of(bill: Bill) -> Visit:
        return bill.period.first, bill.institution.hira_code

    for (day, institution), found in groupby(sorted(bills, key=visit_of), key=visit_of):
        is_within = any(stay.institution == institution and stay.first <= day <= stay.last for stay in stays)
        yield Care("visit", institution, day, day, tuple(found), is_within_stay=is_within)


def _stays(bills: Sequence[Bill]) -> Iterator[Care]:
    def days_of(bill: Bill) -> tuple[str, str, str]:
        return bill.institution.hira_code, bill.period.first, bill.period.last

    stay: Care | None = None
    for bill in sorted(bills, key=days_of):
        institution, first, last = days_of(bill)
        if stay is not None and stay.institution == institution and first <= _day_after(stay.last):
            stay = replace(
                stay,
                last=max(stay.last, last),
                bills=(*stay.bills, bill),
                # A bill may begin on the day on which the one before it ended.
                has_overlap=stay.has_overlap or first < stay.last,
            )
            continue
        if stay is not None:
            yield stay
        stay = Care("stay", institution, first, last, (bill,))
    if stay is not None:
        yield stay


def _day_after(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
