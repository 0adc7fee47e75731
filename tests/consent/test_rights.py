"""Requests by right: filed, looked at, answered or rejected, each with its deadline (consent/rights.py)."""

import base64
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
import rfc8785
from sqlmodel import col, select

from consent.errors import NotFoundError, RightInvalidError, WrongStateError
from consent.ledger.entries import check_opening
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import RightRequest
from consent.rights import (
    LONGEST_TEXT,
    REJECTIONS,
    STATUTORY_RETENTION,
    NewRight,
    RightAnswer,
    RightView,
    WaitingRight,
    answer_right,
    authority_copy,
    complaint_record,
    file_right,
    inspect_right,
    right_of,
    rights_of,
    waiting_rights,
)
from consent.staff import Staff
from consent.vocabulary import RefusalReason, RightKind, RightState
from tests.consent.details import BILL, HOSPITAL
from tests.consent.office import Office

TEN_DAYS = timedelta(days=10)
STAFF = Staff("minji", "to answer it")
WORDS = "진료일이 틀려요: 11월 3일이 아니라 4일이에요"


def file(office: Office, kind: RightKind = RightKind.STOP, text: str = WORDS, **changes: Any) -> str:  # noqa: ANN401 - a field's value
    new = replace(NewRight(office.subject_id, kind, text), **changes)
    with office.work() as work:
        return file_right(work, office.keyring, new, answer_within=TEN_DAYS, now=office.clock())


def answer(office: Office, right_id: str, text: str = "고쳤어요", reason: str | None = None) -> RightState:
    with office.work() as work:
        told = RightAnswer(text, reason)
        return answer_right(work, office.keyring, right_id, told, staff=STAFF, now=office.clock())


def view(office: Office, right_id: str, subject_id: str | None = None) -> RightView:
    with office.installation.data.read() as session:
        return right_of(session, office.keyring, subject_id or office.subject_id, right_id, office.clock())


def waiting(office: Office, *, is_all: bool = False) -> list[WaitingRight]:
    with office.installation.data.read() as session:
        return waiting_rights(session, office.clock(), is_all=is_all)


def events_of(office: Office) -> list[Event]:
    with office.installation.data.read() as session:
        rows = session.exec(select(LedgerEntry.leaf).order_by(col(LedgerEntry.idx))).all()
    return [event for event in map(Event.from_leaf, rows) if event.type.startswith("right.")]


@pytest.mark.parametrize(
    ("kind", "changes", "fault"),
    [
        (RightKind.STOP, {"text": "  \n"}, ("text", "needed")),
        (RightKind.STOP, {"text": "가" * (LONGEST_TEXT + 1)}, ("text", "too_long")),
        (RightKind.COMPLAIN, {}, ("grant_id", "needed")),
        (RightKind.CORRECT, {}, ("organisation_id", "needed")),
        (RightKind.ERASE, {"organisation_id": "nobody"}, ("organisation_id", "unknown")),
        (RightKind.OBJECT, {"for_authority": True}, ("for_authority", "complaints_only")),
    ],
)
def test_what_is_not_complete_is_not_filed(
    office: Office, kind: RightKind, changes: dict[str, Any], fault: tuple[str, str]
) -> None:
    with pytest.raises(RightInvalidError) as refused:
        file(office, kind, **changes)
    assert fault in refused.value.faults
    assert waiting(office) == []
    assert events_of(office) == []


def test_a_complaint_about_somebody_elses_consent_is_as_about_an_unknown_one(office: Office) -> None:
    grant_id = office.agree().grant_id
    stranger = office.newcomer()
    for subject_id, wanted in ((stranger, grant_id), (office.subject_id, "no-such-grant")):
        with pytest.raises(NotFoundError):
            file(office, RightKind.COMPLAIN, subject_id=subject_id, grant_id=wanted)
    assert events_of(office) == []


def test_nobody_elses_request_can_be_read(office: Office) -> None:
    right_id = file(office)
    stranger = office.newcomer()
    for subject_id, wanted in ((stranger, right_id), (office.subject_id, "no-such-right")):
        with pytest.raises(NotFoundError):
            view(office, wanted, subject_id)
        with office.installation.data.read() as session, pytest.raises(NotFoundError):
            complaint_record(session, office.keyring, subject_id, wanted)
    with office.installation.data.read() as session:
        assert rights_of(session, office.keyring, stranger, office.clock()) == []


def test_a_flood_of_requests_is_refused(sqlite_office: Office) -> None:
    for _ in range(20):
        file(sqlite_office)
    with pytest.raises(RightInvalidError) as refused:
        file(sqlite_office)
    assert refused.value.faults == [("request", RefusalReason.EXCESSIVE_REPEAT)]
    answer(sqlite_office, waiting(sqlite_office)[0].right_id)
    file(sqlite_office)


def test_what_is_unknown_or_empty_cannot_be_answered(office: Office) -> None:
    right_id = file(office)
    with pytest.raises(NotFoundError):
        answer(office, "no-such-right")
    with office.work() as work, pytest.raises(NotFoundError):
        inspect_right(work, office.keyring, "no-such-right", STAFF, office.clock())
    with pytest.raises(RightInvalidError):
        answer(office, right_id, text=" ")
    with pytest.raises(RightInvalidError):
        answer(office, right_id, reason="BECAUSE")
    assert view(office, right_id).state is RightState.FILED


def test_an_answer_stays_as_it_is(office: Office) -> None:
    right_id = file(office)
    assert answer(office, right_id) is RightState.ANSWERED
    with pytest.raises(WrongStateError):
        answer(office, right_id, "다른 답", STATUTORY_RETENTION)
    found = view(office, right_id)
    assert (found.state, found.answer, found.reason) == (RightState.ANSWERED, "고쳤어요", None)
    assert waiting(office) == []
    assert [one.right_id for one in waiting(office, is_all=True)] == [right_id]


def test_the_deadline_is_ten_days_and_seen_when_it_has_passed(office: Office) -> None:
    right_id = file(office, RightKind.ERASE)
    filed_at = office.clock()
    office.clock.advance(TEN_DAYS - timedelta(seconds=1))
    assert view(office, right_id).state is RightState.FILED
    office.clock.advance(timedelta(seconds=1))
    assert view(office, right_id).state is RightState.OVERDUE
    assert [one.state for one in waiting(office)] == [RightState.OVERDUE]
    assert view(office, right_id).due_at == filed_at + TEN_DAYS
    assert answer(office, right_id, "늦었어요", STATUTORY_RETENTION) is RightState.REJECTED
    assert view(office, right_id).state is RightState.REJECTED


@pytest.mark.parametrize("reason", REJECTIONS)
def test_a_rejection_names_its_ground(sqlite_office: Office, reason: str) -> None:
    right_id = file(sqlite_office)
    answer(sqlite_office, right_id, reason=reason)
    assert view(sqlite_office, right_id).reason == reason


def test_whoever_looks_is_on_record_and_it_is_in_progress(office: Office) -> None:
    right_id = file(office, RightKind.CORRECT, organisation_id=HOSPITAL, record=BILL)
    for _ in range(2):
        with office.work() as work:
            seen = inspect_right(work, office.keyring, right_id, STAFF, office.clock())
    assert (seen.text, seen.record, seen.organisation_id) == (WORDS, BILL, HOSPITAL)
    assert view(office, right_id).state is RightState.IN_PROGRESS
    answer(office, right_id)
    assert [event.type for event in events_of(office)] == [
        "right.requested",
        "right.inspected",
        "right.inspected",
        "right.answered",
    ]


def test_the_log_tells_the_kind_and_nothing_else(office: Office) -> None:
    answer(office, file(office, RightKind.CORRECT, organisation_id=HOSPITAL), reason=STATUTORY_RETENTION)
    for event in events_of(office):
        assert event.facts == {"kind": "correct"}
        assert (event.recipient, event.purpose) == (None, "subject.rights")
    with office.installation.data.read() as session:
        (row,) = session.exec(select(RightRequest)).all()
    clear = repr(row).encode()
    assert WORDS.encode() not in clear + row.body_sealed + (row.answer_sealed or b"")


def test_only_a_complaint_has_a_record_and_only_by_choice_a_copy(office: Office) -> None:
    grant_id = office.agree().grant_id
    plain = file(office, RightKind.OBJECT, grant_id=grant_id)
    complaint = file(office, RightKind.COMPLAIN, grant_id=grant_id)
    with office.installation.data.read() as session:
        with pytest.raises(NotFoundError):
            complaint_record(session, office.keyring, office.subject_id, plain)
        with pytest.raises(NotFoundError):
            authority_copy(session, office.keyring, office.subject_id, complaint)
    assert (view(office, plain).has_record, view(office, complaint).has_record) == (False, True)


def test_a_complaint_keeps_the_record_as_it_was_and_anybody_can_check_it(office: Office) -> None:
    given = office.agree()
    office.deliver(given.grant_id)
    right_id = file(office, RightKind.COMPLAIN, grant_id=given.grant_id, for_authority=True)
    office.withdraw(given.grant_id)
    with office.installation.data.read() as session:
        record = complaint_record(session, office.keyring, office.subject_id, right_id)
        copy = authority_copy(session, office.keyring, office.subject_id, right_id)
        leaves = {row.idx: row.leaf for row in session.exec(select(LedgerEntry))}
    told = orjson.loads(record)
    assert told["state"] == "GIVEN"
    assert told["versions"][-1]["receipt"] == given.receipt_jws
    assert [one["payload_digest"] for one in told["deliveries"]] == [(b"p" * 32).hex()]
    assert told["timeline"]
    for entry in told["timeline"]:
        leaf, opening = (base64.urlsafe_b64decode(entry[name] + "==") for name in ("leaf", "opening"))
        assert leaf == leaves[entry["index"]]
        commitment = Event.from_leaf(leaf).commitment
        assert check_opening(commitment, detail=rfc8785.dumps(entry["detail"]), opening=opening)
        changed = rfc8785.dumps({**entry["detail"], "more": 1})
        assert not check_opening(commitment, detail=changed, opening=opening)
    assert (copy["complaint"], copy["about"]) == (WORDS, told)
    assert office.subject_id not in orjson.dumps(copy).decode()
