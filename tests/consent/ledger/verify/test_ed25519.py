"""Ed25519 in pure Python: RFC 8032's vectors, an independent signer, and the edges where verifiers differ."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.ledger.verify import verify_ed25519

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493

# RFC 8032 section 7.1: secret key, public key, message, signature
RFC_8032 = {
    "test 1": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    "test 2": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    "test 3": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
    "test SHA(abc)": (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        (
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        ),
        (
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
            "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"
        ),
    ),
}
SECRET, PUBLIC, MESSAGE, SIGNATURE = (bytes.fromhex(part) for part in RFC_8032["test 3"])

# the eight points of small order, in every encoding below 2^255 and above p too
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def secret_scalar(secret: bytes) -> int:
    digest = bytearray(hashlib.sha512(secret).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    return int.from_bytes(digest, "little")


def sealed_with(encoded_r: bytes) -> bytes:
    """A signature with R = the neutral element in some encoding: S = k * a. Needs the secret key."""
    k = int.from_bytes(hashlib.sha512(encoded_r + PUBLIC + MESSAGE).digest(), "little")
    return encoded_r + (k * secret_scalar(SECRET) % ORDER).to_bytes(32, "little")


@pytest.mark.parametrize("vector", RFC_8032.values(), ids=RFC_8032)
def test_the_vectors_of_rfc_8032(vector: tuple[str, str, str, str]) -> None:
    secret, public, message, signature = (bytes.fromhex(part) for part in vector)
    key = Ed25519PrivateKey.from_private_bytes(secret)
    assert key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) == public
    assert verify_ed25519(public, signature, message)
    assert not verify_ed25519(public, signature, message + b"\x00")


def test_a_note_signed_by_others() -> None:
    # the example of golang.org/x/mod/sumdb/note
    public = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]
    signed = base64.b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )
    text = (
        b"If you think cryptography is the answer to your problem,\n"
        b"then you don't know what your problem is.\n"
    )
    assert verify_ed25519(public, signed[4:], text)


def test_every_flipped_bit_is_noticed() -> None:
    for at in range(0, 512, 7):
        changed = bytearray(SIGNATURE)
        changed[at // 8] ^= 1 << at % 8
        assert not verify_ed25519(PUBLIC, bytes(changed), MESSAGE)
    for at in range(0, 256, 7):
        changed = bytearray(PUBLIC)
        changed[at // 8] ^= 1 << at % 8
        assert not verify_ed25519(bytes(changed), SIGNATURE, MESSAGE)


@pytest.mark.parametrize("length", [0, 31, 32, 63, 65, 128])
def test_signatures_and_keys_of_another_length(length: int) -> None:
    assert not verify_ed25519(PUBLIC, (SIGNATURE * 2)[:length], MESSAGE)
    if length != 32:
        assert not verify_ed25519((PUBLIC * 4)[:length], SIGNATURE, MESSAGE)


@pytest.mark.parametrize("times", [1, 2, 14])
def test_s_must_be_reduced(times: int) -> None:
    s = int.from_bytes(SIGNATURE[32:], "little") + times * ORDER
    assert not verify_ed25519(PUBLIC, SIGNATURE[:32] + s.to_bytes(32, "little"), MESSAGE)


@pytest.mark.parametrize("s", [0, 1, ORDER - 1, ORDER, ORDER + 1, 2**252, 2**255 - 1, 2**256 - 1])
def test_special_values_of_s(s: int) -> None:
    assert not verify_ed25519(PUBLIC, SIGNATURE[:32] + s.to_bytes(32, "little"), MESSAGE)


@pytest.mark.parametrize("encoded", SMALL_ORDER)
def test_a_key_of_small_order_signs_nothing(encoded: str) -> None:
    # with A neutral, R neutral and S = 0 the equation holds for every message: anybody could sign
    public = bytes.fromhex(encoded)
    for r in SMALL_ORDER:
        assert not verify_ed25519(public, bytes.fromhex(r) + bytes(32), MESSAGE)


def test_r_has_one_encoding() -> None:
    assert verify_ed25519(PUBLIC, sealed_with((1).to_bytes(32, "little")), MESSAGE)
    assert not verify_ed25519(PUBLIC, sealed_with((P + 1).to_bytes(32, "little")), MESSAGE)
    assert not verify_ed25519(PUBLIC, sealed_with((1 | 1 << 255).to_bytes(32, "little")), MESSAGE)
    assert not verify_ed25519(PUBLIC, sealed_with((P + 1 | 1 << 255).to_bytes(32, "little")), MESSAGE)


@pytest.mark.parametrize("y", [2, 7, P, P + 1, 2**255 - 1])
def test_bytes_that_are_no_point(y: int) -> None:
    for sign in (0, 1 << 255):
        encoded = (y | sign).to_bytes(32, "little")
        assert not verify_ed25519(encoded, SIGNATURE, MESSAGE)
        assert not verify_ed25519(PUBLIC, encoded + SIGNATURE[32:], MESSAGE)


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300))
def test_it_agrees_with_another_implementation(secret: bytes, message: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(secret)
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert verify_ed25519(public, key.sign(message), message)
    assert not verify_ed25519(public, key.sign(message + b"x"), message)


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64))
def test_no_bytes_make_it_stumble(public: bytes, signature: bytes) -> None:
    assert not verify_ed25519(public, signature, b"message")
