"""A recipient's decisions in words: what stands on each delivery, and what stood before. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from broker.web.citizen import wording
from broker.web.i18n import Words
from consent.reading import DecisionView
from consent.vocabulary import DecisionStatus


@dataclass(frozen=True, slots=True)
class ClaimLine:
    """One line of a recipient's decision: which bill and part, the amounts in won, the rule, and why."""

    bill_no: str
    part: str
    billed: int
    deductible: int
    over_limit: int
    paid: int
    rule_id: str
    explanation: str


@dataclass(frozen=True, slots=True)
class DecisionWords:
    """A recipient's decision in words.

    `is_waiting`: a person is looking, and another decision follows. `follows_another`: it came after one
    that a person was to look at; `answered_request_of` is when the citizen had asked for that. `is_loan`:
    what is payable is lent, and the lines are rules.
    """

    decision_id: str
    received_at: datetime
    review_requested_at: datetime | None
    status: str
    is_waiting: bool
    is_loan: bool
    follows_another: bool
    answered_request_of: datetime | None
    reference: str
    payable: int
    explanation: str
    lines: tuple[ClaimLine, ...]

    @property
    def has_limits(self) -> bool:
        """Whether a limit of the policy cut off anything."""
        return any(line.over_limit for line in self.lines)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided on one delivery; `standing` is None once the decisions were erased."""

    standing: DecisionWords | None
    earlier: tuple[DecisionWords, ...]


def outcomes(words: Words, decisions: Sequence[DecisionView]) -> list[Outcome]:
    """The decisions of a consent by delivery, the newest first. `decisions` are in the order they came."""
    by_delivery: dict[str, list[DecisionView]] = {}
    for decision in reversed(decisions):
        by_delivery.setdefault(decision.delivery_id, []).append(decision)
    return [_outcome(words, newest_first) for newest_first in by_delivery.values()]


def _outcome(words: Words, newest_first: list[DecisionView]) -> Outcome:
    replaced: list[DecisionView | None] = [*newest_first[1:], None]
    # One key seals the decisions of a consent: they are erased together.
    told = [
        _decision(words, decision, decision.body, before)
        for decision, before in zip(newest_first, replaced, strict=True)
        if decision.body is not None
    ]
    return Outcome(told[0], tuple(told[1:])) if told else Outcome(None, ())


def _decision(
    words: Words, decision: DecisionView, body: Mapping[str, Any], before: DecisionView | None
) -> DecisionWords:
    """One decision, whose shape was checked when it came in; `before` is the one that it replaced."""
    return DecisionWords(
        decision_id=decision.decision_id,
        received_at=decision.received_at,
        review_requested_at=decision.review_requested_at,
        status=wording.decision_in_words(words, body["status"]),
        is_waiting=body["status"] == DecisionStatus.REVIEW,
        is_loan=body.get("kind") == "loan",
        follows_another=before is not None,
        answered_request_of=before.review_requested_at if before is not None else None,
        reference=body["reference"],
        payable=body["payable"],
        explanation=body["explanation"][words.language],
        lines=tuple(_claim_line(words, line) for line in body["lines"]),
    )


def _claim_line(words: Words, line: Mapping[str, Any]) -> ClaimLine:
    return ClaimLine(
        bill_no=line["bill_no"],
        part=wording.part_in_words(words, line["part"]),
        billed=line["billed"],
        deductible=line["deductible"],
        over_limit=line.get("over_limit", 0),
        paid=line["paid"],
        rule_id=line["rule_id"],
        explanation=line["explanation"][words.language],
    )
