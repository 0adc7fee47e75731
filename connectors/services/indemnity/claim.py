"""The indemnity claim of the 4th generation: exact won, each line with the rule that gave it.

Pure. What the rules table does not decide goes to a person (status `review`) and is never guessed.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from connectors.services.indemnity.care import Care, Visit, group
from connectors.services.indemnity.claim_input import MissingDataError, Paper, PharmacyBill, Policy
from connectors.services.indemnity.joining import visit_of
from connectors.services.indemnity.papers import Papers, RawRecords, key_of, read_papers
from connectors.services.indemnity.paying import Payer, only
from connectors.services.indemnity.payment import PolicyYear
from connectors.services.indemnity.result import Claim, ClaimLine, Reason
from connectors.services.indemnity.rules import Rules
from connectors.services.indemnity.screening import Obstacle, Screen

__all__ = ["Claim", "ClaimLine", "Reason", "cares_of", "compute"]


def compute(
    policy: Mapping[str, Any],
    bills: RawRecords,
    *,
    details: RawRecords = (),
    prescriptions: RawRecords = (),
    pharmacy_bills: RawRecords = (),
) -> Claim:
    """The claim for record data of `insurance.indemnity_policy` and `health.medical_bill`, as granted.

    `details` (`health.medical_bill_detail`) decide special non-covered care; `pharmacy_bills` are joined to
    their visits, by `prescriptions` if need be. The order of the records does not matter.
    """
    rules = Rules.load()
    try:
        terms = Policy.of(policy)
    except MissingDataError as error:
        return _claim([], [_missing(rules, f"policy: {path}") for path in error.paths], {})
    papers = read_papers(bills, details, prescriptions, pharmacy_bills)
    year = PolicyYear(terms, rules)
    screen, payer = Screen(terms, papers, rules), Payer(terms, rules, year)
    reasons = [_missing(rules, path) for path in papers.unreadable]
    lines: list[ClaimLine] = []
    cares, apart = cares_of(papers, rules)
    for care in cares:
        obstacles = screen.screen(care, year)
        computable: list[Paper] = []
        for paper, obstacle in zip(care.papers, obstacles, strict=True):
            if obstacle is None:
                computable.append(paper)
                continue
            lines += payer.unpaid_paper(paper, obstacle.rule_id)
            reasons += _reasons(screen, paper, obstacle)
        paid = only(care, computable)
        lines += payer.pay(paid, [session for bill in paid.bills for session in screen.sessions(bill)])
    for bill, finding in apart:
        obstacle = screen.screen_apart(bill, finding)
        lines += payer.unpaid_paper(bill, obstacle.rule_id)
        reasons += _reasons(screen, bill, obstacle)
    return _claim(lines, reasons, year.to_json())


def cares_of(papers: Papers, rules: Rules) -> tuple[list[Care], list[tuple[PharmacyBill, str]]]:
    """Visits and stays with the drugs that belong to them, and the drugs that belong to none."""
    cares = group(papers.bills, rules)
    visits = {(care.first, care.institution) for care in cares if care.kind == "visit"}
    joined: defaultdict[Visit, list[PharmacyBill]] = defaultdict(list)
    apart: list[tuple[PharmacyBill, str]] = []
    for bill in sorted(papers.pharmacy_bills, key=lambda bill: (*key_of(bill), bill.model_dump_json())):
        found = visit_of(bill, papers.prescriptions, visits)
        if isinstance(found, str):
            apart.append((bill, found))
        else:
            joined[found].append(bill)
    return [
        care if care.kind == "stay" else care.with_drugs(joined[care.first, care.institution])
        for care in cares
    ], apart


def _claim(lines: Sequence[ClaimLine], reasons: Sequence[Reason], used_after: Mapping[str, Any]) -> Claim:
    status: Literal["approved", "review"] = "review" if reasons else "approved"
    return Claim(tuple(lines), sum(line.paid for line in lines), status, tuple(reasons), used_after)


def _reasons(screen: Screen, paper: Paper, obstacle: Obstacle) -> Iterator[Reason]:
    if screen.needs_review(obstacle):
        finding = screen.rules.findings[obstacle.rule_id]
        yield Reason(obstacle.rule_id, paper.number, obstacle.path, finding.explanation)


def _missing(rules: Rules, path: str) -> Reason:
    return Reason("review.data_missing", None, path, rules.findings["review.data_missing"].explanation)
