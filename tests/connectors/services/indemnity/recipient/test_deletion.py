"""A consent ends, the broker says so, the insurer deletes and signs."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlmodel import select

from broker.jobs.owing import check_obligations
from connectors.services.relying_party.broker_client import BrokerClient
from connectors.services.relying_party.deleting import Deletion
from consent.models import Consent, Obligation
from consent.owed import ObligationView, obligation_of
from consent.vocabulary import ObligationState
from tests.connectors.services.indemnity.recipient.watch import Watch, _lost


@pytest.fixture(autouse=True)
def time_goes_back(watch: Watch) -> Iterator[None]:
    """The broker is everybody's: who waits for a year leaves its clock as it was."""
    now = watch.broker.clock.now
    yield
    watch.broker.clock.now = now


@pytest.fixture
def deletion(watch: Watch) -> Deletion:
    """The insurer's deleting, with nothing left over from consents of other tests."""
    insurer = watch.insurer
    broker = BrokerClient(insurer.configuration, insurer.wire)
    Deletion(broker, insurer.store, watch.broker.clock).work()
    return Deletion(broker, insurer.store, watch.broker.clock)


def owed(watch: Watch) -> ObligationView:
    with watch.broker.installation.data.read() as session:
        subject_id = session.get_one(Consent, watch.grant_id).subject_id
        view = obligation_of(session, subject_id, watch.grant_id)
    assert view is not None
    return view


def works(watch: Watch, deletion: Deletion) -> int:
    """The insurer's clerk, once round."""
    if watch.insurer.inbox.sort():
        deletion.look_now()
    watch.insurer.desk.work()
    return deletion.work()


def kept(watch: Watch) -> int:
    """How many cases of the consent still have records."""
    return sum(bool(case.records) for case in watch.pulls())


def test_while_the_consent_lives_nothing_is_deleted(watch: Watch, deletion: Deletion) -> None:
    assert works(watch, deletion) == 0
    assert kept(watch) == 1
    assert owed(watch).state is ObligationState.PENDING


def test_a_broker_that_is_away_costs_nothing_but_time(watch: Watch, deletion: Deletion) -> None:
    watch.person("withdraw")
    watch.insurer.wire.tap = _lost("/v1/obligations")
    assert works(watch, deletion) == 0
    assert kept(watch) == 1
    watch.insurer.wire.tap = lambda _, answer: answer
    assert works(watch, deletion) == 0  # not at once again
    watch.waits(seconds=31)
    assert works(watch, deletion) == 1
    assert owed(watch).state is ObligationState.ATTESTED


def test_a_death_between_deleting_and_saying_so_is_made_good(watch: Watch, deletion: Deletion) -> None:
    watch.person("withdraw")
    path = f"/v1/obligations/{owed(watch).obligation_id}/attestation"
    heard = watch.insurer.wire.tap

    def dies(asked: str, answer: object) -> object:
        if asked == path:
            raise KeyboardInterrupt
        return answer

    watch.insurer.wire.tap = dies  # type: ignore[assignment]  # a tap that never answers
    with pytest.raises(KeyboardInterrupt):
        works(watch, deletion)
    assert kept(watch) == 0
    watch.insurer.wire.tap = heard
    watch.waits(minutes=11)
    works(watch, deletion)
    assert owed(watch).state is ObligationState.ATTESTED


def test_from_the_persons_word_to_the_insurers_signature(watch: Watch, deletion: Deletion) -> None:
    works(watch, deletion)
    (before,) = watch.pulls()
    assert before.records
    watch.waits(hours=1)
    watch.person("withdraw")
    assert watch.is_told() == 1
    assert owed(watch).state is ObligationState.NOTIFIED
    assert works(watch, deletion) == 1
    (after,) = watch.pulls()
    assert after.records == {}
    assert (after.claim, after.state) == (before.claim, before.state)  # the claim is the insurer's own record
    view = owed(watch)
    assert (view.state, view.attested_at) == (ObligationState.ATTESTED, watch.broker.clock())
    bill_no = before.records["health.medical_bill"][0]["data"]["institution"]["name"]
    with sqlite3.connect(watch.insurer.configuration.store) as connection:
        assert not any(bill_no in str(row) for row in connection.execute("SELECT records FROM claim_case"))
    watch.waits(days=5)
    check_obligations(watch.broker.installation, watch.broker.clock())
    assert owed(watch).state is ObligationState.ATTESTED


def test_without_an_event_it_finds_out_by_asking(watch: Watch, deletion: Deletion) -> None:
    works(watch, deletion)
    watch.person("withdraw")
    assert works(watch, deletion) == 0
    watch.waits(minutes=11)
    assert works(watch, deletion) == 1
    assert owed(watch).state is ObligationState.ATTESTED


def test_a_pull_under_way_when_the_person_stops_it_keeps_nothing(watch: Watch, deletion: Deletion) -> None:
    watch.visit()
    watch.posts(watch.event("news"))
    watch.insurer.inbox.sort()
    watch.person("withdraw")
    deletion.work()
    assert [case.state for case in watch.pulls()][-1] == "refused"
    assert owed(watch).state is ObligationState.ATTESTED


def test_what_may_be_kept_for_a_time_is_deleted_before_it_is_over(watch: Watch, deletion: Deletion) -> None:
    works(watch, deletion)
    last = owed(watch).due_at
    watch.waits(days=360)
    check_obligations(watch.broker.installation, watch.broker.clock())
    assert works(watch, deletion) == 0
    watch.broker.clock.now = last - timedelta(hours=20)
    assert works(watch, deletion) == 1
    assert kept(watch) == 0
    check_obligations(watch.broker.installation, last + timedelta(days=1))
    with watch.broker.installation.data.read() as session:
        row = session.exec(select(Obligation).where(Obligation.grant_id == watch.grant_id)).one()
    assert row.state == ObligationState.ATTESTED


def test_every_event_of_a_consent_is_taken(watch: Watch) -> None:
    for name in ("consent-ended", "consent-paused", "consent-resumed", "obligation-due"):
        token = watch.event(name, f"urn:mydata:event:{name}")
        assert watch.posts(token).status_code == 202
    assert watch.insurer.inbox.sort() is True
    assert watch.insurer.inbox.sort() is False
