"""Whose record it is: a holder's number, name and birth date against the living links. Never guessed.

What a holder says is compared by keyed index, and with the sealed identity of the one link that it finds.
Anything but a match without contradiction is a doubt, which a person decides.
"""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson
import rfc8785
from sqlmodel import Session, col, select

from consent.models import SourceLink
from consent.vocabulary import Doubt
from vault.errors import ErasedError
from vault.keys.keyring import Keyring
from vault.seal import SealingKey, context_of, open_sealed, seal

_COMPARTMENT: Final = "link.identity"
_SEPARATOR: Final = "\x1f"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is to a holder: its number for the person, and name and birth date (ISO) if known."""

    number: str = field(repr=False)
    name: str | None = field(default=None, repr=False)
    born_on: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Match:
    """What a holder's words lead to: a link without a doubt, or a doubt, with the link it is about if any.

    `is_number_linked`: the number is one whose owner has agreed to a collection from this holder.
    """

    link: SourceLink | None
    doubt: Doubt | None
    is_number_linked: bool


def match(session: Session, keyring: Keyring, holder_id: str, told: Identity, now: datetime) -> Match:
    """Find the living link that a holder's words mean.

    The number decides; name and birth date can only contradict it. Who was erased is nobody here.
    """
    return match_all(session, keyring, holder_id, [told], now)[told]


def match_all(
    session: Session, keyring: Keyring, holder_id: str, told: Collection[Identity], now: datetime
) -> dict[Identity, Match]:
    """What each of a holder's words means, as `match` says it, with the statements of one."""
    numbers = {one: number_index(keyring, holder_id, one.number) for one in told}
    persons = {one: person_index(keyring, holder_id, one) for one in told}
    by_number = _living(session, holder_id, now, patient_index=numbers.values())
    by_person = _living(session, holder_id, now, person_index=[one for one in persons.values() if one])
    known = _identities(keyring, [link for links in by_number.values() for link in links])
    matches: dict[Identity, Match] = {}
    for one, number in numbers.items():
        same_person = by_person.get(persons[one] or b"", [])
        found = by_number.get(number)
        matches[one] = _match(found[0], same_person, known, one) if found else _without_number(same_person)
    return matches


def number_index(keyring: Keyring, holder_id: str, number: str) -> bytes:
    """The keyed index of a holder's number for a person."""
    return keyring.index("source_link.patient_no", _SEPARATOR.join((holder_id, number)))


def person_index(keyring: Keyring, holder_id: str, identity: Identity) -> bytes | None:
    """The keyed index of name and birth date at a holder; None unless both are known."""
    if identity.name is None or identity.born_on is None:
        return None
    parts = (holder_id, _comparable(identity.name), identity.born_on)
    return keyring.index("source_link.person", _SEPARATOR.join(parts))


def identity_keys(
    keyring: Keyring, owners: Collection[tuple[str, str]], now: datetime
) -> dict[tuple[str, str], SealingKey]:
    """The keys that identities are sealed under, and an erasure destroys; an owner is subject and holder."""
    places = {owner: _compartment_id(keyring, owner) for owner in owners}
    keys = keyring.ensure_compartments({place: owner[0] for owner, place in places.items()}, now)
    return {owner: keys[place] for owner, place in places.items()}


def seal_identity(key: SealingKey, link_id: str, identity: Identity) -> bytes:
    """Seal a link's identity, for that link only."""
    members = {"number": identity.number, "name": identity.name, "born_on": identity.born_on}
    return seal(key, _context(link_id), rfc8785.dumps(members))


def identity_of(keyring: Keyring, link: SourceLink) -> Identity | None:
    """Who the subject is to the holder; None for an ended link and for one that never kept it.

    Raises ErasedError once the subject's keys are gone.
    """
    known = _identities(keyring, [link])
    if link.link_id not in known:
        raise ErasedError(link.subject_id)
    return known[link.link_id]


def _identities(keyring: Keyring, links: Collection[SourceLink]) -> dict[str, Identity | None]:
    """What `identity_of` says of each link, by its id; links of subjects who were erased are left out."""
    places = {
        link.link_id: _compartment_id(keyring, (link.subject_id, link.holder_id))
        for link in links
        if link.identity_sealed is not None
    }
    keys = keyring.compartment_keys(
        {places[link.link_id]: link.subject_id for link in links if link.link_id in places}
    )
    known: dict[str, Identity | None] = {}
    for link in links:
        if link.identity_sealed is None:
            known[link.link_id] = None
        elif (key := keys.get(places[link.link_id])) is not None:
            members: dict[str, Any] = orjson.loads(
                open_sealed(key, _context(link.link_id), link.identity_sealed)
            )
            known[link.link_id] = Identity(**members)
    return known


def _living(
    session: Session, holder_id: str, now: datetime, **indexes: Collection[bytes]
) -> dict[bytes, list[SourceLink]]:
    """The living links under each value of one index."""
    ((column, values),) = indexes.items()
    found: dict[bytes, list[SourceLink]] = {}
    if not values:
        return found
    links = session.exec(
        select(SourceLink).where(
            SourceLink.holder_id == holder_id,
            getattr(SourceLink, column).in_(list(values)),
            col(SourceLink.ended_at).is_(None),
            col(SourceLink.valid_until) > now,
        )
    )
    for link in links:
        found.setdefault(getattr(link, column), []).append(link)
    return found


def _match(
    found: SourceLink,
    same_person: Sequence[SourceLink],
    known: Mapping[str, Identity | None],
    told: Identity,
) -> Match:
    """The number is this link's. Whoever else bears name and birth date makes it doubtful."""
    if same_person and all(link.link_id != found.link_id for link in same_person):
        return Match(found, Doubt.PERSON_AMBIGUOUS, is_number_linked=True)
    if found.link_id not in known:  # erased
        return Match(None, Doubt.PERSON_NOT_LINKED, is_number_linked=False)
    return Match(found, _contradiction(known[found.link_id], told), is_number_linked=True)


def _without_number(by_person: Sequence[SourceLink]) -> Match:
    """The number is nobody's here. Name and birth date alone never decide, not even when they fit one."""
    if not by_person:
        return Match(None, Doubt.PERSON_NOT_LINKED, is_number_linked=False)
    if len(by_person) == 1:
        return Match(by_person[0], Doubt.NUMBER_DIFFERS, is_number_linked=False)
    return Match(None, Doubt.PERSON_AMBIGUOUS, is_number_linked=False)


def _contradiction(known: Identity | None, told: Identity) -> Doubt | None:
    if known is None:
        return None
    if known.name is not None and told.name is not None and _comparable(known.name) != _comparable(told.name):
        return Doubt.NAME_DIFFERS
    if known.born_on is not None and told.born_on is not None and known.born_on != told.born_on:
        return Doubt.BIRTH_DATE_DIFFERS
    return None


def _comparable(name: str) -> str:
    """A name without what no two systems write alike: blanks, letter case, the form of its syllables."""
    return "".join(unicodedata.normalize("NFKC", name).split()).casefold()


def _compartment_id(keyring: Keyring, owner: tuple[str, str]) -> str:
    return keyring.compartment_id(*owner, _COMPARTMENT)


def _context(link_id: str) -> bytes:
    return context_of("mydata/consent/link-identity@v1", link_id)
