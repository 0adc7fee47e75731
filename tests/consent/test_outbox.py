"""Duties: due in order, taken by one at a time, postponed ever later, kept when done."""

from datetime import timedelta
from typing import Final

import pytest
from sqlmodel import Session, col, select

from consent.models import Duty
from consent.outbox import (
    HOOKED,
    LOGOUTS,
    MAILED,
    NEVER,
    PINGED,
    PUSHED,
    DutyKind,
    bury,
    dead_duties,
    due_kinds,
    find_pushed,
    held_back_until,
    hold_back_client,
    hurry,
    owe,
    postpone,
    release_client,
    replay,
    set_aside,
    settle,
    take_due,
    take_pushed,
    wait_for_hurry,
)
from tests.consent.office import CLIENT, Office
from tests.databases import Databases
from tests.installation import Clock

SECOND: Final = timedelta(seconds=1)


def owe_to(office: Office, *targets: str) -> None:
    """Duties, each a second later than the one before."""
    for target in targets:
        with office.work() as work:
            owe(work.session, DutyKind.DESTROY_SHARES, target, office.clock())
        office.clock.advance(SECOND)


def target_due(session: Session, office: Office) -> str | None:
    duty = take_due(session, office.clock())
    return None if duty is None else duty.target


def duties(office: Office) -> list[Duty]:
    with office.installation.data.read() as session:
        return list(session.exec(select(Duty)))


def test_nothing_is_due_when_nothing_is_owed(office: Office) -> None:
    with office.work() as work:
        assert take_due(work.session, office.clock()) is None


def test_a_duty_is_not_due_before_its_time(office: Office) -> None:
    owe_to(office, "a")
    with office.work() as work:
        assert take_due(work.session, office.clock() - SECOND - timedelta(microseconds=1)) is None
        assert take_due(work.session, office.clock() - SECOND) is not None


def test_a_duty_that_was_rolled_back_is_not_owed(office: Office) -> None:
    with pytest.raises(ZeroDivisionError):
        owe_and_fail(office)
    assert duties(office) == []


def owe_and_fail(office: Office) -> float:
    with office.work() as work:
        owe(work.session, DutyKind.DESTROY_SHARES, "a", office.clock())
        return 1 / 0


def test_the_duty_that_waits_the_longest_comes_first_and_a_done_one_never_again(office: Office) -> None:
    start = office.clock.now
    office.clock.advance(SECOND)
    owe_to(office, "second")
    office.clock.now = start
    owe_to(office, "first")
    office.clock.advance(SECOND)
    taken = []
    for _ in range(2):
        with office.work() as work:
            duty = take_due(work.session, office.clock())
            assert duty is not None
            settle(duty, office.clock())
            taken.append(duty.target)
    with office.work() as work:
        assert take_due(work.session, office.clock()) is None
    assert taken == ["first", "second"]
    assert [duty.done_at for duty in duties(office)] == [office.clock()] * 2


def test_a_postponed_duty_lets_the_others_go_first(office: Office) -> None:
    owe_to(office, "broken", "next")
    with office.work() as work:
        duty = take_due(work.session, office.clock())
        assert duty is not None
        postpone(duty, office.clock())
    with office.work() as work:
        assert target_due(work.session, office) == "next"


def test_each_failure_waits_twice_as_long_and_at_most_an_hour(office: Office) -> None:
    duty = Duty(duty_id="d", kind="k", target="t", due_at=office.clock(), created_at=office.clock())
    waits = []
    for _ in range(30):
        postpone(duty, office.clock())
        waits.append((duty.due_at - office.clock()).total_seconds())
    assert waits[:4] == [2, 4, 8, 16]
    assert waits == sorted(waits)
    assert set(waits[12:]) == {3600}
    assert duty.attempts == 30


def test_a_duty_that_somebody_holds_is_skipped(postgresql_databases: Databases, clock: Clock) -> None:
    database = postgresql_databases.data
    with database.write() as session:
        for target in ("first", "second"):
            owe(session, DutyKind.DESTROY_SHARES, target, clock())
            clock.advance(SECOND)
    with database.write() as one, database.write() as other, database.write() as third:
        taken = [take_due(session, clock()) for session in (one, other, third)]
    assert [duty and duty.target for duty in taken] == ["first", "second", None]


def test_what_is_pushed_is_taken_apart_from_the_rest(office: Office) -> None:
    with office.work() as work:
        for kind in DutyKind:
            owe(work.session, kind, kind, office.clock())
    taken, pushed = set(), set()
    with office.work() as work:
        while (duty := take_due(work.session, office.clock())) is not None:
            settle(duty, office.clock())
            work.session.flush()
            taken.add(duty.target)
        for kinds in (MAILED, HOOKED, LOGOUTS, PINGED):
            found = find_pushed(work.session, office.clock(), kinds)
            assert found is not None
            assert found.kind in kinds
        while (found := find_pushed(work.session, office.clock())) is not None:
            duty = take_pushed(work.session, found.duty_id, office.clock())
            assert duty is not None
            settle(duty, office.clock())
            work.session.flush()
            assert take_pushed(work.session, found.duty_id, office.clock()) is None
            pushed.add(duty.target)
    assert (taken, pushed) == (set(DutyKind) - PUSHED - MAILED - HOOKED - LOGOUTS - PINGED, set(PUSHED))


def test_what_is_due_is_known_by_its_kinds(office: Office) -> None:
    now = office.clock()
    with office.work() as work:
        assert due_kinds(work.session, now) == frozenset()
        for kind in (DutyKind.CLOSE_DEAL, DutyKind.MAIL_CODE, DutyKind.PUSH_CODE):
            owe(work.session, kind, kind, now)
        owe(work.session, DutyKind.PING_CLIENT, "later", now + SECOND)
        settle(work.session.exec(select(Duty).where(Duty.kind == DutyKind.CLOSE_DEAL)).one(), now)
        bury(work.session.exec(select(Duty).where(Duty.kind == DutyKind.MAIL_CODE)).one(), now)
        work.session.flush()
        assert due_kinds(work.session, now) == {DutyKind.PUSH_CODE}


def test_what_is_dead_is_never_due_so_that_no_look_walks_past_it(office: Office) -> None:
    now = office.clock()
    owe_to(office, "buried", "by another program", "living")
    with office.work() as work:
        buried, before, living = work.session.exec(select(Duty).order_by(col(Duty.target))).all()
        bury(buried, now)
        before.dead_at = now
    assert {duty.target for duty in duties(office) if duty.due_at == NEVER} == {"buried"}
    with office.work() as work:
        set_aside(work.session)
    due = {duty.target: duty.due_at for duty in duties(office)}
    assert due == {"buried": NEVER, "by another program": NEVER, "living": living.due_at}
    with office.work() as work:
        assert replay(work.session, None, now) == 2
    due = {duty.target: duty.due_at for duty in duties(office)}
    assert due == {"buried": now, "by another program": now, "living": living.due_at}


def test_of_a_crowd_that_is_due_any_kind_may_be(office: Office) -> None:
    with office.work() as work:
        for number in range(1000):
            owe(work.session, DutyKind.MAIL_CODE, f"{number}", office.clock())
        work.session.flush()
        assert due_kinds(work.session, office.clock()) == set(DutyKind)


def test_a_shorter_longest_wait_holds(office: Office) -> None:
    duty = Duty(duty_id="d", kind="k", target="t", due_at=office.clock(), created_at=office.clock())
    for _ in range(9):
        postpone(duty, office.clock(), longest=5 * SECOND)
    assert duty.due_at - office.clock() == 5 * SECOND


def test_a_buried_duty_is_not_taken_and_not_forgotten(office: Office) -> None:
    owe_to(office, "a", "b")
    for _ in range(2):
        with office.work() as work:
            duty = take_due(work.session, office.clock())
            assert duty is not None
            duty.attempts = 7
            bury(duty, office.clock())
    with office.work() as work:
        assert take_due(work.session, office.clock()) is None
        assert [duty.target for duty in dead_duties(work.session)] == ["a", "b"]
    first = duties(office)[0].duty_id
    with office.work() as work:
        assert replay(work.session, first, office.clock()) == 1
        assert replay(work.session, None, office.clock()) == 1
        assert replay(work.session, None, office.clock()) == 0
    assert {(duty.attempts, duty.dead_at, duty.due_at) for duty in duties(office)} == {
        (0, None, office.clock())
    }


def test_a_client_that_does_not_listen_is_held_back_and_then_released(office: Office) -> None:
    grant_id, now = office.agree().grant_id, office.clock()
    until = now + 9 * SECOND
    with office.work() as work:
        for target in (grant_id, grant_id, "of another client"):
            owe(work.session, DutyKind.TELL_RECIPIENT, target, now)
    with office.work() as work:
        assert held_back_until(work.session, CLIENT, now) is None
        hold_back_client(work.session, CLIENT, until, now)
    with office.work() as work:
        assert held_back_until(work.session, CLIENT, now) == until
        assert held_back_until(work.session, CLIENT, until) is None
        assert held_back_until(work.session, "another", now) is None
        found = find_pushed(work.session, now)
        assert found is not None
        assert found.target == "of another client"
        wait_for_hurry(found, now)
    with office.work() as work:
        assert find_pushed(work.session, now) is None
        release_client(work.session, CLIENT, now)
        hurry(work.session, DutyKind.TELL_RECIPIENT, "of another client", now)
    assert {duty.due_at for duty in duties(office)} == {now}
