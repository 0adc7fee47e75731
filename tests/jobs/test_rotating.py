"""Signing keys turn by the schedule of the settings, whichever worker is there, and none is invented."""

import logging
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from broker.installation import Installation
from broker.jobs.rotating import rotate_keys, schedule_of
from broker.jobs.worker import work_until
from broker.service_keys import LOG_KEY, OAUTH_KEY, OPENID_KEY, RECEIPT_KEY
from tests.installation import Clock

DAY = timedelta(days=1)
PATIENCE = 120


def states(installation: Installation, name: str) -> list[str]:
    return [key.state for key in installation.keyring.service_keys(name)]


def with_keys(installation: Installation, **changes: int) -> Installation:
    keys = installation.settings.keys.model_copy(update=changes)
    return replace(installation, settings=installation.settings.model_copy(update={"keys": keys}))


def test_the_job_invents_no_key(installation: Installation, clock: Clock) -> None:
    with installation.keyring_database.write() as session:
        session.connection().execute(text("DELETE FROM service_key WHERE name = 'oauth'"))
    rotate_keys(installation, clock() + 1000 * DAY)
    assert states(installation, OAUTH_KEY) == states(installation, OPENID_KEY) == []


def test_with_nought_days_nothing_turns_by_itself(installation: Installation, clock: Clock) -> None:
    never = with_keys(installation, rotate_days=0)
    assert schedule_of(never.settings.keys).signs_for is None
    assert rotate_keys(never, clock() + 3650 * DAY) == 0
    assert states(never, OAUTH_KEY) == ["current"]


def test_the_log_s_key_never_turns(installation: Installation, clock: Clock) -> None:
    before = installation.keyring.service_keys(LOG_KEY)
    for day in range(0, 400, 10):
        rotate_keys(installation, clock() + day * DAY)
    assert installation.keyring.service_keys(LOG_KEY) == before


def test_keys_turn_as_the_settings_say(installation: Installation, clock: Clock) -> None:
    chosen = with_keys(installation, rotate_days=10, publish_before_days=2, keep_previous_days=3)
    begun = clock()
    told = {}
    for hour in range(20 * 24):
        if rotate_keys(chosen, begun + timedelta(hours=hour)):
            told[hour / 24] = states(chosen, OAUTH_KEY)
    assert told == {
        8: ["current", "next"],
        10: ["current", "previous"],
        13: ["current", "retired"],
        18: ["current", "next", "retired"],
    }
    assert states(chosen, RECEIPT_KEY) == ["current", "next", "retired"]


def test_workers_at_once_turn_each_key_once(installation: Installation, clock: Clock) -> None:
    at = clock() + 83 * DAY
    at_once = threading.Barrier(4)
    done: list[int] = []

    def work_here() -> None:
        at_once.wait(PATIENCE)
        done.append(rotate_keys(installation, at))

    workers = [threading.Thread(target=work_here) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    assert sum(done) == 2  # both keys, whoever published them
    assert states(installation, OAUTH_KEY) == states(installation, RECEIPT_KEY) == ["current", "next"]


def test_the_program_s_log_tells_of_each_step_and_of_no_key(
    installation: Installation, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="broker.jobs.rotating"):
        rotate_keys(installation, clock() + 83 * DAY)
    lines = [(record.__dict__["kind"], record.__dict__["status"]) for record in caplog.records]
    assert lines == [(OAUTH_KEY, "next"), (RECEIPT_KEY, "next")]
    assert "PRIVATE" not in caplog.text


def test_the_worker_turns_keys(sqlite_installation: Installation, clock: Clock) -> None:
    clock.advance(83 * DAY)
    stop, turned = threading.Event(), threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            if len(states(sqlite_installation, RECEIPT_KEY)) == 2:
                turned.set()

    threads = [
        threading.Thread(target=work_until, args=(stop, sqlite_installation)),
        threading.Thread(target=watch),
    ]
    for thread in threads:
        thread.start()
    try:
        assert turned.wait(PATIENCE)
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert states(sqlite_installation, OAUTH_KEY) == ["current", "next"]
