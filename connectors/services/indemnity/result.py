"""A claim as it comes out: lines, reasons for review, and what the policy year has used then."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from connectors.services.indemnity.payment import Part


@dataclass(frozen=True)
class ClaimLine:
    """One part of one bill, in whole won. `over_limit` is what the limits of the policy cut off.

    Where a part's own rule applies, billed = deductible + over_limit + paid. Where another `rule_id`
    stands, nothing is deducted and nothing is paid. For drugs `bill_no` is the pharmacy's receipt.
    """

    bill_no: str
    part: Part
    billed: int
    deductible: int
    paid: int
    rule_id: str
    explanation: Mapping[str, str]
    over_limit: int = 0


@dataclass(frozen=True)
class Reason:
    """Why a person must look: the rule, and the bill or the path of the data that it is about."""

    rule_id: str
    bill_no: str | None
    path: str | None
    explanation: Mapping[str, str]


@dataclass(frozen=True)
class Claim:
    """The result. `payable` is the sum of what the lines pay, also while others wait for a person.

    `used_after` is the policy's `ytd_used` once this is paid, where the next claim of the year begins (empty
    if the policy could not be read). It is the insurer's own and not part of the decision.
    """

    lines: tuple[ClaimLine, ...]
    payable: int
    status: Literal["approved", "review"]
    reasons: tuple[Reason, ...]
    used_after: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data, members named as here."""
        return {
            "lines": [asdict(line) for line in self.lines],
            "payable": self.payable,
            "status": self.status,
            "reasons": [asdict(reason) for reason in self.reasons],
        }
