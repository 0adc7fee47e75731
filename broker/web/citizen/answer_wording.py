"""Predicates, derivations and what would be sent, in plain words. The texts are the declarations'. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from broker.web.citizen import wording
from broker.web.citizen.wording import Lexicon
from broker.web.i18n import Words
from consent.predicates import Constant, Predicate, Question, predicate_of
from consent.preview import Previewed
from consent.purposes import Alternative, Purpose
from consent.terms import Item, Terms, offers
from vault.record_types.catalogue import RecordType

_AGES: Final = frozenset({"age_at_least", "age_at_most"})
_MAX_LINES: Final = 50


@dataclass(frozen=True, slots=True)
class ChoiceWords:
    """An answer that a person may choose instead of what was asked for."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class PreviewWords:
    """What would be sent of one item: one line, or for each record the fields with their lines."""

    label: str
    line: str | None
    records: tuple[tuple[tuple[str, tuple[str, ...]], ...], ...]


def answer_in_words(
    words: Words, asked: Item | Alternative, purpose: Purpose, record_type: RecordType
) -> str | None:
    """What an item's answer tells; None for an item that discloses records."""
    if asked.predicate is not None:
        question = _question(words, asked.predicate, record_type)
        return words.gettext("Tells only yes or no: %(question)s", question=question)
    if asked.derivation is not None:
        allowed = purpose.item(record_type.code)
        text = None if allowed is None else allowed.derivations.get(asked.derivation)
        name = asked.derivation if text is None else text.in_language(words.language)
        return words.gettext("Tells only what is worked out from it: %(name)s", name=name)
    return None


def choices(
    words: Words, terms: Terms, item: Item, purpose: Purpose, record_type: RecordType
) -> tuple[ChoiceWords, ...]:
    """What the person may choose for this item, the least revealing first."""
    return tuple(
        ChoiceWords(one.key, answer_in_words(words, one, purpose, record_type) or one.key)
        for one in offers(terms, item, purpose)
    )


def preview_in_words(words: Words, previewed: Previewed, record_type: RecordType) -> PreviewWords:
    """One item as it would be sent now."""
    label = record_type.label(words.language)
    if previewed.answer is not None:
        return PreviewWords(label, _answer(words, previewed.answer["answer"]), ())
    records = tuple(
        tuple(
            (record_type.fields[name].label[words.language], tuple(_lines(words, record_type, name, value)))
            for name, value in record.items()
        )
        for record in previewed.records
    )
    return PreviewWords(
        label, None if records else words.gettext("Nothing: no such record is there"), records
    )


def _question(words: Words, asked: Question, record_type: RecordType) -> str:
    """The declared text; a predicate that is gone keeps its name."""
    rule = predicate_of(record_type, asked.name)
    if rule is None:
        return asked.name
    text = rule.text[words.language]
    if asked.value is None:
        return text
    return text.replace("{value}", _constant(words, asked.value, rule, record_type))


def _constant(words: Words, value: Constant, rule: Predicate, record_type: RecordType) -> str:
    if isinstance(value, tuple):
        return ", ".join(_label(words, one, rule, record_type) for one in value)
    if isinstance(value, str):
        return _label(words, value, rule, record_type)
    if rule.operation in _AGES:
        return words.ngettext("%(count)s year", "%(count)s years", value)
    match rule.unit:
        case "won":
            return words.won(value)
        case "years":
            return words.ngettext("%(count)s full year", "%(count)s full years", value)
        case "months":
            return words.ngettext("%(count)s month", "%(count)s months", value)
        case "days":
            return words.ngettext("%(count)s day", "%(count)s days", value)
        case "times":
            return words.ngettext("%(count)s time", "%(count)s times", value)
    return words.number(value)


def _label(words: Words, value: str, rule: Predicate, record_type: RecordType) -> str:
    if value in rule.value_labels:
        return rule.value_labels[value][words.language]
    path = rule.path if rule.each is None else f"{rule.each}[].{rule.path}"
    known = record_type.value_labels.get(path or "", {}).get(value)
    if known is not None:
        return known[words.language]
    try:
        return words.day(date.fromisoformat(value)) if rule.takes == "day" else value
    except ValueError:
        return value


def _answer(words: Words, said: bool | Mapping[str, int | str] | None) -> str:  # noqa: FBT001 - the answer itself
    match said:
        case None:
            return words.gettext("Not known: no record says it")
        case bool():
            return words.gettext("Yes") if said else words.gettext("No")
    return ", ".join(f"{name}: {value}" for name, value in said.items())


def _lines(words: Words, record_type: RecordType, name: str, value: Any) -> Iterator[str]:  # noqa: ANN401 - a JSON value
    """A field's value in full, one line for each element of a list."""
    lexicon = wording.lexicon_of(words, record_type, name)
    elements: Sequence[Any] = value if isinstance(value, list) else [value]
    for element in elements[:_MAX_LINES]:
        yield _whole(words, element, lexicon)
    if len(elements) > _MAX_LINES:
        more = len(elements) - _MAX_LINES
        yield words.ngettext("and %(count)s more", "and %(count)s more", more)


def _whole(words: Words, value: Any, lexicon: Lexicon, *, is_won: bool = False) -> str:  # noqa: ANN401 - a JSON value
    match value:
        case dict():
            told = (
                _whole(words, one, lexicon, is_won=name in lexicon.won_members) for name, one in value.items()
            )
            return ", ".join(told)
        case list():
            return ", ".join(_whole(words, one, lexicon) for one in value)
        case None:
            return ""
    return wording.value_in_words(words, value, lexicon, is_won=is_won)
