"""Keeping apart what cannot be taken: what is kept of whom, what never is, and the same again."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from sqlmodel import select

from broker.installation import Installation
from broker.jobs.keeping import divide, keep_contradicting, keep_faulty
from connectors.sources.base import MOST_KEPT, Faulty, SourceRecord, unread
from connectors.sources.catalog import SEOUL_HOSPITAL
from consent.collection import NewLink, link
from consent.errors import UnknownOrganisationError
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import PendingRecord, SourceLink
from consent.pending import PendingView, pending_records
from consent.pending_decisions import Admission, Inspected, admit, dismiss, inspect
from consent.staff import Staff
from consent.vocabulary import Doubt, EventType
from tests.connectors.sources.double import Exported
from tests.consent.details import BILL, HOSPITAL
from tests.consent.office import Office, open_office
from tests.installation import Clock
from vault.errors import Fault
from vault.store import Record

RRN: Final = "970302-2000000"
STAFF: Final = Staff("operator-1", "the hospital called")
Bill = dict[str, Any]


class Desk:
    """An office where P-0001 is linked, and bills as the hospital writes them."""

    def __init__(self, office: Office, exported: Exported) -> None:
        self.office = office
        self.exported = exported
        with office.work() as work:
            new = NewLink(office.subject_id, HOSPITAL, "P-0001", (BILL,), "ko", "김하늘")
            self.link_id = link(work, office.keyring, new, office.clock())

    def bill(self, number: str = "P-0001") -> Bill:
        return self.exported.of(number)[0]

    def read(self, *raws: object) -> list[SourceRecord | Faulty]:
        header = SEOUL_HOSPITAL.header_of(self.exported.header, "header")
        catalogue = self.office.installation.catalogue
        return [
            SEOUL_HOSPITAL.record_of(f"line {at}", raw, header, catalogue)
            for at, raw in enumerate(raws, start=2)
        ]

    def keep(self, *raws: object, origin: str = "november.jsonl", holder_id: str = HOSPITAL) -> None:
        self.keep_read([one for one in self.read(*raws) if isinstance(one, Faulty)], origin, holder_id)

    def keep_read(self, faulty: list[Faulty], origin: str = "x.jsonl", holder_id: str = HOSPITAL) -> None:
        with self.office.work() as work:
            keep_faulty(
                work,
                self.office.installation,
                faulty,
                holder_id=holder_id,
                origin=origin,
                now=self.office.clock(),
            )

    def waiting(self) -> list[PendingView]:
        with self.office.installation.data.read() as session:
            return pending_records(session, self.office.keyring)

    def looked_at(self, pending_id: str) -> Inspected:
        with self.office.work() as work:
            return inspect(work, self.office.keyring, pending_id, STAFF, self.office.clock())

    def events(self) -> list[tuple[str, dict[str, str | int]]]:
        """Type and facts of what happened to the link, from after its linking."""
        with self.office.installation.data.read() as session:
            handle = session.get_one(SourceLink, self.link_id).handle
            entries = session.exec(select(LedgerEntry).where(LedgerEntry.handle == handle)).all()
        leaves = [Event.from_leaf(one.leaf) for one in sorted(entries, key=lambda one: one.idx)]
        return [(leaf.type, dict(leaf.facts)) for leaf in leaves[1:]]

    def stored(self) -> bytes:
        """Everything of the rows that wait, as the database has it."""
        with self.office.installation.data.read() as session:
            rows = session.exec(select(PendingRecord)).all()
        return repr([row.model_dump() for row in rows]).encode()


@pytest.fixture
def desk(installation: Installation, clock: Clock, tmp_path: Path) -> Desk:
    return Desk(open_office(installation, clock), Exported(tmp_path / "exports"))


@pytest.fixture
def small_desk(sqlite_installation: Installation, clock: Clock, tmp_path: Path) -> Desk:
    """On SQLite only: for what no database decides."""
    return Desk(open_office(sqlite_installation, clock), Exported(tmp_path / "exports"))


# What must not be kept


@pytest.mark.parametrize("member", ["DEPT_NM", "PT_NM", "RCPT_NO", "PT_NO", "MEMO"])
def test_of_a_record_with_a_residents_number_only_its_place_is_kept(small_desk: Desk, member: str) -> None:
    (read,) = small_desk.read(small_desk.bill() | {member: RRN})
    assert isinstance(read, Faulty)
    assert (read.person, read.natural_key, read.raw) == (None, None, None)
    small_desk.keep_read([read])
    (view,) = small_desk.waiting()
    assert (view.rule, view.has_content, view.link_id) == (Doubt.RECORD_FAULTY, False, None)
    shown = small_desk.looked_at(view.pending_id)
    assert (shown.data, shown.identity.number, shown.identity.name) == (None, "", None)
    assert RRN not in view.place


def test_a_residents_number_that_is_no_text_is_found_too(small_desk: Desk) -> None:
    (read,) = small_desk.read(small_desk.bill() | {"TOT_AMT": int(RRN.replace("-", ""))})
    assert isinstance(read, Faulty)
    assert read.raw is None


@pytest.mark.parametrize("spoil", [{"PT_NM": "\ud800"}, {"DEPT_NM": "\udfff"}])
def test_broken_text_is_not_kept_and_breaks_nothing(small_desk: Desk, spoil: Bill) -> None:
    small_desk.keep(small_desk.bill() | spoil)
    (view,) = small_desk.waiting()
    assert (view.has_content, view.link_id) == (False, None)


def test_what_is_larger_than_any_record_leaves_a_notice_for_its_person(small_desk: Desk) -> None:
    small_desk.keep(small_desk.bill() | {"MEMO": "가" * MOST_KEPT})
    (view,) = small_desk.waiting()
    assert (view.has_content, view.link_id) == (False, small_desk.link_id)


@pytest.mark.parametrize(
    "raw", ["nothing", ["a", "list"], None, 7, {}, {"PT_NO": "?"}], ids=lambda raw: type(raw).__name__
)
def test_what_says_nothing_of_whose_it_is_leaves_a_notice(small_desk: Desk, raw: object) -> None:
    small_desk.keep(raw)
    (view,) = small_desk.waiting()
    assert (view.has_content, view.link_id) == (False, None)
    assert small_desk.events() == []


def test_of_strangers_and_of_what_was_not_agreed_to_only_a_notice_is_kept(desk: Desk) -> None:
    desk.keep(desk.bill("P-0003") | {"TOT_AMT": "1"})
    (read,) = desk.read(desk.bill() | {"TOT_AMT": "1"})
    assert isinstance(read, Faulty)
    desk.keep_read([replace(read, record_type="health.prescription")])
    found = {view.record_type: (view.has_content, view.link_id) for view in desk.waiting()}
    assert found == {BILL: (False, None), "health.prescription": (False, desk.link_id)}


def test_a_holder_that_is_not_registered_is_refused(small_desk: Desk) -> None:
    with pytest.raises(UnknownOrganisationError):
        small_desk.keep("nothing", holder_id="nobody")
    assert small_desk.waiting() == []


# What is kept


def test_a_faulty_record_waits_as_it_came_for_its_person_to_know_of_it(desk: Desk) -> None:
    bill = desk.bill() | {"TOT_AMT": "1", "ISS_YMD": "20260230", "MEMO": "call back", "FR_YMD": "x"}
    desk.keep(bill)
    (view,) = desk.waiting()
    assert (view.rule, view.has_content, view.link_id) == (Doubt.RECORD_FAULTY, True, desk.link_id)
    assert view.place.startswith("november.jsonl: line 2 $.MEMO unknown_member, $.ISS_YMD impossible_date, ")
    assert view.place.endswith(", …")
    assert desk.events() == [(EventType.RECORD_HELD, {"rule": Doubt.RECORD_FAULTY})]
    for secret in ("김하늘", "P-0001", bill["RCPT_NO"], "call back", "20260230"):
        assert secret not in view.place
        assert secret.encode() not in desk.stored()
    shown = desk.looked_at(view.pending_id)
    assert shown.data is not None
    assert json.loads(shown.data["raw"]) == bill
    assert {"path": "$.ISS_YMD", "rule": "impossible_date"} in shown.data["faults"]
    assert len(shown.data["faults"]) >= 4
    assert (shown.identity.number, shown.identity.name) == ("P-0001", "김하늘")


def test_the_same_again_is_the_same_row_and_leaves_no_event(desk: Desk) -> None:
    broken = unread("line 9, column 4", BILL, Fault("$", "not_json"))
    for _ in range(2):
        desk.keep(desk.bill() | {"TOT_AMT": "1"}, desk.bill() | {"RCPT_NO": "?"}, "nothing")
        desk.keep_read([broken])
    assert len(desk.waiting()) == 4
    assert len(desk.events()) == 2


def test_what_cannot_be_told_by_its_place_is_told_by_what_it_says(desk: Desk) -> None:
    for raw in ("nothing", ["nothing"], desk.bill() | {"RCPT_NO": RRN}, desk.bill() | {"PT_NM": RRN}):
        desk.keep(raw, origin="push")
    assert len(desk.waiting()) == 4


def test_what_was_rejected_does_not_come_back_and_another_fault_does(desk: Desk) -> None:
    desk.keep(desk.bill() | {"TOT_AMT": "1"})
    (view,) = desk.waiting()
    with desk.office.work() as work:
        dismiss(work, desk.office.keyring, view.pending_id, STAFF, desk.office.clock())
    desk.keep(desk.bill() | {"TOT_AMT": "1"})
    assert desk.waiting() == []
    desk.keep(desk.bill() | {"TOT_AMT": "2"})
    assert len(desk.waiting()) == 1


def test_nothing_faulty_is_no_work(small_desk: Desk) -> None:
    small_desk.keep_read([], holder_id="nobody")
    assert small_desk.waiting() == []


# Records at odds


def contradict(desk: Desk, *bills: Bill) -> list[tuple[str, str | None]]:
    records = [one for one in desk.read(*bills) if isinstance(one, SourceRecord)]
    certain, at_odds = divide(records)
    assert certain == []
    with desk.office.work() as work:
        outcomes = keep_contradicting(
            work,
            desk.office.installation,
            at_odds,
            holder_id=HOSPITAL,
            origin="november.jsonl",
            now=desk.office.clock(),
        )
    return [(one.what, one.rule) for one in outcomes]


def changed(department: str) -> Callable[[Bill], Bill]:
    return lambda bill: bill | {"DEPT_NM": department}


def test_records_at_odds_wait_until_a_person_has_chosen(desk: Desk) -> None:
    bill = desk.bill()
    both = [bill, changed("가정의학과")(bill)]
    assert contradict(desk, *both) == [("held", Doubt.CONTRADICTS_ANOTHER)] * 2
    first, second = desk.waiting()
    assert (first.has_content, first.link_id) == (True, desk.link_id)
    with desk.office.work() as work:
        chosen = Admission(second.pending_id, STAFF)
        office = desk.office
        assert admit(work, office.keyring, office.installation.catalogue, chosen, office.clock()).version == 1
        dismiss(work, office.keyring, first.pending_id, STAFF, office.clock())
    assert sorted(contradict(desk, *both)) == [("refused", "dismissed_before"), ("unchanged", None)]
    with desk.office.installation.data.read() as session:
        assert len(session.exec(select(Record)).all()) == 1


def test_of_records_at_odds_that_are_somebody_elses_by_name_all_are_kept(desk: Desk) -> None:
    bills = [desk.bill() | {"PT_NM": "이정숙"}, desk.bill() | {"PT_NM": "이정숙", "DEPT_NM": "가정의학과"}]
    assert contradict(desk, *bills) == [("held", Doubt.NAME_DIFFERS)] * 2
    assert len(desk.waiting()) == 2


def test_what_says_the_same_twice_is_not_at_odds(small_desk: Desk) -> None:
    one, other = small_desk.exported.of("P-0001")[:2]
    read = [found for found in small_desk.read(one, one, other) if isinstance(found, SourceRecord)]
    assert divide(read) == (read, [])
    with small_desk.office.work() as work:
        outcomes = keep_contradicting(
            work,
            small_desk.office.installation,
            [],
            holder_id="nobody",
            origin="x",
            now=small_desk.office.clock(),
        )
    assert outcomes == []
