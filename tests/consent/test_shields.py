"""Shields: a vulnerable person's co-holder is as a stranger (feature row 40; CDR rule 4A.15)."""

import pytest

from consent.approvals import Outcome, leave_waiting
from consent.errors import NotFoundError, UnknownOrganisationError, WrongStateError
from consent.models import Consent, Shield
from consent.organisations import reinstate, suspend
from consent.people_vocabulary import ShieldReason
from consent.shields import Raised, shields
from consent.vocabulary import ConsentState
from tests.consent.office import RECIPIENT, Office, at_once
from tests.consent.test_approvals import Accounts
from vault.schema import random_id


@pytest.fixture
def accounts(office: Office) -> Accounts:
    return Accounts(office)


@pytest.fixture
def sqlite_accounts(sqlite_office: Office) -> Accounts:
    return Accounts(sqlite_office)


def test_a_shielded_person_is_free_of_the_other(accounts: Accounts) -> None:
    """Not asked, not told, sees nothing; and what waited for them goes on."""
    other = accounts.office.newcomer()
    accounts.share(other)
    waiting = accounts.signed()
    asked = accounts.office.request()
    accounts.ask(asked)
    before = accounts.events_of(other)
    raised = accounts.shield(other)
    assert raised.ready == (waiting,)
    assert accounts.state(waiting)[0] == ConsentState.GIVEN
    accounts.office.give(asked)
    assert accounts.state(asked)[0] == ConsentState.GIVEN
    assert accounts.signed() != waiting
    assert accounts.seen_by(other) == []
    assert accounts.events_of(other) == before
    assert accounts.shield(other) == Raised(raised.shield_id, ())


def test_a_wish_hides_and_silences_and_waives_nothing(accounts: Accounts) -> None:
    """Nobody does away with a co-holder's say alone."""
    other = accounts.office.newcomer()
    accounts.share(other)
    waiting = accounts.signed()
    before = accounts.events_of(other)
    raised = accounts.wish(other)
    later = accounts.signed()
    for grant_id in (waiting, later):
        assert accounts.state(grant_id)[0] == ConsentState.PARTIALLY_SIGNED
        with pytest.raises(NotFoundError):
            accounts.approve(grant_id, other)
    assert raised.ready == ()
    assert accounts.seen_by(other) == []
    assert accounts.events_of(other) == before
    accounts.lift(raised.shield_id, accounts.own)
    assert {view.grant_id for view in accounts.seen_by(other)} == {waiting, later}
    assert accounts.approve(later, other) is Outcome.GIVEN


def test_the_staff_confirms_what_was_wished_once(accounts: Accounts) -> None:
    other = accounts.office.newcomer()
    accounts.share(other)
    waiting = accounts.signed()
    wished = accounts.wish(other)
    assert accounts.shield(other, reason=ShieldReason.OWN_WISH) == wished  # a wish that the staff typed in
    confirmed = accounts.shield(other)
    assert (confirmed.shield_id, confirmed.ready) == (wished.shield_id, (waiting,))
    assert accounts.state(waiting)[0] == ConsentState.GIVEN
    assert accounts.wish(other) == Raised(wished.shield_id, ())
    with accounts.office.installation.data.read() as session:
        (view,) = shields(session, accounts.office.keyring, accounts.own)
        row = session.get_one(Shield, view.shield_id)
    assert (view.reason, view.is_confirmed) == (ShieldReason.VIOLENCE, True)
    assert b"violence" not in row.reason_sealed


def test_a_shield_stands_although_a_consent_cannot_be_given(accounts: Accounts) -> None:
    office = accounts.office
    other = office.newcomer()
    accounts.share(other)
    waiting = accounts.signed()
    with office.work() as work:
        suspend(work.session, RECIPIENT)
    with pytest.raises(UnknownOrganisationError):
        accounts.shield(other)
    assert accounts.seen_by(other) == []
    for _ in range(2):
        with office.work() as work:
            leave_waiting(work, office.keyring, waiting, "UnknownOrganisationError", office.clock())
    assert accounts.state(waiting)[0] == ConsentState.PARTIALLY_SIGNED
    timeline = office.timeline(waiting)
    assert timeline[-1].detail["not_given"] == "UnknownOrganisationError"
    with office.work() as work:
        reinstate(work.session, RECIPIENT)
    assert accounts.shield(other).ready == (waiting,)
    assert accounts.state(waiting)[0] == ConsentState.GIVEN
    assert accounts.complete(waiting) is Outcome.OVER
    with office.work() as work:
        leave_waiting(work, office.keyring, waiting, "late", office.clock())
    assert accounts.state(waiting)[0] == ConsentState.GIVEN


def test_what_was_approved_before_is_as_unknown_as_well(accounts: Accounts) -> None:
    other = accounts.office.newcomer()
    accounts.share(other)
    grant_id = accounts.signed()
    accounts.approve(grant_id, other)
    accounts.shield(other)
    assert accounts.seen_by(other) == []
    for decide in (accounts.approve, accounts.refuse, accounts.withdraw):
        with pytest.raises(NotFoundError):
            decide(grant_id, other)
    assert accounts.state(grant_id)[0] == ConsentState.GIVEN


def test_a_third_holder_is_still_asked(sqlite_accounts: Accounts) -> None:
    other, third = sqlite_accounts.office.newcomer(), sqlite_accounts.office.newcomer()
    sqlite_accounts.share(other, third)
    grant_id = sqlite_accounts.signed()
    sqlite_accounts.shield(other)
    assert sqlite_accounts.state(grant_id)[0] == ConsentState.PARTIALLY_SIGNED
    assert sqlite_accounts.approve(grant_id, third) is Outcome.GIVEN


def test_a_shield_works_one_way(sqlite_accounts: Accounts) -> None:
    """The shielded person is asked about the other's consents as ever."""
    office = sqlite_accounts.office
    other = office.newcomer()
    sqlite_accounts.share(other)
    sqlite_accounts.shield(sqlite_accounts.own, own=other)
    sqlite_accounts.signed()
    assert len(sqlite_accounts.seen_by(other)) == 1


def test_a_shield_is_lifted_by_its_person_or_the_staff(sqlite_accounts: Accounts) -> None:
    office = sqlite_accounts.office
    other = office.newcomer()
    sqlite_accounts.share(other)
    shield_id = sqlite_accounts.shield(other).shield_id
    for foreign in (other, office.newcomer()):
        with pytest.raises(NotFoundError):
            sqlite_accounts.lift(shield_id, foreign)
    with pytest.raises(NotFoundError):
        sqlite_accounts.lift(random_id(), None)
    with office.installation.data.read() as session:
        assert [view.other_id for view in shields(session, office.keyring)] == [other]
        assert shields(session, office.keyring, other) == []
    sqlite_accounts.lift(shield_id, sqlite_accounts.own)
    sqlite_accounts.lift(shield_id, None)
    sqlite_accounts.signed()
    assert len(sqlite_accounts.seen_by(other)) == 1


def test_shields_against_oneself_or_nobody(sqlite_accounts: Accounts) -> None:
    with pytest.raises(WrongStateError):
        sqlite_accounts.shield(sqlite_accounts.own)
    with pytest.raises(NotFoundError):
        sqlite_accounts.shield("nobody")


def test_a_shield_and_an_approval_at_the_same_moment(postgresql_office: Office) -> None:
    """Whichever comes first: the consent is given once, and nothing is left that waits for nobody."""
    accounts = Accounts(postgresql_office)
    other = postgresql_office.newcomer()
    accounts.share(other)
    grant_id = accounts.signed()
    at_once(lambda: accounts.approve(grant_id, other), lambda: accounts.shield(other))
    assert accounts.state(grant_id)[0] == ConsentState.GIVEN
    with postgresql_office.installation.data.read() as session:
        assert session.get_one(Consent, grant_id).given_at is not None
