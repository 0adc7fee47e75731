"""The arithmetic of one part of one visit, and what a policy year still has. Whole won, no fractions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from connectors.services.indemnity.claim_input import Policy
from connectors.services.indemnity.rules import PartRule, Rules

Part = Literal["covered", "noncovered"]


@dataclass(frozen=True)
class Share:
    """What becomes of one amount: deductible + over_limit + paid is the amount."""

    deductible: int
    over_limit: int
    paid: int


def share_out(amounts: Sequence[int], rule: PartRule, *, fixed: int, room: int) -> list[Share]:
    """Split the amounts of one visit: one deductible and one limit for all, taken from the first on.

    The deductible is the larger of `fixed` and the rule's rate, rounded up, so that what is paid is
    rounded down to a whole won; it never exceeds the amounts. `room` is the most that may be paid.
    """
    by_rate = -(-sum(amounts) * rule.rate_percent // 100)
    still_deductible, still_room = max(fixed, by_rate), room
    shares = []
    for amount in amounts:
        deductible = min(amount, still_deductible)
        paid = min(amount - deductible, still_room)
        still_deductible -= deductible
        still_room -= paid
        shares.append(Share(deductible, amount - deductible - paid, paid))
    return shares


class YearLeft:
    """What the policy year still has. Goes down as visits are paid, oldest first."""

    def __init__(self, terms: Policy, rules: Rules) -> None:
        limits, used = terms.limits, terms.ytd_used
        covered, noncovered = rules.parts["covered"], rules.parts["noncovered"]
        self._per_visit: dict[Part, int] = {
            "covered": min(limits.covered_per_visit, covered.most_per_visit),
            "noncovered": min(limits.noncovered_per_visit, noncovered.most_per_visit),
        }
        self._in_year: dict[Part, int] = {
            "covered": min(limits.covered_per_year, covered.most_per_year) - used.covered,
            "noncovered": min(limits.noncovered_per_year, noncovered.most_per_year) - used.noncovered,
        }
        self._visits: dict[Part, int | None] = {
            "covered": None,
            "noncovered": min(limits.noncovered_visits_per_year, rules.most_noncovered_visits)
            - used.noncovered_visits,
        }

    def room(self, part: Part) -> int:
        """The most that the next visit may be paid for this part, in won."""
        visits = self._visits[part]
        if visits is not None and visits <= 0:
            return 0
        return max(0, min(self._per_visit[part], self._in_year[part]))

    def spend(self, part: Part, paid: int) -> None:
        """Book what a visit was paid; a visit that was paid nothing does not count."""
        visits = self._visits[part]
        self._in_year[part] -= paid
        if visits is not None and paid > 0:
            self._visits[part] = visits - 1
