"""Verification of a stream (OpenID SSF 1.0 section 8.1.4): an event that shows that events come through.

It goes the way of every other event, by a duty: the answer to the request says only that it will.
"""

from datetime import datetime
from typing import Final

from sqlmodel import Session, col, delete, func, select

from broker.oauth.security_event import SecurityEvent
from broker.signals.errors import TooManySignalsError
from broker.signals.event_types import verification
from broker.signals.models import StreamNotice
from broker.signals.streams import Stream
from consent.models import Duty
from consent.outbox import DutyKind, owe_once
from vault.schema import random_id

_MOST_WAITING: Final = 10


def ask(session: Session, stream: Stream, state: str | None, now: datetime) -> str:
    """Owe a verification event; answers its id. Raises TooManySignalsError while too many wait."""
    waiting = (
        select(func.count())
        .select_from(StreamNotice)
        .join(Duty, col(Duty.duty_id) == col(StreamNotice.notice_id))
        .where(StreamNotice.stream_id == stream.stream_id, col(Duty.dead_at).is_(None))
    )
    if session.exec(waiting).one() >= _MOST_WAITING:
        raise TooManySignalsError
    notice_id = random_id()
    session.add(StreamNotice(notice_id=notice_id, stream_id=stream.stream_id, state=state, created_at=now))
    owe_once(session, notice_id, DutyKind.TELL_STREAM, stream.client_id, now)
    return notice_id


def event_of_notice(session: Session, stream: Stream, duty: Duty) -> SecurityEvent | None:
    """The event of a duty that tells of the stream; None if that stream is gone."""
    notice = session.get(StreamNotice, duty.duty_id)
    if notice is None or notice.stream_id != stream.stream_id:
        return None
    return verification(duty.duty_id, stream.client_id, stream.stream_id, notice.state)


def forget(session: Session, duty: Duty) -> None:
    """A verification was told, or dropped: what the client wanted echoed is not kept."""
    session.exec(delete(StreamNotice).where(col(StreamNotice.notice_id) == duty.duty_id))
