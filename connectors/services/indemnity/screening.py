"""Which papers the rules table decides, and what keeps it from deciding the others, in order."""

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.services.indemnity.care import Care
from connectors.services.indemnity.claim_input import Bill, Paper, PharmacyBill, Policy
from connectors.services.indemnity.papers import Papers, key_of
from connectors.services.indemnity.payment import PolicyYear
from connectors.services.indemnity.rules import PartRule, Rules, SpecialRule, StayRule
from connectors.services.indemnity.special import Session, gather, pay_sessions, sessions_of


@dataclass(frozen=True)
class Obstacle:
    """The finding that keeps a paper from being computed; `path` if a member of the policy is missing."""

    rule_id: str
    path: str | None = None


@dataclass(frozen=True)
class Screen:
    """The policy, the papers and the table that care is held against."""

    terms: Policy
    papers: Papers
    rules: Rules

    def screen(self, care: Care, year: PolicyYear) -> list[Obstacle | None]:
        """For each paper of a visit or stay what keeps it from being computed, or None.

        Each is decided as a whole: when one of its papers waits for a person, all do.
        """
        found = [self.policy_obstacle() or self._obstacle(paper, care) for paper in care.papers]
        is_elsewhere = all(found[: len(care.bills)]) and not self._is_held(found)
        if is_elsewhere:  # another insurer dealt with the visit: who dealt with its drugs is not clear
            found = [one or Obstacle("review.payer_unknown") for one in found]
        elif not self._is_held(found):
            in_year = self._year_obstacles(care, found, year)
            found = [one or in_year.get(paper.number) for one, paper in zip(found, care.papers, strict=True)]
        return [one or Obstacle("review.same_visit") for one in found] if self._is_held(found) else found

    def screen_apart(self, bill: PharmacyBill, finding: str) -> Obstacle:
        """What to say of drugs that belong to no visit here."""
        return self.policy_obstacle() or self._paper_obstacle(bill) or Obstacle(finding)

    def policy_obstacle(self) -> Obstacle | None:
        """What keeps anything from being computed under this policy."""
        if self.terms.generation != self.rules.generation:
            return Obstacle("review.other_generation")
        return None if self.terms.status == "active" else Obstacle("review.policy_not_active")

    def needs_review(self, obstacle: Obstacle) -> bool:
        """Whether a person decides it."""
        return self.rules.findings[obstacle.rule_id].needs_review

    def sessions(self, bill: Bill) -> list[Session]:
        """The special sessions of a bill that can be computed."""
        found = sessions_of(bill, self.papers.detail_of(bill), self.rules)
        return [] if isinstance(found, str) else found

    def _is_held(self, found: Sequence[Obstacle | None]) -> bool:
        return any(one is not None and self.needs_review(one) for one in found)

    def _obstacle(self, paper: Paper, care: Care) -> Obstacle | None:
        own = self._paper_obstacle(paper)
        if own is not None or isinstance(paper, PharmacyBill):
            return own
        finding = self._bill_finding(paper, care)
        return None if finding is None else Obstacle(finding)

    def _paper_obstacle(self, paper: Paper) -> Obstacle | None:
        special = sum(session.amount for session in self.sessions(paper)) if isinstance(paper, Bill) else 0
        amounts = {"covered": paper.covered, "noncovered": paper.noncovered - special}
        is_cover_in_part = any(
            amount > 0 and covers(self.terms, self.rules.parts[part]) is None
            for part, amount in amounts.items()
        )
        checks = (
            ("review.bill_twice", key_of(paper) in self.papers.twice),
            ("gen4.other_insurer", paper.patient_class in self.rules.other_insurer_classes),
            ("review.data_differs", not _adds_up(paper)),
            ("review.payer_unknown", not _national_insurer_paid(paper, self.rules)),
            ("review.cover_in_part", is_cover_in_part),
        )
        finding = next((finding for finding, stands_in_the_way in checks if stands_in_the_way), None)
        return None if finding is None else Obstacle(finding)

    def _bill_finding(self, bill: Bill, care: Care) -> str | None:
        terms, rules = self.terms, self.rules
        first, last = bill.period.first, bill.period.last
        is_visit = care.kind == "visit"
        is_day_care = is_visit and bill.care_type in rules.stay_care_types
        is_unclear = is_day_care and bill.charged_in(rules.day_care.unclear_categories) > 0
        sessions = sessions_of(bill, self.papers.detail_of(bill), rules)
        checks = (
            ("gen4.outside_contract", not terms.contract_date <= first <= last <= terms.end_date),
            ("review.care_type_unknown", bill.care_type not in rules.stay_care_types | {"outpatient"}),
            ("review.stays_overlap", care.has_overlap),
            ("review.visit_during_stay", care.is_within_stay),
            ("review.day_care_unclear", is_unclear),
            ("review.several_days", is_visit and first != last),
            ("review.policy_year", not terms.ytd_used.year_from <= first <= last <= terms.ytd_used.year_to),
            (
                "review.grade_unknown",
                is_visit and bill.institution.grade not in rules.parts["covered"].fixed_by_grade,
            ),
            ("review.detail_twice", key_of(bill) in self.papers.details_twice),
            (str(sessions), isinstance(sessions, str)),
        )
        return next((finding for finding, stands_in_the_way in checks if stands_in_the_way), None)

    def _year_obstacles(
        self, care: Care, found: Sequence[Obstacle | None], year: PolicyYear
    ) -> dict[str, Obstacle]:
        """What depends on the policy year so far: unknown use, and improvement that is to be shown."""
        obstacles: dict[str, Obstacle] = {}
        bills = [bill for bill, one in zip(care.bills, found, strict=False) if one is None]
        if care.kind == "stay" and year.own_share_left() is None:
            unknown = Obstacle("review.data_missing", "policy: $.ytd_used.inpatient_own_share")
            is_insured = covers(self.terms, self.rules.stays["covered"])
            obstacles |= {bill.number: unknown for bill in bills if is_insured and bill.covered > 0}
        sessions = [session for bill in bills for session in self.sessions(bill)]
        for group, rule in self.rules.special.items():
            own = gather(sessions, group, rule)
            obstacle = self._special_obstacle(group, own, year) if own and covers(self.terms, rule) else None
            if obstacle is not None:
                obstacles |= {number: obstacle for session in own for number, _ in session.amounts}
        return obstacles

    def _special_obstacle(self, group: str, own: Sequence[Session], year: PolicyYear) -> Obstacle | None:
        used, until = year.special(group), year.evidence_until(group)
        if used is None:
            return Obstacle("review.data_missing", f"policy: $.ytd_used.{group}")
        _, after = pay_sessions(own, self.rules.special[group], used)
        is_beyond = until is not None and after.sessions > until
        return Obstacle("review.improvement") if is_beyond else None


def covers(terms: Policy, rule: PartRule | StayRule | SpecialRule) -> bool | None:
    """Whether the policy insures this part; None when for injury or for illness only."""
    if rule.insured_as <= terms.coverages:
        return True
    return None if rule.insured_as & terms.coverages else False


def _adds_up(paper: Paper) -> bool:
    return paper.covered >= 0 and paper.covered + paper.noncovered == paper.totals.patient_total


def _national_insurer_paid(paper: Paper, rules: Rules) -> bool:
    """Known from the class of the patient if granted, else seen from a share that the insurer bore."""
    if paper.patient_class is not None:
        return paper.patient_class not in rules.unclear_classes
    return paper.national_share > 0
