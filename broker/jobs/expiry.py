"""What time brings: consents whose window or last redelivery is over, requests nobody answered, old ids.

Deciding has refused them since that very instant; this only puts it on record and lets the shares go.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import or_, update
from sqlmodel import Session, col, delete, func, select

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.counting import count_before_sweep
from broker.jobs.isolation import one_at_a_time
from broker.oauth.ciba_models import BackchannelRequest
from broker.oauth.models import Code, Interaction, PushedRequest, SeenJti, Token
from broker.web.signin.models import AccountSession
from consent.changing import expire_changes
from consent.lifecycle import expire, fulfil, lock
from consent.models import Consent, ConsentChange, Delivery
from consent.outbox import set_aside
from consent.states import LIVING, OPEN
from consent.vocabulary import ChangeState, ConsentState

_KEEP_EXPIRED = timedelta(days=1)


def end_overdue(installation: Installation, now: datetime) -> int:
    """End every consent that time has ended, each in a commit of its own; answers how many."""
    window = timedelta(hours=installation.settings.delivery.redelivery_hours)
    reading_time = timedelta(minutes=installation.settings.oauth.interaction_minutes)
    with installation.data.read() as session:
        used_up = _used_up(session, now - window)
        due = [
            *((grant_id, LIVING) for grant_id in _expired(session, now)),
            *((grant_id, {ConsentState.REQUESTED}) for grant_id in _abandoned(session, now - reading_time)),
            *((grant_id, OPEN) for grant_id in _unsigned(session, now)),
        ]
        changed = _overdue_changes(session, now)
    ended = 0
    for grant_id in used_up:
        with one_at_a_time("expiry", grant_id=grant_id):
            ended += _fulfil(installation, grant_id, now - window, now)
    for grant_id, states in due:
        with one_at_a_time("expiry", grant_id=grant_id):
            ended += _expire(installation, grant_id, states, now)
    for grant_id in changed:
        with one_at_a_time("expiry", grant_id=grant_id), transaction(installation.data) as work:
            ended += expire_changes(work, installation.keyring, lock(work, grant_id), now)
    return ended


def _fulfil(installation: Installation, grant_id: str, last_place_before: datetime, now: datetime) -> bool:
    """End a consent that is used up, unless it has changed since it was found."""
    with transaction(installation.data) as work:
        consent = lock(work, grant_id)
        is_due = grant_id in _used_up(work.session, last_place_before, grant_id)
        if is_due:
            fulfil(work, installation.keyring, consent, now)
        return is_due


def _expire(installation: Installation, grant_id: str, states: Collection[str], now: datetime) -> bool:
    """The same for one whose time is over; it may have been extended meanwhile."""
    with transaction(installation.data) as work:
        consent = lock(work, grant_id)
        is_due = consent.state in states and (consent.state in OPEN or now >= consent.valid_until)
        if is_due:
            expire(work, installation.keyring, consent, now)
        return is_due


def sweep(installation: Installation, now: datetime) -> None:
    """Delete what has no use left: proofs' ids and kept answers at once, the rest a day after its end."""
    past = now - _KEEP_EXPIRED
    with transaction(installation.data) as work:
        set_aside(work.session)
    answered_before = now - timedelta(seconds=installation.settings.oauth.code_seconds)
    answered = select(PushedRequest.request_id).where(col(PushedRequest.used_at) < answered_before)
    with transaction(installation.data) as work:
        work.session.exec(
            update(Interaction)
            .where(col(Interaction.answer_sealed).is_not(None), col(Interaction.request_id).in_(answered))
            .values(answer_sealed=None)
        )
        count_before_sweep(work, installation.keyring, past, now)
        work.session.exec(delete(SeenJti).where(col(SeenJti.expires_at) < now))
        work.session.exec(delete(Token).where(col(Token.expires_at) < past))
        work.session.exec(delete(Code).where(col(Code.expires_at) < past))
        work.session.exec(delete(Interaction).where(col(Interaction.expires_at) < past))
        work.session.exec(delete(BackchannelRequest).where(col(BackchannelRequest.expires_at) < past))
        open_requests = select(Interaction.request_id)
        work.session.exec(
            delete(PushedRequest).where(
                col(PushedRequest.expires_at) < past, col(PushedRequest.request_id).not_in(open_requests)
            )
        )
        work.session.exec(delete(AccountSession).where(col(AccountSession.expires_at) < past))


def _expired(session: Session, now: datetime) -> list[str]:
    living = select(Consent.grant_id).where(col(Consent.state).in_(LIVING), col(Consent.valid_until) <= now)
    return list(session.exec(living))


def _unsigned(session: Session, now: datetime) -> list[str]:
    """What others had to sign too, and did not while there was time; a deal has a deadline of its own."""
    partly = select(Consent.grant_id).where(
        Consent.state == ConsentState.PARTIALLY_SIGNED, col(Consent.valid_until) <= now
    )
    return list(session.exec(partly))


def _overdue_changes(session: Session, now: datetime) -> list[str]:
    """Consents of which a change waits that nobody can sign any more."""
    overdue = (
        select(ConsentChange.grant_id)
        .join(Consent, col(Consent.grant_id) == col(ConsentChange.grant_id))
        .where(
            ConsentChange.state == ChangeState.OPEN,
            or_(col(ConsentChange.expires_at) <= now, col(Consent.state).not_in(LIVING)),
        )
    )
    return sorted(session.exec(overdue))


def _abandoned(session: Session, opened_before: datetime) -> list[str]:
    """Requests that somebody opened and never answered."""
    asked = select(Consent.grant_id).where(
        Consent.state == ConsentState.REQUESTED, col(Consent.created_at) <= opened_before
    )
    return list(session.exec(asked))


def _used_up(session: Session, last_place_before: datetime, grant_id: str | None = None) -> list[str]:
    """Consents, or this one, of which every place is taken and no redelivery can be asked for any more."""
    used_up = (
        select(Consent.grant_id)
        .join(
            Delivery,
            (col(Delivery.grant_id) == col(Consent.grant_id))
            & (col(Delivery.places_since) == col(Consent.places_since)),
        )
        .where(Consent.state == ConsentState.GIVEN)
        .group_by(col(Consent.grant_id), col(Consent.max_pulls))
        .having(func.count() >= col(Consent.max_pulls), func.max(Delivery.as_of) <= last_place_before)
    )
    if grant_id is not None:
        used_up = used_up.where(Consent.grant_id == grant_id)
    return list(session.exec(used_up))
