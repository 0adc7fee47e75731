"""ECDSA verification on P-256 with SHA-256 in pure Python (FIPS 186-5 section 6.4.2), as JWS ES256 uses it.

Only public values are handled here, so nothing needs to run in constant time.
"""

import hashlib
from typing import Final, TypeAlias

_P: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
_A: Final = -3
_B: Final = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_BASE: Final = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_NUMBER_BYTES: Final = 32

_Point: TypeAlias = tuple[int, int] | None  # None is the point at infinity


def verify_es256(public_key: tuple[bytes, bytes], signature: bytes, message: bytes) -> bool:
    """Whether a JWS ES256 signature (r || s, RFC 7518 section 3.4) over the message is valid.

    `public_key` is x and y, 32 bytes each, big-endian, as in a JWK. No exception: whatever is malformed is
    not valid.
    """
    if any(len(number) != _NUMBER_BYTES for number in public_key) or len(signature) != 2 * _NUMBER_BYTES:
        return False
    x, y = (int.from_bytes(number, "big") for number in public_key)
    r, s = (int.from_bytes(signature[at : at + _NUMBER_BYTES], "big") for at in (0, _NUMBER_BYTES))
    if not _is_on_curve(x, y) or not 0 < r < _ORDER or not 0 < s < _ORDER:
        return False
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    inverse = pow(s, -1, _ORDER)
    point = _sum_of_multiples(digest * inverse % _ORDER, r * inverse % _ORDER, (x, y))
    return point is not None and point[0] % _ORDER == r


def _is_on_curve(x: int, y: int) -> bool:
    return x < _P and y < _P and (y * y - x * x * x - _A * x - _B) % _P == 0


def _sum_of_multiples(u: int, v: int, point: tuple[int, int]) -> _Point:
    """The sum of u times the base and v times the point, both scalars walked together."""
    addends: dict[tuple[int, int], _Point] = {(1, 0): _BASE, (0, 1): point, (1, 1): _add(_BASE, point)}
    result: _Point = None
    for bit in reversed(range(256)):
        result = _add(result, result)
        result = _add(result, addends.get((u >> bit & 1, v >> bit & 1)))
    return result


def _add(left: _Point, right: _Point) -> _Point:
    if left is None:
        return right
    if right is None:
        return left
    (x1, y1), (x2, y2) = left, right
    if x1 != x2:
        slope = (y2 - y1) * pow(x2 - x1, -1, _P) % _P
    elif y1 == y2:
        slope = (3 * x1 * x1 + _A) * pow(2 * y1, -1, _P) % _P  # y is never 0: the order of the group is odd
    else:
        return None
    x = (slope * slope - x1 - x2) % _P
    return x, (slope * (x1 - x) - y1) % _P
