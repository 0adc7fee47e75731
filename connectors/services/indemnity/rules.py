"""The rules table of the 4th-generation claim: `rules.json` names each rule and its source."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict

Texts = Mapping[str, str]
"""One sentence in `ko` and `en`, with places for the amounts."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PartRule(_Frozen):
    """How one part of a visit is paid. Amounts in whole won; `rate_percent` and the fixed amount compete."""

    id: str
    source: str
    insured_as: frozenset[str]
    rate_percent: int
    fixed_by_grade: Mapping[str, int]
    most_per_visit: int
    most_per_year: int
    explanation: Texts


class StayRule(_Frozen):
    """How one part of a stay is paid: less `rate_percent`, and on average at most so much a day."""

    id: str
    source: str
    insured_as: frozenset[str]
    rate_percent: int
    most_per_day: int | None
    explanation: Texts


class SpecialRule(_Frozen):
    """How one of the three special kinds of non-covered care is paid.

    A `session` is each treatment, or all of a visit. `evidence_every`: after so many sessions of a year a
    person looks before the next.
    """

    id: str
    source: str
    insured_as: frozenset[str]
    session: Literal["treatment", "visit"]
    fixed: int
    rate_percent: int
    most_per_year: int
    most_sessions_per_year: int | None
    evidence_every: int | None
    explanation: Texts


class DayCare(_Frozen):
    """What tells a stay of one day from a visit."""

    source: str
    room_categories: frozenset[str]
    unclear_categories: frozenset[str]


class Finding(_Frozen):
    """Why something is not paid by a part's rule; with `needs_review`, a person decides it."""

    needs_review: bool
    source: str
    explanation: Texts


class Rules(_Frozen):
    """The whole table."""

    revision: str
    generation: int
    parts: Mapping[str, PartRule]
    additions: Mapping[str, Texts]
    stay_care_types: frozenset[str]
    day_care: DayCare
    stays: Mapping[str, StayRule]
    most_inpatient_own_share: int
    room_difference_categories: frozenset[str]
    special: Mapping[str, SpecialRule]
    most_noncovered_visits: int
    never_payable_categories: frozenset[str]
    special_noncovered_categories: frozenset[str]
    other_insurer_classes: frozenset[str]
    unclear_classes: frozenset[str]
    findings: Mapping[str, Finding]

    @classmethod
    def load(cls) -> "Rules":
        """Read the table that lies beside this module."""
        return cls.model_validate_json(
            files("connectors.services.indemnity").joinpath("rules.json").read_bytes()
        )
