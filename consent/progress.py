"""How far the asking of holders has come, link by link: what is due, each page as it is taken, how it ended.

A holder's mark (search timestamp) moves on only when a whole pass was taken without a fault, so what a fault
has cost is asked for again. A refusal goes on record once, and again when its reason changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import or_
from sqlmodel import Session, col, func, select, update

from consent.collection import record_link_event, record_types_of
from consent.evidence import Work
from consent.identity import Identity, identity_of
from consent.models import HolderConnection, Organisation, SourceLink, SourceProgress
from consent.organisations import OrganisationStatus, require_holders
from consent.vocabulary import EventType, RefusalReason
from vault.insert import insert_if_absent
from vault.keys.keyring import Keyring
from vault.seal import context_of, open_sealed, seal

ASK_AGAIN: Final = timedelta(days=1)
"""The cycle that people agree to (`consent.collection.CYCLE`)."""

LEASE: Final = timedelta(minutes=3)
_FIRST_RETRY: Final = timedelta(seconds=2)
_LONGEST_WAIT: Final = timedelta(hours=6)
_MOST_DUE: Final = 500


@dataclass(frozen=True, slots=True)
class Task:
    """A link whose holder is to be asked: where, for whom, and from where on."""

    link_id: str
    subject_id: str
    holder_id: str
    endpoint: str
    record_types: tuple[str, ...]
    identity: Identity
    valid_until: datetime
    since: int
    cursor: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Turn:
    """A page that was taken: the holder's mark, where it goes on (None: it was the last), the first fault."""

    mark: int
    next_cursor: str | None = field(repr=False)
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a link stands with its holder, for its person."""

    refusal: RefusalReason | None
    refused_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class HolderStanding:
    """How a holder does: where it is asked, its living links, how many get no good answer, and why mostly.

    `fault` is a rule, or the legal ground of a refusal.
    """

    endpoint: str | None
    links: int
    failing: int
    fault: str | None


def connect(session: Session, holder_id: str, endpoint: str, now: datetime) -> None:
    """Say where a holder answers; a second time, the new address. Raises UnknownOrganisationError."""
    require_holders(session, [holder_id])
    values = {"holder_id": holder_id, "endpoint": endpoint, "created_at": now}
    if not insert_if_absent(session, HolderConnection, values):
        session.get_one(HolderConnection, holder_id).endpoint = endpoint


def due_links(session: Session, now: datetime, *, holder_id: str | None, is_forced: bool) -> list[str]:
    """The links whose holder is to be asked now, the longest due first; forced, whether it is time or not."""
    wanted = (
        select(SourceLink.link_id)
        .join(HolderConnection, col(HolderConnection.holder_id) == col(SourceLink.holder_id))
        .join(Organisation, col(Organisation.organisation_id) == col(SourceLink.holder_id))
        .outerjoin(SourceProgress, col(SourceProgress.link_id) == col(SourceLink.link_id))
        .where(
            Organisation.status == OrganisationStatus.ACTIVE,
            col(SourceLink.ended_at).is_(None),
            col(SourceLink.valid_until) > now,
            col(SourceLink.identity_sealed).is_not(None),
        )
        .order_by(col(SourceProgress.next_at).is_not(None), col(SourceProgress.next_at))
    )
    if holder_id is not None:
        wanted = wanted.where(SourceLink.holder_id == holder_id)
    if is_forced:
        return list(session.exec(wanted))
    is_free = or_(col(SourceProgress.leased_until).is_(None), col(SourceProgress.leased_until) <= now)
    is_due = or_(col(SourceProgress.link_id).is_(None), (col(SourceProgress.next_at) <= now) & is_free)
    return list(session.exec(wanted.where(is_due).limit(_MOST_DUE)))


def never_completed(session: Session) -> int:
    """How many living links with a connected holder there are of which no pass has come to its end yet."""
    waiting = (
        select(func.count())
        .select_from(SourceLink)
        .join(HolderConnection, col(HolderConnection.holder_id) == col(SourceLink.holder_id))
        .outerjoin(SourceProgress, col(SourceProgress.link_id) == col(SourceLink.link_id))
        .where(col(SourceLink.ended_at).is_(None), col(SourceProgress.completed_at).is_(None))
    )
    return session.exec(waiting).one()


def take(work: Work, keyring: Keyring, link_id: str, now: datetime) -> Task | None:
    """Take a link for oneself, for `LEASE` from the last page on; None if another worker has it, or it ended.

    Raises ErasedError for a person whose keys are gone.
    """
    session = work.session
    link, connection = session.get_one(SourceLink, link_id), None
    if is_living(link, now):
        connection = session.get(HolderConnection, link.holder_id)
    identity = None if connection is None else identity_of(keyring, link)
    if connection is None or identity is None or not _lease(session, link_id, now):
        return None
    row = session.get_one(SourceProgress, link_id, populate_existing=True)
    return Task(
        link_id=link_id,
        subject_id=link.subject_id,
        holder_id=link.holder_id,
        endpoint=connection.endpoint,
        record_types=record_types_of(keyring, link),
        identity=identity,
        valid_until=link.valid_until,
        since=row.since,
        cursor=_open_cursor(keyring, link, row.cursor_sealed),
    )


def is_living(link: SourceLink, now: datetime) -> bool:
    """Whether anything may be collected through a link."""
    return link.ended_at is None and link.valid_until > now


def turn_page(work: Work, keyring: Keyring, link: SourceLink, turn: Turn, now: datetime) -> None:
    """A page was taken, in this very transaction; after the last one the holder is left alone for a day."""
    row = work.session.get_one(SourceProgress, link.link_id, populate_existing=True)
    row.pass_mark = turn.mark if row.pass_mark is None else row.pass_mark
    row.fault = turn.fault or (row.fault if row.has_faults else None)
    row.has_faults = row.has_faults or turn.fault is not None
    row.attempts, row.refusal, row.refused_at = 0, None, None
    if turn.next_cursor is not None:
        row.cursor_sealed = seal(
            keyring.audit_key(link.subject_id), _context(link.link_id), turn.next_cursor.encode()
        )
        row.leased_until = now + LEASE
        return
    if not row.has_faults:
        row.since = row.pass_mark
    row.completed_at = now
    _begin_anew(row)
    row.next_at, row.leased_until = now + ASK_AGAIN, None


def fail(work: Work, link_id: str, fault: str, *, is_broken: bool, now: datetime) -> None:
    """The holder could not be asked, or its answer cannot be used: ask again later, each time twice as late.

    `is_broken`: the pass begins anew from the last mark, since the holder's cursor leads nowhere.
    """
    row = work.session.get_one(SourceProgress, link_id, populate_existing=True)
    wait = min(_FIRST_RETRY * 2 ** min(row.attempts, 20), _LONGEST_WAIT)
    row.attempts += 1
    row.fault, row.next_at, row.leased_until = fault, now + wait, None
    if is_broken:
        _begin_anew(row)


def refuse(work: Work, keyring: Keyring, link: SourceLink, reason: RefusalReason, now: datetime) -> None:
    """The holder refuses on a ground that the law knows. Its person is told; the holder is asked again."""
    row = work.session.get_one(SourceProgress, link.link_id, populate_existing=True)
    if row.refusal != reason:
        row.refusal, row.refused_at = reason, now
        record_link_event(
            work,
            keyring,
            link,
            EventType.COLLECTION_REFUSED,
            facts={"reason": reason},
            detail={"holder": link.holder_id, "reason": reason},
            now=now,
        )
    row.attempts, row.fault = 0, None
    _begin_anew(row)
    row.next_at, row.leased_until = now + ASK_AGAIN, None


def reject(work: Work, keyring: Keyring, link: SourceLink, rules: Sequence[str], now: datetime) -> None:
    """Records that came in answer to a request and were none of it: refused, and on record by their rule."""
    for rule in sorted(set(rules)):
        facts: dict[str, str | int] = {"rule": rule, "records": rules.count(rule)}
        detail = {"holder": link.holder_id}
        record_link_event(
            work, keyring, link, EventType.RECORDS_REJECTED, facts=facts, detail=detail, now=now
        )


def standings_of(session: Session, subject_id: str) -> dict[str, Standing]:
    """How each of a subject's links stands with its holder, by link id; only those that were ever asked."""
    rows = session.exec(
        select(SourceProgress)
        .join(SourceLink, col(SourceLink.link_id) == col(SourceProgress.link_id))
        .where(SourceLink.subject_id == subject_id)
    )
    return {
        row.link_id: Standing(
            refusal=None if row.refusal is None else RefusalReason(row.refusal),
            refused_at=row.refused_at,
            completed_at=row.completed_at,
        )
        for row in rows
    }


def holder_standings(session: Session, now: datetime) -> dict[str, HolderStanding]:
    """How each holder does that is connected, or that anybody has linked."""
    endpoints = {row.holder_id: row.endpoint for row in session.exec(select(HolderConnection))}
    why = func.coalesce(col(SourceProgress.fault), col(SourceProgress.refusal))
    rows = session.exec(
        select(SourceLink.holder_id, why, func.count())
        .outerjoin(SourceProgress, col(SourceProgress.link_id) == col(SourceLink.link_id))
        .where(col(SourceLink.ended_at).is_(None), col(SourceLink.valid_until) > now)
        .group_by(col(SourceLink.holder_id), why)
        .order_by(func.count().desc(), why)
    ).all()
    return {
        holder_id: HolderStanding(
            endpoint=endpoints.get(holder_id),
            links=sum(count for holder, _, count in rows if holder == holder_id),
            failing=sum(count for holder, fault, count in rows if holder == holder_id and fault),
            fault=next((fault for holder, fault, _ in rows if holder == holder_id and fault), None),
        )
        for holder_id in {*endpoints, *(holder for holder, _, _ in rows)}
    }


def _lease(session: Session, link_id: str, now: datetime) -> bool:
    """Of several that try at once, one gets it."""
    first = {
        "link_id": link_id,
        "since": 0,
        "pass_mark": None,
        "cursor_sealed": None,
        "has_faults": False,
        "attempts": 0,
        "fault": None,
        "refusal": None,
        "refused_at": None,
        "next_at": now,
        "leased_until": now + LEASE,
        "completed_at": None,
    }
    if insert_if_absent(session, SourceProgress, first):
        return True
    taken = session.exec(
        update(SourceProgress)
        .where(
            col(SourceProgress.link_id) == link_id,
            or_(col(SourceProgress.leased_until).is_(None), col(SourceProgress.leased_until) <= now),
        )
        .values(leased_until=now + LEASE)
        .returning(col(SourceProgress.link_id))
    ).one_or_none()
    return taken is not None


def _begin_anew(row: SourceProgress) -> None:
    row.cursor_sealed, row.pass_mark, row.has_faults = None, None, False


def _open_cursor(keyring: Keyring, link: SourceLink, sealed: bytes | None) -> str | None:
    if sealed is None:
        return None
    return open_sealed(keyring.audit_key(link.subject_id), _context(link.link_id), sealed).decode()


def _context(link_id: str) -> bytes:
    return context_of("mydata/consent/source-cursor@v1", link_id)
