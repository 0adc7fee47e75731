"""Counting: the statistics are taken on from where they were, and flows are counted before their rows go."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from sqlmodel import col, select

from broker.db import Transaction, transaction
from broker.installation import Installation
from broker.oauth.models import Code, Interaction, PushedRequest
from broker.oauth.par import open_terms
from consent.counting import count_abandoned, keep_fold
from consent.models import Consent
from vault.errors import TamperedError
from vault.keys.keyring import Keyring

_UNREADABLE: Final = "none"


def keep_statistics(installation: Installation, now: datetime) -> int:
    """Keep the fold as far as the log goes now; answers how far."""
    del now
    with transaction(installation.data) as work:
        return keep_fold(work)


def count_before_sweep(work: Transaction, keyring: Keyring, past: datetime, now: datetime) -> None:
    """Count what `broker.jobs.expiry.sweep` is about to delete, in the same transaction: each flow once.

    Never opened: before anybody was identified. Opened, and nobody signed in: before authentication. A code
    that nobody came for: no token was exchanged.
    """
    session = work.session
    opened = select(Interaction.request_id)
    never_opened = session.exec(
        select(PushedRequest).where(
            col(PushedRequest.expires_at) < past,
            col(PushedRequest.used_at).is_(None),
            col(PushedRequest.terms_sealed).is_not(None),
            col(PushedRequest.request_id).not_in(opened),
        )
    ).all()
    nobody_signed_in = session.exec(
        select(PushedRequest)
        .join(Interaction, col(Interaction.request_id) == col(PushedRequest.request_id))
        .where(
            col(Interaction.expires_at) < past,
            col(Interaction.subject_id).is_(None),
            col(PushedRequest.used_at).is_(None),
        )
    ).all()
    unredeemed = session.exec(
        select(Consent.purpose)
        .join(Code, col(Code.grant_id) == col(Consent.grant_id))
        .where(col(Code.expires_at) < past, col(Code.used_at).is_(None))
    ).all()
    count_abandoned(work, "preIdentification", _purposes(keyring, never_opened), now)
    count_abandoned(work, "preAuthentication", _purposes(keyring, nobody_signed_in), now)
    count_abandoned(work, "failedTokenExchange", Counter(unredeemed), now)


def _purposes(keyring: Keyring, requests: Iterable[PushedRequest]) -> Counter[str]:
    """How many requests there are for each purpose; one that cannot be opened counts all the same."""
    return Counter(_purpose(keyring, request) for request in requests)


def _purpose(keyring: Keyring, request: PushedRequest) -> str:
    try:
        return open_terms(keyring, request).purpose
    except TamperedError:
        return _UNREADABLE
