"""Requests without a browser as they are kept (OpenID CIBA Core): answered once, polled, taken once.

A pushed request without a redirect URI is one of these: no browser goes back to its client.
"""

import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import update
from sqlmodel import Session, col, select

from broker.oauth.ciba_models import BackchannelRequest
from broker.oauth.errors import InteractionGoneError, OAuthCode, OAuthError
from broker.oauth.models import Code, Interaction, PushedRequest
from broker.oauth.tokens import hash_of
from consent.outbox import DutyKind, owe_once
from vault.keys.keyring import Keyring
from vault.seal import context_of, open_sealed, seal

NO_REDIRECT_URI: Final = ""
INTERVAL_SECONDS: Final = 5  # CIBA Core section 7.3
_SLOWER_BY: Final = 5  # CIBA Core section 11
_PREFIX: Final = "mdb_"
_SECRET_BYTES: Final = 32
_SEALING_KEY: Final = "backchannel_notification"


class AskedState(StrEnum):
    """What the person has said; the value is the column `state`."""

    PENDING = "pending"
    ALLOWED = "allowed"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Notification:
    """What a ping says, and what it is authorized by (CIBA Core section 10.2)."""

    auth_req_id: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AskedView:
    """One request as its person sees it."""

    interaction_id: str
    client_id: str
    request: PushedRequest
    state: AskedState
    expires_at: datetime


def new_auth_req_id() -> str:
    """A new `auth_req_id`: 256 random bits in characters that need no escaping (CIBA Core section 7.3)."""
    return _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def is_backchannel(request: PushedRequest) -> bool:
    """Whether a request came without a browser."""
    return request.redirect_uri == NO_REDIRECT_URI


def page_of(interaction_id: str) -> str:
    """Where its person goes after the answer: a page of ours, without the language."""
    return f"/asked/{interaction_id}"


def answer(
    session: Session, request: PushedRequest, subject_id: str | None, code: Code | None, now: datetime
) -> None:
    """The person has decided, `code` is None for a no; its client is pinged if it wants that.

    Once: the pushed request was used up by whoever calls. Raises InteractionGoneError for anybody but the
    person who was asked.
    """
    row = session.exec(
        select(BackchannelRequest).where(
            BackchannelRequest.request_id == request.request_id, BackchannelRequest.subject_id == subject_id
        )
    ).one_or_none()
    if row is None:
        raise InteractionGoneError
    if code is not None:
        code.expires_at = request.expires_at
        session.add(code)
    row.state = AskedState.DENIED if code is None else AskedState.ALLOWED
    row.code_hash = None if code is None else code.code_hash
    session.add(row)
    if row.notification_sealed is not None:
        owe_once(session, f"ping-{request.request_id}", DutyKind.PING_CLIENT, request.request_id, now)


def take(session: Session, auth_req_id: str, *, client_id: str, now: datetime) -> Code:
    """What the person allowed: of many that poll at once, one gets it.

    Raises OAuthError authorization_pending, slow_down, expired_token, access_denied; invalid_grant for an
    unknown one, another client's, and one that was answered with tokens before (CIBA Core section 11).
    """
    own = (
        col(BackchannelRequest.auth_req_hash) == hash_of(auth_req_id),
        col(BackchannelRequest.client_id) == client_id,
    )
    row = session.exec(
        select(BackchannelRequest).where(*own).with_for_update().execution_options(populate_existing=True)
    ).one_or_none()
    if row is None or row.used_at is not None:
        raise OAuthError(OAuthCode.INVALID_GRANT, "auth_req_id is unknown, another client's, or was used")
    if row.expires_at <= now:
        raise OAuthError(OAuthCode.EXPIRED_TOKEN, "the person did not answer in time, or you did not ask")
    if row.state == AskedState.DENIED:
        raise OAuthError(OAuthCode.ACCESS_DENIED, "the person said no")
    if row.state == AskedState.PENDING:
        raise _not_yet(session, row, now)
    row.used_at, row.notification_sealed = now, None  # the row is ours alone until the commit
    session.add(row)
    taken = session.exec(
        update(Code)
        .where(col(Code.code_hash) == row.code_hash, col(Code.used_at).is_(None), col(Code.expires_at) > now)
        .values(used_at=now)
        .returning(Code)
    ).one_or_none()
    if taken is None:  # signed out of, or given up by the client, meanwhile
        raise OAuthError(OAuthCode.INVALID_GRANT, "what was allowed is over")
    code: Code = taken[0]
    return code


def asked_of(
    session: Session, subject_id: str, now: datetime, interaction_id: str | None = None
) -> list[AskedView]:
    """What this person is asked and has not answered, the oldest first; or one of theirs, answered or not."""
    found = (
        select(BackchannelRequest, PushedRequest, Interaction)
        .join(PushedRequest, col(PushedRequest.request_id) == col(BackchannelRequest.request_id))
        .join(Interaction, col(Interaction.request_id) == col(BackchannelRequest.request_id))
        .where(BackchannelRequest.subject_id == subject_id)
        .order_by(col(BackchannelRequest.created_at), col(BackchannelRequest.request_id))
    )
    if interaction_id is None:
        is_open = (BackchannelRequest.state == AskedState.PENDING, col(BackchannelRequest.expires_at) > now)
        found = found.where(*is_open)
    else:
        found = found.where(Interaction.interaction_id == interaction_id)
    return [
        AskedView(interaction.interaction_id, row.client_id, request, AskedState(row.state), row.expires_at)
        for row, request, interaction in session.exec(found)
    ]


def seal_notification(keyring: Keyring, request_id: str, notification: Notification) -> bytes:
    """What a ping needs, readable for this request only."""
    content = json.dumps([notification.auth_req_id, notification.token]).encode()
    return seal(keyring.sealing_key(_SEALING_KEY), _context(request_id), content)


def open_notification(keyring: Keyring, row: BackchannelRequest) -> Notification | None:
    """What a ping needs; None once it was made, or there is none to make. Raises TamperedError."""
    if row.notification_sealed is None:
        return None
    key = keyring.sealing_key(_SEALING_KEY)
    return Notification(*json.loads(open_sealed(key, _context(row.request_id), row.notification_sealed)))


def _not_yet(session: Session, row: BackchannelRequest, now: datetime) -> OAuthError:
    """Why there are no tokens yet. Who asks too soon waits longer from then on."""
    is_too_soon = row.polled_at is not None and now < row.polled_at + timedelta(seconds=row.interval_seconds)
    if is_too_soon:
        row.interval_seconds += _SLOWER_BY
    row.polled_at = now
    session.add(row)
    if is_too_soon:
        return OAuthError(OAuthCode.SLOW_DOWN, f"ask every {row.interval_seconds} seconds at most")
    return OAuthError(OAuthCode.AUTHORIZATION_PENDING, "the person has not answered yet")


def _context(request_id: str) -> bytes:
    return context_of("mydata/oauth/backchannel-notification@v1", request_id)
