"""What a tenant may learn instead of records: what earlier tenants have deposited, as one sum.

Pure; a record of another shape raises, which makes the answer unknown.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final

Record = Mapping[str, Any]
Answer = Mapping[str, int | str]


def senior_deposits_total(records: Sequence[Record], as_of: date) -> Answer:
    """The deposits of all leases with a fixed date that have not ended, in won, and how many those are.

    A lease whose period is over counts until the register says that it has ended: it goes on unless somebody
    moves out (주택임대차보호법 article 6), and the deposit is owed until then (article 4).
    """
    standing = [
        record for record in records if record.get("ended_on") is None or _day(record["ended_on"]) > as_of
    ]
    return {"total": sum(_won(record["deposit"]) for record in standing), "leases": len(standing)}


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _won(amount: object) -> int:
    if type(amount) is not int:
        message = "not an amount"
        raise TypeError(message)
    return amount


DERIVATIONS: Final[Mapping[str, Callable[[Sequence[Record], date], Answer | None]]] = {
    "realestate.senior_deposits_total@1": senior_deposits_total,
}
"""Every function by its rule, `name@version`; the broker registers them."""
