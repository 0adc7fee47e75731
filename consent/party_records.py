"""What every change of a representation does: lock its row, put it on both people's record, keep the names.

The person's side of the log and the representative's have handles of their own, each sealed under its key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from sqlmodel import Session, select

from consent.evidence import Occurrence, Work, evidence
from consent.models import Representation
from consent.staff import STAFF_KEY
from consent.standing import refusal_of
from consent.vocabulary import EventType, RefusalReason
from vault.errors import UnknownKeyError
from vault.keys.keyring import Keyring
from vault.schema import random_id
from vault.seal import SealingKey, context_of, open_sealed, seal

PARTIES_PURPOSE: Final = "subject.representation"

Side = Literal["subject", "representative"]


@dataclass(frozen=True, slots=True)
class Names:
    """The names by which the two know each other; both are kept sealed."""

    subject: str = field(repr=False)
    representative: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """No, for one of the law's reasons; `fault` says which rule. It is in the log already."""

    reason: RefusalReason
    fault: str


def lock_representation(session: Session, representation_id: str) -> Representation | None:
    """The row, locked for this transaction and read afresh."""
    return session.exec(
        select(Representation)
        .where(Representation.representation_id == representation_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one_or_none()


def record(  # noqa: PLR0913 - an event has this many sides
    work: Work,
    keyring: Keyring,
    row: Representation,
    event: EventType,
    now: datetime,
    *,
    facts: Mapping[str, str | int] | None = None,
    detail: Mapping[str, str] | None = None,
) -> None:
    """Put an event on the record of both; `detail` only on that of the person.

    There are always two entries: their number must not tell whether a name is somebody's.
    """
    told = {"representation_id": row.representation_id, "representative": row.representative_id}
    for keeper, handle, more in (
        (row.subject_id, row.handle, detail or {}),
        (row.representative_id, row.notice_handle, {}),
    ):
        occurrence = Occurrence(
            event=event,
            handle=handle,
            at=now,
            purpose=PARTIES_PURPOSE,
            facts={"kind": row.kind, **(facts or {})},
            detail={**told, "subject": row.subject_id, **more},
        )
        work.record(evidence(_key_of(keyring, keeper), occurrence))


def refuse(  # noqa: PLR0913 - who is refused what, and why
    work: Work,
    keyring: Keyring,
    subject_id: str,
    reason: RefusalReason,
    fault: str,
    *,
    now: datetime,
    detail: Mapping[str, str | None] | None = None,
    handle: str | None = None,
) -> Refused:
    """Put a refusal on the record of the person whose affairs they are; nobody's is on the staff's."""
    occurrence = Occurrence(
        event=EventType.REPRESENTATION_REFUSED,
        handle=handle or random_id(),
        at=now,
        purpose=PARTIES_PURPOSE,
        facts={"reason": reason},
        detail={"subject": subject_id, "fault": fault, **(detail or {})},
    )
    work.record(evidence(_key_of(keyring, subject_id), occurrence))
    return Refused(reason, fault)


def refuse_acting(  # noqa: PLR0913, PLR0917 - who is refused what, and why
    work: Work,
    keyring: Keyring,
    representation_id: str,
    representative_id: str,
    fault: str,
    now: datetime,
) -> Refused | None:
    """Put on record that somebody wanted to act for another and may not (any more).

    Nothing for somebody else's representation: that is as unknown, and says nothing about the two.
    """
    row = work.session.get(Representation, representation_id)
    if row is None or row.representative_id != representative_id:
        return None
    detail = {"representation_id": representation_id, "representative": representative_id}
    return refuse(
        work, keyring, row.subject_id, refusal_of(row.kind), fault, handle=row.handle, detail=detail, now=now
    )


def seal_name(  # noqa: PLR0913, PLR0917 - whose name, in what, under whose key
    keyring: Keyring, representation_id: str, side: Side, name: str, keeper: str, now: datetime
) -> bytes:
    """A name under a key that its keeper's erasure takes."""
    key = keyring.ensure_compartment(keeper, _name_compartment(keyring, keeper), now)
    return seal(key, context(side, representation_id), name.encode())


def name_of(keyring: Keyring, row: Representation, side: Side) -> str | None:
    """The name of one of the two; None once it was erased.

    Until a mandate has begun, the representative's is what the other typed, and theirs to keep.
    """
    is_theirs = side == "representative" and row.begun_at is not None
    sealed = row.representative_name_sealed if side == "representative" else row.subject_name_sealed
    keeper = row.representative_id if is_theirs else row.subject_id
    if sealed is None or keeper is None:
        return None
    try:
        key = keyring.compartment_key(keeper, _name_compartment(keyring, keeper))
    except UnknownKeyError:
        return None
    return open_sealed(key, context(side, row.representation_id), sealed).decode()


def context(part: str, representation_id: str) -> bytes:
    """What a sealed part of a representation is bound to."""
    return context_of("mydata/consent/representation@v1", part, representation_id)


def _name_compartment(keyring: Keyring, keeper: str) -> str:
    return keyring.compartment_id(keeper, "broker", "representation.name")


def _key_of(keyring: Keyring, subject_id: str | None) -> SealingKey:
    if subject_id is not None:
        try:
            return keyring.audit_key(subject_id)
        except UnknownKeyError:  # nobody of ours
            pass
    return keyring.sealing_key(STAFF_KEY)
