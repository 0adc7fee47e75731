"""Grants that nobody came for: the person agreed, and the code was never redeemed.

Their client does not even know the id, so nothing can ever be asked for under them (Grant Management for
OAuth 2.0: unclaimed grants are deleted after a time-out). A code of a later version is another matter: who
asked for a change knows the id, and what was agreed before must not end because nobody came for more.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import or_
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.isolation import one_at_a_time
from broker.oauth.models import Code, Token
from consent.lifecycle import lock, revoke
from consent.models import Consent, ConsentVersion
from consent.states import LIVING
from consent.versions import REQUESTED_NUMBER
from consent.vocabulary import StateReason

_TIME_OUT: Final = timedelta(hours=1)
"""Since the code's last second; codes are swept a day after it (`broker.jobs.expiry`)."""


def end_unclaimed(installation: Installation, now: datetime) -> int:
    """End every grant of which no token was ever made, each in a commit of its own; answers how many."""
    with installation.data.read() as session:
        found = _unclaimed(session, now - _TIME_OUT)
    ended = 0
    for grant_id in found:
        with one_at_a_time("claiming", grant_id=grant_id), transaction(installation.data) as work:
            lock(work, grant_id)
            # A later request for the same grant may have brought a code since it was found.
            if grant_id in _unclaimed(work.session, now - _TIME_OUT, grant_id):
                revoke(work, installation.keyring, grant_id, StateReason.UNCLAIMED, now)
                ended += 1
    return ended


def _unclaimed(session: Session, expired_before: datetime, grant_id: str | None = None) -> list[str]:
    """Living grants, or this one, with old unused codes of their first version and nothing else.

    Deals end for all or for none. Tokens and codes of before are swept some day: they are no proof that
    nobody ever came.
    """
    other = aliased(Code)
    tokens = select(Token.token_hash).where(Token.grant_id == Consent.grant_id).correlate(Consent)
    codes = (
        select(other.code_hash)
        .where(
            other.grant_id == Consent.grant_id,
            or_(col(other.used_at).is_not(None), col(other.expires_at) >= expired_before),
        )
        .correlate(Consent)
    )
    unclaimed = (
        select(Consent.grant_id)
        .join(Code, col(Code.grant_id) == col(Consent.grant_id))
        .join(ConsentVersion, col(ConsentVersion.version_id) == col(Code.version_id))
        .where(
            col(ConsentVersion.number) == REQUESTED_NUMBER + 1,
            col(Code.expires_at) < expired_before,
            col(Consent.state).in_(LIVING),
            col(Consent.deal_id).is_(None),
            ~tokens.exists(),
            ~codes.exists(),
        )
        .distinct()
    )
    if grant_id is not None:
        unclaimed = unclaimed.where(Consent.grant_id == grant_id)
    return list(session.exec(unclaimed))
