"""The indemnity claim of the 4th generation, outpatient: exact won, each line with the rule that gave it.

Pure. What the rules table does not decide goes to a person (status `review`) and is never guessed.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Literal

from connectors.services.indemnity.claim_input import Bill, MissingDataError, Policy
from connectors.services.indemnity.rules import Rules
from connectors.services.indemnity.screening import screen_bill, screen_policy

Part = Literal["covered", "noncovered"]


@dataclass(frozen=True)
class ClaimLine:
    """One part of one bill, in whole won. `over_limit` is what the policy's limits cut off.

    Where a part's own rule applies, billed = deductible + over_limit + paid; where another `rule_id`
    stands, nothing is paid.
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
    """Why a person must look: a rule, and the bill and the path that it is about, if there is one."""

    rule_id: str
    bill_no: str | None
    path: str | None
    explanation: Mapping[str, str]


@dataclass(frozen=True)
class Claim:
    """The result. `payable` is the sum of what the lines pay, also while others wait for review."""

    lines: tuple[ClaimLine, ...]
    payable: int
    status: Literal["approved", "review"]
    reasons: tuple[Reason, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data, members named as here."""
        return asdict(self)


def compute(policy: Mapping[str, Any], bills: Sequence[Mapping[str, Any]]) -> Claim:
    """The claim for record data of `insurance.indemnity_policy` and `health.medical_bill`, as granted."""
    rules = Rules.load()
    reasons: list[Reason] = []
    terms = _read_policy(policy, rules, reasons)
    readable = _read_bills(bills, rules, reasons)
    policy_finding = None if terms is None else screen_policy(terms, rules)
    calculation = _Calculation(rules, terms)
    for visit in _visits(readable):
        findings = {bill: _screened(terms, bill, rules, readable) for bill in visit}
        calculation.add_visit(visit, findings, policy_finding)
    reasons += calculation.reasons
    payable = sum(line.paid for line in calculation.lines)
    return Claim(tuple(calculation.lines), payable, "review" if reasons else "approved", tuple(reasons))
