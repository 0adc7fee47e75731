"""What a recipient says about a delivery afterwards: that it arrived, and what was decided on it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import rfc8785
from sqlmodel import Session, col, func, select

from consent.errors import AlreadyDecidedError, NotFoundError
from consent.evidence import Work, record_consent_event
from consent.lifecycle import fulfil, lock
from consent.models import Consent, Decision, Delivery
from consent.vocabulary import ConsentState, EventType
from vault.keys.keyring import Keyring
from vault.schema import random_id
from vault.seal import context_of, seal


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

    The same decision again is answered with the first one's id. Raises NotFoundError, and
    AlreadyDecidedError for a different one.
    """
    consent, delivery = _locked_delivery(work, delivery_id, recipient_id)
    canonical = rfc8785.dumps(dict(body))
    digest = keyring.index("decision.body", delivery_id + canonical.decode())
    known = work.session.exec(select(Decision).where(Decision.delivery_id == delivery_id)).one_or_none()
    if known is not None:
        if known.body_digest != digest:
            raise AlreadyDecidedError
        return DecisionReceipt(known.decision_id, is_repeated=True)
    decision_id = random_id()
    compartment_id = keyring.compartment_id(
        consent.subject_id, recipient_id, decision_compartment(consent.grant_id)
    )
    key = keyring.ensure_compartment(consent.subject_id, compartment_id, now)
    work.session.add(
        Decision(
            decision_id=decision_id,
            delivery_id=delivery_id,
            grant_id=delivery.grant_id,
            subject_id=delivery.subject_id,
            recipient_id=recipient_id,
            compartment_id=compartment_id,
            body_sealed=seal(key, decision_context(decision_id), canonical),
            body_digest=digest,
            received_at=now,
        )
    )
    detail = {
        "delivery_id": delivery_id,
        "decision_id": decision_id,
        "sha256": hashlib.sha256(canonical).hexdigest(),
    }
    record_consent_event(work, keyring, consent, EventType.DECISION_RECEIVED, detail=detail, now=now)
    return DecisionReceipt(decision_id, is_repeated=False)


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


def _is_settled(session: Session, consent: Consent) -> bool:
    """Every place is taken and acknowledged."""
    acknowledged = session.exec(
        select(func.count())
        .select_from(Delivery)
        .where(Delivery.grant_id == consent.grant_id, col(Delivery.acknowledged_at).is_not(None))
    ).one()
    return acknowledged >= consent.max_pulls
