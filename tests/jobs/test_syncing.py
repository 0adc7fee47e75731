"""Asking holders: whatever one does wrong costs its own link alone; what was taken stays taken."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import pytest
from sqlmodel import select

import broker.jobs.syncing
from broker.installation import Installation
from broker.jobs.lapsing import end_overdue_links, lapse_pending
from broker.jobs.syncing import Synced, sync, sync_due
from broker.jobs.worker import work_until
from connectors.http import Limits
from connectors.sources.transmission import read_transmission
from consent.collection import NewLink, link, unlink
from consent.ledger.events import Event as LedgerEvent
from consent.ledger.models import LedgerEntry
from consent.models import PendingRecord, SourceLink, SourceProgress
from consent.organisations import suspend
from consent.pending import pending_records
from consent.progress import ASK_AGAIN, LEASE, connect
from consent.vocabulary import Doubt, EventType, RefusalReason
from tests.connectors.sources.double import (
    JSON,
    Double,
    Exported,
    Reply,
    hanging_up,
    page,
    refusal,
    serving_double,
    silence,
)
from tests.consent.details import BILL, HOSPITAL, POLICY, REGISTER
from tests.consent.office import Office, open_office
from tests.installation import ISSUER, Clock
from vault.store import Record

PATIENCE: Final = 120  # seconds
PATIENT: Final = Limits(read_seconds=60, total_seconds=60, response_bytes=300_000, attempts=1)
SHORT: Final = replace(PATIENT, read_seconds=0.3, total_seconds=0.5)  # for who is silent on purpose


@dataclass(frozen=True)
class Ward:
    """An office whose hospital is a double, and one person who is linked there."""

    office: Office
    double: Double
    exported: Exported
    link_id: str

    @property
    def installation(self) -> Installation:
        return self.office.installation

    def sync(self, *, is_forced: bool = True) -> Synced:
        (synced,) = sync(self.installation, self.office.clock(), holder_id=None, is_forced=is_forced)
        return synced

    def bills(self, patient_no: str = "P-0001") -> list[dict[str, Any]]:
        return self.exported.of(patient_no)

    def page(self, records: object, **members: object) -> Reply:
        return page(self.exported.header, records, **members)

    def record_count(self) -> int:
        with self.installation.data.read() as session:
            return len(session.exec(select(Record)).all())

    def progress(self) -> SourceProgress:
        with self.installation.data.read() as session:
            return session.get_one(SourceProgress, self.link_id)

    def events(self, link_id: str | None = None) -> list[tuple[str, dict[str, str | int]]]:
        """Type and facts of what happened to a link, from after its linking."""
        with self.installation.data.read() as session:
            handle = session.get_one(SourceLink, link_id or self.link_id).handle
            entries = session.exec(select(LedgerEntry).where(LedgerEntry.handle == handle)).all()
        leaves = [LedgerEvent.from_leaf(one.leaf) for one in sorted(entries, key=lambda one: one.idx)]
        return [(leaf.type, dict(leaf.facts)) for leaf in leaves[1:]]

    def rules(self) -> list[str]:
        with self.installation.data.read() as session:
            return [view.rule for view in pending_records(session, self.office.keyring)]


@pytest.fixture
def ward(
    installation: Installation, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ward]:
    yield from opened(installation, clock, tmp_path, monkeypatch)


@pytest.fixture
def sqlite_ward(
    sqlite_installation: Installation, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ward]:
    """For what no database decides."""
    yield from opened(sqlite_installation, clock, tmp_path, monkeypatch)


def opened(bare: Installation, clock: Clock, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    monkeypatch.setattr(broker.jobs.syncing, "_LIMITS", PATIENT)
    monkeypatch.setattr("connectors.sources.holder_api._PAUSES", (0.0, 0.0))
    server = bare.settings.server.model_copy(update={"profile": "demo"})
    settings = bare.settings.model_copy(update={"server": server})
    office = open_office(replace(bare, settings=settings), clock)
    with serving_double() as double:
        link_id = linked(office, "P-0001")
        with office.work() as work:
            connect(work.session, HOSPITAL, double.url, clock())
        yield Ward(office, double, Exported(folder / "exports"), link_id)


def linked(office: Office, number: str, *, name: str | None = "김하늘", holder_id: str = HOSPITAL) -> str:
    subject_id = office.subject_id if number == "P-0001" else office.newcomer()
    with office.work() as work:
        record_type = BILL if holder_id == HOSPITAL else POLICY
        new = NewLink(subject_id, holder_id, number, (record_type,), "ko", name)
        return link(work, office.keyring, new, office.clock())


# A holder that misbehaves


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (silence(1), "timed_out"),
        (hanging_up(), "unreachable"),
        (Reply(503), "status_503"),
        (Reply(500), "status_500"),
        (Reply(302, {"Location": "http://169.254.169.254/"}), "answer_redirects_or_is_encoded"),
        (Reply(body=b" " * 400_000), "answer_too_large"),
        (Reply(headers={"Content-Type": "text/html"}, body=b"<p>"), "wrong_content_type"),
        (Reply(body=b"rubbish"), "not_json"),
        (Reply(headers=dict(JSON), body=b"{}"), "page_malformed"),
        (refusal("because"), "refusal_without_reason"),
        (refusal("NO_SUCH_GROUND"), "refusal_without_reason"),
    ],
)
def test_what_a_holder_does_wrong_is_named_and_its_link_waits(
    sqlite_ward: Ward, monkeypatch: pytest.MonkeyPatch, reply: Reply, fault: str
) -> None:
    ward = sqlite_ward
    ward.double.will(reply)
    with monkeypatch.context() as hurried:
        if fault == "timed_out":
            hurried.setattr(broker.jobs.syncing, "_LIMITS", SHORT)
        synced = ward.sync()
    assert (synced.fault, synced.pages, ward.record_count(), ward.events()) == (fault, 0, 0, [])
    assert (ward.progress().fault, ward.progress().leased_until) == (fault, None)
    assert ward.progress().next_at > ward.office.clock()
    assert sync_due(ward.installation, ward.office.clock()) == []
    ward.office.clock.advance(timedelta(seconds=2))
    ward.double.will(ward.page(ward.bills()[:2]))
    (synced,) = sync_due(ward.installation, ward.office.clock())
    assert (synced.added, synced.fault, ward.progress().fault) == (2, None, None)


def test_an_address_that_is_not_public_is_not_called(sqlite_ward: Ward) -> None:
    ward = sqlite_ward
    with ward.office.work() as work:
        connect(work.session, HOSPITAL, "https://10.0.0.1/transmissions", ward.office.clock())
    assert ward.sync().fault == "address_not_public"
    with ward.office.work() as work:
        connect(work.session, HOSPITAL, "http://203.0.113.7/transmissions", ward.office.clock())
    assert ward.sync().fault in {"address_not_public", "address_refused"}


def test_a_holder_that_no_source_reads_is_named(sqlite_ward: Ward) -> None:
    ward = sqlite_ward
    with ward.office.work() as work:
        work.session.get_one(SourceLink, ward.link_id)
        connect(work.session, REGISTER, ward.double.url, ward.office.clock())
        new = NewLink(ward.office.subject_id, REGISTER, "R-1", (BILL,), "ko")
        link(work, ward.office.keyring, new, ward.office.clock())
    (synced,) = sync(ward.installation, ward.office.clock(), holder_id=REGISTER, is_forced=True)
    assert synced.fault == "no_source_reads_this_holder"


def test_pages_that_repeat_are_left_and_asked_for_anew(ward: Ward) -> None:
    bills = ward.bills()
    ward.double.will(
        ward.page(bills[:2], next_cursor="a"),
        ward.page(bills[2:4], next_cursor="b"),
        ward.page(bills[:2], next_cursor="a"),
    )
    synced = ward.sync()
    assert (synced.fault, synced.added, ward.record_count()) == ("cursor_repeats", 4, 4)
    assert (ward.progress().since, ward.progress().cursor_sealed) == (0, None)
    ward.double.will(ward.page(bills, mark=12))
    synced = ward.sync()
    assert (synced.added, synced.unchanged, ward.progress().since) == (len(bills) - 4, 4, 12)


def test_pages_without_an_end_are_left_for_the_next_run(
    sqlite_ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward = sqlite_ward
    monkeypatch.setattr(broker.jobs.syncing, "_MOST_PAGES", 3)
    ward.double.will(*(ward.page([], next_cursor=str(number)) for number in range(9)))
    assert ward.sync().fault == "more_pages_than_one_run_takes"
    ward.sync()
    assert [asked["page"]["cursor"] for asked in ward.double.asked] == [None, "0", "1", "2", "3", "4"]


def test_somebody_elses_records_are_refused_and_on_record(ward: Ward) -> None:
    other_id = linked(ward.office, "P-0002", name="이정숙")
    own, foreign = ward.bills()[:2], ward.bills("P-0002")[:3] + ward.bills("P-0003")[:1]
    ward.double.will(ward.page([*own, *foreign]))
    # Neither was asked for before, so no order is owed: which comes first, the database's plan says.
    both = sync(ward.installation, ward.office.clock(), holder_id=HOSPITAL, is_forced=True)
    assert {one.link_id for one in both} == {ward.link_id, other_id}
    (synced,) = (one for one in both if one.link_id == ward.link_id)
    assert (synced.added, synced.refused, synced.fault) == (2, 4, "foreign_person")
    assert (EventType.RECORDS_REJECTED, {"rule": "foreign_person", "records": 4}) in ward.events()
    with ward.installation.data.read() as session:
        owners = {record.subject_id for record in session.exec(select(Record))}
        assert session.exec(select(PendingRecord)).all() == []
    assert ward.office.subject_id in owners
    # What is the other person's came through their own link, in answer to their own request.
    assert (EventType.RECORDS_REJECTED, {"rule": "foreign_person", "records": 3}) in ward.events(other_id)


def test_a_schema_that_changed_costs_its_records_and_they_are_asked_for_again(ward: Ward) -> None:
    bills = ward.bills()[:3]
    changed = [bills[0], bills[1] | {"NEW": "x"}, bills[2] | {"NEW": "y", "TOT_AMT": "z"}]
    ward.double.will(ward.page(changed, mark=30))
    synced = ward.sync()
    assert (synced.added, synced.refused, synced.fault) == (1, 2, "unknown_member")
    assert ward.progress().since == 0
    assert ward.rules() == [Doubt.RECORD_FAULTY] * 2
    assert ward.events().count((EventType.RECORD_HELD, {"rule": Doubt.RECORD_FAULTY})) == 2
    ward.office.clock.advance(ASK_AGAIN)
    ward.double.will(ward.page(bills, mark=31))
    (synced,) = sync_due(ward.installation, ward.office.clock())
    assert (synced.added, synced.unchanged, ward.progress().since) == (2, 1, 31)
    assert ward.rules() == []
    assert ward.double.asked[-1]["page"]["since"] == 0


def test_faulty_records_of_somebody_else_are_foreign_and_of_nobody_a_notice(ward: Ward) -> None:
    bill, foreign = ward.bills()[0], ward.bills("P-0003")[0]
    bad = {"TOT_AMT": "1"}
    ward.double.will(ward.page([foreign | bad, bill | bad | {"PT_NO": "?"}, bill | bad]))
    synced = ward.sync()
    assert (synced.added, synced.refused, ward.record_count()) == (0, 3, 0)
    assert (EventType.RECORDS_REJECTED, {"rule": "foreign_person", "records": 1}) in ward.events()
    with ward.installation.data.read() as session:
        kept = {(row.rule, row.content_sealed is not None) for row in session.exec(select(PendingRecord))}
    assert kept == {(Doubt.RECORD_FAULTY, False), (Doubt.RECORD_FAULTY, True)}


def test_a_check_digit_that_does_not_hold_is_counted_and_refuses_nothing(sqlite_ward: Ward) -> None:
    ward = sqlite_ward
    mistyped = ward.exported.header | {"biz_no": "220-82-10074"}
    ward.double.will(page(mistyped, ward.bills()[:2]))
    synced = ward.sync()
    assert (synced.added, synced.doubted, synced.fault) == (2, 2, None)
    ward.double.will(ward.page(ward.bills()[:2]))
    assert ward.sync().doubted == 0


def test_two_versions_on_one_page_both_wait(ward: Ward) -> None:
    one, two = ward.bills()[:2]
    ward.double.will(ward.page([one, two, one | {"DEPT_NM": "가정의학과"}]))
    synced = ward.sync()
    assert (synced.added, synced.held, synced.fault) == (1, 2, None)
    assert ward.rules() == [Doubt.CONTRADICTS_ANOTHER] * 2


def test_a_record_with_another_name_waits_for_a_person(ward: Ward) -> None:
    one, two = ward.bills()[:2]
    ward.double.will(ward.page([one | {"PT_NM": "이정숙"}, two]))
    synced = ward.sync()
    assert (synced.added, synced.held, synced.fault) == (1, 1, None)
    assert ward.rules() == [Doubt.NAME_DIFFERS]
    ward.sync()
    assert ward.rules() == [Doubt.NAME_DIFFERS]
    ward.double.will(ward.page([one, two]))
    assert (ward.sync().added, ward.rules()) == (1, [])


def test_one_bad_link_does_not_stop_the_others(sqlite_ward: Ward) -> None:
    ward = sqlite_ward
    erased = linked(ward.office, "P-0002", name=None)
    tampered = linked(ward.office, "P-0003", name=None)
    with ward.office.work() as work:
        owner = work.session.get_one(SourceLink, erased).subject_id
        row = work.session.get_one(SourceLink, tampered)
        row.identity_sealed = b"\x00" + (row.identity_sealed or b"")[1:]
    ward.office.keyring.erase_subject(owner, ward.office.clock())
    ward.double.will(ward.page(ward.bills()[:1]))
    synced = sync(ward.installation, ward.office.clock(), holder_id=None, is_forced=True)
    assert [one.link_id for one in synced] == [ward.link_id]
    assert synced[0].added == 1


# Refusals


def test_a_refusal_on_a_legal_ground_is_on_record_and_asked_again_the_next_day(ward: Ward) -> None:
    ward.double.will(refusal("IDENTITY_UNVERIFIED"))
    assert (ward.sync().refusal, ward.events()) == (
        RefusalReason.IDENTITY_UNVERIFIED,
        [(EventType.COLLECTION_REFUSED, {"reason": "IDENTITY_UNVERIFIED"})],
    )
    assert sync_due(ward.installation, ward.office.clock()) == []
    ward.office.clock.advance(ASK_AGAIN)
    ward.double.will(ward.page(ward.bills()[:1]))
    (synced,) = sync_due(ward.installation, ward.office.clock())
    assert (synced.added, ward.progress().refusal) == (1, None)


# What is asked


def test_what_is_asked_is_signed_by_the_brokers_published_key_with_the_seven_items(ward: Ward) -> None:
    ward.double.will(ward.page([]))
    ward.sync()
    keys = {"keys": [key.public_jwk for key in ward.office.keyring.service_keys("oauth")]}
    received = read_transmission(
        ward.double.tokens[0], keys, issuer=ISSUER, holder_id=HOSPITAL, now=ward.office.clock()
    )
    asked = received.transmission
    assert (asked.number, asked.record_types, asked.cycle) == ("P-0001", (BILL,), "P1D")
    assert (asked.recipient, asked.retention) == (ISSUER, "until_erased")
    with ward.installation.data.read() as session:
        assert asked.until == session.get_one(SourceLink, ward.link_id).valid_until


def test_several_pages_are_taken_with_one_mark_and_then_only_what_is_new(ward: Ward) -> None:
    bills = ward.bills()
    ward.double.will(ward.page(bills[:5], next_cursor="two", mark=40), ward.page(bills[5:], mark=41))
    synced = ward.sync()
    assert (synced.pages, synced.added, ward.record_count()) == (2, len(bills), len(bills))
    assert [event for event, _ in ward.events()] == [EventType.RECORDS_COLLECTED] * 2
    assert ward.progress().since == 40
    ward.double.will(ward.page([], mark=44))
    assert (ward.sync().added, ward.double.asked[-1]["page"]["since"]) == (0, 40)
    assert ward.progress().since == 44


def test_a_run_that_died_between_two_pages_is_gone_on_with(ward: Ward) -> None:
    bills = ward.bills()
    ward.double.will(ward.page(bills[:5], next_cursor="two"), hanging_up())
    assert (ward.sync().fault, ward.record_count()) == ("unreachable", 5)
    ward.double.will(ward.page(bills[5:]))
    assert ward.sync().added == len(bills) - 5
    assert ward.double.asked[-1]["page"]["cursor"] == "two"
    assert ward.record_count() == len(bills)


def test_what_another_process_is_busy_with_is_left_to_it(ward: Ward) -> None:
    ward.double.will(ward.page([], next_cursor="two"), hanging_up())
    ward.sync()
    with ward.office.work() as work:
        row = work.session.get_one(SourceProgress, ward.link_id)
        row.leased_until = ward.office.clock() + LEASE
    assert sync(ward.installation, ward.office.clock(), holder_id=None, is_forced=True) == []


def test_a_link_that_ends_between_two_pages_takes_nothing_more(ward: Ward) -> None:
    bills = ward.bills()

    def unlink_now(_: object) -> None:
        with ward.office.work() as work:
            unlink(work, ward.office.keyring, ward.link_id, ward.office.subject_id, ward.office.clock())

    ward.double.will(
        ward.page(bills[:5], next_cursor="two"), replace(ward.page(bills[5:]), before=unlink_now)
    )
    synced = ward.sync()
    assert (synced.added, ward.record_count(), ward.rules()) == (5, 5, [])


def test_a_holder_that_was_suspended_is_not_asked(sqlite_ward: Ward) -> None:
    ward = sqlite_ward
    with ward.office.work() as work:
        suspend(work.session, HOSPITAL)
    assert sync(ward.installation, ward.office.clock(), holder_id=None, is_forced=True) == []
    assert ward.double.asked == []


def test_a_run_that_is_told_to_stop_asks_no_more(sqlite_ward: Ward) -> None:
    ward = sqlite_ward
    assert sync_due(ward.installation, ward.office.clock(), lambda: True) == []
    assert ward.double.asked == []


# In the worker


def test_a_silent_holder_does_not_hold_up_the_other_jobs(
    sqlite_ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward, asked, released, done = sqlite_ward, Event(), Event(), Event()

    def keep_waiting(_: object) -> None:
        asked.set()
        released.wait(2 * PATIENCE)

    limits = replace(PATIENT, read_seconds=3 * PATIENCE, total_seconds=3 * PATIENCE)
    monkeypatch.setattr(broker.jobs.syncing, "_LIMITS", limits)

    def sweep(*_: object) -> None:
        if asked.wait(PATIENCE):
            done.set()

    ward.double.will(Reply(before=keep_waiting))
    monkeypatch.setattr("broker.jobs.worker.sweep", sweep)
    stop = Event()
    worker = Thread(target=work_until, args=(stop, ward.installation))
    worker.start()
    try:
        assert done.wait(PATIENCE)  # and the holder has still not answered
    finally:
        stop.set()
        released.set()
        worker.join(PATIENCE)
    assert not worker.is_alive()


# Time


def test_links_and_pending_records_end_by_themselves(ward: Ward) -> None:
    one, *_ = ward.bills()
    ward.double.will(ward.page([one | {"PT_NM": "이정숙"}]))
    ward.sync()
    assert (end_overdue_links(ward.installation, ward.office.clock()), len(ward.rules())) == (0, 1)
    ward.office.clock.advance(timedelta(days=7))
    assert lapse_pending(ward.installation, ward.office.clock()) == 1
    ward.office.clock.advance(timedelta(days=358))
    assert end_overdue_links(ward.installation, ward.office.clock()) == 1
    assert [event for event, _ in ward.events()] == [
        EventType.RECORD_HELD,
        EventType.RECORD_LAPSED,
        EventType.SOURCE_EXPIRED,
    ]
