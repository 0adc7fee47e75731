"""Which visit a pharmacy bill belongs to (4th generation: drugs are paid with the visit they come from).

A visit is an institution and a day, and the pharmacy bill must lead to exactly one, by the first of these
that its data allows:

1. its prescription number, and the one prescription that bears it (at the institution that it names, if any;
   serial numbers begin anew at every institution);
2. its prescription number, whose first eight digits are the day, and the institution that it names;
3. without a number, the institution that it names and the one prescription of it that was valid on the day
   of dispensing;
4. without both, the institution that it names, on the day of dispensing.

Where no institution is known, several places remain, the days contradict the prescription, or the visit's
bill is not here, a person decides: a join is never guessed.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from connectors.services.indemnity.care import Visit
from connectors.services.indemnity.claim_input import PharmacyBill, Prescription
from vault.identifiers import prescription_day


@dataclass(frozen=True, order=True)
class _Origin:
    """Where and when drugs were prescribed, and the last day of dispensing if it is known."""

    institution: str
    day: str
    until: str = ""

    def allows(self, day: str) -> bool:
        return self.day <= day and (not self.until or day <= self.until)


def visit_of(
    bill: PharmacyBill, prescriptions: Sequence[Prescription], visits: Container[Visit]
) -> Visit | str:
    """The visit that the drugs were prescribed at, or the finding that sends the bill to a person."""
    origins = _origins(bill, prescriptions)
    if len(origins) != 1:
        return "review.pharmacy_ambiguous"
    (origin,) = origins
    if not origin.allows(bill.dispense_date):
        return "review.pharmacy_dates"
    visit = (origin.day, origin.institution)
    return visit if visit in visits else "review.pharmacy_visit_unknown"


def _origins(bill: PharmacyBill, prescriptions: Sequence[Prescription]) -> set[_Origin]:
    named = None if bill.prescribed_by is None else bill.prescribed_by.hira_code
    possible = [(one, _origin(one)) for one in prescriptions if named in {None, one.institution.hira_code}]
    if bill.prescription_no is not None:
        number = _plain(bill.prescription_no)
        day = prescription_day(number)
        found = {origin for one, origin in possible if _plain(one.issue_no) == number}
    else:
        day = bill.dispense_date
        found = {origin for _, origin in possible if named is not None and origin.allows(day)}
    if found or named is None or day is None:
        return found
    return {_Origin(named, day)}


def _origin(prescription: Prescription) -> _Origin:
    first = date.fromisoformat(prescription.issue_date)
    # The day of the prescription is the first of its valid days.
    until = "" if prescription.valid_days is None else _days_after(first, prescription.valid_days - 1)
    return _Origin(prescription.institution.hira_code, prescription.issue_date, until)


def _days_after(day: date, days: int) -> str:
    try:
        return (day + timedelta(days=days)).isoformat()
    except OverflowError:  # longer than the calendar: for ever
        return ""


def _plain(number: str) -> str:
    return number.replace("-", "")
