"""Browser sessions: a random cookie, found by its SHA-256; a row that can be ended at any time."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session, col, delete, select

from broker.web.signin.models import Account, AccountSession

# `last_seen_at` is written at most this often, so that reading pages stays reading.
_TOUCH_INTERVAL: Final = timedelta(minutes=2)


def cookie_name(issuer: str) -> str:
    """`__Host-sid` over https (RFC 6265bis section 4.1.3.2), plain `sid` over loopback http."""
    return "__Host-sid" if issuer.startswith("https:") else "sid"


def new_cookie_value() -> str:
    """256 random bits, URL-safe."""
    return secrets.token_urlsafe(32)


def open_session(session: Session, account_id: str, now: datetime, *, lifetime: timedelta) -> str:
    """Sign a browser in: adds a row and returns the value of its cookie. Sweeps the account's dead rows."""
    session.exec(
        delete(AccountSession).where(
            col(AccountSession.account_id) == account_id, col(AccountSession.expires_at) <= now
        )
    )
    raw_cookie = new_cookie_value()
    session.add(
        AccountSession(
            session_digest=digest_of(raw_cookie),
            account_id=account_id,
            created_at=now,
            last_seen_at=now,
            expires_at=now + lifetime,
        )
    )
    return raw_cookie


def find_session(
    session: Session, raw_cookie: str | None, now: datetime, *, idle: timedelta
) -> tuple[Account, AccountSession] | None:
    """The account that a cookie is signed in as, with its session; None once it is over or unknown.

    `idle` is how long a session lives without a request.
    """
    if not raw_cookie:
        return None
    found = session.exec(
        select(Account, AccountSession)
        .join(AccountSession, col(AccountSession.account_id) == col(Account.account_id))
        .where(
            AccountSession.session_digest == digest_of(raw_cookie),
            col(AccountSession.expires_at) > now,
            col(AccountSession.last_seen_at) > now - idle,
        )
    ).first()
    return None if found is None else (found[0], found[1])


def is_due_for_touch(row: AccountSession, now: datetime) -> bool:
    """Whether `touch` has something to write."""
    return now - row.last_seen_at >= _TOUCH_INTERVAL


def touch(session: Session, session_digest: bytes, now: datetime) -> None:
    """Keep a session from going idle."""
    row = session.get(AccountSession, session_digest)
    if row is not None:
        row.last_seen_at = now


def digest_of(raw_cookie: str) -> bytes:
    """The key of a session's row."""
    return hashlib.sha256(raw_cookie.encode()).digest()
