"""What people and auditors may read of consents: frozen views, opened under the subject's audit key.

Every query names the subject; someone else's consent is as unknown. Auditors see leaves, never details.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from consent.collection import record_types_of
from consent.delivery import open_decision
from consent.errors import NotFoundError
from consent.evidence import open_detail
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.models import Consent, ConsentVersion, Decision, Delivery, Organisation, SourceLink
from consent.terms import Terms
from consent.versions import open_receipt, open_terms, version_id_of
from consent.vocabulary import ConsentState, StateReason
from vault.errors import UnknownKeyError
from vault.keys.keyring import Keyring
from vault.seal import SealingKey


@dataclass(frozen=True, slots=True)
class Party:
    """An organisation as people see it."""

    organisation_id: str
    name_ko: str
    name_en: str
    registration_number: str
    contact: str

    def name(self, language: str) -> str:
        """The English name for `en`, the Korean one for anything else."""
        return self.name_en if language == "en" else self.name_ko


@dataclass(frozen=True, slots=True)
class PullView:
    """One delivery."""

    delivery_id: str
    as_of: datetime
    record_count: int
    acknowledged_at: datetime | None


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """One event of a consent, with its place in the log."""

    index: int
    type: str
    at: datetime
    facts: dict[str, str | int]
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DecisionView:
    """What the recipient decided, in its own words; `body` is None once its key was erased.

    `number` counts a delivery's decisions from 1, and the last of them stands.
    """

    decision_id: str
    delivery_id: str
    number: int
    received_at: datetime
    review_requested_at: datetime | None
    body: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ConsentView:
    """One consent with everything that happened under it."""

    grant_id: str
    state: ConsentState
    state_reason: str | None
    version_number: int
    recipient: Party
    purpose: str
    terms: Terms
    language: str
    created_at: datetime
    given_at: datetime | None
    ended_at: datetime | None
    valid_until: datetime
    has_receipt: bool
    deal_id: str | None
    pulls: tuple[PullView, ...]
    timeline: tuple[TimelineEvent, ...]
    decisions: tuple[DecisionView, ...]


@dataclass(frozen=True, slots=True)
class LinkView:
    """A holder that records are collected from."""

    link_id: str
    holder: Party
    given_at: datetime
    ended_at: datetime | None
    record_types: tuple[str, ...]
    valid_until: datetime


def consents_of(session: Session, keyring: Keyring, subject_id: str, now: datetime) -> list[ConsentView]:
    """Every consent of a subject, the newest first."""
    rows = session.exec(
        select(Consent).where(Consent.subject_id == subject_id).order_by(col(Consent.created_at).desc())
    )
    return [_consent_view(session, keyring, row, now) for row in rows.all()]


def consent_of(
    session: Session, keyring: Keyring, subject_id: str, grant_id: str, now: datetime
) -> ConsentView:
    """One consent of a subject; raises NotFoundError."""
    return _consent_view(session, keyring, _own(session, subject_id, grant_id), now)


def receipt_of(session: Session, keyring: Keyring, subject_id: str, grant_id: str) -> str:
    """The receipt of a given consent as compact JWS, byte for byte as issued; raises NotFoundError."""
    consent = _own(session, subject_id, grant_id)
    version = session.get_one(ConsentVersion, version_id_of(grant_id, consent.version_number))
    if version.receipt_sealed is None:
        raise NotFoundError
    return open_receipt(keyring, subject_id, version.version_id, version.receipt_sealed)


def links_of(session: Session, keyring: Keyring, subject_id: str) -> list[LinkView]:
    """Every source link of a subject, living ones first."""
    rows = session.exec(
        select(SourceLink, Organisation)
        .where(SourceLink.subject_id == subject_id, SourceLink.holder_id == Organisation.organisation_id)
        .order_by(col(SourceLink.ended_at).is_not(None), col(SourceLink.given_at))
    )
    return [
        LinkView(
            link_id=link.link_id,
            holder=party(holder),
            given_at=link.given_at,
            ended_at=link.ended_at,
            record_types=record_types_of(keyring, link),
            valid_until=link.valid_until,
        )
        for link, holder in rows.all()
    ]


def link_timelines(
    session: Session, keyring: Keyring, subject_id: str
) -> dict[str, tuple[TimelineEvent, ...]]:
    """What happened to each of a subject's links, by link id, the oldest first."""
    rows = session.exec(
        select(SourceLink.link_id, LedgerEntry)
        .join(LedgerEntry, col(LedgerEntry.handle) == col(SourceLink.handle))
        .where(SourceLink.subject_id == subject_id)
        .order_by(col(LedgerEntry.idx))
    ).all()
    audit_key = keyring.audit_key(subject_id)
    timelines: dict[str, list[TimelineEvent]] = {}
    for link_id, entry in rows:
        timelines.setdefault(link_id, []).append(_timeline_event(audit_key, entry))
    return {link_id: tuple(events) for link_id, events in timelines.items()}


def party(row: Organisation) -> Party:
    """An organisation as people see it."""
    return Party(row.organisation_id, row.name_ko, row.name_en, row.registration_number, row.contact)


def state_at(consent: Consent, now: datetime) -> ConsentState:
    """The state as it is now: expiry is evaluated when reading, not only by a job."""
    is_living = consent.state in {ConsentState.GIVEN, ConsentState.PAUSED}
    if is_living and now >= consent.valid_until:
        return ConsentState.EXPIRED
    if _is_handed_over(consent, now):
        return ConsentState.PAUSED
    return ConsentState(consent.state)


def _is_handed_over(consent: Consent, now: datetime) -> bool:
    """A guardian gave it, and the young person has yet to say that it goes on."""
    is_due = consent.pause_at is not None and now >= consent.pause_at
    return is_due and consent.state == ConsentState.GIVEN


def _reason_at(consent: Consent, now: datetime) -> str | None:
    if state_at(consent, now) is ConsentState.PAUSED and _is_handed_over(consent, now):
        return StateReason.HANDOVER
    return consent.state_reason


def _own(session: Session, subject_id: str, grant_id: str) -> Consent:
    consent = session.exec(
        select(Consent).where(Consent.grant_id == grant_id, Consent.subject_id == subject_id)
    ).one_or_none()
    if consent is None:
        raise NotFoundError
    return consent


def _consent_view(session: Session, keyring: Keyring, consent: Consent, now: datetime) -> ConsentView:
    version = session.get_one(ConsentVersion, version_id_of(consent.grant_id, consent.version_number))
    deliveries = session.exec(
        select(Delivery).where(Delivery.grant_id == consent.grant_id).order_by(col(Delivery.ordinal))
    ).all()
    return ConsentView(
        grant_id=consent.grant_id,
        state=state_at(consent, now),
        state_reason=_reason_at(consent, now),
        version_number=consent.version_number,
        recipient=party(session.get_one(Organisation, consent.recipient_id)),
        purpose=consent.purpose,
        terms=open_terms(keyring, consent.subject_id, version),
        language=version.language,
        created_at=consent.created_at,
        given_at=consent.given_at,
        ended_at=consent.ended_at,
        valid_until=consent.valid_until,
        has_receipt=version.receipt_sealed is not None,
        deal_id=consent.deal_id,
        pulls=tuple(
            PullView(row.delivery_id, row.as_of, row.record_count, row.acknowledged_at) for row in deliveries
        ),
        timeline=_timeline(session, keyring, consent),
        decisions=_decisions(session, keyring, consent),
    )


def _timeline(session: Session, keyring: Keyring, consent: Consent) -> tuple[TimelineEvent, ...]:
    audit_key = keyring.audit_key(consent.subject_id)
    rows = session.exec(
        select(LedgerEntry).where(LedgerEntry.handle == consent.handle).order_by(col(LedgerEntry.idx))
    ).all()
    return tuple(_timeline_event(audit_key, row) for row in rows)


def _timeline_event(audit_key: SealingKey, row: LedgerEntry) -> TimelineEvent:
    event = Event.from_leaf(row.leaf)
    detail = open_detail(
        audit_key, handle=event.handle, commitment=event.commitment, detail_sealed=row.detail_sealed
    )
    return TimelineEvent(index=row.idx, type=event.type, at=event.at, facts=dict(event.facts), detail=detail)


def _decisions(session: Session, keyring: Keyring, consent: Consent) -> tuple[DecisionView, ...]:
    rows = session.exec(
        select(Decision)
        .where(Decision.grant_id == consent.grant_id)
        .order_by(col(Decision.received_at), col(Decision.number))
    ).all()
    return tuple(
        DecisionView(
            decision_id=row.decision_id,
            delivery_id=row.delivery_id,
            number=row.number,
            received_at=row.received_at,
            review_requested_at=row.review_requested_at,
            body=_body(keyring, row),
        )
        for row in rows
    )


def _body(keyring: Keyring, row: Decision) -> dict[str, Any] | None:
    try:
        return open_decision(keyring, row)
    except UnknownKeyError:
        return None
