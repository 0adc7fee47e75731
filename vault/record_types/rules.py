"""Rules on records that JSON Schema cannot say: sums that must agree, dates in order, check digits.

They are data in the record type's file; this module reads that data and applies it. A rule that leans on
a value which is missing or of the wrong type stays silent: the schema has named that fault already.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from vault.errors import Fault
from vault.identifiers import CHECKS, looks_like_rrn, prescription_day

UNREADABLE_RULES: Final = frozenset({"not_unicode_text", "nested_too_deeply"})
"""Faults of content that a schema validator cannot read past."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_RRN: Final = "contains_resident_registration_number"
_NAME_LENGTH: Final = 40
_MOST_DEPTH: Final = 16


@dataclass(frozen=True)
class Invariant:
    """One rule as data.

    `kind` is `sum`, `sum_at_most_zero`, `in_order`, `day_of_number`, `whole_year` or one of CHECKS.
    `terms` are (path, weight); a path is dotted, `[]` walks a list, a closing `?` marks a member that may
    be missing. With `each`, the rule is applied to every element of that list, and paths begin there.
    `only_warns`: breaking it is worth telling, and refuses nothing.
    """

    rule: str
    at: str
    kind: str
    terms: tuple[tuple[str, int], ...]
    each: str | None
    only_warns: bool

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Invariant":
        """From the record type's file."""
        kind = next(iter(raw.keys() - {"rule", "at", "each", "only_warns"}))
        told = [raw[kind]] if isinstance(raw[kind], str) else raw[kind]
        terms = tuple((term, 1) if isinstance(term, str) else (term[0], term[1]) for term in told)
        only_warns = raw.get("only_warns", False)
        return cls(raw["rule"], raw["at"], kind, terms, raw.get("each"), only_warns=only_warns)

    def faults_in(self, data: object) -> Iterator[Fault]:
        """Each place where the rule is broken. Where it cannot be judged, it stays silent."""
        try:
            places = [("$", data)] if self.each is None else _elements(data, self.each)
        except _UnreadableError:
            return
        for place, part in places:
            try:
                holds = self._holds_in(part)
            except _UnreadableError:
                continue
            if not holds:
                yield Fault(f"{place}.{self.at}", self.rule)

    def _holds_in(self, data: object) -> bool:
        if self.kind in {"sum", "sum_at_most_zero"}:
            total = sum(weight * sum(_amounts(data, path)) for path, weight in self.terms)
            return total == 0 if self.kind == "sum" else total <= 0
        if self.kind == "whole_year":
            return _is_whole_year(data, *(path for path, _ in self.terms))
        texts = [_texts(data, path) for path, _ in self.terms]
        if self.kind == "in_order":  # ISO dates order as text (RFC 3339 section 5.1)
            told = [some for some in texts if some]
            return all(max(earlier) <= min(later) for earlier, later in pairwise(told))
        if self.kind == "day_of_number":
            (number,), (day,) = texts
            return prescription_day(number) == day
        return all(CHECKS[self.kind](text) for text in texts[0])


def content_faults(data: object, plain_numbers: Sequence[str] = ()) -> list[Fault]:
    """What no record may hold, of whatever type: resident registration numbers, broken text, fractions.

    `plain_numbers` are top-level members that hold long numbers of their own, some of which cannot be told
    from a resident's. Walks without recursion and stops at a depth that no record has.
    """
    exempt = {f"$.{name}" for name in plain_numbers}
    faults: list[Fault] = []
    waiting: list[tuple[str, int, object]] = [("$", 0, data)]
    while waiting:
        path, depth, value = waiting.pop()
        if depth > _MOST_DEPTH:
            faults.append(Fault(path, "nested_too_deeply"))
        elif isinstance(value, dict):
            for name, member in value.items():
                faults += _text_faults(f"{path}.?", name)
                waiting.append((member_path(path, name), depth + 1, member))
        elif isinstance(value, list):
            waiting += [(f"{path}[{index}]", depth + 1, member) for index, member in enumerate(value)]
        elif isinstance(value, str):
            faults += _text_faults(path, value, is_plain_number=path in exempt)
        elif isinstance(value, float):  # JSON Schema takes 1.0 for an integer; an amount of won is never that
            faults.append(Fault(path, "not_a_whole_number"))
    return faults


def member_path(path: str, name: object) -> str:
    """`path` and a member's name below it. A name that is no plain identifier could be anything: `?`."""
    is_plain = isinstance(name, str) and len(name) <= _NAME_LENGTH and name.isascii() and name.isidentifier()
    return f"{path}.{name if is_plain else '?'}"


def _text_faults(path: str, text: str, *, is_plain_number: bool = False) -> Iterator[Fault]:
    if _SURROGATE.search(text) is not None:
        yield Fault(path, "not_unicode_text")
    if not is_plain_number and looks_like_rrn(text):
        yield Fault(path, _RRN)


class _UnreadableError(Exception):
    """A rule leans on a value that is not there, or not of its type."""


def _values(data: object, path: str) -> Iterator[object]:
    is_optional = path.endswith("?")
    found: list[object] = [data]
    for step in path.removesuffix("?").split("."):
        name = step.removesuffix("[]")
        deeper: list[object] = []
        for value in found:
            if is_optional and isinstance(value, dict) and name not in value:
                continue
            if not isinstance(value, dict) or name not in value:
                raise _UnreadableError
            member = value[name]
            if step != name and not isinstance(member, list):
                raise _UnreadableError
            deeper += member if step != name else [member]
        found = deeper
    yield from found


def _amounts(data: object, path: str) -> Iterator[int]:
    for value in _values(data, path):
        if type(value) is not int:
            raise _UnreadableError
        yield value


def _texts(data: object, path: str) -> list[str]:
    texts = []
    for value in _values(data, path):
        if not isinstance(value, str):
            raise _UnreadableError
        texts.append(value)
    return texts


def _is_whole_year(data: object, year_path: str, first_path: str, last_path: str) -> bool:
    (year,), (first,), (last,) = (
        list(_amounts(data, year_path)),
        _texts(data, first_path),
        _texts(data, last_path),
    )
    return (first, last) == (f"{year:04}-01-01", f"{year:04}-12-31")


def _elements(data: object, path: str) -> list[tuple[str, object]]:
    return [(f"$.{path}[{index}]", one) for index, one in enumerate(_values(data, f"{path}[]"))]
