"""The client certificate of a request, as a trusted reverse proxy passes it on (RFC 9440).

TLS ends at the proxy, which alone knows the certificate. Anybody may send the headers: they are believed only
of a peer that `server.trusted_proxies` names, and only once `server.client_certificate_header` is set.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.requests import HTTPConnection

from broker.client_address import TrustedProxies
from broker.setting_sections import Server
from vault.errors import UntrustedCertificateError
from vault.x509 import ClientCertificate, decode_base64, read_certificate, read_pem

_VERIFIED: Final = "SUCCESS"  # what nginx calls a chain that ends at an authority it was told


@dataclass(frozen=True, slots=True)
class Presented:
    """The certificate that a request was made with, if one came that is acceptable; `reason` says why not.

    `is_verified`: the proxy says that an authority which it was told vouches for the certificate.
    """

    certificate: ClientCertificate | None = None
    is_verified: bool = False
    reason: str = "a client certificate is needed"


NOTHING: Final = Presented()


def presented(request: HTTPConnection, server: Server, now: datetime) -> Presented:
    """The certificate of a request. One that cannot be read, or is not valid now, proves nothing: none."""
    values = request.headers.getlist(server.client_certificate_header) if takes_certificates(server) else []
    if not values or not _proxies(server.trusted_proxies).trusts_peer(request.scope):
        return NOTHING
    if len(values) != 1:
        return Presented(reason="the client certificate came more than once")
    try:
        certificate = _read(values[0], server)
    except UntrustedCertificateError as error:
        return Presented(reason=error.reason)
    if not certificate.is_valid_at(now):
        return Presented(reason="the client certificate is not valid now")
    return Presented(certificate, _is_verified(request, server))


def takes_certificates(server: Server) -> bool:
    """Whether this installation knows client certificates at all."""
    return bool(server.client_certificate_header)


def _read(value: str, server: Server) -> ClientCertificate:
    raw = value.encode("latin-1")
    if server.client_certificate_format == "escaped_pem":
        return read_pem(unquote_to_bytes(raw))
    # RFC 9440 section 2.1: a byte sequence of RFC 8941 section 3.3.5.
    if len(raw) <= 2 or not (raw.startswith(b":") and raw.endswith(b":")):  # noqa: PLR2004 - the two colons
        raise UntrustedCertificateError("the client certificate is not a byte sequence of RFC 8941")
    return read_certificate(decode_base64(raw[1:-1]))


def _is_verified(request: HTTPConnection, server: Server) -> bool:
    header = server.client_certificate_verified_header
    return bool(header) and request.headers.getlist(header) == [_VERIFIED]


@lru_cache(maxsize=16)
def _proxies(names: tuple[str, ...]) -> TrustedProxies:
    return TrustedProxies(names)
