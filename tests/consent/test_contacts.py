"""Addresses: sealed, confirmed by a code sent there, and gone with an erasure."""

from datetime import timedelta
from typing import Final

import pytest
from sqlmodel import select

from consent.contacts import (
    CONFIRM_WITHIN,
    MOST_A_DAY,
    MOST_WRONG_CODES,
    ContactView,
    NewContact,
    add_contact,
    confirm_contact,
    contacts_of,
    destination_of,
    end_contact,
    note_fault,
    unconfirmed,
)
from consent.errors import TooManyContactsError
from consent.models import Contact
from consent.notification_wishes import Channel
from consent.outbox import DutyKind
from tests.consent.office import Office
from tests.consent.telling import CODE, duties, reachable

MAIL: Final = "haneul@example.org"


def add(office: Office, address: str = MAIL, channel: Channel = Channel.MAIL) -> str:
    with office.work() as work:
        new = NewContact(office.subject_id, channel, address, CODE, "en")
        return add_contact(work.session, office.keyring, new, office.clock())


def confirm(office: Office, code: str = CODE, channel: Channel = Channel.MAIL) -> bool:
    with office.work() as work:
        owner = (office.subject_id, channel)
        return confirm_contact(work.session, office.keyring, owner, code, office.clock())


def contacts(office: Office) -> list[ContactView]:
    with office.installation.data.read() as session:
        return contacts_of(session, office.keyring, office.subject_id, office.clock())


def address(office: Office, channel: Channel = Channel.MAIL) -> str | None:
    with office.installation.data.read() as session:
        found = destination_of(session, office.keyring, office.subject_id, channel)
    return None if found is None else found.address


def waits(office: Office, contact_id: str) -> bool:
    with office.installation.data.read() as session:
        return unconfirmed(session, office.keyring, contact_id, office.clock()) is not None


def test_nothing_goes_to_an_address_before_it_is_confirmed(office: Office) -> None:
    contact_id = add(office)
    assert address(office) is None
    assert waits(office, contact_id)
    assert [duty.target for duty in duties(office, DutyKind.MAIL_CODE)] == [contact_id]
    assert not confirm(office, "00000000")
    assert not confirm(office, channel=Channel.WEBHOOK)
    assert address(office) is None
    assert confirm(office)
    assert address(office) == MAIL
    assert not waits(office, contact_id)
    assert not confirm(office)


def test_five_wrong_codes_drop_it(office: Office) -> None:
    add(office)
    for _ in range(MOST_WRONG_CODES):
        assert not confirm(office, "00000000")
    assert not confirm(office)
    assert contacts(office) == []


def test_a_code_is_good_for_a_day(office: Office) -> None:
    contact_id = add(office)
    office.clock.advance(CONFIRM_WITHIN)
    assert not confirm(office)
    assert not waits(office, contact_id)
    assert contacts(office) == []


def test_a_new_address_replaces_the_old_one_once_it_is_confirmed(office: Office) -> None:
    reachable(office, Channel.MAIL, MAIL)
    dropped = add(office, "wrong@example.org")
    waiting = add(office, "new@example.org")
    assert not waits(office, dropped)
    assert [(one.address, one.is_confirmed) for one in contacts(office)] == [
        (MAIL, True),
        ("new@example.org", False),
    ]
    assert address(office) == MAIL
    assert confirm(office)
    assert address(office) == "new@example.org"
    assert [one.contact_id for one in contacts(office)] == [waiting]


def test_strangers_are_not_mailed_again_and_again(office: Office) -> None:
    for number in range(MOST_A_DAY):
        add(office, f"stranger-{number}@example.org")
    with pytest.raises(TooManyContactsError):
        add(office)
    office.clock.advance(timedelta(days=1))
    add(office)


def test_an_ended_address_hears_nothing(office: Office) -> None:
    reachable(office, Channel.MAIL, MAIL)
    reachable(office, Channel.WEBHOOK, "https://hook.example/in")
    for _ in range(2):
        with office.work() as work:
            end_contact(work.session, office.subject_id, Channel.MAIL, office.clock())
    assert address(office) is None
    assert address(office, Channel.WEBHOOK) == "https://hook.example/in"


def test_why_a_try_failed_is_for_its_person_to_see(office: Office) -> None:
    contact_id = reachable(office, Channel.MAIL, MAIL)
    for fault in ("mail_refused_550", None):
        with office.work() as work:
            note_fault(work.session, contact_id, fault)
        assert [one.fault for one in contacts(office)] == [fault]


def test_an_erasure_takes_the_address(office: Office) -> None:
    reachable(office, Channel.MAIL, MAIL)
    waiting = add(office, "new@example.org")
    office.keyring.erase_subject(office.subject_id, office.clock())
    assert address(office) is None
    assert contacts(office) == []
    assert not waits(office, waiting)


def test_neither_address_nor_code_is_readable_at_rest(sqlite_office: Office) -> None:
    office = sqlite_office
    contact_id = add(office)
    with office.installation.data.read() as session:
        row = session.exec(select(Contact)).one()
    assert MAIL.encode() not in row.address_sealed
    assert CODE.encode() not in row.code_sealed
    assert CODE not in repr(row)
    with office.installation.data.read() as session:
        found = unconfirmed(session, office.keyring, contact_id, office.clock())
    assert found is not None
    assert (found.address, found.code, found.language) == (MAIL, CODE, "en")
    assert not any(secret in repr(found) for secret in (MAIL, CODE))
    assert not waits(office, "no such contact")
