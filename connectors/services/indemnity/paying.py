"""What the rules pay for one visit or stay: its lines, each with the rule that gave it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from connectors.services.indemnity.care import Care
from connectors.services.indemnity.claim_input import Bill, Paper, Policy
from connectors.services.indemnity.payment import Part, PolicyYear, Share, by_rate, share_out
from connectors.services.indemnity.result import ClaimLine
from connectors.services.indemnity.rules import Rules, Texts
from connectors.services.indemnity.screening import covers
from connectors.services.indemnity.special import Session, gather, pay_sessions

Amounts = list[tuple[str, int]]
"""A part of some papers: their numbers, and amounts above zero."""


class _Rule(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def explanation(self) -> Texts: ...

    @property
    def rate_percent(self) -> int: ...


@dataclass(frozen=True)
class Payer:
    """Pays what was screened, under one policy, out of one policy year."""

    terms: Policy
    rules: Rules
    year: PolicyYear

    def pay(self, care: Care, sessions: Sequence[Session]) -> Iterator[ClaimLine]:
        """The lines of a visit or stay, whose papers and special sessions can all be computed."""
        special = _by_number(sessions)
        rooms = self.rules.room_difference_categories if care.kind == "stay" else frozenset()
        fees = _amounts(care.bills, self.rules.never_payable_categories)
        difference = _amounts(care.bills, rooms)
        covered = [(paper.number, paper.covered) for paper in care.papers if paper.covered > 0]
        taken = [dict(fees), dict(difference), special]
        noncovered = [
            (paper.number, paper.noncovered - sum(amounts.get(paper.number, 0) for amounts in taken))
            for paper in care.papers
        ]
        noncovered = [(number, amount) for number, amount in noncovered if amount > 0]
        if care.kind == "visit":
            yield from self._visit_part(care, "covered", covered)
            yield from self._visit_part(care, "noncovered", noncovered)
        else:
            yield from self._stay_part(care, "covered", covered)
            yield from self._stay_part(care, "noncovered", noncovered)
            yield from self._stay_part(care, "room_difference", difference)
        for group in self.rules.special:
            yield from self._special(group, sessions)
        yield from self.unpaid("noncovered", fees, "gen4.never_payable")

    def unpaid(self, part: Part, amounts: Amounts, finding: str) -> Iterator[ClaimLine]:
        """Lines that pay nothing, for one reason."""
        explanation = self.rules.findings[finding].explanation
        for number, amount in amounts:
            yield ClaimLine(number, part, amount, 0, 0, finding, explanation)

    def unpaid_paper(self, paper: Paper, finding: str) -> Iterator[ClaimLine]:
        """The lines of a paper that is not computed."""
        parts: tuple[tuple[Part, int], ...] = (("covered", paper.covered), ("noncovered", paper.noncovered))
        for part, amount in parts:
            if amount > 0:
                yield from self.unpaid(part, [(paper.number, amount)], finding)

    def _visit_part(self, care: Care, part: Part, amounts: Amounts) -> Iterator[ClaimLine]:
        if not amounts:
            return
        rule = self.rules.parts[part]
        if not covers(self.terms, rule):
            yield from self.unpaid(part, amounts, "gen4.not_insured")
            return
        fixed = max(rule.fixed_by_grade[bill.institution.grade] for bill in care.bills)
        whole = sum(amount for _, amount in amounts)
        shares = share_out(
            [amount for _, amount in amounts],
            deductible=max(fixed, by_rate(whole, rule.rate_percent)),
            room=self.year.visit_room(part),
        )
        self.year.spend(part, sum(share.paid for share in shares), is_visit=True)
        drugs = {drug.number for drug in care.drugs}
        told = {number for number, _ in amounts}
        additions = ["same_visit"] if len(told - drugs) > 1 else []
        additions += ["pharmacy"] if told & drugs else []
        for (number, amount), share in zip(amounts, shares, strict=True):
            yield self._line(
                rule, part, (number, amount), share, additions=additions, numbers={"fixed": fixed}
            )

    def _stay_part(self, care: Care, name: str, amounts: Amounts) -> Iterator[ClaimLine]:
        part: Part = "covered" if name == "covered" else "noncovered"
        if not amounts:
            return
        rule = self.rules.stays[name]
        if not covers(self.terms, rule):
            yield from self.unpaid(part, amounts, "gen4.not_insured")
            return
        deductible = by_rate(sum(amount for _, amount in amounts), rule.rate_percent)
        room = self.year.room(part)
        additions: list[str] = []
        if rule.most_per_day is not None:
            room = min(room, rule.most_per_day * care.days)
        if part == "covered" and (left := self.year.own_share_left()) is not None:
            additions = ["own_share_full"] if left < deductible else []
            deductible = min(deductible, left)
            self.year.bear(deductible)
        shares = share_out([amount for _, amount in amounts], deductible=deductible, room=room)
        self.year.spend(part, sum(share.paid for share in shares), is_visit=False)
        numbers = {
            "days": care.days,
            "most_per_day": rule.most_per_day or 0,
            "own_share_cap": self.rules.most_inpatient_own_share,
        }
        for (number, amount), share in zip(amounts, shares, strict=True):
            yield self._line(rule, part, (number, amount), share, additions=additions, numbers=numbers)

    def _special(self, group: str, sessions: Sequence[Session]) -> Iterator[ClaimLine]:
        rule = self.rules.special[group]
        own = gather(sessions, group, rule)
        if not own:
            return
        used = self.year.special(group)
        if used is None or not covers(self.terms, rule):
            yield from self.unpaid("noncovered", list(_by_number(own).items()), "gen4.not_insured")
            return
        shared, after = pay_sessions(own, rule, used)
        self.year.spend_special(group, after)
        by_bill: dict[str, tuple[int, int, Share]] = {}
        for session, shares in zip(own, shared, strict=True):
            for (number, amount), share in zip(session.amounts, shares, strict=True):
                billed, count, sum_of = by_bill.get(number, (0, 0, Share(0, 0, 0)))
                by_bill[number] = (billed + amount, count + 1, sum_of.plus(share))
        for number, (billed, count, share) in by_bill.items():
            numbers = {"fixed": rule.fixed, "sessions": count}
            yield self._line(rule, "noncovered", (number, billed), share, additions=[], numbers=numbers)

    def _line(  # noqa: PLR0913 - one line has this many sides
        self,
        rule: _Rule,
        part: Part,
        paper: tuple[str, int],
        share: Share,
        *,
        additions: Sequence[str],
        numbers: Mapping[str, int],
    ) -> ClaimLine:
        number, amount = paper
        told = [*additions, "over_limit"] if share.over_limit else additions
        texts = [rule.explanation, *(self.rules.additions[name] for name in told)]
        amounts = {
            **numbers,
            "billed": amount,
            "deductible": share.deductible,
            "over_limit": share.over_limit,
            "rate": rule.rate_percent,
        }
        written = {name: f"{value:,}" for name, value in amounts.items()}
        explanation = {lang: "".join(text[lang] for text in texts).format(**written) for lang in ("ko", "en")}
        return ClaimLine(
            number, part, amount, share.deductible, share.paid, rule.id, explanation, share.over_limit
        )


def only(care: Care, papers: Sequence[Paper]) -> Care:
    """The same visit or stay with only some of its papers."""
    return replace(
        care,
        bills=tuple(bill for bill in care.bills if bill in papers),
        drugs=tuple(drug for drug in care.drugs if drug in papers),
    )


def _amounts(bills: Sequence[Bill], categories: frozenset[str]) -> Amounts:
    amounts = [(bill.number, bill.noncovered_of(categories)) for bill in bills]
    return [(number, amount) for number, amount in amounts if amount > 0]


def _by_number(sessions: Sequence[Session]) -> dict[str, int]:
    found: dict[str, int] = {}
    for session in sessions:
        for number, amount in session.amounts:
            found[number] = found.get(number, 0) + amount
    return found
