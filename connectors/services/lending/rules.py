"""The bank's published rules: how much for which income, and the words for each outcome (`rules.json`)."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

Texts = Mapping[str, str]
"""One sentence in `ko` and `en`, with places for amounts."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Step(_Frozen):
    """Up to which amount a yearly income of at least so much suffices. Whole won."""

    up_to: int
    income_at_least: int


class Totals(_Frozen):
    """Up to which amount, if new and old loans stay within so many per cent of the income."""

    up_to: int
    percent_of_income: int


class Rate(_Frozen):
    """Interest in hundredths of a per cent; reduced for savings of so many per cent of the amount."""

    base: int
    reduced: int
    savings_percent: int


class Rules(_Frozen):
    """The whole table. `rules` have a sentence for each outcome, `unknown` is said where none is known."""

    version: int
    least_amount: int
    by_answers: list[Step]
    by_totals: Totals
    rate: Rate
    rules: Mapping[str, Mapping[Literal["yes", "no"], Texts]]
    unknown: Texts
    summary: Mapping[str, Texts]

    def takes(self, amount: int) -> bool:
        """Whether the bank lends such an amount at all."""
        return self.least_amount <= amount <= self.by_totals.up_to

    def step_for(self, amount: int) -> Step | None:
        """The step that settles an amount by yes and no alone; None for one that needs totals."""
        return next((step for step in self.by_answers if amount <= step.up_to), None)


RULES: Final = Rules.model_validate_json(
    files("connectors.services.lending").joinpath("rules.json").read_bytes()
)
