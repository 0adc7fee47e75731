"""Invariant 19 as a state machine: whatever people do in whatever order, a deal is all or nothing."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from broker.installation import Installation
from consent.errors import WrongStateError
from consent.states import LIVING, OPEN, replay
from consent.vocabulary import ConsentState, DealState
from tests.consent.notary import LEASE_ROLES, SERVICE, Notary, open_notary
from tests.installation import Clock

ROLES = st.sampled_from(LEASE_ROLES)


class DealMachine(RuleBasedStateMachine):
    """One lease after the other in the same databases: each example opens its own."""

    notary: ClassVar[Notary]

    def __init__(self) -> None:
        super().__init__()
        self.opened = self.notary.open(deadline=self.notary.clock() + timedelta(days=3))
        self.seen: set[str] = set()

    @rule(role=ROLES)
    def join(self, role: str) -> None:
        with suppress(WrongStateError):
            self.seen.add(self.notary.join(self.opened, role).grant_id)

    @rule(role=ROLES, other=ROLES)
    def come_to_another_role(self, role: str, other: str) -> None:
        with suppress(WrongStateError):
            self.seen.add(self.notary.join(self.opened, role, self.notary.people[other]).grant_id)

    @rule(role=ROLES)
    def sign(self, role: str) -> None:
        self._with_grant(role, self.notary.sign)

    @rule(role=ROLES)
    def sign_all_but(self, role: str) -> None:
        for other in LEASE_ROLES:
            if other != role:
                self.join(other)
                self.sign(other)

    @rule(role=ROLES)
    def refuse(self, role: str) -> None:
        self._with_grant(role, self.notary.refuse)

    @rule(role=ROLES)
    def withdraw(self, role: str) -> None:
        self._with_grant(role, self.notary.withdraw)

    @rule(role=ROLES)
    def leave_unanswered(self, role: str) -> None:
        member = self.notary.member(self.opened.deal_id, role)
        if member.grant_id and self.notary.consent(member.grant_id).state == ConsentState.REQUESTED:
            self.notary.expire(member.grant_id)

    @rule(hours=st.sampled_from([1, 30, 80]))
    def wait(self, hours: int) -> None:
        self.notary.clock.advance(timedelta(hours=hours))

    @rule()
    def close(self) -> None:
        self.notary.close(self.opened.deal_id)

    @rule()
    def cancel(self) -> None:
        with suppress(WrongStateError):
            self.notary.cancel(self.opened.deal_id, SERVICE.client_id)

    @invariant()
    def all_or_nothing(self) -> None:
        deal = self.notary.deal(self.opened.deal_id)
        members = [self.notary.member(self.opened.deal_id, role) for role in LEASE_ROLES]
        consents = [self.notary.consent(one.grant_id) for one in members if one.grant_id is not None]
        given = {consent.given_at for consent in consents if consent.given_at is not None}
        if deal.state == DealState.COMPLETE:
            assert len(consents) == len(LEASE_ROLES)
            assert given == {deal.ended_at}
        else:
            assert given == set()
            assert all(consent.state not in LIVING for consent in consents)
        if deal.state in {DealState.REFUSED, DealState.EXPIRED}:
            assert all(consent.state not in OPEN for consent in consents)
        strays = self.seen - {member.grant_id for member in members}
        assert all(self.notary.consent(grant_id).given_at is None for grant_id in strays)

    @invariant()
    def nobody_has_two_roles(self) -> None:
        people = [
            member.subject_id
            for member in (self.notary.member(self.opened.deal_id, role) for role in LEASE_ROLES)
            if member.grant_id and self.notary.consent(member.grant_id).state in {*OPEN, *LIVING}
        ]
        assert len(set(people)) == len(people)

    @invariant()
    def histories_replay(self) -> None:
        for grant_id in self.seen:
            consent = self.notary.consent(grant_id)
            assert replay(event.type for event in self.notary.events(consent.handle)) == consent.state

    def _with_grant(self, role: str, step: Callable[[str], object]) -> None:
        grant_id = self.notary.member(self.opened.deal_id, role).grant_id
        if grant_id is not None:
            with suppress(WrongStateError):
                step(grant_id)


def run(installation: Installation, clock: Clock, *, examples: int, steps: int) -> None:
    made = open_notary(installation, clock)

    class Machine(DealMachine):
        notary = made

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_deal_is_all_or_nothing(installation: Installation, clock: Clock) -> None:
    run(installation, clock, examples=4, steps=12)


@pytest.mark.slow
def test_a_deal_is_all_or_nothing_for_long(installation: Installation, clock: Clock) -> None:
    run(installation, clock, examples=150, steps=50)
