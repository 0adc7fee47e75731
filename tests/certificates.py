"""Certificates as tests need them: an authority, what it issues, and what nobody issued."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from vault.jose import Jwk
from vault.x509 import read_certificate

FROM = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = datetime(2036, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Made:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def rfc9440(self) -> str:
        """As RFC 9440 writes it into a header."""
        return f":{base64.b64encode(self.der).decode()}:"

    @property
    def escaped_pem(self) -> str:
        """As nginx writes it into `$ssl_client_escaped_cert`."""
        return quote(self.pem, safe="-._~")

    @property
    def thumbprint(self) -> str:
        return read_certificate(self.der).thumbprint

    @property
    def jwk(self) -> Jwk:
        """The public key as a client registers it, with this certificate in `x5c`."""
        read = read_certificate(self.der)
        return {
            **read.key,
            "kid": read.thumbprint,
            "use": "sig",
            "x5c": [base64.b64encode(self.der).decode()],
        }

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """The certificate and the key as files."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.pem)
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        key.chmod(0o600)
        return certificate, key


def new_key(kind: str = "P-256") -> Any:  # noqa: ANN401 - any kind of private key
    curves: dict[str, ec.EllipticCurve] = {
        "P-256": ec.SECP256R1(),
        "P-384": ec.SECP384R1(),
        "P-521": ec.SECP521R1(),
        "secp256k1": ec.SECP256K1(),
    }
    if kind in curves:
        return ec.generate_private_key(curves[kind])
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, int(kind.removeprefix("RSA-")))


def made(
    subject: str | x509.Name = "CN=client",
    *,
    issuer: Made | None = None,
    key: Any = None,  # noqa: ANN401 - as above
    alternative: Iterable[x509.GeneralName] = (),
    extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    not_before: datetime = FROM,
    not_after: datetime = UNTIL,
) -> Made:
    """A certificate, of an issuer or of itself."""
    key = key or new_key()
    name = subject if isinstance(subject, x509.Name) else x509.Name.from_rfc4514_string(subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    if names := list(alternative):
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    signer = issuer.key if issuer else key
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Made(builder.sign(signer, algorithm), key)


def authority(name: str = "CN=Test CA") -> Made:
    basic = (x509.BasicConstraints(ca=True, path_length=0), True)
    usage = (_usage(digital_signature=True, key_cert_sign=True), True)
    return made(name, extensions=[basic, usage])


def server(issuer: Made, *hosts: str) -> Made:
    """A server's certificate for names and addresses, valid now whatever a test's clock says."""
    names: list[x509.GeneralName] = [_host(host) for host in hosts]
    now = datetime.now(UTC)
    return made(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])]),
        issuer=issuer,
        alternative=names,
        not_before=now - timedelta(hours=1),
        not_after=now + timedelta(days=1),
    )


def usage(*, digital_signature: bool) -> x509.KeyUsage:
    return _usage(digital_signature=digital_signature)


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, digital_signature: bool, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=not digital_signature,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
