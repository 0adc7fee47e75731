"""Step 2 of a flush: decide each pull with `consent.policy`, open its records, shape, digest, log."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from broker.lane.pulls import (
    Answer,
    Found,
    KeyMaterial,
    NewDelivery,
    Proposal,
    Pull,
    StoredDelivery,
    StoredGrant,
    StoredShare,
)
from broker.lane.shaping import CannotOpenError, Content, Shaper, Source, content_of
from broker.oauth.pairwise import pairwise_subject
from consent.answers import Bearings
from consent.disclosure import payload, payload_digest
from consent.errors import RoleForbidsError
from consent.evidence import Occurrence, evidence
from consent.obligations import DAYS_AFTER_END
from consent.policy import (
    ConsentFacts,
    PastDelivery,
    Permit,
    PullRequest,
    Refusal,
    SignInRule,
    access_refused,
    decide,
    is_news,
)
from consent.roles import Deployment, Role
from consent.terms import Item, Terms
from consent.versions import open_terms_with
from consent.vocabulary import ConsentState, EventType, Reason
from vault.errors import TamperedError, UnknownKeyError
from vault.keys.keyring import Keyring
from vault.schema import random_id
from vault.seal import SealingKey, context_of, open_sealed, seal

_NONCE_BYTES: Final = 32
_ACCESS: Final = "access"
_GENERAL_MANAGER: Final = Deployment(Role.MANAGER)


@dataclass(frozen=True, slots=True)
class Desk:
    """What deciding needs besides the rows: keys, how to shape, the redelivery window, and rules."""

    shaper: Shaper
    redelivery_window: timedelta
    days_after_end: int = DAYS_AFTER_END
    deployment: Deployment = _GENERAL_MANAGER
    sign_in_rule: SignInRule | None = None

    def role_forbids(self, items: Sequence[Item]) -> bool:
        """Whether the law keeps this deployment from delivering one of these items."""
        try:
            self.deployment.require_delivery(
                self.shaper.catalogue.get(item.record_type).sensitivity for item in items
            )
        except RoleForbidsError:
            return True
        return False

    @property
    def keyring(self) -> Keyring:
        """The keyring that opens audit keys and records."""
        return self.shaper.keyring


@dataclass(frozen=True, slots=True)
class _Case:
    """One pull with what was found for it and the keys it may use."""

    pull: Pull
    found: Found
    grant: StoredGrant
    shares: Mapping[str, StoredShare]
    audit_key: SealingKey
    now: datetime


def decide_pull(
    desk: Desk, pull: Pull, found: Found | None, keys: KeyMaterial, now: datetime
) -> Answer | Proposal:
    """An answer that leaves no record (the token is not the caller's, or has no consent), or a proposal."""
    # RFC 9449 section 7.1: a proof by another key is as an unknown token, and says nothing more.
    if found is None or found.kind != _ACCESS or not secrets.compare_digest(found.cnf, pull.cnf):
        return Answer()
    if found.grant is None:
        return Answer(reason=Reason.NO_CONSENT)
    stored_key = keys.audit_keys.get(found.grant.subject_id)
    if stored_key is None:
        return Answer(reason=Reason.ERASED)
    # Without its audit key a consent permits nothing, and no entry can be sealed either.
    try:
        audit_key = desk.keyring.open_audit_key(
            stored_key.epoch_id, stored_key.subject_id, stored_key.key_id, stored_key.wrapped
        )
    except TamperedError:
        return Answer(reason=Reason.RECORD_UNREADABLE)
    except UnknownKeyError:
        return Answer(reason=Reason.ERASED)
    shares = {share.compartment_id: share for share in keys.shares.get(found.grant.version_id, ())}
    return _decide(desk, _Case(pull, found, found.grant, shares, audit_key, now))


def access_ended(desk: Desk, found: Found, now: datetime) -> Reason | None:
    """Why a token opens nothing at all now, whatever were asked for; None if it may still open something.

    A token without a consent is judged by itself.
    """
    reason = _token_refused(found, now)
    if reason is None and found.grant is not None:
        reason = access_refused(_facts(desk, found.grant), now)
    return reason


def _decide(desk: Desk, case: _Case) -> Proposal:
    try:
        terms = open_terms_with(case.audit_key, case.grant.version_id, case.grant.terms_sealed)
    except TamperedError:
        detail = {"version_id": case.grant.version_id}
        return _refuse(case, Reason.RECORD_UNREADABLE, event=EventType.RECORD_TAMPERED, detail=detail)
    reason = _token_refused(case.found, case.now)
    if reason is not None:
        return _refuse(case, reason)
    verdict = decide(terms, _facts(desk, case.grant), _request(desk, case), case.now)
    if isinstance(verdict, Refusal):
        is_step_up = verdict.reason is Reason.INSUFFICIENT_USER_AUTHENTICATION
        return _refuse(case, verdict.reason, needs=desk.sign_in_rule if is_step_up else None)
    if desk.role_forbids(verdict.items):
        return _refuse(case, Reason.ROLE_FORBIDS)
    try:
        return _release(desk, case, terms, verdict)
    except CannotOpenError as fault:
        return _refuse(case, fault.reason, event=fault.event, detail=fault.detail)


def _token_refused(found: Found, now: datetime) -> Reason | None:
    """Why the token itself opens nothing; the end of its consent is the more telling reason."""
    if found.grant is not None and found.grant.state is not ConsentState.GIVEN:
        return None
    if found.revoked_at is not None:
        return Reason.TOKEN_REVOKED
    if now >= found.expires_at:
        return Reason.TOKEN_EXPIRED
    return None


def _facts(desk: Desk, grant: StoredGrant) -> ConsentFacts:
    return ConsentFacts(
        state=grant.state,
        version_is_current=grant.version_id == grant.current_version_id,
        recipient_is_active=grant.recipient_is_active,
        valid_from=grant.valid_from,
        valid_until=grant.valid_until,
        max_pulls=grant.max_pulls,
        places_taken=grant.places_taken,
        last_place_at=grant.last_place_at,
        redelivery_window=desk.redelivery_window,
        pause_at=grant.pause_at,
    )


def _request(desk: Desk, case: _Case) -> PullRequest:
    past = case.grant.past
    return PullRequest(
        record_type=case.pull.record_type,
        request_digest=case.pull.request_digest,
        past=None if past is None else PastDelivery(past.delivery_id, past.request_digest, past.as_of),
        sign_in=case.found.sign_in,
        sign_in_rule=desk.sign_in_rule,
    )


def _release(desk: Desk, case: _Case, terms: Terms, permit: Permit) -> Proposal:
    past = case.grant.past if permit.past is not None else None
    delivery_id = random_id() if past is None else past.delivery_id
    if case.found.is_part_erased:
        return _refuse(case, Reason.ERASED, detail={"delivery_id": delivery_id})
    as_of = case.now if past is None else past.as_of
    nonce = secrets.token_bytes(_NONCE_BYTES) if past is None else _nonce(case, past)
    bearings = Bearings(
        issuer=desk.shaper.signer.issuer,
        recipient_id=case.grant.recipient_id,
        grant_id=case.grant.grant_id,
        delivery_id=delivery_id,
        as_of=as_of,
        subject=pairwise_subject(desk.shaper.keyring, case.grant.recipient_id, case.grant.subject_id),
        terms=terms,
    )
    source = Source(case.grant.subject_id, case.shares, case.found.records)
    disclosed = content_of(desk.shaper, source, terms, permit.items, bearings)
    if permit.needs_news and not _has_news(desk, case, disclosed):
        return _refuse(case, Reason.CYCLE_NOT_OVER)
    content = payload(delivery_id, case.grant.grant_id, as_of, disclosed.records)
    digest = payload_digest(content, nonce)
    if past is not None and digest != past.payload_digest:
        return _refuse(case, Reason.REDELIVERY_DIFFERS, detail={"delivery_id": delivery_id})
    detail = {
        "delivery_id": delivery_id,
        "items": [_item_detail(item) for item in permit.items],
        "records": [
            [record.record_id, record.version, record.ciphertext_digest.hex()] for record in disclosed.opened
        ],
    }
    event = EventType.DELIVERY_RELEASED if past is None else EventType.DELIVERY_REPEATED
    facts: dict[str, str | int] = {"payload": digest.hex(), "records": disclosed.size}
    delivery = None
    if permit.ordinal is not None:
        delivery = NewDelivery(
            delivery_id=delivery_id,
            grant_id=case.grant.grant_id,
            version_id=case.grant.version_id,
            subject_id=case.grant.subject_id,
            recipient_id=case.grant.recipient_id,
            ordinal=permit.ordinal,
            places_since=case.grant.places_since,
            key_digest=case.pull.key_digest,
            request_digest=case.pull.request_digest,
            payload_digest=digest,
            nonce_sealed=seal(case.audit_key, _nonce_context(delivery_id), nonce),
            record_count=disclosed.size,
            as_of=as_of,
            retention_days=terms.retention.days,
            days_after_end=desk.days_after_end,
            pinned=tuple((record.record_id, record.version) for record in disclosed.opened),
        )
    body = _body(content, digest, nonce)
    return _proposal(
        case,
        Occurrence(event, case.grant.handle, case.now, facts=facts, detail=detail),
        delivery,
        Answer(body),
    )


def _item_detail(item: Item) -> list[Any]:
    """What of an item the person's record names: its fields, or what was asked. Never an answer."""
    if item.predicate is not None:
        return [item.record_type, item.mode, [item.predicate.model_dump(mode="json", exclude_none=True)]]
    return [item.record_type, item.mode, [*(item.fields or ()), *filter(None, [item.derivation])]]


def _has_news(desk: Desk, case: _Case, disclosed: Content) -> bool:
    return any(is_news(record.disclosed, desk.redelivery_window, case.now) for record in disclosed.opened)


def _refuse(
    case: _Case,
    reason: Reason,
    *,
    event: EventType = EventType.DELIVERY_REFUSED,
    detail: dict[str, Any] | None = None,
    needs: SignInRule | None = None,
) -> Proposal:
    occurrence = Occurrence(event, case.grant.handle, case.now, facts={"reason": reason}, detail=detail or {})
    return _proposal(case, occurrence, None, Answer(reason=reason, needs=needs))


def _proposal(case: _Case, occurrence: Occurrence, delivery: NewDelivery | None, answer: Answer) -> Proposal:
    grant = case.grant
    entry = evidence(
        case.audit_key,
        Occurrence(
            event=occurrence.event,
            handle=occurrence.handle,
            at=occurrence.at,
            recipient=grant.recipient_id,
            purpose=grant.purpose,
            facts=occurrence.facts,
            detail={"grant_id": grant.grant_id, **occurrence.detail},
        ),
    )
    return Proposal(
        pull=case.pull,
        grant_id=grant.grant_id,
        version_id=grant.version_id,
        change_count=grant.change_count,
        places_taken=grant.places_taken,
        token_is_revoked=case.found.revoked_at is not None,
        entry=entry,
        delivery=delivery,
        answer=answer,
    )


def _nonce(case: _Case, past: StoredDelivery) -> bytes:
    try:
        return open_sealed(case.audit_key, _nonce_context(past.delivery_id), past.nonce_sealed)
    except TamperedError as error:
        raise CannotOpenError(Reason.RECORD_UNREADABLE, {"delivery_id": past.delivery_id}) from error


def _nonce_context(delivery_id: str) -> bytes:
    return context_of("mydata/delivery/nonce@v1", delivery_id)


def _body(content: bytes, digest: bytes, nonce: bytes) -> bytes:
    """The canonical content with digest and nonce spliced in: it is serialised once."""
    encoded = base64.urlsafe_b64encode(nonce).rstrip(b"=")
    return content[:-1] + b',"payload_digest":"' + digest.hex().encode() + b'","nonce":"' + encoded + b'"}'
