"""Tables of sign-in: accounts and their browser sessions. Names are found by keyed index, never clear."""

from datetime import datetime

from sqlalchemy import LargeBinary
from sqlmodel import Field

from vault.schema import Instant, Row


class Account(Row, table=True):
    """One person who can sign in. Staff (auditor, operator) have no subject.

    `name_sealed` is the display name under the subject's audit key; staff have none.
    """

    account_id: str = Field(primary_key=True)
    role: str
    subject_id: str | None = Field(default=None, foreign_key="subject.subject_id", index=True)
    username_index: bytes = Field(sa_type=LargeBinary, unique=True)
    password_hash: str
    failed_attempts: int = 0
    locked_until: datetime | None = Field(default=None, sa_type=Instant)
    name_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    last_signed_in_at: datetime | None = Field(default=None, sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)


class AccountSession(Row, table=True):
    """One signed-in browser. The key is the SHA-256 of the cookie, so a stolen row opens nothing.

    `representation_id` is set while the person acts for somebody else.
    """

    __tablename__ = "account_session"

    session_digest: bytes = Field(primary_key=True, sa_type=LargeBinary)
    account_id: str = Field(foreign_key="account.account_id", index=True)
    created_at: datetime = Field(sa_type=Instant)
    last_seen_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant)
    representation_id: str | None = None
