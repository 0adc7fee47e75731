"""Whether a tenant's deposit is at risk, by published rules (`deposit_rules.json`). Pure.

What is registered before a deposit is paid before it (주택임대차보호법 article 3-2): if that and the deposit
come to more than the home is worth, somebody gets less than they gave.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import resources
from typing import Any, Final

import orjson

Record = Mapping[str, Any]
_OWNING: Final = frozenset({"preservation", "transfer"})


@dataclass(frozen=True, slots=True)
class Senior:
    """What comes before the new deposit, in won: on the registry, and deposits of other leases."""

    registered: int
    deposits: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """The outcome. `reasons` are codes: `over_value`, `stop_on_title`. `paid_first`: won, 0 for none."""

    is_at_risk: bool
    reasons: tuple[str, ...]
    paid_first: int


def judge(*, address: str, deposit: int, value: int, senior: Senior, title: Record) -> Judgement:
    """Judge a deposit on a home of this value; all amounts in won. `title` is its registry record."""
    reasons = []
    if senior.registered + senior.deposits + deposit > value:
        reasons.append("over_value")
    if any(entry["kind"] in _STOPS for entry in _standing(title["ownership"])):
        reasons.append("stop_on_title")
    return Judgement(bool(reasons), tuple(reasons), _paid_first(address, deposit, value))


def owners(title: Record) -> frozenset[str]:
    """Who owns the home now: the parties of the last entry of ownership that stands, with its sub-entries."""
    entries = [entry for entry in _standing(title["ownership"]) if entry["kind"] in _OWNING]
    if not entries:
        return frozenset()
    last = max(_main_rank(entry) for entry in entries)
    return frozenset(entry["party"] for entry in entries if _main_rank(entry) == last)


def registered_before(title: Record) -> int:
    """What stands on the registry beside ownership, in won: mortgages with the most they secure, leases."""
    return sum(_won(entry["amount"]) for entry in _standing(title["encumbrances"]))


def standing_leases(records: Sequence[Record], as_of: date) -> list[Record]:
    """The leases with a fixed date that have not ended: a deposit is owed until the tenant has left."""
    return [
        record
        for record in records
        if record.get("ended_on") is None or date.fromisoformat(record["ended_on"]) > as_of
    ]


def _paid_first(address: str, deposit: int, value: int) -> int:
    area = next(one for one in _SMALL if any(address.startswith(prefix) for prefix in one["prefixes"]))
    if deposit > area["deposit_at_most"]:
        return 0
    return min(int(area["paid_first"]), deposit, value // 2)


def _standing(entries: Sequence[Record]) -> list[Record]:
    return [entry for entry in entries if entry["is_cancelled"] is False]


def _main_rank(entry: Record) -> int:
    return int(str(entry["rank"]).partition("-")[0])


def _won(amount: object) -> int:
    if type(amount) is not int:
        message = "not an amount"
        raise TypeError(message)
    return amount


def _rules() -> dict[str, Any]:
    told = resources.files("connectors.services.lease").joinpath("deposit_rules.json").read_bytes()
    loaded: dict[str, Any] = orjson.loads(told)
    return loaded


_RULES: Final = _rules()
_SMALL: Final[Sequence[Record]] = _RULES["small_deposits"]
_STOPS: Final = frozenset(_RULES["stops"])
