"""Rights of the data subject: requests to correct, stop, erase, complain or object, each with its deadline.

An answer is due within ten days (PIPA decree articles 43(3) and 44(2)). What a person writes and what the
staff answer lies under the person's audit key; who of the staff looked is on record.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from sqlmodel import Session, col, func, select

from consent.dossier import as_json, consent_record
from consent.errors import NotFoundError, RightInvalidError, WrongStateError
from consent.evidence import Occurrence, Work, evidence
from consent.models import Consent, Organisation, RightRequest
from consent.staff import Staff
from consent.vocabulary import EventType, RefusalReason, RightKind, RightState
from vault.keys.keyring import Keyring
from vault.schema import random_id
from vault.seal import context_of, open_sealed, seal

RIGHTS_PURPOSE: Final = "subject.rights"
STATUTORY_RETENTION: Final = "STATUTORY_RETENTION"
"""A statute says that the data must be kept (PIPA articles 21(1) and 36(1))."""

REJECTIONS: Final = (*(str(reason) for reason in RefusalReason), STATUTORY_RETENTION)
OPEN: Final = frozenset({RightState.FILED, RightState.IN_PROGRESS})
LONGEST_TEXT: Final = 4000
_MOST_OPEN: Final = 20  # of one person: a flood of requests must not hide the others'


@dataclass(frozen=True, slots=True)
class NewRight:
    """What a person asks for: about which consent, organisation and record, and what they say about it.

    `for_authority`: with a complaint, a copy is made for the data protection authority.
    """

    subject_id: str
    kind: RightKind
    text: str = field(repr=False)
    grant_id: str | None = None
    organisation_id: str | None = None
    record: str | None = None
    for_authority: bool = False


@dataclass(frozen=True, slots=True)
class RightAnswer:
    """What the staff answer; with a reason of `REJECTIONS` the request is rejected."""

    text: str = field(repr=False)
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RightView:
    """A request as its person sees it."""

    right_id: str
    kind: RightKind
    state: RightState
    grant_id: str | None
    organisation_id: str | None
    record: str | None
    text: str = field(repr=False)
    answer: str | None = field(repr=False)
    reason: str | None
    has_record: bool
    for_authority: bool
    filed_at: datetime
    due_at: datetime
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class WaitingRight:
    """A request as a list shows it to the staff: nothing of what the person wrote."""

    right_id: str
    subject_id: str
    kind: RightKind
    state: RightState
    filed_at: datetime
    due_at: datetime
    answered_at: datetime | None


def file_right(
    work: Work, keyring: Keyring, new: NewRight, *, answer_within: timedelta, now: datetime
) -> str:
    """Put a request on record; answers its id. A complaint keeps the consent's record as it is now.

    Raises RightInvalidError with every fault, and NotFoundError for a consent that is not the person's.
    """
    if faults := _faults(work.session, new):
        raise RightInvalidError(faults)
    if new.grant_id is not None:
        _require_own(work.session, new.subject_id, new.grant_id)
    right_id = random_id()
    audit_key = keyring.audit_key(new.subject_id)
    record = None
    if new.kind is RightKind.COMPLAIN and new.grant_id is not None:
        record = as_json(consent_record(work.session, keyring, new.subject_id, new.grant_id))
    body = {"text": new.text, "record": new.record, "for_authority": new.for_authority}
    row = RightRequest(
        right_id=right_id,
        subject_id=new.subject_id,
        kind=new.kind,
        state=RightState.FILED,
        handle=random_id(),
        grant_id=new.grant_id,
        organisation_id=new.organisation_id,
        body_sealed=seal(audit_key, _context("body", right_id), orjson.dumps(body)),
        record_sealed=None if record is None else seal(audit_key, _context("record", right_id), record),
        filed_at=now,
        due_at=now + answer_within,
    )
    work.session.add(row)
    detail = {**body, "grant_id": new.grant_id, "organisation_id": new.organisation_id}
    _record(work, keyring, row, EventType.RIGHT_REQUESTED, detail=detail, now=now)
    return right_id


def rights_of(session: Session, keyring: Keyring, subject_id: str, now: datetime) -> list[RightView]:
    """Every request of a person, the newest first."""
    rows = session.exec(
        select(RightRequest)
        .where(RightRequest.subject_id == subject_id)
        .order_by(col(RightRequest.filed_at).desc(), col(RightRequest.right_id))
    )
    return [_view(keyring, row, now) for row in rows]


def right_of(session: Session, keyring: Keyring, subject_id: str, right_id: str, now: datetime) -> RightView:
    """One request of a person. Raises NotFoundError, for somebody else's too."""
    return _view(keyring, _own(session, subject_id, right_id), now)


def complaint_record(session: Session, keyring: Keyring, subject_id: str, right_id: str) -> bytes:
    """The record that goes with a complaint, as JSON, byte for byte as it was filed. Raises NotFoundError."""
    row = _own(session, subject_id, right_id)
    if row.record_sealed is None:
        raise NotFoundError
    return open_sealed(keyring.audit_key(subject_id), _context("record", right_id), row.record_sealed)


def authority_copy(session: Session, keyring: Keyring, subject_id: str, right_id: str) -> dict[str, Any]:
    """The file for the authority: the complaint with its record, no more of the person than they wrote.

    Raises NotFoundError where the person did not choose it.
    """
    row = _own(session, subject_id, right_id)
    body = _open(keyring, row, "body", row.body_sealed)
    if not body["for_authority"]:
        raise NotFoundError
    record = complaint_record(session, keyring, subject_id, right_id)
    return {
        "format": "mydata/complaint@v1",
        "complaint_id": right_id,
        "filed_at": row.filed_at,
        "complaint": body["text"],
        "about": orjson.loads(record),
    }


def waiting_rights(session: Session, now: datetime, *, is_all: bool = False) -> list[WaitingRight]:
    """What waits for an answer, the most urgent first; with `is_all` what was answered as well."""
    wanted = select(RightRequest).order_by(col(RightRequest.due_at), col(RightRequest.right_id))
    if not is_all:
        wanted = wanted.where(col(RightRequest.state).in_(OPEN))
    return [
        WaitingRight(
            right_id=row.right_id,
            subject_id=row.subject_id,
            kind=RightKind(row.kind),
            state=_state(row, now),
            filed_at=row.filed_at,
            due_at=row.due_at,
            answered_at=row.answered_at,
        )
        for row in session.exec(wanted)
    ]


def inspect_right(work: Work, keyring: Keyring, right_id: str, staff: Staff, now: datetime) -> RightView:
    """A member of the staff reads it, and that is on record; from then on it is in progress.

    Raises NotFoundError.
    """
    row = _locked(work.session, right_id)
    if row.state == RightState.FILED:
        row.state, row.taken_at = RightState.IN_PROGRESS, now
    _record(work, keyring, row, EventType.RIGHT_INSPECTED, detail=_acting(staff), now=now)
    return _view(keyring, row, now)


def answer_right(  # noqa: PLR0913 - who answers what to which request, and when
    work: Work, keyring: Keyring, right_id: str, answer: RightAnswer, *, staff: Staff, now: datetime
) -> RightState:
    """Answer or reject a request, also after its deadline; answers its state.

    Raises NotFoundError, RightInvalidError, and WrongStateError once it has been answered.
    """
    faults = _text_faults(answer.text)
    if answer.reason is not None and answer.reason not in REJECTIONS:
        faults.append(("reason", "unknown"))
    if faults:
        raise RightInvalidError(faults)
    row = _locked(work.session, right_id)
    if row.state not in OPEN:
        raise WrongStateError(row.state, "answer")
    content = {"text": answer.text}
    row.answer_sealed = seal(
        keyring.audit_key(row.subject_id), _context("answer", right_id), orjson.dumps(content)
    )
    row.reason, row.answered_at = answer.reason, now
    state = RightState.ANSWERED if answer.reason is None else RightState.REJECTED
    row.state = state
    event = EventType.RIGHT_ANSWERED if answer.reason is None else EventType.RIGHT_REJECTED
    detail = {**_acting(staff), **content, "ground": answer.reason}
    _record(work, keyring, row, event, detail=detail, now=now)
    return state


def _faults(session: Session, new: NewRight) -> list[tuple[str, str]]:
    faults = _text_faults(new.text)
    if new.kind is RightKind.COMPLAIN and new.grant_id is None:
        faults.append(("grant_id", "needed"))
    if new.kind is RightKind.CORRECT and new.organisation_id is None:
        faults.append(("organisation_id", "needed"))
    if new.organisation_id is not None and session.get(Organisation, new.organisation_id) is None:
        faults.append(("organisation_id", "unknown"))
    if new.for_authority and new.kind is not RightKind.COMPLAIN:
        faults.append(("for_authority", "complaints_only"))
    waiting = session.exec(
        select(func.count())
        .select_from(RightRequest)
        .where(RightRequest.subject_id == new.subject_id, col(RightRequest.state).in_(OPEN))
    ).one()
    if waiting >= _MOST_OPEN:
        faults.append(("request", RefusalReason.EXCESSIVE_REPEAT))
    return faults


def _text_faults(text: str) -> list[tuple[str, str]]:
    if not text.strip():
        return [("text", "needed")]
    return [("text", "too_long")] if len(text) > LONGEST_TEXT else []


def _require_own(session: Session, subject_id: str, grant_id: str) -> None:
    own = select(Consent.grant_id).where(Consent.grant_id == grant_id, Consent.subject_id == subject_id)
    if session.exec(own).one_or_none() is None:
        raise NotFoundError


def _own(session: Session, subject_id: str, right_id: str) -> RightRequest:
    row = session.exec(
        select(RightRequest).where(RightRequest.right_id == right_id, RightRequest.subject_id == subject_id)
    ).one_or_none()
    if row is None:
        raise NotFoundError
    return row


def _locked(session: Session, right_id: str) -> RightRequest:
    row = session.exec(
        select(RightRequest)
        .where(RightRequest.right_id == right_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise NotFoundError
    return row


def _state(row: RightRequest, now: datetime) -> RightState:
    """The state as it is now: that a deadline has passed is evaluated when reading."""
    state = RightState(row.state)
    return RightState.OVERDUE if state in OPEN and now >= row.due_at else state


def _view(keyring: Keyring, row: RightRequest, now: datetime) -> RightView:
    body = _open(keyring, row, "body", row.body_sealed)
    answer = None if row.answer_sealed is None else _open(keyring, row, "answer", row.answer_sealed)["text"]
    return RightView(
        right_id=row.right_id,
        kind=RightKind(row.kind),
        state=_state(row, now),
        grant_id=row.grant_id,
        organisation_id=row.organisation_id,
        record=body["record"],
        text=body["text"],
        answer=answer,
        reason=row.reason,
        has_record=row.record_sealed is not None,
        for_authority=body["for_authority"],
        filed_at=row.filed_at,
        due_at=row.due_at,
        answered_at=row.answered_at,
    )


def _open(keyring: Keyring, row: RightRequest, part: str, sealed: bytes) -> dict[str, Any]:
    opened = open_sealed(keyring.audit_key(row.subject_id), _context(part, row.right_id), sealed)
    loaded: dict[str, Any] = orjson.loads(opened)
    return loaded


def _acting(staff: Staff) -> dict[str, str]:
    return {"by": staff.by, "because": staff.reason}


def _record(  # noqa: PLR0913 - an event has this many sides
    work: Work,
    keyring: Keyring,
    row: RightRequest,
    event: EventType,
    *,
    detail: Mapping[str, Any],
    now: datetime,
) -> None:
    """An event of a request. In the log stands its kind and no more: not about whom, not what they said."""
    occurrence = Occurrence(
        event=event,
        handle=row.handle,
        at=now,
        purpose=RIGHTS_PURPOSE,
        facts={"kind": row.kind},
        detail={"right_id": row.right_id, **detail},
    )
    work.record(evidence(keyring.audit_key(row.subject_id), occurrence))


def _context(part: str, right_id: str) -> bytes:
    return context_of("mydata/consent/right@v1", part, right_id)
