"""What a recipient says about a delivery afterwards: that it arrived, and what was decided on it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
import rfc8785
from sqlmodel import Session, col, func, select

from consent.errors import AlreadyDecidedError, NotFoundError
from consent.evidence import Work, record_consent_event
from consent.lifecycle import fulfil, lock
from consent.models import Consent, Decision, Delivery
from consent.vocabulary import ConsentState, DecisionStatus, EventType
from vault.keys.keyring import Keyring
from vault.schema import random_id
from vault.seal import context_of, open_sealed, seal

ANSWERS_REVIEW_OF: Final = "answers_review_of"
_MOST_DECISIONS: Final = 20  # on one delivery: a review does not go on for ever
"""In the detail of `decision.received`: the decision that the citizen wanted reviewed."""


@dataclass(frozen=True, slots=True)
class DecisionReceipt:
    """The id of a decision, and whether it had been received before."""

    decision_id: str
    is_repeated: bool


def acknowledge(work: Work, keyring: Keyring, delivery_id: str, recipient_id: str, now: datetime) -> None:
    """The recipient has it safe. With the last place acknowledged the consent is fulfilled.

    Works after the consent has ended. A second time changes nothing. Raises NotFoundError.
    """
    consent, delivery = _locked_delivery(work, delivery_id, recipient_id)
    if delivery.acknowledged_at is not None:
        return
    delivery.acknowledged_at = now
    record_consent_event(
        work, keyring, consent, EventType.DELIVERY_ACKNOWLEDGED, detail={"delivery_id": delivery_id}, now=now
    )
    if consent.state == ConsentState.GIVEN and _is_settled(work.session, consent):
        fulfil(work, keyring, consent, now)


def receive_decision(  # noqa: PLR0913 - who says what about which delivery, and when
    work: Work,
    keyring: Keyring,
    delivery_id: str,
    *,
    recipient_id: str,
    body: Mapping[str, Any],
    now: datetime,
) -> DecisionReceipt:
    """Keep a recipient's decision for the citizen, sealed in a compartment of its own.

    The same decision again is answered with the first one's id. A different one needs a review: the
    decision that stands says that a person is looking, or the citizen asked for it. The earlier one
    stays. Raises NotFoundError, AlreadyDecidedError without a review, UnknownKeyError or ErasedError
    once the person was erased.
    """
    consent, delivery = _locked_delivery(work, delivery_id, recipient_id)
    canonical = rfc8785.dumps(dict(body))
    digest = keyring.index("decision.body", delivery_id + canonical.decode())
    known = decisions_on(work.session, delivery_id)
    for decision in known:
        if decision.body_digest == digest:
            return DecisionReceipt(decision.decision_id, is_repeated=True)
    standing = known[-1] if known else None
    if standing is not None and not _is_under_review(keyring, standing):
        raise AlreadyDecidedError
    if len(known) >= _MOST_DECISIONS:
        raise AlreadyDecidedError
    decision = _add_decision(
        work, keyring, delivery, number=len(known) + 1, body=(canonical, digest), now=now
    )
    detail = {
        "delivery_id": delivery_id,
        "decision_id": decision.decision_id,
        "sha256": hashlib.sha256(canonical).hexdigest(),
    }
    if standing is not None and standing.review_requested_at is not None:
        detail[ANSWERS_REVIEW_OF] = standing.decision_id
    record_consent_event(work, keyring, consent, EventType.DECISION_RECEIVED, detail=detail, now=now)
    return DecisionReceipt(decision.decision_id, is_repeated=False)


def decisions_on(session: Session, delivery_id: str) -> list[Decision]:
    """A delivery's decisions in the order they came; the last one stands."""
    where = Decision.delivery_id == delivery_id
    return list(session.exec(select(Decision).where(where).order_by(col(Decision.number))).all())


def open_decision(keyring: Keyring, decision: Decision) -> dict[str, Any]:
    """A decision as the recipient wrote it. Raises UnknownKeyError once its key was erased."""
    key = keyring.compartment_key(decision.subject_id, decision.compartment_id)
    context = decision_context(decision.decision_id)
    body: dict[str, Any] = orjson.loads(open_sealed(key, context, decision.body_sealed))
    return body


def decision_compartment(grant_id: str) -> str:
    """The kind under which a consent's decisions have a compartment of their own."""
    return f"decision/{grant_id}"


def decision_context(decision_id: str) -> bytes:
    """What a sealed decision is bound to."""
    return context_of("mydata/consent/decision@v1", decision_id)


def _locked_delivery(work: Work, delivery_id: str, recipient_id: str) -> tuple[Consent, Delivery]:
    """The delivery of this recipient, read under its consent's lock; foreign is as unknown."""
    where = (Delivery.delivery_id == delivery_id, Delivery.recipient_id == recipient_id)
    grant_id = work.session.exec(select(Delivery.grant_id).where(*where)).one_or_none()
    if grant_id is None:
        raise NotFoundError
    consent = lock(work, grant_id)
    return consent, work.session.exec(select(Delivery).where(*where)).one()


def _add_decision(  # noqa: PLR0913 - a decision is all of these
    work: Work, keyring: Keyring, delivery: Delivery, *, number: int, body: tuple[bytes, bytes], now: datetime
) -> Decision:
    """A delivery's next decision, sealed. `body` is canonical JSON and its keyed digest."""
    canonical, digest = body
    decision_id = random_id()
    kind = decision_compartment(delivery.grant_id)
    compartment_id = keyring.compartment_id(delivery.subject_id, delivery.recipient_id, kind)
    key = keyring.ensure_compartment(delivery.subject_id, compartment_id, now)
    decision = Decision(
        decision_id=decision_id,
        delivery_id=delivery.delivery_id,
        number=number,
        grant_id=delivery.grant_id,
        subject_id=delivery.subject_id,
        recipient_id=delivery.recipient_id,
        compartment_id=compartment_id,
        body_sealed=seal(key, decision_context(decision_id), canonical),
        body_digest=digest,
        received_at=now,
    )
    work.session.add(decision)
    return decision


def _is_under_review(keyring: Keyring, standing: Decision) -> bool:
    """A person is to look, since the rules were silent or since the citizen asked for it."""
    if standing.review_requested_at is not None:
        return True
    return open_decision(keyring, standing).get("status") == DecisionStatus.REVIEW


def _is_settled(session: Session, consent: Consent) -> bool:
    """Every place that counts now is taken and acknowledged."""
    acknowledged = session.exec(
        select(func.count())
        .select_from(Delivery)
        .where(
            Delivery.grant_id == consent.grant_id,
            Delivery.places_since == consent.places_since,
            col(Delivery.acknowledged_at).is_not(None),
        )
    ).one()
    return acknowledged >= consent.max_pulls
