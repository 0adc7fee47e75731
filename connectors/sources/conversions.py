"""Conversions by name, for mappings that are data: from a cell's text to a value of ours."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Any, Final

from connectors.sources.mapping import (
    RefusedValueError,
    business_number,
    coded,
    day,
    identifier,
    text,
    whole,
)

Convert = Callable[[str], object]

_DASHED_DAY: Final = re.compile(r"([0-9]{4})[-./] ?([0-9]{1,2})[-./] ?([0-9]{1,2})\.?")
_NEGATIVE: Final = re.compile(r"(?:[-−△▲]\s*|\()[0-9][0-9,]*\)?")


def any_day(value: str) -> str:
    """`YYYYMMDD`, `YYYY-MM-DD`, `YYYY. M. D.` or `YYYY/M/D` to `YYYY-MM-DD`: what spreadsheets write."""
    found = _DASHED_DAY.fullmatch(value)
    if found is None:
        return day(value)
    try:
        return date(*map(int, found.groups())).isoformat()
    except ValueError:
        raise RefusedValueError("impossible_date") from None


def won(value: str) -> int:
    """Whole won that are not negative. A negative amount is named as such, however it is written."""
    if _NEGATIVE.fullmatch(value):
        raise RefusedValueError("negative_amount")
    return whole(value)


_CONVERSIONS: Final[Mapping[str, Convert]] = MappingProxyType(
    {
        "text": text,
        "identifier": identifier,
        "business_number": business_number,
        "day": any_day,
        "won": won,
    }
)


def conversion(told: Mapping[str, Any]) -> Convert:
    """The conversion that a column's entry names, or that of its `codes`. Raises KeyError."""
    if "codes" in told:
        return coded(told["codes"])
    return _CONVERSIONS[told["convert"]]
