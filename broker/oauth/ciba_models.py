"""The table of requests that come without a browser (OpenID CIBA Core). Storage and nothing else."""

from datetime import datetime

from sqlalchemy import LargeBinary
from sqlmodel import Field

from vault.schema import Instant, Row


class BackchannelRequest(Row, table=True):
    """What a client polls for with an `auth_req_id`, of which the SHA-256 is stored.

    `request_id` is the pushed request that the person decides on, `subject_id` the only person who may.
    `state` is of `broker.oauth.ciba_requests.AskedState`. `code_hash` is the code that stands for what was
    allowed; nobody has that code. `notification_sealed` is what a ping needs, until it was made.
    """

    __tablename__ = "backchannel_request"

    auth_req_hash: bytes = Field(sa_type=LargeBinary, primary_key=True)
    request_id: str = Field(unique=True)
    client_id: str = Field(foreign_key="client.client_id")
    subject_id: str = Field(index=True)
    state: str
    interval_seconds: int
    polled_at: datetime | None = Field(default=None, sa_type=Instant)
    code_hash: bytes | None = Field(default=None, sa_type=LargeBinary)
    notification_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant, index=True)
    used_at: datetime | None = Field(default=None, sa_type=Instant)
