"""Obligations: none without a reason, one for each consent, due when the law and the consent say so."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from consent.disclosure import instant
from consent.lifecycle import invalidate, lock, revoke
from consent.models import Obligation
from consent.obligations import Kept, acknowledge_due, due_date, settle_date
from consent.vocabulary import ConsentState, DueCause, ObligationState, StateReason
from tests.consent.keeping import Keeper, long_terms
from tests.consent.office import Office, consent_in

DAY: Final = timedelta(days=1)
GRACE: Final = timedelta(days=3)


@pytest.fixture
def keeper(office: Office) -> Keeper:
    return Keeper(office)


@pytest.fixture
def sqlite_keeper(sqlite_office: Office) -> Keeper:
    """For what no database decides."""
    return Keeper(sqlite_office)


def obligations(office: Office) -> Sequence[Obligation]:
    with office.installation.data.read() as session:
        return session.exec(select(Obligation)).all()


def end(keeper: Keeper, grant_id: str, cause: DueCause) -> None:
    office = keeper.office
    match cause:
        case DueCause.WITHDRAWN:
            office.withdraw(grant_id)
        case DueCause.FULFILLED:
            office.fulfil(grant_id)
        case DueCause.EXPIRED:
            office.expire(grant_id)
        case DueCause.REVOKED:
            with office.work() as work:
                revoke(work, office.keyring, grant_id, StateReason.BY_AUTHORITY, office.clock())
        case _:
            with office.work() as work:
                consent = lock(work, grant_id)
                invalidate(work, office.keyring, consent, StateReason.RECIPIENT_REMOVED, office.clock())


def acknowledge(keeper: Keeper, grant_id: str, due_at: datetime | None = None) -> None:
    """The recipient takes the event."""
    office = keeper.office
    with office.work() as work:
        told = instant(due_at or keeper.due_at(grant_id))
        acknowledge_due(work, office.keyring, lock(work, grant_id), told, office.clock())


# None without a reason.


def test_who_got_nothing_owes_nothing(keeper: Keeper) -> None:
    grant_id = keeper.agree()
    keeper.office.withdraw(grant_id)
    assert not obligations(keeper.office)
    assert keeper.duties(grant_id) == ["tell_ended"]
    assert keeper.events(grant_id) == []


def test_who_may_not_store_owes_nothing(keeper: Keeper) -> None:
    grant_id = keeper.agree()
    keeper.deliver(grant_id, days=0)
    keeper.office.withdraw(grant_id)
    assert not obligations(keeper.office)


@pytest.mark.parametrize("state", [ConsentState.REFUSED, ConsentState.EXPIRED])
def test_of_a_request_that_nobody_signed_its_recipient_hears_nothing(
    sqlite_keeper: Keeper, state: ConsentState
) -> None:
    office = sqlite_keeper.office
    grant_id = consent_in(office, ConsentState.REFUSED) if state is ConsentState.REFUSED else office.request()
    if state is ConsentState.EXPIRED:
        office.expire(grant_id)
    assert sqlite_keeper.duties(grant_id) == []


def test_nothing_is_done_before_its_time(sqlite_keeper: Keeper) -> None:
    keeper = sqlite_keeper
    without = keeper.agree()
    keeper.check(without)
    grant_id = keeper.agree()
    keeper.deliver(grant_id)
    keeper.wait(grant_id, 86)
    assert keeper.events(grant_id) == []
    assert keeper.view(grant_id).state is ObligationState.PENDING
    assert keeper.view(grant_id).cause is None


# The date.


@given(
    kept=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 1000)), min_size=1, max_size=6),
    cause=st.sampled_from([None, *DueCause]),
    ended_after=st.integers(0, 400),
    grace=st.integers(1, 30),
)
def test_the_date_is_the_data_life_or_sooner(
    kept: list[tuple[int, int]], cause: DueCause | None, ended_after: int, grace: int
) -> None:
    """Invariant 9: the end of the data life, or without delay after an end that somebody brought about."""
    start = datetime(2026, 12, 1, tzinfo=UTC)
    deliveries = [Kept(str(n), start + day * DAY, days, b"p") for n, (day, days) in enumerate(kept)]
    ended_at = None if cause in {None, DueCause.RETENTION_OVER} else start + ended_after * DAY
    due = due_date(deliveries, cause, ended_at, grace)
    life = start + max(day + days for day, days in kept) * DAY
    assert due <= life
    if cause in {DueCause.WITHDRAWN, DueCause.REVOKED, DueCause.INVALIDATED}:
        assert ended_at is not None
        assert due == min(life, ended_at + grace * DAY)
    else:
        assert due == life


@pytest.mark.parametrize("cause", [cause for cause in DueCause if cause is not DueCause.RETENTION_OVER])
def test_every_end_sets_one_date_and_tells_the_recipient(keeper: Keeper, cause: DueCause) -> None:
    grant_id = keeper.agree()
    first = keeper.office.clock()
    keeper.deliver(grant_id, days=90)
    keeper.office.clock.advance(10 * DAY)
    keeper.deliver(grant_id, days=30)
    keeper.office.clock.advance(DAY)
    end(keeper, grant_id, cause)
    is_now = cause in {DueCause.WITHDRAWN, DueCause.REVOKED, DueCause.INVALIDATED}
    (row,) = obligations(keeper.office)
    assert row.due_at == (keeper.office.clock() + GRACE if is_now else first + 90 * DAY)
    assert (row.state, row.cause) == (ObligationState.PENDING, cause)
    assert keeper.view(grant_id).due_at == row.due_at
    assert keeper.events(grant_id) == [("obligation.due", cause)]
    assert keeper.duties(grant_id) == ["tell_ended"]


def test_the_data_life_may_be_over_sooner_than_the_days_after_the_end(sqlite_keeper: Keeper) -> None:
    grant_id = sqlite_keeper.agree()
    sqlite_keeper.deliver(grant_id, days=1)
    until = sqlite_keeper.office.clock() + DAY
    sqlite_keeper.office.withdraw(grant_id)
    assert sqlite_keeper.due_at(grant_id) == until


@pytest.mark.parametrize("cause", [DueCause.FULFILLED, DueCause.EXPIRED])
def test_what_ended_by_itself_and_is_withdrawn_then_falls_due_now(keeper: Keeper, cause: DueCause) -> None:
    grant_id = keeper.agree()
    keeper.deliver(grant_id)
    end(keeper, grant_id, cause)
    acknowledge(keeper, grant_id)
    assert keeper.view(grant_id).state is ObligationState.NOTIFIED
    keeper.office.clock.advance(DAY)
    keeper.office.withdraw(grant_id)
    assert keeper.due_at(grant_id) == keeper.office.clock() + GRACE
    # It knows another date, so it must be told again.
    assert keeper.view(grant_id).state is ObligationState.PENDING
    assert keeper.events(grant_id)[-1] == ("obligation.due", DueCause.WITHDRAWN)


def test_a_delivery_at_the_very_moment_of_the_end_is_found_when_the_recipient_is_told(keeper: Keeper) -> None:
    """The lane commits beside an end that has not committed yet, and cannot be seen by it."""
    office, grant_id = keeper.office, keeper.agree()
    office.expire(grant_id)
    keeper.deliver(grant_id)
    assert keeper.row(grant_id).due_at is None
    assert keeper.view(grant_id).due_at == office.clock() + 90 * DAY  # right even before
    for _ in range(2):
        with office.work() as work:
            found = settle_date(work, office.keyring, lock(work, grant_id), office.clock())
        assert found is not None
    assert keeper.row(grant_id).due_at == office.clock() + 90 * DAY
    assert keeper.events(grant_id) == [("obligation.due", "expired")]


# As time goes on.


def test_before_the_data_life_of_a_living_consent_is_over_its_recipient_is_reminded(keeper: Keeper) -> None:
    grant_id = keeper.agree()
    keeper.deliver(grant_id, days=10)
    due_at = keeper.due_at(grant_id)
    keeper.wait(grant_id, 7)
    assert keeper.events(grant_id) == [("obligation.due", "retention_over")]
    assert keeper.duties(grant_id) == ["tell_due"]
    acknowledge(keeper, grant_id)
    assert keeper.view(grant_id).state is ObligationState.NOTIFIED
    keeper.wait(grant_id, 2.5)
    assert keeper.view(grant_id).state is ObligationState.NOTIFIED
    keeper.wait(grant_id, 0.5)
    assert (keeper.view(grant_id).state, keeper.due_at(grant_id)) == (ObligationState.OVERDUE, due_at)
    assert keeper.events(grant_id)[-1] == ("obligation.overdue", "retention_over")
    assert keeper.duties(grant_id) == ["tell_due", "tell_due"]


def test_another_delivery_moves_the_date_but_does_not_undo_that_it_was_missed(sqlite_keeper: Keeper) -> None:
    keeper = sqlite_keeper
    grant_id = keeper.agree()
    keeper.deliver(grant_id, days=10)
    keeper.wait(grant_id, 8)
    keeper.deliver(grant_id, days=10)
    later = keeper.office.clock() + 10 * DAY
    assert keeper.due_at(grant_id) == later
    keeper.wait(grant_id, 3)
    assert (keeper.row(grant_id).state, keeper.row(grant_id).due_at) == (ObligationState.PENDING, None)
    keeper.wait(grant_id, 7)
    assert keeper.view(grant_id).state is ObligationState.OVERDUE
    keeper.deliver(grant_id, days=10)
    assert keeper.view(grant_id).state is ObligationState.OVERDUE
    assert keeper.due_at(grant_id) == later
    keeper.office.withdraw(grant_id)
    assert keeper.view(grant_id).state is ObligationState.OVERDUE
    assert keeper.due_at(grant_id) == later


def test_an_ended_consent_is_reminded_of_before_its_day_and_then_late(sqlite_keeper: Keeper) -> None:
    keeper = sqlite_keeper
    grant_id = keeper.agree()
    keeper.deliver(grant_id, days=10)
    keeper.office.fulfil(grant_id)
    keeper.wait(grant_id, 7)
    assert keeper.duties(grant_id) == ["tell_ended", "tell_due"]
    assert keeper.events(grant_id)[1:] in ([], [("obligation.due", "fulfilled")])
    keeper.wait(grant_id, 3)
    assert keeper.events(grant_id)[-1] == ("obligation.overdue", "fulfilled")


def test_a_worker_that_was_away_notes_at_once_what_is_late(sqlite_keeper: Keeper) -> None:
    keeper = sqlite_keeper
    grant_id = keeper.agree()
    keeper.deliver(grant_id, days=10)
    keeper.office.clock.advance(50 * DAY)
    keeper.check(grant_id)
    assert keeper.events(grant_id) == [("obligation.overdue", "retention_over")]


def test_a_delivery_unseen_at_the_end_only_moves_the_reminder(sqlite_keeper: Keeper) -> None:
    keeper = sqlite_keeper
    grant_id = keeper.agree()
    keeper.deliver(grant_id, days=10)
    keeper.office.fulfil(grant_id)
    keeper.office.clock.advance(2 * DAY)
    keeper.deliver(grant_id, days=10)
    keeper.wait(grant_id, 5)
    assert keeper.events(grant_id) == [("obligation.due", "fulfilled")]
    keeper.wait(grant_id, 2)
    assert keeper.duties(grant_id) == ["tell_ended", "tell_due"]


# Being told.


def test_an_event_with_another_date_acknowledges_nothing(sqlite_keeper: Keeper) -> None:
    keeper = sqlite_keeper
    grant_id = keeper.agree()
    acknowledge_due_of_nothing(keeper, grant_id)
    keeper.deliver(grant_id)
    keeper.office.withdraw(grant_id)
    acknowledge(keeper, grant_id, keeper.office.clock())
    assert keeper.view(grant_id).state is ObligationState.PENDING
    for _ in range(2):
        acknowledge(keeper, grant_id)
    assert keeper.view(grant_id).state is ObligationState.NOTIFIED
    assert keeper.view(grant_id).acknowledged_at == keeper.office.clock()
    assert [event for event, _ in keeper.events(grant_id)] == ["obligation.due", "obligation.notified"]


def acknowledge_due_of_nothing(keeper: Keeper, grant_id: str) -> None:
    with keeper.office.work() as work:
        acknowledge_due(work, keeper.office.keyring, lock(work, grant_id), None, keeper.office.clock())


def test_a_pause_and_its_end_are_told(sqlite_keeper: Keeper) -> None:
    grant_id = sqlite_keeper.office.agree(long_terms()).grant_id
    sqlite_keeper.office.pause(grant_id)
    sqlite_keeper.office.clock.advance(DAY)
    sqlite_keeper.office.resume(grant_id)
    assert sqlite_keeper.duties(grant_id) == ["tell_paused", "tell_resumed"]
