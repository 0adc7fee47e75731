"""Derivations: named, versioned, pure functions that make a small answer of records.

Services bring the functions; this is where they are registered. Whatever a function does with odd records,
nothing but an answer comes out: None where it fails or says something that no answer may be.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

Record = Mapping[str, Any]
# A flat object of integers and strings: small, and the same bytes wherever it is written.
Derived = Mapping[str, int | str]
Derive = Callable[[Sequence[Record], date], Derived | None]

_RULE: Final = re.compile(r"([a-z][a-z0-9_.]{0,98})@([1-9][0-9]{0,5})")
_MAX_MEMBERS: Final = 20
_MAX_LENGTH: Final = 200
_LARGEST: Final = 2**53 - 1  # what canonical JSON (RFC 8785) can say


@dataclass(frozen=True, slots=True)
class Derivation:
    """One function under its rule, `name@version`."""

    rule: str
    derive: Derive

    def answer(self, records: Sequence[Record], as_of: date) -> dict[str, int | str] | None:
        """What the records give on this day; None where there is none, or where they do not say."""
        if not records:
            return None
        try:
            derived = self.derive(records, as_of)
            return dict(derived) if derived is not None and _is_small(derived) else None
        except Exception:  # noqa: BLE001 - what a record makes it do tells of the record: it never leaves
            return None


class Derivations:
    """Every derivation that this broker knows, by name."""

    def __init__(self, functions: Iterable[tuple[str, Derive]]) -> None:
        """Each function with its rule, `name@version`. ValueError for another form, or a name twice."""
        self._derivations: dict[str, Derivation] = {}
        for rule, derive in functions:
            read = _RULE.fullmatch(rule)
            if read is None or read[1] in self._derivations:
                message = f"derivation {rule}: one name@version for each name"
                raise ValueError(message)
            self._derivations[read[1]] = Derivation(rule, derive)

    def __contains__(self, name: object) -> bool:
        """Whether there is a derivation of this name."""
        return name in self._derivations

    def get(self, name: str) -> Derivation:
        """The derivation of this name; KeyError for none, which no checked purpose names."""
        return self._derivations[name]


def _is_small(derived: Mapping[Any, Any]) -> bool:
    return len(derived) <= _MAX_MEMBERS and all(
        isinstance(name, str) and _is_plain(name) and _is_plain(value) for name, value in derived.items()
    )


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_LENGTH and value.isprintable()
    return type(value) is int and abs(value) <= _LARGEST
