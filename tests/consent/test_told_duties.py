"""Duties of one client: what it can fetch now, in the order of what happened, and nothing of another's."""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import event
from sqlmodel import select

from consent.models import Decision, Duty
from consent.outbox import (
    ABOUT_GRANT,
    DutyKind,
    bury,
    find_polled,
    find_pushed,
    find_told,
    owe,
    owe_once,
    postpone,
    restart_client,
    settle,
    take_told,
)
from tests.consent.details import terms_with
from tests.consent.office import CLIENT, RECIPIENT, Office

SECOND: Final = timedelta(seconds=1)


def polled(office: Office, client_id: str = CLIENT, limit: int = 100) -> list[str]:
    with office.installation.data.read() as session:
        return [duty.kind for duty in find_polled(session, client_id, office.clock(), limit=limit)]


def owe_at(office: Office, kind: DutyKind, target: str, at: datetime) -> None:
    with office.work() as work:
        owe(work.session, kind, target, at)


def decided(office: Office, grant_id: str) -> None:
    """A decision about a delivery, and a wish for its review."""
    delivery_id = office.deliver(grant_id)
    with office.work() as work:
        work.session.add(
            Decision(
                decision_id="decision",
                delivery_id=delivery_id,
                number=1,
                grant_id=grant_id,
                subject_id=office.subject_id,
                recipient_id=RECIPIENT,
                compartment_id="c",
                body_sealed=b"s",
                body_digest=b"d" * 32,
                received_at=office.clock(),
            )
        )
    owe_at(office, DutyKind.ASK_REVIEW, "decision", office.clock())


def test_nothing_of_another_client_is_found(office: Office) -> None:
    office.agree()
    owe_at(office, DutyKind.TELL_ENDED, "grant-of-another", office.clock())
    owe_at(office, DutyKind.ASK_REVIEW, "decision-of-another", office.clock())
    owe_at(office, DutyKind.TELL_STREAM, "another-client", office.clock())
    assert polled(office) == []
    assert polled(office, "another-client") == [DutyKind.TELL_STREAM]
    with office.work() as work:
        duty_id = find_polled(work.session, "another-client", office.clock(), limit=1)[0].duty_id
        assert find_told(work.session, CLIENT, duty_id) is None
        assert find_told(work.session, "another-client", duty_id) is not None
        assert find_told(work.session, "another-client", "unknown") is None


def test_a_duty_knows_whose_software_it_tells_if_any(office: Office) -> None:
    grant_id, now = office.agree().grant_id, office.clock()
    decided(office, grant_id)
    for kind in ABOUT_GRANT:
        owe_at(office, kind, grant_id, now)
    owe_at(office, DutyKind.TELL_STREAM, "another-client", now)
    owe_at(office, DutyKind.TELL_ENDED, "no-such-grant", now)
    owe_at(office, DutyKind.ASK_REVIEW, "no-such-decision", now)
    owe_at(office, DutyKind.DESTROY_SHARES, grant_id, now)
    with office.work() as work:
        owe_once(work.session, "an-id", DutyKind.TELL_TOKEN, grant_id, now)
        owe(work.session, DutyKind.TELL_RECIPIENT, "known", now, client_id="of-the-caller")
    with office.installation.data.read() as session:
        found = {(duty.kind, duty.target): duty.client_id for duty in session.exec(select(Duty))}
    mine = {(kind, grant_id): CLIENT for kind in ABOUT_GRANT}
    assert found == mine | {
        (DutyKind.ASK_REVIEW, "decision"): CLIENT,
        (DutyKind.TELL_STREAM, "another-client"): "another-client",
        (DutyKind.TELL_ENDED, "no-such-grant"): None,
        (DutyKind.ASK_REVIEW, "no-such-decision"): None,
        (DutyKind.DESTROY_SHARES, grant_id): None,
        (DutyKind.TELL_RECIPIENT, "known"): "of-the-caller",
    }


def test_a_poll_looks_through_no_other_clients_duties(sqlite_office: Office) -> None:
    plans: list[str] = []

    def explain(_c: object, cursor: Any, statement: str, parameters: Any, *_: object) -> None:  # noqa: ANN401
        if statement.startswith("SELECT"):
            plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append(str(plan.fetchall()))

    with sqlite_office.installation.data.read() as session:
        engine = session.connection().engine
    event.listen(engine, "before_cursor_execute", explain)
    try:
        polled(sqlite_office)
    finally:
        event.remove(engine, "before_cursor_execute", explain)
    (plan,) = plans
    assert "SEARCH duty USING INDEX ix_duty_client_id_done_at (client_id=? AND done_at=?)" in plan


def test_everything_of_its_own_is_found_the_oldest_first(office: Office) -> None:
    grant_id, now = office.agree().grant_id, office.clock()
    decided(office, grant_id)
    owe_at(office, DutyKind.TELL_STREAM, CLIENT, now - SECOND)
    owe_at(office, DutyKind.TELL_ENDED, grant_id, now - 3 * SECOND)
    owe_at(office, DutyKind.TELL_RECIPIENT, grant_id, now - 2 * SECOND)
    kinds = [DutyKind.TELL_ENDED, DutyKind.TELL_RECIPIENT, DutyKind.TELL_STREAM, DutyKind.ASK_REVIEW]
    assert polled(office) == kinds
    assert polled(office, limit=2) == kinds[:2]


def test_news_wait_for_a_pull_that_would_be_allowed(office: Office) -> None:
    begins = office.clock() + timedelta(days=2)
    later = office.agree(terms_with({"access.valid_from": begins.isoformat()})).grant_id
    paused = office.agree().grant_id
    office.pause(paused)
    for grant_id in (later, paused):
        owe_at(office, DutyKind.TELL_RECIPIENT, grant_id, office.clock())
    assert polled(office) == [DutyKind.TELL_PAUSED]
    office.clock.now = begins
    assert sorted(polled(office)) == sorted([DutyKind.TELL_PAUSED, DutyKind.TELL_RECIPIENT])
    office.resume(paused)
    assert polled(office).count(DutyKind.TELL_RECIPIENT) == 2
    office.clock.now = office.consent(paused).valid_until
    assert DutyKind.TELL_RECIPIENT not in polled(office)


def test_what_failed_waits_what_is_done_or_given_up_is_over(office: Office) -> None:
    grant_id, now = office.agree().grant_id, office.clock()
    for kind in (DutyKind.TELL_PAUSED, DutyKind.TELL_RESUMED, DutyKind.TELL_DUE):
        owe_at(office, kind, grant_id, now)
    with office.work() as work:
        by_kind = {duty.kind: duty for duty in work.session.exec(select(Duty))}
        postpone(by_kind[DutyKind.TELL_PAUSED], now)
        settle(by_kind[DutyKind.TELL_RESUMED], now)
        bury(by_kind[DutyKind.TELL_DUE], now)
        done, dead = by_kind[DutyKind.TELL_RESUMED].duty_id, by_kind[DutyKind.TELL_DUE].duty_id
    assert polled(office) == []
    with office.work() as work:
        assert (find_told(work.session, CLIENT, done), take_told(work.session, done)) == (None, None)
        assert find_told(work.session, CLIENT, dead) is not None
        assert take_told(work.session, dead) is not None
    office.clock.advance(2 * SECOND)
    assert polled(office) == [DutyKind.TELL_PAUSED]


def test_a_client_that_listens_anew_is_told_at_once_and_for_as_long_as_ever(office: Office) -> None:
    grant_id, now = office.agree().grant_id, office.clock()
    owe_at(office, DutyKind.TELL_PAUSED, grant_id, now)
    owe_at(office, DutyKind.TELL_STREAM, CLIENT, now)
    owe_at(office, DutyKind.TELL_STREAM, "another-client", now)
    office.clock.advance(SECOND)
    with office.work() as work:
        for duty in work.session.exec(select(Duty).where(Duty.created_at == now)):
            duty.due_at, duty.fault = now + timedelta(hours=1), "held_back"
    with office.work() as work:
        restart_client(work.session, CLIENT, office.clock())
    with office.installation.data.read() as session:
        found = {(one.target, one.due_at, one.created_at, one.fault) for one in session.exec(select(Duty))}
    mine = {(target, office.clock(), office.clock(), None) for target in (grant_id, CLIENT)}
    assert mine <= found
    assert ("another-client", now + timedelta(hours=1), now, "held_back") in found


def test_what_is_due_at_once_is_told_in_the_order_in_which_it_happened(office: Office) -> None:
    happened = [office.clock() + number * SECOND for number in range(5)]
    for at in reversed(happened):
        owe_at(office, DutyKind.TELL_STREAM, CLIENT, at)
    office.clock.advance(timedelta(minutes=1))
    with office.work() as work:
        restart_client(work.session, CLIENT, office.clock())
    told = []
    with office.work() as work:
        while (found := find_pushed(work.session, office.clock())) is not None:
            told.append(found.happened_at)
            settle(found, office.clock())
            work.session.flush()
    assert told == happened


def test_what_has_an_id_by_itself_is_owed_once(office: Office) -> None:
    with office.work() as work:
        assert owe_once(work.session, "an-id", DutyKind.TELL_TOKEN, "grant", office.clock())
    with office.work() as work:
        assert not owe_once(work.session, "an-id", DutyKind.TELL_TOKEN, "grant", office.clock())
        duty = take_told(work.session, "an-id")
        assert duty is not None
        settle(duty, office.clock())
    with office.work() as work:
        assert not owe_once(work.session, "an-id", DutyKind.TELL_TOKEN, "grant", office.clock())
    with office.installation.data.read() as session:
        (row,) = session.exec(select(Duty).where(Duty.duty_id == "an-id"))
    assert (row.kind, row.target, row.happened_at) == (DutyKind.TELL_TOKEN, "grant", office.clock())
