"""The end of a consent, a pause, what must be deleted: pushed to the recipient, whose 2xx acknowledges it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from broker.installation import Installation
from broker.jobs.owing import check_obligations
from consent.disclosure import instant
from consent.lifecycle import lock, resume_locked
from consent.organisations import suspend
from consent.outbox import DutyKind
from consent.vocabulary import ObligationState
from tests.connectors.sources.double import Reply
from tests.consent.changes import agreed
from tests.consent.keeping import Keeper
from tests.consent.office import RECIPIENT
from tests.installation import Clock
from tests.jobs.breaking import damaged_key
from tests.jobs.test_telling import TAKEN, Post, opened

DAY = timedelta(days=1)
ENDED = "urn:mydata:event:consent-ended"
DUE = "urn:mydata:event:obligation-due"


@dataclass(frozen=True)
class Watch:
    """A post, and what its recipient keeps."""

    post: Post
    keeper: Keeper

    @property
    def grant_id(self) -> str:
        return self.post.grant_id

    def state(self) -> ObligationState:
        return self.keeper.view(self.grant_id).state

    def said(self) -> list[tuple[str, dict[str, Any]]]:
        """Each event that was sent, by its type."""
        return [item for event in self.post.events() for item in event["events"].items()]

    def expire(self) -> None:
        office = self.post.office
        office.clock.now = office.consent(self.grant_id).valid_until
        office.expire(self.grant_id)

    def pass_days(self, days: int) -> None:
        for _ in range(days):
            self.post.office.clock.advance(DAY)
            check_obligations(self.post.installation, self.post.office.clock())
            self.post.tell()


@pytest.fixture
def watch(installation: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    for post in opened(installation, clock, monkeypatch):
        yield Watch(post, Keeper(post.office))


@pytest.fixture
def sqlite_watch(
    sqlite_installation: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watch]:
    """For what no database decides."""
    for post in opened(sqlite_installation, clock, monkeypatch):
        yield Watch(post, Keeper(post.office))


def test_a_recipient_that_does_not_take_it_has_acknowledged_nothing(sqlite_watch: Watch) -> None:
    watch = sqlite_watch
    watch.keeper.deliver(watch.grant_id)
    watch.post.office.withdraw(watch.grant_id)
    watch.post.double.will(Reply(503))
    assert watch.post.tell() == 0
    assert watch.state() is ObligationState.PENDING
    watch.pass_days(4)
    assert watch.state() is ObligationState.OVERDUE
    watch.post.double.will(TAKEN)
    watch.pass_days(1)
    assert watch.state() is ObligationState.OVERDUE  # that it knows now does not undo it


def test_what_cannot_be_said_waits_and_its_recipient_hears_everything_else(watch: Watch) -> None:
    """The fault is in our own rows: nobody is held back for it, and nothing is tried in a circle."""
    office, post = watch.post.office, watch.post
    other = replace(office, subject_id=office.newcomer())
    second = agreed(other).grant_id
    office.withdraw(watch.grant_id)
    office.clock.advance(timedelta(seconds=1))
    other.withdraw(second)
    with damaged_key(post.installation, office.subject_id):
        assert post.tell() == 1
    (waits,) = [duty for duty in post.all_duties() if duty.kind == DutyKind.TELL_ENDED and not duty.done_at]
    assert (waits.target, waits.attempts, waits.fault) == (watch.grant_id, 1, "broker_fault_TamperedError")
    assert waits.due_at > office.clock()
    office.clock.now = waits.due_at
    assert post.tell() == 1


def test_what_is_over_by_the_time_it_is_sent_is_not_said(sqlite_watch: Watch) -> None:
    watch, office = sqlite_watch, sqlite_watch.post.office
    office.pause(watch.grant_id)
    office.resume(watch.grant_id)
    office.pause(watch.grant_id)
    with office.work() as work:
        # Somebody has resumed it and it has ended since: neither pause nor going on is so any more.
        resume_locked(work, office.keyring, lock(work, watch.grant_id), office.clock())
    office.withdraw(watch.grant_id)
    assert watch.post.tell() == 1
    assert [name for name, _ in watch.said()] == [ENDED]


def test_what_was_deleted_is_not_asked_for(sqlite_watch: Watch) -> None:
    watch = sqlite_watch
    watch.keeper.deliver(watch.grant_id, days=5)
    watch.post.office.clock.advance(2 * DAY)
    check_obligations(watch.post.installation, watch.post.office.clock())
    watch.keeper.attest(watch.grant_id)
    assert watch.post.tell() == 0
    watch.post.office.withdraw(watch.grant_id)
    watch.post.tell()
    ((_, members),) = watch.said()
    assert "obligation_id" not in members


def test_the_end_is_told_with_what_is_due_and_taking_it_acknowledges_it(watch: Watch) -> None:
    watch.keeper.deliver(watch.grant_id)
    watch.post.office.clock.advance(DAY)
    watch.post.office.withdraw(watch.grant_id)
    assert watch.post.tell() == 1
    ((name, members),) = watch.said()
    assert name == ENDED
    assert members == {
        "grant_id": watch.grant_id,
        "state": "WITHDRAWN",
        "ended_at": instant(watch.post.office.clock()),
        "obligation_id": watch.keeper.view(watch.grant_id).obligation_id,
        "due_at": instant(watch.post.office.clock() + 3 * DAY),
        "cause": "withdrawn",
    }
    assert watch.state() is ObligationState.NOTIFIED
    assert watch.post.tell() == 0
    assert watch.keeper.events(watch.grant_id)[-1] == ("obligation.notified", "withdrawn")
    watch.pass_days(3)
    assert watch.state() is ObligationState.OVERDUE


def test_an_end_without_anything_to_delete_is_told_too(sqlite_watch: Watch) -> None:
    sqlite_watch.expire()
    assert sqlite_watch.post.tell() == 1
    ((name, members),) = sqlite_watch.said()
    assert (name, members["state"], "obligation_id" in members) == (ENDED, "EXPIRED", False)


def test_a_pause_and_its_end_are_told(sqlite_watch: Watch) -> None:
    watch, office = sqlite_watch, sqlite_watch.post.office
    office.pause(watch.grant_id)
    watch.post.tell()
    office.resume(watch.grant_id)
    watch.post.tell()
    assert [name.rpartition(":")[2] for name, _ in watch.said()] == ["consent-paused", "consent-resumed"]
    assert all(members == {"grant_id": watch.grant_id} for _, members in watch.said())


def test_who_is_suspended_must_delete_all_the_same(sqlite_watch: Watch) -> None:
    watch = sqlite_watch
    watch.keeper.deliver(watch.grant_id)
    with watch.post.office.work() as work:
        suspend(work.session, RECIPIENT)
    watch.post.office.withdraw(watch.grant_id)
    assert watch.post.tell() == 1
    assert watch.state() is ObligationState.NOTIFIED


def test_a_delivery_beside_the_end_is_in_the_event(watch: Watch) -> None:
    """It committed while the end did, which has not seen it."""
    watch.expire()
    watch.keeper.deliver(watch.grant_id)
    assert watch.post.tell() == 1
    ((_, members),) = watch.said()
    assert members["cause"] == "expired"
    assert watch.state() is ObligationState.NOTIFIED


def test_before_a_data_life_is_over_the_recipient_is_reminded(watch: Watch) -> None:
    watch.keeper.deliver(watch.grant_id, days=10)
    watch.pass_days(7)
    ((name, members),) = watch.said()
    assert (name, members["cause"]) == (DUE, "retention_over")
    assert watch.state() is ObligationState.NOTIFIED
    watch.pass_days(3)
    assert watch.state() is ObligationState.OVERDUE
    assert [name for name, _ in watch.said()] == [DUE, DUE]
