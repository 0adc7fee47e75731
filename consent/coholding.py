"""Accounts that several people hold together: registered by the staff on a holder's word."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlmodel import Session, col, select

from consent.errors import NotFoundError, WrongStateError
from consent.evidence import Occurrence, Work, evidence
from consent.models import CoHolding, Subject
from consent.organisations import require_holders
from consent.staff import Staff
from consent.vocabulary import EventType
from vault.keys.keyring import Keyring
from vault.schema import random_id

COHOLDING_PURPOSE: Final = "subject.co_holding"
_FEWEST: Final = 2


@dataclass(frozen=True, slots=True)
class Account:
    """A shared account: at which holder, told by which record type, held by whom."""

    account_id: str
    organisation_id: str
    record_type: str
    subject_ids: tuple[str, ...]


def add_account(  # noqa: PLR0913 - which account of whom, told by whom
    work: Work,
    keyring: Keyring,
    organisation_id: str,
    record_type: str,
    subject_ids: Collection[str],
    *,
    staff: Staff,
    now: datetime,
) -> str:
    """Register an account of several people; answers its id.

    Raises UnknownOrganisationError, NotFoundError for somebody who is nobody of ours, and WrongStateError for
    fewer than two people.
    """
    people = sorted(set(subject_ids))
    if len(people) < _FEWEST:
        raise WrongStateError("alone", "share")
    require_holders(work.session, {organisation_id})
    if len(lock_people(work.session, people)) < len(people):
        raise NotFoundError
    account_id = random_id()
    for subject_id in people:
        row = CoHolding(
            account_id=account_id,
            subject_id=subject_id,
            organisation_id=organisation_id,
            record_type=record_type,
            handle=random_id(),
            added_at=now,
        )
        work.session.add(row)
        _record(work, keyring, row, EventType.COHOLDING_ADDED, staff, now)
    work.session.flush()
    return account_id


def remove_account(work: Work, keyring: Keyring, account_id: str, *, staff: Staff, now: datetime) -> None:
    """The account is nobody's together any more. Idempotent. Raises NotFoundError."""
    rows = work.session.exec(
        select(CoHolding).where(CoHolding.account_id == account_id).with_for_update(key_share=True)
    ).all()
    if not rows:
        raise NotFoundError
    for row in rows:
        if row.ended_at is None:
            row.ended_at = now
            _record(work, keyring, row, EventType.COHOLDING_REMOVED, staff, now)


def accounts(session: Session, subject_id: str | None = None) -> list[Account]:
    """The accounts that several people hold now; with a subject, theirs."""
    rows = session.exec(
        select(CoHolding).where(col(CoHolding.ended_at).is_(None)).order_by(col(CoHolding.account_id))
    ).all()
    found: dict[str, list[CoHolding]] = {}
    for row in rows:
        found.setdefault(row.account_id, []).append(row)
    listed = [
        Account(
            account_id, held[0].organisation_id, held[0].record_type, tuple(row.subject_id for row in held)
        )
        for account_id, held in found.items()
    ]
    return [one for one in listed if subject_id is None or subject_id in one.subject_ids]


def lock_people(session: Session, subject_ids: Sequence[str]) -> Sequence[str]:
    """Lock these people's rows, in order and before any consent; answers those that there are.

    Asking a co-holder and shielding somebody from one wait for each other by it.
    """
    return session.exec(
        select(Subject.subject_id)
        .where(col(Subject.subject_id).in_(subject_ids))
        .order_by(col(Subject.subject_id))
        .with_for_update(key_share=True)
    ).all()


def record_holding(  # noqa: PLR0913, PLR0917 - an event has this many sides
    work: Work,
    keyring: Keyring,
    subject_id: str,
    handle: str,
    event: EventType,
    detail: Mapping[str, Any],
    now: datetime,
) -> None:
    """Put an event on the record of one holder of an account. In the log stands no more than its name."""
    occurrence = Occurrence(event=event, handle=handle, at=now, purpose=COHOLDING_PURPOSE, detail=detail)
    work.record(evidence(keyring.audit_key(subject_id), occurrence))


def _record(  # noqa: PLR0913, PLR0917 - an event has this many sides
    work: Work, keyring: Keyring, row: CoHolding, event: EventType, staff: Staff, now: datetime
) -> None:
    detail = {
        "account_id": row.account_id,
        "holder": row.organisation_id,
        "record_type": row.record_type,
        "by": staff.by,
        "because": staff.reason,
    }
    record_holding(work, keyring, row.subject_id, row.handle, event, detail, now)
