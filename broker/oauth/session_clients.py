"""Which clients were told of a browser's session, and what its end brings (Back-Channel Logout 1.0).

A client takes part from the code of a sign-in on. When the session ends, each that has a
`backchannel_logout_uri` is owed a logout token, by a duty of the same transaction.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import update
from sqlmodel import Session, col, delete, select

from broker.oauth.clients import show
from broker.oauth.models import SessionClient
from broker.oauth.tokens import SignedIn, revoke_sign_in_tokens
from consent.outbox import DutyKind, owe
from vault.insert import insert_if_absent
from vault.schema import random_id


def take_part(session: Session, client_id: str, signed_in: SignedIn, now: datetime) -> None:
    """The client is about to be told of the session behind a sign-in; once for each session and client."""
    if signed_in.session_digest is None:
        return
    row = {
        "participation_id": random_id(),
        "session_digest": signed_in.session_digest,
        "sid_digest": signed_in.session_digest,
        "client_id": client_id,
        "subject_id": signed_in.subject_id,
        "created_at": now,
        "ended_at": None,
    }
    insert_if_absent(session, SessionClient, row)


def carry_over(session: Session, earlier: bytes, later: bytes, subject_id: str) -> None:
    """The person has signed in again in the same browser: who was told of the earlier session goes on.

    Somebody else who signs in there takes nothing over.
    """
    session.exec(
        update(SessionClient)
        .where(
            col(SessionClient.session_digest) == earlier,
            col(SessionClient.subject_id) == subject_id,
            col(SessionClient.ended_at).is_(None),
        )
        .values(session_digest=later)
    )


def sid_digests(session: Session, session_digest: bytes, client_id: str) -> Sequence[bytes]:
    """What the `sid`s of this client in this session are made from: a session that went on has several."""
    return session.exec(
        select(SessionClient.sid_digest).where(
            SessionClient.session_digest == session_digest, SessionClient.client_id == client_id
        )
    ).all()


def goes_on(session: Session, client_id: str, signed_in: SignedIn) -> bool:
    """Whether a client may still be told of the session behind a sign-in: it is to hear of its end.

    Who ends the session waits until this transaction is over, so the client hears of it afterwards.
    """
    if signed_in.session_digest is None:
        return True
    part = select(SessionClient.participation_id).where(
        SessionClient.sid_digest == signed_in.session_digest,
        SessionClient.client_id == client_id,
        col(SessionClient.ended_at).is_(None),
    )
    return session.exec(part.with_for_update(read=True)).one_or_none() is not None


def end(session: Session, session_digest: bytes, now: datetime) -> set[bytes]:
    """What follows from the end of a session: tokens of signing in alone end, and its clients are told.

    Consents stand, and so do their tokens. Answers the digests of the session and of those before it that it
    went on from.
    """
    ended = session.exec(
        update(SessionClient)
        .where(col(SessionClient.session_digest) == session_digest, col(SessionClient.ended_at).is_(None))
        .values(ended_at=now)
        .returning(
            col(SessionClient.participation_id), col(SessionClient.client_id), col(SessionClient.sid_digest)
        )
    ).all()
    for participation_id, client_id, _ in ended:
        if show(session, client_id).metadata.backchannel_logout_uri is None:
            forget(session, participation_id)
        else:
            owe(session, DutyKind.TELL_LOGOUT, participation_id, now)
    digests = {session_digest, *(sid_digest for _, _, sid_digest in ended)}
    for digest in sorted(digests):
        revoke_sign_in_tokens(session, digest, now)
    return digests


def forget(session: Session, participation_id: str) -> None:
    """The client has heard, or does not want to."""
    session.exec(delete(SessionClient).where(col(SessionClient.participation_id) == participation_id))
