"""ECDSA on P-256 in pure Python, against signatures of another implementation and at its edges."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.ledger.verify import verify_es256

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MESSAGE = b"message"


def number(value: int) -> bytes:
    return value.to_bytes(32, "big")


def signed(key: ec.EllipticCurvePrivateKey, message: bytes = MESSAGE) -> tuple[int, int]:
    return decode_dss_signature(key.sign(message, ec.ECDSA(SHA256())))


def raw(signature: tuple[int, int]) -> bytes:
    return number(signature[0]) + number(signature[1])


def public_of(key: ec.EllipticCurvePrivateKey) -> tuple[bytes, bytes]:
    numbers = key.public_key().public_numbers()
    return number(numbers.x), number(numbers.y)


KEY = ec.derive_private_key(0xC0FFEE, ec.SECP256R1())
PUBLIC = public_of(KEY)


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_example_of_rfc_7515() -> None:
    # RFC 7515 appendix A.3: an ES256 signature made by others
    public = (
        decoded("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
        decoded("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
    )
    message = (
        b"eyJhbGciOiJFUzI1NiJ9."
        b"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    )
    signature = decoded(
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    )
    assert verify_es256(public, signature, message)
    assert not verify_es256(public, signature, message + b"x")


def test_another_message_or_key() -> None:
    signature = raw(signed(KEY))
    assert verify_es256(PUBLIC, signature, MESSAGE)
    assert not verify_es256(PUBLIC, signature, MESSAGE + b"x")
    assert not verify_es256(public_of(ec.generate_private_key(ec.SECP256R1())), signature, MESSAGE)


def test_every_flipped_byte_is_noticed() -> None:
    signature = raw(signed(KEY))
    for at in range(64):
        changed = bytearray(signature)
        changed[at] ^= 1
        assert not verify_es256(PUBLIC, bytes(changed), MESSAGE)
    for at in range(32):
        x, y = bytearray(PUBLIC[0]), bytearray(PUBLIC[1])
        x[at] ^= 1
        y[at] ^= 1
        assert not verify_es256((bytes(x), PUBLIC[1]), signature, MESSAGE)
        assert not verify_es256((PUBLIC[0], bytes(y)), signature, MESSAGE)


def test_r_and_s_lie_between_zero_and_the_order() -> None:
    r, s = signed(KEY)
    edges = (0, ORDER, ORDER + 1, 2**256 - 1)
    for edge in edges:
        assert not verify_es256(PUBLIC, number(edge) + number(s), MESSAGE)
        assert not verify_es256(PUBLIC, number(r) + number(edge), MESSAGE)
    for first in edges:
        for second in edges:
            assert not verify_es256(PUBLIC, number(first) + number(second), MESSAGE)


def test_the_other_s_is_valid_too_as_ecdsa_has_it() -> None:
    r, s = signed(KEY)
    assert verify_es256(PUBLIC, number(r) + number(ORDER - s), MESSAGE)


@pytest.mark.parametrize("length", [0, 32, 63, 65, 128])
def test_signatures_and_keys_of_another_length(length: int) -> None:
    signature = raw(signed(KEY))
    assert not verify_es256(PUBLIC, (signature * 2)[:length], MESSAGE)
    if length != 32:
        assert not verify_es256(((PUBLIC[0] * 4)[:length], PUBLIC[1]), signature, MESSAGE)
        assert not verify_es256((PUBLIC[0], (PUBLIC[1] * 4)[:length]), signature, MESSAGE)


@pytest.mark.parametrize("point", [(0, 0), (1, 1), (P, P), (P + 5, 5), (2**256 - 1, 2**256 - 1)])
def test_a_key_that_is_no_point_of_the_curve(point: tuple[int, int]) -> None:
    assert not verify_es256((number(point[0]), number(point[1])), raw(signed(KEY)), MESSAGE)


def test_coordinates_must_be_reduced() -> None:
    # (0, sqrt(b)) is on the curve; so is (P, sqrt(b)) if nobody looks
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    y = pow(b, (P + 1) // 4, P)
    assert y * y % P == b
    assert not verify_es256((number(P), number(y)), raw(signed(KEY)), MESSAGE)


@pytest.mark.parametrize("secret", [1, 2, 3, ORDER - 1, ORDER - 2])
def test_keys_next_to_the_base_point(secret: int) -> None:
    key = ec.derive_private_key(secret, ec.SECP256R1())
    assert verify_es256(public_of(key), raw(signed(key)), MESSAGE)
    assert not verify_es256(public_of(key), raw(signed(KEY)), MESSAGE)


def test_a_sum_at_infinity_is_no_signature() -> None:
    # for the key 1, r = -digest makes u + v = 0 for every s
    digest = int.from_bytes(hashlib.sha256(MESSAGE).digest(), "big")
    public = public_of(ec.derive_private_key(1, ec.SECP256R1()))
    assert not verify_es256(public, number(-digest % ORDER) + number(1), MESSAGE)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, ORDER - 1), st.binary(max_size=300))
def test_it_agrees_with_another_implementation(secret: int, message: bytes) -> None:
    key = ec.derive_private_key(secret, ec.SECP256R1())
    assert verify_es256(public_of(key), raw(signed(key, message)), message)
    assert not verify_es256(public_of(key), raw(signed(key, message + b"x")), message)
