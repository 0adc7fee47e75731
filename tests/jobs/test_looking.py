"""Looking: who is woken for what, nobody for nothing, and what an idle worker asks the database."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Final

import pytest
from sqlalchemy import Engine, event, text
from sqlmodel import col, select

import broker.jobs.pushing
from broker.db import transaction
from broker.installation import Installation
from broker.jobs.hooking import push_notices
from broker.jobs.logging_out import tell_logouts
from broker.jobs.looking import Chore, Lookout
from broker.jobs.notifying import notify
from broker.jobs.pinging import ping_due
from broker.jobs.telling import tell_due
from broker.jobs.worker import work_until
from consent.models import Duty
from consent.outbox import DutyKind, bury, owe, postpone, settle
from tests.consent.office import open_office
from tests.installation import Clock

PATIENCE: Final = 120

WOKEN: Final = {
    DutyKind.MAIL_NOTICE: Chore.MAIL,
    DutyKind.MAIL_CODE: Chore.MAIL,
    DutyKind.PUSH_NOTICE: Chore.HOOKS,
    DutyKind.PUSH_CODE: Chore.HOOKS,
    DutyKind.TELL_LOGOUT: Chore.LOGOUTS,
    DutyKind.PING_CLIENT: Chore.PINGS,
    DutyKind.TELL_RECIPIENT: Chore.EVENTS,
    DutyKind.ASK_REVIEW: Chore.EVENTS,
    DutyKind.TELL_ENDED: Chore.EVENTS,
    DutyKind.TELL_PAUSED: Chore.EVENTS,
    DutyKind.TELL_RESUMED: Chore.EVENTS,
    DutyKind.TELL_DUE: Chore.EVENTS,
    DutyKind.TELL_REPLACED: Chore.EVENTS,
    DutyKind.TELL_TOKEN: Chore.EVENTS,
    DutyKind.TELL_STREAM: Chore.EVENTS,
    DutyKind.DESTROY_SHARES: Chore.DUTIES,
    DutyKind.RETIRE_SHARES: Chore.DUTIES,
    DutyKind.ISSUE_RECEIPT: Chore.DUTIES,
    DutyKind.CLOSE_DEAL: Chore.DUTIES,
    DutyKind.CASCADE: Chore.DUTIES,
    DutyKind.ERASE_SUBJECT: Chore.DUTIES,
    DutyKind.ERASE_SOURCE: Chore.DUTIES,
}


def watching(installation: Installation) -> Lookout:
    """One that has looked already: a first look has the holders asked in any case."""
    lookout = Lookout(installation)
    lookout.look(installation.clock())
    return lookout


def add(
    installation: Installation,
    kind: str,
    at: timedelta = timedelta(0),
    *,
    done_at: datetime | None = None,
    dead_at: datetime | None = None,
) -> None:
    due_at = installation.clock() + at
    duty = Duty(
        duty_id=f"{kind} {at} {done_at}",
        kind=kind,
        target="t",
        due_at=due_at,
        created_at=due_at,
        done_at=done_at,
        dead_at=dead_at,
    )
    with installation.data.write() as session:
        session.add(duty)


@contextmanager
def working(installation: Installation) -> Iterator[None]:
    stop = Event()
    worker = Thread(target=work_until, args=(stop, installation), daemon=True)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join(PATIENCE)
    assert not worker.is_alive()


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """What is sent to the database meanwhile."""
    sent: list[str] = []

    def note(_c: object, _k: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_where_nothing_is_due_nobody_is_woken(installation: Installation) -> None:
    lookout = watching(installation)
    now = installation.clock()
    for kind in DutyKind:
        add(installation, kind, timedelta(microseconds=1))
        add(installation, kind, done_at=now)
        add(installation, kind, -timedelta(days=1), dead_at=now)
    assert lookout.look(now) == set()


@pytest.mark.parametrize("kind", [*DutyKind, "of a newer program"])
def test_each_kind_of_duty_wakes_its_own_loop(sqlite_installation: Installation, kind: str) -> None:
    lookout = watching(sqlite_installation)
    add(sqlite_installation, kind)
    woken = WOKEN[DutyKind(kind)] if kind in set(DutyKind) else Chore.DUTIES
    assert lookout.look(sqlite_installation.clock()) == {woken}


def test_several_kinds_wake_several_loops_until_they_are_done(installation: Installation) -> None:
    lookout, now = watching(installation), installation.clock()
    for kind in (DutyKind.CLOSE_DEAL, DutyKind.TELL_STREAM, DutyKind.MAIL_CODE, DutyKind.PUSH_CODE):
        add(installation, kind)
    everything = {Chore.DUTIES, Chore.EVENTS, Chore.MAIL, Chore.HOOKS}
    assert lookout.look(now) == everything
    assert lookout.look(now) == everything  # whose job has failed is woken again
    over = {DutyKind.CLOSE_DEAL: settle, DutyKind.TELL_STREAM: postpone, DutyKind.MAIL_CODE: bury}
    with installation.data.write() as session:
        for kind, end in over.items():
            end(session.exec(select(Duty).where(Duty.kind == kind)).one(), now)
    assert lookout.look(now) == {Chore.HOOKS}


def test_a_crowd_of_one_kind_hides_no_other(installation: Installation) -> None:
    now = installation.clock()
    with installation.data.write() as session:
        for number in range(1500):
            at = now - timedelta(hours=number == 0)
            session.add(Duty(duty_id=f"{number}", kind="mail_code", target="t", due_at=at, created_at=at))
    add(installation, DutyKind.PING_CLIENT)
    found = watching(installation).look(now)
    assert {Chore.MAIL, Chore.PINGS} <= found


def test_an_entry_of_the_log_is_told_and_has_holders_asked(installation: Installation, clock: Clock) -> None:
    office = open_office(installation, clock)
    notify(installation, clock())
    lookout = watching(installation)
    assert not {Chore.NOTICES, Chore.ASKING} & lookout.look(clock())
    office.agree()
    assert {Chore.NOTICES, Chore.ASKING} <= lookout.look(clock())
    assert {Chore.NOTICES, Chore.ASKING} & lookout.look(clock()) == {Chore.NOTICES}
    notify(installation, clock())
    assert not {Chore.NOTICES, Chore.ASKING} & lookout.look(clock())


def test_holders_are_asked_now_and_then_though_nothing_happens(
    sqlite_installation: Installation, clock: Clock
) -> None:
    lookout = Lookout(sqlite_installation)
    assert lookout.look(clock()) == {Chore.ASKING}
    clock.advance(timedelta(seconds=4.9))
    assert lookout.look(clock()) == set()
    clock.advance(timedelta(seconds=0.1))
    assert lookout.look(clock()) == {Chore.ASKING}
    assert lookout.look(clock()) == set()


@pytest.mark.parametrize("push", [tell_due, push_notices, tell_logouts, ping_due])
def test_where_nothing_is_pushed_no_client_is_made(
    sqlite_installation: Installation, monkeypatch: pytest.MonkeyPatch, push: Callable[..., int]
) -> None:
    """It reads every authority that the machine trusts: that cost a fifth of a core, all day long."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a client was made")

    monkeypatch.setattr(broker.jobs.pushing, "OutboundClient", refuse)
    assert push(sqlite_installation, sqlite_installation.clock()) == 0


def test_an_idle_worker_writes_nothing(sqlite_installation: Installation) -> None:
    with working(sqlite_installation), statements(sqlite_installation.data.engine) as sent:
        deadline, before = time.monotonic() + PATIENCE, -1
        while len(sent) != before and time.monotonic() < deadline:  # each timed job has its first turn
            before = len(sent)
            time.sleep(1.5)
        assert len(sent) == before


def test_a_look_that_fails_is_repeated(
    sqlite_installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite_installation.data.write() as session:
        session.connection().execute(text("ALTER TABLE duty RENAME TO elsewhere"))
    with working(sqlite_installation):
        wait_for(lambda: "looking" in [record.__dict__.get("job") for record in caplog.records])
        with sqlite_installation.data.write() as session:
            session.connection().execute(text("ALTER TABLE elsewhere RENAME TO duty"))
        with transaction(sqlite_installation.data) as work:
            owe(work.session, DutyKind.DESTROY_SHARES, "g", sqlite_installation.clock())
        wait_for(lambda: not is_open(sqlite_installation))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_look_with_a_mistake_of_ours_ends_the_worker(
    sqlite_installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is blind would go on as if nothing were ever due."""
    monkeypatch.setattr(Lookout, "look", lambda *_: 1 / 0)
    stop = Event()
    work_until(stop, sqlite_installation)
    assert stop.is_set()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_open(installation: Installation) -> bool:
    with installation.data.read() as session:
        return session.exec(select(Duty).where(col(Duty.done_at).is_(None))).first() is not None
