"""What the bank asks for: yes and no where they settle the amount, totals where they do not."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from connectors.services.lending.decision import ACCOUNTS, EMPLOYMENT, INCOME, LOANS
from connectors.services.lending.rules import RULES, Rules

_KST: Final = timezone(timedelta(hours=9), "KST")
_WINDOW: Final = timedelta(hours=23)  # the purpose allows a day, counted from when the broker sees it
_LOOK_BACK: Final = timedelta(days=900)  # until July the newest certificate is of the year before last
_KEPT: Final = "P90D"


def asked_terms(  # noqa: PLR0913 - who asks whom, for what, for how much, and when
    *,
    issuer: str,
    purpose: str,
    holders: tuple[str, ...],
    amount: int,
    now: datetime,
    rules: Rules = RULES,
) -> dict[str, Any]:
    """The `mydata_consent` object for a loan of this amount in won: once, within a day, kept for 90 days."""
    today = now.astimezone(_KST).date()
    begin = now.astimezone(UTC).replace(microsecond=0)
    return {
        "type": "mydata_consent",
        "locations": [f"{issuer}/v1/records"],
        "actions": ["read"],
        "purpose": purpose,
        "items": _items(amount, rules),
        "holders": list(holders),
        "access": {
            "kind": "once",
            "max_pulls": 1,
            "valid_from": begin.isoformat(),
            "valid_until": (begin + _WINDOW).isoformat(),
        },
        "data_period": {"from": (today - _LOOK_BACK).isoformat(), "to": today.isoformat()},
        "retention": {"store": True, "period": _KEPT, "on_end": "delete"},
    }


def _items(amount: int, rules: Rules) -> list[dict[str, Any]]:
    """Savings are asked for as an option: they make the loan cheaper and decide nothing."""
    step = rules.step_for(amount)
    savings = _derived(ACCOUNTS, "finance.balance_total", required=False)
    if step is None:
        return [
            _derived(INCOME, "income.band"),
            _predicate(EMPLOYMENT, "employed_now"),
            _derived(LOANS, "credit.loan_total"),
            savings,
        ]
    return [
        _predicate(INCOME, "income_at_least", step.income_at_least),
        _predicate(EMPLOYMENT, "employed_now"),
        _predicate(LOANS, "no_loan_overdue"),
        savings,
    ]


def _predicate(record_type: str, name: str, value: int | None = None) -> dict[str, Any]:
    asked = {"name": name} if value is None else {"name": name, "value": value}
    return {"record_type": record_type, "mode": "predicate", "predicate": asked, "required": True}


def _derived(record_type: str, derivation: str, *, required: bool = True) -> dict[str, Any]:
    return {"record_type": record_type, "mode": "derived", "derivation": derivation, "required": required}
