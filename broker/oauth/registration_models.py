"""Tables of registration by invitation (RFC 7591, RFC 7592). Secrets are stored as SHA-256 only."""

from datetime import datetime

from sqlalchemy import LargeBinary
from sqlmodel import Field

from vault.schema import Instant, Row


class ClientInvitation(Row, table=True):
    """An initial access token (RFC 7591 section 1.2): of one organisation, with the most that it is good for.

    `scope` is space-separated, `purposes` a JSON array. One that was taken back has no uses left. Rows stay:
    they say by whose leave a client is here.
    """

    __tablename__ = "client_invitation"

    invitation_id: str = Field(primary_key=True)
    token_hash: bytes = Field(sa_type=LargeBinary, unique=True)
    organisation_id: str = Field(foreign_key="organisation.organisation_id", index=True)
    scope: str
    purposes: str
    security_profile: str
    uses_left: int
    created_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant)


class ManagedClient(Row, table=True):
    """A client that registered itself, by which invitation, and the hash of its registration access token.

    `token_hash` is of its last token; from `deleted_at` on it opens nothing.
    """

    __tablename__ = "managed_client"

    client_id: str = Field(foreign_key="client.client_id", primary_key=True)
    invitation_id: str = Field(foreign_key="client_invitation.invitation_id", index=True)
    token_hash: bytes = Field(sa_type=LargeBinary, unique=True)
    changed_at: datetime = Field(sa_type=Instant)
    deleted_at: datetime | None = Field(default=None, sa_type=Instant)
