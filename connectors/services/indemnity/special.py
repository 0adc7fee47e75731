"""The three special kinds of non-covered care: the sessions of a detailed bill, and what they are paid."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from connectors.services.indemnity.claim_input import Bill, Detail, Line, Row, SpecialUsed
from connectors.services.indemnity.payment import Share, by_rate, share_out
from connectors.services.indemnity.rules import Rules, SpecialRule

_WHOLE: Final = re.compile(r"[1-9][0-9]{0,2}(?:\.0{1,3})?")
_MOST_SESSIONS_IN_A_ROW: Final = 100
_COLUMNS: Final = ("covered_copay", "covered_nhis", "covered_full_self", "noncovered")


@dataclass(frozen=True)
class Session:
    """One session: its kind, and its amount on each bill that has a part of it."""

    group: str
    amounts: tuple[tuple[str, int], ...]

    @property
    def amount(self) -> int:
        """Of all bills."""
        return sum(amount for _, amount in self.amounts)


def sessions_of(bill: Bill, detail: Detail | None, rules: Rules) -> list[Session] | str:
    """The special sessions of a bill, or the finding that keeps them from being known.

    The flag of the detailed bill decides, not the category; where it is missing for care that could be
    special, nobody guesses.
    """
    if detail is None:
        has_some = bill.noncovered_of(rules.special_noncovered_categories) > 0
        return "review.special_noncovered" if has_some else []
    if not _agrees(bill, detail):
        return "review.data_differs"
    found: list[Session] = []
    for row in sorted(detail.rows, key=lambda row: (row.date, row.noncovered, row.model_dump_json())):
        if row.noncovered == 0 or row.special == "none":
            continue
        if row.special is None:
            if row.category in rules.special_noncovered_categories:
                return "review.special_noncovered"
            continue
        if row.category in rules.never_payable_categories | rules.room_difference_categories:
            return "review.data_differs"
        rule = rules.special.get(row.special)
        split = None if rule is None else _split(row, rule)
        if split is None:
            return "review.special_noncovered"
        found += [Session(row.special, ((bill.bill_no, amount),)) for amount in split]
    return found


def gather(sessions: Sequence[Session], group: str, rule: SpecialRule) -> list[Session]:
    """The sessions of one kind in one visit or stay; where the whole of it counts as one, they are one."""
    own = [session for session in sessions if session.group == group]
    if rule.session == "treatment" or not own:
        return own
    by_bill: dict[str, int] = {}
    for session in own:
        for number, amount in session.amounts:
            by_bill[number] = by_bill.get(number, 0) + amount
    return [Session(group, tuple(by_bill.items()))]


def pay_sessions(
    sessions: Sequence[Session], rule: SpecialRule, used: SpecialUsed
) -> tuple[list[list[Share]], SpecialUsed]:
    """The shares of each session, one for each bill of it, and what the year has used then.

    A session that is paid nothing does not count.
    """
    paid, count = used.paid, used.sessions
    shared = []
    for session in sessions:
        is_within = rule.most_sessions_per_year is None or count < rule.most_sessions_per_year
        shares = share_out(
            [amount for _, amount in session.amounts],
            deductible=max(rule.fixed, by_rate(session.amount, rule.rate_percent)),
            room=max(0, rule.most_per_year - paid) if is_within else 0,
        )
        now_paid = sum(share.paid for share in shares)
        paid += now_paid
        count += now_paid > 0
        shared.append(shares)
    return shared, SpecialUsed(paid=paid, sessions=count)


def _agrees(bill: Bill, detail: Detail) -> bool:
    """Whether bill and detailed bill say the same of every category."""

    def sums(lines: Sequence[Line]) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for line in lines:
            for column in _COLUMNS:
                found[line.category, column] += getattr(line, column)
        return +found  # without zeros

    return sums(bill.lines) == sums(detail.rows)


def _split(row: Row, rule: SpecialRule) -> list[int] | None:
    """The amount of each session in a row; None when the row does not tell how many there were."""
    if rule.session == "visit":
        return [row.noncovered]
    if _WHOLE.fullmatch(row.count) is None:
        return None
    count = int(row.count.partition(".")[0]) * row.days
    if count > _MOST_SESSIONS_IN_A_ROW:
        return None
    each, left = divmod(row.noncovered, count)
    return [each + (number < left) for number in range(count)]
