"""A grant as its own client may see it and give it up (Grant Management for OAuth 2.0, query and revoke).

The grant is the consent. For anybody but the client that it was given to, and after its end, there is none.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from consent.errors import NotFoundError
from consent.evidence import Work
from consent.lifecycle import lock, revoke
from consent.models import Consent, ConsentVersion
from consent.states import LIVING
from consent.terms import Terms
from consent.versions import open_terms
from consent.vocabulary import StateReason, VersionKind
from vault.keys.keyring import Keyring


@dataclass(frozen=True, slots=True)
class Granted:
    """What a living grant allows now. `kind` says how its present version came to be, at `updated_at`."""

    grant_id: str
    terms: Terms
    kind: VersionKind
    created_at: datetime
    updated_at: datetime
    expires_at: datetime


def granted_to(session: Session, keyring: Keyring, grant_id: str, client_id: str, now: datetime) -> Granted:
    """The client's own living grant. Raises NotFoundError: unknown, foreign and ended are one answer."""
    found = session.exec(
        select(Consent, ConsentVersion)
        .join(ConsentVersion, col(ConsentVersion.grant_id) == col(Consent.grant_id))
        .where(
            Consent.grant_id == _lookable(grant_id),
            Consent.client_id == client_id,
            col(Consent.state).in_(LIVING),
            col(Consent.valid_until) > now,
            col(ConsentVersion.number) == col(Consent.version_number),
        )
    ).one_or_none()
    if found is None:
        raise NotFoundError
    consent, version = found
    return Granted(
        grant_id=consent.grant_id,
        terms=open_terms(keyring, consent.subject_id, version),
        kind=VersionKind(version.kind),
        created_at=consent.given_at or consent.created_at,
        updated_at=version.created_at,
        expires_at=consent.valid_until,
    )


def give_up(work: Work, keyring: Keyring, grant_id: str, client_id: str, now: datetime) -> None:
    """The client ends its own living grant: its tokens open nothing from this commit on. NotFoundError."""
    consent = lock(work, _lookable(grant_id))
    if consent.client_id != client_id or consent.state not in LIVING or now >= consent.valid_until:
        raise NotFoundError
    revoke(work, keyring, grant_id, StateReason.BY_RECIPIENT, now)


def _lookable(grant_id: str) -> str:
    # PostgreSQL takes no text with a NUL in it: what cannot be an id is not looked up.
    if not grant_id.isascii() or not grant_id.isprintable():
        raise NotFoundError
    return grant_id
