"""Collecting: a source link under a collection consent of its own, and what arrives through it.

No record of a person stands in the vault without a living link; linking and collecting are recorded.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hmac import compare_digest
from itertools import chain, islice
from typing import Any, Final

import orjson
import rfc8785
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from consent.errors import AlreadyLinkedError, NotFoundError, NotLinkedError
from consent.evidence import Occurrence, Work, evidence
from consent.identity import Identity, identity_keys, number_index, person_index, seal_identity
from consent.ledger.entries import Entry
from consent.models import SourceLink, Subject
from consent.news import News, announce
from consent.organisations import require_holders
from consent.purposes import Language
from consent.roles import Capability, Deployment, Role, place_of
from consent.vocabulary import EventType
from vault.keys.keyring import Keyring
from vault.record_types.catalogue import Catalogue
from vault.schema import random_id
from vault.seal import SealingKey, context_of, open_sealed, seal
from vault.store import PutResult, RecordDraft, canonical, put_all

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
    `role` is the deployment's.
    """

    subject_id: str
    holder_id: str
    patient_no: str = field(repr=False)
    record_types: tuple[str, ...]
    language: Language
    name: str | None = field(default=None, repr=False)
    born_on: str | None = field(default=None, repr=False)
    role: Role = Role.MANAGER


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

    Raises AlreadyLinkedError if the holder's number is linked, whoever to, UnknownOrganisationError, and
    RoleForbidsError in a role that collects nothing.
    """
    return link_all(work, keyring, [new], now)[0]


def link_all(work: Work, keyring: Keyring, news: Sequence[NewLink], now: datetime) -> list[str]:
    """Link many, as `link` does it, all or none; answers the links' ids, in order."""
    for role in {new.role for new in news}:
        Deployment(role).require(Capability.COLLECT)
    require_holders(work.session, {new.holder_id for new in news})
    audit_keys = keyring.audit_keys(new.subject_id for new in news)
    keys = identity_keys(keyring, {(new.subject_id, new.holder_id) for new in news}, now)
    all_terms = [_terms(new, now) for new in news]
    rows = [
        _link_row(keyring, new, terms, (audit_keys[new.subject_id], keys[new.subject_id, new.holder_id]), now)
        for new, terms in zip(news, all_terms, strict=True)
    ]
    work.session.add_all(rows)
    try:
        work.session.flush()
    except IntegrityError as error:
        raise AlreadyLinkedError from error
    for row, terms in zip(rows, all_terms, strict=True):
        event = EventType.SOURCE_LINKED
        work.record(_entry(audit_keys[row.subject_id], row, event, facts={}, detail=terms, now=now))
    return [row.link_id for row in rows]


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
    return record_types_of_all(keyring, [row])[row.link_id]


def record_types_of_all(keyring: Keyring, rows: Collection[SourceLink]) -> dict[str, tuple[str, ...]]:
    """What `record_types_of` says of each link, by its id."""
    audit_keys = keyring.audit_keys(row.subject_id for row in rows)
    return {row.link_id: _covered(keyring, audit_keys[row.subject_id], row) for row in rows}


def collect(  # noqa: PLR0913 - two rooms' doors, the link, what arrived, and when
    work: Work,
    keyring: Keyring,
    catalogue: Catalogue,
    row: SourceLink,
    *,
    arrivals: Sequence[Arrival],
    now: datetime,
) -> list[PutResult]:
    """Put what arrived through one link into the vault, as `collect_all` does."""
    return collect_all(work, keyring, catalogue, {row.link_id: arrivals}, now)[row.link_id]


def collect_all(
    work: Work,
    keyring: Keyring,
    catalogue: Catalogue,
    arrivals: Mapping[str, Sequence[Arrival]],
    now: datetime,
) -> dict[str, list[PutResult]]:
    """Put what arrived through links, by their ids, into the vault; an event for each that brought news.

    The data has been validated. The same arrival again changes nothing; a changed one becomes a
    version, unless the holder has said something newer already. Raises UnknownOrganisationError for a
    holder that is suspended, NotLinkedError for a record type that a collection consent does not
    cover, and after a link has ended: it is read again under a lock that an unlinking waits for.
    """
    rows = _shared(work.session, arrivals)
    require_holders(work.session, {row.holder_id for row in rows.values()})
    audit_keys = keyring.audit_keys(row.subject_id for row in rows.values())
    drafts: list[RecordDraft] = []
    for link_id, arrived in arrivals.items():
        row = rows[link_id]
        covered = _covered(keyring, audit_keys[row.subject_id], row)
        for arrival in arrived:
            if row.ended_at is not None or row.valid_until <= now or arrival.record_type not in covered:
                raise NotLinkedError
            drafts.append(_draft(keyring, catalogue, row, arrival))
    keys = keyring.ensure_compartments({draft.compartment_id: draft.subject_id for draft in drafts}, now)
    results = put_all(work.session, keys, drafts, now)
    news = [
        News(draft.compartment_id, draft.record_type, arrival.data)
        for draft, arrival, result in zip(drafts, chain(*arrivals.values()), results, strict=True)
        if result.is_new
    ]
    if news:
        announce(work.session, keyring, catalogue, news, now)
    in_order = iter(results)
    collected = {link_id: list(islice(in_order, len(arrived))) for link_id, arrived in arrivals.items()}
    for link_id, row in rows.items():
        new = [result for result in collected[link_id] if result.is_new]
        if new:
            work.record(_news_entry(audit_keys[row.subject_id], row, new, now))
    return collected


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


def _link_row(
    keyring: Keyring,
    new: NewLink,
    terms: Mapping[str, Any],
    keys: tuple[SealingKey, SealingKey],
    now: datetime,
) -> SourceLink:
    """A new link's row; `keys` are the subject's audit key, and that of who the subject is to the holder."""
    link_id, identity = random_id(), Identity(new.patient_no, new.name, new.born_on)
    canonical_terms = rfc8785.dumps(dict(terms))
    audit_key, identity_key = keys
    return SourceLink(
        link_id=link_id,
        subject_id=new.subject_id,
        holder_id=new.holder_id,
        patient_index=number_index(keyring, new.holder_id, new.patient_no),
        person_index=person_index(keyring, new.holder_id, identity),
        identity_sealed=seal_identity(identity_key, link_id, identity),
        handle=random_id(),
        terms_sealed=seal(audit_key, _context(link_id), canonical_terms),
        terms_digest=keyring.index("source_link.terms", canonical_terms.decode()),
        given_at=now,
        valid_until=now + VALID_FOR,
        role=new.role,
    )


def _shared(session: Session, link_ids: Collection[str]) -> dict[str, SourceLink]:
    """Links under a lock that an unlinking waits for, by their ids; in one order, so that no two wait."""
    rows = session.exec(
        select(SourceLink)
        .where(col(SourceLink.link_id).in_(list(link_ids)))
        .order_by(col(SourceLink.link_id))
        .with_for_update(read=True)
        .execution_options(populate_existing=True)
    )
    return {row.link_id: row for row in rows}


def _news_entry(audit_key: SealingKey, row: SourceLink, new: Sequence[PutResult], now: datetime) -> Entry:
    """The entry of what is new through one link.

    The ciphertexts' digests are in it: in the log they tell a rolled-back row from the current one.
    """
    stored: list[list[str | int]] = [
        [result.record_id, result.version, result.ciphertext_digest.hex()] for result in new
    ]
    facts: dict[str, str | int] = {
        "records": len(new),
        "stored": hashlib.sha256(rfc8785.dumps(stored)).hexdigest(),
    }
    detail = {"holder": row.holder_id, "stored": stored}
    return _entry(audit_key, row, EventType.RECORDS_COLLECTED, facts=facts, detail=detail, now=now)


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
    place = place_of(row.role, row.holder_id)
    name = rfc8785.dumps([row.subject_id, place, arrival.record_type, arrival.natural_key]).decode()
    content = canonical(arrival.data)
    return RecordDraft(
        subject_id=row.subject_id,
        compartment_id=keyring.compartment_id(row.subject_id, place, arrival.record_type),
        holder_id=row.holder_id,
        record_type=arrival.record_type,
        schema_revision=catalogue.get(arrival.record_type).revision,
        source_key=keyring.index("record.source", name),
        content_key=keyring.index("record.content", name + content.decode()),
        canonical=content,
        as_of=arrival.as_of,
    )


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
