"""The worker's own part of telling: it reads to the end, and only when there is something to read."""

from datetime import timedelta
from functools import partial
from typing import Final

import pytest
from sqlmodel import select

import broker.jobs.notifying
from broker.installation import Installation
from broker.jobs.notifying import notify, summarise
from consent.models import NotificationCursor
from consent.notification_wishes import KST, Schedule, Wishes
from consent.notifications import fold
from consent.vocabulary import EventType
from tests.consent.office import Office, open_office
from tests.consent.telling import happens, notifications, wish
from tests.installation import Clock

RELEASED: Final = EventType.DELIVERY_RELEASED


@pytest.fixture
def told(installation: Installation, clock: Clock) -> Office:
    return open_office(installation, clock)


def test_an_empty_log_takes_no_cursor(told: Office) -> None:
    assert notify(told.installation, told.clock()) == 0
    with told.installation.data.read() as session:
        assert session.exec(select(NotificationCursor)).all() == []


def test_a_long_backlog_is_told_in_pieces(told: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.jobs.notifying, "_MOST_BATCHES", 2)
    monkeypatch.setattr(broker.jobs.notifying, "fold", partial(fold, limit=2))
    grant_id = told.agree().grant_id
    for _ in range(6):
        happens(told, grant_id, RELEASED)
    assert notify(told.installation, told.clock()) == 4
    assert notify(told.installation, told.clock()) == told.log_size() - 4
    assert notify(told.installation, told.clock()) == 0
    assert len(notifications(told, RELEASED)) == 6


def test_digests_and_the_year_come_by_themselves(told: Office) -> None:
    grant_id = told.agree().grant_id
    wish(told, Wishes(Schedule.WEEKLY, Schedule.WEEKLY))
    told.deliver(grant_id)
    happens(told, grant_id, RELEASED)
    notify(told.installation, told.clock())
    assert summarise(told.installation, told.clock()) == 0
    told.clock.now = told.clock.now.astimezone(KST).replace(year=2027, month=1, day=1, hour=12)
    assert summarise(told.installation, told.clock()) == 2
    assert summarise(told.installation, told.clock() + timedelta(minutes=1)) == 0
    assert len(notifications(told, "digest", "yearly")) == 2
