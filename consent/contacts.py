"""Where people are told beside the inbox: addresses of theirs, sealed, and confirmed by a code sent there.

The compartment goes with an erasure: afterwards an address cannot be opened, and nothing is sent any more.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Final

from sqlalchemy import ColumnElement, update
from sqlmodel import Session, col, func, select

from consent.errors import TooManyContactsError
from consent.models import Contact
from consent.notification_wishes import Channel
from consent.outbox import DutyKind, owe
from consent.purposes import Language
from vault.errors import UnknownKeyError
from vault.keys.keyring import Keyring
from vault.schema import random_id
from vault.seal import SealingKey, context_of, open_sealed, seal

CONFIRM_WITHIN: Final = timedelta(hours=24)
MOST_A_DAY: Final = 5
MOST_WRONG_CODES: Final = 5
_COMPARTMENT: Final = "contact"
_SENDS_CODE: Final = {Channel.MAIL: DutyKind.MAIL_CODE, Channel.WEBHOOK: DutyKind.PUSH_CODE}


@dataclass(frozen=True, slots=True)
class NewContact:
    """An address that a person has named, and the code that will be sent there. The broker draws the code."""

    subject_id: str
    channel: Channel
    address: str = field(repr=False)
    code: str = field(repr=False)
    language: Language


@dataclass(frozen=True, slots=True)
class ContactView:
    """An address as its person sees it. `fault` is the code of why the last try failed."""

    contact_id: str
    channel: Channel
    address: str = field(repr=False)
    is_confirmed: bool
    fault: str | None


@dataclass(frozen=True, slots=True)
class Destination:
    """Where something goes, and the code that confirms it, for the job that sends."""

    contact_id: str
    address: str = field(repr=False)
    code: str = field(repr=False)
    language: Language


def add_contact(session: Session, keyring: Keyring, new: NewContact, now: datetime) -> str:
    """Keep an address and owe it the code; answers its id. One that still waited for its code is dropped.

    Raises TooManyContactsError: a stranger's address must not be mailed again and again.
    """
    of_today = select(func.count()).where(
        Contact.subject_id == new.subject_id, col(Contact.created_at) > now - timedelta(days=1)
    )
    if session.exec(of_today).one() >= MOST_A_DAY:
        raise TooManyContactsError
    _end(session, new.subject_id, new.channel, now, col(Contact.confirmed_at).is_(None))
    contact_id = random_id()
    key = keyring.ensure_compartment(new.subject_id, _compartment_id(keyring, new.subject_id), now)
    session.add(
        Contact(
            contact_id=contact_id,
            subject_id=new.subject_id,
            channel=new.channel,
            address_sealed=seal(key, _context("address", contact_id), new.address.encode()),
            code_sealed=seal(key, _context("code", contact_id), new.code.encode()),
            language=new.language,
            wrong_codes=0,
            created_at=now,
        )
    )
    owe(session, _SENDS_CODE[new.channel], contact_id, now)
    return contact_id


def confirm_contact(
    session: Session, keyring: Keyring, owner: tuple[str, Channel], unverified_code: str, now: datetime
) -> bool:
    """Confirm the address that waits, if the code is the one that was sent there; it replaces the last one.

    `owner` is the person and the channel. After five wrong codes the address is dropped. The caller commits
    either way.
    """
    subject_id, channel = owner
    contact = session.exec(
        select(Contact)
        .where(
            Contact.subject_id == subject_id,
            Contact.channel == channel,
            col(Contact.confirmed_at).is_(None),
            col(Contact.ended_at).is_(None),
            col(Contact.created_at) > now - CONFIRM_WITHIN,
        )
        .order_by(col(Contact.created_at).desc())
        .limit(1)
        .with_for_update()
    ).one_or_none()
    if contact is None:
        return False
    key = keyring.compartment_key(subject_id, _compartment_id(keyring, subject_id))
    code = open_sealed(key, _context("code", contact.contact_id), contact.code_sealed)
    if not compare_digest(code, unverified_code.encode()):
        contact.wrong_codes += 1
        if contact.wrong_codes >= MOST_WRONG_CODES:
            contact.ended_at = now
        return False
    _end(session, subject_id, channel, now, col(Contact.confirmed_at).is_not(None))
    contact.confirmed_at = now
    return True


def end_contact(session: Session, subject_id: str, channel: Channel, now: datetime) -> None:
    """Tell the person nothing more on a channel; a second time changes nothing."""
    _end(session, subject_id, channel, now)


def contacts_of(session: Session, keyring: Keyring, subject_id: str, now: datetime) -> list[ContactView]:
    """A person's living addresses, the confirmed ones first; none that waited too long for its code."""
    rows = session.exec(
        select(Contact)
        .where(
            Contact.subject_id == subject_id,
            col(Contact.ended_at).is_(None),
            col(Contact.confirmed_at).is_not(None) | (col(Contact.created_at) > now - CONFIRM_WITHIN),
        )
        .order_by(col(Contact.confirmed_at).is_(None), col(Contact.channel))
    ).all()
    key = _key(keyring, subject_id)
    if key is None:
        return []
    return [
        ContactView(
            row.contact_id,
            Channel(row.channel),
            _open(key, "address", row.contact_id, row.address_sealed),
            is_confirmed=row.confirmed_at is not None,
            fault=row.fault,
        )
        for row in rows
    ]


def destination_of(
    session: Session, keyring: Keyring, subject_id: str, channel: Channel
) -> Destination | None:
    """The confirmed address of a person; None if there is none (any more)."""
    contact = session.exec(
        select(Contact)
        .where(
            Contact.subject_id == subject_id,
            Contact.channel == channel,
            col(Contact.confirmed_at).is_not(None),
            col(Contact.ended_at).is_(None),
        )
        .order_by(col(Contact.confirmed_at).desc())
        .limit(1)
    ).one_or_none()
    return None if contact is None else _destination(keyring, contact)


def unconfirmed(session: Session, keyring: Keyring, contact_id: str, now: datetime) -> Destination | None:
    """An address that waits for its code; None once it does not."""
    contact = session.get(Contact, contact_id)
    if contact is None or contact.confirmed_at is not None or contact.ended_at is not None:
        return None
    if contact.created_at <= now - CONFIRM_WITHIN:
        return None
    return _destination(keyring, contact)


def note_fault(session: Session, contact_id: str, fault: str | None) -> None:
    """Remember why the last try failed, for the person to see; None once one did not."""
    session.exec(update(Contact).where(col(Contact.contact_id) == contact_id).values(fault=fault))


def _destination(keyring: Keyring, contact: Contact) -> Destination | None:
    key = _key(keyring, contact.subject_id)
    if key is None:
        return None
    return Destination(
        contact.contact_id,
        _open(key, "address", contact.contact_id, contact.address_sealed),
        _open(key, "code", contact.contact_id, contact.code_sealed),
        "en" if contact.language == "en" else "ko",
    )


def _end(
    session: Session, subject_id: str, channel: Channel, now: datetime, *which: ColumnElement[bool]
) -> None:
    session.exec(
        update(Contact)
        .where(
            col(Contact.subject_id) == subject_id,
            col(Contact.channel) == channel,
            col(Contact.ended_at).is_(None),
            *which,
        )
        .values(ended_at=now)
    )


def _key(keyring: Keyring, subject_id: str) -> SealingKey | None:
    try:
        return keyring.compartment_key(subject_id, _compartment_id(keyring, subject_id))
    except UnknownKeyError:
        return None


def _open(key: SealingKey, part: str, contact_id: str, sealed: bytes) -> str:
    return open_sealed(key, _context(part, contact_id), sealed).decode()


def _compartment_id(keyring: Keyring, subject_id: str) -> str:
    return keyring.compartment_id(subject_id, "broker", _COMPARTMENT)


def _context(part: str, contact_id: str) -> bytes:
    return context_of("mydata/consent/contact@v1", part, contact_id)
