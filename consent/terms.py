"""Terms: what was agreed. Frozen, validated, with canonical JSON (RFC 8785) and digest.

The shape is the `mydata_consent` type of RFC 9396 authorization details; with the recipient, which
is the client's organisation, it holds the seven items of PIPA's decree article 42-5.
"""

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
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
from consent.purposes import Purpose, PurposeItem
from consent.vocabulary import AccessKind, Mode, OnEnd
from vault.record_types.catalogue import Catalogue

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
    required: bool = Field(strict=True)
    filter: Filter | None = None

    @model_validator(mode="after")
    def _fields_fit_mode(self) -> Self:
        if (self.mode is Mode.FIELDS) != (self.fields is not None):
            message = "fields are named in mode fields, and only there"
            raise ValueError(message)
        return self


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


def narrow(terms: Terms, granted: frozenset[str]) -> Terms:
    """The terms with only the granted record types. Required ones cannot be left off.

    Raises RequiredItemMissingError; a type that was never asked for is refused the same way as an
    unknown one: InvalidTermsError.
    """
    unknown = sorted(granted - {item.record_type for item in terms.items})
    if unknown:
        raise InvalidTermsError([("items", "granted something that was not asked for")])
    missing = [item.record_type for item in terms.items if item.required and item.record_type not in granted]
    kept = tuple(item for item in terms.items if item.record_type in granted)
    if missing or not kept:
        raise RequiredItemMissingError(missing or [item.record_type for item in terms.items])
    return terms.model_copy(update={"items": kept})


def check_caps(terms: Terms, purpose: Purpose, catalogue: Catalogue, now: datetime) -> None:
    """Refuse over-asking before a person sees the request (invariant: terms lie within the purpose).

    Raises InvalidTermsError with every fault.
    """
    faults = [
        *_item_faults(terms, purpose, catalogue),
        *_access_faults(terms, purpose, now),
    ]
    if faults:
        raise InvalidTermsError(faults)


def _item_faults(terms: Terms, purpose: Purpose, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for number, item in enumerate(terms.items):
        path = f"items.{number}"
        allowed = purpose.item(item.record_type)
        if allowed is None:
            yield f"{path}.record_type", "not part of this purpose"
            continue
        yield from _within(path, item, allowed)
        record_type = catalogue.get(item.record_type)
        if not set(item.fields or ()) <= set(record_type.fields):
            yield f"{path}.fields", "not fields of this record type"
        if item.mode is Mode.DOCUMENT and not set(record_type.fields) <= set(allowed.fields):
            # The document discloses every field: the mode is no way around the list of fields.
            yield f"{path}.mode", "the document holds more than this purpose may ask for"
        named = set((item.filter or Filter()).model_dump(exclude_none=True))
        if not named <= set(record_type.filters):
            yield f"{path}.filter", "this record type cannot be filtered so"


def _within(path: str, item: Item, allowed: PurposeItem) -> Iterator[tuple[str, str]]:
    if item.mode not in allowed.modes:
        yield f"{path}.mode", "not a mode of this purpose"
    if not set(item.fields or ()) <= set(allowed.fields):
        yield f"{path}.fields", "more than this purpose may ask for"
    if item.required and not allowed.required:
        yield f"{path}.required", "this purpose may only ask for it as optional"


def _access_faults(terms: Terms, purpose: Purpose, now: datetime) -> Iterator[tuple[str, str]]:
    caps = purpose.caps_of(terms.access.kind)
    if caps is None:
        yield "access.kind", "not a kind of access of this purpose"
        return
    cycle, shortest = terms.access.cycle_length, caps.shortest_cycle_days
    if cycle is not None and shortest is not None and cycle < timedelta(days=shortest):
        yield "access.cycle", f"at least {shortest} days"
    if terms.access.max_pulls > caps.max_pulls:
        yield "access.max_pulls", f"at most {caps.max_pulls}"
    if terms.access.valid_until <= now:
        yield "access.valid_until", "over already"
    # From now, not from valid_from: a post-dated window would reach records beyond the look-back cap.
    if terms.access.valid_until - now > timedelta(days=caps.max_days):
        yield "access.valid_until", f"at most {caps.max_days} days"
    if terms.data_period.from_ < now.date() - timedelta(days=caps.max_lookback_days):
        yield "data_period.from", f"at most {caps.max_lookback_days} days back"
    if terms.retention.days > caps.max_retention_days:
        yield "retention.period", f"at most {caps.max_retention_days} days"


def _rule(kind: str, message: str) -> str:
    """A fault's rule: our own sentences as they are, pydantic's by type so that no value is repeated."""
    return message.removeprefix("Value error, ") if kind == "value_error" else kind
