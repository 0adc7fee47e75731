"""What a lender may learn instead of records: the band of an income, and totals of loans and balances.

Pure functions; a record of another shape raises, which makes the answer unknown. Another rule is another
version: answers name theirs.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib import resources
from typing import Any, Final

import orjson

Record = Mapping[str, Any]
Answer = Mapping[str, int | str]

_PACKAGE: Final = "connectors.services.lending"
_WON: Final = "KRW"


def _read_bands() -> tuple[tuple[int, str], ...]:
    told = orjson.loads(resources.files(_PACKAGE).joinpath("income_bands.json").read_bytes())
    return tuple((int(one["from"]), str(one["band"])) for one in told["bands"])


BANDS: Final = _read_bands()
"""Where each band begins, in won a year, and its name; published in `income_bands.json`."""


def income_band(records: Sequence[Record], as_of: date) -> Answer | None:
    """The band of the latest certified year's income, all kinds of income together, and the year.

    Not known for a year that is not over: it cannot have been certified.
    """
    year = max(record["year"] for record in records)
    if year >= as_of.year:
        return None
    income = sum(_won(record["amount"]) for record in records if record["year"] == year)
    return {"band": [band for least, band in BANDS if income >= least][-1], "year": year}


def loan_total(records: Sequence[Record], as_of: date) -> Answer:
    """What is left of all loans in won, how many there are, and how many of them are overdue."""
    del as_of
    loans = [loan for record in records for loan in record["loans"]]
    return {
        "total": sum(_won(loan["balance"]) for loan in loans),
        "loans": len(loans),
        "overdue_loans": sum(_won(loan["overdue_amount"]) > 0 for loan in loans),
    }


def balance_total(records: Sequence[Record], as_of: date) -> Answer:
    """What the accounts in won hold that are the person's alone, and how many accounts count.

    Of what is held together nobody knows which part is whose; another currency is not converted.
    """
    del as_of
    own = [record for record in records if record["currency"] == _WON and record["co_held"] is False]
    return {"total": sum(_won(record["balance"]) for record in own), "accounts": len(own)}


def _won(amount: object) -> int:
    if type(amount) is not int:
        message = "not an amount"
        raise TypeError(message)
    return amount


DERIVATIONS: Final[Mapping[str, Callable[[Sequence[Record], date], Answer | None]]] = {
    "income.band@1": income_band,
    "credit.loan_total@1": loan_total,
    "finance.balance_total@1": balance_total,
}
"""Every function by its rule, `name@version`; the broker registers them."""
