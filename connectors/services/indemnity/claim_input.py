"""What the calculation reads of a policy, bills and what belongs to them: shaped record data, not trusted.

A member that was not granted, is missing or has the wrong form becomes a path, never a guess.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, ValidationError

_ISO_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _real_day(text: str) -> str:
    if _ISO_DAY.fullmatch(text) is None:
        raise ValueError("not a day")
    date.fromisoformat(text)
    return text


Won = Annotated[StrictInt, Field(ge=0)]
Day = Annotated[str, AfterValidator(_real_day)]
"""`YYYY-MM-DD`; such texts order as days do."""


class MissingDataError(Exception):
    """The paths that are missing or unreadable, never their values."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self.paths = paths
        super().__init__(", ".join(paths))


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Read record data. Raises MissingDataError with every path that cannot be read."""
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            places = (fault["loc"] for fault in error.errors(include_input=False, include_url=False))
            raise MissingDataError(tuple(_path(place) for place in places)) from None


def _path(place: tuple[int | str, ...]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)


class Limits(_Read):
    """The most that the policy pays, in won and visits."""

    covered_per_visit: Won
    noncovered_per_visit: Won
    covered_per_year: Won
    noncovered_per_year: Won
    noncovered_visits_per_year: Won


class SpecialUsed(_Read):
    """What one of the special kinds of care was paid, and for how many sessions."""

    paid: Won
    sessions: Won


class Used(_Read):
    """What was paid in the policy year so far. What is None is not known."""

    year_from: Day
    year_to: Day
    covered: Won
    noncovered: Won
    noncovered_visits: Won
    inpatient_own_share: Won | None = None
    manual_therapy: SpecialUsed | None = None
    injection: SpecialUsed | None = None
    mri: SpecialUsed | None = None


class Policy(_Read):
    """Of `insurance.indemnity_policy`."""

    generation: StrictInt
    contract_date: Day
    end_date: Day
    status: str
    coverages: frozenset[str]
    limits: Limits
    ytd_used: Used


class Amounts(_Read):
    """Who pays what of one sum."""

    covered_copay: Won
    covered_nhis: Won
    covered_full_self: Won
    noncovered: Won


class Line(Amounts):
    """One category of a bill."""

    category: str


class _Place(_Read):
    hira_code: str


class _Institution(_Place):
    grade: str


class _Period(_Read):
    first: Day = Field(alias="from")
    last: Day = Field(alias="to")


class _Total(_Read):
    patient_total: Won


class _Totals(_Total):
    over_cap: Won


class Bill(_Read):
    """Of `health.medical_bill`. `patient_class` may have been left out of the consent."""

    bill_no: str
    care_type: str
    institution: _Institution
    period: _Period
    lines: tuple[Line, ...]
    totals: _Totals
    patient_class: str | None = None

    @property
    def number(self) -> str:
        """By which its institution knows it."""
        return self.bill_no

    @property
    def covered(self) -> int:
        """C: the patient's share of covered care, less what the national insurer gives back."""
        shares = sum(line.covered_copay + line.covered_full_self for line in self.lines)
        return shares - self.totals.over_cap

    @property
    def noncovered(self) -> int:
        """What is not covered, of whatever category."""
        return sum(line.noncovered for line in self.lines)

    @property
    def national_share(self) -> int:
        """What the national insurer paid."""
        return sum(line.covered_nhis for line in self.lines)

    def noncovered_of(self, categories: frozenset[str]) -> int:
        """What is not covered in some categories."""
        return sum(line.noncovered for line in self.lines if line.category in categories)

    def charged_in(self, categories: frozenset[str]) -> int:
        """Everything that was charged in some categories, whoever paid it."""
        return sum(
            line.covered_copay + line.covered_nhis + line.covered_full_self + line.noncovered
            for line in self.lines
            if line.category in categories
        )


class Row(Line):
    """One line of a detailed bill. `special` is the holder's flag; None: the holder does not say."""

    date: Day
    count: str
    days: Annotated[StrictInt, Field(ge=1)]
    special: str | None = None


class Detail(_Read):
    """Of `health.medical_bill_detail`."""

    bill_no: str
    institution: _Place
    rows: tuple[Row, ...]


class Prescription(_Read):
    """Of `health.prescription`. Without `valid_days` its end is not known."""

    issue_no: str
    issue_date: Day
    institution: _Place
    valid_days: Annotated[StrictInt, Field(ge=1)] | None = None


class PharmacyBill(_Read):
    """Of `health.pharmacy_bill`."""

    receipt_no: str
    dispense_date: Day
    institution: _Place
    amounts: Amounts
    totals: _Total
    prescription_no: str | None = None
    prescribed_by: _Place | None = None
    patient_class: str | None = None

    @property
    def number(self) -> str:
        """By which the pharmacy knows it."""
        return self.receipt_no

    @property
    def covered(self) -> int:
        """The patient's share of covered drugs."""
        return self.amounts.covered_copay + self.amounts.covered_full_self

    @property
    def noncovered(self) -> int:
        """Drugs that are not covered."""
        return self.amounts.noncovered

    @property
    def national_share(self) -> int:
        """What the national insurer paid."""
        return self.amounts.covered_nhis


Paper = Bill | PharmacyBill
"""What money is claimed for."""
