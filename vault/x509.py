"""The one door to X.509 (RFC 5280): client certificates, read strictly. Names, validity, key, thumbprint.

That its sender holds the key, and whether an authority vouches for it, TLS has found out before. Whatever a
stranger sends, the only error is UntrustedCertificateError.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vault.errors import UntrustedCertificateError

MAX_BYTES: Final = 8192

_RSA_BITS: Final = range(2048, 8192 + 1)
# RFC 7518 section 6.2.1.1: our names of the curves, and how many bytes a coordinate has.
_CURVES: Final = {"secp256r1": ("P-256", 32), "secp384r1": ("P-384", 48), "secp521r1": ("P-521", 66)}
_WEAK_HASHES: Final = frozenset({"md5", "sha1"})  # RFC 9155
_CLIENT_USES: Final = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})
_PEM: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----\r?\n((?:[A-Za-z0-9+/=]{1,76}\r?\n)+)-----END CERTIFICATE-----\s*"
)
# RFC 4514 section 3 names nine; these stand in certificates of companies and people too (RFC 4519, RFC 2985).
_KEYWORDS: Final = {
    "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "E": NameOID.EMAIL_ADDRESS,
    "businessCategory": NameOID.BUSINESS_CATEGORY,
    "organizationIdentifier": NameOID.ORGANIZATION_IDENTIFIER,
    "givenName": NameOID.GIVEN_NAME,
    "SN": NameOID.SURNAME,
    "title": NameOID.TITLE,
}
# RFC 4512 section 1.4: keywords are the same in either case.
_SPELLINGS: Final = {
    spelling: oid for name, oid in _KEYWORDS.items() for spelling in (name, name.upper(), name.lower())
}


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """A name of X.501, to be compared: the same types and values in the same order (RFC 5280 section 7.1)."""

    _name: x509.Name = field(repr=False)  # a person may be in it


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate as it came. `thumbprint` is its SHA-256 in base64url (RFC 8705 section 3.1).

    `key` has the members of the public key as a JWK. DNS names are in lower case. Names are never logged.
    """

    thumbprint: str
    key: Mapping[str, str] = field(repr=False)
    subject: DistinguishedName = field(repr=False)
    dns_names: frozenset[str] = field(repr=False)
    uris: frozenset[str] = field(repr=False)
    ip_addresses: frozenset[IPv4Address | IPv6Address] = field(repr=False)
    emails: frozenset[str] = field(repr=False)
    not_before: datetime
    not_after: datetime

    def is_valid_at(self, now: datetime) -> bool:
        """Whether now is within its validity, both ends included (RFC 5280 section 4.1.2.5)."""
        return self.not_before <= now <= self.not_after

    def has_key(self, jwk: Mapping[str, Any]) -> bool:
        """Whether a public JWK is the key of this certificate."""
        return all(jwk.get(name) == value for name, value in self.key.items())


def read_certificate(der: bytes) -> ClientCertificate:
    """Read a client certificate in DER. Raises UntrustedCertificateError.

    Refused: RSA keys outside 2048 to 8192 bits, other keys than on P-256, P-384, P-521 and Ed25519,
    signatures with MD5 or SHA-1, key usages that are not a TLS client's, and unknown critical extensions.
    """
    if len(der) > MAX_BYTES:
        raise UntrustedCertificateError("the certificate is too large")
    try:
        parsed = x509.load_der_x509_certificate(der)
        _check_signature(parsed)
        _check_usage(parsed.extensions)
        alternative = _alternative_names(parsed.extensions)
        return ClientCertificate(
            thumbprint=_base64url(hashlib.sha256(der).digest()),
            key=_key_members(parsed.public_key()),
            subject=DistinguishedName(parsed.subject),
            dns_names=frozenset(name.lower() for name in alternative.get_values_for_type(x509.DNSName)),
            uris=frozenset(alternative.get_values_for_type(x509.UniformResourceIdentifier)),
            ip_addresses=frozenset(
                address
                for address in alternative.get_values_for_type(x509.IPAddress)
                if isinstance(address, IPv4Address | IPv6Address)
            ),
            emails=frozenset(alternative.get_values_for_type(x509.RFC822Name)),
            not_before=parsed.not_valid_before_utc,
            not_after=parsed.not_valid_after_utc,
        )
    except UntrustedCertificateError:
        raise
    except Exception:  # noqa: BLE001 - the parser's errors are of many kinds, TypeError among them
        raise UntrustedCertificateError("the certificate is malformed") from None


def read_pem(pem: bytes) -> ClientCertificate:
    """Read a client certificate in PEM (RFC 7468), and nothing else. Raises UntrustedCertificateError."""
    found = _PEM.fullmatch(pem) if len(pem) <= 2 * MAX_BYTES else None
    if found is None:
        raise UntrustedCertificateError("not one certificate in PEM")
    return read_certificate(decode_base64(b"".join(found[1].split())))


def decode_base64(text: bytes) -> bytes:
    """Strict base64 with padding (RFC 4648 section 4), one spelling. Raises UntrustedCertificateError."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except binascii.Error:
        decoded = b""
    if not decoded or base64.b64encode(decoded) != text:
        raise UntrustedCertificateError("malformed base64")
    return decoded


def read_name(text: str) -> DistinguishedName:
    """Read a distinguished name in its string form (RFC 4514). Raises UntrustedCertificateError.

    Not taken: values in hexadecimal BER (`#…`), and an empty name.
    """
    try:
        name = x509.Name.from_rfc4514_string(text, _SPELLINGS)
    except ValueError:
        name = x509.Name([])
    if not text or "=#" in text or not len(name):
        raise UntrustedCertificateError("not a distinguished name as RFC 4514 writes it")
    return DistinguishedName(name)


def read_address(text: str) -> IPv4Address | IPv6Address:
    """Read an address as a subject alternative name has it. Raises UntrustedCertificateError."""
    try:
        return ip_address(text)
    except ValueError:
        raise UntrustedCertificateError("not an IP address") from None


def registered_certificate(jwk: Mapping[str, Any]) -> ClientCertificate | None:
    """The certificate that a registered JWK has in `x5c`; None without one.

    Its key must be the JWK's (RFC 7517 section 4.7). Raises UntrustedCertificateError.
    """
    chain = jwk.get("x5c")
    if chain is None:
        return None
    if not isinstance(chain, list) or not chain or not isinstance(chain[0], str) or not chain[0].isascii():
        raise UntrustedCertificateError("x5c must be a list of certificates in base64")
    certificate = read_certificate(decode_base64(chain[0].encode()))
    if not certificate.has_key(jwk):
        raise UntrustedCertificateError("the first certificate of x5c has another key")
    return certificate


def _check_signature(parsed: x509.Certificate) -> None:
    used = parsed.signature_hash_algorithm  # None: the signature has no hash of its own (Ed25519)
    if used is not None and used.name in _WEAK_HASHES:
        raise UntrustedCertificateError("the certificate is signed with MD5 or SHA-1")


def _check_usage(extensions: x509.Extensions) -> None:
    """RFC 5280 sections 4.2, 4.2.1.3 and 4.2.1.12, for a TLS client."""
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.UnrecognizedExtension) and extension.critical:
            raise UntrustedCertificateError("the certificate has an unknown critical extension")
        if isinstance(value, x509.KeyUsage) and not value.digital_signature:
            raise UntrustedCertificateError("the certificate's key must not sign")
        if isinstance(value, x509.ExtendedKeyUsage) and _CLIENT_USES.isdisjoint(value):
            raise UntrustedCertificateError("the certificate is not for TLS clients")


def _alternative_names(extensions: x509.Extensions) -> x509.SubjectAlternativeName:
    try:
        return extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])


def _key_members(key: CertificatePublicKeyTypes) -> dict[str, str]:
    """The public key under the names of RFC 7518 section 6 and RFC 8037 section 2."""
    match key:
        case RSAPublicKey() if key.key_size in _RSA_BITS:
            numbers = key.public_numbers()
            return {"kty": "RSA", "n": _integer(numbers.n), "e": _integer(numbers.e)}
        case EllipticCurvePublicKey() if key.curve.name in _CURVES:
            crv, size = _CURVES[key.curve.name]
            point = key.public_numbers()
            x, y = (_base64url(number.to_bytes(size)) for number in (point.x, point.y))
            return {"kty": "EC", "crv": crv, "x": x, "y": y}
        case Ed25519PublicKey():
            return {"kty": "OKP", "crv": "Ed25519", "x": _base64url(key.public_bytes_raw())}
        case _:
            raise UntrustedCertificateError("the certificate's key is too weak, or of an unknown kind")


def _integer(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
