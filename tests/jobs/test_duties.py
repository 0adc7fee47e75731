"""Duties: repeated until they are done, later each time, and by one worker only."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlmodel import col, select

from broker.db import UnfinishedError, transaction
from broker.installation import Installation
from broker.jobs.duties import drain
from consent.models import Consent, Duty
from consent.outbox import PUSHED, DutyKind, owe
from tests.api.conftest import Office

PATIENCE = 120


@contextmanager
def shares_out_of_reach(installation: Installation) -> Iterator[None]:
    """The keyring refuses every statement on shares, as a keyring that is away would."""
    with installation.keyring_database.write() as session:
        session.connection().execute(text("ALTER TABLE consent_share RENAME TO elsewhere"))
    yield
    with installation.keyring_database.write() as session:
        session.connection().execute(text("ALTER TABLE elsewhere RENAME TO consent_share"))


def shares(installation: Installation) -> int:
    with installation.keyring_database.read() as session:
        count = text("SELECT count(*) FROM consent_share")
        return int(session.connection().execute(count).scalar_one())


def duties(installation: Installation) -> list[Duty]:
    """What is neither pushed nor a receipt: those have tests of their own (test_telling, test_receipts)."""
    others = PUSHED | {DutyKind.ISSUE_RECEIPT}
    with installation.data.read() as session:
        return list(session.exec(select(Duty).where(col(Duty.kind).not_in(others))))


def test_shares_that_could_not_go_go_later(office: Office) -> None:
    installation, clock = office.world.installation, office.world.clock
    grant_id = office.grant()["grant_id"]
    assert shares(installation) == 1
    with shares_out_of_reach(installation):
        with pytest.raises(UnfinishedError):
            office.world.withdraw(grant_id)
        with installation.data.read() as session:  # the withdrawal holds all the same
            assert session.get_one(Consent, grant_id).state == "WITHDRAWN"
        began, waits = clock(), []
        for attempt in range(14):
            assert drain(installation, clock()) == int(attempt == 0)  # the receipt of the end does go
            (duty,) = duties(installation)
            assert (duty.attempts, duty.done_at) == (attempt + 1, None)
            waits.append((duty.due_at - clock()).total_seconds())
            clock.now = duty.due_at - timedelta(microseconds=1)
            assert drain(installation, clock()) == 0
            assert duties(installation)[0].attempts == attempt + 1  # not before its time
            clock.now = duty.due_at
        assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600]
        assert clock() > began
    assert shares(installation) == 1
    assert drain(installation, clock()) == 1
    assert (shares(installation), duties(installation)[0].done_at) == (0, clock())
    assert drain(installation, clock()) == 0


def test_a_duty_that_nobody_here_knows_waits_and_stops_no_other(office: Office) -> None:
    """A newer worker's duty, seen by an older one while both run."""
    installation, clock = office.world.installation, office.world.clock
    grant_id = office.grant()["grant_id"]
    with transaction(installation.data) as work:
        work.session.add(
            Duty(
                duty_id="d", kind="sing", target="x", due_at=clock() - timedelta(hours=1), created_at=clock()
            )
        )
    with transaction(installation.data) as work:
        owe(work.session, DutyKind.DESTROY_SHARES, grant_id, clock())
    assert drain(installation, clock()) == 1
    by_kind = {duty.kind: duty for duty in duties(installation)}
    assert (by_kind["sing"].attempts, by_kind["sing"].done_at) == (1, None)
    assert by_kind["destroy_shares"].done_at == clock()


def test_what_has_been_done_already_is_done_again_without_harm(office: Office) -> None:
    installation, clock = office.world.installation, office.world.clock
    grant_id = office.grant()["grant_id"]
    office.world.withdraw(grant_id)
    assert shares(installation) == 0
    assert [duty.done_at for duty in duties(installation)] == [None]
    assert drain(installation, clock()) == 2  # and the receipt of the end


def test_a_withdrawal_that_rolls_back_leaves_no_duty(office: Office) -> None:
    installation, clock = office.world.installation, office.world.clock

    def fail() -> None:
        with transaction(installation.data) as work:
            owe(work.session, DutyKind.DESTROY_SHARES, "g", clock())
            work.session.flush()
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert duties(installation) == []


def test_workers_at_once_do_each_duty_once(office: Office) -> None:
    installation, now = office.world.installation, office.world.clock()
    with transaction(installation.data) as work:
        for number in range(30):
            owe(work.session, DutyKind.DESTROY_SHARES, f"grant-{number}", now)
    at_once = threading.Barrier(3)
    done: list[int] = []

    def work_here() -> None:
        at_once.wait(PATIENCE)
        done.append(drain(installation, now))

    workers = [threading.Thread(target=work_here) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    assert (len(done), sum(done)) == (3, 30)
    assert {(duty.attempts, duty.done_at) for duty in duties(installation)} == {(0, now)}


def test_a_duty_that_another_worker_has_in_hand_is_left_to_it(
    postgresql_installation: Installation,
) -> None:
    installation, now = postgresql_installation, postgresql_installation.clock()
    with transaction(installation.data) as work:
        owe(work.session, DutyKind.DESTROY_SHARES, "grant", now)
    with transaction(installation.data) as other:
        other.session.exec(select(Duty).with_for_update()).one()
        assert drain(installation, now) == 0
    assert drain(installation, now) == 1
