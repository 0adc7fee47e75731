"""Whose record it is: a holder's number, name and birth date against the living links. Never guessed.

What a holder says is compared by keyed index, and with the sealed identity of the one link that it finds.
Anything but a match without contradiction is a doubt, which a person decides.
"""

import unicodedata
from collections.abc import Sequence
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
from vault.seal import context_of, open_sealed, seal

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
    by_number = _living(session, holder_id, now, patient_index=number_index(keyring, holder_id, told.number))
    index = person_index(keyring, holder_id, told)
    by_person = [] if index is None else _living(session, holder_id, now, person_index=index)
    if not by_number:
        return _without_number(by_person)
    (found,) = by_number
    others = {link.link_id for link in by_person}
    if others and found.link_id not in others:
        return Match(found, Doubt.PERSON_AMBIGUOUS, is_number_linked=True)
    try:
        doubt = _contradiction(identity_of(keyring, found), told)
    except ErasedError:
        return Match(None, Doubt.PERSON_NOT_LINKED, is_number_linked=False)
    return Match(found, doubt, is_number_linked=True)


def number_index(keyring: Keyring, holder_id: str, number: str) -> bytes:
    """The keyed index of a holder's number for a person."""
    return keyring.index("source_link.patient_no", _SEPARATOR.join((holder_id, number)))


def person_index(keyring: Keyring, holder_id: str, identity: Identity) -> bytes | None:
    """The keyed index of name and birth date at a holder; None unless both are known."""
    if identity.name is None or identity.born_on is None:
        return None
    parts = (holder_id, _comparable(identity.name), identity.born_on)
    return keyring.index("source_link.person", _SEPARATOR.join(parts))


def seal_identity(
    keyring: Keyring, link_id: str, owner: tuple[str, str], identity: Identity, now: datetime
) -> bytes:
    """Seal a link's identity under a key that an erasure destroys; `owner` is subject and holder."""
    key = keyring.ensure_compartment(owner[0], _compartment_id(keyring, owner), now)
    members = {"number": identity.number, "name": identity.name, "born_on": identity.born_on}
    return seal(key, _context(link_id), rfc8785.dumps(members))


def identity_of(keyring: Keyring, link: SourceLink) -> Identity | None:
    """Who the subject is to the holder; None for an ended link and for one that never kept it.

    Raises ErasedError once the subject's keys are gone.
    """
    if link.identity_sealed is None:
        return None
    compartment_id = _compartment_id(keyring, (link.subject_id, link.holder_id))
    key = keyring.compartment_key(link.subject_id, compartment_id)
    members: dict[str, Any] = orjson.loads(open_sealed(key, _context(link.link_id), link.identity_sealed))
    return Identity(**members)


def _living(session: Session, holder_id: str, now: datetime, **index: bytes) -> Sequence[SourceLink]:
    ((column, value),) = index.items()
    return session.exec(
        select(SourceLink).where(
            SourceLink.holder_id == holder_id,
            getattr(SourceLink, column) == value,
            col(SourceLink.ended_at).is_(None),
            col(SourceLink.valid_until) > now,
        )
    ).all()


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
