"""How far the asking has come: what is due, one worker at a time, marks, faults and refusals."""

from datetime import timedelta
from functools import partial
from typing import Any, Final

import pytest
from sqlmodel import select

from consent.collection import VALID_FOR, NewLink, link, unlink
from consent.errors import UnknownOrganisationError
from consent.evidence import open_detail
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import SourceLink, SourceProgress
from consent.organisations import suspend
from consent.progress import (
    ASK_AGAIN,
    LEASE,
    HolderStanding,
    Task,
    Turn,
    connect,
    due_links,
    fail,
    holder_standings,
    never_completed,
    refuse,
    reject,
    standings_of,
    take,
    turn_page,
)
from consent.vocabulary import EventType, RefusalReason
from tests.consent.details import BILL, HOSPITAL, REGISTER
from tests.consent.office import RECIPIENT, Office, at_once
from vault.errors import ErasedError

ENDPOINT: Final = "https://hospital.example/transmissions"


@pytest.fixture
def link_id(office: Office) -> str:
    """A link of a holder that is connected."""
    connected(office)
    return linked(office)


def connected(office: Office, holder_id: str = HOSPITAL, endpoint: str = ENDPOINT) -> None:
    with office.work() as work:
        connect(work.session, holder_id, endpoint, office.clock())


def linked(office: Office, number: str = "P-1", subject_id: str | None = None) -> str:
    with office.work() as work:
        new = NewLink(subject_id or office.subject_id, HOSPITAL, number, (BILL,), "ko", "김하늘")
        return link(work, office.keyring, new, office.clock())


def due(office: Office, holder_id: str | None = None, *, is_forced: bool = False) -> list[str]:
    with office.installation.data.read() as session:
        return due_links(session, office.clock(), holder_id=holder_id, is_forced=is_forced)


def taken(office: Office, link_id: str) -> Task | None:
    with office.work() as work:
        return take(work, office.keyring, link_id, office.clock())


def turned(
    office: Office, link_id: str, mark: int, cursor: str | None = None, fault: str | None = None
) -> None:
    with office.work() as work:
        found = work.session.get_one(SourceLink, link_id)
        turn_page(work, office.keyring, found, Turn(mark, cursor, fault), office.clock())


def failed(office: Office, link_id: str, fault: str = "timed_out", *, is_broken: bool = False) -> None:
    with office.work() as work:
        fail(work, link_id, fault, is_broken=is_broken, now=office.clock())


def refused(office: Office, link_id: str, reason: RefusalReason) -> None:
    with office.work() as work:
        refuse(work, office.keyring, work.session.get_one(SourceLink, link_id), reason, office.clock())


def progress(office: Office, link_id: str) -> SourceProgress:
    with office.installation.data.read() as session:
        return session.get_one(SourceProgress, link_id)


def told(office: Office, link_id: str) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    key = office.keyring.audit_key(office.subject_id)
    with office.installation.data.read() as session:
        handle = session.get_one(SourceLink, link_id).handle
        entries = session.exec(select(LedgerEntry).where(LedgerEntry.handle == handle)).all()
    events = []
    for entry in sorted(entries, key=lambda entry: entry.idx)[1:]:
        event = Event.from_leaf(entry.leaf)
        detail = open_detail(
            key, handle=handle, commitment=event.commitment, detail_sealed=entry.detail_sealed
        )
        events.append((event.type, dict(event.facts), detail))
    return events


# What is not asked for


def test_what_holds_nothing_cannot_be_connected(office: Office) -> None:
    for holder_id in ("no-such-holder", RECIPIENT):
        with pytest.raises(UnknownOrganisationError):
            connected(office, holder_id)


def test_a_holder_without_an_interface_is_not_asked(office: Office) -> None:
    link_id = linked(office)
    assert (due(office), due(office, is_forced=True), taken(office, link_id)) == ([], [], None)


def test_a_suspended_holder_is_not_asked(office: Office, link_id: str) -> None:
    with office.work() as work:
        suspend(work.session, HOSPITAL)
    assert due(office, is_forced=True) == []
    del link_id


def test_an_ended_link_is_not_asked_for(office: Office, link_id: str) -> None:
    with office.work() as work:
        unlink(work, office.keyring, link_id, office.subject_id, office.clock())
    assert (due(office, is_forced=True), taken(office, link_id)) == ([], None)


def test_a_link_whose_year_is_over_is_not_asked_for(office: Office, link_id: str) -> None:
    office.clock.advance(timedelta(days=365))
    assert (due(office, is_forced=True), taken(office, link_id)) == ([], None)


def test_a_link_of_before_numbers_were_kept_is_not_asked_for(office: Office, link_id: str) -> None:
    with office.work() as work:
        work.session.get_one(SourceLink, link_id).identity_sealed = None
    assert (due(office, is_forced=True), taken(office, link_id)) == ([], None)


def test_an_erased_person_is_not_asked_for(office: Office, link_id: str) -> None:
    office.keyring.erase_subject(office.subject_id, office.clock())
    with pytest.raises(ErasedError):
        taken(office, link_id)


def test_another_holders_links_are_not_due_when_one_is_named(office: Office, link_id: str) -> None:
    connected(office, REGISTER)
    assert (due(office, REGISTER), due(office, HOSPITAL), due(office)) == ([], [link_id], [link_id])


# One at a time


def test_a_task_says_whom_to_ask_for_whom(office: Office, link_id: str) -> None:
    task = taken(office, link_id)
    assert task is not None
    assert (task.holder_id, task.endpoint, task.record_types) == (HOSPITAL, ENDPOINT, (BILL,))
    assert (task.identity.number, task.since, task.cursor) == ("P-1", 0, None)
    assert "'P-1'" not in repr(task)  # as it would stand there; without quotes it may stand in a random id


def test_a_new_address_takes_the_place_of_the_old_one(office: Office, link_id: str) -> None:
    connected(office, endpoint="https://new.example/t")
    task = taken(office, link_id)
    assert task is not None
    assert task.endpoint == "https://new.example/t"


def test_what_another_worker_has_is_left_to_it_until_it_has_been_silent(office: Office, link_id: str) -> None:
    assert taken(office, link_id) is not None
    assert (taken(office, link_id), due(office)) == (None, [])
    office.clock.advance(LEASE)
    assert due(office) == [link_id]
    assert taken(office, link_id) is not None


def test_of_several_workers_at_once_one_gets_it(office: Office, link_id: str) -> None:
    got: list[Task | None] = []
    at_once(*[partial(lambda: got.append(taken(office, link_id)))] * 3)
    assert len([task for task in got if task is not None]) == 1


# Pages


def test_after_the_last_page_the_holder_is_left_alone_for_a_day(office: Office, link_id: str) -> None:
    taken(office, link_id)
    with office.installation.data.read() as session:
        assert never_completed(session) == 1
    turned(office, link_id, 17)
    row = progress(office, link_id)
    assert (row.since, row.completed_at, row.leased_until, row.fault) == (17, office.clock(), None, None)
    with office.installation.data.read() as session:
        assert never_completed(session) == 0
    assert (due(office), due(office, is_forced=True)) == ([], [link_id])
    office.clock.advance(ASK_AGAIN)
    assert due(office) == [link_id]


def test_a_pass_goes_on_where_it_was_and_keeps_its_first_mark(office: Office, link_id: str) -> None:
    taken(office, link_id)
    turned(office, link_id, 17, "page-2")
    stored = progress(office, link_id)
    assert stored.cursor_sealed is not None
    assert b"page-2" not in stored.cursor_sealed
    office.clock.advance(LEASE)
    task = taken(office, link_id)
    assert task is not None
    assert (task.since, task.cursor) == (0, "page-2")
    turned(office, link_id, 99)
    assert (progress(office, link_id).since, progress(office, link_id).cursor_sealed) == (17, None)


def test_a_pass_with_a_fault_does_not_move_the_mark(office: Office, link_id: str) -> None:
    taken(office, link_id)
    turned(office, link_id, 17, "page-2", "unknown_member")
    turned(office, link_id, 17)
    row = progress(office, link_id)
    assert (row.since, row.fault, row.has_faults) == (0, "unknown_member", False)
    assert row.completed_at == office.clock()
    office.clock.advance(ASK_AGAIN)
    taken(office, link_id)
    turned(office, link_id, 18)
    assert (progress(office, link_id).since, progress(office, link_id).fault) == (18, None)


# Failures


def test_each_failure_waits_twice_as_long_and_never_too_long(office: Office, link_id: str) -> None:
    taken(office, link_id)
    waits = []
    for _ in range(30):
        failed(office, link_id)
        waits.append(progress(office, link_id).next_at - office.clock())
    assert [wait.total_seconds() for wait in waits[:4]] == [2, 4, 8, 16]
    assert waits[-1] == timedelta(hours=6)
    assert (progress(office, link_id).fault, progress(office, link_id).leased_until) == ("timed_out", None)
    turned(office, link_id, 1)
    assert (progress(office, link_id).attempts, progress(office, link_id).fault) == (0, None)


def test_a_late_holder_is_asked_on_and_a_broken_pass_begins_anew(office: Office, link_id: str) -> None:
    taken(office, link_id)
    turned(office, link_id, 17, "page-2")
    failed(office, link_id)
    assert progress(office, link_id).cursor_sealed is not None
    failed(office, link_id, "cursor_repeats", is_broken=True)
    row = progress(office, link_id)
    assert (row.cursor_sealed, row.pass_mark, row.since) == (None, None, 0)


def test_failures_are_not_in_the_log(office: Office, link_id: str) -> None:
    taken(office, link_id)
    size = office.log_size()
    failed(office, link_id)
    failed(office, link_id, "page_malformed", is_broken=True)
    assert office.log_size() == size


# Refusals


def test_a_refusal_reaches_its_person_once_and_again_with_another_reason(
    office: Office, link_id: str
) -> None:
    taken(office, link_id)
    for reason in (
        RefusalReason.IDENTITY_UNVERIFIED,
        RefusalReason.IDENTITY_UNVERIFIED,
        RefusalReason.THIRD_PARTY_RIGHTS,
    ):
        refused(office, link_id, reason)
        office.clock.advance(ASK_AGAIN)
    assert told(office, link_id) == [
        (EventType.COLLECTION_REFUSED, {"reason": reason}, {"holder": HOSPITAL, "reason": reason})
        for reason in ("IDENTITY_UNVERIFIED", "THIRD_PARTY_RIGHTS")
    ]


def test_a_refusal_stands_until_something_is_sent(office: Office, link_id: str) -> None:
    taken(office, link_id)
    refused_at = office.clock()
    refused(office, link_id, RefusalReason.CREDENTIAL_THEFT)
    with office.installation.data.read() as session:
        (standing,) = standings_of(session, office.subject_id).values()
        assert standings_of(session, "somebody-else") == {}
    assert (standing.refusal, standing.refused_at) == (RefusalReason.CREDENTIAL_THEFT, refused_at)
    assert due(office) == []
    office.clock.advance(ASK_AGAIN)
    taken(office, link_id)
    turned(office, link_id, 1)
    with office.installation.data.read() as session:
        standing = standings_of(session, office.subject_id)[link_id]
    assert (standing.refusal, standing.refused_at, standing.completed_at) == (None, None, office.clock())


def standing(office: Office) -> dict[str, HolderStanding]:
    with office.installation.data.read() as session:
        return holder_standings(session, office.clock())


def test_how_a_holder_does_is_told_by_its_links(office: Office) -> None:
    assert standing(office) == {}
    link_id = office.link()
    nothing = HolderStanding(endpoint=None, links=1, failing=0, fault=None)
    assert standing(office) == {HOSPITAL: nothing}
    with office.work() as work:
        connect(work.session, HOSPITAL, ENDPOINT, office.clock())
        connect(work.session, REGISTER, ENDPOINT, office.clock())
    assert taken(office, link_id) is not None
    failed(office, link_id)
    idle = HolderStanding(ENDPOINT, links=0, failing=0, fault=None)
    assert standing(office) == {HOSPITAL: HolderStanding(ENDPOINT, 1, 1, "timed_out"), REGISTER: idle}
    refused(office, link_id, RefusalReason.CREDENTIAL_THEFT)
    assert standing(office)[HOSPITAL] == HolderStanding(ENDPOINT, 1, 1, "CREDENTIAL_THEFT")
    office.clock.advance(VALID_FOR)
    assert standing(office)[HOSPITAL] == idle


def test_the_grounds_are_eleven() -> None:
    assert len(RefusalReason) == 11
    assert all(reason.isupper() for reason in RefusalReason)


# Records that were not asked for


def test_what_was_not_asked_for_is_on_record_by_its_rule(office: Office, link_id: str) -> None:
    with office.work() as work:
        found = work.session.get_one(SourceLink, link_id)
        reject(work, office.keyring, found, [], office.clock())
        reject(work, office.keyring, found, ["foreign_person"] * 2, office.clock())
    expected = {"rule": "foreign_person", "records": 2}
    assert told(office, link_id) == [(EventType.RECORDS_REJECTED, expected, {"holder": HOSPITAL})]
