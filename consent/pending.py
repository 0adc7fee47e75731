"""Records of which it is not certain whose they are or what they say, kept apart until a person has decided.

What is kept without a collection consent is only what the decision needs: who the holder says it is. The
record itself is kept where its number is one whose owner agreed to the collection of its type. Either way
not for long, and under a key of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal

import orjson
import rfc8785
from sqlmodel import Session, col, delete, select

from consent.collection import record_link_event, record_types_of
from consent.evidence import Work
from consent.identity import Identity, Match
from consent.models import PendingRecord
from consent.vocabulary import Doubt, EventType
from vault.insert import insert_if_absent
from vault.keys.keyring import Keyring
from vault.schema import random_id
from vault.seal import context_of, open_sealed, seal
from vault.store import canonical

SEALING_KEY: Final = "pending_record"

HoldOutcome = Literal["held", "waiting", "admitted", "dismissed"]
Part = Literal["told", "content"]


class PendingState(StrEnum):
    """A decision ends the waiting; the row stays until its time is over, so that a repeat is known."""

    WAITING = "waiting"
    ADMITTED = "admitted"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class NewPending:
    """A record as its holder delivered it: its name there, whose it says it is, where it stood, its data.

    `name` tells it from others where `natural_key` does not: of a faulty record it may be unknown, and two
    that contradict each other have the same. `as_of` is the day (ISO) on which the holder said so.
    """

    holder_id: str
    record_type: str
    natural_key: str = field(repr=False)
    identity: Identity
    place: str = field(repr=False)
    data: Mapping[str, Any] = field(repr=False)
    name: str | None = field(default=None, repr=False)
    as_of: str | None = None


@dataclass(frozen=True, slots=True)
class PendingView:
    """A pending record as the operator's list shows it: nothing of whose it is, nothing of what is in it."""

    pending_id: str
    holder_id: str
    record_type: str
    rule: Doubt
    place: str
    link_id: str | None
    has_content: bool
    received_at: datetime
    expires_at: datetime


def hold(  # noqa: PLR0913 - two rooms' doors, what came, what is doubtful about it, and for how long
    work: Work, keyring: Keyring, new: NewPending, match: Match, *, keep_for: timedelta, now: datetime
) -> HoldOutcome:
    """Keep a record apart; the same again is the same row, and keeps the end that it had.

    Answers `held` if it is new, or new in content, or in another doubt than before; otherwise how it
    stands with the one that is there: `waiting`, or what was decided.
    """
    if match.doubt is None:
        raise ValueError("there is no doubt about this record")
    values = _values(keyring, new, match, now=now, expires_at=now + keep_for)
    if not insert_if_absent(work.session, PendingRecord, values):
        row = work.session.exec(
            select(PendingRecord)
            .where(PendingRecord.name_index == values["name_index"])
            .with_for_update()
            .execution_options(populate_existing=True)
        ).one()
        is_same = (row.content_index, row.link_id) == (values["content_index"], values["link_id"])
        if is_same and (row.state != PendingState.WAITING or row.rule == match.doubt):
            return _STANDING[PendingState(row.state)]
        _renew(keyring, row, new, match, values=values)
    if match.link is not None:
        record_link_event(
            work,
            keyring,
            match.link,
            EventType.RECORD_HELD,
            facts={"rule": match.doubt},
            detail={"holder": new.holder_id, "record_type": new.record_type},
            now=now,
        )
    return "held"


def pending_records(session: Session, keyring: Keyring) -> list[PendingView]:
    """What waits for a decision, the oldest first."""
    rows = session.exec(
        select(PendingRecord)
        .where(PendingRecord.state == PendingState.WAITING)
        .order_by(col(PendingRecord.received_at), col(PendingRecord.pending_id))
    )
    return [
        PendingView(
            pending_id=row.pending_id,
            holder_id=row.holder_id,
            record_type=row.record_type,
            rule=Doubt(row.rule),
            place=open_part(keyring, row.pending_id, "told", row.told_sealed)["place"],
            link_id=row.link_id,
            has_content=row.content_sealed is not None,
            received_at=row.received_at,
            expires_at=row.expires_at,
        )
        for row in rows
    ]


def let_go(session: Session, keyring: Keyring, arrived: Sequence[NewPending]) -> None:
    """Take away what waits of records that have arrived without a doubt since. What was decided stays so."""
    names = [_name_index(keyring, one) for one in arrived]
    session.execute(
        delete(PendingRecord).where(
            col(PendingRecord.name_index).in_(names), col(PendingRecord.state) == PendingState.WAITING
        )
    )


def forget(session: Session, subject_id: str) -> int:
    """Take away everything that is kept apart for a subject, for an erasure; how many there were."""
    rows = session.exec(select(PendingRecord).where(PendingRecord.subject_id == subject_id)).all()
    for row in rows:
        session.delete(row)
    return len(rows)


def open_part(keyring: Keyring, pending_id: str, part: Part, sealed: bytes) -> dict[str, Any]:
    """One sealed part of a row. Raises TamperedError if it is another row's, or the other part."""
    key = keyring.sealing_key(SEALING_KEY)
    opened: dict[str, Any] = orjson.loads(open_sealed(key, _context(pending_id, part), sealed))
    return opened


def _values(
    keyring: Keyring, new: NewPending, match: Match, *, now: datetime, expires_at: datetime
) -> dict[str, Any]:
    pending_id, link = random_id(), match.link
    return {
        "pending_id": pending_id,
        "name_index": _name_index(keyring, new),
        "content_index": keyring.index("pending.content", canonical(new.data).decode()),
        "holder_id": new.holder_id,
        "record_type": new.record_type,
        "rule": match.doubt,
        "link_id": None if link is None else link.link_id,
        "subject_id": None if link is None else link.subject_id,
        "told_sealed": _told(keyring, pending_id, new),
        "content_sealed": _content(keyring, pending_id, new, match),
        "state": PendingState.WAITING,
        "received_at": now,
        "expires_at": expires_at,
        "decided_at": None,
    }


def _renew(
    keyring: Keyring, row: PendingRecord, new: NewPending, match: Match, *, values: Mapping[str, Any]
) -> None:
    """The newest of a record takes the place of the older one. Waiting goes on; a decision begins it anew."""
    if row.state != PendingState.WAITING:
        row.received_at, row.expires_at, row.decided_at = values["received_at"], values["expires_at"], None
    row.state, row.rule = PendingState.WAITING, values["rule"]
    row.content_index, row.link_id = values["content_index"], values["link_id"]
    row.subject_id = values["subject_id"]
    row.told_sealed = _told(keyring, row.pending_id, new)
    row.content_sealed = _content(keyring, row.pending_id, new, match)


def _told(keyring: Keyring, pending_id: str, new: NewPending) -> bytes:
    identity = new.identity
    members = {
        "place": new.place,
        "number": identity.number,
        "name": identity.name,
        "born_on": identity.born_on,
    }
    return _sealed(keyring, pending_id, "told", members)


def _content(keyring: Keyring, pending_id: str, new: NewPending, match: Match) -> bytes | None:
    """The record itself, where the collection consent behind its number covers it; else nothing."""
    if match.link is None or not match.is_number_linked:
        return None
    if new.record_type not in record_types_of(keyring, match.link):
        return None
    members = {"natural_key": new.natural_key, "as_of": new.as_of, "data": dict(new.data)}
    return _sealed(keyring, pending_id, "content", members)


def _sealed(keyring: Keyring, pending_id: str, part: Part, members: Mapping[str, Any]) -> bytes:
    return seal(keyring.sealing_key(SEALING_KEY), _context(pending_id, part), canonical(members))


def _name_index(keyring: Keyring, new: NewPending) -> bytes:
    name = [new.holder_id, new.record_type, new.identity.number, new.natural_key]
    name += [] if new.name is None else [new.name]
    return keyring.index("pending.name", rfc8785.dumps(name).decode())


def _context(pending_id: str, part: Part) -> bytes:
    return context_of("mydata/consent/pending@v1", pending_id, part)


_STANDING: Final[Mapping[PendingState, HoldOutcome]] = {
    PendingState.WAITING: "waiting",
    PendingState.ADMITTED: "admitted",
    PendingState.DISMISSED: "dismissed",
}
