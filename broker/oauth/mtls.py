"""Client authentication by certificate (RFC 8705 section 2), and what metadata says of it (3.3 and 5).

`tls_client_auth`: an authority vouches for the certificate, and one registered name is in it.
`self_signed_tls_client_auth`: it is one of those that the client registered in its key set.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from broker.client_certificate import Presented, takes_certificates
from broker.oauth.client_metadata import AuthMethod, ClientMetadata
from broker.setting_sections import Server
from vault.errors import UntrustedCertificateError
from vault.x509 import ClientCertificate, read_address, read_name, registered_certificate

# RFC 8705 section 2.1.2: where in a certificate each registered name is looked for.
_NAMES: Final[Mapping[str, Callable[[ClientCertificate, str], bool]]] = {
    "tls_client_auth_subject_dn": lambda it, name: it.subject == read_name(name),
    "tls_client_auth_san_dns": lambda it, name: name.lower() in it.dns_names,
    "tls_client_auth_san_uri": lambda it, name: name in it.uris,
    "tls_client_auth_san_ip": lambda it, name: read_address(name) in it.ip_addresses,
    "tls_client_auth_san_email": lambda it, name: name in it.emails,
}
_ALIASED: Final = (
    "token_endpoint",
    "revocation_endpoint",
    "introspection_endpoint",
    "pushed_authorization_request_endpoint",
    "userinfo_endpoint",
    "backchannel_authentication_endpoint",
    "grant_management_endpoint",
    "registration_endpoint",
)


def is_of_client(presented: Presented, metadata: ClientMetadata, jwks: Mapping[str, Any]) -> bool:
    """Whether a request's certificate is that of a client with this metadata and key set, by its method."""
    certificate = presented.certificate
    if certificate is None:
        return False
    match metadata.token_endpoint_auth_method:
        case AuthMethod.TLS_CLIENT_AUTH:
            return presented.is_verified and _has_name(certificate, metadata)
        case AuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH:
            return any(_is_registered(certificate, jwk) for jwk in jwks.get("keys", ()))
        case _:
            return False


def registration_faults(metadata: ClientMetadata, jwks: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What of a client's registered names and certificates cannot be used, as `(member, rule)`."""
    for member, read in (("tls_client_auth_subject_dn", read_name), ("tls_client_auth_san_ip", read_address)):
        name = getattr(metadata, member)
        try:
            if name is not None:
                read(name)
        except UntrustedCertificateError as error:
            yield f"metadata.{member}", error.reason
    keys = jwks.get("keys")
    for number, jwk in enumerate(keys if isinstance(keys, list) else []):
        try:
            registered_certificate(jwk if isinstance(jwk, dict) else {})
        except UntrustedCertificateError as error:
            yield f"jwks.keys.{number}", error.reason


def auth_methods(server: Server) -> tuple[str, ...]:
    """The methods that can work here: without the proxy's word on the chain there is no `tls_client_auth`."""
    if not takes_certificates(server):
        return ()
    by_chain = (AuthMethod.TLS_CLIENT_AUTH,) if server.client_certificate_verified_header else ()
    return (*by_chain, AuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH)


def with_certificates(document: Mapping[str, Any], server: Server) -> dict[str, Any]:
    """Metadata of the authorization server, with what client certificates add to it."""
    if not takes_certificates(server):
        return dict(document)
    methods = {
        name: [*value, *(method for method in auth_methods(server) if method not in value)]
        for name, value in document.items()
        if name.endswith("_endpoint_auth_methods_supported")
    }
    added: dict[str, Any] = {"tls_client_certificate_bound_access_tokens": True}
    if server.mtls_issuer:
        added["mtls_endpoint_aliases"] = {
            name: server.mtls_issuer + document[name].removeprefix(server.issuer)
            for name in _ALIASED
            if name in document
        }
    return {**document, **methods, **added}


def resource_with_certificates(document: Mapping[str, Any], server: Server) -> dict[str, Any]:
    """Metadata of the resource (RFC 9728 section 2): not every token is bound by DPoP any more."""
    if not takes_certificates(server):
        return dict(document)
    bound = {"dpop_bound_access_tokens_required": False, "tls_client_certificate_bound_access_tokens": True}
    return {**document, **bound}


def _has_name(certificate: ClientCertificate, metadata: ClientMetadata) -> bool:
    named = {member: name for member in _NAMES if (name := getattr(metadata, member)) is not None}
    if len(named) != 1:  # RFC 8705 section 2.1.2: exactly one
        return False
    ((member, name),) = named.items()
    try:
        return _NAMES[member](certificate, name)
    except UntrustedCertificateError:
        return False


def _is_registered(certificate: ClientCertificate, jwk: Mapping[str, Any]) -> bool:
    """RFC 8705 section 2.2: the certificate itself; a key without one stands for every certificate of it."""
    try:
        registered = registered_certificate(jwk)
    except UntrustedCertificateError:
        return False
    if registered is not None:
        return registered.thumbprint == certificate.thumbprint
    return jwk.get("use", "sig") == "sig" and certificate.has_key(jwk)
