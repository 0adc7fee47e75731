"""A citizen's wish that a person looks at a decision again (PIPA article 37-2)."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from consent.delivery import decisions_on
from consent.errors import DecisionReplacedError, NotFoundError
from consent.evidence import Work, record_consent_event
from consent.lifecycle import lock
from consent.models import Decision
from consent.outbox import DutyKind, owe
from consent.vocabulary import EventType
from vault.keys.keyring import Keyring


@dataclass(frozen=True, slots=True)
class ReviewReceipt:
    """Of which decision a review was asked for, under which consent, since when, and whether before."""

    decision_id: str
    grant_id: str
    requested_at: datetime
    is_repeated: bool


@dataclass(frozen=True, slots=True)
class ReviewView:
    """A review that was asked for, and when the decision that followed came."""

    decision_id: str
    grant_id: str
    recipient_id: str
    requested_at: datetime
    decided_at: datetime | None


def reviews_of(session: Session, subject_id: str) -> list[ReviewView]:
    """Every review that a person asked for, the newest first."""
    next_one = aliased(Decision)
    rows = session.exec(
        select(Decision, next_one.received_at)
        .outerjoin(
            next_one,
            (col(next_one.delivery_id) == col(Decision.delivery_id))
            & (col(next_one.number) == col(Decision.number) + 1),
        )
        .where(Decision.subject_id == subject_id, col(Decision.review_requested_at).is_not(None))
        .order_by(col(Decision.review_requested_at).desc())
    )
    return [
        ReviewView(row.decision_id, row.grant_id, row.recipient_id, row.review_requested_at, decided_at)
        for row, decided_at in rows
        if row.review_requested_at is not None
    ]


def ask_for_review(
    work: Work, keyring: Keyring, decision_id: str, subject_id: str, now: datetime
) -> ReviewReceipt:
    """Put the wish on record, and owe it to the recipient, who may then send another decision.

    Works after the consent has ended. A second time changes nothing. Raises NotFoundError, for somebody
    else's decision too, and DecisionReplacedError when a later one stands.
    """
    where = (Decision.decision_id == decision_id, Decision.subject_id == subject_id)
    grant_id = work.session.exec(select(Decision.grant_id).where(*where)).one_or_none()
    if grant_id is None:
        raise NotFoundError
    consent = lock(work, grant_id)  # first of all: the recipient may be deciding at this moment
    decision = work.session.exec(select(Decision).where(*where)).one()
    if decision.review_requested_at is not None:
        return ReviewReceipt(decision_id, grant_id, decision.review_requested_at, is_repeated=True)
    if decisions_on(work.session, decision.delivery_id)[-1].decision_id != decision_id:
        raise DecisionReplacedError
    decision.review_requested_at = now
    detail = {"delivery_id": decision.delivery_id, "decision_id": decision_id}
    record_consent_event(work, keyring, consent, EventType.DECISION_REVIEW_REQUESTED, detail=detail, now=now)
    owe(work.session, DutyKind.ASK_REVIEW, decision_id, now)
    return ReviewReceipt(decision_id, grant_id, now, is_repeated=False)
