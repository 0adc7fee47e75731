"""Break-glass: what an organisation opens without asking, to protect a person's life (PIPA article 15(1)5).

One pull within a day, of what the emergency purpose names. It is marked in the log, the person is told at
once, the staff must review it, and the person says what they think of it (feature row 38).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from sqlmodel import Session, col, select

from consent.collection import find_link, record_types_of
from consent.emergency_limits import Limits, count_refusal, has_open_access, wait_of
from consent.errors import NotFoundError, WrongStateError
from consent.evidence import Occurrence, Work, evidence, record_consent_event
from consent.granting import ReceiptSigner, Text, add_version, put_in_force
from consent.lifecycle import NewConsent, lock, move, request, revoke
from consent.models import EmergencyAccess, SourceLink
from consent.people_vocabulary import EmergencyAnswer, EmergencyFinding, EmergencyReason, EmergencyState
from consent.purposes import Purpose
from consent.staff import STAFF_KEY, Staff
from consent.states import LIVING
from consent.terms import Terms, parse
from consent.vocabulary import EventType, StateReason, VersionKind
from vault.keys.keyring import Keyring
from vault.schema import random_id
from vault.seal import context_of, open_sealed, seal

PURPOSE: Final = "emergency.care"
BASIS: Final = "vital_interest"
LASTS: Final = timedelta(days=1)
LONGEST_TEXT: Final = 2000


@dataclass(frozen=True, slots=True)
class NewEmergency:
    """Who needs what of whom: the person is named by a holder's own number for them."""

    holder_id: str
    number: str = field(repr=False)
    reason: EmergencyReason
    text: str = field(repr=False)
    recipient_id: str
    client_id: str


@dataclass(frozen=True, slots=True)
class OpenedEmergency:
    """An access that was opened; `version_id` is what a token is made for."""

    emergency_id: str
    grant_id: str
    version_id: str
    subject_id: str
    terms: Terms
    due_at: datetime


@dataclass(frozen=True, slots=True)
class EmergencyRefused:
    """Nobody of ours has this number, or nothing is there for an emergency: one answer. It is in the log.

    `is_open`: the client has an access to this person's data already. `wait`: it has used up its limits, and
    nobody was looked up.
    """

    fault: str
    is_open: bool = False
    wait: timedelta | None = None


@dataclass(frozen=True, slots=True)
class EmergencyView:
    """An access as its person, or the staff, sees it. OVERDUE is evaluated on reading."""

    emergency_id: str
    subject_id: str
    recipient_id: str
    grant_id: str
    reason: EmergencyReason
    state: EmergencyState
    opened_at: datetime
    due_at: datetime
    finding: str | None
    answer: str | None
    text: str = field(repr=False)


def open_access(  # noqa: PLR0913 - each argument is a different thing that opening needs
    work: Work,
    keyring: Keyring,
    new: NewEmergency,
    *,
    purpose: Purpose,
    sign_receipt: ReceiptSigner,
    review_within: timedelta,
    limits: Limits,
    now: datetime,
) -> OpenedEmergency | EmergencyRefused:
    """Open what the purpose names at every linked holder. A refusal is on record, and says no more."""
    wait = wait_of(work, new.client_id, limits, now)
    if wait is not None:
        _record_refusal(work, keyring, new, None, "limit", now)
        return EmergencyRefused("limit", wait=wait)
    link = find_link(work.session, keyring, new.holder_id, new.number)
    if link is None:
        return _refuse(work, keyring, new, None, "unknown", now)
    subject_id = link.subject_id
    if has_open_access(work.session, subject_id, new.client_id, now):
        return replace(_refuse(work, keyring, new, subject_id, "open_already", now), is_open=True)
    holders = _holders(work.session, keyring, subject_id, purpose, now)
    if not holders:
        return _refuse(work, keyring, new, subject_id, "nothing_there", now)
    terms = _terms(purpose, holders, now)
    row = EmergencyAccess(
        emergency_id=random_id(),
        subject_id=subject_id,
        recipient_id=new.recipient_id,
        client_id=new.client_id,
        grant_id="",
        statement_sealed=b"",
        handle=random_id(),
        state=EmergencyState.OPEN,
        opened_at=now,
        due_at=now + review_within,
    )
    stated = {"reason": new.reason, "text": new.text}
    context = _context(row.emergency_id)
    row.statement_sealed = seal(keyring.audit_key(subject_id), context, orjson.dumps(stated))
    row.grant_id, version_id = _grant(
        work,
        keyring,
        row,
        terms,
        purpose=purpose,
        sign_receipt=sign_receipt,
        now=now,
    )
    work.session.add(row)
    work.session.flush()
    detail = {"grant_id": row.grant_id, **stated}  # why somebody could not be asked is about their health
    _record(work, keyring, row, EventType.EMERGENCY_OPENED, now, {}, detail)
    return OpenedEmergency(row.emergency_id, row.grant_id, version_id, subject_id, terms, row.due_at)


def review(  # noqa: PLR0913 - who finds what of which access, and when
    work: Work,
    keyring: Keyring,
    emergency_id: str,
    finding: EmergencyFinding,
    *,
    staff: Staff,
    now: datetime,
) -> None:
    """The staff says whether it was right, also after the deadline. What was not is revoked.

    Raises NotFoundError, and WrongStateError once it was reviewed.
    """
    row = _locked(work.session, emergency_id)
    if row.state != EmergencyState.OPEN:
        raise WrongStateError(row.state, "review")
    row.state, row.finding, row.reviewed_at = EmergencyState.REVIEWED, finding, now
    detail = {"by": staff.by, "because": staff.reason}
    _record(work, keyring, row, EventType.EMERGENCY_REVIEWED, now, {"finding": finding}, detail)
    if finding is EmergencyFinding.UNJUSTIFIED and lock(work, row.grant_id).state in LIVING:
        revoke(work, keyring, row.grant_id, StateReason.SECURITY, now)


def answer(  # noqa: PLR0913, PLR0917 - who says what of which access
    work: Work,
    keyring: Keyring,
    emergency_id: str,
    subject_id: str,
    said: EmergencyAnswer,
    now: datetime,
) -> None:
    """The person says whether it was right; they may change their mind. Raises NotFoundError."""
    row = _locked(work.session, emergency_id)
    if row.subject_id != subject_id:
        raise NotFoundError
    if row.answer == said:
        return
    row.answer, row.answered_at = said, now
    _record(work, keyring, row, EventType.EMERGENCY_ANSWERED, now, {"answer": said}, {})


def emergencies(
    session: Session,
    keyring: Keyring,
    now: datetime,
    *,
    subject_id: str | None = None,
) -> list[EmergencyView]:
    """Every access, with a subject theirs: what waits for its review first, the most urgent on top."""
    wanted = select(EmergencyAccess).order_by(
        col(EmergencyAccess.reviewed_at).is_not(None),
        col(EmergencyAccess.due_at),
    )
    if subject_id is not None:
        wanted = wanted.where(EmergencyAccess.subject_id == subject_id)
    return [_view(keyring, row, now) for row in session.exec(wanted)]


def _view(keyring: Keyring, row: EmergencyAccess, now: datetime) -> EmergencyView:
    is_late = row.state == EmergencyState.OPEN and now >= row.due_at
    audit_key = keyring.audit_key(row.subject_id)
    stated = orjson.loads(open_sealed(audit_key, _context(row.emergency_id), row.statement_sealed))
    return EmergencyView(
        emergency_id=row.emergency_id,
        subject_id=row.subject_id,
        recipient_id=row.recipient_id,
        grant_id=row.grant_id,
        reason=EmergencyReason(stated["reason"]),
        state=EmergencyState.OVERDUE if is_late else EmergencyState(row.state),
        opened_at=row.opened_at,
        due_at=row.due_at,
        finding=row.finding,
        answer=row.answer,
        text=stated["text"],
    )


def _grant(  # noqa: PLR0913 - a grant is all of these
    work: Work,
    keyring: Keyring,
    row: EmergencyAccess,
    terms: Terms,
    *,
    purpose: Purpose,
    sign_receipt: ReceiptSigner,
    now: datetime,
) -> tuple[str, str]:
    """A grant like a consent's, which nobody gave: the law does. Answers its id and its version's."""
    text = Text(terms, purpose.notice_digest("ko"), "ko")
    new = NewConsent(row.subject_id, row.recipient_id, row.client_id, terms, text.notice_digest, "ko")
    consent = lock(work, request(work, keyring, new, now))
    consent.version_number += 1
    version = add_version(work, keyring, consent, text, VersionKind.GRANT, now)
    put_in_force(
        work,
        keyring,
        consent,
        version,
        terms,
        purpose=purpose,
        sign_receipt=sign_receipt,
        now=now,
        is_signed=False,
    )
    consent.given_at = now
    move(consent, EventType.CONSENT_GIVEN)
    record_consent_event(
        work,
        keyring,
        consent,
        EventType.CONSENT_GIVEN,
        facts={"access": terms.access.kind, "basis": BASIS},
        detail={"emergency_id": row.emergency_id, "terms": terms.to_detail()},
        now=now,
    )
    return consent.grant_id, version.version_id


def _holders(
    session: Session,
    keyring: Keyring,
    subject_id: str,
    purpose: Purpose,
    now: datetime,
) -> list[str]:
    """The linked holders that deliver what the purpose names."""
    wanted = {item.record_type for item in purpose.items}
    links = session.exec(
        select(SourceLink).where(
            SourceLink.subject_id == subject_id,
            col(SourceLink.ended_at).is_(None),
            col(SourceLink.valid_until) > now,
        ),
    )
    return sorted({link.holder_id for link in links if wanted & set(record_types_of(keyring, link))})


def _terms(purpose: Purpose, holders: list[str], now: datetime) -> Terms:
    first = now - timedelta(days=purpose.caps.max_lookback_days - 1)
    return parse(
        [
            {
                "type": "mydata_consent",
                "actions": ["read"],
                "purpose": purpose.code,
                "items": [
                    {"record_type": item.record_type, "mode": item.modes[0], "required": True}
                    for item in purpose.items
                ],
                "holders": holders,
                "access": {
                    "kind": "once",
                    "max_pulls": 1,
                    "valid_from": now.isoformat(),
                    "valid_until": (now + LASTS).isoformat(),
                },
                "data_period": {"from": first.date().isoformat(), "to": (now + LASTS).date().isoformat()},
                "retention": {"store": False, "period": "P0D", "on_end": "delete"},
            },
        ],
    )


def _locked(session: Session, emergency_id: str) -> EmergencyAccess:
    row = session.exec(
        select(EmergencyAccess)
        .where(EmergencyAccess.emergency_id == emergency_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True),
    ).one_or_none()
    if row is None:
        raise NotFoundError
    return row


def _refuse(  # noqa: PLR0913, PLR0917 - who was refused what
    work: Work,
    keyring: Keyring,
    new: NewEmergency,
    subject_id: str | None,
    fault: str,
    now: datetime,
) -> EmergencyRefused:
    count_refusal(work, new.client_id, now)
    _record_refusal(work, keyring, new, subject_id, fault, now)
    return EmergencyRefused(fault)


def _record_refusal(  # noqa: PLR0913, PLR0917 - who was refused what
    work: Work,
    keyring: Keyring,
    new: NewEmergency,
    subject_id: str | None,
    fault: str,
    now: datetime,
) -> None:
    """On the person's record if there is one, else on the staff's: it may be somebody who tries numbers."""
    key = keyring.sealing_key(STAFF_KEY) if subject_id is None else keyring.audit_key(subject_id)
    occurrence = Occurrence(
        event=EventType.EMERGENCY_REFUSED,
        handle=random_id(),
        at=now,
        recipient=new.recipient_id,
        purpose=PURPOSE,
        detail={"fault": fault, "client": new.client_id, "holder": new.holder_id, "text": new.text},
    )
    work.record(evidence(key, occurrence))


def _record(  # noqa: PLR0913, PLR0917 - an event has this many sides
    work: Work,
    keyring: Keyring,
    row: EmergencyAccess,
    event: EventType,
    now: datetime,
    facts: Mapping[str, str | int],
    detail: Mapping[str, Any],
) -> None:
    occurrence = Occurrence(
        event=event,
        handle=row.handle,
        at=now,
        recipient=row.recipient_id,
        purpose=PURPOSE,
        facts=facts,
        detail={"emergency_id": row.emergency_id, **detail},
    )
    work.record(evidence(keyring.audit_key(row.subject_id), occurrence))


def _context(emergency_id: str) -> bytes:
    return context_of("mydata/consent/emergency@v1", emergency_id)
