"""What the authorization server refuses with: OAuth's own codes, and what has no redirect to go to."""

from collections.abc import Iterable
from enum import StrEnum


class OAuthCode(StrEnum):
    """The error codes that go on the wire, each with the specification that names it."""

    INVALID_REQUEST = "invalid_request"  # RFC 6749 section 5.2
    INVALID_CLIENT = "invalid_client"
    INVALID_GRANT = "invalid_grant"
    INVALID_SCOPE = "invalid_scope"
    ACCESS_DENIED = "access_denied"  # RFC 6749 section 4.1.2.1
    UNSUPPORTED_RESPONSE_TYPE = "unsupported_response_type"
    REQUEST_NOT_SUPPORTED = "request_not_supported"  # OpenID Connect Core section 3.1.2.6
    INVALID_REQUEST_URI = "invalid_request_uri"  # RFC 9101 section 6.2
    INVALID_AUTHORIZATION_DETAILS = "invalid_authorization_details"  # RFC 9396 section 5
    INVALID_DPOP_PROOF = "invalid_dpop_proof"  # RFC 9449 section 5


class OAuthError(Exception):
    """A refusal that the client is told in OAuth's own form. The description is ours, never an echo."""

    def __init__(self, code: OAuthCode, description: str) -> None:
        self.code = code
        self.description = description
        super().__init__(f"{code}: {description}")


class InvalidProofError(OAuthError):
    """A DPoP proof that proves nothing (RFC 9449 section 4.3)."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(OAuthCode.INVALID_DPOP_PROOF, reason)


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
