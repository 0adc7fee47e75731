"""Which bills the rules table decides, and what keeps it from deciding the others, in order."""

from collections.abc import Sequence

from connectors.services.indemnity.claim_input import Bill, Policy
from connectors.services.indemnity.rules import PartRule, Rules


def screen_visit(
    terms: Policy, visit: Sequence[Bill], rules: Rules, *, twice: frozenset[tuple[str, str]]
) -> list[str | None]:
    """For each bill of one visit the finding that keeps it from being computed, or None.

    `twice` holds (institution, bill number) of bills that came more than once. A visit is decided as a
    whole: when one of its bills waits for a person, all do.
    """
    general = _policy_finding(terms, rules)
    findings = [general or _duplicate(bill, twice) or _bill_finding(terms, bill, rules) for bill in visit]
    if any(finding is not None and rules.findings[finding].needs_review for finding in findings):
        return [finding or "review.same_visit" for finding in findings]
    return findings


def covers(terms: Policy, rule: PartRule) -> bool | None:
    """Whether the policy insures this part; None when for injury or for illness only."""
    if rule.insured_as <= terms.coverages:
        return True
    return None if rule.insured_as & terms.coverages else False


def _policy_finding(terms: Policy, rules: Rules) -> str | None:
    if terms.generation != rules.generation:
        return "review.other_generation"
    if terms.status != "active":
        return "review.policy_not_active"
    return None


def _duplicate(bill: Bill, twice: frozenset[tuple[str, str]]) -> str | None:
    return "review.bill_twice" if (bill.institution.hira_code, bill.bill_no) in twice else None


def _bill_finding(terms: Policy, bill: Bill, rules: Rules) -> str | None:
    first, last = bill.period.first, bill.period.last
    checks = (
        ("gen4.other_insurer", bill.patient_class in rules.other_insurer_classes),
        ("gen4.outside_contract", not terms.contract_date <= first <= last <= terms.end_date),
        ("review.not_outpatient", bill.care_type != "outpatient"),
        ("review.several_days", first != last),
        ("review.policy_year", not terms.ytd_used.year_from <= first <= terms.ytd_used.year_to),
        ("review.grade_unknown", bill.institution.grade not in rules.parts["covered"].fixed_by_grade),
        ("review.data_differs", not _adds_up(bill)),
        ("review.payer_unknown", not _national_insurer_paid(bill, rules)),
        ("review.special_noncovered", bill.noncovered_of(rules.special_noncovered_categories) > 0),
        ("review.cover_in_part", _is_cover_in_part(terms, bill, rules)),
    )
    return next((finding for finding, stands_in_the_way in checks if stands_in_the_way), None)


def _adds_up(bill: Bill) -> bool:
    return bill.covered >= 0 and bill.covered + bill.noncovered == bill.totals.patient_total


def _national_insurer_paid(bill: Bill, rules: Rules) -> bool:
    """Known from the class of the patient if granted, else seen from a share that the insurer bore."""
    if bill.patient_class is not None:
        return bill.patient_class not in rules.unclear_classes
    return any(line.covered_nhis > 0 for line in bill.lines)


def _is_cover_in_part(terms: Policy, bill: Bill, rules: Rules) -> bool:
    amounts = {"covered": bill.covered, "noncovered": bill.noncovered}
    return any(amount > 0 and covers(terms, rules.parts[part]) is None for part, amount in amounts.items())
