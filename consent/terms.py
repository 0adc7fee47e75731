"""Terms: what was agreed. Frozen, validated, with canonical JSON (RFC 8785) and digest.

The shape is the `mydata_consent` type of RFC 9396 authorization details; with the recipient, which
is the client's organisation, it holds the seven items of PIPA's decree article 42-5.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self

import rfc8785
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from consent.errors import InvalidTermsError, RequiredItemMissingError
from consent.predicates import Question
from consent.purposes import Alternative, Purpose, require_one_answer
from consent.vocabulary import AccessKind, Mode, OnEnd

DETAIL_TYPE: Final = "mydata_consent"
_DAYS: Final = re.compile(r"P(0|[1-9][0-9]{0,3})D")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT: Final = re.compile(
    _DAY.pattern + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_MAX_ITEMS: Final = 20

# Credit information decree and MyData 2.0: a cycle of one week to one month.
_CYCLES: Final = {"P1W": 7, "P2W": 14, "P3W": 21, "P4W": 28, "P1M": 30}


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


def _unique(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        message = "each value once"
        raise ValueError(message)
    return values


Names = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=100)], ...],
    Field(min_length=1, max_length=50),
    AfterValidator(_unique),
]


def _written_as_day(value: object) -> object:
    # pydantic alone would read a number as seconds since 1970
    if not isinstance(value, str) or _DAY.fullmatch(value) is None:
        message = "a day such as 2026-11-30"
        raise ValueError(message)
    return value


def _written_as_instant(value: object) -> object:
    if not isinstance(value, str) or _INSTANT.fullmatch(value) is None:
        message = "an instant of RFC 3339, with a zone"
        raise ValueError(message)
    return value


def _fits_utc(instant: datetime) -> datetime:
    try:
        instant.astimezone(UTC)
    except OverflowError as error:
        message = "an instant that cannot be kept"
        raise ValueError(message) from error
    return instant


Day = Annotated[date, BeforeValidator(_written_as_day)]
InstantOfTerms = Annotated[AwareDatetime, BeforeValidator(_written_as_instant), AfterValidator(_fits_utc)]


class DateRange(_Frozen):
    """Days from and to, both ends included."""

    from_: Day = Field(alias="from")
    to: Day

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.from_ > self.to:
            message = "from lies after to"
            raise ValueError(message)
        return self

    def contains(self, first: date, last: date) -> bool:
        """Whether a whole period lies inside."""
        return self.from_ <= first and last <= self.to


class Filter(_Frozen):
    """Which records of a type: of these institutions, wholly within this period."""

    institution: Names | None = None
    period: DateRange | None = None


class Item(_Frozen):
    """One record type in one mode."""

    record_type: str = Field(min_length=1, max_length=100)
    mode: Mode
    fields: Names | None = None
    predicate: Question | None = None
    derivation: str | None = Field(default=None, min_length=1, max_length=100)
    required: bool = Field(strict=True)
    filter: Filter | None = None

    @model_validator(mode="after")
    def _fields_fit_mode(self) -> Self:
        if (self.mode is Mode.FIELDS) != (self.fields is not None):
            message = "fields are named in mode fields, and only there"
            raise ValueError(message)
        require_one_answer(self.mode, self.predicate, self.derivation)
        return self

    def answering(self, chosen: Alternative) -> "Item":
        """The same records, and of them only this answer."""
        answer = {"mode": chosen.mode, "predicate": chosen.predicate, "derivation": chosen.derivation}
        return self.model_copy(update={"fields": None, **answer})


class Access(_Frozen):
    """How often and between which instants the recipient may pull.

    Periodic access has a `cycle`: a pull when something new has arrived, and one in each cycle otherwise.
    """

    kind: AccessKind
    cycle: Literal["P1W", "P2W", "P3W", "P4W", "P1M"] | None = None
    max_pulls: int = Field(ge=1, le=1000, strict=True)
    valid_from: InstantOfTerms
    valid_until: InstantOfTerms

    @model_validator(mode="after")
    def _cycle_fits_kind(self) -> Self:
        if (self.kind is AccessKind.PERIODIC) != (self.cycle is not None):
            message = "a cycle is named for periodic access, and only there"
            raise ValueError(message)
        return self

    @property
    def repeats_once(self) -> bool:
        """Whether a once-consent allows more than one pull: the answers of two could differ."""
        return self.kind is AccessKind.ONCE and self.max_pulls > 1

    @property
    def cycle_length(self) -> timedelta | None:
        """The cycle; a month counts as thirty days."""
        return None if self.cycle is None else timedelta(days=_CYCLES[self.cycle])

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.valid_from >= self.valid_until:
            message = "valid_from does not lie before valid_until"
            raise ValueError(message)
        return self


class Retention(_Frozen):
    """What the recipient may keep, how many days, and what happens at the end."""

    store: bool = Field(strict=True)
    period: str
    on_end: OnEnd

    @model_validator(mode="after")
    def _period_fits_store(self) -> Self:
        if _DAYS.fullmatch(self.period) is None:
            message = "a whole number of days, such as P90D"
            raise ValueError(message)
        if self.store != (self.days > 0):
            message = "storing needs a period, not storing has P0D"
            raise ValueError(message)
        return self

    @property
    def days(self) -> int:
        """The period in days."""
        return int(self.period[1:-1])


class Terms(_Frozen):
    """What is asked, or was agreed, between one person and one recipient."""

    type: Literal["mydata_consent"]
    locations: Names | None = None
    actions: tuple[Literal["read"]]
    purpose: str = Field(min_length=1, max_length=100)
    items: tuple[Item, ...] = Field(min_length=1, max_length=_MAX_ITEMS)
    holders: Names | None = None
    access: Access
    data_period: DateRange
    retention: Retention

    @model_validator(mode="after")
    def _one_item_per_type(self) -> Self:
        _unique(tuple(item.record_type for item in self.items))
        return self

    def to_detail(self) -> dict[str, Any]:
        """The authorization details object, as JSON values."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def canonical(self) -> bytes:
        """Canonical JSON (RFC 8785)."""
        return rfc8785.dumps(self.to_detail())

    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical()).digest()

    def item(self, record_type: str) -> Item | None:
        """The item of a record type, if it is part of the terms."""
        return next((item for item in self.items if item.record_type == record_type), None)


def parse(unverified_details: object) -> Terms:
    """Read `authorization_details` as it came; exactly one object of our type.

    Raises InvalidTermsError with every fault, none of which repeats a value.
    """
    if not isinstance(unverified_details, list) or len(unverified_details) != 1:
        raise InvalidTermsError([("authorization_details", "exactly one object of type mydata_consent")])
    try:
        return Terms.model_validate(unverified_details[0])
    except ValidationError as error:
        faults = [
            (
                ".".join(str(part) for part in fault["loc"]) or "authorization_details",
                _rule(fault["type"], fault["msg"]),
            )
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise InvalidTermsError(faults) from None


def stored(canonical: bytes) -> Terms:
    """Terms that were validated before and come back from our own store."""
    return Terms.model_validate_json(canonical)


def narrow(
    terms: Terms, granted: frozenset[str], chosen: Mapping[str, Alternative] = MappingProxyType({})
) -> Terms:
    """The terms with only the granted record types, those in `chosen` as the answer that was chosen.

    Required ones cannot be left off, and nothing reveals more than was asked for. Raises
    RequiredItemMissingError; a type that was never asked for is refused the same way as an unknown one:
    InvalidTermsError.
    """
    unknown = (granted | set(chosen)) - {item.record_type for item in terms.items}
    if unknown:
        raise InvalidTermsError([("items", "granted something that was not asked for")])
    missing = [item.record_type for item in terms.items if item.required and item.record_type not in granted]
    kept = tuple(
        _chosen(terms, item, chosen.get(item.record_type))
        for item in terms.items
        if item.record_type in granted
    )
    if missing or not kept:
        raise RequiredItemMissingError(missing or [item.record_type for item in terms.items])
    return terms.model_copy(update={"items": kept})


def offers(terms: Terms, item: Item, purpose: Purpose) -> tuple[Alternative, ...]:
    """What the person may choose for this item instead: answers that reveal less than what was asked for.

    None where the answer could not be given only once, as `consent.caps` wants it.
    """
    allowed = purpose.item(item.record_type)
    return () if allowed is None or terms.access.repeats_once else allowed.instead_of(item.mode)


def _chosen(terms: Terms, item: Item, chosen: Alternative | None) -> Item:
    if chosen is None:
        return item
    if not chosen.mode.reveals_less_than(item.mode) or terms.access.repeats_once:
        raise InvalidTermsError([("items", "what was chosen does not reveal less than what was asked for")])
    return item.answering(chosen)


def _rule(kind: str, message: str) -> str:
    """A fault's rule: our own sentences as they are, pydantic's by type so that no value is repeated."""
    return message.removeprefix("Value error, ") if kind == "value_error" else kind
