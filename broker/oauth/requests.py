"""A request to an OAuth endpoint: plain values, and what answering needs. Nothing of Starlette inside."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Final

from sqlmodel import Session

from broker.client_certificate import NOTHING, Presented
from broker.deps import FormData
from broker.installation import Installation
from broker.oauth import assertion_audience
from broker.oauth.client_assertion import Assertion
from broker.oauth.client_metadata import SecurityProfile
from broker.oauth.client_secret import basic_credentials
from broker.oauth.clients import RegisteredClient, find_active
from broker.oauth.confirmation import NONE, of_key
from broker.oauth.dpop import Proof, accept_proof
from broker.oauth.errors import (
    ASSERTION_CHALLENGE,
    BASIC_CHALLENGE,
    BasicRefusedError,
    OAuthCode,
    OAuthError,
)
from broker.oauth.resource_indicators import PARAMETER as RESOURCE
from broker.oauth.resource_indicators import check_resources
from broker.oauth.senders import authenticate, bound_by_certificate, read_credential, rules_of

_JWT_PARAMETERS: Final = {
    "client_assertion": OAuthCode.INVALID_CLIENT,
    "request": OAuthCode.INVALID_REQUEST,
    "id_token_hint": OAuthCode.INVALID_REQUEST,
    "login_hint_token": OAuthCode.INVALID_REQUEST,
}


@dataclass(frozen=True)
class Call:
    """One POST. `path` begins with a slash; `raw_proofs` has one entry for each DPoP header.

    `presented` is the client certificate that it came with, `authorization` every header of that name.
    """

    installation: Installation
    session: Session
    now: datetime
    path: str
    form: FormData
    raw_proofs: tuple[str, ...]
    presented: Presented = NOTHING
    authorization: tuple[str, ...] = ()

    @property
    def issuer(self) -> str:
        """From the settings, never from Host."""
        return self.installation.settings.server.issuer

    @property
    def url(self) -> str:
        """The address of this endpoint, as a proof must name it."""
        return self.issuer + self.path

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        """The form's parameters. Raises OAuthError invalid_request."""
        return parameters_of(self.form, jwt_bytes=self.installation.settings.limits.jwt_bytes)

    @property
    def challenge(self) -> str:
        """What a 401 answers it with: the scheme that it came by, if served, or what it should have sent."""
        by_basic = self.installation.settings.oauth.oidc_clients and basic_credentials(self.authorization)
        return BASIC_CHALLENGE if by_basic else ASSERTION_CHALLENGE

    def check_resources(self) -> None:
        """Refuse a token that is meant for another place (RFC 8707). Raises OAuthError invalid_target."""
        check_resources(self.form.all(RESOURCE), self.installation.settings.server)

    def accept_proof(self) -> Proof:
        """The request's DPoP proof, verified and used up. Raises InvalidProofError."""
        rules = rules_of(self.installation, self.presented, self.path, self.now)
        return accept_proof(
            self.session, self.raw_proofs, method="POST", url=self.url, now=self.now, rules=rules
        )

    def authenticate(self) -> RegisteredClient:
        """The client that this proves to come from (`broker.oauth.senders.authenticate`).

        Raises OAuthError invalid_client, as BasicRefusedError where it came by HTTP Basic; invalid_request.
        """
        oidc_clients = self.installation.settings.oauth.oidc_clients
        try:
            credential = read_credential(
                self.parameters, self.presented, self.authorization, oidc_clients=oidc_clients
            )
            if isinstance(credential, Assertion):
                server, grant_type = self.installation.settings.server, self.parameters.get("grant_type")
                is_for_ciba = grant_type == assertion_audience.REFRESH and self._names_ciba(credential)
                addresses = assertion_audience.addresses(
                    server, self.path, grant_type, is_for_ciba=is_for_ciba
                )
                credential = replace(credential, addresses=addresses)
            return authenticate(
                self.session, credential, issuer=self.issuer, oidc_clients=oidc_clients, now=self.now
            )
        except OAuthError as error:
            if error.code is OAuthCode.INVALID_CLIENT and basic_credentials(self.authorization):
                raise BasicRefusedError(error.description) from error
            raise

    def _names_ciba(self, assertion: Assertion) -> bool:
        """Whether the client that an assertion names, not proven yet, is registered for the grant of CIBA."""
        client = find_active(self.session, assertion.unverified_client_id)
        return client is not None and client.metadata.backchannel_token_delivery_mode is not None

    def accept_constraint(self, client: RegisteredClient) -> str:
        """What tokens of this request are bound to: its certificate if that is the client's way, or its key.

        NONE for a client of the profile `oidc` that brings no proof and has not said that it would. Raises
        InvalidProofError, OAuthError invalid_request.
        """
        metadata = client.metadata
        by_certificate = bound_by_certificate(self.raw_proofs, self.presented, metadata)
        if by_certificate is not None:
            return by_certificate
        if self.raw_proofs:
            return of_key(self.accept_proof().jkt)
        if client.profile is SecurityProfile.OIDC and not metadata.dpop_bound_access_tokens:
            return NONE
        # RFC 9449 section 5 has its own code for a proof that is wrong; there is none here.
        raise OAuthError(OAuthCode.INVALID_REQUEST, "a DPoP proof is needed")


def parameters_of(form: FormData, *, jwt_bytes: int) -> dict[str, str]:
    """The form with every parameter once; an empty value counts as absent (RFC 6749 section 3.1).

    Of `resource` there may be several (RFC 8707 section 2): `Call.check_resources` sees them all.
    Raises OAuthError invalid_request for a parameter that came twice, or a JWT that is too large;
    invalid_client for such an assertion.
    """
    if any(len(values) > 1 for name, values in form.values.items() if name != RESOURCE):
        raise OAuthError(OAuthCode.INVALID_REQUEST, "a parameter came more than once")
    for name, code in _JWT_PARAMETERS.items():
        if any(len(value) > jwt_bytes for value in form.values.get(name, ())):
            raise OAuthError(code, f"{name} is larger than {jwt_bytes} bytes")
    return {name: values[0] for name, values in form.values.items() if values[0]}
