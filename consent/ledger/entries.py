"""Entries of the log, and the append that is the last thing in every writing transaction.

A leaf is canonical JSON (RFC 8785) that says what kind of thing happened and commits to the detail;
it never holds the detail, nor an unkeyed hash of anything that could be guessed.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import rfc8785
from sqlalchemy import insert, select, update
from sqlmodel import Session, col

from consent.ledger.errors import EntryTooLargeError
from consent.ledger.models import HEAD_NAME, LedgerEntry, LedgerHead
from consent.ledger.once import insert_once
from consent.ledger.tree import extend, leaf_hash

LEAF_VERSION: Final = 1
MAX_LEAF_BYTES: Final = 65_535
COMMITMENT_BYTES: Final = 32
OPENING_BYTES: Final = 32

_SELECT_HEAD: Final = select(col(LedgerHead.size), col(LedgerHead.frontier)).where(
    col(LedgerHead.name) == HEAD_NAME
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be logged. `detail_sealed` is kept beside the leaf, and is never a part of it.

    `facts` are digests, counts and identifiers that say nothing; they are as public as the leaf.
    """

    type: str
    at: datetime
    handle: str
    recipient: str | None
    purpose: str | None
    facts: Mapping[str, str | int]
    commitment: bytes
    detail_sealed: bytes

    def leaf(self) -> bytes:
        """The canonical bytes that are hashed into the tree.

        Raises EntryTooLargeError over 65,535 bytes, ValueError for a commitment that is not 32 bytes or
        an instant without a zone.
        """
        if len(self.commitment) != COMMITMENT_BYTES:
            raise ValueError("a commitment is 32 bytes")
        content: dict[str, Any] = {
            "v": LEAF_VERSION,
            "type": str(self.type),
            "at": _rfc3339(self.at),
            "handle": self.handle,
            "facts": dict(self.facts),
            "c": base64.urlsafe_b64encode(self.commitment).rstrip(b"=").decode("ascii"),
        }
        if self.recipient is not None:
            content["recipient"] = self.recipient
        if self.purpose is not None:
            content["purpose"] = self.purpose
        leaf = rfc8785.dumps(content)
        if len(leaf) > MAX_LEAF_BYTES:
            raise EntryTooLargeError(len(leaf))
        return leaf


def commit(detail: bytes, opening: bytes) -> bytes:
    """The commitment to a detail: HMAC-SHA-256 with a fresh random opening of exactly 32 bytes as its key.

    Exactly 32, because HMAC pads its key: shorter openings have equivalents. Raises ValueError otherwise.
    """
    if len(opening) != OPENING_BYTES:
        raise ValueError("an opening is 32 bytes")
    return hmac.digest(opening, detail, hashlib.sha256)


def check_opening(commitment: bytes, *, detail: bytes, opening: bytes) -> bool:
    """Whether a commitment opens to this detail. An opening of another length never does."""
    return len(opening) == OPENING_BYTES and hmac.compare_digest(commitment, commit(detail, opening))


def plan_append(size: int, frontier: bytes, leaves: Sequence[bytes]) -> tuple[int, bytes, list[bytes]]:
    """What an append of these leaves makes of the head: new size, new frontier, and the leaves' hashes.

    Pure. Raises EntryTooLargeError before anything is written, LogDamagedError if the head is no head.
    """
    for leaf in leaves:
        if len(leaf) > MAX_LEAF_BYTES:
            raise EntryTooLargeError(len(leaf))
    hashes = [leaf_hash(leaf) for leaf in leaves]
    new_size, new_frontier = extend(size, frontier, hashes)
    return new_size, new_frontier, hashes


def append(session: Session, entries: Sequence[Entry]) -> list[int]:
    """Append entries in their order; the dense indexes that they got.

    Locks the head until the transaction ends, so call it last before the commit. The session must be one
    that writes: on SQLite its transaction (BEGIN IMMEDIATE) is the lock.
    """
    if not entries:
        return []
    leaves = [entry.leaf() for entry in entries]
    size, frontier = _lock_head(session)
    new_size, new_frontier, hashes = plan_append(size, frontier, leaves)
    rows = [
        {
            "idx": size + place,
            "handle": entry.handle,
            "leaf": leaf,
            "leaf_hash": digest,
            "detail_sealed": entry.detail_sealed,
            "at": entry.at,
        }
        for place, (entry, leaf, digest) in enumerate(zip(entries, leaves, hashes, strict=True))
    ]
    connection = session.connection()
    connection.execute(insert(LedgerEntry), rows)
    connection.execute(
        update(LedgerHead)
        .where(col(LedgerHead.name) == HEAD_NAME)
        .values(size=new_size, frontier=new_frontier)
    )
    return list(range(size, new_size))


def ensure_head(session: Session) -> None:
    """Make the one head row of an empty log, unless it is there."""
    insert_once(session, LedgerHead, name=HEAD_NAME, size=0, frontier=b"")


def read_head(session: Session) -> tuple[int, bytes]:
    """Size and frontier of the committed log, without a lock; (0, b"") before the first append."""
    row = session.connection().execute(_SELECT_HEAD).one_or_none()
    return (0, b"") if row is None else (row.size, row.frontier)


def _lock_head(session: Session) -> tuple[int, bytes]:
    # SQLite's dialect leaves FOR UPDATE out: there the whole write transaction is exclusive
    row = session.connection().execute(_SELECT_HEAD.with_for_update()).one_or_none()
    if row is None:
        ensure_head(session)
        row = session.connection().execute(_SELECT_HEAD.with_for_update()).one()
    return row.size, row.frontier


def _rfc3339(instant: datetime) -> str:
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
