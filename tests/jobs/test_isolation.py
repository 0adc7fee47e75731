"""One row that cannot be done is left for later, as it was, and every other row is done."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from sqlalchemy import text
from sqlmodel import col, select

from broker.installation import Installation
from broker.jobs.cascading import follow_notices, follow_recipients
from broker.jobs.dealing import end_overdue_deals
from broker.jobs.duties import drain
from broker.jobs.expiry import end_overdue
from broker.jobs.inactivity import erase_for_the_absent, stop_for_the_absent
from broker.jobs.lapsing import end_overdue_links, lapse_pending
from broker.jobs.owing import check_obligations
from broker.jobs.parting import end_representations
from broker.web.signin.accounts import NewAccount, create_account
from consent import lifecycle
from consent.ledger.models import LedgerHead
from consent.models import Duty, SourceLink
from consent.organisations import suspend
from consent.outbox import DutyKind
from consent.people_vocabulary import RepresentationState
from consent.purposes import Purposes
from consent.vocabulary import ConsentState, DealState, ObligationState, StateReason
from tests.consent.changes import agreed, revised
from tests.consent.keeping import Keeper
from tests.consent.notary import Notary, open_notary
from tests.consent.office import RECIPIENT, Office, open_office
from tests.consent.representing import Parties
from tests.consent.test_pending import KEEP_FOR, held, linked, new, rows
from tests.installation import Clock
from tests.jobs.breaking import damaged_key

S: Final = ConsentState
DAY: Final = timedelta(days=1)


@pytest.fixture
def office(installation: Installation, clock: Clock) -> Office:
    return open_office(installation, clock)


@pytest.fixture
def sqlite_office(sqlite_installation: Installation, clock: Clock) -> Office:
    return open_office(sqlite_installation, clock)


@pytest.fixture
def notary(installation: Installation, clock: Clock) -> Notary:
    return open_notary(installation, clock)


@pytest.fixture
def sqlite_notary(sqlite_installation: Installation, clock: Clock) -> Notary:
    return open_notary(sqlite_installation, clock)


def two(office: Office) -> tuple[Office, Office]:
    """The office as each of two people sees it."""
    return office, replace(office, subject_id=office.newcomer())


def given_by(one: Office, other: Office) -> list[tuple[Office, str]]:
    """A consent of each, in the order in which a job comes to them."""
    return sorted(
        ((who, agreed(who).grant_id) for who in (one, other)),
        key=lambda given: given[1],
    )


def state(office: Office, grant_id: str) -> tuple[str, str | None]:
    consent = office.consent(grant_id)
    return consent.state, consent.state_reason


# Duties


def test_a_duty_that_fails_leaves_nothing_half_done_and_stops_no_other(notary: Notary) -> None:
    """The deal would fall for the one, and could not go on record for the other (invariant 3)."""
    installation, clock = notary.installation, notary.clock
    opened, sound = notary.open(), notary.open()
    tenant, landlord, agent = (notary.join(opened, role).grant_id for role in ("tenant", "landlord", "agent"))
    other = [notary.join(sound, role).grant_id for role in ("tenant", "agent")]
    for leaver in (tenant, other[0]):
        notary.sign(leaver)
        with notary.work() as work:  # the process dies before the others are ended
            keyring, subject_id = installation.keyring, notary.people["tenant"]
            lifecycle.withdraw(work, keyring, leaver, subject_id, clock())
        clock.advance(timedelta(seconds=1))
    with damaged_key(installation, notary.people["landlord"]):
        drain(installation, clock())
        assert notary.states(landlord, agent) == [S.REQUESTED, S.REQUESTED]
        assert notary.deal(opened.deal_id).state == DealState.OPEN
        assert notary.events(notary.consent(agent).handle)[-1].type == "deal.joined"
        assert notary.states(other[1]) == [S.REFUSED]
        with installation.data.read() as session:
            (waits,) = session.exec(
                select(Duty).where(col(Duty.done_at).is_(None), Duty.kind == DutyKind.CLOSE_DEAL)
            ).all()
        assert (waits.target, waits.attempts) == (opened.deal_id, 1)
        assert waits.due_at == clock() + timedelta(seconds=2)
    clock.advance(timedelta(seconds=2))
    drain(installation, clock())
    assert notary.states(landlord, agent) == [S.REFUSED, S.REFUSED]
    assert notary.deal(opened.deal_id).state == DealState.REFUSED


def test_an_sql_error_takes_no_other_duty_with_it(office: Office) -> None:
    """On PostgreSQL nothing more can be written in the transaction that met it."""
    installation, now = office.installation, office.clock()
    office.withdraw(agreed(office).grant_id)
    rename(installation, "receipt", "elsewhere")
    drain(installation, now)
    rename(installation, "elsewhere", "receipt")
    with installation.data.read() as session:
        found = {duty.kind: duty for duty in session.exec(select(Duty))}
    failed, done = found[DutyKind.ISSUE_RECEIPT], found[DutyKind.DESTROY_SHARES]
    assert (failed.attempts, failed.done_at) == (1, None)
    assert done.done_at == now
    assert drain(installation, failed.due_at) == 1


def test_what_the_log_refuses_at_the_commit_is_postponed_too(sqlite_notary: Notary) -> None:
    notary, installation = sqlite_notary, sqlite_notary.installation
    opened = notary.open()
    tenant, agent = (notary.join(opened, role).grant_id for role in ("tenant", "agent"))
    notary.sign(tenant)
    with notary.work() as work:
        lifecycle.withdraw(work, installation.keyring, tenant, notary.people["tenant"], notary.clock())
    with installation.data.write() as session:
        head = session.exec(select(LedgerHead)).one()
        kept, head.frontier = head.frontier, b"damaged"
    assert drain(installation, notary.clock()) == 1  # the shares
    assert notary.states(agent) == [S.REQUESTED]
    with installation.data.write() as session:
        session.exec(select(LedgerHead)).one().frontier = kept
    drain(installation, notary.clock() + timedelta(seconds=2))
    assert notary.states(agent) == [S.REFUSED]


def rename(installation: Installation, table: str, name: str) -> None:
    with installation.data.write() as session:
        session.connection().execute(text(f"ALTER TABLE {table} RENAME TO {name}"))


# Consents


def test_time_ends_every_other_consent(sqlite_office: Office) -> None:
    (bad, first), (_, second) = given_by(*two(sqlite_office))
    sqlite_office.clock.now = bad.consent(first).valid_until
    with damaged_key(sqlite_office.installation, bad.subject_id):
        assert end_overdue(sqlite_office.installation, sqlite_office.clock()) == 1
    assert (state(bad, first)[0], state(bad, second)[0]) == (S.GIVEN, S.EXPIRED)
    assert end_overdue(sqlite_office.installation, sqlite_office.clock()) == 1
    assert state(bad, first)[0] == S.EXPIRED


def test_every_other_consent_follows_its_recipient(sqlite_office: Office) -> None:
    (bad, first), (_, second) = given_by(*two(sqlite_office))
    with sqlite_office.work() as work:
        suspend(work.session, RECIPIENT)
    with damaged_key(sqlite_office.installation, bad.subject_id):
        assert follow_recipients(sqlite_office.installation, sqlite_office.clock()) == 1
    assert state(bad, first) == (S.GIVEN, None)
    assert state(bad, second) == (S.PAUSED, StateReason.RECIPIENT_SUSPENDED)


def test_every_other_consent_without_a_purpose_ends(sqlite_office: Office) -> None:
    (bad, first), (_, second) = given_by(*two(sqlite_office))
    with damaged_key(sqlite_office.installation, bad.subject_id):
        follow_notices(replace(sqlite_office.installation, purposes=Purposes({})), sqlite_office.clock())
    assert state(bad, first) == (S.GIVEN, None)
    assert state(bad, second) == (S.INVALIDATED, StateReason.PURPOSE_WITHDRAWN)


def test_everybody_else_is_asked_again_under_a_new_text(office: Office) -> None:
    one, other = two(office)
    given = sorted([*given_by(one, other), *given_by(one, other)], key=lambda each: each[1])
    bad = given[1][0]
    follow_notices(office.installation, office.clock())
    office.clock.advance(DAY)
    newer = Purposes({each.code: revised(each) for each in office.installation.purposes.all()})
    for _ in range(2):
        with damaged_key(office.installation, bad.subject_id):
            follow_notices(replace(office.installation, purposes=newer), office.clock())
    for who, grant_id in given:
        expected = (S.GIVEN, None) if who is bad else (S.PAUSED, StateReason.RECONSENT)
        assert state(office, grant_id) == expected
        if who is not bad:
            assert who.event_types(grant_id).count("notice.revised") == 1


def test_a_keyring_that_is_away_leaves_nobody_out(sqlite_office: Office) -> None:
    """What hinders all of them is no reason to pass any of them over."""
    grant_id = agreed(sqlite_office).grant_id
    follow_notices(sqlite_office.installation, sqlite_office.clock())
    sqlite_office.clock.advance(DAY)
    purposes = Purposes({each.code: revised(each) for each in sqlite_office.installation.purposes.all()})
    newer = replace(sqlite_office.installation, purposes=purposes)
    keyring = sqlite_office.installation.keyring_database
    with keyring.write() as session:
        session.connection().execute(text("ALTER TABLE audit_key RENAME TO elsewhere"))
    follow_notices(newer, sqlite_office.clock())
    with keyring.write() as session:
        session.connection().execute(text("ALTER TABLE elsewhere RENAME TO audit_key"))
    assert state(sqlite_office, grant_id) == (S.GIVEN, None)
    follow_notices(newer, sqlite_office.clock())
    assert state(sqlite_office, grant_id) == (S.PAUSED, StateReason.RECONSENT)


def test_every_other_obligation_is_looked_at(sqlite_office: Office) -> None:
    office = sqlite_office
    bad, sound = (Keeper(who) for who in two(office))
    first, second = bad.agree(), sound.agree()
    bad.deliver(first, days=10)
    office.clock.advance(DAY)
    sound.deliver(second, days=10)
    office.clock.advance(12 * DAY)
    with damaged_key(office.installation, bad.office.subject_id):
        assert check_obligations(office.installation, office.clock()) == 1
        assert bad.row(first).state == ObligationState.PENDING
    assert sound.row(second).state == ObligationState.OVERDUE
    assert check_obligations(office.installation, office.clock()) == 1
    assert bad.row(first).state == ObligationState.OVERDUE


# People, links, deals


def test_sending_stops_for_everybody_else_who_is_absent(sqlite_office: Office) -> None:
    one, other = two(sqlite_office)
    (bad, first), (_, second) = given_by(one, other)
    absent = with_accounts(sqlite_office, one.subject_id, other.subject_id)
    with damaged_key(absent, bad.subject_id):
        assert stop_for_the_absent(absent, sqlite_office.clock()) == 1
    assert state(bad, first) == (S.GIVEN, None)
    assert state(bad, second) == (S.PAUSED, StateReason.INACTIVITY)


def test_the_sources_of_everybody_else_who_is_absent_are_unlinked(sqlite_office: Office) -> None:
    bad, sound = sorted(two(sqlite_office), key=lambda who: who.subject_id)
    first, second = bad.link(), sound.link(patient_no="P-2")
    absent = with_accounts(sqlite_office, bad.subject_id, sound.subject_id)
    with damaged_key(absent, bad.subject_id):
        assert erase_for_the_absent(absent, sqlite_office.clock()) == 1
    assert is_linked(sqlite_office, first)
    assert not is_linked(sqlite_office, second)


def test_every_other_link_ends_in_time(sqlite_office: Office) -> None:
    bad, sound = two(sqlite_office)
    first, second = bad.link(), sound.link(patient_no="P-2")
    sqlite_office.clock.advance(2 * 366 * DAY)
    with damaged_key(sqlite_office.installation, bad.subject_id):
        assert end_overdue_links(sqlite_office.installation, sqlite_office.clock()) == 1
    assert is_linked(sqlite_office, first)
    assert not is_linked(sqlite_office, second)


def is_linked(office: Office, link_id: str) -> bool:
    with office.installation.data.read() as session:
        return session.get_one(SourceLink, link_id).ended_at is None


def with_accounts(office: Office, *subject_ids: str) -> Installation:
    """Accounts of people who never signed in, in a broker that has no patience any more."""
    with office.work() as work:
        for subject_id in subject_ids:
            new = NewAccount("citizen", subject_id, "no hash", subject_id)
            create_account(work.session, office.keyring, new, office.clock())
    office.clock.advance(3 * DAY)
    settings = office.installation.settings
    spans = settings.inactivity.model_copy(update={"stop_after_days": 2, "erase_after_days": 2})
    return replace(office.installation, settings=settings.model_copy(update={"inactivity": spans}))


def test_every_other_deal_ends_in_time(sqlite_notary: Notary) -> None:
    notary = sqlite_notary
    bad, sound = sorted((notary.open() for _ in range(2)), key=lambda opened: opened.deal_id)
    notary.join(bad, "landlord")
    notary.join(sound, "tenant")
    notary.clock.advance(4 * DAY)
    with damaged_key(notary.installation, notary.people["landlord"]):
        assert end_overdue_deals(notary.installation, notary.clock()) == 1
    assert notary.deal(bad.deal_id).state == DealState.OPEN
    assert notary.deal(sound.deal_id).state != DealState.OPEN


def test_every_other_mandate_ends_in_time(sqlite_office: Office) -> None:
    parties, taker = Parties(sqlite_office), sqlite_office.newcomer()
    bad, sound = sorted((parties.mandate(giver, taker), giver) for giver in people(sqlite_office))
    sqlite_office.clock.advance(31 * DAY)
    with damaged_key(sqlite_office.installation, bad[1]):
        assert end_representations(sqlite_office.installation, sqlite_office.clock()) == 1
    assert parties.row(bad[0]).state == RepresentationState.ACTIVE
    assert parties.row(sound[0]).state == RepresentationState.ENDED


def test_every_other_record_that_waited_too_long_is_destroyed(sqlite_office: Office) -> None:
    bad, sound = people(sqlite_office)
    for number, subject_id in (("P-1", bad), ("P-2", sound)):
        linked(sqlite_office, number, subject_id=subject_id)
        held(sqlite_office, new(number, "somebody else"))
    sqlite_office.clock.advance(KEEP_FOR)
    with damaged_key(sqlite_office.installation, bad):
        assert lapse_pending(sqlite_office.installation, sqlite_office.clock()) == 1
    assert len(rows(sqlite_office)) == 1
    assert lapse_pending(sqlite_office.installation, sqlite_office.clock()) == 1
    assert rows(sqlite_office) == []


def people(office: Office) -> tuple[str, str]:
    return office.subject_id, office.newcomer()
