"""Tables of the authorization server. Storage and nothing else.

Secrets that we hand out (request URIs, codes, tokens) are stored as SHA-256 only: 256 random bits
need neither salt nor pepper.
"""

from datetime import datetime

from sqlalchemy import Index, LargeBinary, UniqueConstraint
from sqlmodel import Field

from vault.schema import Instant, Row


class Client(Row, table=True):
    """A recipient's software: its public keys, its redirect URIs, and what it may ask for.

    `jwks`, `redirect_uris` and `purposes` hold JSON: a key set, and two arrays of strings.
    `scope` is a space-separated list; `status` is `active` or `suspended`. Events are pushed to
    `events_endpoint` (RFC 8935). `security_profile` and `client_metadata` (a JSON object) are those of
    `broker.oauth.client_metadata`.
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
    security_profile: str = "fapi2"
    client_metadata: str = "{}"
    created_at: datetime = Field(sa_type=Instant)


class PushedRequest(Row, table=True):
    """An authorization request that a client pushed (RFC 9126).

    Its terms are sealed, and so is what else of it is needed later (`broker.oauth.kept_parameters`). Without
    terms it asks for a sign-in alone, or, with a `grant_id`, for a later sign-in for what stands
    (`broker.oauth.step_up`).
    `language` is what `ui_locales` asked for, `ko` or `en`. `grant_id` names the consent that is to be
    replaced by what is asked (Grant Management for OAuth 2.0), where it is not a new one; `deal_member_id`
    the role of a deal that it is asked for.
    `used_at` is set at completion (allowed or denied), not at the first page view.
    """

    __tablename__ = "pushed_request"

    request_id: str = Field(primary_key=True)
    uri_digest: bytes = Field(sa_type=LargeBinary, unique=True)
    client_id: str = Field(foreign_key="client.client_id")
    redirect_uri: str
    scope: str
    code_challenge: str
    dpop_jkt: str | None = None
    language: str | None = None
    terms_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    kept_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    grant_id: str | None = None
    deal_member_id: str | None = None
    created_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant, index=True)
    used_at: datetime | None = Field(default=None, sa_type=Instant)


class Interaction(Row, table=True):
    """The hour in which a person reads a pushed request. One for each request, however often reloaded.

    `subject_id` and `grant_id` are set together when a signed-in citizen opens it; `change_id` too, where the
    request is to replace what a consent says. `answer_sealed` is where the person was sent, for a form that
    was posted twice.
    """

    interaction_id: str = Field(primary_key=True)
    request_id: str = Field(foreign_key="pushed_request.request_id", unique=True)
    client_id: str = Field(foreign_key="client.client_id")
    subject_id: str | None = Field(default=None, index=True)
    grant_id: str | None = None
    change_id: str | None = None
    answer_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant, index=True)


class Code(Row, table=True):
    """An authorization code and what it is bound to (RFC 6749 section 4.1.2).

    `grant_id` and `version_id` are null where only a sign-in was asked for. `request_id` and `kept_sealed`
    are those of the pushed request. `auth_time`, `acr` and `session_digest` tell of the sign-in behind it.
    """

    code_hash: bytes = Field(sa_type=LargeBinary, primary_key=True)
    client_id: str = Field(foreign_key="client.client_id")
    subject_id: str
    grant_id: str | None = Field(default=None, index=True)
    version_id: str | None = None
    redirect_uri: str
    scope: str
    code_challenge: str
    dpop_jkt: str | None = None
    request_id: str | None = None
    kept_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    auth_time: datetime | None = Field(default=None, sa_type=Instant)
    acr: str | None = None
    session_digest: bytes | None = Field(default=None, sa_type=LargeBinary, index=True)
    created_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant, index=True)
    used_at: datetime | None = Field(default=None, sa_type=Instant)


class Token(Row, table=True):
    """An access or refresh token: a pointer to one version of a consent, bound to a key (`cnf`).

    `cnf` is text of `broker.oauth.confirmation`. `kind` is `access` or `refresh`. A client's own tokens
    (client credentials) have no consent and no person: `grant_id`, `version_id` and `subject_id` are null.
    Those of a sign-in alone have a person only. `auth_time`, `acr` and `session_digest` are the code's.
    """

    __table_args__ = (Index("ix_token_grant_id", "grant_id"),)

    token_hash: bytes = Field(sa_type=LargeBinary, primary_key=True)
    kind: str
    client_id: str = Field(foreign_key="client.client_id")
    grant_id: str | None = None
    version_id: str | None = None
    subject_id: str | None = None
    scope: str
    cnf: str
    auth_time: datetime | None = Field(default=None, sa_type=Instant)
    acr: str | None = None
    session_digest: bytes | None = Field(default=None, sa_type=LargeBinary, index=True)
    issued_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant, index=True)
    revoked_at: datetime | None = Field(default=None, sa_type=Instant)


class SessionClient(Row, table=True):
    """That a client was told of a browser's session: it is to hear when that is over (Back-Channel Logout).

    `session_digest` is the session whose end it hears of; `sid_digest` the one that its `sid` was made from,
    which is an earlier one once the person has signed in again. `ended_at`: it is over, and the client's
    duty is open; the row goes when that is done.
    """

    __tablename__ = "session_client"
    __table_args__ = (UniqueConstraint("sid_digest", "client_id", name="uq_session_client_sid_digest"),)

    participation_id: str = Field(primary_key=True)
    session_digest: bytes = Field(sa_type=LargeBinary, index=True)
    sid_digest: bytes = Field(sa_type=LargeBinary)
    client_id: str = Field(foreign_key="client.client_id")
    subject_id: str
    created_at: datetime = Field(sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)


class SeenJti(Row, table=True):
    """A token id that was used once: of a DPoP proof or of a client assertion."""

    __tablename__ = "seen_jti"

    jti_digest: bytes = Field(sa_type=LargeBinary, primary_key=True)
    expires_at: datetime = Field(sa_type=Instant, index=True)
