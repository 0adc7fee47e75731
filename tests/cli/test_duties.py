"""`mydata duty list|replay`, and what the doctor says of events."""

from datetime import timedelta

import pytest

from broker.cli.diagnosis import work
from broker.db import transaction
from broker.installation import Installation
from consent.outbox import DutyKind, bury, find_pushed, owe
from tests.cli.conftest import Mydata
from tests.installation import Clock

PATIENCE = timedelta(minutes=5)


def owed(
    installation: Installation,
    clock: Clock,
    *,
    attempts: int = 0,
    is_dead: bool = False,
    fault: str = "timed_out",
) -> str:
    with transaction(installation.data) as opened:
        owe(opened.session, DutyKind.TELL_RECIPIENT, "grant", clock())
        opened.session.flush()
        duty = find_pushed(opened.session, clock())
        assert duty is not None
        duty.attempts, duty.fault = attempts, fault
        if is_dead:
            bury(duty, clock())
        return duty.duty_id


def verdict(installation: Installation, clock: Clock) -> str:
    """What the doctor says of events; whoever complains has a cure."""
    with installation.data.read() as session:
        found = work.check_events(session, clock(), patience=PATIENCE)
        duties = work.check_duties(session, clock(), patience=PATIENCE)
    assert found.outcome == "ok" or (found.detail and found.cure)
    assert duties.outcome == "ok"  # events have a check of their own
    return found.outcome


def test_replaying_names_one_or_says_all(mydata: Mydata) -> None:
    for arguments in ((), ("one", "--all")):
        ran = mydata("duty", "replay", *arguments)
        assert (ran.code, "name one event, or say --all" in ran.err) == (2, True)


def test_what_was_not_given_up_cannot_be_replayed(
    mydata: Mydata, sqlite_installation: Installation, clock: Clock
) -> None:
    living = owed(sqlite_installation, clock)
    for duty_id in (living, "none"):
        ran = mydata("duty", "replay", duty_id)
        assert (ran.code, "mydata duty list" in ran.err) == (1, True)
    assert mydata("duty", "list", "-o", "json").json() == []


@pytest.mark.parametrize("how", ["one", "all"])
def test_a_dead_event_is_listed_and_tried_again(
    mydata: Mydata, sqlite_installation: Installation, clock: Clock, how: str
) -> None:
    dead = owed(sqlite_installation, clock, attempts=40, is_dead=True)
    (listed,) = mydata("duty", "list", "-o", "json").json()
    assert (listed["duty_id"], listed["kind"], listed["fault"]) == (dead, "tell_recipient", "timed_out")
    ran = mydata("duty", "replay", dead if how == "one" else "--all", "-o", "json")
    assert (ran.code, ran.json()) == (0, {"replayed": "1"})
    assert mydata("duty", "list", "-o", "json").json() == []


def test_the_doctor_sees_events_that_do_not_arrive(sqlite_installation: Installation, clock: Clock) -> None:
    assert verdict(sqlite_installation, clock) == "ok"
    owed(sqlite_installation, clock)
    assert verdict(sqlite_installation, clock) == "ok"
    clock.advance(2 * PATIENCE)
    assert verdict(sqlite_installation, clock) == "failed"


def test_the_doctor_tells_failing_from_given_up(sqlite_installation: Installation, clock: Clock) -> None:
    owed(sqlite_installation, clock, attempts=5)
    assert verdict(sqlite_installation, clock) == "warning"
    owed(sqlite_installation, clock, is_dead=True)
    assert verdict(sqlite_installation, clock) == "failed"


@pytest.mark.parametrize("is_dead", [False, True])
def test_the_doctor_tells_a_fault_of_ours_from_a_recipient_that_is_away(
    sqlite_installation: Installation, clock: Clock, *, is_dead: bool
) -> None:
    owed(sqlite_installation, clock, attempts=1)
    assert verdict(sqlite_installation, clock) == "ok"
    owed(sqlite_installation, clock, attempts=1, fault="broker_fault_KeyNotMadeError", is_dead=is_dead)
    with sqlite_installation.data.read() as session:
        found = work.check_events(session, clock(), patience=PATIENCE)
    assert found.outcome == "failed"
    assert found.detail.startswith("1 messages could not be made or signed by the broker")
    assert "KeyNotMadeError" in found.detail


def test_what_was_given_up_by_a_fault_of_ours_is_listed_with_it(
    mydata: Mydata, sqlite_installation: Installation, clock: Clock
) -> None:
    owed(sqlite_installation, clock, fault="broker_fault_TamperedError", is_dead=True)
    (listed,) = mydata("duty", "list", "-o", "json").json()
    assert listed["fault"] == "broker_fault_TamperedError"
