"""Records kept apart: what is kept and what is not, the same again, and what a person or time decides."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import pytest
from sqlmodel import select

from consent.collection import Arrival, NewLink, collect, link, unlink
from consent.errors import (
    NotFoundError,
    NothingKeptError,
    NotLinkedError,
    RecordFaultyError,
    WrongStateError,
)
from consent.evidence import open_detail
from consent.identity import Identity, Match, match
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import PendingRecord, SourceLink
from consent.pending import (
    SEALING_KEY,
    HoldOutcome,
    NewPending,
    PendingView,
    forget,
    hold,
    let_go,
    open_part,
    pending_records,
)
from consent.pending_decisions import Admission, Inspected, admit, dismiss, inspect, lapse, overdue_pending
from consent.staff import STAFF_KEY, Staff
from consent.vocabulary import Doubt, EventType
from tests.consent.details import BILL, HOSPITAL, POLICY, REGISTER
from tests.consent.office import Office
from vault.errors import TamperedError
from vault.store import PutResult, Record

NAME: Final = "김하늘"
KEEP_FOR: Final = timedelta(days=7)
STAFF: Final = Staff("operator-1", "the hospital called")
Told = tuple[str, dict[str, str | int], dict[str, Any]]


def linked(
    office: Office, number: str = "P-1", name: str | None = NAME, *, subject_id: str | None = None
) -> str:
    owner = subject_id or office.subject_id
    with office.work() as work:
        new = NewLink(owner, HOSPITAL, number, (BILL,), "ko", name)
        return link(work, office.keyring, new, office.clock())


def new(
    number: str = "P-1",
    person: str = "이정숙",
    total: int = 1,
    **changes: Any,  # noqa: ANN401 - any member
) -> NewPending:
    members: dict[str, Any] = {
        "holder_id": HOSPITAL,
        "record_type": BILL,
        "natural_key": "B-1",
        "identity": Identity(number, person),
        "place": "november.jsonl: line 7",
        "data": {"bill_no": "B-1", "totals": {"total": total}},
    }
    return NewPending(**members | changes)


def held(office: Office, one: NewPending, *, matched: Match | None = None) -> HoldOutcome:
    with office.work() as work:
        found = matched or match(work.session, office.keyring, one.holder_id, one.identity, office.clock())
        return hold(work, office.keyring, one, found, keep_for=KEEP_FOR, now=office.clock())


def waiting(office: Office) -> list[PendingView]:
    with office.installation.data.read() as session:
        return pending_records(session, office.keyring)


def rows(office: Office) -> Sequence[PendingRecord]:
    with office.installation.data.read() as session:
        return session.exec(select(PendingRecord)).all()


def told(office: Office, link_id: str) -> list[Told]:
    """Type, facts and opened detail of the events of a link, from after its linking."""
    with office.installation.data.read() as session:
        found = session.get_one(SourceLink, link_id)
        entries = session.exec(select(LedgerEntry).where(LedgerEntry.handle == found.handle)).all()
    key = office.keyring.audit_key(found.subject_id)
    events: list[Told] = []
    for entry in sorted(entries, key=lambda entry: entry.idx)[1:]:
        event = Event.from_leaf(entry.leaf)
        detail = open_detail(
            key, handle=event.handle, commitment=event.commitment, detail_sealed=entry.detail_sealed
        )
        events.append((event.type, dict(event.facts), detail))
    return events


def types(office: Office, link_id: str) -> list[str]:
    return [event for event, _, _ in told(office, link_id)]


def looked_at(office: Office, pending_id: str) -> Inspected:
    with office.work() as work:
        return inspect(work, office.keyring, pending_id, STAFF, office.clock())


def admitted(office: Office, pending_id: str, link_id: str | None = None) -> PutResult:
    with office.work() as work:
        admission = Admission(pending_id, STAFF, link_id)
        return admit(work, office.keyring, office.installation.catalogue, admission, office.clock())


def dismissed(office: Office, pending_id: str) -> None:
    with office.work() as work:
        dismiss(work, office.keyring, pending_id, STAFF, office.clock())


def lapsed(office: Office) -> int:
    with office.installation.data.read() as session:
        overdue = overdue_pending(session, office.clock())
    with office.work() as work:
        return sum(lapse(work, office.keyring, pending_id, office.clock()) for pending_id in overdue)


def record_count(office: Office) -> int:
    with office.installation.data.read() as session:
        return len(session.exec(select(Record)).all())


# What is kept, and what is not


def test_a_record_without_a_doubt_is_not_held(office: Office) -> None:
    linked(office)
    with pytest.raises(ValueError, match="no doubt"):
        held(office, new(person=NAME))
    assert rows(office) == []


def test_of_a_stranger_only_a_notice_is_kept(office: Office) -> None:
    size = office.log_size()
    assert held(office, new("P-9")) == "held"
    (view,) = waiting(office)
    assert (view.rule, view.has_content, view.link_id) == (Doubt.PERSON_NOT_LINKED, False, None)
    assert (rows(office)[0].content_sealed, rows(office)[0].subject_id) == (None, None)
    assert office.log_size() == size  # there is nobody whose log it could be in


def test_of_a_number_that_nobody_agreed_for_only_a_notice_is_kept(office: Office) -> None:
    with office.work() as work:
        other = NewLink(office.subject_id, HOSPITAL, "P-1", (BILL,), "ko", NAME, "1997-03-02")
        link_id = link(work, office.keyring, other, office.clock())
    held(office, new("P-2", identity=Identity("P-2", NAME, "1997-03-02")))
    (view,) = waiting(office)
    assert (view.rule, view.has_content, view.link_id) == (Doubt.NUMBER_DIFFERS, False, link_id)


def test_of_a_type_that_was_not_agreed_to_only_a_notice_is_kept(office: Office) -> None:
    linked(office)
    held(office, new(record_type=POLICY))
    assert [view.has_content for view in waiting(office)] == [False]


def test_under_a_collection_consent_the_record_is_kept(office: Office) -> None:
    link_id = linked(office)
    assert held(office, new()) == "held"
    (view,) = waiting(office)
    assert (view.rule, view.has_content, view.link_id) == (Doubt.NAME_DIFFERS, True, link_id)
    assert (view.place, view.expires_at) == ("november.jsonl: line 7", office.clock() + KEEP_FOR)
    detail = {"holder": HOSPITAL, "record_type": BILL}
    assert told(office, link_id) == [(EventType.RECORD_HELD, {"rule": Doubt.NAME_DIFFERS}, detail)]


def test_nothing_of_it_lies_in_the_clear(office: Office) -> None:
    number, bill_no = "P-1004477", "B-20261103-0042"  # too long to stand among random bytes by chance
    told_of = new(number, natural_key=bill_no, data={"bill_no": bill_no, "totals": {"total": 1}})
    linked(office, number)
    held(office, told_of)
    (row,) = rows(office)
    stored = repr({**vars(row), "_sa_instance_state": None}).encode()
    raw = b"".join(value for value in vars(row).values() if isinstance(value, bytes))
    for secret in ("이정숙", number, bill_no, "november"):
        assert secret.encode() not in stored + raw
    assert "이정숙" not in repr(told_of)
    assert bill_no not in repr(told_of)


def test_sealed_parts_open_for_their_own_row_and_part_only(office: Office) -> None:
    linked(office)
    held(office, new())
    held(office, new(natural_key="B-2"))
    one, other = rows(office)
    assert one.content_sealed is not None
    for pending_id, part, sealed in (
        (one.pending_id, "told", other.told_sealed),
        (one.pending_id, "told", one.content_sealed),
    ):
        with pytest.raises(TamperedError):
            open_part(office.keyring, pending_id, "told" if part == "told" else "content", sealed)
    assert SEALING_KEY == "pending_record"


# The same again


def test_the_same_again_is_the_same_row_with_the_same_end(office: Office) -> None:
    link_id = linked(office)
    held(office, new())
    (before,) = waiting(office)
    office.clock.advance(timedelta(days=1))
    assert held(office, new(place="again.jsonl: line 1")) == "waiting"
    assert waiting(office) == [before]
    assert types(office, link_id) == [EventType.RECORD_HELD]


def test_a_changed_record_takes_the_place_of_the_older_one_and_keeps_its_end(office: Office) -> None:
    linked(office)
    held(office, new())
    end = waiting(office)[0].expires_at
    office.clock.advance(timedelta(days=1))
    assert held(office, new(total=2)) == "held"
    (view,) = waiting(office)
    assert view.expires_at == end
    inspected = looked_at(office, view.pending_id)
    assert inspected.data == {"bill_no": "B-1", "totals": {"total": 2}}


def test_another_doubt_about_the_same_record_is_told(office: Office) -> None:
    held(office, new())
    link_id = linked(office)
    assert held(office, new()) == "held"
    (view,) = waiting(office)
    assert (view.rule, view.link_id, view.has_content) == (Doubt.NAME_DIFFERS, link_id, True)


def test_another_doubt_with_the_same_link_is_told_too(office: Office) -> None:
    linked(office)
    held(office, new())
    with office.work() as work:
        found = match(work.session, office.keyring, HOSPITAL, Identity("P-1", "이정숙"), office.clock())
    other = Match(found.link, Doubt.BIRTH_DATE_DIFFERS, is_number_linked=True)
    assert held(office, new(), matched=other) == "held"
    assert [view.rule for view in waiting(office)] == [Doubt.BIRTH_DATE_DIFFERS]


def test_what_arrives_without_a_doubt_later_is_let_go(office: Office) -> None:
    held(office, new("P-9"))
    held(office, new("P-8"))
    with office.work() as work:
        let_go(work.session, office.keyring, [new("P-9"), new("P-7")])
    assert len(rows(office)) == 1


def test_what_was_decided_is_not_let_go(office: Office) -> None:
    """A file with a good and a faulty line of one name comes again and again: it was decided once."""
    held(office, new("P-9"))
    dismissed(office, waiting(office)[0].pending_id)
    with office.work() as work:
        let_go(work.session, office.keyring, [new("P-9")])
    assert [row.state for row in rows(office)] == ["dismissed"]
    assert held(office, new("P-9")) == "dismissed"


def test_an_erasure_takes_what_is_kept_for_the_subject(office: Office) -> None:
    linked(office)
    held(office, new())
    held(office, new("P-9"))
    with office.work() as work:
        assert forget(work.session, office.subject_id) == 1
    assert [row.subject_id for row in rows(office)] == [None]


# Decisions


@pytest.mark.parametrize("decide", [looked_at, admitted, dismissed])
def test_what_is_not_there_is_not_found(office: Office, decide: Any) -> None:  # noqa: ANN401 - any decision
    with pytest.raises(NotFoundError):
        decide(office, "no-such-record")


@pytest.mark.parametrize("decide", [looked_at, admitted, dismissed])
def test_what_was_decided_is_not_decided_again(office: Office, decide: Any) -> None:  # noqa: ANN401
    linked(office)
    held(office, new())
    pending_id = waiting(office)[0].pending_id
    dismissed(office, pending_id)
    size = office.log_size()
    with pytest.raises(WrongStateError):
        decide(office, pending_id)
    assert office.log_size() == size


def test_a_notice_cannot_be_admitted(office: Office) -> None:
    held(office, new("P-9"))
    link_id = linked(office)
    with pytest.raises(NothingKeptError):
        admitted(office, waiting(office)[0].pending_id, link_id)
    assert (record_count(office), len(waiting(office))) == (0, 1)


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_faulty_record_is_shown_and_never_admitted(office: Office, is_kept: bool) -> None:  # noqa: FBT001
    link_id = linked(office)
    with office.installation.data.read() as session:
        found = session.get_one(SourceLink, link_id)
    faulty = Match(found, Doubt.RECORD_FAULTY, is_number_linked=is_kept)
    held(office, new(person=NAME, data={"faults": [], "raw": "{}"}), matched=faulty)
    (view,) = waiting(office)
    assert (view.rule, view.has_content) == (Doubt.RECORD_FAULTY, is_kept)
    with pytest.raises(RecordFaultyError):
        admitted(office, view.pending_id)
    assert record_count(office) == 0
    assert looked_at(office, view.pending_id).data == ({"faults": [], "raw": "{}"} if is_kept else None)
    dismissed(office, view.pending_id)
    assert waiting(office) == []


def test_two_of_one_name_wait_side_by_side_and_one_is_admitted_as_of_its_day(office: Office) -> None:
    link_id = linked(office)
    with office.installation.data.read() as session:
        found = session.get_one(SourceLink, link_id)
    at_odds = Match(found, Doubt.CONTRADICTS_ANOTHER, is_number_linked=True)
    for total in (1, 2):
        one = new(person=NAME, total=total, name=str(total), as_of="2026-11-02")
        assert held(office, one, matched=at_odds) == "held"
        assert held(office, one, matched=at_odds) == "waiting"
    first, second = waiting(office)
    assert admitted(office, second.pending_id).outcome == "added"
    with office.work() as work:
        row = work.session.get_one(SourceLink, link_id)
        newer = Arrival(BILL, "B-1", {"bill_no": "B-1", "totals": {"total": 3}}, "2026-11-03")
        collect(
            work, office.keyring, office.installation.catalogue, row, arrivals=[newer], now=office.clock()
        )
    assert admitted(office, first.pending_id).outcome == "outdated"
    assert record_count(office) == 1


def test_a_record_is_admitted_through_a_link_of_its_holder_only(office: Office) -> None:
    linked(office)
    held(office, new())
    foreign = office.link(REGISTER, "R-1")
    pending_id = waiting(office)[0].pending_id
    for link_id in (foreign, "no-such-link"):
        with pytest.raises(NotLinkedError):
            admitted(office, pending_id, link_id)
    assert (record_count(office), len(waiting(office))) == (0, 1)


def test_nothing_is_admitted_through_an_ended_link(office: Office) -> None:
    link_id = linked(office)
    held(office, new())
    with office.work() as work:
        unlink(work, office.keyring, link_id, office.subject_id, office.clock())
    with pytest.raises(NotLinkedError):
        admitted(office, waiting(office)[0].pending_id)
    assert len(waiting(office)) == 1


def test_looking_is_on_record_with_who_and_why(office: Office) -> None:
    link_id = linked(office)
    held(office, new())
    view = waiting(office)[0]
    found = looked_at(office, view.pending_id)
    assert (found.identity, found.place) == (Identity("P-1", "이정숙"), "november.jsonl: line 7")
    assert found.data == {"bill_no": "B-1", "totals": {"total": 1}}
    assert "이정숙" not in repr(found)
    event, facts, detail = told(office, link_id)[-1]
    assert (event, facts) == (EventType.RECORD_INSPECTED, {"rule": Doubt.NAME_DIFFERS})
    assert (detail["by"], detail["reason"], detail["pending_id"]) == (
        STAFF.by,
        STAFF.reason,
        view.pending_id,
    )


def test_looking_at_a_strangers_notice_is_on_record_too(office: Office) -> None:
    held(office, new("P-9"))
    found = looked_at(office, waiting(office)[0].pending_id)
    assert (found.data, found.identity.number) == (None, "P-9")
    with office.installation.data.read() as session:
        entry = max(session.exec(select(LedgerEntry)).all(), key=lambda entry: entry.idx)
    event = Event.from_leaf(entry.leaf)
    assert event.type == EventType.RECORD_INSPECTED
    detail = open_detail(
        office.keyring.sealing_key(STAFF_KEY),
        handle=event.handle,
        commitment=event.commitment,
        detail_sealed=entry.detail_sealed,
    )
    assert (detail["by"], detail["reason"]) == (STAFF.by, STAFF.reason)


def test_an_admitted_record_is_collected_and_nothing_else_of_it_stays(office: Office) -> None:
    link_id = linked(office)
    held(office, new())
    pending_id = waiting(office)[0].pending_id
    assert admitted(office, pending_id).outcome == "added"
    assert (record_count(office), waiting(office)) == (1, [])
    assert rows(office)[0].content_sealed is None
    assert types(office, link_id) == [
        EventType.RECORD_HELD,
        EventType.RECORD_ADMITTED,
        EventType.RECORDS_COLLECTED,
    ] or types(office, link_id) == [
        EventType.RECORD_HELD,
        EventType.RECORDS_COLLECTED,
        EventType.RECORD_ADMITTED,
    ]


def test_a_record_may_be_somebody_elses(office: Office) -> None:
    first = linked(office)
    second = linked(office, "P-2", "이정숙", subject_id=office.newcomer())
    held(office, new())
    assert admitted(office, waiting(office)[0].pending_id, second).outcome == "added"
    assert types(office, first)[-1] == EventType.RECORD_DISMISSED
    assert EventType.RECORD_ADMITTED in types(office, second)
    with office.installation.data.read() as session:
        (record,) = session.exec(select(Record)).all()
        assert record.subject_id == session.get_one(SourceLink, second).subject_id


def test_what_was_decided_holds_for_the_same_again_and_not_for_another(office: Office) -> None:
    linked(office)
    held(office, new())
    held(office, new(natural_key="B-2"))
    one, other = waiting(office)
    admitted(office, one.pending_id)
    dismissed(office, other.pending_id)
    names = {one.pending_id: "admitted", other.pending_id: "dismissed"}
    outcomes = {held(office, new()), held(office, new(natural_key="B-2"))}
    assert outcomes == set(names.values())
    assert waiting(office) == []
    office.clock.advance(timedelta(days=1))
    assert held(office, new(total=2)) == "held"
    (again,) = waiting(office)
    assert again.expires_at == office.clock() + KEEP_FOR


# Time


def test_what_waits_too_long_is_destroyed_and_that_is_on_record(office: Office) -> None:
    link_id = linked(office)
    held(office, new())
    held(office, new("P-9"))
    held(office, new(natural_key="B-2"))
    with office.installation.data.read() as session:
        decided = session.exec(select(PendingRecord).where(PendingRecord.link_id == link_id)).all()
    dismissed(office, decided[0].pending_id)
    office.clock.advance(KEEP_FOR - timedelta(seconds=1))
    assert (lapsed(office), len(rows(office))) == (0, 3)
    with office.work() as work:  # not before its time, whoever asks
        assert not lapse(work, office.keyring, decided[1].pending_id, office.clock())
    office.clock.advance(timedelta(seconds=1))
    assert (lapsed(office), len(rows(office))) == (2, 0)
    assert told(office, link_id)[-1][:2] == (EventType.RECORD_LAPSED, {"rule": Doubt.NAME_DIFFERS})
    assert (lapsed(office), record_count(office)) == (0, 0)


def test_a_record_that_is_collected_under_its_own_number_is_one_record(office: Office) -> None:
    """Admitted, and delivered again with the right name: nothing is doubled."""
    link_id = linked(office)
    held(office, new())
    admitted(office, waiting(office)[0].pending_id)
    (again,) = office.collect(link_id, Arrival(BILL, "B-1", {"bill_no": "B-1", "totals": {"total": 1}}))
    assert (again.outcome, record_count(office)) == ("unchanged", 1)
