"""Pushes that fail by a fault of ours: they wait as others do, an operator sees them, and nothing is lost."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import text

import broker.jobs.telling
from broker.db import LockTimeoutError, transaction
from broker.installation import Installation
from consent.models import Duty
from consent.outbox import OWN_FAULT, DutyKind, owe, replay
from consent.oversight import given_up_duties
from tests.connectors.sources.double import Reply
from tests.consent.details import terms_with
from tests.consent.test_news import WEEKLY
from tests.installation import Clock
from tests.jobs.breaking import damaged_key
from tests.jobs.test_telling import TAKEN, Post, opened

SECOND = timedelta(seconds=1)


@pytest.fixture
def post(installation: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    yield from opened(installation, clock, monkeypatch)


@pytest.fixture
def small_post(
    sqlite_installation: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Post]:
    """For what no database decides."""
    yield from opened(sqlite_installation, clock, monkeypatch)


@contextmanager
def keys_away(post: Post) -> Iterator[None]:
    """The table of signing keys cannot be read."""
    with post.installation.keyring_database.write() as session:
        session.connection().execute(text("ALTER TABLE service_key RENAME TO elsewhere"))
    yield
    with post.installation.keyring_database.write() as session:
        session.connection().execute(text("ALTER TABLE elsewhere RENAME TO service_key"))


@contextmanager
def no_key(post: Post) -> Iterator[None]:
    """Nobody has made the key that signs events."""
    with post.installation.keyring_database.write() as session:
        session.connection().execute(text("UPDATE service_key SET name = 'away' WHERE name = 'oauth'"))
    yield
    with post.installation.keyring_database.write() as session:
        session.connection().execute(text("UPDATE service_key SET name = 'oauth' WHERE name = 'away'"))


def only(post: Post) -> Duty:
    (duty,) = post.duties()
    return duty


@pytest.mark.parametrize("broken", [keys_away, no_key])
def test_what_cannot_be_signed_waits_longer_each_time_and_goes_out_once_it_can(
    post: Post, broken: Callable[[Post], AbstractContextManager[None]]
) -> None:
    post.arrives("B-1")
    waits = []
    with broken(post):
        for attempts in range(1, 4):
            assert post.tell() == 0
            duty = only(post)
            assert (duty.attempts, duty.dead_at, duty.done_at) == (attempts, None, None)
            assert duty.fault is not None
            assert duty.fault.startswith(OWN_FAULT)
            waits.append(duty.due_at - post.office.clock())
            assert post.tell() == 0, "not before its time"
            assert only(post).attempts == attempts
            post.office.clock.now = duty.due_at
    assert waits == [2 * SECOND, 4 * SECOND, 8 * SECOND]
    assert (post.double.tokens, post.told()) == ([], [])
    assert post.tell() == 1
    assert (only(post).fault, post.told()) == (None, ["recipient.told"])


def test_it_is_given_up_in_the_end_and_comes_back_by_a_replay(post: Post) -> None:
    post.arrives("B-1")
    with no_key(post):
        post.tell()
        post.office.clock.advance(timedelta(days=13))
        post.tell()
        assert only(post).dead_at is None
        post.office.clock.advance(timedelta(days=1))
        post.tell()
        dead = only(post)
        assert (dead.dead_at, dead.done_at) == (post.office.clock(), None)
        attempts = dead.attempts
        post.office.clock.advance(timedelta(days=1))
        post.tell()
        assert only(post).attempts == attempts, "nothing tries it any more"
    with post.installation.data.read() as session:
        (entry,) = given_up_duties(session, limit=9).entries  # the operator's page
    assert (entry.duty_id, entry.fault) == (dead.duty_id, "broker_fault_KeyNotMadeError")
    assert post.told() == [], "no recipient was asked, so none was unreachable"
    with transaction(post.installation.data) as work:
        assert replay(work.session, dead.duty_id, post.office.clock()) == 1
    assert post.tell() == 1
    assert post.told() == ["recipient.told"]


def test_nothing_else_of_its_client_waits_for_it_nor_hurries_it(post: Post) -> None:
    post.arrives("B-1")
    with no_key(post):
        post.tell()
        post.office.clock.now = only(post).due_at
        post.tell()
    waits = only(post)
    post.arrives("B-2")
    assert post.tell() == 1
    (still,) = [duty for duty in post.duties() if duty.done_at is None]
    assert (still.duty_id, still.due_at, still.attempts) == (waits.duty_id, waits.due_at, 2)


def test_what_cannot_be_closed_after_the_answer_waits_too(small_post: Post) -> None:
    small_post.arrives("B-1")
    with damaged_key(small_post.installation, small_post.office.subject_id):
        small_post.tell()
    duty = only(small_post)
    assert (duty.fault, duty.attempts) == ("broker_fault_TamperedError", 1)
    assert duty.due_at == small_post.office.clock() + 2 * SECOND


@pytest.mark.parametrize("what", ["leased", "done", "dead"])
def test_what_another_has_by_then_is_left_alone(
    post: Post, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """This worker was away for longer than its lease; another one has taken the duty over, and holds it."""
    post.arrives("B-1")
    held = post.office.clock() + timedelta(minutes=1)

    def overtaken(installation: Installation, *_: object) -> str | None:
        with transaction(installation.data) as work:
            duty = work.session.get_one(Duty, only(post).duty_id)
            match what:
                case "leased":
                    duty.due_at, duty.fault = held, None
                case "done":
                    duty.done_at, duty.fault = post.office.clock(), None
                case _:
                    duty.dead_at, duty.fault = post.office.clock(), "answered_503"
        raise OSError

    monkeypatch.setattr(broker.jobs.telling, "_push", overtaken)
    assert post.tell() == 0
    duty = only(post)
    assert (duty.attempts, duty.fault) == (0, "answered_503" if what == "dead" else None)
    if what == "leased":
        assert duty.due_at == held, "another's lease was shortened"
    assert (duty.done_at is not None, duty.dead_at is not None) == (what == "done", what == "dead")


def test_a_recipient_that_is_away_is_no_fault_of_ours(small_post: Post) -> None:
    small_post.double.will(Reply(503))
    small_post.arrives("B-1")
    small_post.tell()
    assert only(small_post).fault == "answered_503"


def test_a_late_no_changes_nothing_of_who_took_over(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    post.arrives("B-1")
    held = post.office.clock() + timedelta(seconds=31)

    def late(*_: object) -> str:
        post.office.clock.advance(timedelta(seconds=16))  # the lease is over, and another has it
        with transaction(post.installation.data) as work:
            duty = work.session.get_one(Duty, only(post).duty_id)
            duty.due_at, duty.fault = held, None
        return "timed_out"

    monkeypatch.setattr(broker.jobs.telling, "_push", late)
    assert post.tell() == 0
    duty = only(post)
    assert (duty.due_at, duty.fault, duty.attempts) == (held, None, 0)


# What only waits


def failing_once(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The next event cannot be written."""

    def fail(*_: object) -> None:
        monkeypatch.undo()
        raise error

    monkeypatch.setattr(broker.jobs.telling, "write", fail)


@pytest.mark.parametrize(
    ("error", "fault"), [(LockTimeoutError(), None), (OSError(), "broker_fault_OSError")]
)
def test_a_pause_and_one_fault_lose_nothing(small_post: Post, error: Exception, fault: str | None) -> None:
    post = small_post
    post.arrives("B-1")
    post.office.pause(post.grant_id)
    post.tell()
    post.office.clock.advance(timedelta(days=15))
    with pytest.MonkeyPatch.context() as patch:
        failing_once(patch, error)
        post.tell()
    assert (only(post).fault, only(post).dead_at) == (fault, None)
    post.office.clock.advance(timedelta(seconds=3))
    post.tell()
    assert only(post).fault is None, "it only waits again, and the doctor has nothing to say"
    post.office.resume(post.grant_id)
    post.tell()
    assert len(post.news()) == 1


def test_what_waits_for_a_pause_holds_nobody_back(small_post: Post) -> None:
    post, other = small_post, small_post.office.agree(terms_with(WEEKLY)).grant_id
    post.tell()
    with post.office.work() as work:
        owe(work.session, DutyKind.TELL_RECIPIENT, post.grant_id, post.office.clock())
    post.double.will(Reply(503))
    post.tell()
    post.double.will(TAKEN)
    post.office.clock.advance(SECOND)
    post.office.pause(post.grant_id)
    for _ in range(5):
        post.tell()
        post.office.clock.advance(SECOND)
    with post.office.work() as work:
        owe(work.session, DutyKind.TELL_RECIPIENT, other, post.office.clock())
    for _ in range(20):
        post.office.clock.advance(timedelta(seconds=601))
        post.tell()
    waiting = [(duty.kind, duty.target) for duty in post.all_duties() if duty.done_at is None]
    assert waiting == [(DutyKind.TELL_RECIPIENT, post.grant_id)]
