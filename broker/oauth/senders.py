"""Who sends a request, and by what a token is bound to its sender: decided here, for every endpoint.

A client authenticates by a signed assertion (RFC 7523) or by its certificate (RFC 8705 section 2), one of the
profile `oidc` also by a secret, and by the method it is registered with only. A token is bound to a DPoP key
and comes as `DPoP`, or to a certificate and comes as `Bearer` (RFC 9449 section 7, RFC 8705 section 3); the
one never passes for the other.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlmodel import Session
from starlette.requests import HTTPConnection, Request

from broker.client_certificate import Presented, presented, takes_certificates
from broker.installation import Installation
from broker.oauth import client_assertion, client_secret, mtls
from broker.oauth.client_assertion import Assertion, Proven
from broker.oauth.client_metadata import AuthMethod, ClientMetadata, SecurityProfile
from broker.oauth.client_secret import SecretClaim
from broker.oauth.clients import RegisteredClient, find_active, is_client_id
from broker.oauth.confirmation import member, of_certificate, of_key
from broker.oauth.dpop import WINDOW, ProofRules, take_jti, verify_proof
from broker.oauth.dpop_nonce import proof_rules
from broker.oauth.errors import CertificateNeededError, OAuthCode, OAuthError

_DPOP: Final = "dpop"
_BEARER: Final = "bearer"
_ID_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class CertificateClaim:
    """A request without an assertion: whose it says it is, and the certificate it came with."""

    unverified_client_id: str
    presented: Presented


Credential = Assertion | CertificateClaim | SecretClaim


@dataclass(frozen=True, slots=True)
class Bound:
    """The key or certificate that a request at a resource proves, and what tells that it comes again."""

    cnf: str
    jti_digest: bytes
    expires_at: datetime


def certificate_of(request: HTTPConnection, installation: Installation, now: datetime) -> Presented:
    """The client certificate that a request was made with."""
    return presented(request, installation.settings.server, now)


def authenticate(
    session: Session, credential: Credential, *, issuer: str, oidc_clients: bool, now: datetime
) -> RegisteredClient:
    """The client that a request proves to come from; what proves it is used up.

    Before it is proven, every failure has one description, and so has a client whose profile is not served.
    Raises OAuthError invalid_client.
    """
    client = find_active(session, credential.unverified_client_id)
    if client is None or (client.profile is SecurityProfile.OIDC and not oidc_clients):
        raise client_assertion.unproven()
    proven = prove(credential, client.client_id, client.jwks, client.metadata, issuer=issuer, now=now)
    if not take_jti(session, proven.jti_digest, proven.expires_at):
        raise client_assertion.used_before()
    return client


def read_credential(
    parameters: Mapping[str, str], sent: Presented, authorization: Sequence[str], *, oidc_clients: bool
) -> Credential:
    """By what a request authenticates: its secret or assertion if there is one, or else its certificate.

    Raises OAuthError invalid_client, invalid_request.
    """
    secret = client_secret.read_secret(parameters, authorization) if oidc_clients else None
    if secret is not None:
        return secret
    if not {"client_assertion", "client_assertion_type", "client_secret"}.isdisjoint(parameters):
        return client_assertion.read_assertion(parameters)
    if sent.certificate is None:
        description = f"a client_assertion is needed, or a certificate: {sent.reason}"
        raise OAuthError(OAuthCode.INVALID_CLIENT, description)
    unverified_client_id = parameters.get("client_id")  # RFC 8705 section 2: always there
    if not is_client_id(unverified_client_id):
        raise client_assertion.unproven()
    return CertificateClaim(unverified_client_id, sent)


def prove(  # noqa: PLR0913 - what a credential is compared with
    credential: Credential,
    client_id: str,
    jwks: Mapping[str, Any],
    metadata: ClientMetadata,
    *,
    issuer: str,
    now: datetime,
) -> Proven:
    """Verify a credential against the active client that it names; using its id up is the caller's.

    Pure, so the hot lane verifies with the same function. Raises OAuthError invalid_client.
    """
    if isinstance(credential, SecretClaim):
        if not client_secret.is_of_client(credential, metadata):
            raise client_assertion.unproven()
        return Proven(secrets.token_bytes(_ID_BYTES), now + WINDOW)
    if isinstance(credential, CertificateClaim):
        if not mtls.is_of_client(credential.presented, metadata, jwks):
            raise client_assertion.unproven()
        # The handshake was this connection's own: there is nothing that could come again.
        return Proven(secrets.token_bytes(_ID_BYTES), now + WINDOW)
    chosen = metadata.token_endpoint_auth_signing_alg
    algorithms = (chosen,) if chosen else client_assertion.ALGORITHMS
    proven = client_assertion.prove(
        credential, client_id, jwks, issuer=issuer, now=now, algorithms=algorithms
    )
    if metadata.token_endpoint_auth_method is not AuthMethod.PRIVATE_KEY_JWT:
        raise OAuthError(OAuthCode.INVALID_CLIENT, "this client is registered with another method")
    return proven


def bound_by_certificate(raw_proofs: Sequence[str], sent: Presented, metadata: ClientMetadata) -> str | None:
    """The constraint of new tokens by the request's certificate; None where a DPoP proof decides.

    Raises OAuthError invalid_request if the client's tokens are bound to certificates, and neither came.
    """
    if raw_proofs or not metadata.tls_client_certificate_bound_access_tokens:
        return None
    if sent.certificate is None:
        raise OAuthError(
            OAuthCode.INVALID_REQUEST, f"a DPoP proof is needed, or a certificate: {sent.reason}"
        )
    return of_certificate(sent.certificate.thumbprint)


def keep_method(cnf: str, presented_cnf: str) -> None:
    """A refresh token stays with its method: proof or certificate. Raises OAuthError invalid_grant.

    Which key or certificate may change: they are renewed, and the client authenticates (RFC 8705 7.1).
    """
    if member(cnf).keys() != member(presented_cnf).keys():
        raise OAuthError(
            OAuthCode.INVALID_GRANT, "the token is bound by the other method: DPoP or certificate"
        )


def rules_of(installation: Installation, sent: Presented, path: str, now: datetime) -> ProofRules:
    """What proofs must be like. One that came over mutual TLS may name the address for that, too."""
    rules, base = proof_rules(installation, now), installation.settings.server.mtls_issuer
    return rules if sent.certificate is None or not base else replace(rules, alias=base + path)


def read_token(request: HTTPConnection, installation: Installation) -> tuple[str, str] | None:
    """Scheme in lower case and access token of a request at a resource; None if there is no one such token.

    `Bearer` is a scheme only where certificates are taken: no token here is good for whoever has it. For
    those that are, see `broker.api.unbound_tokens`.
    """
    values = request.headers.getlist("authorization")
    scheme, _, access_token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    schemes = {_DPOP, _BEARER} if takes_certificates(installation.settings.server) else {_DPOP}
    return (scheme.lower(), access_token) if access_token and scheme.lower() in schemes else None


def prove_access(
    request: Request, installation: Installation, token: tuple[str, str], now: datetime
) -> Bound:
    """What a request at a resource proves of its sender; comparing it with the token is the caller's.

    Raises InvalidProofError, NonceNeededError, CertificateNeededError.
    """
    scheme, access_token = token
    sent = certificate_of(request, installation, now)
    if scheme == _BEARER:
        if sent.certificate is None:
            raise CertificateNeededError
        return Bound(
            of_certificate(sent.certificate.thumbprint), secrets.token_bytes(_ID_BYTES), now + WINDOW
        )
    path = str(request.scope["path"])
    proof = verify_proof(
        request.headers.getlist("dpop"),
        method=request.method,
        url=installation.settings.server.issuer + path,
        access_token=access_token,
        now=now,
        rules=rules_of(installation, sent, path, now),
    )
    return Bound(of_key(proof.jkt), proof.jti_digest, proof.expires_at)
