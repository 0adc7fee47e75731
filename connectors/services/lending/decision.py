"""The pre-decision: from signed answers to yes, no, or a person. Pure, by the published rules alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from connectors.services.lending.derivations import BANDS
from connectors.services.lending.rules import Rules, Texts
from connectors.services.relying_party.answers import SignedAnswer

INCOME: Final = "income.certificate"
EMPLOYMENT: Final = "employment.history"
LOANS: Final = "credit.loan_balance"
ACCOUNTS: Final = "finance.account"

Status = Literal["approved", "rejected", "review"]

_FLOORS: Final = {band: least for least, band in BANDS}


@dataclass(frozen=True, slots=True)
class Findings:
    """What the answers say; None where they do not. `income` and `savings`: at least so many won."""

    is_employed: bool | None = None
    is_overdue: bool | None = None
    income: int | None = None
    loan_total: int | None = None
    savings: int | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One rule applied: whether it holds, None if that is not known, and what the person is told."""

    rule_id: str
    part: str
    holds: bool | None
    explanation: Texts


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome, the amount that is lent, the yearly rate in hundredths of a per cent, and why."""

    status: Status
    payable: int
    rate: int | None
    checks: tuple[Check, ...]
    explanation: Texts

    def to_json(self, reference: str, amount: int) -> dict[str, Any]:
        """As the person reads it, by way of the broker."""
        return {
            "kind": "loan",
            "status": self.status,
            "reference": reference,
            "payable": self.payable,
            "lines": [
                {
                    "bill_no": reference,
                    "part": check.part,
                    "billed": amount,
                    "deductible": 0,
                    "paid": self.payable,
                    "rule_id": check.rule_id,
                    "explanation": dict(check.explanation),
                }
                for check in self.checks
            ],
            "explanation": dict(self.explanation),
        }


def findings_of(answers: Mapping[str, SignedAnswer | None]) -> Findings:
    """Read the answers, by record type, as they were asked or as the person chose to give them."""
    loans = _value(answers, LOANS)
    is_clear = loans if isinstance(loans, bool) else None
    told = loans if isinstance(loans, Mapping) else {}
    return Findings(
        is_employed=_yes_or_no(_value(answers, EMPLOYMENT)),
        is_overdue=told["overdue_loans"] > 0 if told else None if is_clear is None else not is_clear,
        income=_at_least(answers, INCOME, lambda told: _FLOORS[told["band"]]),
        loan_total=told["total"] if told else None,
        savings=_at_least(answers, ACCOUNTS, lambda told: told["total"]),
    )


def decide(amount: int, found: Findings, rules: Rules) -> Decision:
    """Every rule on an amount in won. One that fails says no; one that cannot be judged asks a person."""
    checks = tuple(_checks(amount, found, rules))
    verdicts = {check.holds for check in checks}
    status: Status = "rejected" if False in verdicts else "review" if None in verdicts else "approved"
    rate = _rate(amount, found, rules) if status == "approved" else None
    said = {
        language: sentence.format(rate="" if rate is None else f"{rate // 100}.{rate % 100:02}")
        for language, sentence in rules.summary[status].items()
    }
    return Decision(status, amount if status == "approved" else 0, rate, checks, said)


def _checks(amount: int, found: Findings, rules: Rules) -> Iterator[Check]:
    yield _check(rules, "LN-EMPLOYED", "employment", found.is_employed)
    yield _check(
        rules, "LN-NOT-OVERDUE", "overdue", None if found.is_overdue is None else not found.is_overdue
    )
    step = rules.step_for(amount)
    if step is not None:
        holds = None if found.income is None else found.income >= step.income_at_least
        yield _check(rules, "LN-INCOME", "income", holds, floor=step.income_at_least)
        return
    percent = rules.by_totals.percent_of_income
    if found.income is None or found.loan_total is None:
        yield _check(rules, "LN-LIMIT", "limit", None)
        return
    limit = found.income * percent // 100
    yield _check(rules, "LN-LIMIT", "limit", amount + found.loan_total <= limit, percent=percent, limit=limit)


def _check(rules: Rules, rule_id: str, part: str, holds: bool | None, **amounts: int) -> Check:  # noqa: FBT001 - a verdict
    texts = rules.unknown if holds is None else rules.rules[rule_id]["yes" if holds else "no"]
    told = {name: f"{amount:,}" for name, amount in amounts.items()}
    return Check(rule_id, part, holds, {language: text.format(**told) for language, text in texts.items()})


def _rate(amount: int, found: Findings, rules: Rules) -> int:
    wanted = amount * rules.rate.savings_percent // 100
    has_savings = found.savings is not None and found.savings >= wanted
    return rules.rate.reduced if has_savings else rules.rate.base


def _value(answers: Mapping[str, SignedAnswer | None], record_type: str) -> object:
    answer = answers.get(record_type)
    return None if answer is None else answer.answer


def _yes_or_no(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _at_least(answers: Mapping[str, SignedAnswer | None], record_type: str, derived: Any) -> int | None:  # noqa: ANN401 - how its derivation is read
    """The least that an answer leaves: the asked constant for yes, nothing for no, what a derivation says."""
    answer = answers.get(record_type)
    if answer is None or answer.answer is None:
        return None
    if isinstance(answer.answer, Mapping):
        return int(derived(answer.answer))
    return answer.asked if answer.answer and isinstance(answer.asked, int) else 0
