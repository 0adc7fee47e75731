"""What the citizen's templates show, shaped from the domain's views. Pure: no session, no clock."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.web.citizen import wording
from broker.web.citizen.answer_wording import ChoiceWords, answer_in_words, choices
from broker.web.citizen.wording import lexicon_of
from broker.web.i18n import Words
from consent.delivery import ANSWERS_REVIEW_OF
from consent.emergency import BASIS
from consent.purposes import Purpose
from consent.reading import ConsentView, Party, PullView, TimelineEvent
from consent.terms import Item, Terms
from consent.vocabulary import EventType, Sensitivity
from vault.record_types.catalogue import Catalogue, RecordType

_REFUSALS: Final = frozenset(
    {
        EventType.DELIVERY_REFUSED,
        EventType.RECORD_TAMPERED,
        EventType.ATTESTATION_REFUSED,
        EventType.OBLIGATION_OVERDUE,
    }
)


@dataclass(frozen=True, slots=True)
class FieldWords:
    """One field of a record in plain words, with a sample value."""

    label: str
    description: str
    example: str


@dataclass(frozen=True, slots=True)
class ItemWords:
    """One item in plain words."""

    record_type: str
    label: str
    description: str
    mode: str
    limits: tuple[str, ...]
    fields: tuple[FieldWords, ...]
    is_required: bool
    is_sensitive: bool
    sensitivity: str | None
    answer: str | None
    choices: tuple[ChoiceWords, ...]


@dataclass(frozen=True, slots=True)
class TermsWords:
    """In plain words: the seven items of PIPA decree article 42-5, and what declining means."""

    recipient_name: str
    recipient_number: str
    recipient_contact: str
    purpose_name: str
    purpose_text: str
    holders: tuple[str, ...]
    items: tuple[ItemWords, ...]
    frequency: str
    valid_until: datetime
    until: str
    retention: str
    refusal_effect: str

    @property
    def required_items(self) -> list[ItemWords]:
        """What the purpose cannot do without."""
        return [item for item in self.items if item.is_required]

    @property
    def ordinary_items(self) -> list[ItemWords]:
        """Items that the law does not treat separately."""
        return [item for item in self.items if not item.is_sensitive]

    @property
    def sensitive_items(self) -> list[ItemWords]:
        """Health items: a decision of their own (PIPA article 23)."""
        return [item for item in self.items if item.is_sensitive]


@dataclass(frozen=True, slots=True)
class Card:
    """One consent on the citizen's home."""

    grant_id: str
    recipient_name: str
    purpose_name: str
    data: str
    state: str
    group: str
    given_at: datetime | None
    valid_until: datetime
    ended_at: datetime | None
    last_pull: PullView | None
    pull_count: int
    can_be_stopped: bool
    request_path: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a consent's timeline."""

    index: int
    at: datetime
    text: str
    note: str | None
    is_refusal: bool


def describe_item(
    words: Words, item: Item, terms: Terms, purpose: Purpose, record_type: RecordType
) -> ItemWords:
    """An item with every field it discloses, or the one answer; field codes never appear."""
    names = item.fields if item.fields is not None else tuple(record_type.fields)
    return ItemWords(
        record_type=item.record_type,
        label=record_type.label(words.language),
        description=record_type.description[words.language],
        mode=wording.mode_in_words(words, item),
        limits=tuple(_limits(words, item, terms, record_type)),
        fields=() if item.mode.is_answer else tuple(_field(words, record_type, name) for name in names),
        is_required=item.required,
        is_sensitive=record_type.sensitivity == Sensitivity.HEALTH,
        sensitivity=wording.sensitivity_in_words(words, record_type.sensitivity),
        answer=answer_in_words(words, item, purpose, record_type),
        choices=choices(words, terms, item, purpose, record_type),
    )


def describe_terms(
    words: Words,
    terms: Terms,
    *,
    purpose: Purpose,
    parties: tuple[Party, Sequence[str]],
    catalogue: Catalogue,
) -> TermsWords:
    """Everything a person must know before deciding. `parties`: the recipient, and the holders' names."""
    recipient, holders = parties
    return TermsWords(
        recipient_name=recipient.name(words.language),
        recipient_number=recipient.registration_number,
        recipient_contact=recipient.contact,
        purpose_name=purpose.name.in_language(words.language),
        purpose_text=purpose.text.in_language(words.language),
        holders=tuple(holders),
        items=tuple(
            describe_item(words, item, terms, purpose, catalogue.get(item.record_type))
            for item in terms.items
        ),
        frequency=wording.frequency_in_words(words, terms.access),
        valid_until=terms.access.valid_until,
        until=wording.until_in_words(words, terms.access.valid_until),
        retention=wording.retention_in_words(words, terms.retention),
        refusal_effect=purpose.refusal_effect.in_language(words.language),
    )


def things(words: Words, terms: Terms, catalogue: Catalogue) -> str:
    """The data in one short phrase: the first record type, and how many more."""
    first = catalogue.get(terms.items[0].record_type).label(words.language)
    more = len(terms.items) - 1
    if more == 0:
        return first
    return words.ngettext("%(first)s and %(count)s more", "%(first)s and %(count)s more", more, first=first)


def card(
    words: Words, consent: ConsentView, *, purpose_name: str, catalogue: Catalogue, request_path: str | None
) -> Card:
    """One consent for the citizen's home."""
    labels = [catalogue.get(item.record_type).label(words.language) for item in consent.terms.items]
    return Card(
        grant_id=consent.grant_id,
        recipient_name=consent.recipient.name(words.language),
        purpose_name=purpose_name,
        data=", ".join(labels),
        state=wording.state_in_words(words, consent.state),
        group=wording.group_of(consent.state),
        given_at=consent.given_at,
        valid_until=consent.valid_until,
        ended_at=consent.ended_at,
        last_pull=consent.pulls[-1] if consent.pulls else None,
        pull_count=len(consent.pulls),
        can_be_stopped=wording.can_be_stopped(consent.state, was_given=consent.given_at is not None),
        request_path=request_path,
    )


def steps(words: Words, timeline: Iterable[TimelineEvent]) -> list[Step]:
    """A timeline in words, the newest first."""
    return [_step(words, event) for event in timeline][::-1]


def _limits(words: Words, item: Item, terms: Terms, record_type: RecordType) -> list[str]:
    if "period" not in record_type.filters and item.filter is None:
        return []
    return wording.filter_in_words(words, item.filter, terms.data_period)


def _field(words: Words, record_type: RecordType, name: str) -> FieldWords:
    told = record_type.fields[name]
    example = record_type.example.get(name)
    lexicon = lexicon_of(words, record_type, name)
    return FieldWords(
        label=told.label[words.language],
        description=told.description[words.language],
        example="" if example is None else wording.value_in_words(words, example, lexicon),
    )


def _what_happened(words: Words, event: TimelineEvent) -> str:
    """An event as a sentence, and whether somebody else did it for the person."""
    if event.facts.get("basis") == BASIS:
        return words.gettext("Opened in an emergency, without asking you")
    text = wording.event_in_words(words, event.type, answers_review=ANSWERS_REVIEW_OF in event.detail)
    if "acting" not in event.detail:
        return text
    return words.gettext("%(what)s (done by the person who acts for you)", what=text)


def _step(words: Words, event: TimelineEvent) -> Step:
    reason = event.facts.get("reason")
    return Step(
        index=event.index,
        at=event.at,
        text=_what_happened(words, event),
        note=wording.reason_in_words(words, reason) if isinstance(reason, str) else None,
        is_refusal=event.type in _REFUSALS,
    )
