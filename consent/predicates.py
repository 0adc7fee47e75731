"""Predicates: questions about records that are answered with yes, no or not known. Pure.

A record type declares its predicates as data: one of a small closed set of operations, the paths that it
looks at, and the words for it. `name@version` names the rule. Logic is three-valued (Kleene): what is missing
or odd in a record makes an answer not known (None) and never raises, so that nothing but the answer tells.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from vault.record_types.catalogue import RecordType

Record = Mapping[str, Any]
Takes = Literal["nothing", "integer", "day", "string", "strings"]

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# What canonical JSON (RFC 8785) can say.
_LARGEST: Final = 2**53 - 1
_LONGEST: Final = 100
_MOST: Final = 100

Number = Annotated[StrictInt, Field(ge=-_LARGEST, le=_LARGEST)]


def _one_constant(value: object) -> object:
    """One sentence for whatever is wrong: a union of types would name each of its branches."""
    words = value if isinstance(value, list | tuple) else [value]
    are_words = all(isinstance(word, str) and 0 < len(word) <= _LONGEST for word in words)
    if not (are_words and 0 < len(words) <= _MOST) and not (type(value) is int and abs(value) <= _LARGEST):
        message = "an integer, a string, or a list of strings"
        raise ValueError(message)
    return value


Constant = Annotated[int | str | tuple[str, ...], BeforeValidator(_one_constant)]
Path = Annotated[StrictStr, Field(min_length=1, max_length=200)]
Words = Mapping[Literal["ko", "en"], str]

_COMPARISONS: Final = frozenset({"at_least", "at_most", "equals"})
_AGES: Final = frozenset({"age_at_least", "age_at_most"})
_COVERING: Final = frozenset({"covers", "covers_last_months"})
_WITHOUT_PATH: Final = frozenset({"matches", "complete"})
_REDUCING: Final = frozenset({"sum", "max", "min", "count"})
_TAKES: Final[Mapping[str, Takes]] = {
    "one_of": "strings",
    "matches": "nothing",
    "age_at_least": "integer",
    "age_at_most": "integer",
    "complete": "nothing",
    "covers": "strings",
    "covers_last_months": "integer",
}


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Question(_Frozen):
    """A predicate that is asked: its name, and the constant where it takes one."""

    name: str = Field(min_length=1, max_length=100)
    value: Constant | None = None


class Predicate(_Frozen):
    """How a record type answers one question: the rule and its words.

    The entries are the records, or the elements of the array at `each`; `where` leaves those that hold one of
    the values at each path (absent counts as null). `path` and `by` are relative to the entry.
    """

    version: int = Field(ge=1)
    operation: Literal[
        "at_least",
        "at_most",
        "equals",
        "one_of",
        "matches",
        "age_at_least",
        "age_at_most",
        "complete",
        "covers",
        "covers_last_months",
    ]
    value: Literal["integer", "day", "string", "as_of"] = "integer"
    each: Path | None = None
    where: Mapping[Path, tuple[StrictBool | Number | StrictStr | None, ...]] = {}
    path: Path | None = None
    paths: tuple[Path, ...] = ()
    combine: Literal["any", "all", "latest", "sum", "max", "min", "count"] = "any"
    by: Path | None = None
    unit: Literal["won", "years", "months", "days", "times"] | None = None
    text: Words
    value_labels: Mapping[str, Words] = {}

    @property
    def takes(self) -> Takes:
        """What kind of constant is asked with it."""
        if self.operation in _COMPARISONS:
            return "nothing" if self.value == "as_of" else self.value
        return _TAKES[self.operation]

    def accepts(self, value: object) -> bool:
        """Whether a constant is of the kind that it takes; None is no constant."""
        match self.takes:
            case "nothing":
                return value is None
            case "integer":
                return type(value) is int
            case "day":
                return _day(value) is not None
            case "string":
                return isinstance(value, str)
        return isinstance(value, tuple)

    @field_validator("text", "value_labels")
    @classmethod
    def _in_both_languages(cls, texts: Mapping[str, Any]) -> Mapping[str, Any]:
        for words in texts.values() if "ko" not in texts else [texts]:
            if set(words) != {"ko", "en"}:
                message = "a text in both languages"
                raise ValueError(message)
        return texts

    @model_validator(mode="after")
    def _is_one_operation(self) -> Self:
        needs_path = self.operation not in _WITHOUT_PATH and self.combine != "count"
        faults = {
            "a path, unless none is looked at": needs_path != (self.path is not None),
            "paths, to be complete": (self.operation == "complete") != bool(self.paths),
            "where, to match": self.operation == "matches" and not self.where,
            "by, for the latest": (self.combine == "latest") != (self.by is not None),
            "a combination of a comparison": self.combine in _REDUCING and self.operation not in _COMPARISONS,
            "covering takes all entries together": self.operation in _COVERING and self.combine != "any",
            "a kind of constant of a comparison": self.value != "integer"
            and self.operation not in _COMPARISONS,
            "strings are only equal": self.value == "string"
            and (self.operation != "equals" or self.combine in _REDUCING),
            "only integers are summed": self.value != "integer" and self.combine in {"sum", "count"},
            "the constant in the words": self.takes != "nothing"
            and not all("{value}" in text for text in self.text.values()),
        }
        for message, is_broken in faults.items():
            if is_broken:
                raise ValueError(message)
        return self


def predicate_of(record_type: RecordType, name: str) -> Predicate | None:
    """The predicate of this name, if the record type declares one. ValueError if it is declared wrongly."""
    declared = record_type.predicates.get(name)
    return None if declared is None else Predicate.model_validate(declared)


def evaluate(rule: Predicate, value: Constant | None, records: Sequence[Record], as_of: date) -> bool | None:
    """The answer for these records; None where there is none, or where they do not say.

    `value` is of the kind that the rule takes, `as_of` the day that ages and validity are judged on.
    """
    if not records or not rule.accepts(value):
        return None
    entries = _entries(rule, records)
    if rule.operation in _COVERING:
        return _covers(rule, value, entries, as_of)
    if rule.combine in _REDUCING:
        return _compare(rule, _reduced(rule, entries), _constant(rule, value, as_of))
    verdicts = [_verdict(rule, value, entry, as_of) for entry in entries]
    match rule.combine:
        case "any":
            return _any(verdicts)
        case "all":
            return _all(verdicts)
    return _latest(rule, entries, verdicts)


def _entries(rule: Predicate, records: Sequence[Record]) -> list[object]:
    """What is judged; None stands for a record whose entries cannot be found."""
    entries: list[object] = []
    for record in records:
        found = [record] if rule.each is None else _at(record, rule.each)
        entries += found if isinstance(found, list) else [None]
    if rule.operation == "matches":
        return entries
    return [entry for entry in entries if entry is None or _holds(rule.where, entry)]


def _verdict(rule: Predicate, value: Constant | None, entry: object, as_of: date) -> bool | None:
    """What one entry says."""
    if entry is None:
        return None
    match rule.operation:
        case "matches":
            return _holds(rule.where, entry)
        case "complete":
            return all(_is_there(_at(entry, path)) for path in rule.paths)
        case "one_of":
            said = _text(_at(entry, rule.path))
            return None if said is None else isinstance(value, tuple) and said in value
    return _compare(rule, _quantity(rule, entry, as_of), _constant(rule, value, as_of))


def _quantity(rule: Predicate, entry: object, as_of: date) -> int | date | str | None:
    """What is compared; None if it is missing or of another kind."""
    found = _at(entry, rule.path)
    if rule.operation in _AGES:
        return _age(_day(found), as_of)
    match rule.value:
        case "integer":
            return found if type(found) is int else None
        case "string":
            return found if isinstance(found, str) else None
    return _day(found)


def _constant(rule: Predicate, value: Constant | None, as_of: date) -> object:
    match rule.value:
        case "as_of":
            return as_of
        case "day":
            return _day(value)
    return value


def _compare(rule: Predicate, quantity: Any, constant: Any) -> bool | None:  # noqa: ANN401 - two of one kind
    if quantity is None:
        return None
    match rule.operation:
        case "equals":
            return bool(quantity == constant)
        case "at_least" | "age_at_least":
            return bool(quantity >= constant)
    return bool(quantity <= constant)


def _reduced(rule: Predicate, entries: Sequence[object]) -> int | date | str | None:
    """One quantity for all entries; None if one of them is not known."""
    if None in entries:
        return None
    if rule.combine == "count":
        return len(entries)
    quantities: list[Any] = [_quantity(rule, entry, date.min) for entry in entries]
    if None in quantities:
        return None
    if rule.combine == "sum":
        return int(sum(quantities))
    quantity: int | date | None = (max if rule.combine == "max" else min)(quantities, default=None)
    return quantity


def _latest(rule: Predicate, entries: Sequence[object], verdicts: Sequence[bool | None]) -> bool | None:
    """What the latest entry says; several that are equally late must agree."""
    keys: list[Any] = [_at(entry, rule.by) for entry in entries]
    if {type(key) for key in keys} not in ({int}, {str}):
        return None
    last = max(keys)
    said = {verdict for key, verdict in zip(keys, verdicts, strict=True) if key == last}
    return said.pop() if len(said) == 1 else None


def _covers(rule: Predicate, value: Constant | None, entries: Sequence[object], as_of: date) -> bool | None:
    found = [None if entry is None else _text(_at(entry, rule.path)) for entry in entries]
    if rule.operation == "covers":
        wanted: set[str | None] = set(value) if isinstance(value, tuple) else set()
        there = set(found)
    else:
        wanted = _months_before(as_of, value) if isinstance(value, int) else set()
        there = {None if said is None else said[:7] for said in found}
    return True if wanted <= there else None if None in there else False


def _months_before(as_of: date, count: int) -> set[str | None]:
    """The whole calendar months before this one, as YYYY-MM. More than a century is asked by nobody."""
    now = as_of.year * 12 + as_of.month - 1
    months = range(max(now - min(count, 1200), 12), now)
    return {f"{month // 12:04}-{month % 12 + 1:02}" for month in months}


def _any(verdicts: Sequence[bool | None]) -> bool | None:
    return True if True in verdicts else None if None in verdicts else False


def _all(verdicts: Sequence[bool | None]) -> bool | None:
    return False if False in verdicts else None if None in verdicts else True


def _holds(where: Mapping[str, tuple[object, ...]], entry: object) -> bool:
    """Whether the entry has one of the values at each path. True is not 1 here."""
    return all(_is_among(_at(entry, path), allowed) for path, allowed in where.items())


def _is_among(found: object, allowed: Sequence[object]) -> bool:
    return any(type(found) is type(value) and found == value for value in allowed)


def _is_there(found: object) -> bool:
    return found is not None and found not in ("", [], {})


def _at(entry: object, path: str | None) -> object:
    """The value at a dotted path; None where there is none."""
    found = entry
    for name in (path or "").split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def _text(found: object) -> str | None:
    """A string, or a whole number as one writes it (a year)."""
    if type(found) is int:
        return str(found)
    return found if isinstance(found, str) else None


def _day(found: object) -> date | None:
    if not isinstance(found, str) or _DAY.fullmatch(found) is None:
        return None
    try:
        return date.fromisoformat(found)
    except ValueError:
        return None


def _age(born: date | None, as_of: date) -> int | None:
    """Full years; None for a day that lies ahead."""
    if born is None or born > as_of:
        return None
    return as_of.year - born.year - ((as_of.month, as_of.day) < (born.month, born.day))
