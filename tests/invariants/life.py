"""The life of a consent as a state machine, against the real broker: database, lane, log, worker's jobs.

Each example is one consent with its own plan; the broker is the same all along. After every step what is
stored must be what the steps add up to, whatever order they came in.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from httpx import Response
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import ColumnElement, exists
from sqlmodel import col, select

from broker.db import transaction
from broker.jobs.cascading import follow_recipients
from broker.jobs.expiry import end_overdue
from broker.jobs.notifying import notify
from broker.oauth.confirmation import of_key
from broker.oauth.tokens import Binding, Grant, issue_access
from consent.collection import expire_link, find_link
from consent.errors import ConsentError, NotFoundError
from consent.ledger.models import LedgerEntry
from consent.models import (
    Consent,
    ConsentVersion,
    Delivery,
    DeliveryRecord,
    Duty,
    Notification,
    Obligation,
    Organisation,
)
from consent.obligations import kept_of, standing
from consent.organisations import OrganisationStatus, reinstate, suspend
from consent.outbox import DutyKind
from consent.purposes import Purpose
from consent.reading import state_at
from consent.states import LIVING, OPEN, replay
from consent.terms import Terms
from consent.versions import open_terms, version_id_of
from consent.vocabulary import ConsentState, EventType, StateReason
from tests.consent import changes as steps
from tests.consent.details import BILL, HOSPITAL, POLICY, terms_with
from tests.consent.office import CLIENT, RECIPIENT
from tests.lane.world import DELIVERIES, World, bill
from vault.jose import generate_private_jwk, thumbprint
from vault.schema import random_id

LONG = timedelta(days=3650)
KEYS = st.sampled_from(["one", "two", "three", "four"])
SPANS = (timedelta(minutes=5), timedelta(hours=7), timedelta(days=3), timedelta(days=12))
ACCESS = ("once", "periodic")
ENDED_AT_ONCE = {ConsentState.WITHDRAWN, ConsentState.REVOKED, ConsentState.INVALIDATED}


@dataclass
class Seen:
    """What this example has seen so far."""

    payloads: dict[tuple[int, str], str] = field(default_factory=dict)
    refusals: int = 0
    receipts: dict[str, bytes] = field(default_factory=dict)
    ends_seen: list[ConsentState] = field(default_factory=list)


@dataclass(frozen=True)
class Snapshot:
    """What is stored of the example's consent, all of it read at one moment."""

    consent: Consent
    events: list[str]
    deliveries: list[Delivery]
    versions: list[ConsentVersion]
    owed: list[Obligation]
    will_tell: bool


class LifeMachine(RuleBasedStateMachine):
    """One consent of one person, and everything that can happen to it."""

    world: ClassVar[World]
    steps_taken: ClassVar[int] = 0
    visited_at: ClassVar[datetime] = datetime(2026, 12, 1, tzinfo=UTC)

    def __init__(self) -> None:
        super().__init__()
        self.office = self.world.office
        self.seen = Seen()
        self.change_id: str | None = None
        self.tokens: dict[str, str] = {}
        self.terms: dict[str, Terms] = {}
        self.told: list[tuple[int, str]] = []
        self.purpose: Purpose = self.office.purpose

    def teardown(self) -> None:
        with transaction(self.office.installation.data) as work:
            reinstate(work.session, RECIPIENT)

    # How it begins

    @initialize(
        kind=st.sampled_from(ACCESS),
        places=st.integers(1, 3),
        days=st.integers(1, 30),
        later=st.integers(0, 2),
        store=st.booleans(),
    )
    def ask(self, kind: str, places: int, days: int, later: int, store: bool) -> None:  # noqa: FBT001 - drawn
        now = self.office.clock()
        self._have_a_recent_bill(now)
        begin = now + timedelta(days=later)
        changes: dict[str, Any] = {
            "access.kind": kind,
            "access.max_pulls": 1 if kind == "once" else places,
            "access.valid_from": begin.isoformat(),
            "access.valid_until": (begin + timedelta(days=days)).isoformat(),
            "data_period.from": (now - timedelta(days=300)).date().isoformat(),
            "data_period.to": (now + timedelta(days=60)).date().isoformat(),
            "items.0.filter": {"institution": ["11100079"]},
            "retention.store": store,
            "retention.period": "P30D" if store else "P0D",
        }
        if kind == "periodic":
            changes["access.cycle"] = "P1W"
        self.asked: Terms = terms_with(changes)
        self.grant_id = self.office.request(self.asked)
        self.store = store

    # What the person does

    @rule(both=st.booleans())
    def give(self, both: bool) -> None:  # noqa: FBT001 - drawn
        self._try(lambda: self.office.give(self.grant_id, [BILL, POLICY] if both else [BILL]))

    @rule()
    def leave_off_what_is_needed(self) -> None:
        with suppress(ConsentError):
            self.office.give(self.grant_id, [POLICY])
            raise AssertionError("given without what is needed")

    @rule(step=st.sampled_from(["refuse", "pause", "resume", "withdraw", "pause", "resume"]))
    def decide(self, step: str) -> None:
        self._try(lambda: getattr(self.office, step)(self.grant_id))

    @rule()
    def narrow(self) -> None:
        self._try(lambda: steps.narrow_down(self.office, self.grant_id))

    @rule()
    def renew(self) -> None:
        before = self._terms()
        if self._try(lambda: steps.renew(self.office, self.grant_id)):
            after = self._terms()
            assert (after.items, after.holders, after.purpose) == (
                before.items,
                before.holders,
                before.purpose,
            )
            assert after.retention == before.retention

    @rule(days=st.sampled_from([10, 20]))
    def propose(self, days: int) -> None:
        period = "P0D" if not self.store else f"P{days}D"
        retention = self.asked.retention.model_copy(update={"period": period})
        before = self._consent()
        with suppress(ConsentError):
            terms = self.asked.model_copy(update={"retention": retention})
            expires_at = self.office.clock() + timedelta(hours=1)
            self.change_id = steps.propose(self.office, self.grant_id, terms, expires_at=expires_at)
        assert self._consent() == before  # invariant 16: until it is signed, the old one stands

    @precondition(lambda self: self.change_id is not None)
    @rule()
    def sign_change(self) -> None:
        change_id = self.change_id
        assert change_id is not None
        self._try(lambda: steps.sign(self.office, change_id))

    # What others do

    @rule(reason=st.sampled_from([StateReason.SECURITY, StateReason.BY_AUTHORITY]))
    def revoke(self, reason: StateReason) -> None:
        self._try(lambda: self.office.revoke(self.grant_id, reason))

    @rule()
    def invalidate(self) -> None:
        self._try(lambda: self.office.invalidate(self.grant_id))

    @rule(act=st.sampled_from([suspend, reinstate]))
    def judge_the_recipient(self, act: Any) -> None:  # noqa: ANN401 - a function
        with transaction(self.office.installation.data) as work:
            act(work.session, RECIPIENT)

    @rule()
    def follow(self) -> None:
        follow_recipients(self.office.installation, self.office.clock())
        assert follow_recipients(self.office.installation, self.office.clock()) == 0  # invariant 21

    @rule(
        by=st.sampled_from([timedelta(minutes=5), timedelta(hours=7), timedelta(days=3), timedelta(days=12)])
    )
    def wait(self, by: timedelta) -> None:
        before = state_at(self._consent(), self.office.clock())
        self.office.clock.advance(by)
        after = state_at(self._consent(), self.office.clock())
        # Invariant 23: time alone makes nothing valid that was not.
        assert after == before or after in {ConsentState.EXPIRED, ConsentState.PAUSED}

    @rule()
    def tidy(self) -> None:
        end_overdue(self.office.installation, self.office.clock())

    # What the recipient does

    @rule(key=KEYS)
    def pull(self, key: str) -> None:
        self._judge(self._pull(key), key)

    @rule(key=KEYS, other=KEYS)
    def pull_at_the_same_time(self, key: str, other: str) -> None:
        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(self._pull, (key, other)))
        for answer, used in zip(answers, (key, other), strict=True):
            self._judge(answer, used)

    @rule(key=KEYS)
    def pull_and_stop_at_the_same_time(self, key: str) -> None:
        with ThreadPoolExecutor(2) as threads:
            pulled = threads.submit(self._pull, key)
            stopped = threads.submit(self._try, lambda: self.office.withdraw(self.grant_id))
            self._judge(pulled.result(), key)
            if stopped.result():  # invariant 8: once the withdrawal has returned
                assert self._pull("after").status_code == 401
                self.seen.refusals += 1

    @rule()
    def acknowledge(self) -> None:
        for delivery in self._deliveries():
            if delivery.acknowledged_at is None:
                self.office.acknowledge(delivery.delivery_id)
                break

    @rule()
    def a_stranger_learns_nothing(self) -> None:
        """Invariant 7: another key, another recipient, an unknown id: one answer."""
        token = self._token()
        key = generate_private_jwk("ES256")
        foreign = self.world.pull(token, proofs=[self.world.proof(token, key=key)])
        unknown = self.world.pull("mda_unknown", proofs=[self.world.proof("mda_unknown", key=key)])
        assert foreign.status_code == unknown.status_code == 401
        assert _without_trace(foreign) == _without_trace(unknown)
        for delivery_id in [delivery.delivery_id for delivery in self._deliveries()] + ["unknown"]:
            with pytest.raises(NotFoundError):
                self.office.acknowledge(delivery_id, recipient_id="somebody-else")

    # What must hold after every step

    @invariant()
    def what_is_stored_adds_up(self) -> None:
        type(self).steps_taken += 1
        found = self._snapshot()
        self._the_log_tells_the_state(found)
        self._no_more_places_than_agreed(found)
        self._receipts_never_change(found)
        self._shares_are_those_of_what_stands(found)
        self._an_end_leaves_one_obligation(found)

    def _the_log_tells_the_state(self, found: Snapshot) -> None:
        """Invariant 3: replaying gives the stored state, and no end is ever taken back."""
        assert replay(found.events) == found.consent.state
        ends = [state for state in _states(found.events) if state not in {*LIVING, *OPEN}]
        assert ends[: len(self.seen.ends_seen)] == self.seen.ends_seen
        self.seen.ends_seen = ends

    def _no_more_places_than_agreed(self, found: Snapshot) -> None:
        """Invariants 2 and 11: a place for each key, an entry for each delivery and each refusal."""
        by_series: dict[int, list[Delivery]] = {}
        for delivery in found.deliveries:
            by_series.setdefault(delivery.places_since, []).append(delivery)
        for number, deliveries in by_series.items():
            assert len(deliveries) <= self._terms(version_id_of(self.grant_id, number)).access.max_pulls
            assert sorted(one.ordinal for one in deliveries) == list(range(1, len(deliveries) + 1))
            assert len({one.key_digest for one in deliveries}) == len(deliveries)
        assert found.events.count(EventType.DELIVERY_RELEASED) == len(found.deliveries)
        refused = found.events.count(EventType.DELIVERY_REFUSED)
        assert refused == self.seen.refusals, (refused, self.seen.refusals, found.events[-6:], self.told[-6:])
        assert found.consent.version_number == len(found.versions) - 1

    def _receipts_never_change(self, found: Snapshot) -> None:
        """Invariants 13 and 14: a version's receipt stays byte for byte what it was."""
        for version in found.versions:
            if version.receipt_sealed is not None:
                kept = self.seen.receipts.setdefault(version.version_id, version.receipt_sealed)
                assert kept == version.receipt_sealed

    def _shares_are_those_of_what_stands(self, found: Snapshot) -> None:
        versions = {version for version, _ in self.office.shares(self.grant_id)}
        standing = version_id_of(self.grant_id, found.consent.version_number)
        assert versions == ({standing} if found.consent.state in LIVING else set())

    def _an_end_leaves_one_obligation(self, found: Snapshot) -> None:
        """Invariant 9: what was stored has a date from the end on, and somebody will write it down.

        A delivery that commits at the very moment of the end opens an obligation whose row has no date yet:
        then the duty that tells the recipient, which settles the date first, must still be open.
        """
        must_delete = self.store and found.deliveries
        assert len(found.owed) == (1 if must_delete else 0)
        if must_delete and found.consent.state in ENDED_AT_ONCE:
            (row,) = found.owed
            assert found.consent.ended_at is not None
            due_at = standing(found.consent, row, [kept_of(one) for one in found.deliveries]).due_at
            assert due_at <= found.consent.ended_at + timedelta(days=30)
            assert row.due_at == due_at or found.will_tell

    @rule()
    def everything_is_told_once(self) -> None:
        """Invariant 11: each delivery and each refusal is one entry and one notification."""
        notify(self.office.installation, self.office.clock())
        handle = self._consent().handle
        with self.office.installation.data.read() as session:
            entries = session.exec(
                select(LedgerEntry.idx).where(LedgerEntry.handle == handle).order_by(col(LedgerEntry.idx))
            ).all()
            told = session.exec(
                select(Notification.idx).where(
                    Notification.grant_id == self.grant_id,
                    col(Notification.event).in_(
                        [EventType.DELIVERY_RELEASED, EventType.DELIVERY_REPEATED, EventType.DELIVERY_REFUSED]
                    ),
                )
            ).all()
        events = self._snapshot().events
        wanted = [
            index
            for index, event in zip(entries, events, strict=True)
            if event in {EventType.DELIVERY_RELEASED, EventType.DELIVERY_REPEATED, EventType.DELIVERY_REFUSED}
        ]
        assert sorted(index for index in told if index is not None) == wanted

    # How it is done

    def _have_a_recent_bill(self, now: datetime) -> None:
        """The clock goes on from life to life, and what lay in the look-back window leaves it."""
        if now > type(self).visited_at + timedelta(days=60):
            type(self).visited_at, today = now, now.date().isoformat()
            self.world.office.collect(self._link(now), bill((random_id(), "11100079", today, today)))

    def _link(self, now: datetime) -> str:
        """The person's link to the hospital. Its consent is good for a year: then they agree to it anew."""
        office, patient_no = self.world.office, "P-1"
        with office.installation.data.read() as session:
            row = find_link(session, office.keyring, HOSPITAL, patient_no)
        assert row is not None
        if now < row.valid_until:
            return row.link_id
        with transaction(office.installation.data) as work:
            expire_link(work, office.keyring, row.link_id, office.subject_id, now)
        return office.link(HOSPITAL, patient_no)

    def _try(self, step: Any) -> bool:  # noqa: ANN401 - a step
        """Take a step that may be refused; whether it was taken. A refusal changes nothing."""
        before = self._consent()
        try:
            step()
        except ConsentError:
            after = self._consent()
            assert (after.state, after.version_number) == (before.state, before.version_number) or (
                after.state == ConsentState.WITHDRAWN
            )
            return False
        return True

    def _pull(self, key: str) -> Response:
        return self.world.pull(self._token(), DELIVERIES, idempotency_key=key)

    def _token(self) -> str:
        """A token of the version that stands, as the token endpoint would hand it out, but long-lived."""
        version_id = version_id_of(self.grant_id, self._consent().version_number)
        if version_id not in self.tokens:
            until = self.office.clock() + LONG
            grant = Grant(self.grant_id, version_id, self.office.subject_id, until, self._terms(version_id))
            binding = Binding(CLIENT, "records.read", of_key(thumbprint(self.world.key)), grant)
            seconds = int(LONG.total_seconds())
            with transaction(self.office.installation.data) as work:
                raw_token, _ = issue_access(work.session, binding, seconds=seconds, now=self.office.clock())
            self.tokens[version_id] = raw_token  # only now: another thread may use it at once
        return self.tokens[version_id]

    def _judge(self, answer: Response, key: str) -> None:
        """Invariants 1, 2 and 6: what was delivered was allowed, and the same key says the same."""
        consent, now = self._consent(), self.office.clock()
        self.told.append((answer.status_code, "" if answer.status_code == 200 else answer.json()["code"]))
        if answer.status_code == 503:  # a lock took too long: nothing was decided, and nothing is on record
            assert (answer.json()["code"], "retry-after" in answer.headers) == ("overloaded", True)
            return
        if answer.status_code != 200:
            assert answer.status_code in {401, 403, 410, 422}, answer.text
            self.seen.refusals += 1
            return
        body = answer.json()
        deliveries = {delivery.delivery_id: delivery for delivery in self._deliveries()}
        delivery = deliveries[body["delivery_id"]]
        known = self.seen.payloads.setdefault((delivery.places_since, key), body["payload_digest"])
        assert known == body["payload_digest"]
        terms = self._terms(delivery.version_id)
        assert terms.access.valid_from <= now < terms.access.valid_until
        assert consent.state in {ConsentState.GIVEN, ConsentState.WITHDRAWN}
        assert self._recipient_status() == OrganisationStatus.ACTIVE
        for record_type, records in body["records"].items():
            item = terms.item(record_type)
            assert item is not None
            for record in records:
                assert item.fields is None or set(record["data"]) <= set(item.fields)
                period = record["data"].get("period")
                if period is not None and record_type == BILL:
                    assert str(terms.data_period.from_) <= period["from"] <= str(terms.data_period.to)
        pinned = self._pinned(delivery.delivery_id)
        assert len(pinned) == sum(len(records) for records in body["records"].values())

    def _consent(self) -> Consent:
        return self.office.consent(self.grant_id)

    def _terms(self, version_id: str | None = None) -> Terms:
        """The terms of a version, which never change."""
        wanted = version_id or version_id_of(self.grant_id, self._consent().version_number)
        if wanted not in self.terms:
            with self.office.installation.data.read() as session:
                version = session.get_one(ConsentVersion, wanted)
                self.terms[wanted] = open_terms(self.office.keyring, self.office.subject_id, version)
        return self.terms[wanted]

    def _snapshot(self) -> Snapshot:
        with self.office.installation.data.read() as session:
            consent = session.get_one(Consent, self.grant_id)
            leaves = select(LedgerEntry.leaf).where(LedgerEntry.handle == consent.handle)
            of_it = Delivery.grant_id == self.grant_id, ConsentVersion.grant_id == self.grant_id
            return Snapshot(
                consent,
                [json.loads(leaf)["type"] for leaf in session.exec(leaves.order_by(col(LedgerEntry.idx)))],
                list(session.exec(select(Delivery).where(of_it[0]))),
                list(session.exec(select(ConsentVersion).where(of_it[1]))),
                list(session.exec(select(Obligation).where(Obligation.grant_id == self.grant_id))),
                session.exec(select(exists().where(*_telling(self.grant_id)))).one(),
            )

    def _deliveries(self) -> list[Delivery]:
        return self.world.deliveries(self.grant_id)

    def _pinned(self, delivery_id: str) -> list[str]:
        with self.office.installation.data.read() as session:
            rows = select(DeliveryRecord.record_id).where(DeliveryRecord.delivery_id == delivery_id)
            return list(session.exec(rows))

    def _recipient_status(self) -> str:
        with self.office.installation.data.read() as session:
            return session.get_one(Organisation, RECIPIENT).status


def _telling(grant_id: str) -> tuple[ColumnElement[bool], ...]:
    """The duty to tell a recipient of an end is still open."""
    of_it = (col(Duty.kind) == DutyKind.TELL_ENDED, col(Duty.target) == grant_id)
    return (*of_it, col(Duty.done_at).is_(None), col(Duty.dead_at).is_(None))


def _states(events: list[str]) -> list[ConsentState]:
    """The state after each event."""
    reached = (replay(events[: count + 1]) for count in range(len(events)))
    states: list[ConsentState] = []
    for state in reached:
        if state is not None and (not states or states[-1] != state):
            states.append(state)
    return states


def _without_trace(answer: Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "trace_id"}
