"""Whether whoever decides about a person's consent may: themselves, a guardian, or who has their mandate.

Evaluated on reading: an end that no job has put on record yet holds from its very instant (invariant 20).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Final

import orjson
from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from consent.errors import SignerRefusedError
from consent.models import Consent, Representation
from consent.people_vocabulary import Action, RepresentationKind, RepresentationState
from consent.vocabulary import RefusalReason

_KST: Final = timezone(timedelta(hours=9))
_LEAP_DAY: Final = (2, 29)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a representative may do, and for which purposes; `purposes` None means all of them."""

    actions: frozenset[Action]
    purposes: frozenset[str] | None = None

    def allows(self, action: Action, purpose: str | None = None) -> bool:
        """Whether this may be done; with `purpose`, about a consent for it."""
        if action not in self.actions:
            return False
        return purpose is None or self.purposes is None or purpose in self.purposes

    def written(self) -> tuple[str, str | None]:
        """The columns `actions` and `purposes`."""
        purposes = None if self.purposes is None else orjson.dumps(sorted(self.purposes)).decode()
        return " ".join(sorted(self.actions)), purposes


@dataclass(frozen=True, slots=True)
class Acting:
    """Somebody who acts for another person now."""

    representation_id: str
    subject_id: str
    representative_id: str
    kind: RepresentationKind
    scope: Scope

    def detail(self) -> Mapping[str, str]:
        """What an event keeps of it: who acted, in which capacity."""
        return {
            "representation_id": self.representation_id,
            "representative": self.representative_id,
            "capacity": self.kind,
        }


def scope_of(row: Representation) -> Scope:
    """The scope that a representation has."""
    purposes = None if row.purposes is None else frozenset(orjson.loads(row.purposes))
    return Scope(frozenset(Action(action) for action in row.actions.split()), purposes)


def is_standing(row: Representation, now: datetime) -> bool:
    """Whether a representation holds now."""
    return row.state == RepresentationState.ACTIVE and row.valid_from <= now < row.valid_until


def standing_now(now: datetime) -> ColumnElement[bool]:
    """The same as a condition of a query."""
    return (
        (col(Representation.state) == RepresentationState.ACTIVE)
        & (col(Representation.valid_from) <= now)
        & (col(Representation.valid_until) > now)
    )


def find_acting(
    session: Session,
    representation_id: str,
    representative_id: str,
    now: datetime,
    *,
    is_held: bool = False,
) -> Acting | None:
    """What somebody may do by a representation; None if it is not theirs or does not hold now.

    `is_held`: it cannot end before this transaction does. It is locked before any consent.
    """
    wanted = select(Representation).where(
        Representation.representation_id == representation_id,
        Representation.representative_id == representative_id,
    )
    if is_held:
        wanted = wanted.with_for_update(read=True).execution_options(populate_existing=True)
    row = session.exec(wanted).one_or_none()
    if row is None or not is_standing(row, now):
        return None
    return Acting(
        representation_id=row.representation_id,
        subject_id=row.subject_id,
        representative_id=representative_id,
        kind=RepresentationKind(row.kind),
        scope=scope_of(row),
    )


def signer_refused(session: Session, consent: Consent, now: datetime) -> RefusalReason | None:
    """Why whoever decides about this consent may not sign it, or None. For a child only a guardian signs."""
    child = is_child(session, consent.subject_id, now)
    if consent.signed_by is None:
        return RefusalReason.GUARDIAN_UNVERIFIED if child else None
    rows = session.exec(
        select(Representation).where(
            Representation.subject_id == consent.subject_id,
            Representation.representative_id == consent.signed_by,
        ),
    ).all()
    may = [row for row in rows if not child or row.kind == RepresentationKind.GUARDIAN]
    if any(is_standing(row, now) and scope_of(row).allows(Action.CONSENT, consent.purpose) for row in may):
        return None
    is_guardians = child or any(row.kind == RepresentationKind.GUARDIAN for row in rows)
    return refusal_of(RepresentationKind.GUARDIAN if is_guardians else RepresentationKind.MANDATE)


def refusal_of(kind: str) -> RefusalReason:
    """Which of the law's reasons it is when a representative may not do something."""
    if kind == RepresentationKind.GUARDIAN:
        return RefusalReason.GUARDIAN_UNVERIFIED
    return RefusalReason.AGENT_UNVERIFIED


def require_signer(session: Session, consent: Consent, now: datetime) -> None:
    """Raise SignerRefusedError unless whoever decides about this consent may sign it now."""
    reason = signer_refused(session, consent, now)
    if reason is not None:
        raise SignerRefusedError(reason)


def is_child(session: Session, subject_id: str, now: datetime) -> bool:
    """Whether a person is known to be too young to agree without a guardian (PIPA article 22-2)."""
    found = session.exec(
        select(Representation.representation_id).where(
            Representation.subject_id == subject_id,
            Representation.kind == RepresentationKind.GUARDIAN,
            col(Representation.alone_from) > now,
        ),
    )
    return found.first() is not None


def handover_of(session: Session, consent: Consent, now: datetime) -> datetime | None:
    """When what a guardian agrees to now waits for the young person themselves; None if no guardian does."""
    return session.exec(
        select(Representation.valid_until)
        .where(
            Representation.subject_id == consent.subject_id,
            Representation.representative_id == consent.signed_by,
            Representation.kind == RepresentationKind.GUARDIAN,
            standing_now(now),
        )
        .order_by(col(Representation.valid_until)),
    ).first()


def birthday(born_on: date, age: int) -> datetime:
    """The first instant of an age, in Korea. Who was born on a 29 February is older from 1 March on.

    Civil Act articles 158 and 160(3).
    """
    year = born_on.year + age
    month, day = born_on.month, born_on.day
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if (month, day) == _LEAP_DAY and not is_leap:
        month, day = 3, 1
    return datetime(year, month, day, tzinfo=_KST)
