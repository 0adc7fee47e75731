"""Ledger entries in the making: commitment and sealed detail under the subject's audit key.

The leaf says what kind of thing happened and commits to the detail; the detail itself, with the
opening of the commitment, lies encrypted beside it. Without the audit key a leaf says nothing more.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import orjson
import rfc8785
from sqlmodel import Session

from consent.ledger.entries import OPENING_BYTES, Entry, check_opening, commit
from consent.models import Consent
from consent.vocabulary import EventType
from vault.errors import TamperedError
from vault.keys.keyring import Keyring
from vault.seal import SealingKey, context_of, open_sealed, seal


class Work(Protocol):
    """What a domain function writes with; `broker.db.Transaction` is one."""

    @property
    def session(self) -> Session:
        """The session of the one transaction."""

    @property
    def acting(self) -> Mapping[str, str] | None:
        """Who acts for the person and in which capacity, if it is not the person (`consent.standing`)."""

    def record(self, entry: Entry) -> None:
        """Put an entry into the log with this transaction's commit."""

    def after_commit(self, work: Callable[[], None]) -> None:
        """Run `work` once the commit holds."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """What happened, before it is sealed: facts are public in the log, the detail is not."""

    event: EventType
    handle: str
    at: datetime
    recipient: str | None = None
    purpose: str | None = None
    facts: Mapping[str, str | int] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)


def evidence(audit_key: SealingKey, occurrence: Occurrence) -> Entry:
    """The finished entry of an occurrence, with a fresh 32-byte opening."""
    opening = secrets.token_bytes(OPENING_BYTES)
    detail = rfc8785.dumps(dict(occurrence.detail))
    commitment = commit(detail, opening)
    return Entry(
        type=occurrence.event,
        at=occurrence.at,
        handle=occurrence.handle,
        recipient=occurrence.recipient,
        purpose=occurrence.purpose,
        facts=dict(occurrence.facts),
        commitment=commitment,
        detail_sealed=seal(audit_key, _context(occurrence.handle, commitment), opening + detail),
    )


def record_consent_event(  # noqa: PLR0913 - an event has this many sides
    work: Work,
    keyring: Keyring,
    consent: Consent,
    event: EventType,
    *,
    detail: Mapping[str, Any],
    now: datetime,
    facts: Mapping[str, str | int] | None = None,
) -> None:
    """Put an event of a consent into the log with this transaction's commit. `facts` are public."""
    acting = {} if work.acting is None else {"acting": dict(work.acting)}
    occurrence = Occurrence(
        event=event,
        handle=consent.handle,
        at=now,
        recipient=consent.recipient_id,
        purpose=consent.purpose,
        facts={"change": consent.change_count, **(facts or {})},
        detail={"grant_id": consent.grant_id, **detail, **acting},
    )
    work.record(evidence(keyring.audit_key(consent.subject_id), occurrence))


def open_detail(
    audit_key: SealingKey, *, handle: str, commitment: bytes, detail_sealed: bytes
) -> dict[str, Any]:
    """The detail of an entry, checked against the commitment in its leaf.

    Raises TamperedError if the sealed detail is not the one that the leaf commits to.
    """
    _, detail = open_commitment(audit_key, handle=handle, commitment=commitment, detail_sealed=detail_sealed)
    loaded: dict[str, Any] = orjson.loads(detail)
    return loaded


def open_commitment(
    audit_key: SealingKey, *, handle: str, commitment: bytes, detail_sealed: bytes
) -> tuple[bytes, bytes]:
    """Opening and canonical detail of an entry: with both, anybody can check what its leaf commits to.

    Raises TamperedError like `open_detail`.
    """
    opened = open_sealed(audit_key, _context(handle, commitment), detail_sealed)
    opening, detail = opened[:OPENING_BYTES], opened[OPENING_BYTES:]
    if not check_opening(commitment, detail=detail, opening=opening):
        raise TamperedError
    return opening, detail


def _context(handle: str, commitment: bytes) -> bytes:
    return context_of("mydata/ledger/detail@v1", handle, commitment)
