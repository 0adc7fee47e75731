"""Caps: what a recipient asks for lies within the purpose, or is refused before a person sees it.

Invariants: terms lie within the purpose; tightening a purpose enlarges nothing. Nothing is narrowed in
silence, and no fault repeats a value.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from consent.derivations import Derivations
from consent.errors import InvalidTermsError
from consent.predicates import Question, predicate_of
from consent.purposes import Purpose, PurposeItem, Purposes
from consent.terms import Filter, Item, Terms
from consent.vocabulary import Mode
from vault.record_types.catalogue import Catalogue


def check_caps(terms: Terms, purpose: Purpose, catalogue: Catalogue, now: datetime) -> None:
    """Refuse over-asking before a person sees the request (invariant: terms lie within the purpose).

    Raises InvalidTermsError with every fault.
    """
    faults = [
        *_item_faults(terms, purpose, catalogue),
        *_answer_faults(terms, purpose, catalogue),
        *_access_faults(terms, purpose, now),
    ]
    if faults:
        raise InvalidTermsError(faults)


def check_answers(purposes: Purposes, catalogue: Catalogue, derivations: Derivations) -> None:
    """Refuse purposes that offer what nobody can answer. ValueError: a mistake in what a service brings."""
    for purpose in purposes.all():
        for item in purpose.items:
            missing = [name for name in item.derivations if name not in derivations]
            missing += [
                f"{name} {value}"
                for name, values in item.predicates.items()
                for value in values or (None,)
                if not _is_askable(Question(name=name, value=value), item, catalogue)
            ]
            if missing:
                message = f"{purpose.code} offers what {item.record_type} cannot answer: {', '.join(missing)}"
                raise ValueError(message)


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


def _answer_faults(terms: Terms, purpose: Purpose, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """Nobody searches for a value by asking often: constants are the purpose's, and an answer stays.

    A filter would be one more constant, which any recipient could choose.
    """
    for number, item in enumerate(terms.items):
        path = f"items.{number}"
        allowed = purpose.item(item.record_type)
        if allowed is None or not item.mode.is_answer:
            continue
        if item.filter is not None:
            yield f"{path}.filter", "an answer is over everything that is granted"
        if terms.access.repeats_once:
            yield "access.max_pulls", "at most 1: an answer is given once and stays"
        if item.predicate is None:
            if item.derivation not in allowed.derivations:
                yield f"{path}.derivation", "not a derivation of this purpose"
        elif item.predicate.name not in allowed.predicates:
            yield f"{path}.predicate.name", "not a predicate of this purpose"
        elif not _is_askable(item.predicate, allowed, catalogue):
            yield f"{path}.predicate.value", "not one of the values that this purpose may ask for"


def _is_askable(asked: Question, allowed: PurposeItem, catalogue: Catalogue) -> bool:
    rule = predicate_of(catalogue.get(allowed.record_type), asked.name)
    return rule is not None and allowed.allows_value(asked) and rule.accepts(asked.value)


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
