"""Duties: the outbox."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from vault.schema import Instant, Row


class Duty(Row, table=True):
    """An outbox row: what must happen after a commit, and has not yet. Payload holds ids only.

    `happened_at` is the instant of what owes it: `created_at` begins anew with each new try. `fault` is the
    code of the last failure; `dead_at` says since when nothing tries it any more. `told_type` and
    `told_due` are the event and the date of deletion that a recipient which polls has to acknowledge.
    `client_id` is whose software is told of a consent, a decision or its stream; None for every other kind.
    """

    __table_args__ = (
        Index("ix_duty_done_at_due_at", "done_at", "due_at"),
        Index("ix_duty_client_id_done_at", "client_id", "done_at"),
    )

    duty_id: str = Field(primary_key=True)
    kind: str
    target: str
    due_at: datetime = Field(sa_type=Instant)
    attempts: int = 0
    created_at: datetime = Field(sa_type=Instant)
    done_at: datetime | None = Field(default=None, sa_type=Instant)
    dead_at: datetime | None = Field(default=None, sa_type=Instant)
    fault: str | None = None
    happened_at: datetime | None = Field(default=None, sa_type=Instant)
    told_type: str | None = None
    told_due: str | None = None
    client_id: str | None = None
