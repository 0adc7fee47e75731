"""Accounts of several people, and shields (feature rows 16 and 40; invariant 18; CDR rule 4A.15)."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlmodel import col, select

from broker.installation import Installation
from consent import coholding
from consent.approvals import (
    ApprovalView,
    Outcome,
    approvals_of,
    approve,
    ask,
    complete_freed,
    refuse,
    withdraw,
)
from consent.errors import CoHolderNeededError, NotFoundError, UnknownOrganisationError, WrongStateError
from consent.evidence import open_detail
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import CoHolding, ConsentParty
from consent.people_vocabulary import ShieldReason
from consent.purposes import Purposes
from consent.shields import Raised, lift_shield, raise_shield
from consent.staff import Staff
from consent.vocabulary import ConsentState, EventType, StateReason
from tests.consent.changes import narrow_down, renew, revised
from tests.consent.details import BILL, HOSPITAL, POLICY, REGISTER
from tests.consent.notary import LEASE_ROLES, open_notary
from tests.consent.office import Office, at_once
from tests.installation import Clock
from vault.schema import random_id

STAFF = Staff("jimin", "ticket 12")


class Accounts:
    """Steps of people who hold an account together, each a transaction of its own."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.own = office.subject_id

    def share(self, *others: str) -> str:
        with self.office.work() as work:
            return coholding.add_account(
                work,
                self.office.keyring,
                REGISTER,
                POLICY,
                [self.own, *others],
                staff=STAFF,
                now=self.office.clock(),
            )

    def ask(self, grant_id: str, record_types: Sequence[str] = (BILL, POLICY)) -> list[str]:
        with self.office.work() as work:
            return ask(
                work,
                self.office.keyring,
                grant_id,
                self.own,
                holders=[HOSPITAL, REGISTER],
                record_types=record_types,
                now=self.office.clock(),
            )

    def signed(self) -> str:
        """A consent that the person has signed."""
        grant_id = self.office.request()
        self.ask(grant_id)
        self.office.give(grant_id)
        return grant_id

    def approve(self, grant_id: str, who: str, purposes: Purposes | None = None) -> Outcome:
        with self.office.work() as work:
            return approve(
                work,
                self.office.keyring,
                grant_id,
                who,
                purposes=purposes or self.office.installation.purposes,
                sign_receipt=self.office.sign_receipt,
                now=self.office.clock(),
            )

    def refuse(self, grant_id: str, who: str) -> None:
        with self.office.work() as work:
            refuse(work, self.office.keyring, grant_id, who, self.office.clock())

    def withdraw(self, grant_id: str, who: str) -> None:
        with self.office.work() as work:
            withdraw(work, self.office.keyring, grant_id, who, self.office.clock())

    def seen_by(self, who: str) -> list[ApprovalView]:
        with self.office.installation.data.read() as session:
            return approvals_of(session, self.office.keyring, who, self.office.clock())

    def shield(
        self,
        other: str,
        *,
        own: str | None = None,
        staff: Staff | None = STAFF,
        reason: ShieldReason = ShieldReason.VIOLENCE,
    ) -> Raised:
        """Raise it, and give what waits for nobody else then, each in a transaction of its own."""
        keyring, now = self.office.keyring, self.office.clock()
        with self.office.work() as work:
            raised = raise_shield(work, keyring, own or self.own, other, reason=reason, staff=staff, now=now)
        for grant_id in raised.ready:
            self.complete(grant_id)
        return raised

    def wish(self, other: str) -> Raised:
        return self.shield(other, staff=None, reason=ShieldReason.OWN_WISH)

    def complete(self, grant_id: str) -> Outcome:
        with self.office.work() as work:
            return complete_freed(
                work,
                self.office.keyring,
                grant_id,
                purposes=self.office.installation.purposes,
                sign_receipt=self.office.sign_receipt,
                now=self.office.clock(),
            )

    def lift(self, shield_id: str, subject_id: str | None) -> None:
        with self.office.work() as work:
            lift_shield(
                work,
                self.office.keyring,
                shield_id,
                subject_id=subject_id,
                staff=STAFF,
                now=self.office.clock(),
            )

    def state(self, grant_id: str) -> tuple[str, str | None]:
        consent = self.office.consent(grant_id)
        return consent.state, consent.state_reason

    def events_of(self, who: str) -> list[str]:
        """What is on a person's own record as a holder of accounts."""
        with self.office.installation.data.read() as session:
            handles = set(session.exec(select(CoHolding.handle).where(CoHolding.subject_id == who)))
            rows = session.exec(select(LedgerEntry).order_by(col(LedgerEntry.idx))).all()
        found = []
        for row in rows:
            event = Event.from_leaf(row.leaf)
            if event.handle in handles:
                open_detail(
                    self.office.keyring.audit_key(who),
                    handle=event.handle,
                    commitment=event.commitment,
                    detail_sealed=row.detail_sealed,
                )
                found.append(event.type)
        return found


@pytest.fixture
def accounts(office: Office) -> Accounts:
    return Accounts(office)


@pytest.fixture
def sqlite_accounts(sqlite_office: Office) -> Accounts:
    return Accounts(sqlite_office)


# Who must be asked


def test_a_shared_account_is_never_opened_without_the_others(accounts: Accounts) -> None:
    """Whatever forgot to ask: the last step refuses."""
    accounts.share(accounts.office.newcomer())
    grant_id = accounts.office.request()
    with pytest.raises(CoHolderNeededError):
        accounts.office.give(grant_id)
    assert accounts.office.shares(grant_id) == set()
    accounts.office.give(grant_id, [BILL])  # without the account, nobody else is concerned


def test_who_is_not_concerned_is_not_asked(sqlite_accounts: Accounts) -> None:
    office = sqlite_accounts.office
    other, stranger = office.newcomer(), office.newcomer()
    sqlite_accounts.share(other)
    grant_id = office.request(co_holders=[stranger])
    assert sqlite_accounts.ask(grant_id) == [other]
    assert sqlite_accounts.ask(grant_id) == [other]  # the form a second time
    assert sqlite_accounts.ask(grant_id, [BILL]) == []
    with office.installation.data.read() as session:
        assert session.exec(select(ConsentParty)).all() == []
    with pytest.raises(NotFoundError), office.work() as work:
        ask(work, office.keyring, grant_id, other, holders=[], record_types=[], now=office.clock())


def test_an_account_needs_two_people_of_ours_and_a_holder(sqlite_accounts: Accounts) -> None:
    office = sqlite_accounts.office
    with pytest.raises(WrongStateError):
        sqlite_accounts.share(sqlite_accounts.own)
    with pytest.raises(NotFoundError):
        sqlite_accounts.share("nobody")
    with pytest.raises(UnknownOrganisationError), office.work() as work:
        coholding.add_account(
            work,
            office.keyring,
            "nowhere",
            POLICY,
            ["a", "b"],
            staff=STAFF,
            now=office.clock(),
        )


def test_an_account_that_is_shared_no_more_asks_nobody(sqlite_accounts: Accounts) -> None:
    office = sqlite_accounts.office
    other = office.newcomer()
    account_id = sqlite_accounts.share(other)
    with office.installation.data.read() as session:
        assert [one.account_id for one in coholding.accounts(session, other)] == [account_id]
        assert coholding.accounts(session, office.newcomer()) == []
    for _ in range(2):
        with office.work() as work:
            coholding.remove_account(work, office.keyring, account_id, staff=STAFF, now=office.clock())
    with pytest.raises(NotFoundError), office.work() as work:
        coholding.remove_account(work, office.keyring, "nothing", staff=STAFF, now=office.clock())
    office.agree()
    assert sqlite_accounts.events_of(other) == [EventType.COHOLDING_ADDED, EventType.COHOLDING_REMOVED]


# Deciding


def test_the_last_yes_gives_it_and_no_earlier_one(accounts: Accounts) -> None:
    one, two = accounts.office.newcomer(), accounts.office.newcomer()
    accounts.share(one, two)
    grant_id = accounts.signed()
    assert accounts.state(grant_id)[0] == ConsentState.PARTIALLY_SIGNED
    assert accounts.approve(grant_id, one) is Outcome.WAITING
    assert accounts.approve(grant_id, one) is Outcome.WAITING
    assert accounts.office.shares(grant_id) == set()
    assert accounts.approve(grant_id, two) is Outcome.GIVEN
    assert accounts.approve(grant_id, two) is Outcome.GIVEN
    assert accounts.state(grant_id)[0] == ConsentState.GIVEN
    assert accounts.events_of(one)[1:] == [EventType.APPROVAL_REQUESTED, EventType.APPROVAL_GIVEN]


def test_two_last_ones_at_the_same_moment(postgresql_office: Office) -> None:
    accounts = Accounts(postgresql_office)
    one, two = postgresql_office.newcomer(), postgresql_office.newcomer()
    accounts.share(one, two)
    grant_id = accounts.signed()
    outcomes: list[Outcome] = []
    at_once(
        lambda: outcomes.append(accounts.approve(grant_id, one)),
        lambda: outcomes.append(accounts.approve(grant_id, two)),
    )
    assert sorted(outcomes) == [Outcome.GIVEN, Outcome.WAITING]
    assert postgresql_office.event_types(grant_id).count(EventType.CONSENT_GIVEN) == 1


def test_one_no_refuses_it_for_all(accounts: Accounts) -> None:
    one, two = accounts.office.newcomer(), accounts.office.newcomer()
    accounts.share(one, two)
    grant_id = accounts.signed()
    for _ in range(2):
        accounts.refuse(grant_id, one)
    assert accounts.state(grant_id) == (ConsentState.REFUSED, StateReason.CO_HOLDER)
    for decide in (accounts.approve, accounts.refuse, accounts.withdraw):
        with pytest.raises(WrongStateError):
            decide(grant_id, two)
    with pytest.raises(WrongStateError):
        accounts.approve(grant_id, one)


def test_each_of_them_can_stop_it_for_all(accounts: Accounts) -> None:
    other = accounts.office.newcomer()
    accounts.share(other)
    grant_id = accounts.signed()
    with pytest.raises(WrongStateError):
        accounts.withdraw(grant_id, other)
    accounts.approve(grant_id, other)
    (view,) = accounts.seen_by(other)
    assert view.can_be_stopped
    with pytest.raises(WrongStateError):
        accounts.refuse(grant_id, other)
    for _ in range(2):
        accounts.withdraw(grant_id, other)
    assert accounts.state(grant_id) == (ConsentState.WITHDRAWN, StateReason.CO_HOLDER)
    assert accounts.office.shares(grant_id) == set()
    assert accounts.events_of(other)[-1] == EventType.APPROVAL_WITHDRAWN


def test_a_text_that_changed_meanwhile_ends_it(sqlite_accounts: Accounts) -> None:
    other = sqlite_accounts.office.newcomer()
    sqlite_accounts.share(other)
    grant_id = sqlite_accounts.signed()
    purpose = sqlite_accounts.office.purpose
    purposes = Purposes({purpose.code: revised(purpose)})
    assert sqlite_accounts.approve(grant_id, other, purposes) is Outcome.OVER
    assert sqlite_accounts.state(grant_id) == (ConsentState.EXPIRED, StateReason.RECONSENT)


def test_what_nobody_signed_in_time_is_over(sqlite_accounts: Accounts) -> None:
    other = sqlite_accounts.office.newcomer()
    sqlite_accounts.share(other)
    grant_id = sqlite_accounts.signed()
    sqlite_accounts.office.clock.now = sqlite_accounts.office.consent(grant_id).valid_until
    with pytest.raises(WrongStateError):
        sqlite_accounts.approve(grant_id, other)


def test_a_deal_waits_for_the_co_holder_of_one_member(
    sqlite_installation: Installation,
    clock: Clock,
) -> None:
    notary = open_notary(sqlite_installation, clock)
    opened = notary.open()
    grants = {role: notary.join(opened, role).grant_id for role in LEASE_ROLES}
    tenant, spouse, third = notary.people["tenant"], notary.people["buyer"], notary.people["seller"]
    keyring, now = sqlite_installation.keyring, clock()
    record_type = "person.identity"
    with notary.work() as work:
        coholding.add_account(
            work,
            keyring,
            "city-hall",
            record_type,
            [tenant, spouse, third],
            staff=STAFF,
            now=now,
        )
        ask(
            work,
            keyring,
            grants["tenant"],
            tenant,
            holders=["city-hall"],
            record_types=[record_type],
            now=now,
        )
    for grant_id in grants.values():
        notary.sign(grant_id)
    outcomes = []
    with notary.work() as work:
        raised = raise_shield(work, keyring, tenant, third, reason=ShieldReason.ABUSE, staff=STAFF, now=now)
    assert raised.ready == ()  # the spouse is still waited for
    for who in (spouse, spouse):
        with notary.work() as work:
            outcomes.append(
                approve(
                    work,
                    keyring,
                    grants["tenant"],
                    who,
                    purposes=notary.purposes,
                    sign_receipt=notary.sign_receipt,
                    now=now,
                ),
            )
    assert outcomes == [Outcome.GIVEN, Outcome.GIVEN]
    assert set(notary.states(*grants.values())) == {ConsentState.GIVEN}


def test_a_co_holders_yes_gives_nothing_before_the_deal_is_complete(
    sqlite_installation: Installation,
    clock: Clock,
) -> None:
    notary = open_notary(sqlite_installation, clock)
    grant_id = notary.join(notary.open(), "tenant").grant_id
    tenant, spouse = notary.people["tenant"], notary.people["buyer"]
    with notary.work() as work:
        work.session.add(ConsentParty(grant_id=grant_id, subject_id=spouse, kind="co_holder"))
    notary.sign(grant_id)
    with notary.work() as work:
        outcome = approve(
            work,
            sqlite_installation.keyring,
            grant_id,
            spouse,
            purposes=notary.purposes,
            sign_receipt=notary.sign_receipt,
            now=clock(),
        )
    assert outcome is Outcome.WAITING
    assert notary.states(grant_id) == [ConsentState.PARTIALLY_SIGNED]
    with notary.work() as work:
        raised = raise_shield(
            work,
            sqlite_installation.keyring,
            tenant,
            spouse,
            reason=ShieldReason.ABUSE,
            staff=STAFF,
            now=clock(),
        )
    assert raised.ready == (grant_id,)  # no co-holder is waited for; the deal is
    with notary.work() as work:
        outcome = complete_freed(
            work,
            sqlite_installation.keyring,
            grant_id,
            purposes=notary.purposes,
            sign_receipt=notary.sign_receipt,
            now=clock(),
        )
    assert outcome is Outcome.WAITING


# What a co-holder sees


def test_a_co_holder_sees_the_account_and_nothing_private(accounts: Accounts) -> None:
    other = accounts.office.newcomer()
    accounts.share(other)
    grant_id = accounts.office.request()
    accounts.ask(grant_id)
    assert accounts.seen_by(other) == []  # the person has not agreed yet, and may never
    with pytest.raises(NotFoundError):
        accounts.approve(grant_id, other)
    accounts.office.give(grant_id)
    (view,) = accounts.seen_by(other)
    assert view.is_waiting
    assert not view.can_be_stopped
    assert [(holder.organisation_id, record_type) for holder, record_type in view.accounts] == [
        (REGISTER, POLICY),
    ]
    assert BILL not in repr(view)
    assert HOSPITAL not in repr(view)


def test_strangers_are_as_unknown(sqlite_accounts: Accounts) -> None:
    other, stranger = sqlite_accounts.office.newcomer(), sqlite_accounts.office.newcomer()
    sqlite_accounts.share(other)
    grant_id = sqlite_accounts.signed()
    for decide in (sqlite_accounts.approve, sqlite_accounts.refuse, sqlite_accounts.withdraw):
        for grant, who in ((grant_id, stranger), (grant_id, sqlite_accounts.own), (random_id(), other)):
            with pytest.raises(NotFoundError):
                decide(grant, who)
    with sqlite_accounts.office.work() as work:
        work.session.add(ConsentParty(grant_id=grant_id, subject_id=stranger, kind="another"))
    with pytest.raises(NotFoundError):
        sqlite_accounts.approve(grant_id, stranger)


# What was given stays narrowable, and is not extended over the others' heads


def test_an_account_that_came_later_stops_renewing_and_not_narrowing(sqlite_accounts: Accounts) -> None:
    office = sqlite_accounts.office
    grant_id = office.agree().grant_id
    sqlite_accounts.share(office.newcomer())
    office.clock.advance(timedelta(days=20))
    with pytest.raises(CoHolderNeededError):
        renew(office, grant_id)
    narrow_down(office, grant_id)
    assert sqlite_accounts.state(grant_id)[0] == ConsentState.GIVEN
