"""What a change makes different, in words: what comes in, what falls away, what is more or less. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from broker.web.citizen import wording
from broker.web.citizen.views import ItemWords, TermsWords
from broker.web.i18n import Words
from consent.terms import Terms


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of a difference. `kind` is `added`, `removed` or `changed`; what was and what is to be."""

    kind: str
    what: str
    before: str | None = None
    after: str | None = None


def differences(
    words: Words, standing: tuple[Terms, TermsWords], proposed: tuple[Terms, TermsWords]
) -> list[Difference]:
    """Everything in which the proposed terms are not the standing ones, items first."""
    (old, old_words), (new, new_words) = standing, proposed
    return [
        *_of_items(words, old_words, new_words),
        *_of_holders(words, old_words, new_words),
        *_of_facts(words, (old, old_words), (new, new_words)),
    ]


def _of_items(words: Words, old: TermsWords, new: TermsWords) -> Iterator[Difference]:
    before = {item.record_type: item for item in old.items}
    after = {item.record_type: item for item in new.items}
    for record_type in after.keys() - before.keys():
        item = after[record_type]
        yield Difference("added", item.label, after=_item_in_words(words, item))
    for record_type in before.keys() - after.keys():
        yield Difference("removed", before[record_type].label)
    for record_type in sorted(before.keys() & after.keys()):
        was, is_now = _item_in_words(words, before[record_type]), _item_in_words(words, after[record_type])
        if was != is_now:
            yield Difference("changed", after[record_type].label, was, is_now)


def _of_holders(words: Words, old: TermsWords, new: TermsWords) -> Iterator[Difference]:
    came = sorted(set(new.holders) - set(old.holders))
    went = sorted(set(old.holders) - set(new.holders))
    for holder in came:
        yield Difference("added", words.gettext("Sent by %(holder)s", holder=holder))
    for holder in went:
        yield Difference("removed", words.gettext("Sent by %(holder)s", holder=holder))


def _of_facts(
    words: Words, old: tuple[Terms, TermsWords], new: tuple[Terms, TermsWords]
) -> Iterator[Difference]:
    (old_terms, before), (new_terms, after) = old, new
    rows = (
        (words.gettext("How often"), before.frequency, after.frequency),
        (words.gettext("Until when"), before.until, after.until),
        (words.gettext("How long it is kept"), before.retention, after.retention),
        (
            words.gettext("From which time the records are"),
            wording.days_in_words(words, old_terms.data_period),
            wording.days_in_words(words, new_terms.data_period),
        ),
    )
    for what, was, is_now in rows:
        if was != is_now:
            yield Difference("changed", what, was, is_now)


def _item_in_words(words: Words, item: ItemWords) -> str:
    fields = ", ".join(field.label for field in item.fields)
    needed = words.gettext("needed") if item.is_required else words.gettext("your choice")
    return " · ".join(part for part in (item.mode, fields, *item.limits, needed) if part)
