"""Finding a subject: by the exact number only, and every search is on record."""

import pytest
from sqlmodel import select

from consent.evidence import open_detail
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import SourceLink
from consent.search import Found, Search, find_subject
from consent.staff import STAFF_KEY, Staff
from consent.vocabulary import EventType
from tests.consent.details import HOSPITAL, REGISTER
from tests.consent.office import PATIENT_NO, Office

STAFF = Staff("operator-1", "call 42")


def found(office: Office, number: str, holder_id: str = HOSPITAL) -> Found | None:
    with office.work() as work:
        return find_subject(work, office.keyring, Search(holder_id, number), STAFF, office.clock())


def newest(office: Office) -> tuple[LedgerEntry, Event]:
    with office.installation.data.read() as session:
        entry = max(session.exec(select(LedgerEntry)).all(), key=lambda entry: entry.idx)
    return entry, Event.from_leaf(entry.leaf)


@pytest.mark.parametrize("number", ["P-000", "P-00010", "P-", "", "p-0001", "P-0001 ", "%", "P-000_"])
def test_anything_but_the_whole_number_finds_nobody(office: Office, number: str) -> None:
    office.link()
    assert found(office, number) is None
    assert found(office, PATIENT_NO, REGISTER) is None


def test_a_miss_is_on_record_under_the_staffs_own_key(office: Office) -> None:
    assert found(office, "P-9999") is None
    entry, event = newest(office)
    assert (event.type, dict(event.facts)) == (EventType.SUBJECT_SEARCHED, {"found": 0})
    assert b"P-9999" not in entry.leaf + entry.detail_sealed
    detail = open_detail(
        office.keyring.sealing_key(STAFF_KEY),
        handle=event.handle,
        commitment=event.commitment,
        detail_sealed=entry.detail_sealed,
    )
    assert detail == {"holder": HOSPITAL, "by": "operator-1", "reason": "call 42"}


def test_a_hit_is_on_record_with_its_subject(office: Office) -> None:
    link_id = office.link()
    assert found(office, PATIENT_NO) == Found(office.subject_id, link_id)
    entry, event = newest(office)
    assert (event.type, dict(event.facts)) == (EventType.SUBJECT_SEARCHED, {"found": 1})
    with office.installation.data.read() as session:
        assert session.get_one(SourceLink, link_id).handle == event.handle
    detail = open_detail(
        office.keyring.audit_key(office.subject_id),
        handle=event.handle,
        commitment=event.commitment,
        detail_sealed=entry.detail_sealed,
    )
    assert (detail["by"], detail["reason"]) == ("operator-1", "call 42")
