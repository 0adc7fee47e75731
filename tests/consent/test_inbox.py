"""The inbox: the newest first, page by page, and nobody sees what is somebody else's."""

from datetime import timedelta
from typing import Final

import pytest

from consent.errors import NotFoundError
from consent.inbox import (
    NoticePage,
    NoticeView,
    Place,
    digest_lines,
    digest_members,
    history,
    inbox,
    mark_read,
    one_notice,
    unread_count,
    year_lines,
)
from consent.notification_wishes import Schedule, Wishes
from consent.notifications import NoticeKind
from consent.vocabulary import EventType
from tests.consent.details import PURPOSE
from tests.consent.office import RECIPIENT, Office
from tests.consent.telling import digest, happens, notifications, tell, wish

RELEASED: Final = EventType.DELIVERY_RELEASED
REFUSED: Final = EventType.DELIVERY_REFUSED


@pytest.fixture
def grant_id(office: Office) -> str:
    return office.agree().grant_id


def page(office: Office, *, before: Place | None = None, limit: int = 30) -> NoticePage:
    with office.installation.data.read() as session:
        return inbox(session, office.subject_id, before=before, limit=limit)


def unread(office: Office) -> int:
    with office.installation.data.read() as session:
        return unread_count(session, office.subject_id)


def read(office: Office, notification_id: str | None, subject_id: str | None = None) -> None:
    with office.work() as work:
        mark_read(work.session, subject_id or office.subject_id, notification_id, office.clock())


def test_pages_hold_everything_once_the_newest_first(office: Office, grant_id: str) -> None:
    for number in range(7):
        happens(office, grant_id, RELEASED)
        if number % 3 == 0:  # several of one instant
            office.clock.advance(timedelta(minutes=1))
    tell(office)
    seen: list[NoticeView] = []
    before = None
    for _ in range(3):
        found = page(office, before=before, limit=3)
        seen += found.notices
        before = found.older
    assert before is None
    assert len({one.notification_id for one in seen}) == len(seen) == 8
    assert [one.at for one in seen] == sorted((one.at for one in seen), reverse=True)
    assert seen[-1].event == EventType.CONSENT_GIVEN


def test_what_the_log_says_is_shown_with_it(office: Office, grant_id: str) -> None:
    happens(office, grant_id, REFUSED, reason="no_place_left")
    tell(office)
    newest = page(office).notices[0]
    assert newest.facts["reason"] == "no_place_left"
    assert newest.organisation is not None
    assert (newest.organisation.organisation_id, newest.grant_id) == (RECIPIENT, grant_id)
    assert newest.index == office.log_size() - 1


def test_read_is_read_and_nobody_elses(office: Office, grant_id: str) -> None:
    happens(office, grant_id, RELEASED)
    tell(office)
    assert unread(office) == 2
    first = page(office).notices[0].notification_id
    stranger = office.newcomer()
    read(office, first, stranger)
    read(office, None, stranger)
    assert unread(office) == 2
    read(office, first)
    assert (unread(office), page(office).notices[0].is_read) == (1, True)
    read(office, None)
    assert unread(office) == 0
    with office.installation.data.read() as session, pytest.raises(NotFoundError):
        one_notice(session, stranger, first)


def test_a_digest_is_one_notice_and_leads_to_all_it_holds(office: Office, grant_id: str) -> None:
    tell(office)
    read(office, None)
    wish(office, Wishes(Schedule.DAILY, Schedule.DAILY))
    for event in (RELEASED, RELEASED, REFUSED):
        happens(office, grant_id, event)
    link_id = office.link()
    tell(office)
    assert (unread(office), len(page(office).notices)) == (0, 1)
    assert link_id
    office.clock.advance(timedelta(days=1))
    digest(office)
    assert unread(office) == 1
    (found, _) = page(office).notices
    assert (found.kind, found.index, found.organisation, found.facts) == (NoticeKind.DIGEST, None, None, {})
    with office.installation.data.read() as session:
        lines = digest_lines(session, office.subject_id, [found.notification_id])[found.notification_id]
        members = digest_members(session, office.subject_id, found.notification_id)
        assert digest_lines(session, "somebody else", [found.notification_id]) == {}
        with pytest.raises(NotFoundError):
            digest_members(session, "somebody else", found.notification_id)
    assert {(line.event, line.count) for line in lines} == {(RELEASED, 2), (REFUSED, 1)}
    assert all(line.organisation and line.organisation.organisation_id == RECIPIENT for line in lines)
    assert len(members.notices) == 3


def test_the_history_lists_transmissions_and_refusals_batched_or_not(office: Office, grant_id: str) -> None:
    since = office.clock()
    happens(office, grant_id, RELEASED)
    wish(office, Wishes(Schedule.DAILY, Schedule.DAILY))
    office.clock.advance(timedelta(hours=1))
    happens(office, grant_id, REFUSED)
    happens(office, grant_id, EventType.RECORD_TAMPERED)
    tell(office)
    with office.installation.data.read() as session:
        whole = history(session, office.subject_id, since)
        later = history(session, office.subject_id, office.clock())
    assert {one.event for one in whole.notices} == {RELEASED, REFUSED, EventType.RECORD_TAMPERED}
    assert {one.event for one in later.notices} == {REFUSED, EventType.RECORD_TAMPERED}
    assert len(notifications(office)) == 4


def test_a_year_is_summed_up_by_recipient_and_purpose(office: Office, grant_id: str) -> None:
    second = office.agree().grant_id
    began = office.clock()
    office.deliver(grant_id)
    office.clock.advance(timedelta(days=3))
    office.deliver(second)
    with office.installation.data.read() as session:
        (line,) = year_lines(session, office.keyring, office.subject_id, 2026)
        assert year_lines(session, office.keyring, office.subject_id, 2025) == []
        assert year_lines(session, office.keyring, "somebody else", 2026) == []
    assert (line.recipient.organisation_id, line.purpose, line.deliveries) == (RECIPIENT, PURPOSE, 2)
    assert (line.records, line.first_at, line.last_at) == (6, began, office.clock())
    assert line.retention.days == 90
