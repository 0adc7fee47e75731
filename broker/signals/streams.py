"""A client's one event stream (OpenID SSF 1.0 sections 8.1.1 and 8.1.2): made, read, changed, deleted.

The header that the client wants its pushes to bear is a secret of the client: it is kept sealed, and shown
to nobody but the client.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlmodel import Session, col, delete, select

from broker.signals.errors import StreamExistsError, StreamUnknownError
from broker.signals.event_types import SUPPORTED
from broker.signals.models import EventStream, StreamNotice, StreamSubject
from consent.outbox import restart_client
from vault.insert import insert_if_absent
from vault.keys.keyring import Keyring
from vault.schema import random_id
from vault.seal import context_of, open_sealed, seal

_SEALING_KEY: Final = "event_stream"
_CONTEXT: Final = "mydata/event-stream/authorization@v1"


class DeliveryMethod(StrEnum):
    """How events come to a client; the value is the standard's URN."""

    PUSH = "urn:ietf:rfc:8935"
    POLL = "urn:ietf:rfc:8936"


class StreamStatus(StrEnum):
    """Whether events go out; paused ones are kept for later, those of a disabled stream are not."""

    ENABLED = "enabled"
    PAUSED = "paused"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a client says of its stream. `events_requested` None: it names none, and is told of all."""

    method: DeliveryMethod = DeliveryMethod.POLL
    endpoint_url: str | None = None
    authorization_header: str | None = field(default=None, repr=False)
    events_requested: tuple[str, ...] | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream as it stands."""

    stream_id: str
    client_id: str
    status: StreamStatus
    reason: str | None
    wishes: Wishes

    @property
    def events_delivered(self) -> tuple[str, ...]:
        """The event types that the client is told of, in the order of those that there are."""
        asked = self.wishes.events_requested
        return tuple(name for name in SUPPORTED if asked is None or name in asked)

    def as_configuration(self, issuer: str, supported: Sequence[str] = SUPPORTED) -> dict[str, Any]:
        """The stream's configuration as its client is shown it; `supported`: what that can be told of."""
        wishes = self.wishes
        delivery = {"method": wishes.method.value, "endpoint_url": self.endpoint_of(issuer)}
        if wishes.authorization_header is not None:
            delivery["authorization_header"] = wishes.authorization_header
        shown: dict[str, Any] = {
            "stream_id": self.stream_id,
            "iss": issuer,
            "aud": self.client_id,
            "delivery": delivery,
            "events_supported": list(supported),
            "events_delivered": [name for name in self.events_delivered if name in supported],
        }
        if wishes.events_requested is not None:
            shown["events_requested"] = list(wishes.events_requested)
        if wishes.description is not None:
            shown["description"] = wishes.description
        return shown

    def endpoint_of(self, issuer: str) -> str:
        """Where events are pushed to, or polled from."""
        return self.wishes.endpoint_url or f"{issuer}/ssf/poll/{self.stream_id}"

    def as_status(self) -> dict[str, str]:
        """The stream's status, as the endpoint shows it."""
        shown = {"stream_id": self.stream_id, "status": self.status.value}
        return shown if self.reason is None else shown | {"reason": self.reason}


def create(session: Session, keyring: Keyring, client_id: str, wishes: Wishes, now: datetime) -> Stream:
    """Make the client's stream, enabled. Raises StreamExistsError: of many at once, one makes it."""
    stream = Stream(random_id(), client_id, StreamStatus.ENABLED, None, wishes)
    row = {
        "stream_id": stream.stream_id,
        "client_id": client_id,
        "status": stream.status,
        "status_reason": None,
        "created_at": now,
        **_columns(keyring, stream.stream_id, wishes),
    }
    if not insert_if_absent(session, EventStream, row):
        raise StreamExistsError
    return stream


def find_stream(session: Session, keyring: Keyring, client_id: str) -> Stream | None:
    """The client's stream; None if it has none."""
    row = session.exec(
        select(EventStream)
        .where(EventStream.client_id == client_id)
        .execution_options(populate_existing=True)
    ).one_or_none()
    return None if row is None else _parsed(keyring, row)


def own_stream(
    session: Session, keyring: Keyring, client_id: str, stream_id: str, *, is_locked: bool = False
) -> Stream:
    """The client's stream of this id. Raises StreamUnknownError."""
    return _parsed(keyring, _row(session, client_id, stream_id, is_locked=is_locked))


def change(session: Session, keyring: Keyring, stream: Stream, wishes: Wishes, now: datetime) -> Stream:
    """Put other wishes in place of those that stand; what waits goes by them. Raises StreamUnknownError."""
    row = _row(session, stream.client_id, stream.stream_id, is_locked=True)
    for name, value in _columns(keyring, row.stream_id, wishes).items():
        setattr(row, name, value)
    if row.status == StreamStatus.ENABLED:
        restart_client(session, row.client_id, now)
    return _parsed(keyring, row)


def set_status(  # noqa: PLR0913, PLR0917 - which, to what, why
    session: Session,
    keyring: Keyring,
    stream: Stream,
    status: StreamStatus,
    reason: str | None,
    now: datetime,
) -> Stream:
    """Enable, pause or disable it; what was kept in a pause is due at once. Raises StreamUnknownError."""
    row = _row(session, stream.client_id, stream.stream_id, is_locked=True)
    if status is StreamStatus.ENABLED and row.status == StreamStatus.PAUSED:
        restart_client(session, row.client_id, now)
    row.status, row.status_reason = status, reason
    return _parsed(keyring, row)


def remove(session: Session, client_id: str, stream_id: str, now: datetime) -> None:
    """Delete a stream with all that was kept for it. Raises StreamUnknownError.

    What its client is to be told goes to its `events_endpoint` from now on, if it has one.
    """
    row = _row(session, client_id, stream_id, is_locked=True)
    restart_client(session, client_id, now)  # before its notices, as with whoever is telling one now
    for table in (StreamSubject, StreamNotice):
        session.exec(delete(table).where(col(table.stream_id) == stream_id))
    session.delete(row)
    session.flush()


def remove_of_client(session: Session, client_id: str, now: datetime) -> bool:
    """Delete the client's stream if it has one, as `remove` does: it may have none any more."""
    own = select(EventStream.stream_id).where(EventStream.client_id == client_id).with_for_update()
    stream_id = session.exec(own).one_or_none()
    if stream_id is not None:
        remove(session, client_id, stream_id, now)
    return stream_id is not None


def _row(session: Session, client_id: str, stream_id: str, *, is_locked: bool = False) -> EventStream:
    own = select(EventStream).where(EventStream.stream_id == stream_id, EventStream.client_id == client_id)
    row = session.exec(own.with_for_update() if is_locked else own).one_or_none()
    if row is None:
        raise StreamUnknownError
    return row


def _columns(keyring: Keyring, stream_id: str, wishes: Wishes) -> dict[str, Any]:
    header, asked = wishes.authorization_header, wishes.events_requested
    return {
        "delivery_method": wishes.method,
        "endpoint_url": wishes.endpoint_url,
        "authorization_sealed": None
        if header is None
        else seal(keyring.sealing_key(_SEALING_KEY), context_of(_CONTEXT, stream_id), header.encode()),
        "events_requested": None if asked is None else json.dumps(asked),
        "description": wishes.description,
    }


def _parsed(keyring: Keyring, row: EventStream) -> Stream:
    header = row.authorization_sealed
    if header is not None:
        context = context_of(_CONTEXT, row.stream_id)
        header = open_sealed(keyring.sealing_key(_SEALING_KEY), context, header)
    return Stream(
        row.stream_id,
        row.client_id,
        StreamStatus(row.status),
        row.status_reason,
        Wishes(
            DeliveryMethod(row.delivery_method),
            row.endpoint_url,
            None if header is None else header.decode(),
            None if row.events_requested is None else tuple(json.loads(row.events_requested)),
            row.description,
        ),
    )
