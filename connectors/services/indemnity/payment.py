"""The arithmetic of a claim, and what a policy year still has. Whole won, no fractions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from connectors.services.indemnity.claim_input import Policy, SpecialUsed
from connectors.services.indemnity.rules import Rules

Part = Literal["covered", "noncovered"]


@dataclass(frozen=True)
class Share:
    """What becomes of one amount: deductible + over_limit + paid is the amount."""

    deductible: int
    over_limit: int
    paid: int

    def plus(self, other: "Share") -> "Share":
        """The share of two amounts together."""
        return Share(
            self.deductible + other.deductible, self.over_limit + other.over_limit, self.paid + other.paid
        )


def by_rate(amount: int, percent: int) -> int:
    """The rate's part of an amount, rounded up: what is paid is then rounded down to a whole won."""
    return -(-amount * percent // 100)


def share_out(amounts: Sequence[int], *, deductible: int, room: int) -> list[Share]:
    """Split amounts that are decided together: one deductible and one limit, taken from the first on.

    The deductible never exceeds the amounts. `room` is the most that may be paid.
    """
    still_deductible, still_room = deductible, room
    shares = []
    for amount in amounts:
        deducted = min(amount, still_deductible)
        paid = min(amount - deducted, still_room)
        still_deductible -= deducted
        still_room -= paid
        shares.append(Share(deducted, amount - deducted - paid, paid))
    return shares


class PolicyYear:
    """What a policy year has used. Goes up as care is paid, oldest first."""

    def __init__(self, terms: Policy, rules: Rules) -> None:
        self._limits, self._rules, self._start = terms.limits, rules, terms.ytd_used
        used = terms.ytd_used
        self._paid: dict[Part, int] = {"covered": used.covered, "noncovered": used.noncovered}
        self._noncovered_visits = used.noncovered_visits
        self._own_share = used.inpatient_own_share
        self._special: dict[str, SpecialUsed | None] = {
            group: getattr(used, group) for group in rules.special
        }

    def room(self, part: Part) -> int:
        """The most that a stay may be paid for this part, in won."""
        own = {"covered": self._limits.covered_per_year, "noncovered": self._limits.noncovered_per_year}
        return max(0, min(own[part], self._rules.parts[part].most_per_year) - self._paid[part])

    def visit_room(self, part: Part) -> int:
        """The most that the next visit may be paid for this part, in won."""
        most_visits = min(self._limits.noncovered_visits_per_year, self._rules.most_noncovered_visits)
        if part == "noncovered" and self._noncovered_visits >= most_visits:
            return 0
        own = {"covered": self._limits.covered_per_visit, "noncovered": self._limits.noncovered_per_visit}
        return min(own[part], self._rules.parts[part].most_per_visit, self.room(part))

    def own_share_left(self) -> int | None:
        """What the insured person may still be left to bear of covered inpatient care; None if unknown."""
        if self._own_share is None:
            return None
        return max(0, self._rules.most_inpatient_own_share - self._own_share)

    def special(self, group: str) -> SpecialUsed | None:
        """What a special kind of care has used; None if unknown."""
        return self._special[group]

    def evidence_until(self, group: str) -> int | None:
        """Up to which session of the year nobody has to show improvement; None: for ever.

        A session beyond a multiple of the interval that the year began with was looked at before.
        """
        every = self._rules.special[group].evidence_every
        if every is None:
            return None
        began: SpecialUsed | None = getattr(self._start, group)
        return max(every, -(-(began.sessions if began else 0) // every) * every)

    def spend(self, part: Part, paid: int, *, is_visit: bool) -> None:
        """Book what care was paid; a visit that was paid nothing does not count."""
        self._paid[part] += paid
        self._noncovered_visits += is_visit and part == "noncovered" and paid > 0

    def bear(self, deducted: int) -> None:
        """Book what the insured person bears of covered inpatient care."""
        self._own_share = (self._own_share or 0) + deducted

    def spend_special(self, group: str, used: SpecialUsed) -> None:
        """Book what a special kind of care has used now."""
        self._special[group] = used

    def to_json(self) -> Mapping[str, Any]:
        """What is used now, as `ytd_used` of the policy says it; unknown is left out."""
        told: dict[str, Any] = {
            "year_from": self._start.year_from,
            "year_to": self._start.year_to,
            "covered": self._paid["covered"],
            "noncovered": self._paid["noncovered"],
            "noncovered_visits": self._noncovered_visits,
        }
        if self._own_share is not None:
            told["inpatient_own_share"] = self._own_share
        known = {group: used for group, used in self._special.items() if used is not None}
        return told | {group: used.model_dump() for group, used in known.items()}
