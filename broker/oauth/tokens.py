"""Codes and tokens: opaque, 256 random bits, stored as SHA-256. A token points to a version of a consent.

Nothing here caches a permission: what a token opens is decided where it is used, by joining the consent.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, cast

from sqlalchemy import CursorResult, update
from sqlmodel import Session, col, select

from broker.oauth.models import Code, Token
from consent.models import Consent, ConsentVersion
from consent.terms import Terms
from consent.versions import open_terms, version_id_of
from consent.vocabulary import ConsentState
from vault.keys.keyring import Keyring

_SECRET_BYTES: Final = 32


class TokenKind(StrEnum):
    """What a token is for; the value is the column `kind`."""

    ACCESS = "access"
    REFRESH = "refresh"


_PREFIXES: Final = {TokenKind.ACCESS: "mda_", TokenKind.REFRESH: "mdr_"}
_CODE_PREFIX: Final = "mdc_"


@dataclass(frozen=True, slots=True)
class Grant:
    """A living consent that tokens can be made for."""

    grant_id: str
    version_id: str
    subject_id: str
    valid_until: datetime
    terms: Terms


@dataclass(frozen=True, slots=True)
class Binding:
    """What a token is made for. Without a grant it is for the client's own business."""

    client_id: str
    scope: str
    jkt: str
    grant: Grant | None = None


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """A code on its way to the client, and the row to store: the one time that both are together."""

    raw_code: str = field(repr=False)
    row: Code


def hash_of(raw_token: str) -> bytes:
    """What of a code or token is stored."""
    return hashlib.sha256(raw_token.encode()).digest()


def new_code() -> tuple[str, bytes]:
    """A new code and its hash; the code itself nobody keeps."""
    raw_code = _CODE_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    return raw_code, hash_of(raw_code)


def take_code(session: Session, raw_code: str, *, client_id: str, now: datetime) -> Code | None:
    """Use a code up: of many that try at once, one gets it (RFC 6749 section 4.1.2).

    A client that presents its code again loses every token of the grant. None for unknown, foreign,
    expired and used.
    """
    code_hash = hash_of(raw_code)
    own = (col(Code.code_hash) == code_hash, col(Code.client_id) == client_id)
    taken = session.exec(
        update(Code)
        .where(*own, col(Code.used_at).is_(None), col(Code.expires_at) > now)
        .values(used_at=now)
        .returning(Code)
    ).one_or_none()
    if taken is not None:
        code: Code = taken[0]
        return code
    used = session.exec(select(Code).where(*own, col(Code.used_at).is_not(None))).one_or_none()
    if used is not None:
        revoke_grant_tokens(session, used.grant_id, now)
    return None


def find_grant(session: Session, keyring: Keyring, pointer: Code | Token, now: datetime) -> Grant | None:
    """The consent that a code or token points to, if it is given, in time, and still that version."""
    found = session.exec(
        select(Consent, ConsentVersion)
        .join(ConsentVersion, col(ConsentVersion.grant_id) == col(Consent.grant_id))
        .where(
            Consent.grant_id == pointer.grant_id,
            Consent.subject_id == pointer.subject_id,
            Consent.client_id == pointer.client_id,
            col(Consent.state).in_((ConsentState.GIVEN, ConsentState.PAUSED)),  # a pause refuses pulls only
            Consent.valid_until > now,
            ConsentVersion.version_id == pointer.version_id,
        )
    ).one_or_none()
    if found is None:
        return None
    consent, version = found
    if version_id_of(consent.grant_id, consent.version_number) != version.version_id:
        return None
    terms = open_terms(keyring, consent.subject_id, version)
    return Grant(consent.grant_id, version.version_id, consent.subject_id, consent.valid_until, terms)


def issue_access(session: Session, binding: Binding, *, seconds: int, now: datetime) -> tuple[str, int]:
    """A new access token and its life in seconds: never longer than the consent's."""
    expires_at = now + timedelta(seconds=seconds)
    if binding.grant is not None:
        expires_at = min(expires_at, binding.grant.valid_until)
    raw_token = _issue(session, TokenKind.ACCESS, binding, expires_at=expires_at, now=now)
    return raw_token, int((expires_at - now).total_seconds())


def issue_refresh(session: Session, binding: Binding, grant: Grant, *, now: datetime) -> str:
    """A new refresh token, which lives until the consent ends."""
    return _issue(session, TokenKind.REFRESH, binding, expires_at=grant.valid_until, now=now)


def find_token(session: Session, raw_token: str, *, client_id: str, now: datetime) -> Token | None:
    """A client's own token, neither expired nor revoked; None for anything else."""
    return session.exec(
        select(Token).where(
            Token.token_hash == hash_of(raw_token),
            Token.client_id == client_id,
            Token.expires_at > now,
            col(Token.revoked_at).is_(None),
        )
    ).one_or_none()


def revoke_token(session: Session, token: Token, now: datetime) -> None:
    """End one token."""
    token.revoked_at = now
    session.add(token)


def revoke_grant_tokens(session: Session, grant_id: str, now: datetime) -> int:
    """End every token of a grant; the consent stays. Answers how many ended."""
    ended = session.exec(
        update(Token)
        .where(col(Token.grant_id) == grant_id, col(Token.revoked_at).is_(None))
        .values(revoked_at=now)
    )
    return cast("CursorResult[Any]", ended).rowcount


def _issue(
    session: Session, kind: TokenKind, binding: Binding, *, expires_at: datetime, now: datetime
) -> str:
    raw_token = _PREFIXES[kind] + secrets.token_urlsafe(_SECRET_BYTES)
    grant = binding.grant
    session.add(
        Token(
            token_hash=hash_of(raw_token),
            kind=kind,
            client_id=binding.client_id,
            grant_id=grant.grant_id if grant else None,
            version_id=grant.version_id if grant else None,
            subject_id=grant.subject_id if grant else None,
            scope=binding.scope,
            jkt=binding.jkt,
            issued_at=now,
            expires_at=expires_at,
        )
    )
    return raw_token
