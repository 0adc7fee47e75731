"""The rules table of the 4th-generation outpatient claim: `rules.json` names each rule and its source."""

from collections.abc import Mapping
from importlib.resources import files

from pydantic import BaseModel, ConfigDict


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
    explanation: Mapping[str, str]


class Finding(_Frozen):
    """Why something is not paid by a part's rule; with `needs_review`, a person decides it."""

    needs_review: bool
    source: str
    explanation: Mapping[str, str]


class Rules(_Frozen):
    """The whole table."""

    revision: str
    generation: int
    parts: Mapping[str, PartRule]
    additions: Mapping[str, Mapping[str, str]]
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
