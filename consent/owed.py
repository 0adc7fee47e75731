"""What may be read of obligations: a recipient its own, a person those to them, an operator all."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, not_, or_
from sqlmodel import Session, col, func, select

from consent.attestation import AttestationView, open_attestation
from consent.models import Consent, Delivery, Obligation
from consent.obligations import ANSWERED, Kept, kept_of, standing
from consent.vocabulary import DueCause, ObligationState
from vault.keys.keyring import Keyring


@dataclass(frozen=True, slots=True)
class ObligationView:
    """An obligation as it stands; `cause` is None while the consent lives and nothing is due."""

    obligation_id: str
    grant_id: str
    recipient_id: str
    state: ObligationState
    cause: DueCause | None
    due_at: datetime
    opened_at: datetime
    acknowledged_at: datetime | None
    attested_at: datetime | None
    disputed_at: datetime | None
    deliveries: tuple[Kept, ...]


def obligations_to(
    session: Session,
    recipient_id: str | None,
    *,
    states: Collection[ObligationState] = (),
    after: str = "",
    limit: int,
) -> list[ObligationView]:
    """A recipient's obligations (None: everybody's), in the order of their ids, those after an id.

    `states` that they have now; none named means all.
    """
    query = select(Obligation).where(Obligation.obligation_id > after)
    if recipient_id is not None:
        query = query.where(Obligation.recipient_id == recipient_id)
    if states:
        query = query.where(or_(*(_is_in(state) for state in sorted(states))))
    rows = session.exec(query.order_by(col(Obligation.obligation_id)).limit(limit)).all()
    return _views(session, rows)


def obligation_of(session: Session, subject_id: str, grant_id: str) -> ObligationView | None:
    """The obligation under a person's consent; None without a delivery that may be stored."""
    row = _row_of(session, subject_id, grant_id)
    return None if row is None else _views(session, [row])[0]


def attestation_of(
    session: Session, keyring: Keyring, subject_id: str, grant_id: str
) -> AttestationView | None:
    """The attestation that closed a person's obligation, or that is disputed."""
    row = _row_of(session, subject_id, grant_id)
    return None if row is None else open_attestation(keyring, row)


def _row_of(session: Session, subject_id: str, grant_id: str) -> Obligation | None:
    return session.exec(
        select(Obligation).where(Obligation.grant_id == grant_id, Obligation.subject_id == subject_id)
    ).one_or_none()


def _is_in(state: ObligationState) -> ColumnElement[bool]:
    """Whether a row stands in a state, as `consent.obligations.standing` has it."""
    kept = (
        select(func.count())
        .select_from(Delivery)
        .where(Delivery.grant_id == Obligation.grant_id, col(Delivery.retention_days) > 0)
        .scalar_subquery()
    )
    is_stored = col(Obligation.state) == state
    was_opened_again = and_(col(Obligation.state).in_(ANSWERED), col(Obligation.attested_count) < kept)
    if state is ObligationState.PENDING:
        return or_(is_stored, was_opened_again)
    return and_(is_stored, not_(was_opened_again)) if state in ANSWERED else is_stored


def _views(session: Session, rows: Sequence[Obligation]) -> list[ObligationView]:
    grant_ids = [row.grant_id for row in rows]
    consents = {
        consent.grant_id: consent
        for consent in session.exec(select(Consent).where(col(Consent.grant_id).in_(grant_ids)))
    }
    kept: dict[str, list[Kept]] = {grant_id: [] for grant_id in grant_ids}
    for delivery in session.exec(
        select(Delivery)
        .where(col(Delivery.grant_id).in_(grant_ids), col(Delivery.retention_days) > 0)
        .order_by(col(Delivery.as_of), col(Delivery.delivery_id))
    ):
        kept[delivery.grant_id].append(kept_of(delivery))
    return [_view(consents[row.grant_id], row, kept[row.grant_id]) for row in rows]


def _view(consent: Consent, row: Obligation, kept: Sequence[Kept]) -> ObligationView:
    found = standing(consent, row, kept)
    is_answered = found.state in ANSWERED
    return ObligationView(
        obligation_id=row.obligation_id,
        grant_id=row.grant_id,
        recipient_id=row.recipient_id,
        state=found.state,
        cause=found.cause,
        due_at=found.due_at,
        opened_at=row.opened_at,
        acknowledged_at=row.acknowledged_at,
        attested_at=row.attested_at if is_answered else None,
        disputed_at=row.disputed_at,
        deliveries=found.kept,
    )
