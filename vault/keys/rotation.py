"""How one signing key follows another: next is published, then signs; the previous one stays published.

Whoever turns a key holds the lock of its name, so that of two that turn it at once one finds it done. When a
key is to sign is written down with it before that instant comes: processes that hold keys in memory agree.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import func
from sqlmodel import Session, col, select

from vault.keys.models import ServiceKeyRow
from vault.keys.service_keys import KeyState, make_next_key
from vault.seal import SealingKey

_LOCK: Final = "service-key "


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long a key signs (None: until somebody turns it), and is published before and after."""

    signs_for: timedelta | None
    publish_before: timedelta
    keep_previous: timedelta


class Turn(NamedTuple):
    """One step of a key: its new state, and from when on it signs."""

    name: str
    kid: str
    state: KeyState
    signs_from: datetime


class Rotation:
    """Turns the signing keys of one keyring. It never makes the first key of a name."""

    def __init__(self, write: Callable[[], AbstractContextManager[Session]], sealing_key: SealingKey) -> None:
        self._write = write
        self._sealing_key = sealing_key

    def turn(self, name: str, schedule: Schedule, now: datetime) -> list[Turn]:
        """Do what is due for this name, in one commit; what was done, nothing if nothing was."""
        with self._write() as session:
            ring = _locked(session, name)
            if ring is None:
                return []
            turns: list[Turn] = []
            if ring.next is not None and ring.next.signs_from <= now:
                turns += _promote(session, ring, ring.next, now)
            if ring.needs_next(schedule, now):
                turns += self._publish(session, ring, now + schedule.publish_before, now)
            return turns + _retire(session, ring, schedule.keep_previous, now)

    def publish_next(self, name: str, *, signs_from: datetime, now: datetime) -> list[Turn]:
        """Publish a next key that signs from then on. Nothing if there is one, or no key of this name."""
        with self._write() as session:
            ring = _locked(session, name)
            if ring is None or ring.next is not None:
                return []
            return self._publish(session, ring, signs_from, now)

    def switch(
        self, name: str, from_kid: str, *, signs_from: datetime, keeps_previous: bool, now: datetime
    ) -> list[Turn]:
        """Let the next key, made if need be, be the current one in place of `from_kid` at once.

        Nothing if `from_kid` is not the current one any more: somebody else was faster. Without
        `keeps_previous` it is retired in the same commit, as are those before it. `signs_from` is for
        processes that hold keys in memory; what was planned to come sooner stays.
        """
        with self._write() as session:
            ring = _locked(session, name)
            if ring is None or ring.current.kid != from_kid:
                return []
            new = ring.next or make_next_key(
                session, self._sealing_key, ring.current, signs_from=signs_from, now=now
            )
            new.signs_from = min(new.signs_from, signs_from)
            turns = _promote(session, ring, new, now)
            return turns if keeps_previous else turns + _retire(session, ring, timedelta(0), now)

    def _publish(self, session: Session, ring: "_Ring", signs_from: datetime, now: datetime) -> list[Turn]:
        made = make_next_key(session, self._sealing_key, ring.current, signs_from=signs_from, now=now)
        return [_said(made)]


@dataclass(slots=True)
class _Ring:
    """The keys of one name that are published for what is yet to be signed, or was signed lately."""

    current: ServiceKeyRow
    next: ServiceKeyRow | None
    previous: list[ServiceKeyRow]

    def needs_next(self, schedule: Schedule, now: datetime) -> bool:
        """Whether the current key's time ends so soon that the next one must be published now."""
        if schedule.signs_for is None or self.next is not None:
            return False
        return self.current.signs_from + schedule.signs_for <= now + schedule.publish_before


def _locked(session: Session, name: str) -> _Ring | None:
    """The keys of a name, which nobody else turns until the commit. None if the name has no key.

    On SQLite a writing transaction is alone anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        # A statement of its own: the one after it sees what whoever held the lock before us committed.
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(_LOCK + name, 0))))
    found = select(ServiceKeyRow).where(
        col(ServiceKeyRow.name) == name, col(ServiceKeyRow.state) != KeyState.RETIRED
    )
    rows = session.exec(found.order_by(col(ServiceKeyRow.created_at))).all()
    by_state = {row.state: row for row in rows}
    current = by_state.get(KeyState.CURRENT)
    if current is None:
        return None
    previous = [row for row in rows if row.state == KeyState.PREVIOUS]
    return _Ring(current, by_state.get(KeyState.NEXT), previous)


def _promote(session: Session, ring: _Ring, new: ServiceKeyRow, now: datetime) -> list[Turn]:
    old = ring.current
    old.state, old.signed_until = KeyState.PREVIOUS, now
    session.flush()  # a statement of its own, and first: a name never has two current keys
    new.state = KeyState.CURRENT
    session.flush()
    ring.previous.append(old)
    ring.current, ring.next = new, None
    return [_said(new), _said(old)]


def _retire(session: Session, ring: _Ring, keep: timedelta, now: datetime) -> list[Turn]:
    over = [row for row in ring.previous if row.signed_until is not None and row.signed_until + keep <= now]
    for row in over:
        row.state = KeyState.RETIRED
    session.flush()
    return [_said(row) for row in over]


def _said(row: ServiceKeyRow) -> Turn:
    return Turn(row.name, row.kid, KeyState(row.state), row.signs_from)
