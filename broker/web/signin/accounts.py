"""Accounts: making one, and signing in with name and password; failures lock the row for a growing time."""

import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlmodel import Session, col, delete, select

from broker.db import Database, transaction
from broker.oauth.session_clients import carry_over
from broker.web.signin.ending import end_session
from broker.web.signin.models import Account, AccountSession
from broker.web.signin.passwords import verify_password
from broker.web.signin.sessions import digest_of, open_session
from vault.errors import UnknownKeyError
from vault.keys.keyring import Keyring
from vault.schema import random_id
from vault.seal import context_of, open_sealed, seal

Role = Literal["citizen", "auditor", "operator"]

FAILURES_BEFORE_LOCK: Final = 5
FIRST_LOCK: Final = timedelta(seconds=60)
LONGEST_LOCK: Final = timedelta(minutes=30)
_USERNAME_INDEX: Final = "account.username"


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What an account is made of. The hash comes from `hash_password`, before any transaction.

    A citizen has a subject and may have a name; staff have neither.
    """

    role: Role
    username: str
    password_hash: str = field(repr=False)
    subject_id: str | None = None
    name: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What somebody typed."""

    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A sign-in that succeeded: the new cookie and whose it is."""

    raw_cookie: str = field(repr=False)
    role: str


@dataclass(frozen=True, slots=True)
class _Attempt:
    account_id: str | None
    password_hash: str | None = field(repr=False)


def create_account(session: Session, keyring: Keyring, new: NewAccount, now: datetime) -> str:
    """Add an account and return its id. The subject's keys must be there when there is a name."""
    account_id = random_id()
    name_sealed = None
    if new.subject_id is not None and new.name is not None:
        key = keyring.ensure_compartment(new.subject_id, _name_compartment(keyring, new.subject_id), now)
        name_sealed = seal(key, _name_context(account_id), new.name.encode())
    session.add(
        Account(
            account_id=account_id,
            role=new.role,
            subject_id=new.subject_id,
            username_index=username_index(keyring, new.username),
            password_hash=new.password_hash,
            name_sealed=name_sealed,
            created_at=now,
        )
    )
    return account_id


def display_name(keyring: Keyring, account: Account) -> str | None:
    """The name to greet with; None for staff, for a person who gave none, and once it was erased."""
    if account.subject_id is None or account.name_sealed is None:
        return None
    try:
        key = keyring.compartment_key(account.subject_id, _name_compartment(keyring, account.subject_id))
    except UnknownKeyError:
        return None
    return open_sealed(key, _name_context(account.account_id), account.name_sealed).decode()


def username_index(keyring: Keyring, username: str) -> bytes:
    """The keyed index of a sign-in name; case and surrounding spaces do not count."""
    return keyring.index(_USERNAME_INDEX, unicodedata.normalize("NFC", username).strip().casefold())


def sign_in(  # noqa: PLR0913 - who signs in where, and for how long
    database: Database,
    keyring: Keyring,
    credentials: Credentials,
    now: datetime,
    *,
    lifetime: timedelta,
    earlier_cookie: str | None = None,
) -> SignedIn | None:
    """Check name and password and open a session of `lifetime`; None says no without saying why.

    `earlier_cookie` is the browser's until now: a person who signs in again is in the same session to others.

    The attempt is counted and committed before the password is looked at, so attempts at the same
    moment cannot slip under the limit; the hashing happens between two transactions, inside none.
    """
    index = username_index(keyring, credentials.username)
    with transaction(database) as work:
        attempt = _take_attempt(work.session, index, now)
    is_right = verify_password(credentials.password, attempt.password_hash)
    if attempt.account_id is None or not is_right:
        return None
    with transaction(database) as work:
        account = work.session.get_one(Account, attempt.account_id)
        account.failed_attempts = 0
        account.locked_until = None
        account.last_signed_in_at = now
        raw_cookie = open_session(work.session, account.account_id, now, lifetime=lifetime)
        if earlier_cookie and account.subject_id is not None:
            earlier, later = digest_of(earlier_cookie), digest_of(raw_cookie)
            carry_over(work.session, earlier, later, account.subject_id)
        return SignedIn(raw_cookie, account.role)


def confirm_password(database: Database, account_id: str, password: str, now: datetime) -> bool:
    """Whether it is the password of somebody who is signed in; counted like an attempt to sign in."""
    with transaction(database) as work:
        index = work.session.get_one(Account, account_id).username_index
        attempt = _take_attempt(work.session, index, now)
    if not verify_password(password, attempt.password_hash) or attempt.account_id is None:
        return False
    with transaction(database) as work:
        account = work.session.get_one(Account, account_id)
        account.failed_attempts = 0
        account.locked_until = None
    return True


def close_account(session: Session, subject_id: str, now: datetime) -> None:
    """Take a person's account away with every session of it: nobody can sign in as them any more.

    What others were given by a sign-in alone ends with it, and its clients hear that it is over.
    """
    own = select(Account.account_id).where(Account.subject_id == subject_id)
    digests = select(AccountSession.session_digest).where(col(AccountSession.account_id).in_(own))
    for digest in sorted(session.exec(digests)):
        end_session(session, digest, now)
    session.execute(delete(Account).where(col(Account.subject_id) == subject_id))


def lock_time(failed_attempts: int) -> timedelta:
    """How long the row stays locked after so many failures: nothing, 60 s, 2 min, 4 min … 30 min."""
    if failed_attempts < FAILURES_BEFORE_LOCK:
        return timedelta(0)
    doublings = min(failed_attempts - FAILURES_BEFORE_LOCK, 10)
    return min(FIRST_LOCK * (1 << doublings), LONGEST_LOCK)


def _take_attempt(session: Session, index: bytes, now: datetime) -> _Attempt:
    account = session.exec(select(Account).where(Account.username_index == index).with_for_update()).first()
    if account is None or (account.locked_until is not None and account.locked_until > now):
        return _Attempt(None, None)
    account.failed_attempts += 1
    if account.failed_attempts >= FAILURES_BEFORE_LOCK:
        account.locked_until = now + lock_time(account.failed_attempts)
    return _Attempt(account.account_id, account.password_hash)


def _name_compartment(keyring: Keyring, subject_id: str) -> str:
    """Names have a compartment of their own: an erasure takes them, though the audit key stays."""
    return keyring.compartment_id(subject_id, "broker", "account.name")


def _name_context(account_id: str) -> bytes:
    return context_of("account.name", account_id)
