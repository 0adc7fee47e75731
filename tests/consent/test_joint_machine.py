"""Invariant 18 as a state machine: a shared account is opened by all of its holders, and closed by any."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from consent.errors import ConsentError, NotFoundError
from consent.states import LIVING, OPEN, replay
from consent.vocabulary import ConsentState, StateReason
from tests.consent.details import BILL, HOSPITAL
from tests.consent.office import Office, at_once
from tests.consent.test_approvals import Accounts

OTHERS = st.sampled_from([0, 1])


class JointMachine(RuleBasedStateMachine):
    """One account of three people; each example is one consent of the first that opens it."""

    accounts: ClassVar[Accounts]
    others: ClassVar[list[str]]
    stranger: ClassVar[str]

    @initialize()
    def ask(self) -> None:
        self.grant_id = self.accounts.office.request()
        self.accounts.ask(self.grant_id)
        self.is_signed, self.is_stopped = False, False
        self.approved: set[str] = set()

    @rule()
    def sign(self) -> None:
        self.is_signed |= self._taken(partial(self.accounts.office.give, self.grant_id))

    @rule(number=OTHERS)
    def approve(self, number: int) -> None:
        who = self.others[number]
        if self._taken(partial(self.accounts.approve, self.grant_id, who)):
            self.approved.add(who)

    @rule()
    def approve_at_the_same_time(self) -> None:
        steps = [partial(self.accounts.approve, self.grant_id, who) for who in self.others]
        outcomes = zip(self.others, at_once(*steps), strict=True)
        self.approved |= {who for who, outcome in outcomes if outcome == "done"}

    @rule(number=OTHERS)
    def refuse(self, number: int) -> None:
        if self._taken(partial(self.accounts.refuse, self.grant_id, self.others[number])):
            assert self._state() == (ConsentState.REFUSED, StateReason.CO_HOLDER)

    @rule(number=OTHERS)
    def stop(self, number: int) -> None:
        if self._taken(partial(self.accounts.withdraw, self.grant_id, self.others[number])):
            self.is_stopped = True
            assert self._state() == (ConsentState.WITHDRAWN, StateReason.CO_HOLDER)

    @rule(step=st.sampled_from(["refuse", "withdraw", "pause", "resume"]))
    def decide(self, step: str) -> None:
        self._taken(partial(getattr(self.accounts.office, step), self.grant_id))

    @rule(hours=st.sampled_from([1, 400]))
    def wait(self, hours: int) -> None:
        self.accounts.office.clock.advance(timedelta(hours=hours))

    @rule()
    def come_as_a_stranger(self) -> None:
        for step in (self.accounts.approve, self.accounts.refuse, self.accounts.withdraw):
            assert not self._taken(partial(step, self.grant_id, self.stranger))

    @invariant()
    def given_if_and_only_if_all_agreed(self) -> None:
        consent = self.accounts.office.consent(self.grant_id)
        everybody = self.is_signed and self.approved == set(self.others)
        assert (consent.given_at is not None) == everybody
        assert bool(self.accounts.office.shares(self.grant_id)) == (consent.state in LIVING)
        if self.is_stopped:
            assert consent.state not in {*LIVING, *OPEN}

    @invariant()
    def nobody_sees_what_is_private(self) -> None:
        for who in self.others:
            views = [view for view in self.accounts.seen_by(who) if view.grant_id == self.grant_id]
            assert self.is_signed or views == []
            assert BILL not in repr(views)
            assert HOSPITAL not in repr(views)
        assert self.accounts.seen_by(self.stranger) == []

    @invariant()
    def history_replays(self) -> None:
        assert replay(self.accounts.office.event_types(self.grant_id)) == self._state()[0]

    def _state(self) -> tuple[str, str | None]:
        return self.accounts.state(self.grant_id)

    def _taken(self, step: Callable[[], object]) -> bool:
        """Take a step that may be refused; whether it was taken."""
        with suppress(ConsentError):
            step()
            return True
        return False


def run(office: Office, *, examples: int, steps: int) -> None:
    made = Accounts(office)
    holders = [office.newcomer(), office.newcomer()]
    made.share(*holders)

    class Machine(JointMachine):
        accounts = made
        others = holders
        stranger = office.newcomer()

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_an_account_is_opened_by_all_of_its_holders(office: Office) -> None:
    run(office, examples=6, steps=10)


@pytest.mark.parametrize("step", ["refuse", "expire"])
def test_what_the_person_never_signed_stays_theirs(office: Office, step: str) -> None:
    """That somebody asked, and that it came to nothing, is no business of a co-holder."""
    accounts, other = Accounts(office), office.newcomer()
    accounts.share(other)
    grant_id = office.request()
    accounts.ask(grant_id)
    getattr(office, step)(grant_id)
    assert accounts.seen_by(other) == []
    for decide in (accounts.approve, accounts.refuse, accounts.withdraw):
        with pytest.raises(NotFoundError):
            decide(grant_id, other)


@pytest.mark.slow
def test_an_account_is_opened_by_all_of_its_holders_for_long(office: Office) -> None:
    run(office, examples=150, steps=40)
