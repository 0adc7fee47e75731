"""Purpose declarations: what a recipient may ask for at the most, and why. Data brought by services."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

import rfc8785
from pydantic import BaseModel, ConfigDict, Field

from consent.errors import UnknownPurposeError
from consent.vocabulary import AccessKind, Mode

Language = Literal["ko", "en"]


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
    """The notice a person reads before deciding, with its revision date."""

    revision: str


class PurposeItem(_Frozen):
    """A record type that may be asked for: in which modes, which fields, and whether as required."""

    record_type: str
    modes: tuple[Mode, ...] = Field(min_length=1)
    fields: tuple[str, ...] = ()
    required: bool


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
