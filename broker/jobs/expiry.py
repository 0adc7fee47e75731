"""What time brings: consents whose window or last redelivery is over, requests nobody answered, old ids.

Deciding has refused them since that very instant; this only puts it on record and lets the shares go.
"""

from datetime import datetime, timedelta

from sqlalchemy import update
from sqlmodel import Session, col, delete, func, select

from broker.db import transaction
from broker.installation import Installation
from broker.oauth.models import Code, Interaction, PushedRequest, SeenJti, Token
from broker.web.signin.models import AccountSession
from consent.lifecycle import expire, fulfil, lock
from consent.models import Consent, Delivery
from consent.vocabulary import ConsentState

_LIVING = {ConsentState.GIVEN, ConsentState.PAUSED}
_KEEP_EXPIRED = timedelta(days=1)


def end_overdue(installation: Installation, now: datetime) -> int:
    """End every consent that time has ended, each in a commit of its own; answers how many."""
    window = timedelta(hours=installation.settings.delivery.redelivery_hours)
    reading_time = timedelta(minutes=installation.settings.oauth.interaction_minutes)
    with installation.data.read() as session:
        due = [
            *((grant_id, {ConsentState.GIVEN}, fulfil) for grant_id in _used_up(session, now - window)),
            *((grant_id, _LIVING, expire) for grant_id in _expired(session, now)),
            *(
                (grant_id, {ConsentState.REQUESTED}, expire)
                for grant_id in _abandoned(session, now - reading_time)
            ),
        ]
    ended = 0
    for grant_id, states, end in due:
        with transaction(installation.data) as work:
            consent = lock(work, grant_id)
            if consent.state in states:
                end(work, installation.keyring, consent, now)
                ended += 1
    return ended


def sweep(installation: Installation, now: datetime) -> None:
    """Delete what has no use left: proofs' ids and kept answers at once, the rest a day after its end."""
    past = now - _KEEP_EXPIRED
    answered_before = now - timedelta(seconds=installation.settings.oauth.code_seconds)
    answered = select(PushedRequest.request_id).where(col(PushedRequest.used_at) < answered_before)
    with transaction(installation.data) as work:
        work.session.exec(
            update(Interaction)
            .where(col(Interaction.answer_sealed).is_not(None), col(Interaction.request_id).in_(answered))
            .values(answer_sealed=None)
        )
        work.session.exec(delete(SeenJti).where(col(SeenJti.expires_at) < now))
        work.session.exec(delete(Token).where(col(Token.expires_at) < past))
        work.session.exec(delete(Code).where(col(Code.expires_at) < past))
        work.session.exec(delete(Interaction).where(col(Interaction.expires_at) < past))
        open_requests = select(Interaction.request_id)
        work.session.exec(
            delete(PushedRequest).where(
                col(PushedRequest.expires_at) < past, col(PushedRequest.request_id).not_in(open_requests)
            )
        )
        work.session.exec(delete(AccountSession).where(col(AccountSession.expires_at) < past))


def _expired(session: Session, now: datetime) -> list[str]:
    living = select(Consent.grant_id).where(col(Consent.state).in_(_LIVING), col(Consent.valid_until) <= now)
    return list(session.exec(living))


def _abandoned(session: Session, opened_before: datetime) -> list[str]:
    """Requests that somebody opened and never answered."""
    asked = select(Consent.grant_id).where(
        Consent.state == ConsentState.REQUESTED, col(Consent.created_at) <= opened_before
    )
    return list(session.exec(asked))


def _used_up(session: Session, last_place_before: datetime) -> list[str]:
    return list(
        session.exec(
            select(Consent.grant_id)
            .join(Delivery, col(Delivery.grant_id) == col(Consent.grant_id))
            .where(Consent.state == ConsentState.GIVEN)
            .group_by(col(Consent.grant_id), col(Consent.max_pulls))
            .having(func.count() >= col(Consent.max_pulls), func.max(Delivery.as_of) <= last_place_before)
        )
    )
