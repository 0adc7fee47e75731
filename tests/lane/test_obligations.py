"""The lane opens an obligation with the first delivery that may be stored, once, in the same commit."""

from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlmodel import select

from consent.models import Obligation
from consent.obligations import kept_deliveries as kept
from consent.obligations import standing
from tests.lane.world import World

NOT_STORED = {"retention.store": False, "retention.period": "P0D"}
TWICE = {"access.max_pulls": 2}


def obligations(world: World) -> list[Obligation]:
    with world.installation.data.read() as session:
        return list(session.exec(select(Obligation)))


def test_what_is_refused_opens_none(world: World) -> None:
    granted = world.granted()
    world.office.withdraw(granted.grant_id)
    assert world.pull(granted.token).status_code == 401
    assert obligations(world) == []


def test_what_may_not_be_stored_opens_none(world: World) -> None:
    granted = world.granted(NOT_STORED)
    assert world.pull(granted.token).status_code == 200
    assert obligations(world) == []
    assert [row.retention_days for row in world.deliveries(granted.grant_id)] == [0]


def test_two_deliveries_are_one_obligation_with_the_later_date(world: World) -> None:
    granted = world.granted(TWICE)
    assert world.pull(granted.token, idempotency_key="one").status_code == 200
    world.clock.advance(timedelta(minutes=3))
    assert world.pull(granted.token, idempotency_key="two").status_code == 200
    assert world.pull(granted.token, idempotency_key="two").status_code == 200
    (row,) = obligations(world)
    consent = world.office.consent(granted.grant_id)
    with world.installation.data.read() as session:
        found = standing(consent, row, kept(session, granted.grant_id))
    assert len(found.kept) == 2
    assert found.due_at == world.clock() + timedelta(days=90)
    assert (row.state, row.subject_id, row.recipient_id) == (
        "PENDING",
        consent.subject_id,
        consent.recipient_id,
    )
    assert row.opened_at == world.clock() - timedelta(minutes=3)
    assert row.check_at == row.opened_at + timedelta(days=87)
    assert row.days_after_end == world.installation.settings.obligations.days_after_end


def test_a_pull_does_not_wait_for_who_changes_the_obligation_and_waits_for_the_head(
    postgresql_world: World,
) -> None:
    """They would wait for each other: one holds the row and wants the head, the lane the other way round."""
    world = postgresql_world
    granted = world.granted(TWICE)
    assert world.pull(granted.token, idempotency_key="one").status_code == 200
    with world.installation.data.write() as session:
        changed: Any = session.connection().execute(text("UPDATE obligation SET check_at = check_at + 1"))
        assert changed.rowcount == 1
        assert world.pull(granted.token, idempotency_key="two").status_code == 200
    assert len(obligations(world)) == 1
    assert len(world.deliveries(granted.grant_id)) == 2
