"""Deals: what cannot be done first, then everybody signing, one leaving, and the end of time."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

import pytest
from sqlmodel import delete

from broker.installation import Installation
from consent import deals, lifecycle
from consent.deal_holding import deal_id_of, hold_of
from consent.deal_opening import MATTER_LENGTH, Opened, find_invited
from consent.errors import (
    DealInvalidError,
    InvitationInvalidError,
    NotFoundError,
    WrongStateError,
)
from consent.granting import APPROVED
from consent.models import ConsentParty
from consent.organisations import suspend
from consent.purposes import Purposes
from consent.states import replay
from consent.vocabulary import ConsentState, DealState, EventType, StateReason
from tests.consent.notary import BANK, LEASE_ROLES, LONGEST, SERVICE, Notary, open_notary, revised, without
from tests.consent.office import at_once
from tests.installation import Clock

S: Final = ConsentState
SALE: Final = {"seller": SERVICE, "buyer": SERVICE, "mortgage": BANK}


@pytest.fixture
def notary(installation: Installation, clock: Clock) -> Notary:
    return open_notary(installation, clock)


@pytest.fixture
def sqlite_notary(sqlite_installation: Installation, clock: Clock) -> Notary:
    return open_notary(sqlite_installation, clock)


def all_joined(notary: Notary, opened: Opened) -> dict[str, str]:
    return {role: notary.join(opened, role).grant_id for role in opened.invitations}


# Opening


def test_a_deal_that_cannot_be_is_refused_with_every_fault(sqlite_notary: Notary) -> None:
    roles = {"tenant": SERVICE, "agent": SERVICE, "witness": SERVICE}
    too_late = sqlite_notary.clock() + LONGEST + timedelta(seconds=1)
    with pytest.raises(DealInvalidError) as caught:
        sqlite_notary.open(roles=roles, matter="한 줄\n두 줄", deadline=too_late)
    assert [path for path, _ in caught.value.faults] == [
        "members.witness",
        "members.landlord",
        "deadline",
        "matter",
    ]


@pytest.mark.parametrize("matter", ["", "   ", "x" * (MATTER_LENGTH + 1)])
def test_a_matter_is_one_line_that_says_something(sqlite_notary: Notary, matter: str) -> None:
    with pytest.raises(DealInvalidError, match="matter"):
        sqlite_notary.open(matter=matter)


def test_a_deadline_lies_ahead(sqlite_notary: Notary) -> None:
    with pytest.raises(DealInvalidError, match="deadline"):
        sqlite_notary.open(deadline=sqlite_notary.clock())


def test_a_kind_that_nobody_declares_is_refused(sqlite_notary: Notary) -> None:
    with pytest.raises(DealInvalidError, match="kind: unknown"):
        sqlite_notary.open("marriage")


def test_an_opened_deal_is_in_the_log_and_tells_its_invitations_once(notary: Notary) -> None:
    opened = notary.open()
    assert set(opened.invitations) == set(LEASE_ROLES)
    assert len(set(opened.invitations.values())) == len(LEASE_ROLES)
    assert all(secret not in repr(opened) for secret in opened.invitations.values())
    deal = notary.deal(opened.deal_id)
    (event,) = notary.events(deal.handle)
    assert (event.type, event.recipient, event.facts) == (
        "deal.opened",
        "zipsign",
        {"kind": "lease", "members": 3},
    )
    assert "바람길".encode() not in deal.matter_sealed


# Invitations


def test_an_invitation_opens_its_own_role_for_its_own_client_only(sqlite_notary: Notary) -> None:
    opened = sqlite_notary.open()
    secret = opened.invitations["tenant"]
    for client_id, purpose, raw in (
        (SERVICE.client_id, "realestate.lease_tenant", "mdi_unknown"),
        (BANK.client_id, "realestate.lease_tenant", secret),
        (SERVICE.client_id, "realestate.lease_agent", secret),
    ):
        with sqlite_notary.installation.data.read() as session, pytest.raises(InvitationInvalidError):
            find_invited(session, raw, client_id, purpose, sqlite_notary.clock())
    assert sqlite_notary.invited(opened, "tenant") == sqlite_notary.member(opened.deal_id, "tenant").member_id


def test_a_used_invitation_and_one_of_an_ended_deal_open_nothing(sqlite_notary: Notary) -> None:
    opened = sqlite_notary.open()
    sqlite_notary.sign(sqlite_notary.join(opened, "tenant").grant_id)
    with pytest.raises(InvitationInvalidError, match="was used"):
        sqlite_notary.invited(opened, "tenant")
    sqlite_notary.clock.advance(timedelta(days=3))
    with pytest.raises(InvitationInvalidError, match="has ended"):
        sqlite_notary.invited(opened, "agent")


# Coming to a role


@pytest.mark.parametrize(
    ("first", "second"), [("tenant", "landlord"), ("landlord", "tenant"), ("agent", "tenant")]
)
def test_nobody_has_two_roles_that_exclude_each_other_and_the_try_is_on_record(
    notary: Notary, first: str, second: str
) -> None:
    opened = notary.open()
    notary.join(opened, first)
    joined = notary.join(opened, second, notary.people[first])
    assert joined.is_refused
    consent = notary.consent(joined.grant_id)
    assert (consent.state, consent.state_reason) == (S.REFUSED, StateReason.DEAL_ROLE)
    assert [event.type for event in notary.events(consent.handle)] == [
        EventType.CONSENT_REQUESTED,
        EventType.CONSENT_REFUSED,
    ]
    assert notary.member(opened.deal_id, second).grant_id is None
    assert notary.deal(opened.deal_id).state == DealState.OPEN


def test_somebody_else_s_role_is_refused_and_takes_nothing_away(notary: Notary) -> None:
    opened = notary.open()
    own = notary.join(opened, "tenant").grant_id
    assert notary.join(opened, "tenant", notary.people["buyer"]).is_refused
    assert notary.member(opened.deal_id, "tenant").grant_id == own
    assert notary.consent(own).state == S.REQUESTED


def test_who_left_the_request_unanswered_may_come_again_and_so_may_the_right_person(notary: Notary) -> None:
    opened = notary.open()
    first = notary.join(opened, "tenant", notary.people["buyer"]).grant_id
    again = notary.join(opened, "tenant", notary.people["buyer"]).grant_id
    assert notary.states(first, again) == [S.EXPIRED, S.REQUESTED]
    notary.expire(again)  # nobody answered within the hour
    right = notary.join(opened, "tenant")
    assert not right.is_refused
    assert notary.member(opened.deal_id, "tenant").subject_id == notary.people["tenant"]
    assert not notary.close(opened.deal_id)  # a request that lapsed ends nothing
    with pytest.raises(WrongStateError):
        notary.sign(again)  # it is not the deal's any more
    assert notary.sign(right.grant_id).state is DealState.OPEN


def test_who_has_signed_cannot_come_again(sqlite_notary: Notary) -> None:
    opened = sqlite_notary.open()
    sqlite_notary.sign(sqlite_notary.join(opened, "tenant").grant_id)
    with pytest.raises(WrongStateError):
        sqlite_notary.join(opened, "tenant")


def test_the_loan_against_a_sale_is_for_its_buyer(notary: Notary) -> None:
    opened = notary.open("sale", SALE)
    assert notary.join(opened, "buyer", notary.people["seller"]).is_refused is False
    assert notary.join(opened, "mortgage").is_refused
    other = notary.open("sale", SALE)
    notary.join(other, "mortgage")
    assert notary.join(other, "buyer", notary.people["tenant"]).is_refused
    assert not notary.join(other, "buyer").is_refused


# All or nothing


def test_nothing_is_given_before_the_last_has_signed_and_then_everything_at_once(notary: Notary) -> None:
    opened = notary.open()
    grants = all_joined(notary, opened)
    *first, last = grants
    for role in first:
        signed = notary.sign(grants[role])
        assert (signed.state, signed.given.receipt_jws) == (DealState.OPEN, None)
        assert notary.consent(grants[role]).state == S.PARTIALLY_SIGNED
        assert notary.consent(grants[role]).given_at is None
    signed = notary.sign(grants[last])
    assert signed.state is DealState.COMPLETE
    assert signed.given.grant_id == grants[last]
    assert signed.given.receipt_jws is not None
    assert set(notary.states(*grants.values())) == {S.GIVEN}
    deal = notary.deal(opened.deal_id)
    assert [event.type for event in notary.events(deal.handle)] == ["deal.opened", "deal.completed"]
    for grant_id in grants.values():
        consent = notary.consent(grant_id)
        types = [event.type for event in notary.events(consent.handle)]
        assert types == ["consent.requested", "deal.joined", "consent.signed", "consent.given"]
        assert replay(types) == S.GIVEN
        joined = notary.events(consent.handle)[1]
        assert joined.facts["deal"] == deal.handle


def test_a_sale_and_the_loan_against_it_are_given_together_to_two_recipients(notary: Notary) -> None:
    opened = notary.open("sale", SALE)
    grants = all_joined(notary, opened)
    assert [notary.sign(grant_id).state for grant_id in grants.values()][-1] is DealState.COMPLETE
    assert {notary.consent(grant_id).recipient_id for grant_id in grants.values()} == {"zipsign", "nuri-bank"}


def test_after_that_each_consent_lives_on_its_own(notary: Notary) -> None:
    opened = notary.open()
    grants = all_joined(notary, opened)
    for grant_id in grants.values():
        notary.sign(grant_id)
    notary.withdraw(grants["tenant"])
    assert notary.states(*(grants[role] for role in LEASE_ROLES)) == [S.GIVEN, S.GIVEN, S.WITHDRAWN]
    assert notary.deal(opened.deal_id).state == DealState.COMPLETE
    assert not notary.close(opened.deal_id)
    with pytest.raises(WrongStateError):
        notary.cancel(opened.deal_id)


@pytest.mark.parametrize("leaves", ["refuse", "withdraw"])
def test_one_who_leaves_ends_it_for_everybody(notary: Notary, leaves: str) -> None:
    opened = notary.open()
    tenant = notary.join(opened, "tenant").grant_id
    landlord = notary.join(opened, "landlord").grant_id
    notary.sign(tenant)
    if leaves == "withdraw":
        notary.sign(landlord)
    getattr(notary, leaves)(landlord)
    assert notary.states(tenant, landlord) == [S.REFUSED, S.WITHDRAWN if leaves == "withdraw" else S.REFUSED]
    assert notary.consent(tenant).state_reason == StateReason.DEAL_REFUSED
    assert notary.consent(landlord).state_reason is None
    deal = notary.deal(opened.deal_id)
    assert (deal.state, deal.ended_at) == (DealState.REFUSED, notary.clock())
    assert notary.events(deal.handle)[-1].facts == {"kind": "lease", "reason": "deal_refused"}
    for step in (partial(notary.join, opened, "agent"), partial(notary.sign, tenant)):
        with pytest.raises(WrongStateError):
            step()


def test_only_one_s_own_can_be_refused(sqlite_notary: Notary) -> None:
    opened = sqlite_notary.open()
    grant_id = sqlite_notary.join(opened, "tenant").grant_id
    now, keyring = sqlite_notary.clock(), sqlite_notary.installation.keyring
    for unknown in (grant_id, "no-such-grant"):
        with sqlite_notary.work() as work, pytest.raises(NotFoundError):
            deals.refuse(work, keyring, unknown, sqlite_notary.people["agent"], now)
    assert sqlite_notary.states(grant_id) == [S.REQUESTED]


def test_the_opener_and_nobody_else_calls_it_off_once(notary: Notary) -> None:
    opened = notary.open()
    tenant = notary.join(opened, "tenant").grant_id
    for deal_id, client_id in ((opened.deal_id, BANK.client_id), ("unknown", SERVICE.client_id)):
        with pytest.raises(NotFoundError):
            notary.cancel(deal_id, client_id)
    notary.cancel(opened.deal_id)
    notary.cancel(opened.deal_id)
    assert notary.consent(tenant).state_reason == StateReason.DEAL_CANCELLED
    assert len(notary.events(notary.deal(opened.deal_id).handle)) == 2


# Time and texts


def test_the_deadline_ends_it_for_everybody_from_its_very_instant(notary: Notary) -> None:
    opened = notary.open()
    tenant, landlord = (notary.join(opened, role).grant_id for role in ("tenant", "landlord"))
    notary.sign(tenant)
    notary.clock.advance(timedelta(days=3) - timedelta(seconds=1))
    assert not notary.close(opened.deal_id)
    assert notary.doubtful() == []
    notary.clock.advance(timedelta(seconds=1))
    with pytest.raises(WrongStateError):
        notary.sign(landlord)
    assert notary.settle(tenant) == DealState.OPEN  # nothing is completed any more
    assert notary.doubtful() == [opened.deal_id]
    assert notary.close(opened.deal_id)
    assert not notary.close(opened.deal_id)
    assert notary.states(tenant, landlord) == [S.EXPIRED, S.EXPIRED]
    assert notary.consent(tenant).state_reason == StateReason.DEAL_EXPIRED
    assert notary.events(notary.deal(opened.deal_id).handle)[-1].type == "deal.expired"


def test_a_window_that_is_over_ends_the_deal_when_the_last_one_signs(notary: Notary) -> None:
    opened = notary.open()
    short = notary.join(opened, "tenant", hours=1).grant_id
    others = [notary.join(opened, role).grant_id for role in ("agent", "landlord")]
    notary.sign(short)
    notary.sign(others[0])
    notary.clock.advance(timedelta(hours=1))
    assert notary.doubtful() == [opened.deal_id]
    assert notary.sign(others[1]).state is DealState.EXPIRED
    assert set(notary.states(short, *others)) == {S.EXPIRED}


def test_the_job_s_end_of_one_window_ends_the_others(notary: Notary) -> None:
    opened = notary.open()
    short, other = notary.join(opened, "tenant", hours=1).grant_id, notary.join(opened, "agent").grant_id
    notary.sign(short)
    notary.sign(other)
    notary.clock.advance(timedelta(hours=1))
    notary.expire(short)
    assert opened.deal_id in notary.duties("close_deal")
    with pytest.raises(WrongStateError):
        notary.join(opened, "landlord")  # one has fallen: nobody may be led into it any more
    assert notary.close(opened.deal_id)
    assert notary.states(short, other) == [S.EXPIRED, S.EXPIRED]


def test_an_end_that_came_from_elsewhere_reaches_the_others_by_a_duty(notary: Notary) -> None:
    opened = notary.open()
    tenant, agent = (notary.join(opened, role).grant_id for role in ("tenant", "agent"))
    notary.sign(tenant)
    with notary.work() as work:  # the process dies before the others are ended
        keyring, now = notary.installation.keyring, notary.clock()
        lifecycle.withdraw(work, keyring, tenant, notary.people["tenant"], now)
    assert notary.duties("close_deal") == [opened.deal_id]
    assert notary.settle(agent) == DealState.OPEN
    assert notary.close(opened.deal_id)
    assert notary.consent(agent).state_reason == StateReason.DEAL_REFUSED


@pytest.mark.parametrize("change", [revised, without])
def test_a_text_that_changed_ends_the_deal(
    notary: Notary, change: Callable[[Purposes, str], Purposes]
) -> None:
    opened = notary.open()
    grants = all_joined(notary, opened)
    purposes = change(notary.purposes, "realestate.lease_tenant")
    assert notary.doubtful(purposes) == []  # nobody has signed it yet
    notary.sign(grants["tenant"])
    assert notary.doubtful(purposes) == [opened.deal_id]
    assert notary.close(opened.deal_id, purposes)
    assert notary.deal(opened.deal_id).state_reason == StateReason.DEAL_TEXT_CHANGED
    assert set(notary.states(*grants.values())) == {S.REFUSED}


def test_the_last_signature_under_an_older_text_of_another_gives_nothing(notary: Notary) -> None:
    opened = notary.open()
    grants = all_joined(notary, opened)
    notary.sign(grants["tenant"])
    notary.sign(grants["agent"])
    later = Notary(
        replace(notary.installation, purposes=revised(notary.purposes, "realestate.lease_tenant")),
        notary.clock,
        notary.people,
    )
    assert later.sign(grants["landlord"]).state is DealState.REFUSED
    assert set(notary.states(*grants.values())) == {S.REFUSED}


def test_a_suspended_recipient_ends_the_deal_at_the_last_signature(notary: Notary) -> None:
    opened = notary.open()
    grants = all_joined(notary, opened)
    for role in ("agent", "landlord"):
        notary.sign(grants[role])
    with notary.work() as work:
        suspend(work.session, "zipsign")
    assert notary.sign(grants["tenant"]).state is DealState.REFUSED
    assert set(notary.states(*grants.values())) == {S.REFUSED}
    assert notary.deal(opened.deal_id).state_reason == StateReason.DEAL_IMPOSSIBLE


def test_a_co_holder_of_one_member_is_waited_for(notary: Notary) -> None:
    opened = notary.open()
    grants = all_joined(notary, opened)
    with notary.work() as work:
        work.session.add(
            ConsentParty(grant_id=grants["tenant"], subject_id=notary.people["buyer"], kind="co_holder")
        )
    for grant_id in grants.values():
        assert notary.sign(grant_id).state is DealState.OPEN
    assert notary.settle(grants["tenant"]) == DealState.OPEN
    with notary.work() as work:
        party = work.session.get_one(ConsentParty, (grants["tenant"], notary.people["buyer"]))
        party.decision = APPROVED
    assert notary.settle(grants["tenant"]) == DealState.COMPLETE
    assert set(notary.states(*grants.values())) == {S.GIVEN}


def test_whoever_may_complete_a_deal_holds_it_first_and_waits_for_nobody_who_waits(notary: Notary) -> None:
    opened = notary.open()
    grants = all_joined(notary, opened)
    notary.sign(grants["tenant"])

    def approve_like() -> None:
        with notary.work() as work:
            assert deal_id_of(work.session, "alone") is None
            hold_of(work, grants["agent"])
            lifecycle.lock(work, grants["tenant"])

    outcomes = at_once(approve_like, partial(notary.sign, grants["landlord"]), approve_like)
    assert outcomes == ["done"] * 3


def test_a_consent_of_no_deal_is_not_signed_as_one(sqlite_notary: Notary) -> None:
    opened = sqlite_notary.open()
    grant_id = sqlite_notary.join(opened, "tenant").grant_id
    with sqlite_notary.work() as work:
        work.session.exec(delete(ConsentParty))
        lifecycle.lock(work, grant_id).deal_id = None
    with pytest.raises(NotFoundError):
        sqlite_notary.sign(grant_id)
