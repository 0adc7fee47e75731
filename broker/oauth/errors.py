"""What the authorization server refuses with: OAuth's own codes, and what has no redirect to go to."""

from collections.abc import Iterable
from enum import StrEnum
from typing import ClassVar, Final

BASIC_CHALLENGE: Final = 'Basic realm="mydata"'
# RFC 9110 section 15.5.2: a 401 names a scheme. None is registered for an assertion in the form; this is the
# method's own name (RFC 7591 section 2), as metadata has it.
ASSERTION_CHALLENGE: Final = 'private_key_jwt realm="mydata"'


class OAuthCode(StrEnum):
    """The error codes that go on the wire, each with the specification that names it."""

    INVALID_REQUEST = "invalid_request"  # RFC 6749 section 5.2
    INVALID_CLIENT = "invalid_client"
    INVALID_GRANT = "invalid_grant"
    INVALID_SCOPE = "invalid_scope"
    ACCESS_DENIED = "access_denied"  # RFC 6749 section 4.1.2.1
    SERVER_ERROR = "server_error"
    UNSUPPORTED_RESPONSE_TYPE = "unsupported_response_type"
    LOGIN_REQUIRED = "login_required"  # OpenID Connect Core section 3.1.2.6
    CONSENT_REQUIRED = "consent_required"
    INTERACTION_REQUIRED = "interaction_required"
    UNMET_AUTHENTICATION_REQUIREMENTS = "unmet_authentication_requirements"  # the specification of that name
    REQUEST_NOT_SUPPORTED = "request_not_supported"  # OpenID Connect Core section 3.1.2.6
    REQUEST_URI_NOT_SUPPORTED = "request_uri_not_supported"
    INVALID_REQUEST_URI = "invalid_request_uri"  # RFC 9101 section 6.2
    INVALID_REQUEST_OBJECT = "invalid_request_object"  # RFC 9101 section 6.2
    INVALID_AUTHORIZATION_DETAILS = "invalid_authorization_details"  # RFC 9396 section 5
    INVALID_DPOP_PROOF = "invalid_dpop_proof"  # RFC 9449 section 5
    USE_DPOP_NONCE = "use_dpop_nonce"  # RFC 9449 section 8
    INVALID_TARGET = "invalid_target"  # RFC 8707 section 2
    INVALID_GRANT_ID = "invalid_grant_id"  # Grant Management for OAuth 2.0 section 8.2
    INVALID_REDIRECT_URI = "invalid_redirect_uri"  # RFC 7591 section 3.2.2
    INVALID_CLIENT_METADATA = "invalid_client_metadata"
    UNAUTHORIZED_CLIENT = "unauthorized_client"  # CIBA Core section 13
    UNKNOWN_USER_ID = "unknown_user_id"
    INVALID_BINDING_MESSAGE = "invalid_binding_message"
    AUTHORIZATION_PENDING = "authorization_pending"  # CIBA Core section 11
    SLOW_DOWN = "slow_down"
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 - a name


class OAuthError(Exception):
    """A refusal that the client is told in OAuth's own form. The description is ours, never an echo.

    `status` is that of the answer at the token endpoint; None for what RFC 6749 section 5.2 says by itself,
    which is 401 for a client that is not proven, and 400.
    """

    status: ClassVar[int | None] = None

    def __init__(self, code: OAuthCode, description: str) -> None:
        self.code = code
        self.description = description
        super().__init__(f"{code}: {description}")


class BasicRefusedError(OAuthError):
    """A client that came by HTTP Basic and did not prove itself: 401, a challenge (RFC 6749 section 5.2)."""

    status = 401

    def __init__(self, description: str) -> None:
        super().__init__(OAuthCode.INVALID_CLIENT, description)


class KeyNotMadeError(OAuthError):
    """Nothing can be signed for a client: `oauth.oidc_clients` is on, and `mydata key init` was not run."""

    status = 503

    def __init__(self) -> None:
        super().__init__(OAuthCode.SERVER_ERROR, "the key for this client's ID tokens was not made yet")


class InvalidProofError(OAuthError):
    """A DPoP proof that proves nothing (RFC 9449 section 4.3)."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(OAuthCode.INVALID_DPOP_PROOF, reason)


class NonceNeededError(InvalidProofError):
    """A proof that is good but for its nonce: none, or not one of ours of now (RFC 9449 section 8)."""

    def __init__(self) -> None:
        super().__init__("the proof must bear the nonce of the DPoP-Nonce header")
        self.code = OAuthCode.USE_DPOP_NONCE


class CertificateNeededError(Exception):
    """A token came as `Bearer` without a client certificate: only one that is bound to it may (RFC 8705)."""


class AuthorizationPageError(Exception):
    """An authorization request that must not redirect: the person sees a page instead."""

    def __init__(self, code: OAuthCode) -> None:
        self.code = code
        super().__init__(code)


class InteractionGoneError(Exception):
    """No such interaction, over, completed, or another person's: one answer for all of them."""


class ClientInvalidError(Exception):
    """A client that cannot be registered, with each fault as `(path, rule)`; no value is repeated."""

    def __init__(self, faults: Iterable[tuple[str, str]]) -> None:
        self.faults = list(faults)
        super().__init__("; ".join(f"{path}: {rule}" for path, rule in self.faults))


class ClientExistsError(Exception):
    """The client id is taken; a client is never overwritten."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        super().__init__(client_id)


class UnknownClientError(Exception):
    """No client has this id."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        super().__init__(client_id)


class RegistrationRefusedError(OAuthError):
    """A registration that breaks a rule (RFC 7591 section 3.2.2)."""


class RegistrationTokenError(Exception):
    """The token opens nothing here: unknown, foreign, used up, expired and deleted are one answer."""


class RegistrationTokenMissingError(RegistrationTokenError):
    """There is no such token at all."""


class InvitationUnknownError(Exception):
    """No invitation has this id."""
