"""The door's two additions for answers: signatures that come out the same, and encryption to a recipient."""

import hashlib
import json
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from vault.errors import UntrustedTokenError
from vault.jose import (
    encrypt,
    encryption_key,
    generate_private_jwk,
    public_jwk,
    public_jwk_of_pem,
    sign_again,
    verify_jwt,
)
from vault.untrusted import decode_base64url

CLAIMS = {"answer": True, "말": "답"}
PRIVATE = generate_private_jwk("ES256")
ENCRYPTING = public_jwk(PRIVATE) | {"use": "enc", "alg": "ECDH-ES+A256KW"}


def pem_of(key: Any) -> bytes:  # noqa: ANN401 - a private key
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


PEM = pem_of(ec.generate_private_key(ec.SECP256R1()))


def test_the_same_claims_have_the_same_signature_and_others_another() -> None:
    first = sign_again(CLAIMS, PEM, kid="k", typ="test+jwt")
    assert sign_again(dict(reversed(CLAIMS.items())), PEM, kid="k", typ="test+jwt") == first
    other = sign_again(CLAIMS | {"answer": False}, PEM, kid="k", typ="test+jwt")
    assert other.split(".")[2] != first.split(".")[2]
    assert len(first.split(".")[2]) == len(other.split(".")[2]) == 86


def test_such_a_signature_is_one_of_es256() -> None:
    keys = {"keys": [public_jwk_of_pem(PEM)]}
    kid = keys["keys"][0]["kid"]
    token = sign_again(CLAIMS, PEM, kid=kid, typ="test+jwt")
    assert verify_jwt(token, keys, algorithms=["ES256"], typ="test+jwt")[1] == CLAIMS


def test_signatures_are_of_one_length_whatever_the_numbers() -> None:
    tokens = {len(sign_again({"n": n % 10}, PEM, kid="k", typ="t")) for n in range(10)}
    assert len(tokens) == 1


def test_another_kind_of_key_signs_nothing_twice() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        sign_again(CLAIMS, pem_of(ed25519.Ed25519PrivateKey.generate()), kid="k", typ="t")


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"keys": "none"},
        {"keys": []},
        {"keys": [7]},
        {"keys": [ENCRYPTING | {"use": "sig"}]},
        {"keys": [{name: value for name, value in ENCRYPTING.items() if name != "use"}]},
        {"keys": [{name: value for name, value in ENCRYPTING.items() if name != "kid"}]},
        {"keys": [ENCRYPTING | {"alg": "ECDH-ES"}]},
        {"keys": [ENCRYPTING | {"kty": "RSA"}]},
        {"keys": [ENCRYPTING | {"crv": "P-384"}]},
        {"keys": [ENCRYPTING | {"x": ENCRYPTING["y"]}]},
    ],
)
def test_a_key_set_without_a_key_to_encrypt_to(keys: dict[str, Any]) -> None:
    with pytest.raises(UntrustedTokenError):
        encryption_key(keys)


def number(text: str) -> int:
    return int.from_bytes(decode_base64url(text))


def opened(sealed: str) -> bytes:
    """RFC 7516 section 5.2 and RFC 7518 section 4.6 once more, with nothing of the library's."""
    protected, *parts = sealed.split(".")
    wrapped, nonce, ciphertext, tag = (decode_base64url(part) for part in parts)
    epk = json.loads(decode_base64url(protected))["epk"]
    sender = ec.EllipticCurvePublicNumbers(number(epk["x"]), number(epk["y"]), ec.SECP256R1()).public_key()
    shared = ec.derive_private_key(number(PRIVATE["d"]), ec.SECP256R1()).exchange(ec.ECDH(), sender)
    algorithm = b"ECDH-ES+A256KW"
    info = len(algorithm).to_bytes(4) + algorithm + bytes(4) + bytes(4) + (256).to_bytes(4)
    wrapping = hashlib.sha256((1).to_bytes(4) + shared + info).digest()
    return AESGCM(aes_key_unwrap(wrapping, wrapped)).decrypt(nonce, ciphertext + tag, protected.encode())


@pytest.mark.parametrize("key", [ENCRYPTING, {k: v for k, v in ENCRYPTING.items() if k != "alg"}])
def test_a_recipient_opens_what_is_encrypted_to_it(key: dict[str, Any]) -> None:
    chosen = encryption_key({"keys": [public_jwk(generate_private_jwk("Ed25519")), key]})
    sealed = encrypt(b'{"a":1}', chosen)
    assert sealed != encrypt(b'{"a":1}', chosen)
    header = json.loads(decode_base64url(sealed.split(".")[0]))
    assert header.pop("epk").keys() == {"crv", "kty", "x", "y"}
    assert header == {
        "alg": "ECDH-ES+A256KW",
        "enc": "A256GCM",
        "kid": ENCRYPTING["kid"],
        "cty": "application/json",
    }
    assert opened(sealed) == b'{"a":1}'
    parts, others = sealed.split("."), encrypt(b'{"a":2}', chosen).split(".")
    with pytest.raises(InvalidTag):
        opened(".".join([*parts[:3], others[3], parts[4]]))
