"""What auditors read: leaves of the log and its head. Details stay sealed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from consent.ledger.entries import read_head
from consent.ledger.events import Event
from consent.ledger.models import LedgerCheckpoint, LedgerEntry
from consent.ledger.tree import root


@dataclass(frozen=True, slots=True)
class EventView:
    """One leaf, read, with its place in the log."""

    index: int
    type: str
    at: datetime
    handle: str
    recipient: str | None
    purpose: str | None
    facts: Mapping[str, str | int]
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class HeadView:
    """The committed head and the newest signed checkpoint."""

    size: int
    root: bytes
    checkpoint: str | None
    checkpoint_at: datetime | None


def events(session: Session, *, before: int | None = None, limit: int = 50) -> list[EventView]:
    """Events in descending order, those before an index (keyset paging), at most `limit`."""
    query = select(LedgerEntry).order_by(col(LedgerEntry.idx).desc()).limit(limit)
    if before is not None:
        query = query.where(col(LedgerEntry.idx) < before)
    return [_view(row) for row in session.exec(query).all()]


def head(session: Session) -> HeadView:
    """The head of the log as it is committed now."""
    size, frontier = read_head(session)
    newest = session.exec(
        select(LedgerCheckpoint).order_by(col(LedgerCheckpoint.size).desc()).limit(1)
    ).one_or_none()
    return HeadView(
        size=size,
        root=root(size, frontier),
        checkpoint=None if newest is None else newest.note,
        checkpoint_at=None if newest is None else newest.signed_at,
    )


def _view(row: LedgerEntry) -> EventView:
    event = Event.from_leaf(row.leaf)
    return EventView(
        index=row.idx,
        type=event.type,
        at=event.at,
        handle=event.handle,
        recipient=event.recipient,
        purpose=event.purpose,
        facts=event.facts,
        leaf_hash=row.leaf_hash,
    )
