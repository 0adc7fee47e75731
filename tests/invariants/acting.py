"""People for people: guardians and mandates begin and end, and what hangs on them does so too (invariant 20).

Each example is one person, a child or not, and two others who may come to act for them, or for each other.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.jobs.expiry import end_overdue
from broker.jobs.parting import end_representations
from consent import adjusting, lifecycle
from consent.errors import ConsentError
from consent.models import Representation
from consent.party_ends import end_by_staff
from consent.people_vocabulary import Action, RepresentationState
from consent.reading import state_at
from consent.standing import birthday, find_acting
from consent.states import LIVING, OPEN
from consent.vocabulary import ConsentState
from tests.consent import changes as steps
from tests.consent.representing import AGES, STAFF, Parties
from tests.invariants.scene import KEYS, WHICH, Scene, is_taken
from tests.lane.world import World

PEOPLE: Final = st.integers(0, 2)
OTHERS: Final = st.integers(1, 2)
PERSON: Final = 0


@dataclass
class Acts:
    """Somebody acts for somebody: by their numbers, until when at the latest."""

    representation_id: str
    giver: int
    taker: int
    until: datetime
    is_guardian: bool
    is_ended: bool = False

    def stands(self, now: datetime) -> bool:
        return not self.is_ended and now < self.until


class ActingMachine(RuleBasedStateMachine):
    """One person, two others, and who may do what for whom."""

    world: ClassVar[World]
    steps_taken: ClassVar[int] = 0

    @initialize(is_child=st.sampled_from([True, True, False]), days=st.integers(2, 12))
    def begin(self, is_child: bool, days: int) -> None:  # noqa: FBT001 - drawn
        self.scene = Scene(self.world, [100_000_001])
        self.office = self.scene.office
        self.parties = Parties(self.office)
        self.people = [self.office.subject_id, self.office.newcomer(), self.office.newcomer()]
        self.acts: list[Acts] = []
        self.majority: datetime | None = None
        self.waiting: set[str] = set()  # what a guardian agreed to, and the young person has not
        if is_child:
            self._have_a_guardian(days)
        else:
            self.give_a_mandate(PERSON, 1, days)
        self.ask(1, is_signed=True)
        self.ask(1, is_signed=False)
        self.ask(PERSON, is_signed=not is_child)

    def _have_a_guardian(self, days: int) -> None:
        turns = self.office.clock().date() + timedelta(days=days)
        born_on = date(turns.year - AGES.child, turns.month, min(turns.day, 28))
        self.majority = birthday(born_on, AGES.child)
        registered = self.parties.guardian(self.people[PERSON], self.people[1], born_on=born_on)
        assert isinstance(registered, str) == (self.office.clock() < self.majority)
        if isinstance(registered, str):
            self.acts.append(Acts(registered, PERSON, 1, self.majority, is_guardian=True))

    # Who acts for whom

    @rule(giver=PEOPLE, taker=PEOPLE, days=st.sampled_from([1, 5, 30]))
    def give_a_mandate(self, giver: int, taker: int, days: int) -> None:
        now = self.office.clock()
        offered = self.parties.offer(self.people[giver], self.people[taker], days=days)
        if isinstance(offered, str) and self.parties.accept(offered, self.people[taker]) is None:
            until = now + timedelta(days=days)
            self.acts.append(Acts(offered, giver, taker, until, is_guardian=False))
            assert not self._comes_back_to(giver)
            assert not (giver == PERSON and self._is_child())

    @precondition(lambda self: self.acts)
    @rule(which=WHICH, by=PEOPLE)
    def end(self, which: int, by: int) -> None:
        one = self.acts[which % len(self.acts)]
        is_theirs = by == one.taker or (by == one.giver and not one.is_guardian)
        assert is_taken(lambda: self.parties.end(one.representation_id, self.people[by])) == is_theirs
        one.is_ended |= is_theirs

    @precondition(lambda self: self.acts)
    @rule(which=WHICH)
    def have_the_staff_end_it(self, which: int) -> None:
        one = self.acts[which % len(self.acts)]
        with self.office.work() as work:
            end_by_staff(work, self.office.keyring, one.representation_id, STAFF, self.office.clock())
        one.is_ended = True

    # What they do

    @precondition(lambda self: len(self.scene.grants) < 6)
    @rule(who=PEOPLE, is_signed=st.sampled_from([True, True, False]))
    def ask(self, who: int, is_signed: bool) -> None:  # noqa: FBT001 - drawn
        """A request is opened by the person, or by somebody who acts for them then, as the pages have it."""
        if who == PERSON or self._standing(who):
            changes = {"access.kind": "periodic", "access.max_pulls": 5, "access.cycle": "P1W"}
            signed_by = None if who == PERSON else self.people[who]
            grant_id = self.scene.ask(self.scene.terms(changes, days=40), signed_by=signed_by)
            if is_signed:
                self._sign(grant_id)

    @rule(which=WHICH)
    def sign(self, which: int) -> None:
        self._sign(self.scene.one(which))

    @rule(who=OTHERS)
    def sign_without_a_mandate(self, who: int) -> None:
        """Depth one: who acts for somebody who acts for the person does not act for the person."""
        if not self._standing(who):
            terms = self.scene.terms({})
            grant_id = self.office.request(terms, signed_by=self.people[who])
            assert not is_taken(lambda: self.office.give(grant_id))
            self.office.refuse(grant_id)

    @rule(who=OTHERS)
    def renew_for_somebody(self, who: int) -> None:
        """Whatever it is, whoever signed it, and however they act: a representative does not renew."""
        self.office.clock.advance(timedelta(minutes=5))  # or there would be nothing to renew
        for grant_id in self.scene.grants:
            before = self.scene.consent(grant_id)
            assert not any(self._act(one, grant_id, "renew") for one in self.acts if one.taker == who)
            assert self.scene.consent(grant_id) == before

    @rule(which=WHICH, who=OTHERS)
    def stop_for_somebody(self, which: int, who: int) -> None:
        """A representative can stop it as long as they act for this very person."""
        grant_id = self.scene.one(which)
        is_living = self.scene.consent(grant_id).state in LIVING
        is_stopped = sum(self._act(one, grant_id, "withdraw") for one in self.acts if one.taker == who) > 0
        assert not (is_stopped and not self._standing(who))
        assert is_stopped or not (is_living and self._standing(who))

    @rule(which=WHICH, step=st.sampled_from(["pause", "resume", "resume", "withdraw", "refuse", "narrow"]))
    def decide(self, which: int, step: str) -> None:
        """What the person does themselves, also right after the hand-over."""
        grant_id = self.scene.one(which)
        do = {"narrow": lambda: steps.narrow_down(self.office, grant_id)}
        is_done = is_taken(do.get(step, lambda: getattr(self.office, step)(grant_id)))
        consent = self.scene.consent(grant_id)
        if step == "resume" and is_done and consent.signed_by is None and not self._is_child():
            self.waiting.discard(grant_id)

    @rule(which=WHICH)
    def renew(self, which: int) -> None:
        grant_id = self.scene.one(which)
        before = self.scene.consent(grant_id)
        if is_taken(lambda: steps.renew(self.office, grant_id)):
            assert before.signed_by is None  # what others agreed to nobody renews
            assert not self._is_child()
            self.waiting.discard(grant_id)  # the young person wants it to go on

    @rule(which=WHICH, key=KEYS)
    def pull(self, which: int, key: str) -> None:
        grant_id = self.scene.one(which)
        answer = self.scene.pull(grant_id, key)
        if self._waits(grant_id):
            assert answer.status_code != 200, answer.text
        assert answer.status_code in {200, 401, 403, 422}, answer.text

    # Time, and the worker

    @rule(by=st.sampled_from([timedelta(minutes=5), timedelta(days=1), timedelta(days=5)]))
    def wait(self, by: timedelta) -> None:
        self.office.clock.advance(by)

    @precondition(lambda self: self._is_child())
    @rule()
    def come_of_age(self) -> None:
        """The very instant of it, before any job has run."""
        assert self.majority is not None
        self.office.clock.now = self.majority
        for number in range(len(self.scene.grants)):
            self.pull(number, "of age")

    @rule()
    def work(self) -> None:
        end_representations(self.world.installation, self.office.clock())
        end_overdue(self.world.installation, self.office.clock())

    # What must hold after every step

    @invariant()
    def nothing_outlives_whom_it_hangs_on(self) -> None:
        type(self).steps_taken += 1
        now = self.office.clock()
        acting = set()
        with self.world.installation.data.read() as session:
            for one in self.acts:
                row = session.get_one(Representation, one.representation_id)
                if row.state == RepresentationState.ACTIVE:
                    acting.add((row.subject_id, row.representative_id))
                assert not (one.is_ended and row.state == RepresentationState.ACTIVE)
                for who, person in enumerate(self.people):
                    found = find_acting(session, one.representation_id, person, now)
                    assert (found is not None) == (who == one.taker and one.stands(now))
                    assert found is None or found.subject_id == self.people[one.giver]
        for consent in self.scene.consents():
            if consent.state in OPEN and consent.signed_by is not None:
                assert (consent.subject_id, consent.signed_by) in acting
            if self._waits(consent.grant_id) and consent.state in LIVING:
                assert state_at(consent, now) in {ConsentState.PAUSED, ConsentState.EXPIRED}

    def teardown(self) -> None:
        """So that no job of the next example finds anything of this one."""
        if not hasattr(self, "waiting"):
            return
        for number in range(len(self.acts)):
            self.have_the_staff_end_it(number)
        for consent in self.scene.consents():
            step = self.office.refuse if consent.state in OPEN else self.office.withdraw
            is_taken(lambda grant_id=consent.grant_id, step=step: step(grant_id))

    # How it is done

    def _is_child(self) -> bool:
        return self.majority is not None and self.office.clock() < self.majority

    def _standing(self, who: int) -> list[Acts]:
        """By what somebody acts for the person now; for a child only a guardian does."""
        return [
            one
            for one in self.acts
            if (one.giver, one.taker) == (PERSON, who)
            and one.stands(self.office.clock())
            and (one.is_guardian or not self._is_child())
        ]

    def _waits(self, grant_id: str) -> bool:
        """Whether it waits for the young person."""
        return grant_id in self.waiting and not self._is_child()

    def _sign(self, grant_id: str) -> None:
        before, now = self.scene.consent(grant_id), self.office.clock()
        signer = None if before.signed_by is None else self.people.index(before.signed_by)
        may = self._standing(signer) if signer is not None else not self._is_child()
        is_open = before.state == ConsentState.REQUESTED and now < before.valid_until
        assert is_taken(lambda: self.office.give(grant_id)) == bool(may and is_open)
        if may and is_open and signer is not None and any(one.is_guardian for one in self._standing(signer)):
            self.waiting.add(grant_id)

    def _act(self, one: Acts, grant_id: str, step: str) -> bool:
        """Do it as the pages do it: while it is held that they act, in the name of whom they act for."""
        now, keyring = self.office.clock(), self.office.keyring
        try:
            with self.office.work() as work:
                who = self.people[one.taker]
                acting = find_acting(work.session, one.representation_id, who, now, is_held=True)
                if acting is None or not acting.scope.allows(Action.WITHDRAW):
                    return False
                work.acting = acting.detail()
                if step == "withdraw":
                    lifecycle.withdraw(work, keyring, grant_id, acting.subject_id, now)
                else:
                    adjusting.renew(
                        work,
                        keyring,
                        grant_id,
                        acting.subject_id,
                        purpose=self.office.purpose,
                        catalogue=self.world.installation.catalogue,
                        sign_receipt=self.office.sign_receipt,
                        now=now,
                    )
        except ConsentError:
            return False
        return True

    def _comes_back_to(self, start: int) -> bool:
        """Whether a chain of representatives comes back to where it began."""
        now = self.office.clock()
        reached, found = {start}, set[int]()
        while reached:
            found |= reached
            reached = {one.taker for one in self.acts if one.giver in reached and one.stands(now)}
            if start in reached:
                return True
            reached -= found
        return False
