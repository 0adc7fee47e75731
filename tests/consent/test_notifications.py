"""The fold: whatever concerns a person is told exactly once, whoever dies in between."""

from datetime import timedelta
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import col, select, update

from consent.evidence import Occurrence, evidence
from consent.ledger.models import LedgerEntry
from consent.models import NotificationCursor
from consent.notification_wishes import Channel, Schedule, Wishes
from consent.notifications import KINDS, NoticeKind, Told, _kind, lock_cursor, schedule_of
from consent.outbox import DutyKind
from consent.vocabulary import EventType, StateReason
from tests.consent.office import RECIPIENT, Office, at_once
from tests.consent.telling import Died, digest, duties, happens, notifications, reachable, tell, wish
from vault.schema import random_id

RELEASED: Final = EventType.DELIVERY_RELEASED
REFUSED: Final = EventType.DELIVERY_REFUSED


@pytest.fixture
def grant_id(office: Office) -> str:
    return office.agree().grant_id


def test_a_delivery_and_a_refusal_are_told_once_each(office: Office, grant_id: str) -> None:
    happens(office, grant_id, RELEASED)
    happens(office, grant_id, REFUSED, reason="no_place_left")
    read = tell(office)
    assert read == office.log_size()
    assert tell(office) == 0
    released, refused = notifications(office, RELEASED, REFUSED)
    assert (released.kind, refused.kind) == (NoticeKind.PULLS, NoticeKind.REFUSALS)
    assert {released.subject_id, refused.subject_id} == {office.subject_id}
    assert (released.grant_id, released.organisation_id) == (grant_id, RECIPIENT)
    assert released.batched_until is None


def test_what_a_person_did_a_moment_ago_is_no_news_but_giving_and_stopping_are(
    office: Office, grant_id: str
) -> None:
    office.pause(grant_id)
    office.resume(grant_id)
    office.refuse(office.request())
    office.withdraw(grant_id)
    tell(office)
    assert [one.event for one in notifications(office)] == ["consent.given", "consent.withdrawn"]


@pytest.mark.parametrize(
    ("event", "detail", "is_told"),
    [
        (EventType.CONSENT_PAUSED, {"reason": StateReason.BY_SUBJECT}, False),
        (EventType.CONSENT_PAUSED, {"reason": StateReason.RECIPIENT_SUSPENDED}, True),
        (EventType.CONSENT_REFUSED, {}, False),
        (EventType.CONSENT_REFUSED, {"reason": StateReason.CO_HOLDER}, True),
        (EventType.CONSENT_REVOKED, {"reason": StateReason.SECURITY}, True),
        (EventType.CONSENT_EXPIRED, {}, True),
        (EventType.CONSENT_RESUMED, {}, False),
        (EventType.CONSENT_FULFILLED, {}, False),
    ],
)
def test_what_others_did_is_told(
    office: Office, grant_id: str, event: EventType, detail: dict[str, str], *, is_told: bool
) -> None:
    happens(office, grant_id, event, detail=detail)
    tell(office)
    assert bool(notifications(office, event)) is is_told


def test_a_request_that_nobody_answered_ends_unseen(sqlite_office: Office) -> None:
    office = sqlite_office
    grant_id = office.request()
    happens(office, grant_id, EventType.CONSENT_EXPIRED)
    tell(office)
    assert notifications(office) == []


def test_a_detail_that_cannot_be_opened_is_told_all_the_same(sqlite_office: Office) -> None:
    office = sqlite_office
    grant_id = office.agree().grant_id
    happens(office, grant_id, EventType.CONSENT_PAUSED, detail={"reason": StateReason.BY_SUBJECT})
    with office.installation.data.write() as session:
        session.exec(update(LedgerEntry).values(detail_sealed=b"no longer what was sealed"))
    tell(office)
    assert notifications(office, EventType.CONSENT_PAUSED)


def test_a_link_leads_to_its_person_and_its_holder(office: Office) -> None:
    office.link()
    with office.work() as work:
        entry = work.session.exec(select(LedgerEntry)).one()
        key = office.keyring.audit_key(office.subject_id)
        told = Occurrence(EventType.COLLECTION_REFUSED, entry.handle, office.clock(), facts={"reason": "x"})
        work.record(evidence(key, told))
    tell(office)
    (one,) = notifications(office)
    assert (one.subject_id, one.grant_id, one.organisation_id) == (office.subject_id, None, "seoul-hospital")


def test_unknown_events_and_foreign_handles_are_skipped(office: Office, grant_id: str) -> None:
    with office.work() as work:
        key = office.keyring.audit_key(office.subject_id)
        work.record(evidence(key, Occurrence(RELEASED, random_id(), office.clock())))
    happens(office, grant_id, EventType.SHARES_DESTROYED)
    assert EventType.SHARES_DESTROYED not in KINDS
    assert tell(office) == office.log_size()
    assert notifications(office, RELEASED, EventType.SHARES_DESTROYED) == []


def test_a_damaged_leaf_stops_nobodys_notices(sqlite_office: Office) -> None:
    office = sqlite_office
    grant_id = office.agree().grant_id
    happens(office, grant_id, REFUSED)
    happens(office, grant_id, RELEASED)
    with office.installation.data.write() as session:
        damaged = session.exec(select(LedgerEntry).order_by(col(LedgerEntry.idx).desc()).offset(1)).first()
        assert damaged is not None
        damaged.leaf = b"{"
    assert tell(office) == office.log_size()
    assert notifications(office, REFUSED) == []
    assert len(notifications(office, RELEASED)) == 1


def test_only_pulls_and_refusals_may_wait() -> None:
    wishes = Wishes(Schedule.DAILY, Schedule.WEEKLY)
    waiting = {kind: schedule_of(wishes, kind) for kind in NoticeKind}
    assert waiting.pop(NoticeKind.PULLS) is Schedule.DAILY
    assert waiting.pop(NoticeKind.REFUSALS) is Schedule.WEEKLY
    assert set(waiting.values()) == {Schedule.AT_ONCE}


def test_whatever_is_called_an_emergency_is_told_by_programs_that_do_not_know_it_yet() -> None:
    assert _kind("emergency.something_new") is NoticeKind.SECURITY
    assert _kind("weather.changed") is None


def test_confirmed_channels_are_owed_and_no_others(office: Office, grant_id: str) -> None:
    reachable(office, Channel.MAIL, "haneul@example.org")
    reachable(office, Channel.WEBHOOK, "https://hook.example/in")
    happens(office, grant_id, RELEASED)
    tell(office, how=Told(frozenset({Channel.MAIL}), 8))
    (released,) = notifications(office, RELEASED)
    mailed = {duty.target for duty in duties(office, DutyKind.MAIL_NOTICE)}
    assert mailed == {one.notification_id for one in notifications(office)}
    assert released.notification_id in mailed
    assert duties(office, DutyKind.PUSH_NOTICE) == []
    happens(office, grant_id, RELEASED)
    tell(office)
    assert len(duties(office, DutyKind.PUSH_NOTICE)) == 1


def test_what_waits_for_a_digest_is_not_mailed_by_itself(office: Office, grant_id: str) -> None:
    reachable(office, Channel.MAIL, "haneul@example.org")
    tell(office)
    before = len(duties(office, DutyKind.MAIL_NOTICE))
    wish(office, Wishes(Schedule.DAILY, Schedule.AT_ONCE))
    happens(office, grant_id, RELEASED)
    tell(office)
    assert len(duties(office, DutyKind.MAIL_NOTICE)) == before
    office.clock.advance(timedelta(days=1))
    assert digest(office) == 1
    assert len(duties(office, DutyKind.MAIL_NOTICE)) == before + 1


def test_the_clock_of_the_cursor_never_goes_back(office: Office) -> None:
    now = office.clock()
    with office.work() as work:
        lock_cursor(work.session, now)
    with office.work() as work:
        assert lock_cursor(work.session, now - timedelta(hours=1)).at == now


def test_a_death_before_the_commit_tells_nothing_and_loses_nothing(office: Office, grant_id: str) -> None:
    happens(office, grant_id, RELEASED)
    with pytest.raises(Died):
        tell(office, dies=True)
    assert notifications(office) == []
    tell(office)
    assert len(notifications(office, RELEASED)) == 1


def test_two_who_fold_at_once_tell_once(postgresql_office: Office) -> None:
    office = postgresql_office
    grant_id = office.agree().grant_id
    for _ in range(20):
        happens(office, grant_id, RELEASED)
    assert at_once(*[lambda: tell(office, limit=3)] * 4) == ["done"] * 4
    assert len(notifications(office, RELEASED)) == 20


EVENTS: Final = st.sampled_from([RELEASED, EventType.DELIVERY_REPEATED, REFUSED])
SCHEDULES: Final = st.sampled_from(list(Schedule))
STEPS: Final = st.lists(
    st.one_of(
        EVENTS,
        st.tuples(SCHEDULES, SCHEDULES),
        st.integers(min_value=1, max_value=24 * 8).map(lambda hours: timedelta(hours=hours)),
        st.sampled_from(["fold", "fold and die", "digest", "digest and die"]),
    ),
    max_size=12,
)


def tolerant(examples: int) -> settings:
    """Each example goes on where the last one ended: a log only grows."""
    unchecked = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=examples, deadline=None, suppress_health_check=unchecked)


@tolerant(8)
@given(steps=STEPS, limit=st.integers(min_value=1, max_value=4))
def test_every_event_is_told_once_or_is_in_one_digest(
    office: Office, grant_id: str, steps: list[object], limit: int
) -> None:
    _check_everything_is_told(office, grant_id, steps, limit)


@pytest.mark.slow
@tolerant(300)
@given(steps=STEPS, limit=st.integers(min_value=1, max_value=4))
def test_every_event_of_many_stories_is_told_once(
    office: Office, grant_id: str, steps: list[object], limit: int
) -> None:
    _check_everything_is_told(office, grant_id, steps, limit)


def _check_everything_is_told(office: Office, grant_id: str, steps: list[object], limit: int) -> None:
    """Invariant 11, for any order of events, wishes, times and deaths (consent.md section 4)."""
    tell(office)
    began = office.log_size()
    for step in steps:
        _step(office, grant_id, step, limit)
    tell(office, limit=limit)
    office.clock.advance(timedelta(days=8))
    digest(office)
    mine = [one for one in notifications(office) if one.idx is None or one.idx >= began]
    with office.installation.data.read() as session:
        happened = session.exec(select(LedgerEntry.idx).where(col(LedgerEntry.idx) >= began)).all()
        cursor = session.exec(select(NotificationCursor)).one()
    told = [one.idx for one in mine if one.kind in {NoticeKind.PULLS, NoticeKind.REFUSALS}]
    assert sorted(index for index in told if index is not None) == sorted(happened)
    digests = {one.notification_id for one in mine if one.kind == NoticeKind.DIGEST}
    assert all((one.batched_until is None) or (one.digest_id in digests) for one in mine)
    assert cursor.next_idx == office.log_size()


def _step(office: Office, grant_id: str, step: object, limit: int) -> None:
    match step:
        case EventType():
            happens(office, grant_id, step)
        case (Schedule() as pulls, Schedule() as refusals):
            wish(office, Wishes(pulls, refusals))
        case timedelta():
            office.clock.advance(step)
        case "fold":
            tell(office, limit=limit)
        case "digest":
            digest(office)
        case "fold and die":
            with pytest.raises(Died):
                tell(office, limit=limit, dies=True)
        case "digest and die":
            with pytest.raises(Died):
                digest(office, dies=True)
