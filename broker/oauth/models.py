"""Tables of the authorization server. Storage and nothing else.

Secrets that we hand out (request URIs, codes, tokens) are stored as SHA-256 only: 256 random bits
need neither salt nor pepper.
"""

from datetime import datetime

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field

from vault.schema import Instant, Row


class Client(Row, table=True):
    """A recipient's software: its public keys, its redirect URIs, and what it may ask for.

    `jwks`, `redirect_uris` and `purposes` hold JSON: a key set, and two arrays of strings.
    `scope` is a space-separated list; `status` is `active` or `suspended`. Events are pushed to
    `events_endpoint` (RFC 8935).
    """

    client_id: str = Field(primary_key=True)
    organisation_id: str = Field(foreign_key="organisation.organisation_id", index=True)
    name: str
    status: str
    jwks: str
    redirect_uris: str
    scope: str
    purposes: str
    events_endpoint: str | None = None
    created_at: datetime = Field(sa_type=Instant)


class PushedRequest(Row, table=True):
    """An authorization request that a client pushed (RFC 9126). The terms are sealed.

    `language` is what `ui_locales` asked for, `ko` or `en`.
    `used_at` is set at completion (allowed or denied), not at the first page view.
    """

    __tablename__ = "pushed_request"

    request_id: str = Field(primary_key=True)
    uri_digest: bytes = Field(sa_type=LargeBinary, unique=True)
    client_id: str = Field(foreign_key="client.client_id")
    redirect_uri: str
    state: str | None = None
    scope: str
    code_challenge: str
    dpop_jkt: str | None = None
    language: str | None = None
    terms_sealed: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant, index=True)
    used_at: datetime | None = Field(default=None, sa_type=Instant)


class Interaction(Row, table=True):
    """The hour in which a person reads a pushed request. One for each request, however often reloaded.

    `subject_id` and `grant_id` are set together when a signed-in citizen opens it. `answer_sealed` is
    where the person was sent, for a form that was posted twice.
    """

    interaction_id: str = Field(primary_key=True)
    request_id: str = Field(foreign_key="pushed_request.request_id", unique=True)
    client_id: str = Field(foreign_key="client.client_id")
    subject_id: str | None = Field(default=None, index=True)
    grant_id: str | None = None
    answer_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant, index=True)


class Code(Row, table=True):
    """An authorization code and what it is bound to (RFC 6749 section 4.1.2)."""

    code_hash: bytes = Field(sa_type=LargeBinary, primary_key=True)
    client_id: str = Field(foreign_key="client.client_id")
    subject_id: str
    grant_id: str
    version_id: str
    redirect_uri: str
    scope: str
    code_challenge: str
    dpop_jkt: str | None = None
    created_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant, index=True)
    used_at: datetime | None = Field(default=None, sa_type=Instant)


class Token(Row, table=True):
    """An access or refresh token: a pointer to one version of a consent, bound to the key `jkt`.

    `kind` is `access` or `refresh`. A client's own tokens (client credentials) have no consent:
    `grant_id`, `version_id` and `subject_id` are null.
    """

    __table_args__ = (Index("ix_token_grant_id", "grant_id"),)

    token_hash: bytes = Field(sa_type=LargeBinary, primary_key=True)
    kind: str
    client_id: str = Field(foreign_key="client.client_id")
    grant_id: str | None = None
    version_id: str | None = None
    subject_id: str | None = None
    scope: str
    jkt: str
    issued_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant, index=True)
    revoked_at: datetime | None = Field(default=None, sa_type=Instant)


class SeenJti(Row, table=True):
    """A token id that was used once: of a DPoP proof or of a client assertion."""

    __tablename__ = "seen_jti"

    jti_digest: bytes = Field(sa_type=LargeBinary, primary_key=True)
    expires_at: datetime = Field(sa_type=Instant, index=True)
