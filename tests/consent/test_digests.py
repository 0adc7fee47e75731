"""Digests, each exactly once in its period, and the yearly notice, once for each person and year."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.models import Notification
from consent.notification_wishes import KST, Schedule, Wishes, next_digest_at, wishes_of
from consent.notifications import NoticeKind
from consent.vocabulary import EventType
from tests.consent.office import Office
from tests.consent.telling import HOUR, digest, happens, notifications, tell, tell_years, wish

RELEASED: Final = EventType.DELIVERY_RELEASED
REFUSED: Final = EventType.DELIVERY_REFUSED
INSTANTS: Final = st.datetimes(
    min_value=datetime(2024, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    max_value=datetime(2040, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    timezones=st.just(UTC),
)


@pytest.fixture
def grant_id(office: Office) -> str:
    return office.agree().grant_id


def members_of(office: Office, found: Notification) -> list[str]:
    return [one.event for one in notifications(office) if one.digest_id == found.notification_id]


def digests(office: Office) -> list[Notification]:
    return [one for one in notifications(office) if one.kind == NoticeKind.DIGEST]


@given(at=INSTANTS, hour=st.integers(min_value=0, max_value=23))
def test_a_period_ends_at_the_hour_in_korea(at: datetime, hour: int) -> None:
    for schedule, longest in ((Schedule.DAILY, timedelta(days=1)), (Schedule.WEEKLY, timedelta(days=7))):
        end = next_digest_at(schedule, at, hour=hour)
        assert timedelta(0) < end - at <= longest
        local = end.astimezone(KST)
        assert (local.hour, local.minute, local.second, local.microsecond) == (hour, 0, 0, 0)
        assert schedule is Schedule.DAILY or local.weekday() == 0


def test_a_day_is_one_digest_with_all_of_it(office: Office, grant_id: str) -> None:
    wish(office, Wishes(Schedule.DAILY, Schedule.DAILY))
    for event in (RELEASED, REFUSED, RELEASED):
        happens(office, grant_id, event)
        tell(office)
        assert digest(office) == 0
        office.clock.advance(timedelta(hours=1))
    office.clock.advance(timedelta(days=1))
    happens(office, grant_id, RELEASED)
    tell(office)
    assert digest(office) == 1
    assert digest(office) == 0
    (first,) = digests(office)
    assert sorted(members_of(office, first)) == sorted([RELEASED, REFUSED, RELEASED])
    office.clock.advance(timedelta(days=1))
    assert digest(office) == 1
    _, second = digests(office)
    assert members_of(office, second) == [RELEASED]


def test_a_period_without_anything_has_no_digest(office: Office) -> None:
    wish(office, Wishes(Schedule.DAILY, Schedule.DAILY))
    office.clock.advance(timedelta(days=3))
    assert digest(office) == 0


def test_a_clock_that_is_behind_closes_no_period_twice(office: Office, grant_id: str) -> None:
    wish(office, Wishes(Schedule.DAILY, Schedule.DAILY))
    happens(office, grant_id, RELEASED)
    tell(office)
    office.clock.advance(timedelta(days=1))
    assert digest(office) == 1
    office.clock.advance(timedelta(days=-1))
    happens(office, grant_id, RELEASED)
    tell(office)
    office.clock.advance(timedelta(days=1))
    assert digest(office) == 0
    office.clock.advance(timedelta(days=1))
    assert digest(office) == 1


def test_many_people_take_several_batches(sqlite_office: Office) -> None:
    office = sqlite_office
    people = [office.newcomer() for _ in range(3)]
    for subject_id in people:
        wish(office, Wishes(Schedule.DAILY, Schedule.DAILY), subject_id)
        happens(office, office.request(subject_id=subject_id), RELEASED)
    tell(office)
    office.clock.advance(timedelta(days=1))
    assert [digest(office, limit=2) for _ in range(3)] == [2, 1, 0]
    assert {one.subject_id for one in digests(office)} == set(people)


def test_somebody_who_wants_it_at_once_waits_no_longer(office: Office, grant_id: str) -> None:
    wish(office, Wishes(Schedule.WEEKLY, Schedule.WEEKLY))
    happens(office, grant_id, RELEASED)
    happens(office, grant_id, REFUSED)
    tell(office)
    wish(office, Wishes(Schedule.AT_ONCE, Schedule.DAILY))
    assert digest(office) == 1
    assert members_of(office, digests(office)[0]) == [RELEASED]
    office.clock.advance(timedelta(days=1))
    assert digest(office) == 1
    wish(office, Wishes(Schedule.AT_ONCE, Schedule.DAILY, wants_yearly=False, language="en"))
    with office.installation.data.read() as session:
        found = wishes_of(session, [office.subject_id, "nobody"])
    assert found == {
        office.subject_id: Wishes(Schedule.AT_ONCE, Schedule.DAILY, wants_yearly=False, language="en")
    }


def test_somebody_who_wants_it_less_often_waits_no_longer_for_what_came_before(
    office: Office, grant_id: str
) -> None:
    wish(office, Wishes(Schedule.DAILY, Schedule.DAILY))
    happens(office, grant_id, RELEASED)
    tell(office)
    wish(office, Wishes(Schedule.WEEKLY, Schedule.WEEKLY))
    office.clock.advance(timedelta(days=1))
    assert digest(office) == 1


def new_year(year: int, hour: int) -> datetime:
    return datetime(year, 1, 1, hour, tzinfo=KST)


def test_everybody_with_a_delivery_is_told_once_a_year(office: Office, grant_id: str) -> None:
    office.newcomer()
    office.deliver(grant_id)
    office.clock.now = new_year(2027, HOUR - 1)
    assert tell_years(office) == 0
    office.clock.now = new_year(2027, HOUR)
    assert [tell_years(office), tell_years(office), tell_years(office)] == [1, 0, 0]
    (one,) = notifications(office)
    assert (one.kind, one.subject_id, one.year) == (NoticeKind.YEARLY, office.subject_id, 2026)
    office.clock.now = new_year(2028, HOUR)
    assert tell_years(office) == 0


def test_whoever_wants_none_gets_none(office: Office, grant_id: str) -> None:
    office.deliver(grant_id)
    wish(office, Wishes(wants_yearly=False))
    office.clock.now = new_year(2027, HOUR)
    assert tell_years(office) == 0
    assert notifications(office) == []
