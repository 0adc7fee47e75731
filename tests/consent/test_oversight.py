"""What waits for the staff: late, near, given up, suspended; counted beyond what is shown, nobody named."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from sqlmodel import Session

from broker.jobs.publishing import publish
from consent.emergency import review
from consent.ledger.entries import read_head
from consent.organisations import suspend
from consent.outbox import DutyKind, bury, owe, take_due
from consent.oversight import (
    CheckpointAge,
    DeletionEntry,
    DutyEntry,
    Listed,
    OrganisationEntry,
    checkpoint_age,
    deletions_due_soon,
    given_up_duties,
    open_rights,
    overdue_deletions,
    suspended_organisations,
    unreviewed_emergencies,
)
from consent.people_vocabulary import EmergencyFinding
from consent.vocabulary import DueCause, ObligationState, RightKind
from tests.consent.details import HOSPITAL, PURPOSE
from tests.consent.keeping import Keeper
from tests.consent.office import RECIPIENT, Office
from tests.consent.test_emergency import STAFF, linked, opened
from tests.consent.test_rights import answer, file

DAY: Final = timedelta(days=1)
MANY: Final = 50
NOTHING: Final[Listed[Any]] = Listed((), 0, 0)


@pytest.fixture
def keeper(office: Office) -> Keeper:
    return Keeper(office)


def seen(office: Office, look: Callable[..., Listed[Any]], *, limit: int = MANY) -> Listed[Any]:
    with office.installation.data.read() as session:
        if look in {given_up_duties, suspended_organisations}:
            return look(session, limit=limit)
        return look(session, office.clock(), limit=limit)


def head_size(session: Session) -> int:
    return read_head(session)[0]


def delivered(keeper: Keeper) -> str:
    grant_id = keeper.agree()
    keeper.deliver(grant_id)
    return grant_id


def entry(keeper: Keeper, grant_id: str, due_at: datetime | None) -> DeletionEntry:
    row = keeper.row(grant_id)
    return DeletionEntry(row.obligation_id, RECIPIENT, PURPOSE, ObligationState(row.state), due_at)


@pytest.mark.parametrize(
    "look",
    [
        overdue_deletions,
        deletions_due_soon,
        open_rights,
        unreviewed_emergencies,
        given_up_duties,
        suspended_organisations,
    ],
)
def test_where_nothing_waits_nothing_is_listed(office: Office, look: Callable[..., Listed[Any]]) -> None:
    assert seen(office, look) == NOTHING


def test_what_is_kept_lawfully_is_neither_late_nor_near(keeper: Keeper) -> None:
    delivered(keeper)
    assert seen(keeper.office, overdue_deletions) == NOTHING
    assert seen(keeper.office, deletions_due_soon) == NOTHING


def test_a_deletion_is_near_until_its_date_and_late_from_then_on(keeper: Keeper) -> None:
    office, grant_id = keeper.office, delivered(keeper)
    due_at = office.clock() + 3 * DAY
    office.withdraw(grant_id)
    assert seen(office, deletions_due_soon) == Listed((entry(keeper, grant_id, due_at),), 1, 0)
    assert seen(office, overdue_deletions) == NOTHING
    office.clock.advance(3 * DAY)
    for _ in range(2):  # before a job has noted it, and after
        assert seen(office, deletions_due_soon) == NOTHING
        assert seen(office, overdue_deletions) == Listed((entry(keeper, grant_id, due_at),), 1, 1)
        keeper.check(grant_id)
    assert keeper.row(grant_id).state == ObligationState.OVERDUE


def test_where_a_delivery_may_have_moved_the_date_nobody_is_called_late(keeper: Keeper) -> None:
    """The consent goes on: until the job has looked, its deletion is near."""
    office, grant_id = keeper.office, delivered(keeper)
    keeper.wait(grant_id, 88)
    keeper.deliver(grant_id)
    office.clock.advance(3 * DAY)
    assert seen(office, overdue_deletions) == NOTHING
    assert [one.obligation_id for one in seen(office, deletions_due_soon).entries] == [
        keeper.row(grant_id).obligation_id
    ]
    keeper.check(grant_id)
    assert seen(office, deletions_due_soon) == NOTHING
    assert keeper.row(grant_id).cause != DueCause.RETENTION_OVER


def test_what_was_attested_waits_for_nobody_and_what_is_doubted_does(keeper: Keeper) -> None:
    office, grant_id = keeper.office, delivered(keeper)
    keeper.attest(grant_id)
    assert seen(office, overdue_deletions) == NOTHING
    keeper.dispute(grant_id)
    doubted = entry(keeper, grant_id, None)
    assert doubted.state is ObligationState.DISPUTED
    late = delivered(keeper)
    office.withdraw(late)
    due_at = office.clock() + 3 * DAY
    office.clock.advance(4 * DAY)
    assert seen(office, overdue_deletions) == Listed((entry(keeper, late, due_at), doubted), 2, 2)


def test_a_list_shows_the_most_urgent_and_counts_them_all(keeper: Keeper) -> None:
    office = keeper.office
    grants = []
    for _ in range(3):
        grants.append(delivered(keeper))
        office.withdraw(grants[-1])
        office.clock.advance(timedelta(hours=1))
    found = seen(office, deletions_due_soon, limit=2)
    assert [one.obligation_id for one in found.entries] == [
        keeper.row(grant_id).obligation_id for grant_id in grants[:2]
    ]
    assert (found.total, found.late, found.more) == (3, 0, 1)


def test_requests_by_right_wait_until_they_are_answered(office: Office) -> None:
    first = file(office, RightKind.ERASE)
    office.clock.advance(DAY)
    second = file(office, RightKind.STOP)
    office.clock.advance(9 * DAY)
    found = seen(office, open_rights)
    assert [(one.right_id, one.kind, one.state) for one in found.entries] == [
        (first, "erase", "FILED"),
        (second, "stop", "FILED"),
    ]
    assert (found.total, found.late) == (2, 1)
    assert seen(office, open_rights, limit=1).more == 1
    answer(office, first)
    assert [one.right_id for one in seen(office, open_rights).entries] == [second]


def test_an_emergency_waits_for_its_review(office: Office) -> None:
    linked(office)
    made = opened(office)
    found = seen(office, unreviewed_emergencies)
    assert [(one.recipient_id, one.due_at - one.opened_at) for one in found.entries] == [(RECIPIENT, 3 * DAY)]
    assert (found.total, found.late) == (1, 0)
    office.clock.advance(3 * DAY)
    assert seen(office, unreviewed_emergencies).late == 1
    with office.work() as work:
        emergency_id = found.entries[0].emergency_id
        review(
            work, office.keyring, emergency_id, EmergencyFinding.JUSTIFIED, staff=STAFF, now=office.clock()
        )
    assert emergency_id == getattr(made, "emergency_id", None)
    assert seen(office, unreviewed_emergencies) == NOTHING


def test_a_duty_that_was_given_up_is_listed_without_whom_it_is_about(office: Office) -> None:
    with office.work() as work:
        owe(work.session, DutyKind.ERASE_SUBJECT, office.subject_id, office.clock())
    assert seen(office, given_up_duties) == NOTHING
    with office.work() as work:
        duty = take_due(work.session, office.clock())
        assert duty is not None
        duty.fault = "unreachable"
        bury(duty, office.clock())
        duty_id = duty.duty_id
    only = DutyEntry(duty_id, "erase_subject", "unreachable", 0, office.clock())
    assert seen(office, given_up_duties) == Listed((only,), 1, 1)


def test_an_organisation_that_is_suspended(office: Office) -> None:
    with office.work() as work:
        suspend(work.session, RECIPIENT)
        suspend(work.session, HOSPITAL)
    found = seen(office, suspended_organisations)
    assert found == Listed(
        (
            OrganisationEntry(RECIPIENT, is_recipient=True, is_holder=False),
            OrganisationEntry(HOSPITAL, is_recipient=False, is_holder=True),
        ),
        2,
        0,
    )


def test_how_far_the_log_is_signed(office: Office) -> None:
    with office.installation.data.read() as session:
        size = head_size(session)
        assert checkpoint_age(session) == CheckpointAge(size, 0, None)
    signed_at = office.clock()
    publish(office.installation, signed_at)
    office.clock.advance(DAY)
    office.agree()
    with office.installation.data.read() as session:
        assert head_size(session) > size
        assert checkpoint_age(session) == CheckpointAge(head_size(session), size, signed_at)


def test_no_list_bears_the_person(keeper: Keeper) -> None:
    office, grant_id = keeper.office, delivered(keeper)
    office.withdraw(grant_id)
    file(office)
    linked(office)
    opened(office)
    office.clock.advance(3 * DAY)
    looks = (overdue_deletions, open_rights, unreviewed_emergencies)
    entries = [one for look in looks for one in seen(office, look).entries]
    assert len(entries) == 3
    for one in entries:
        assert not {office.subject_id, grant_id} & set(asdict(one).values())
