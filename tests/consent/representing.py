"""The steps of people who act for people, and what the law's rules are in tests."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from sqlmodel import col, select

from consent.evidence import open_detail
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import Representation
from consent.parties import (
    Ages,
    NewGuardian,
    NewMandate,
    accept_mandate,
    offer_mandate,
    register_guardian,
)
from consent.party_ends import end_representation, lapse, overdue
from consent.party_records import Names, Refused
from consent.people_vocabulary import Action, GuardianEvidence
from consent.staff import STAFF_KEY, Staff
from consent.standing import Acting, Scope, find_acting
from consent.vocabulary import EventType, RefusalReason
from tests.consent.office import Office

AGES = Ages(child=14, handover=14)
YEAR = timedelta(days=365)
ALL = Scope(frozenset(Action))
STAFF = Staff("jimin", "ticket 12")
UNVERIFIED = (RefusalReason.AGENT_UNVERIFIED, RefusalReason.GUARDIAN_UNVERIFIED)


class Parties:
    """The steps of people who act for people, each a transaction of its own."""

    def __init__(self, office: Office) -> None:
        self.office = office

    def offer(self, giver: str, taker: str | None, scope: Scope = ALL, days: int = 30) -> str | Refused:
        names = Names("김하늘", "jeongsuk")
        new = NewMandate(giver, taker, names, scope, self.office.clock() + timedelta(days=days))
        with self.office.work() as work:
            return offer_mandate(work, self.office.keyring, new, longest=YEAR, now=self.office.clock())

    def accept(self, representation_id: str, taker: str) -> Refused | None:
        with self.office.work() as work:
            now = self.office.clock()
            return accept_mandate(work, self.office.keyring, representation_id, taker, name="이정숙", now=now)

    def mandate(self, giver: str, taker: str, scope: Scope = ALL, days: int = 30) -> str:
        offered = self.offer(giver, taker, scope, days)
        assert isinstance(offered, str)
        assert self.accept(offered, taker) is None
        return offered

    def guardian(self, child: str, guardian: str, **changes: Any) -> str | Refused:  # noqa: ANN401 - a field of any type
        new = NewGuardian(
            child_id=child,
            guardian_id=guardian,
            born_on=date(2015, 3, 1),
            names=Names("김하린", "이정숙"),
            evidence=GuardianEvidence.PHONE_IDENTITY,
            note="checked at the counter",
        )
        with self.office.work() as work:
            return register_guardian(
                work,
                self.office.keyring,
                replace(new, **changes),
                ages=AGES,
                staff=STAFF,
                now=self.office.clock(),
            )

    def end(self, representation_id: str, by: str) -> None:
        with self.office.work() as work:
            end_representation(work, self.office.keyring, representation_id, by, self.office.clock())

    def acting(self, representation_id: str, who: str, *, is_held: bool = False) -> Acting | None:
        with self.office.work() as work:
            return find_acting(work.session, representation_id, who, self.office.clock(), is_held=is_held)

    def lapse_all(self) -> list[bool]:
        with self.office.installation.data.read() as session:
            found = overdue(session, self.office.clock())
        done = []
        for representation_id in found:
            with self.office.work() as work:
                done.append(lapse(work, self.office.keyring, representation_id, self.office.clock()))
        return done

    def row(self, representation_id: str) -> Representation:
        with self.office.installation.data.read() as session:
            return session.get_one(Representation, representation_id)

    def refusals(self, subject_id: str | None = None) -> list[tuple[str | int, str]]:
        """Reason and fault of every refusal in the log, opened under the person's key or the staff's."""
        keyring = self.office.keyring
        key = keyring.sealing_key(STAFF_KEY) if subject_id is None else keyring.audit_key(subject_id)
        return [
            (event.facts["reason"], self._detail(key, event, entry)["fault"])
            for event, entry in self._entries()
            if event.type == EventType.REPRESENTATION_REFUSED
        ]

    def events(self, handle: str) -> list[str]:
        return [event.type for event, _ in self._entries() if event.handle == handle]

    def detail(self, subject_id: str, handle: str) -> dict[str, Any]:
        key = self.office.keyring.audit_key(subject_id)
        found = [(event, entry) for event, entry in self._entries() if event.handle == handle]
        return self._detail(key, *found[-1])

    def _detail(self, key: Any, event: Event, entry: LedgerEntry) -> dict[str, Any]:  # noqa: ANN401
        return open_detail(
            key,
            handle=event.handle,
            commitment=event.commitment,
            detail_sealed=entry.detail_sealed,
        )

    def _entries(self) -> Iterator[tuple[Event, LedgerEntry]]:
        with self.office.installation.data.read() as session:
            rows = session.exec(select(LedgerEntry).order_by(col(LedgerEntry.idx))).all()
        return iter([(Event.from_leaf(row.leaf), row) for row in rows])
