"""Purpose declarations: what a recipient may ask for at the most, and why. Data brought by services."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, Literal, Self

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, model_validator

from consent.errors import InvalidTermsError, UnknownPurposeError
from consent.predicates import Constant, Question
from consent.vocabulary import AccessKind, Mode

Language = Literal["ko", "en"]

_KEY_LENGTH: Final = 16


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(_Frozen):
    """One text in both languages."""

    ko: str
    en: str

    def in_language(self, language: str) -> str:
        """The English text for `en`, the Korean one for anything else."""
        return self.en if language == "en" else self.ko


class Notice(Text):
    """The notice a person reads before deciding, with its revision date.

    `is_material`: the revision changed something that matters, so who agreed to an earlier text is asked
    again. Fail closed: a revision that does not say otherwise is.
    """

    revision: str
    is_material: bool = True


class Alternative(_Frozen):
    """An answer that serves a purpose in the place of something that reveals more."""

    mode: Literal[Mode.PREDICATE, Mode.DERIVED]
    predicate: Question | None = None
    derivation: str | None = None

    @model_validator(mode="after")
    def _is_of_its_mode(self) -> Self:
        require_one_answer(self.mode, self.predicate, self.derivation)
        return self

    @property
    def key(self) -> str:
        """What a form calls it: it changes with what it says, so that no other is chosen by mistake."""
        said = self.model_dump(mode="json", exclude_none=True)
        return hashlib.sha256(rfc8785.dumps(said)).hexdigest()[:_KEY_LENGTH]


class PurposeItem(_Frozen):
    """A record type that may be asked for: in which modes, which fields, and whether as required.

    `predicates` name the constants that may be asked with each (none: it takes none), `derivations` what a
    person reads of each. `alternatives`, the least revealing first, are what the person may choose instead.
    """

    record_type: str
    modes: tuple[Mode, ...] = Field(min_length=1)
    fields: tuple[str, ...] = ()
    predicates: Mapping[str, tuple[Constant, ...]] = {}
    derivations: Mapping[str, Text] = {}
    alternatives: tuple[Alternative, ...] = ()
    required: bool

    @model_validator(mode="after")
    def _modes_fit(self) -> Self:
        faults = {
            "mode predicate with the predicates": (Mode.PREDICATE in self.modes) != bool(self.predicates),
            "mode derived with the derivations": (Mode.DERIVED in self.modes) != bool(self.derivations),
            "alternatives that may be asked for": not all(self.allows(one) for one in self.alternatives),
        }
        for message, is_broken in faults.items():
            if is_broken:
                raise ValueError(message)
        return self

    def allows(self, answer: Alternative) -> bool:
        """Whether this answer may be asked for, with its very constant."""
        if answer.predicate is None:
            return answer.derivation in self.derivations
        return self.allows_value(answer.predicate)

    def allows_value(self, asked: Question) -> bool:
        """Whether a predicate may be asked with this constant, or without one."""
        if asked.name not in self.predicates:
            return False
        allowed = self.predicates[asked.name]
        return asked.value in allowed if allowed else asked.value is None

    def instead_of(self, mode: Mode) -> tuple[Alternative, ...]:
        """What the person may choose where this mode was asked for: only what reveals less."""
        return tuple(one for one in self.alternatives if one.mode.reveals_less_than(mode))


class Caps(_Frozen):
    """Upper bounds of one consent; a request beyond them is refused, never narrowed in silence."""

    kind: AccessKind
    max_pulls: int = Field(ge=1)
    max_days: int = Field(ge=1)
    max_lookback_days: int = Field(ge=1)
    max_retention_days: int = Field(ge=0)
    shortest_cycle_days: int | None = Field(default=None, ge=7, le=30)


class Purpose(_Frozen):
    """One declared purpose with its caps and the text that explains it.

    `periodic_caps` are those of periodic access, where the purpose allows it beside `caps`.
    """

    code: str
    legal_basis: str
    dpv_purpose: str
    name: Text
    text: Text
    refusal_effect: Text
    items: tuple[PurposeItem, ...] = Field(min_length=1)
    caps: Caps
    periodic_caps: Caps | None = None
    notice: Notice

    def caps_of(self, kind: AccessKind) -> Caps | None:
        """The upper bounds of one kind of access; None if the purpose does not allow it."""
        return next((caps for caps in (self.caps, self.periodic_caps) if caps and caps.kind is kind), None)

    def item(self, record_type: str) -> PurposeItem | None:
        """What the purpose allows for a record type, if anything."""
        return next((item for item in self.items if item.record_type == record_type), None)

    def choose(self, keys: Mapping[str, str]) -> dict[str, Alternative]:
        """The answer chosen for each record type, by its key. InvalidTermsError for any other key."""
        offered = {(item.record_type, one.key): one for item in self.items for one in item.alternatives}
        if not offered.keys() >= set(keys.items()):
            raise InvalidTermsError([("items", "chose something that is not offered")])
        return {record_type: offered[record_type, key] for record_type, key in keys.items()}

    def shown(self, language: Language) -> dict[str, str]:
        """The very text that a person reads in this language."""
        return {
            "purpose": self.code,
            "revision": self.notice.revision,
            "language": language,
            "name": self.name.in_language(language),
            "text": self.text.in_language(language),
            "refusal_effect": self.refusal_effect.in_language(language),
            "notice": self.notice.in_language(language),
        }

    def notice_digest(self, language: Language) -> bytes:
        """SHA-256 over the canonical JSON (RFC 8785) of the text that is shown."""
        return hashlib.sha256(rfc8785.dumps(self.shown(language))).digest()


def require_one_answer(mode: Mode, predicate: Question | None, derivation: str | None) -> None:
    """A predicate in mode predicate, a derivation in mode derived, and nowhere else. Raises ValueError."""
    if (mode is Mode.PREDICATE) != (predicate is not None):
        message = "a predicate is named in mode predicate, and only there"
        raise ValueError(message)
    if (mode is Mode.DERIVED) != (derivation is not None):
        message = "a derivation is named in mode derived, and only there"
        raise ValueError(message)


class Purposes:
    """Every purpose this broker knows, by code."""

    def __init__(self, purposes: Mapping[str, Purpose]) -> None:
        self._purposes = dict(purposes)

    @classmethod
    def load(cls, declarations: Sequence[Mapping[str, object]]) -> "Purposes":
        """Read declarations; two with one code are refused (ValueError)."""
        purposes: dict[str, Purpose] = {}
        for declaration in declarations:
            purpose = Purpose.model_validate(declaration)
            if purpose.code in purposes:
                message = f"purpose {purpose.code} is declared twice"
                raise ValueError(message)
            purposes[purpose.code] = purpose
        return cls(purposes)

    def get(self, code: str) -> Purpose:
        """The purpose with this code; raises UnknownPurposeError."""
        try:
            return self._purposes[code]
        except KeyError as error:
            raise UnknownPurposeError(code) from error

    def all(self) -> tuple[Purpose, ...]:
        """Every purpose, ordered by code."""
        return tuple(self._purposes[code] for code in sorted(self._purposes))
