"""Erasing what the vault holds of a person: all of it, or what came from one source (PIPA article 36).

What was agreed and what happened stays provable: the log, the audit key, terms and receipts (invariant 25);
no value of a record does. Consents and links end first, each on record; keys go right after the commit, and a
duty repeats it until that is done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session, col, delete, select

from consent.collection import unlink
from consent.dossier import subject_handle
from consent.errors import NotFoundError
from consent.evidence import Occurrence, Work, evidence
from consent.lifecycle import refuse, withdraw
from consent.models import Consent, ConsentCompartment, ConsentVersion, SourceLink, Subject
from consent.outbox import DutyKind, owe
from consent.pending import forget
from consent.rights import RIGHTS_PURPOSE
from consent.roles import Role, place_of
from consent.staff import Staff
from consent.vocabulary import ConsentState, EventType
from vault.keys.keyring import Keyring
from vault.record_types.catalogue import Catalogue
from vault.store import Record, RecordVersion

_ENDED: Final = frozenset(
    {ConsentState.REFUSED, ConsentState.WITHDRAWN, ConsentState.REVOKED, ConsentState.INVALIDATED}
)
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure ended and destroyed."""

    consents: int
    links: int
    records: int


def erase_subject(work: Work, keyring: Keyring, subject_id: str, staff: Staff, now: datetime) -> Erased:
    """End a person's consents and links, and destroy every key that opens something of theirs. Idempotent.

    The audit key stays until its legal term ends. Raises NotFoundError.
    """
    _require_subject(work, subject_id)
    consents = _end_consents(work, keyring, subject_id, now)
    links = _unlink(work, keyring, subject_id, None, now)
    forget(work.session, subject_id)
    erased = Erased(consents, links, _destroy_records(work, keyring, subject_id, None))
    act = _Act(EventType.SUBJECT_ERASED, subject_id, staff, erased, {})
    _record(work, keyring, act, now)
    owe(work.session, DutyKind.ERASE_SUBJECT, subject_id, now)
    work.after_commit(lambda: keyring.erase_subject(subject_id, now))
    return erased


def erase_source(  # noqa: PLR0913 - whose, of which source, by whom, and when
    work: Work, keyring: Keyring, subject_id: str, holder_id: str, *, staff: Staff, now: datetime
) -> Erased:
    """Unlink one source and destroy what came from it: consents stay, and find nothing of it. Idempotent.

    Raises NotFoundError for a source that this person never linked.
    """
    _require_subject(work, subject_id)
    linked = select(SourceLink.link_id).where(
        SourceLink.subject_id == subject_id, SourceLink.holder_id == holder_id
    )
    if work.session.exec(linked.limit(1)).one_or_none() is None:
        raise NotFoundError
    links = _unlink(work, keyring, subject_id, holder_id, now)
    erased = Erased(0, links, _destroy_records(work, keyring, subject_id, holder_id))
    act = _Act(EventType.RECORDS_ERASED, subject_id, staff, erased, {"holder": holder_id})
    _record(work, keyring, act, now)
    owe(work.session, DutyKind.ERASE_SOURCE, f"{subject_id} {holder_id}", now)
    return erased


def finish_source(
    session: Session, keyring: Keyring, catalogue: Catalogue, target: str, erased_at: datetime
) -> None:
    """Destroy what opens records of a source, whether one is left to tell of it or not. Idempotent.

    `target` is the duty's: subject and holder. What was linked, agreed to and made after `erased_at` stays.
    """
    subject_id, _, holder_id = target.partition(" ")
    compartment_ids = [
        keyring.compartment_id(subject_id, place_of(role, holder_id), record_type)
        for role in Role
        for record_type in catalogue.codes()
    ]
    older = select(ConsentVersion.version_id).where(ConsentVersion.created_at <= erased_at)
    session.execute(
        delete(ConsentCompartment).where(
            col(ConsentCompartment.compartment_id).in_(compartment_ids),
            col(ConsentCompartment.version_id).in_(older),
        )
    )
    keyring.erase_compartments(subject_id, compartment_ids, made_until=erased_at)


@dataclass(frozen=True, slots=True)
class _Act:
    """An erasure as it goes on record."""

    event: EventType
    subject_id: str
    staff: Staff
    erased: Erased
    detail: Mapping[str, str]


def _require_subject(work: Work, subject_id: str) -> None:
    if work.session.get(Subject, subject_id) is None:
        raise NotFoundError


def _end_consents(work: Work, keyring: Keyring, subject_id: str, now: datetime) -> int:
    """End every consent that has not ended for good; in one order, so that no two wait for each other."""
    open_ones = work.session.exec(
        select(Consent.grant_id, Consent.state, Consent.given_at)
        .where(Consent.subject_id == subject_id, col(Consent.state).not_in(_ENDED))
        .order_by(col(Consent.grant_id))
    ).all()
    ended = 0
    for grant_id, state, given_at in open_ones:
        if state == ConsentState.REQUESTED:
            refuse(work, keyring, grant_id, subject_id, now)
        elif given_at is not None or state == ConsentState.PARTIALLY_SIGNED:
            withdraw(work, keyring, grant_id, subject_id, now)
        else:  # a request whose time was over
            continue
        ended += 1
    return ended


def _unlink(work: Work, keyring: Keyring, subject_id: str, holder_id: str | None, now: datetime) -> int:
    living = select(SourceLink.link_id).where(
        SourceLink.subject_id == subject_id, col(SourceLink.ended_at).is_(None)
    )
    if holder_id is not None:
        living = living.where(SourceLink.holder_id == holder_id)
    link_ids = work.session.exec(living.order_by(col(SourceLink.link_id))).all()
    for link_id in link_ids:
        unlink(work, keyring, link_id, subject_id, now)
    return len(link_ids)


def _destroy_records(work: Work, keyring: Keyring, subject_id: str, holder_id: str | None) -> int:
    """Delete records with all their versions, and what opens their compartments; answers how many."""
    wanted = select(Record.record_id, Record.compartment_id).where(Record.subject_id == subject_id)
    if holder_id is not None:
        wanted = wanted.where(Record.holder_id == holder_id)
    found = work.session.exec(wanted).all()
    record_ids = [record_id for record_id, _ in found]
    compartment_ids = sorted({compartment_id for _, compartment_id in found})
    for chunk in _chunks(record_ids):
        work.session.execute(delete(RecordVersion).where(col(RecordVersion.record_id).in_(chunk)))
        work.session.execute(delete(Record).where(col(Record.record_id).in_(chunk)))
    opened = col(ConsentCompartment.compartment_id)
    work.session.execute(delete(ConsentCompartment).where(opened.in_(compartment_ids)))
    work.after_commit(lambda: keyring.erase_compartments(subject_id, compartment_ids))
    return len(record_ids)


def _chunks(names: Sequence[str]) -> list[Sequence[str]]:
    """What one statement takes at a time."""
    return [names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE)]


def _record(work: Work, keyring: Keyring, act: _Act, now: datetime) -> None:
    occurrence = Occurrence(
        event=act.event,
        handle=subject_handle(keyring, act.subject_id),
        at=now,
        purpose=RIGHTS_PURPOSE,
        detail={
            "subject_id": act.subject_id,
            "by": act.staff.by,
            "because": act.staff.reason,
            "consents": act.erased.consents,
            "links": act.erased.links,
            "records": act.erased.records,
            **act.detail,
        },
    )
    work.record(evidence(keyring.audit_key(act.subject_id), occurrence))
