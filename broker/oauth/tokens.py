"""Codes and tokens: opaque, 256 random bits, stored as SHA-256. A token points to a version of a consent.

Nothing here caches a permission: what a token opens is decided where it is used, by joining the consent.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import update
from sqlmodel import Session, col, select

from broker.oauth.models import Code, Token
from consent.models import Consent, ConsentVersion
from consent.outbox import DutyKind, owe_once
from consent.states import LIVING
from consent.superseding import keeps_tokens
from consent.terms import Terms
from consent.versions import open_terms
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
class SignedIn:
    """The sign-in behind a code: who, when, how strongly (`acr`), and in which of our sessions."""

    subject_id: str
    auth_time: datetime
    acr: str
    session_digest: bytes | None = field(default=None, repr=False)

    @classmethod
    def behind(cls, row: Code | Token) -> "SignedIn | None":
        """The sign-in behind a code or token; None where there was none, or it is not known."""
        if row.subject_id is None or row.auth_time is None or row.acr is None:
            return None
        return cls(row.subject_id, row.auth_time, row.acr, row.session_digest)


@dataclass(frozen=True, slots=True)
class Binding:
    """What a token is made for. Without a grant it is for the client's own business."""

    client_id: str
    scope: str
    cnf: str
    grant: Grant | None = None
    signed_in: SignedIn | None = None


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

    A client that presents its code again loses every token of the grant, or of that session's sign-ins where
    nothing was granted. None for unknown, foreign, expired and used.
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
    if used is not None and used.grant_id is not None:
        revoke_grant_tokens(session, used.grant_id, now)
    elif used is not None and used.session_digest is not None:
        revoke_sign_in_tokens(session, used.session_digest, now, client_id=client_id)
    return None


def find_grant(session: Session, keyring: Keyring, pointer: Code | Token, now: datetime) -> Grant | None:
    """The consent that a code or token points to, if it was signed and is in time, in its present version.

    A code must have been made for that version. A refresh token may be of an earlier one, if nothing since
    gave the recipient more (`consent.changing.keeps_tokens`).
    """
    found = session.exec(
        select(Consent, ConsentVersion)
        .join(ConsentVersion, col(ConsentVersion.grant_id) == col(Consent.grant_id))
        .where(
            Consent.grant_id == pointer.grant_id,
            Consent.subject_id == pointer.subject_id,
            Consent.client_id == pointer.client_id,
            # A pause, and a signature that is still missing, refuse pulls only.
            col(Consent.state).in_((*LIVING, ConsentState.PARTIALLY_SIGNED)),
            Consent.valid_until > now,
            col(ConsentVersion.number) == col(Consent.version_number),
        )
    ).one_or_none()
    if found is None:
        return None
    consent, version = found
    if version.version_id != pointer.version_id and not _opens_later(session, pointer, version):
        return None
    terms = open_terms(keyring, consent.subject_id, version)
    return Grant(consent.grant_id, version.version_id, consent.subject_id, consent.valid_until, terms)


def _opens_later(session: Session, pointer: Code | Token, present: ConsentVersion) -> bool:
    """Whether a refresh token of an earlier version opens the present one."""
    if isinstance(pointer, Code):
        return False
    made_for = select(ConsentVersion.number).where(ConsentVersion.version_id == pointer.version_id)
    since = select(ConsentVersion.kind).where(
        ConsentVersion.grant_id == present.grant_id,
        col(ConsentVersion.number) > made_for.scalar_subquery(),
    )
    return keeps_tokens(session.exec(since))


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


def find_token(
    session: Session, raw_token: str, *, client_id: str, now: datetime, hold: bool = False
) -> Token | None:
    """A client's own token, neither expired nor revoked; None for anything else.

    With `hold` it stays so until the transaction ends: who revokes waits for that, and ends what it gave.
    """
    found = select(Token).where(
        Token.token_hash == hash_of(raw_token),
        Token.client_id == client_id,
        Token.expires_at > now,
        col(Token.revoked_at).is_(None),
    )
    return session.exec(found.with_for_update(read=True) if hold else found).one_or_none()


def revoke_token(session: Session, token: Token, now: datetime) -> None:
    """End one token."""
    token.revoked_at = now
    session.add(token)


def revoke_grant_tokens(session: Session, grant_id: str, now: datetime) -> int:
    """End every token of a grant; the consent stays. Answers how many ended.

    Its client is told of each refresh token, by a duty of this transaction.
    """
    # First whoever refreshes right now is waited for (`find_token`): what that issues is not there before.
    # In one order, as whoever else ends tokens (`registration`).
    theirs = select(Token.token_hash).where(Token.grant_id == grant_id, col(Token.revoked_at).is_(None))
    session.exec(theirs.order_by(col(Token.token_hash)).with_for_update()).all()
    ended = session.exec(
        update(Token)
        .where(col(Token.grant_id) == grant_id, col(Token.revoked_at).is_(None))
        .values(revoked_at=now)
        .returning(col(Token.token_hash), col(Token.kind))
    ).all()
    for token_hash, kind in sorted(ended):  # in one order: somebody else may owe the same (vault/insert.py)
        if kind == TokenKind.REFRESH:
            owe_token_told(session, grant_id, token_hash, now)
    return len(ended)


def revoke_sign_in_tokens(
    session: Session, session_digest: bytes, now: datetime, *, client_id: str | None = None
) -> int:
    """End the tokens that a browser's session gave by signing in alone; those of consents go on.

    With a `client_id`, of that client only; without, codes that wait to be redeemed are used up too. Answers
    how many tokens ended.
    """
    whose = () if client_id is None else (col(Token.client_id) == client_id,)
    if client_id is None:
        waiting = (col(Code.session_digest) == session_digest, col(Code.grant_id).is_(None))
        session.exec(update(Code).where(*waiting, col(Code.used_at).is_(None)).values(used_at=now))
    ended = session.exec(
        update(Token)
        .where(
            *whose,
            col(Token.session_digest) == session_digest,
            col(Token.grant_id).is_(None),
            col(Token.revoked_at).is_(None),
        )
        .values(revoked_at=now)
        .returning(col(Token.token_hash))
    ).all()
    return len(ended)


def owe_token_told(session: Session, grant_id: str, token_hash: bytes, now: datetime) -> None:
    """Owe a client, once, the event that a refresh token has ended: the duty's id is the token's hash."""
    owe_once(session, token_hash.hex(), DutyKind.TELL_TOKEN, grant_id, now)


def ended_refresh_tokens(session: Session, grant_id: str, now: datetime) -> list[bytes]:
    """The hashes, sorted, of a grant's refresh tokens that open nothing any more before their time."""
    present = session.exec(
        select(ConsentVersion)
        .join(Consent, col(Consent.grant_id) == col(ConsentVersion.grant_id))
        .where(
            Consent.grant_id == grant_id,
            col(Consent.state).in_((*LIVING, ConsentState.PARTIALLY_SIGNED)),
            col(ConsentVersion.number) == col(Consent.version_number),
        )
    ).one_or_none()
    tokens = session.exec(
        select(Token).where(
            Token.grant_id == grant_id, Token.kind == TokenKind.REFRESH, col(Token.expires_at) > now
        )
    )
    return sorted(
        token.token_hash
        for token in tokens
        if token.revoked_at is not None
        or present is None
        or (token.version_id != present.version_id and not _opens_later(session, token, present))
    )


def _issue(
    session: Session, kind: TokenKind, binding: Binding, *, expires_at: datetime, now: datetime
) -> str:
    raw_token = _PREFIXES[kind] + secrets.token_urlsafe(_SECRET_BYTES)
    grant, signed_in = binding.grant, binding.signed_in
    session.add(
        Token(
            token_hash=hash_of(raw_token),
            kind=kind,
            client_id=binding.client_id,
            grant_id=grant.grant_id if grant else None,
            version_id=grant.version_id if grant else None,
            subject_id=grant.subject_id if grant else signed_in.subject_id if signed_in else None,
            scope=binding.scope,
            cnf=binding.cnf,
            auth_time=signed_in.auth_time if signed_in else None,
            acr=signed_in.acr if signed_in else None,
            session_digest=signed_in.session_digest if signed_in else None,
            issued_at=now,
            expires_at=expires_at,
        )
    )
    return raw_token
