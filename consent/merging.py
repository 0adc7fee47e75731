"""Merging a grant: what stands and what is asked, as one (Grant Management for OAuth 2.0, `merge`). Pure.

Terms allow every combination of their members: each item, of each holder, of the whole data period, at every
instant of the window. So a member-wise union could allow what nobody asked for and nobody agreed to. It never
does: either one of the two holds the other, or they differ along one member only, or the merge is refused and
the client asks in so many words (docs/decisions/0023).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from consent.errors import InvalidTermsError
from consent.terms import Access, DateRange, Filter, Item, Retention, Terms, parse
from consent.vocabulary import Mode

_SEVERAL: Final = "differs from what stands, and not alone: name all that stands too, or differ in one member"
_GAP: Final = "cannot be joined with what stands: ask for a whole that holds it"
_KIND: Final = "another kind of access than the one that stands"
_PURPOSE: Final = "a grant keeps its purpose: ask for a new one"
_NEVER: Final = timedelta(0)
_REQUIRED: Final = "it stands as required, so more of it cannot be optional"


_Window = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class _Member:
    """One member in which two terms may differ.

    `holds(wide, narrow)`: whether the first allows all that the second does. `join` answers what allows just
    what one of the two does, or None where nothing does.
    """

    path: str
    standing: Any
    asked: Any
    holds: Callable[[Any, Any], bool]
    join: Callable[[Any, Any], Any]

    @property
    def is_more(self) -> bool:
        """Whether something is asked for that does not stand."""
        return not self.holds(self.standing, self.asked)

    @property
    def is_less(self) -> bool:
        """Whether something stands that is not asked for."""
        return not self.holds(self.asked, self.standing)


def merge(standing: Terms, asked: Terms, now: datetime) -> Terms:
    """The terms that allow from `now` on what one of the two allows, and nothing else.

    Holders that are not named are those that stand. Caps are not looked at. Raises InvalidTermsError with
    each member that stands in the way; paths of items are those of `asked`.
    """
    if standing.purpose != asked.purpose:
        raise InvalidTermsError([("purpose", _PURPOSE)])
    if standing.access.kind is not asked.access.kind:
        raise InvalidTermsError([("access.kind", _KIND)])
    items = _items(standing.items, asked.items)
    joined = _join(
        [
            _Member("items", standing.items, asked.items, _holds_items, lambda *_: items),
            *_holders(standing, asked),
            _Member("data_period", standing.data_period, asked.data_period, _holds_days, _no_join),
            *_access(standing.access, asked.access, now),
            _Member("retention", standing.retention, asked.retention, _keeps_longer, _no_join),
        ]
    )
    first, last = joined["access.valid_until"]
    access = standing.access.model_copy(
        update={
            "valid_from": first,
            "valid_until": last,
            "max_pulls": joined["access.max_pulls"],
            "cycle": joined["access.cycle"].cycle,
        }
    )
    members = {
        "locations": _locations(standing, asked),
        "items": items,
        "holders": joined["holders"],
        "access": access,
        "data_period": joined["data_period"],
        "retention": joined["retention"],
    }
    return parse([standing.model_copy(update=members).to_detail()])


def _join(members: Sequence[_Member]) -> dict[str, Any]:
    """Each member's value: a union of two boxes is a box if one holds the other, or one edge differs."""
    if not any(member.is_more for member in members):
        return {member.path: member.standing for member in members}
    if not any(member.is_less for member in members):
        return {member.path: member.asked for member in members}
    differing = [member for member in members if member.is_more or member.is_less]
    if len(differing) > 1:
        raise InvalidTermsError([(member.path, _SEVERAL) for member in differing])
    (only,) = differing
    whole = only.join(only.standing, only.asked)
    if whole is None:
        raise InvalidTermsError([(only.path, _GAP)])
    return {member.path: member.standing for member in members} | {only.path: whole}


def _items(standing: Sequence[Item], asked: Sequence[Item]) -> tuple[Item, ...]:
    """What stands, each with what is asked of its record type; then what is new."""
    places = {item.record_type: place for place, item in enumerate(asked)}
    old = {item.record_type for item in standing}
    return (
        *(
            _item(f"items.{places[item.record_type]}", item, asked[places[item.record_type]])
            if item.record_type in places
            else item
            for item in standing
        ),
        *(item for item in asked if item.record_type not in old),
    )


def _item(path: str, standing: Item, asked: Item) -> Item:
    joined = _join(_of_item(path, standing, asked))
    content: Item = joined[f"{path}.mode"]
    if standing.required and not asked.required and not _holds_item(standing, asked):
        raise InvalidTermsError([(f"{path}.required", _REQUIRED)])
    named = joined[f"{path}.filter.institution"], joined[f"{path}.filter.period"]
    kept = content.filter if named == _filter(content) else Filter(institution=named[0], period=named[1])
    return content.model_copy(update={"filter": kept, "required": standing.required or asked.required})


def _of_item(path: str, standing: Item, asked: Item) -> list[_Member]:
    (old_institutions, old_period), (institutions, period) = _filter(standing), _filter(asked)
    where = f"{path}.filter"
    return [
        _Member(f"{path}.mode", standing, asked, _tells_all, _both_fields),
        _Member(f"{where}.institution", old_institutions, institutions, _names_all, _both_names),
        _Member(f"{where}.period", old_period, period, _holds_days, _no_join),
    ]


def _holders(standing: Terms, asked: Terms) -> list[_Member]:
    # Not all that are linked now: the client would learn of a link by what becomes of its request.
    named = asked.holders or standing.holders
    return [_Member("holders", standing.holders, named, _names_all, _both_names)]


def _access(standing: Access, asked: Access, now: datetime) -> list[_Member]:
    def begin(window: _Window) -> datetime:
        return max(window[0], now)  # nobody pulls in the past

    def holds(wide: _Window, narrow: _Window) -> bool:
        return begin(wide) <= begin(narrow) and narrow[1] <= wide[1]

    def join(one: _Window, other: _Window) -> _Window | None:
        touch = begin(one) <= other[1] and begin(other) <= one[1]
        return (min(one[0], other[0]), max(one[1], other[1])) if touch else None

    old, new = ((access.valid_from, access.valid_until) for access in (standing, asked))
    return [
        _Member("access.valid_until", old, new, holds, join),
        _Member("access.max_pulls", standing.max_pulls, asked.max_pulls, _is_most, _no_join),
        _Member("access.cycle", standing, asked, _comes_as_often, _no_join),
    ]


def _locations(standing: Terms, asked: Terms) -> tuple[str, ...] | None:
    """Where it may be used: resources of this server, all of them where none is named."""
    if standing.locations is None or asked.locations is None:
        return None
    return _both_names(standing.locations, asked.locations)


def _filter(item: Item) -> tuple[tuple[str, ...] | None, DateRange | None]:
    return (None, None) if item.filter is None else (item.filter.institution, item.filter.period)


def _holds_items(wide: Sequence[Item], narrow: Sequence[Item]) -> bool:
    by_type = {item.record_type: item for item in wide}
    return all(
        item.record_type in by_type and _holds_item(by_type[item.record_type], item) for item in narrow
    )


def _holds_item(wide: Item, narrow: Item) -> bool:
    return not any(member.is_more for member in _of_item("", wide, narrow))


def _tells_all(wide: Item, narrow: Item) -> bool:
    """Whether one tells all that the other does: an answer is held by the same answer only."""
    if wide.mode.is_answer or narrow.mode.is_answer:
        return (wide.mode, wide.predicate, wide.derivation) == (
            narrow.mode,
            narrow.predicate,
            narrow.derivation,
        )
    if wide.mode is Mode.DOCUMENT:
        return True
    return narrow.mode is Mode.FIELDS and set(narrow.fields or ()) <= set(wide.fields or ())


def _both_fields(one: Item, other: Item) -> Item | None:
    if one.fields is None or other.fields is None:
        return None  # an item answers one question, or gives records
    return one.model_copy(update={"fields": _both_names(one.fields, other.fields)})


def _names_all(wide: Sequence[str] | None, narrow: Sequence[str] | None) -> bool:
    return wide is None or (narrow is not None and set(narrow) <= set(wide))


def _both_names(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return (*one, *(name for name in other if name not in one))


def _holds_days(wide: DateRange | None, narrow: DateRange | None) -> bool:
    return wide is None or (narrow is not None and wide.contains(narrow.from_, narrow.to))


def _keeps_longer(wide: Retention, narrow: Retention) -> bool:
    return narrow.days <= wide.days


def _is_most(wide: int, narrow: int) -> bool:
    return narrow <= wide


def _comes_as_often(wide: Access, narrow: Access) -> bool:
    return (wide.cycle_length or _NEVER) <= (narrow.cycle_length or _NEVER)  # both have one, or neither has


def _no_join(_one: object, _other: object) -> None:
    """A record that reaches over the seam of two periods would match their union and neither of them."""
