"""Representatives: guardians of children, and people to whom an adult gave a mandate. How each begins.

PIPA articles 22-2 and 38, decree article 17-2. Depth is one: who acts for somebody acts for nobody through
them and gives no mandate in their name, and no chain of representatives comes back to where it began. What is
refused is a value, with its entry in the log. A representation is locked before any consent.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

import orjson
from sqlalchemy import ColumnElement
from sqlmodel import Session, col, func, select

from consent.errors import NotFoundError
from consent.evidence import Work
from consent.models import Representation
from consent.party_ends import OFFER_LASTS, close
from consent.party_records import (
    Names,
    Refused,
    context,
    lock_representation,
    name_of,
    record,
    refuse,
    seal_name,
)
from consent.people_vocabulary import (
    Action,
    GuardianEvidence,
    RepresentationEnd,
    RepresentationKind,
    RepresentationState,
)
from consent.staff import Staff
from consent.standing import Scope, birthday, is_child, is_standing, scope_of, standing_now
from consent.vocabulary import EventType, RefusalReason
from vault.keys.keyring import Keyring
from vault.schema import random_id
from vault.seal import seal

EVERYTHING: Final = Scope(frozenset(Action))
_MOST_OFFERS: Final = 20  # of one person that wait at the same time
_BEGINNING: Final = 0x6D79_6461_7461_0008  # the advisory lock under which representations begin, one by one


@dataclass(frozen=True, slots=True)
class Ages:
    """From which age a person agrees alone, and from which a guardian's time is over. Whole years."""

    child: int
    handover: int


@dataclass(frozen=True, slots=True)
class NewGuardian:
    """A guardian to be registered. `evidence` is how it was verified, None if it was not; `note` is free."""

    child_id: str
    guardian_id: str
    born_on: date = field(repr=False)
    names: Names
    evidence: GuardianEvidence | None
    note: str = field(default="", repr=False)
    scope: Scope = EVERYTHING


@dataclass(frozen=True, slots=True)
class NewMandate:
    """A mandate that an adult offers. `representative_id` is None if the name that they typed is nobody's."""

    subject_id: str
    representative_id: str | None
    names: Names
    scope: Scope
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class RepresentationView:
    """A representation as one of the two, or the staff, sees it. OFFERED and ACTIVE are as of now."""

    representation_id: str
    kind: RepresentationKind
    state: RepresentationState
    subject_id: str
    subject_name: str | None = field(repr=False)
    representative_name: str | None = field(repr=False)
    scope: Scope
    evidence: str | None
    valid_from: datetime
    valid_until: datetime
    ended_at: datetime | None
    end_reason: str | None


def register_guardian(  # noqa: PLR0913 - who registers whom by which rules
    work: Work,
    keyring: Keyring,
    new: NewGuardian,
    *,
    ages: Ages,
    staff: Staff,
    now: datetime,
) -> str | Refused:
    """Register a guardian whom the staff has verified; answers the id. Their time ends at an age."""
    _begin_alone(work.session)
    acted = {"by": staff.by, "because": staff.reason}
    row = _row(new.child_id, new.guardian_id, RepresentationKind.GUARDIAN, new.scope, now)
    row.valid_until, row.alone_from = birthday(new.born_on, ages.handover), birthday(new.born_on, ages.child)
    fault = _guardian_fault(work.session, new, row.valid_until, now)
    if fault is not None or new.evidence is None:
        detail = {"guardian": new.guardian_id, **acted}
        reason = RefusalReason.GUARDIAN_UNVERIFIED
        return refuse(work, keyring, new.child_id, reason, fault or "evidence", detail=detail, now=now)
    row.state, row.begun_at = RepresentationState.ACTIVE, now
    row.evidence = new.evidence
    held = orjson.dumps({"note": new.note, **acted})
    audit_key = keyring.audit_key(new.child_id)
    row.evidence_sealed = seal(audit_key, context("evidence", row.representation_id), held)
    _keep_names(keyring, row, new.names, new.guardian_id, now)
    work.session.add(row)
    work.session.flush()
    detail = {"evidence": new.evidence, **acted}
    record(work, keyring, row, EventType.REPRESENTATION_BEGUN, now, detail=detail)
    return row.representation_id


def offer_mandate(
    work: Work,
    keyring: Keyring,
    new: NewMandate,
    *,
    longest: timedelta,
    now: datetime,
) -> str | Refused:
    """An adult offers another person a mandate; it begins when the other accepts. Answers its id.

    A name that is nobody's is answered, and written into the log, like any other.
    """
    fault = _mandate_fault(work.session, new, longest, now)
    if fault is not None:
        reason = (
            RefusalReason.EXCESSIVE_REPEAT if fault == "too_many_offers" else RefusalReason.AGENT_UNVERIFIED
        )
        return refuse(work, keyring, new.subject_id, reason, fault, now=now)
    row = _row(new.subject_id, new.representative_id, RepresentationKind.MANDATE, new.scope, now)
    row.valid_until = new.valid_until
    _keep_names(keyring, row, new.names, new.subject_id, now)
    work.session.add(row)
    work.session.flush()
    record(work, keyring, row, EventType.REPRESENTATION_OFFERED, now)
    return row.representation_id


def accept_mandate(  # noqa: PLR0913 - who accepts what, under which name
    work: Work,
    keyring: Keyring,
    representation_id: str,
    representative_id: str,
    *,
    name: str,
    now: datetime,
) -> Refused | None:
    """The other accepts, under their own name. Raises NotFoundError for what was not offered to them.

    They are not told why it cannot begin: another's mandates are none of their business.
    """
    _begin_alone(work.session)
    row = lock_representation(work.session, representation_id)
    if row is None or row.representative_id != representative_id:
        raise NotFoundError
    if row.state != RepresentationState.OFFERED:
        raise NotFoundError
    fault, end = _acceptance_fault(work.session, row, representative_id, now)
    if fault is not None:
        close(work, keyring, row, end, now)
        reason = RefusalReason.AGENT_UNVERIFIED
        return refuse(work, keyring, row.subject_id, reason, fault, handle=row.handle, now=now)
    row.state, row.begun_at, row.valid_from = RepresentationState.ACTIVE, now, now
    row.representative_name_sealed = seal_name(
        keyring,
        representation_id,
        "representative",
        name,
        representative_id,
        now,
    )
    record(work, keyring, row, EventType.REPRESENTATION_BEGUN, now)
    return None


def given_by(session: Session, keyring: Keyring, subject_id: str, now: datetime) -> list[RepresentationView]:
    """Who acts, or may one day act, for a person; what has ended comes last."""
    return _views(session, keyring, col(Representation.subject_id) == subject_id, now)


def held_by(
    session: Session,
    keyring: Keyring,
    representative_id: str,
    now: datetime,
) -> list[RepresentationView]:
    """For whom a person acts, or was asked to; what has ended comes last."""
    return _views(session, keyring, col(Representation.representative_id) == representative_id, now)


def _views(
    session: Session,
    keyring: Keyring,
    condition: ColumnElement[bool],
    now: datetime,
) -> list[RepresentationView]:
    rows = session.exec(
        select(Representation)
        .where(condition)
        .order_by(col(Representation.ended_at).is_not(None), col(Representation.created_at).desc()),
    )
    return [_view(keyring, row, now) for row in rows]


def _view(keyring: Keyring, row: Representation, now: datetime) -> RepresentationView:
    return RepresentationView(
        representation_id=row.representation_id,
        kind=RepresentationKind(row.kind),
        state=_state(row, now),
        subject_id=row.subject_id,
        subject_name=name_of(keyring, row, "subject"),
        representative_name=name_of(keyring, row, "representative"),
        scope=scope_of(row),
        evidence=row.evidence,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        ended_at=row.ended_at,
        end_reason=row.end_reason,
    )


def _state(row: Representation, now: datetime) -> RepresentationState:
    """That time has ended it is evaluated on reading."""
    if row.state == RepresentationState.OFFERED:
        is_over = now >= min(row.valid_until, row.created_at + OFFER_LASTS)
    else:
        is_over = not is_standing(row, now)
    return RepresentationState.ENDED if is_over else RepresentationState(row.state)


def _row(
    subject_id: str,
    representative_id: str | None,
    kind: RepresentationKind,
    scope: Scope,
    now: datetime,
) -> Representation:
    actions, purposes = scope.written()
    return Representation(
        representation_id=random_id(),
        subject_id=subject_id,
        representative_id=representative_id,
        kind=kind,
        state=RepresentationState.OFFERED,
        purposes=purposes,
        actions=actions,
        handle=random_id(),
        notice_handle=random_id(),
        valid_from=now,
        valid_until=now,
        created_at=now,
    )


def _keep_names(keyring: Keyring, row: Representation, names: Names, keeper: str, now: datetime) -> None:
    """The representative's name lies with `keeper`: with whoever typed it, or with whose it is."""
    row.subject_name_sealed = seal_name(
        keyring,
        row.representation_id,
        "subject",
        names.subject,
        row.subject_id,
        now,
    )
    row.representative_name_sealed = seal_name(
        keyring,
        row.representation_id,
        "representative",
        names.representative,
        keeper,
        now,
    )


def _guardian_fault(session: Session, new: NewGuardian, valid_until: datetime, now: datetime) -> str | None:
    if new.guardian_id == new.child_id:
        return "self"
    if is_child(session, new.guardian_id, now):
        return "child"
    if not new.scope.actions:
        return "scope"
    if now >= valid_until:
        return "of_age"
    if _is_represented_by(session, new.child_id, new.guardian_id, now):
        return "there_already"
    return "circle" if _closes_circle(session, new.child_id, new.guardian_id, now) else None


def _mandate_fault(session: Session, new: NewMandate, longest: timedelta, now: datetime) -> str | None:
    """What is known to whoever offers: everything else is looked at when the other accepts."""
    if new.representative_id == new.subject_id:
        return "self"
    if not new.scope.actions:
        return "scope"
    if is_child(session, new.subject_id, now):
        return "child"
    if not now < new.valid_until <= now + longest:
        return "period"
    waiting = session.exec(
        select(func.count())
        .select_from(Representation)
        .where(
            Representation.subject_id == new.subject_id,
            Representation.state == RepresentationState.OFFERED,
        ),
    ).one()
    if waiting >= _MOST_OFFERS:
        return "too_many_offers"
    if new.representative_id is not None and _is_represented_by(
        session,
        new.representative_id,
        new.subject_id,
        now,
    ):
        return "circle"
    return None


def _acceptance_fault(
    session: Session,
    row: Representation,
    representative_id: str,
    now: datetime,
) -> tuple[str | None, RepresentationEnd]:
    if _state(row, now) is RepresentationState.ENDED:
        return "over", RepresentationEnd.EXPIRED
    if any(is_child(session, one, now) for one in (row.subject_id, representative_id)):
        return "child", RepresentationEnd.DECLINED  # the offer may be older than what is known of its person
    if _is_represented_by(session, row.subject_id, representative_id, now):
        return "there_already", RepresentationEnd.DECLINED
    if _closes_circle(session, row.subject_id, representative_id, now):
        return "circle", RepresentationEnd.DECLINED
    return None, RepresentationEnd.DECLINED


def _is_represented_by(session: Session, subject_id: str, representative_id: str, now: datetime) -> bool:
    return subject_id in _represented_by(session, {representative_id}, now)


def _closes_circle(session: Session, subject_id: str, representative_id: str, now: datetime) -> bool:
    """Whether the representative is represented, perhaps by way of others, by the person themselves."""
    found: set[str] = set()
    reached = {subject_id}
    while reached:
        found |= reached
        reached = _represented_by(session, reached, now) - found
    return representative_id in found


def _represented_by(session: Session, representatives: Collection[str], now: datetime) -> set[str]:
    """Everybody for whom one of these people acts."""
    return set(
        session.exec(
            select(Representation.subject_id).where(
                col(Representation.representative_id).in_(representatives),
                standing_now(now),
            ),
        ),
    )


def _begin_alone(session: Session) -> None:
    """Wait for other beginnings: two at once could close a circle. SQLite has one writer anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.exec(select(func.pg_advisory_xact_lock(_BEGINNING)))
