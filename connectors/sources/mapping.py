"""From a holder's own field names to ours, as a table: columns, conversions, and the way back for faults.

Faults name the holder's own fields, because the holder is who mends them. They never hold a value.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from vault.errors import Fault
from vault.identifiers import looks_like_rrn
from vault.record_types.rules import member_path

_DAY: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_WHOLE: Final = re.compile(r"[0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3}){1,4}")
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_BUSINESS_NUMBER: Final = re.compile(r"[0-9]{3}-[0-9]{2}-[0-9]{5}")
_INDEX: Final = re.compile(r"\[([0-9]+)\]")


class RefusedValueError(Exception):
    """A conversion does not take a value: `rule` says why."""

    def __init__(self, rule: str) -> None:
        self.rule = rule
        super().__init__(rule)


@dataclass(frozen=True)
class Column:
    """One field: the holder's name, our dotted path, how it is converted from text."""

    source: str
    target: str
    convert: Callable[[str], object]
    is_required: bool = True


@dataclass(frozen=True)
class Rows:
    """A list of objects under one of the holder's names, each with columns of its own."""

    source: str
    target: str
    columns: tuple[Column, ...]


Table = Sequence[Column | Rows]


def text(value: str) -> str:
    """As it is, without blanks around it."""
    return value.strip()


def person_name(value: str) -> str:
    """The name of whose record it is, where the record itself does not hold it: nobody checks it later."""
    if looks_like_rrn(value):
        raise RefusedValueError("contains_resident_registration_number")
    return value.strip()


def identifier(value: str) -> str:
    """A number or code by which a holder knows something. Never a resident registration number."""
    if looks_like_rrn(value):
        raise RefusedValueError("contains_resident_registration_number")
    if _IDENTIFIER.fullmatch(value) is None:
        raise RefusedValueError("not_an_identifier")
    return value


def business_number(value: str) -> str:
    """A business registration number as `NNN-NN-NNNNN`."""
    if _BUSINESS_NUMBER.fullmatch(value) is None:
        raise RefusedValueError("not_a_business_number")
    return value


def day(value: str) -> str:
    """`YYYYMMDD` to `YYYY-MM-DD`."""
    found = _DAY.fullmatch(value)
    if found is None:
        raise RefusedValueError("not_a_date")
    try:
        return date(*map(int, found.groups())).isoformat()
    except ValueError:
        raise RefusedValueError("impossible_date") from None


def whole(value: str) -> int:
    """A whole number that is not negative, with or without commas between thousands."""
    if _WHOLE.fullmatch(value) is None:
        raise RefusedValueError("not_a_whole_number")
    return int(value.replace(",", ""))


def signed(value: str) -> int:
    """A whole number, after a minus sign if it is negative."""
    return -whole(value[1:]) if value.startswith("-") else whole(value)


def flag(value: str) -> bool:
    """`Y` or `N`."""
    if value not in {"Y", "N"}:
        raise RefusedValueError("unknown_code")
    return value == "Y"


def coded(codes: Mapping[str, str]) -> Callable[[str], str]:
    """The holder's code to ours."""

    def convert(value: str) -> str:
        if value not in codes:
            raise RefusedValueError("unknown_code")
        return codes[value]

    return convert


def coded_list(codes: Mapping[str, str]) -> Callable[[str], list[str]]:
    """The holder's codes, separated by commas, to a list of ours."""
    one = coded(codes)
    return lambda value: [one(code.strip()) for code in value.split(",")]


def apply(table: Table, raw: Mapping[str, Any], path: str = "$") -> tuple[dict[str, Any], list[Fault]]:
    """`raw` in our names, and every fault in the holder's. What is faulty or missing is left out."""
    data: dict[str, Any] = {}
    known = {entry.source for entry in table}
    faults = [Fault(member_path(path, name), "unknown_member") for name in raw if name not in known]
    for entry in table:
        place = f"{path}.{entry.source}"
        if isinstance(entry, Rows):
            rows, row_faults = _rows(entry, raw.get(entry.source), place)
            data[entry.target] = rows
            faults += row_faults
            continue
        holder, name = _place_for(data, entry.target)
        if entry.source not in raw:
            faults += [Fault(place, "required")] if entry.is_required else []
        elif not isinstance(raw[entry.source], str):
            faults.append(Fault(place, "not_text"))
        else:
            try:
                holder[name] = entry.convert(raw[entry.source])
            except RefusedValueError as refused:
                faults.append(Fault(place, refused.rule))
    return data, faults


def in_source_names(table: Table, path: str) -> str:
    """A path of ours, such as `$.lines[0].noncovered`, by the holder's names; unknown ones stay."""
    names: dict[str, str] = {}
    for entry in table:
        names[f"$.{entry.target}"] = f"$.{entry.source}"
        if isinstance(entry, Rows):
            names[f"$.{entry.target}[]"] = f"$.{entry.source}[]"
            names |= {
                f"$.{entry.target}[].{column.target}": f"$.{entry.source}[].{column.source}"
                for column in entry.columns
            }
    found = names.get(_INDEX.sub("[]", path))
    if found is None:
        return path
    for index in _INDEX.findall(path):
        found = found.replace("[]", f"[{index}]", 1)
    return found


def _rows(entry: Rows, raw: object, place: str) -> tuple[list[dict[str, Any]], list[Fault]]:
    if not isinstance(raw, list):
        return [], [Fault(place, "required" if raw is None else "not_a_list")]
    rows: list[dict[str, Any]] = []
    faults: list[Fault] = []
    for index, raw_row in enumerate(raw):
        if not isinstance(raw_row, dict):
            faults.append(Fault(f"{place}[{index}]", "not_an_object"))
            continue
        row, row_faults = apply(entry.columns, raw_row, f"{place}[{index}]")
        rows.append(row)
        faults += row_faults
    return rows, faults


def _place_for(data: dict[str, Any], target: str) -> tuple[dict[str, Any], str]:
    """The object that `target` goes into, made if need be, and the last name of the path."""
    *parents, name = target.split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
    return data, name
