"""What a client is beyond its keys and addresses: its security profile, and metadata under RFC 7591's names.

The profile says what the server demands of every request of the client; the metadata what the client chose
within it. Only members that the server acts on are here: anything else is refused, not kept.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field


class SecurityProfile(StrEnum):
    """What is demanded of a client; the server enforces it, whatever the client sends."""

    FAPI2 = "fapi2"
    """FAPI 2.0 Security Profile Final."""
    FAPI2_MESSAGE_SIGNING = "fapi2_message_signing"
    """FAPI 2.0 Message Signing Final: requests are signed objects, answers are signed where asked for."""
    OIDC = "oidc"
    """Plain OpenID Connect Core: a sign-in, an event stream, no records. Only with `oauth.oidc_clients`."""


class AuthMethod(StrEnum):
    """How a client proves itself at the endpoints that it calls (RFC 7591 section 2, RFC 8705 section 2)."""

    PRIVATE_KEY_JWT = "private_key_jwt"
    TLS_CLIENT_AUTH = "tls_client_auth"
    SELF_SIGNED_TLS_CLIENT_AUTH = "self_signed_tls_client_auth"
    CLIENT_SECRET_BASIC = "client_secret_basic"  # noqa: S105 - the name of a method
    CLIENT_SECRET_POST = "client_secret_post"  # noqa: S105 - the name of a method


SECRET_METHODS: Final = (AuthMethod.CLIENT_SECRET_BASIC, AuthMethod.CLIENT_SECRET_POST)
"""Shared secrets, which FAPI 2.0 forbids: for the profile `oidc` only."""
CERTIFICATE_METHODS: Final = (AuthMethod.TLS_CLIENT_AUTH, AuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH)
"""By the certificate of the TLS connection (RFC 8705 section 2)."""
RS256: Final = "RS256"
_CERTIFICATE_NAMES: Final = (
    "tls_client_auth_subject_dn",
    "tls_client_auth_san_dns",
    "tls_client_auth_san_uri",
    "tls_client_auth_san_ip",
    "tls_client_auth_san_email",
)
_Name = Field(default=None, min_length=1, max_length=500)


class ClientMetadata(BaseModel):
    """Members of RFC 7591 and its kin that this server acts on; each has the default of its specification.

    `tls_client_certificate_bound_access_tokens`: tokens are bound to the client's certificate where a request
    brings no DPoP proof (RFC 8705 section 3.4). Otherwise a proof is needed, but in the profile `oidc`, where
    it is if `dpop_bound_access_tokens` says so (RFC 9449 section 5.2). `client_secret_sha256` is the digest,
    in hex, of the secret that registering made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    token_endpoint_auth_method: AuthMethod = AuthMethod.PRIVATE_KEY_JWT
    tls_client_auth_subject_dn: str | None = _Name
    tls_client_auth_san_dns: str | None = _Name
    tls_client_auth_san_uri: str | None = _Name
    tls_client_auth_san_ip: str | None = _Name
    tls_client_auth_san_email: str | None = _Name
    tls_client_certificate_bound_access_tokens: bool = False
    dpop_bound_access_tokens: bool = False
    client_secret_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    token_endpoint_auth_signing_alg: Literal["ES256", "PS256", "EdDSA", "Ed25519", "RS256"] | None = None
    id_token_signed_response_alg: Literal["ES256", "RS256"] | None = None
    require_signed_request_object: bool = False  # RFC 9101 section 10.5
    request_object_signing_alg: Literal["ES256", "PS256", "EdDSA", "Ed25519"] | None = None
    authorization_signed_response_alg: Literal["ES256"] | None = None  # JARM section 3
    introspection_signed_response_alg: Literal["ES256"] | None = None  # RFC 9701 section 6
    default_max_age: int | None = Field(default=None, ge=0, le=31_536_000)
    require_auth_time: bool = False
    post_logout_redirect_uris: tuple[str, ...] = Field(default=(), max_length=20)  # RP-Initiated Logout 3.1
    backchannel_logout_uri: str | None = None  # Back-Channel Logout section 2.2
    backchannel_logout_session_required: bool = False  # every logout token has a sid, asked for or not
    # OpenID CIBA Core section 4; without a delivery mode the client cannot ask that way.
    backchannel_token_delivery_mode: Literal["poll", "ping"] | None = None
    backchannel_client_notification_endpoint: str | None = None
    backchannel_authentication_request_signing_alg: Literal["ES256", "PS256", "EdDSA", "Ed25519"] | None = (
        None
    )
    backchannel_user_code_parameter: Literal[False] = False


def must_sign_requests(profile: SecurityProfile, metadata: ClientMetadata) -> bool:
    """Whether an authorization request of the client must be a signed object."""
    return metadata.require_signed_request_object or profile is SecurityProfile.FAPI2_MESSAGE_SIGNING


def id_token_algorithm(profile: SecurityProfile, metadata: ClientMetadata) -> str:
    """What the client's ID tokens are signed with: RS256 is Core's own choice (Registration section 2)."""
    chosen = metadata.id_token_signed_response_alg if profile is SecurityProfile.OIDC else None
    return chosen or (RS256 if profile is SecurityProfile.OIDC else "ES256")


def faults_of(
    metadata: ClientMetadata, profile: SecurityProfile = SecurityProfile.FAPI2
) -> Iterator[tuple[str, str]]:
    """What contradicts itself, or the profile, as `(member, rule)`."""
    yield from _faults_of_plain(metadata) if profile is SecurityProfile.OIDC else _faults_of_fapi(metadata)
    is_pinged = metadata.backchannel_token_delivery_mode == "ping"  # noqa: S105 - a name
    if is_pinged != (metadata.backchannel_client_notification_endpoint is not None):
        yield "backchannel_client_notification_endpoint", "goes with the delivery mode ping, and only there"
    named = [name for name in _CERTIFICATE_NAMES if getattr(metadata, name) is not None]
    if metadata.token_endpoint_auth_method is AuthMethod.TLS_CLIENT_AUTH:
        if len(named) != 1:  # RFC 8705 section 2.1.2
            yield (
                "token_endpoint_auth_method",
                f"tls_client_auth needs exactly one of {', '.join(named or _CERTIFICATE_NAMES)}",
            )
    elif named:
        yield named[0], "goes with tls_client_auth only"


def _faults_of_fapi(metadata: ClientMetadata) -> Iterator[tuple[str, str]]:
    """FAPI 2.0 sections 5.3.2.1 and 5.4.1: no shared secret, and no RS256."""
    if metadata.token_endpoint_auth_method in SECRET_METHODS:
        yield "token_endpoint_auth_method", "a client secret is for the profile oidc only"
    for member in ("token_endpoint_auth_signing_alg", "id_token_signed_response_alg"):
        if getattr(metadata, member) == RS256:
            yield member, "RS256 is for the profile oidc only"


def _faults_of_plain(metadata: ClientMetadata) -> Iterator[tuple[str, str]]:
    """What the plain profile has no room for: its requests come by browser, unsigned."""
    if metadata.backchannel_token_delivery_mode is not None:
        yield "backchannel_token_delivery_mode", "asking without a browser is for the profiles of FAPI 2.0"
    for member in ("require_signed_request_object", "request_object_signing_alg"):
        if getattr(metadata, member):
            yield member, "signed requests are for the profiles of FAPI 2.0"
