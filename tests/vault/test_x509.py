"""Client certificates, read strictly: what is refused, then what is read (RFC 5280, RFC 4514, RFC 8705)."""

import base64
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates import FROM, UNTIL, Made, authority, made, new_key, usage
from vault.errors import UntrustedCertificateError
from vault.jose import check_public_jwks, thumbprint
from vault.x509 import (
    MAX_BYTES,
    decode_base64,
    read_address,
    read_certificate,
    read_name,
    read_pem,
    registered_certificate,
)

GOOD = made("CN=client,O=Hanbit,C=KR")
NAMED = made(
    "CN=client,O=Hanbit,C=KR",
    alternative=[x509.DNSName("a.example"), x509.RFC822Name("a@b.example")],
    extensions=[(usage(digital_signature=True), True)],
)


def refused(der: bytes, reason: str = "malformed") -> bool:
    with pytest.raises(UntrustedCertificateError) as raised:
        read_certificate(der)
    return reason in raised.value.reason


def weak_hash() -> bytes:
    """A certificate whose signature algorithms are rewritten from SHA-256 to SHA-1 (1.2.840.10045.4.1)."""
    sha256, sha1 = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06072a8648ce3d0401")
    return relength(GOOD.der, sha256, sha1)


def relength(der: bytes, old: bytes, new: bytes) -> bytes:
    """Two same SEQUENCEs of `old` in a certificate, as `new`: the lengths around them shrink as well."""
    less = len(old) - len(new)
    der = der.replace(bytes([0x30, len(old)]) + old, bytes([0x30, len(new)]) + new)
    whole = int.from_bytes(der[2:4]) - 2 * less
    body = int.from_bytes(der[6:8]) - less
    return der[:2] + whole.to_bytes(2) + der[4:6] + body.to_bytes(2) + der[8:]


@pytest.mark.parametrize(
    "der", [b"", b"0", b"\x30\x03\x02\x01\x00", GOOD.der[:-1], GOOD.der + b"\0", GOOD.pem]
)
def test_what_is_no_certificate(der: bytes) -> None:
    assert refused(der)


def test_one_that_is_too_large() -> None:
    assert refused(b"0" * (MAX_BYTES + 1), "too large")


def test_a_version_that_nobody_knows() -> None:
    assert refused(GOOD.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1))


def test_a_signature_with_sha_1() -> None:
    assert refused(weak_hash(), "MD5 or SHA-1")


def test_a_signature_algorithm_that_nobody_knows() -> None:
    assert refused(GOOD.der.replace(bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2a8648ce3d04037f")))


@pytest.mark.parametrize("kind", ["RSA-1024", "secp256k1"])
def test_a_key_that_is_too_weak_or_unknown(kind: str) -> None:
    assert refused(made(key=new_key(kind)).der, "too weak, or of an unknown kind")


REFUSED_EXTENSIONS: dict[str, tuple[x509.ExtensionType, bool]] = {
    "must not sign": (usage(digital_signature=False), True),
    "not for TLS clients": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
    "unknown critical": (x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True),
}


@pytest.mark.parametrize("reason", REFUSED_EXTENSIONS)
def test_an_extension_that_forbids_it(reason: str) -> None:
    assert refused(made(extensions=[REFUSED_EXTENSIONS[reason]]).der, reason)


@pytest.mark.parametrize(
    "extension",
    [
        (usage(digital_signature=True), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False),
        (x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), False),
    ],
)
def test_an_extension_that_allows_it(extension: tuple[x509.ExtensionType, bool]) -> None:
    assert read_certificate(made(extensions=[extension]).der).is_valid_at(FROM)


def test_a_name_of_a_type_that_no_name_has() -> None:
    assert refused(NAMED.der.replace(b"\x0c\x06client", b"\x03\x06client"))
    assert refused(NAMED.der.replace(b"\x82\x09a.example", b"\xa3\x09a.example"))


@pytest.mark.filterwarnings("ignore")  # the parser's own, of certificates that it reads and would rather not
@given(st.integers(0, len(NAMED.der) - 1), st.integers(1, 255))
def test_whatever_a_stranger_changes_the_only_error_is_ours(place: int, change: int) -> None:
    changed = bytearray(NAMED.der)
    changed[place] ^= change
    try:
        read = read_certificate(bytes(changed))
    except UntrustedCertificateError:
        return
    assert read.thumbprint != NAMED.thumbprint


def test_the_thumbprint_is_that_of_rfc_8705() -> None:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(GOOD.der)
    expected = base64.urlsafe_b64encode(digest.finalize()).rstrip(b"=").decode()
    assert read_certificate(GOOD.der).thumbprint == expected
    assert len(expected) == 43


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "RSA-2048", "Ed25519"])
def test_the_key_is_read_as_a_jwk(kind: str) -> None:
    one, other = (made(key=new_key(kind)) for _ in range(2))
    read = read_certificate(one.der)
    assert read.has_key(dict(read.key) | {"kid": "a", "use": "sig"})
    assert not read.has_key(read_certificate(other.der).key)
    assert not read.has_key({})
    if kind in {"P-256", "RSA-2048", "Ed25519"}:
        check_public_jwks({"keys": [dict(read.key) | {"kid": "a"}]})
        assert len(thumbprint(read.key)) == 43


def test_validity_has_both_its_ends() -> None:
    read = read_certificate(GOOD.der)
    second = timedelta(seconds=1)
    assert [read.is_valid_at(at) for at in (FROM - second, FROM, UNTIL, UNTIL + second)] == [
        False,
        True,
        True,
        False,
    ]


def test_alternative_names() -> None:
    names: list[x509.GeneralName] = [
        x509.DNSName("Client.Example"),
        x509.UniformResourceIdentifier("https://client.example/a"),
        x509.IPAddress(ip_address("2001:db8::1")),
        x509.RFC822Name("it@client.example"),
        x509.RegisteredID(ObjectIdentifier("1.2.3")),
    ]
    read = read_certificate(made(alternative=names).der)
    assert read.dns_names == {"client.example"}
    assert read.uris == {"https://client.example/a"}
    assert read.ip_addresses == {read_address("2001:0db8::0001")}
    assert read.emails == {"it@client.example"}
    bare = read_certificate(GOOD.der)
    assert not bare.dns_names | bare.uris | bare.ip_addresses | bare.emails


def test_no_name_is_in_its_representation() -> None:
    read = read_certificate(made("CN=somebody", alternative=[x509.RFC822Name("some@body.example")]).der)
    assert "some" not in repr(read)


# Names


@pytest.mark.parametrize(
    "text",
    [
        "",
        "client",
        "CN",
        "CN=a,",
        "=a",
        "XX=a",
        "CN=a;O=b",
        "CN=#0c0161",
        "CN=a\\",
        "CN=a+CN=a",
        "C=KOR",
        "CN=\\ff",
    ],
)
def test_what_is_no_distinguished_name(text: str) -> None:
    with pytest.raises(UntrustedCertificateError):
        read_name(text)


def test_a_name_is_compared_by_its_values() -> None:
    read = read_certificate(GOOD.der).subject
    assert read == read_name("CN=client,O=Hanbit,C=KR")
    assert read == read_name("2.5.4.3=client,2.5.4.10=Hanbit,C=KR")
    assert read == read_name("CN=\\63lient,O=Hanbit,C=KR")
    for other in (
        "CN=client",
        "C=KR,O=Hanbit,CN=client",
        "CN=Client,O=Hanbit,C=KR",
        "CN=client+O=Hanbit,C=KR",
    ):
        assert read != read_name(other), other


def test_the_kind_of_string_says_nothing() -> None:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.SERIAL_NUMBER, "000-00-00000"),
            x509.NameAttribute(NameOID.COMMON_NAME, "한빛", x509.name._ASN1Type.BMPString),
        ]
    )
    read = read_certificate(made(name).der).subject
    for keyword in ("SERIALNUMBER", "serialNumber", "serialnumber", "2.5.4.5"):
        assert read == read_name(f"CN=한빛,{keyword}=000-00-00000")


@pytest.mark.parametrize("text", ["", "client.example", "10.0.0.0/8", "10.0.0.256"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UntrustedCertificateError):
        read_address(text)


# PEM and base64


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        GOOD.der,
        GOOD.pem + GOOD.pem,
        b"\n" + GOOD.pem,
        GOOD.pem.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"),
        GOOD.pem.replace(b"\n", b""),
        GOOD.pem.replace(b"-----END", b"=\n-----END"),
        GOOD.pem + b" " * 2 * MAX_BYTES,
    ],
)
def test_what_is_not_one_certificate_in_pem(pem: bytes) -> None:
    with pytest.raises(UntrustedCertificateError):
        read_pem(pem)


def test_pem_is_read() -> None:
    assert read_pem(GOOD.pem) == read_pem(GOOD.pem.replace(b"\n", b"\r\n")) == read_certificate(GOOD.der)


@pytest.mark.parametrize("text", [b"", b"A", b"AA", b"AB==", b"A-==", b" AA==", b"AA==AA==", b"AA=="[:-1]])
def test_base64_of_another_spelling(text: bytes) -> None:
    with pytest.raises(UntrustedCertificateError):
        decode_base64(text)


# Registered ones


def registered(one: Made, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - members of a JWK
    return one.jwk | changes


@pytest.mark.parametrize("chain", [[], "text", [7], ["한"], ["AAAA"], {"0": "a"}, [made().jwk["x5c"][0]]])
def test_x5c_that_is_none_or_of_another_key(chain: object) -> None:
    with pytest.raises(UntrustedCertificateError):
        registered_certificate(registered(GOOD, x5c=chain))


def test_the_certificate_of_a_registered_key() -> None:
    assert registered_certificate(GOOD.jwk) == read_certificate(GOOD.der)
    assert registered_certificate({name: GOOD.jwk[name] for name in ("kty", "crv", "x", "y")}) is None


def test_an_issued_certificate_is_read_too() -> None:
    issued = made("CN=issued", issuer=authority(), key=ec.generate_private_key(ec.SECP256R1()))
    assert read_certificate(issued.der).subject == read_name("CN=issued")
