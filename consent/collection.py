"""Collecting: a source link under a collection consent of its own, and what arrives through it.

No record of a person stands in the vault without a living link; linking and collecting are recorded.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Any, Final

import orjson
import rfc8785
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from consent.errors import AlreadyLinkedError, NotFoundError, NotLinkedError
from consent.evidence import Occurrence, Work, evidence
from consent.identity import Identity, number_index, person_index, seal_identity
from consent.ledger.entries import Entry
from consent.models import SourceLink, Subject
from consent.organisations import require_holders
from consent.purposes import Language
from consent.vocabulary import EventType
from vault.keys.keyring import Keyring
from vault.record_types.catalogue import Catalogue
from vault.schema import random_id
from vault.seal import SealingKey, context_of, open_sealed, seal
from vault.store import PutResult, RecordDraft, RecordVersion, put

COLLECTION_PURPOSE: Final = "vault.collection"

# What a person agrees to beside holder and record types. PIPA decree article 42-5(3) wants periodicity, end
# and retention said: asked for at most once a day, for a year, kept until the person has it erased.
CYCLE: Final = "P1D"
VALID_FOR: Final = timedelta(days=365)
RETENTION: Final = "until_erased"


@dataclass(frozen=True, slots=True)
class NewLink:
    """What a person agrees to when linking a holder: which record types are collected.

    `patient_no` is the holder's own number for the person; `name` and `born_on` (ISO) are what somebody has
    vouched for, so that a record which contradicts them is noticed. Stored sealed, and as keyed indexes.
    """

    subject_id: str
    holder_id: str
    patient_no: str = field(repr=False)
    record_types: tuple[str, ...]
    language: Language
    name: str | None = field(default=None, repr=False)
    born_on: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One record from a holder, in our schema. `natural_key` is the holder's own name for it.

    `as_of` is the day (ISO) on which the holder said so, such as the day of an export.
    """

    record_type: str
    natural_key: str
    data: Mapping[str, Any]
    as_of: str | None = None


def add_subject(work: Work, keyring: Keyring, now: datetime) -> str:
    """A new subject with keys of its own; answers its id."""
    subject_id = random_id()
    keyring.ensure_subject(subject_id, now)
    work.session.add(Subject(subject_id=subject_id, created_at=now))
    work.session.flush()
    return subject_id


def link(work: Work, keyring: Keyring, new: NewLink, now: datetime) -> str:
    """Link a subject to a holder; answers the link's id.

    Raises AlreadyLinkedError if the holder's number is linked, whoever to, and
    UnknownOrganisationError.
    """
    require_holders(work.session, [new.holder_id])
    link_id, identity = random_id(), Identity(new.patient_no, new.name, new.born_on)
    terms = _terms(new, now)
    canonical = rfc8785.dumps(terms)
    audit_key = keyring.audit_key(new.subject_id)
    row = SourceLink(
        link_id=link_id,
        subject_id=new.subject_id,
        holder_id=new.holder_id,
        patient_index=number_index(keyring, new.holder_id, new.patient_no),
        person_index=person_index(keyring, new.holder_id, identity),
        identity_sealed=seal_identity(keyring, link_id, (new.subject_id, new.holder_id), identity, now),
        handle=random_id(),
        terms_sealed=seal(audit_key, _context(link_id), canonical),
        terms_digest=keyring.index("source_link.terms", canonical.decode()),
        given_at=now,
        valid_until=now + VALID_FOR,
    )
    work.session.add(row)
    try:
        work.session.flush()
    except IntegrityError as error:
        raise AlreadyLinkedError from error
    record_link_event(work, keyring, row, EventType.SOURCE_LINKED, detail=terms, now=now)
    return link_id


def unlink(work: Work, keyring: Keyring, link_id: str, subject_id: str, now: datetime) -> None:
    """Stop collecting from a holder. What was collected stays until it is erased. Idempotent."""
    _end(work, keyring, _locked(work.session, link_id, subject_id), EventType.SOURCE_UNLINKED, now)


def expire_link(work: Work, keyring: Keyring, link_id: str, subject_id: str, now: datetime) -> bool:
    """End a link whose time is over; False if it is not, or has ended. Raises NotFoundError."""
    row = _locked(work.session, link_id, subject_id)
    return row.valid_until <= now and _end(work, keyring, row, EventType.SOURCE_EXPIRED, now)


def overdue_links(session: Session, now: datetime) -> list[tuple[str, str]]:
    """Link and subject of the links that nothing has ended yet, and whose time is over."""
    return list(
        session.exec(
            select(SourceLink.link_id, SourceLink.subject_id).where(
                col(SourceLink.ended_at).is_(None), col(SourceLink.valid_until) <= now
            )
        )
    )


def find_link(session: Session, keyring: Keyring, holder_id: str, patient_no: str) -> SourceLink | None:
    """The living link behind a holder's number for a person."""
    return session.exec(
        select(SourceLink).where(
            SourceLink.holder_id == holder_id,
            SourceLink.patient_index == number_index(keyring, holder_id, patient_no),
            col(SourceLink.ended_at).is_(None),
        )
    ).one_or_none()


def record_types_of(keyring: Keyring, row: SourceLink) -> tuple[str, ...]:
    """Which record types a link's collection consent covers. Raises NotLinkedError if it was exchanged."""
    return _covered(keyring, keyring.audit_key(row.subject_id), row)


def collect(  # noqa: PLR0913 - two rooms' doors, the link, what arrived, and when
    work: Work,
    keyring: Keyring,
    catalogue: Catalogue,
    row: SourceLink,
    *,
    arrivals: Sequence[Arrival],
    now: datetime,
) -> list[PutResult]:
    """Put what arrived through one link into the vault; one event for all that is new in it.

    The data has been validated. The same arrival again changes nothing; a changed one becomes a
    version, unless the holder has said something newer already. Raises UnknownOrganisationError for a
    holder that is suspended, NotLinkedError for a record type that the collection consent does not
    cover, and after the link has ended: it is read again under a lock that an unlinking waits for.
    """
    row = work.session.exec(
        select(SourceLink)
        .where(SourceLink.link_id == row.link_id)
        .with_for_update(read=True)
        .execution_options(populate_existing=True)
    ).one()
    require_holders(work.session, [row.holder_id])
    audit_key = keyring.audit_key(row.subject_id)
    covered = _covered(keyring, audit_key, row)
    keys: dict[str, SealingKey] = {}  # one lookup for each record type, however much has arrived
    results = []
    for arrival in arrivals:
        if row.ended_at is not None or row.valid_until <= now or arrival.record_type not in covered:
            raise NotLinkedError
        draft = _draft(keyring, catalogue, row, arrival)
        if draft.compartment_id not in keys:
            keys[draft.compartment_id] = keyring.ensure_compartment(row.subject_id, draft.compartment_id, now)
        results.append(put(work.session, keys[draft.compartment_id], draft, now))
    changed = [result for result in results if result.outcome in {"added", "corrected"}]
    if changed:
        stored: list[list[str | int]] = [
            [result.record_id, result.version, _digest(work, result)] for result in changed
        ]
        facts: dict[str, str | int] = {
            "records": len(changed),
            "stored": hashlib.sha256(rfc8785.dumps(stored)).hexdigest(),
        }
        detail = {"holder": row.holder_id, "stored": stored}
        event = EventType.RECORDS_COLLECTED
        work.record(_entry(audit_key, row, event, facts=facts, detail=detail, now=now))
    return results


def record_link_event(  # noqa: PLR0913 - an event has this many sides
    work: Work,
    keyring: Keyring,
    row: SourceLink,
    event: EventType,
    *,
    detail: Mapping[str, Any],
    now: datetime,
    facts: Mapping[str, str | int] | None = None,
) -> None:
    """Put an event of a link into the log with this transaction's commit."""
    audit_key = keyring.audit_key(row.subject_id)
    work.record(_entry(audit_key, row, event, facts=facts or {}, detail=detail, now=now))


def _entry(  # noqa: PLR0913 - an event has this many sides
    audit_key: SealingKey,
    row: SourceLink,
    event: EventType,
    *,
    facts: Mapping[str, str | int],
    detail: Mapping[str, Any],
    now: datetime,
) -> Entry:
    occurrence = Occurrence(
        event=event, handle=row.handle, at=now, purpose=COLLECTION_PURPOSE, facts=facts, detail=detail
    )
    return evidence(audit_key, occurrence)


def _covered(keyring: Keyring, audit_key: SealingKey, row: SourceLink) -> tuple[str, ...]:
    canonical = open_sealed(audit_key, _context(row.link_id), row.terms_sealed)
    if not compare_digest(keyring.index("source_link.terms", canonical.decode()), row.terms_digest):
        raise NotLinkedError
    return tuple(_loads(canonical)["record_types"])


def _draft(keyring: Keyring, catalogue: Catalogue, row: SourceLink, arrival: Arrival) -> RecordDraft:
    name = rfc8785.dumps([row.subject_id, row.holder_id, arrival.record_type, arrival.natural_key]).decode()
    content = rfc8785.dumps(dict(arrival.data)).decode()
    return RecordDraft(
        subject_id=row.subject_id,
        compartment_id=keyring.compartment_id(row.subject_id, row.holder_id, arrival.record_type),
        holder_id=row.holder_id,
        record_type=arrival.record_type,
        schema_revision=catalogue.get(arrival.record_type).revision,
        source_key=keyring.index("record.source", name),
        content_key=keyring.index("record.content", name + content),
        data=arrival.data,
        as_of=arrival.as_of,
    )


def _digest(work: Work, result: PutResult) -> str:
    """The ciphertext's digest: in the log it tells a rolled-back row from the current one."""
    row = work.session.get_one(RecordVersion, (result.record_id, result.version))
    return row.ciphertext_digest.hex()


def _terms(new: NewLink, now: datetime) -> dict[str, Any]:
    """The collection consent, as it is sealed and goes on record."""
    return {
        "purpose": COLLECTION_PURPOSE,
        "holder": new.holder_id,
        "record_types": sorted(new.record_types),
        "language": new.language,
        "cycle": CYCLE,
        "until": (now + VALID_FOR).isoformat(),
        "retention": RETENTION,
    }


def _locked(session: Session, link_id: str, subject_id: str) -> SourceLink:
    row = session.exec(
        select(SourceLink)
        .where(SourceLink.link_id == link_id, SourceLink.subject_id == subject_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise NotFoundError
    return row


def _end(work: Work, keyring: Keyring, row: SourceLink, event: EventType, now: datetime) -> bool:
    """End a link, free its number and forget who the person is to the holder; False if it had ended."""
    if row.ended_at is not None:
        return False
    row.ended_at = now
    row.patient_index = row.person_index = row.identity_sealed = None
    record_link_event(work, keyring, row, event, detail={"holder": row.holder_id}, now=now)
    return True


def _context(link_id: str) -> bytes:
    return context_of("mydata/consent/collection@v1", link_id)


def _loads(canonical: bytes) -> dict[str, Any]:
    loaded: dict[str, Any] = orjson.loads(canonical)
    return loaded
