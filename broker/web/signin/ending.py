"""The end of a browser's session: its row goes, what hangs on it ends, the cookie is forgotten."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlmodel import Session, col, delete, select
from starlette.responses import Response

from broker.oauth import session_clients
from broker.oauth.models import SessionClient
from broker.web.signin.models import AccountSession
from broker.web.signin.sessions import cookie_name, digest_of


def sign_out(session: Session, raw_cookie: str | None, now: datetime) -> None:
    """Sign a browser out. Unknown cookies are fine: the end is the same."""
    if raw_cookie:
        end_session(session, digest_of(raw_cookie), now)


def end_session(session: Session, session_digest: bytes, now: datetime) -> None:
    """End one session, and those that it went on from."""
    ended = session_clients.end(session, session_digest, now)
    session.exec(delete(AccountSession).where(col(AccountSession.session_digest).in_(ended)))


def overdue_sessions(session: Session, now: datetime, *, idle: timedelta) -> Sequence[bytes]:
    """Sessions that are over, or gone, and of which a client that was told of them has not heard so."""
    is_living = (
        select(AccountSession.session_digest)
        .where(
            AccountSession.session_digest == SessionClient.session_digest,
            col(AccountSession.expires_at) > now,
            col(AccountSession.last_seen_at) > now - idle,
        )
        .correlate(SessionClient)
        .exists()
    )
    return session.exec(
        select(SessionClient.session_digest)
        .where(col(SessionClient.ended_at).is_(None), ~is_living)
        .distinct()
        .order_by(col(SessionClient.session_digest))
    ).all()


def forget_cookie(answer: Response, issuer: str) -> None:
    """Have the browser forget the cookie of its session."""
    answer.delete_cookie(
        cookie_name(issuer),
        path="/",
        secure=issuer.startswith("https:"),
        httponly=True,
        samesite="lax",
    )
