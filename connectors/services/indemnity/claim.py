"""The indemnity claim of the 4th generation, outpatient: exact won, each line with the rule that gave it.

Pure. What the rules table does not decide goes to a person (status `review`) and is never guessed.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Literal

from connectors.services.indemnity.claim_input import Bill, MissingDataError, Policy
from connectors.services.indemnity.payment import Part, YearLeft, share_out
from connectors.services.indemnity.rules import Rules
from connectors.services.indemnity.screening import covers, screen_visit


@dataclass(frozen=True)
class ClaimLine:
    """One part of one bill, in whole won. `over_limit` is what the limits of the policy cut off.

    Where a part's own rule applies, billed = deductible + over_limit + paid. Where another `rule_id`
    stands, nothing is deducted and nothing is paid.
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
    """The result. `payable` is the sum of what the lines pay, also while others wait for a person."""

    lines: tuple[ClaimLine, ...]
    payable: int
    status: Literal["approved", "review"]
    reasons: tuple[Reason, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data, members named as here."""
        return {
            "lines": [asdict(line) for line in self.lines],
            "payable": self.payable,
            "status": self.status,
            "reasons": [asdict(reason) for reason in self.reasons],
        }


def compute(policy: Mapping[str, Any], bills: Sequence[Mapping[str, Any]]) -> Claim:
    """The claim for record data of `insurance.indemnity_policy` and `health.medical_bill`, as granted."""
    rules = Rules.load()
    try:
        terms = Policy.of(policy)
    except MissingDataError as error:
        return _claim([], [_missing(rules, f"policy: {path}") for path in error.paths])
    readable: list[Bill] = []
    reasons: list[Reason] = []
    for index, raw_bill in enumerate(bills):
        try:
            readable.append(Bill.of(raw_bill))
        except MissingDataError as error:
            reasons += [_missing(rules, f"bills[{index}]: {path}") for path in error.paths]
    counted = Counter((bill.institution.hira_code, bill.bill_no) for bill in readable)
    twice = frozenset(key for key, count in counted.items() if count > 1)
    left = YearLeft(terms, rules)
    lines: list[ClaimLine] = []
    for visit in _visits(readable):
        computable: list[Bill] = []
        for bill, finding in zip(visit, screen_visit(terms, visit, rules, twice=twice), strict=True):
            if finding is None:
                computable.append(bill)
                continue
            lines += _unpaid_lines(bill, finding, rules)
            if rules.findings[finding].needs_review:
                reasons.append(Reason(finding, bill.bill_no, None, rules.findings[finding].explanation))
        lines += _pay_visit(computable, terms, rules, left)
    return _claim(lines, reasons)


def _claim(lines: Sequence[ClaimLine], reasons: Sequence[Reason]) -> Claim:
    status: Literal["approved", "review"] = "review" if reasons else "approved"
    return Claim(tuple(lines), sum(line.paid for line in lines), status, tuple(reasons))


def _missing(rules: Rules, path: str) -> Reason:
    return Reason("review.data_missing", None, path, rules.findings["review.data_missing"].explanation)


def _visits(bills: Sequence[Bill]) -> Iterator[list[Bill]]:
    """Care at one institution on one day is one visit. Oldest first: yearly limits run in that order."""

    def visit_of(bill: Bill) -> tuple[str, str]:
        return bill.period.first, bill.institution.hira_code

    for _, group in groupby(sorted(bills, key=lambda bill: (*visit_of(bill), bill.bill_no)), key=visit_of):
        yield list(group)


def _unpaid_lines(bill: Bill, finding: str, rules: Rules) -> Iterator[ClaimLine]:
    explanation = rules.findings[finding].explanation
    if bill.covered > 0:
        yield ClaimLine(bill.bill_no, "covered", bill.covered, 0, 0, finding, explanation)
    if bill.noncovered > 0:
        yield ClaimLine(bill.bill_no, "noncovered", bill.noncovered, 0, 0, finding, explanation)


def _pay_visit(visit: Sequence[Bill], terms: Policy, rules: Rules, left: YearLeft) -> Iterator[ClaimLine]:
    never = rules.never_payable_categories
    covered = [(bill, bill.covered) for bill in visit if bill.covered > 0]
    noncovered = [(bill, bill.noncovered - bill.noncovered_of(never)) for bill in visit]
    parts: tuple[tuple[Part, list[tuple[Bill, int]]], ...] = (
        ("covered", covered),
        ("noncovered", [(bill, amount) for bill, amount in noncovered if amount > 0]),
    )
    for part, amounts in parts:
        if covers(terms, rules.parts[part]):
            yield from _pay_part(part, amounts, rules, left)
        else:
            explanation = rules.findings["gen4.not_insured"].explanation
            for bill, amount in amounts:
                yield ClaimLine(bill.bill_no, part, amount, 0, 0, "gen4.not_insured", explanation)
    explanation = rules.findings["gen4.never_payable"].explanation
    for bill in visit:
        if (fees := bill.noncovered_of(never)) > 0:
            yield ClaimLine(bill.bill_no, "noncovered", fees, 0, 0, "gen4.never_payable", explanation)


def _pay_part(
    part: Part, amounts: Sequence[tuple[Bill, int]], rules: Rules, left: YearLeft
) -> Iterator[ClaimLine]:
    if not amounts:
        return
    rule = rules.parts[part]
    fixed = max(rule.fixed_by_grade[bill.institution.grade] for bill, _ in amounts)
    shares = share_out([amount for _, amount in amounts], rule, fixed=fixed, room=left.room(part))
    left.spend(part, sum(share.paid for share in shares))
    for (bill, amount), share in zip(amounts, shares, strict=True):
        texts = [rule.explanation]
        texts += [rules.additions["same_visit"]] if len(amounts) > 1 else []
        texts += [rules.additions["over_limit"]] if share.over_limit else []
        numbers = {
            "billed": f"{amount:,}",
            "deductible": f"{share.deductible:,}",
            "over_limit": f"{share.over_limit:,}",
            "fixed": f"{fixed:,}",
            "rate": rule.rate_percent,
        }
        explanation = {lang: "".join(text[lang] for text in texts).format(**numbers) for lang in ("ko", "en")}
        yield ClaimLine(
            bill.bill_no, part, amount, share.deductible, share.paid, rule.id, explanation, share.over_limit
        )
