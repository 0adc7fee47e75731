"""Statistics as a fold over events, and as a naive count over rows (consent/statistics.py, counting.py)."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import select

from consent.counting import ABANDONED, ACTIVE, count_abandoned, keep_fold, read_fold, statistics
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import AbandonedFlow, Consent, StatisticsFold
from consent.statistics import (
    AMENDED,
    ENDED,
    NEW,
    NEW_ONCE,
    NEW_ONGOING,
    NEW_UNKNOWN,
    PRE_AUTHORISATION,
    RECONSENTED,
    REFUSALS,
    REJECTED,
    REVOKED,
    Fold,
    month_of,
)
from consent.vocabulary import ConsentState, EventType, Reason, VersionKind
from tests.consent.office import Office, consent_in

PURPOSE = "insurance.indemnity_claim"
START = datetime(2026, 12, 1, tzinfo=UTC)

KINDS = [
    *(kind for kind in EventType if kind.startswith(("consent.", "delivery."))),
    EventType.RECORD_TAMPERED,
    "later.invention",
]


def event(name: str, handle: str = "h", at: datetime = START, **facts: Any) -> Event:  # noqa: ANN401 - a fact
    return Event(name, at, handle, "hanbit", PURPOSE, facts, b"c" * 32)


events = st.builds(
    event,
    st.sampled_from(KINDS),
    st.sampled_from(["h1", "h2", "h3"]),
    st.integers(0, 90).map(lambda days: START + timedelta(days=days)),
    kind=st.sampled_from(["once", "periodic", "later"]),
    reason=st.sampled_from([str(reason) for reason in Reason]),
)


def counts_of(*told: Event) -> Counter[str]:
    counted: Counter[str] = Counter()
    for (metric, _, _), count in Fold().take_all(told).counts.items():
        counted[metric] += count
    return counted


def told(office: Office, *, smallest: int = 1) -> dict[str, Any]:
    with office.installation.data.read() as session:
        return statistics(session, smallest=smallest)


def test_a_request_that_nobody_answered_is_no_expired_authorisation() -> None:
    asked = event(EventType.CONSENT_REQUESTED)
    assert counts_of(asked, event(EventType.CONSENT_EXPIRED)) == {PRE_AUTHORISATION: 1}
    assert counts_of(asked, event(EventType.CONSENT_REFUSED)) == {REJECTED: 1}
    assert counts_of(asked, event(EventType.CONSENT_WITHDRAWN)) == {REJECTED: 1}


def test_stopping_what_had_ended_already_is_not_counted_again() -> None:
    given_one = event(EventType.CONSENT_GIVEN, access="once")
    ended = event(EventType.CONSENT_FULFILLED)
    counted = counts_of(
        event(EventType.CONSENT_REQUESTED), given_one, ended, event(EventType.CONSENT_WITHDRAWN)
    )
    assert REVOKED not in counted
    assert sum(counted[metric] for metric in ENDED) == 1


@pytest.mark.parametrize(
    ("facts", "metric"),
    [
        ({"access": "once"}, NEW_ONCE),
        ({"access": "periodic"}, NEW_ONGOING),
        ({"access": "x"}, NEW_UNKNOWN),
        ({}, NEW_UNKNOWN),
    ],
)
def test_once_off_and_ongoing_are_told_apart(facts: dict[str, Any], metric: str) -> None:
    assert counts_of(event(EventType.CONSENT_GIVEN, **facts)) == {metric: 1}


def test_agreeing_to_a_new_text_amends_nothing() -> None:
    again = event(EventType.CONSENT_AMENDED, kind=VersionKind.RECONSENT)
    changed = event(EventType.CONSENT_AMENDED, kind=VersionKind.AMENDMENT)
    assert counts_of(again, changed, again) == {RECONSENTED: 2, AMENDED: 1}


def test_refusals_are_counted_by_their_reason() -> None:
    refused = event(EventType.DELIVERY_REFUSED, reason=Reason.NO_PLACE_LEFT)
    assert counts_of(refused, event(EventType.RECORD_TAMPERED), refused) == {
        f"{REFUSALS}{Reason.NO_PLACE_LEFT}": 2,
        f"{REFUSALS}unknown": 1,
    }


def test_months_are_those_of_korea() -> None:
    assert month_of(datetime(2026, 12, 31, 14, 59, tzinfo=UTC)) == "2026-12"
    assert month_of(datetime(2026, 12, 31, 15, 0, tzinfo=UTC)) == "2027-01"


def test_the_state_of_another_program_is_not_gone_on_from() -> None:
    assert Fold.from_state({"format": 0}) is None
    assert Fold.from_state(Fold().to_state() | {"format": 1}) is None  # it counted reconsents as amended


@settings(max_examples=200, deadline=None)
@given(st.lists(events, max_size=40), st.integers(0, 40))
def test_in_parts_it_comes_to_the_same(log: list[Event], cut: int) -> None:
    whole = Fold().take_all(log)
    kept = Fold.from_state(orjson.loads(orjson.dumps(Fold().take_all(log[:cut]).to_state())))
    assert kept is not None
    assert kept.take_all(log[cut:]) == whole
    assert whole.size == len(log)


@settings(max_examples=200, deadline=None)
@given(st.lists(events, max_size=40))
def test_what_was_given_and_has_not_ended_is_active(log: list[Event]) -> None:
    """A handle is given once: what the state machine never says is left out of the log."""
    seen: set[str] = set()
    possible = []
    for one in log:
        if one.type == EventType.CONSENT_GIVEN and one.handle in seen:
            continue
        if one.type == EventType.CONSENT_GIVEN:
            seen.add(one.handle)
        possible.append(one)
    counted = counts_of(*possible)
    active = len(Fold().take_all(possible).active)
    assert sum(counted[metric] for metric in NEW) == active + sum(counted[metric] for metric in ENDED)


def test_the_fold_equals_a_naive_count_over_rows(office: Office) -> None:
    wanted = [
        *(state for state in ConsentState if state is not ConsentState.PARTIALLY_SIGNED),
        ConsentState.GIVEN,
        ConsentState.WITHDRAWN,
    ]
    for state in wanted:
        if state not in {ConsentState.REVOKED, ConsentState.INVALIDATED}:
            consent_in(office, state)
    with office.installation.data.read() as session:
        rows = session.exec(select(Consent)).all()
    states = Counter(row.state for row in rows)
    total, active = told(office)["total"], told(office)[ACTIVE]
    given_rows = [row for row in rows if row.given_at is not None]
    assert sum(total["newAuthorisationCount"].values()) == len(given_rows)
    assert active == {
        "total": states["GIVEN"] + states["PAUSED"],
        "byPurpose": {PURPOSE: states["GIVEN"] + states["PAUSED"]},
    }
    assert total["revokedAuthorisationCount"] == states["WITHDRAWN"]
    assert total["fulfilledAuthorisationCount"] == states["FULFILLED"]
    assert total["expiredAuthorisationCount"] == states["EXPIRED"]
    assert total["abandonmentsByStage"]["rejected"] == states["REFUSED"] == total[ABANDONED]
    assert [(row["month"], row["purpose"]) for row in told(office)["byMonthAndPurpose"]] == [
        ("2026-12", PURPOSE)
    ]


def test_small_numbers_are_not_told(office: Office) -> None:
    for _ in range(2):
        consent_in(office, ConsentState.GIVEN)
    published = told(office, smallest=10)
    assert published["suppressedCells"] > 0
    assert published[ACTIVE] == {"total": None, "byPurpose": {PURPOSE: None}}
    assert None in published["total"]["newAuthorisationCount"].values()
    assert published["total"]["revokedAuthorisationCount"] == 0


def test_an_empty_log_has_empty_tables(office: Office) -> None:
    published = told(office)
    assert (published["size"], published["byMonthAndPurpose"]) == (0, [])
    assert published[ACTIVE] == {"total": 0, "byPurpose": {}}


def test_the_fold_goes_on_from_where_it_was_kept(office: Office) -> None:
    for state in (ConsentState.GIVEN, ConsentState.WITHDRAWN):
        consent_in(office, state)
        with office.work() as work:
            assert keep_fold(work) == office.log_size()
    consent_in(office, ConsentState.REFUSED)
    with office.installation.data.read() as session:
        kept = session.get_one(StatisticsFold, "log")
        leaves = session.exec(select(LedgerEntry.leaf).order_by(LedgerEntry.idx)).all()  # type: ignore[arg-type] # SQLModel's own
        resumed = read_fold(session)
    assert 0 < kept.size < len(leaves)
    assert resumed == Fold().take_all(map(Event.from_leaf, leaves))


def test_a_state_of_another_program_is_counted_anew(office: Office) -> None:
    consent_in(office, ConsentState.GIVEN)
    with office.work() as work:
        work.session.add(StatisticsFold(name="log", size=1, body='{"format":0}'))
    assert told(office)["size"] == office.log_size()


def test_abandoned_flows_add_up(office: Office) -> None:
    for purposes in ({PURPOSE: 2}, {PURPOSE: 3, "other": 1}):
        with office.work() as work:
            count_abandoned(work, "preIdentification", purposes, office.clock())
    with office.installation.data.read() as session:
        assert {(row.purpose, row.flows) for row in session.exec(select(AbandonedFlow))} == {
            (PURPOSE, 5),
            ("other", 1),
        }
    total = told(office)["total"]
    assert (total["abandonmentsByStage"]["preIdentification"], total[ABANDONED]) == (6, 6)
