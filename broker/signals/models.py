"""Tables of event streams. Storage and nothing else."""

from datetime import datetime

from sqlalchemy import LargeBinary
from sqlmodel import Field

from vault.schema import Instant, Row


class EventStream(Row, table=True):
    """A client's one stream (SSF 1.0 section 8.1.1).

    `delivery_method` is a URN of `broker.signals.streams.DeliveryMethod`; `endpoint_url` is where to push to,
    with the header of `authorization_sealed`. `events_requested` holds JSON, an array of strings. `status` is
    `enabled`, `paused` or `disabled`.
    """

    __tablename__ = "event_stream"

    stream_id: str = Field(primary_key=True)
    client_id: str = Field(foreign_key="client.client_id", unique=True)
    delivery_method: str
    endpoint_url: str | None = None
    authorization_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    events_requested: str | None = None
    description: str | None = None
    status: str
    status_reason: str | None = None
    created_at: datetime = Field(sa_type=Instant)


class StreamSubject(Row, table=True):
    """A subject that a client has added to its stream or removed from it; without a row it is in.

    `subject_index` is a keyed index of the pairwise subject, or of everybody (SSF 1.0 section 8.1.3).
    """

    __tablename__ = "stream_subject"

    stream_id: str = Field(primary_key=True, foreign_key="event_stream.stream_id")
    subject_index: bytes = Field(sa_type=LargeBinary, primary_key=True)
    is_included: bool


class StreamNotice(Row, table=True):
    """An event about the stream itself, until it is told: `notice_id` is its duty's id.

    `state` is what the client asked to be echoed (SSF 1.0 section 8.1.4).
    """

    __tablename__ = "stream_notice"

    notice_id: str = Field(primary_key=True)
    stream_id: str = Field(foreign_key="event_stream.stream_id", index=True)
    state: str | None = None
    created_at: datetime = Field(sa_type=Instant)
