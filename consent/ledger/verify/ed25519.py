"""Ed25519 verification in pure Python (RFC 8032 section 5.1.7), strict: one encoding for each value.

Only public values are handled here, so nothing needs to run in constant time.
"""

import hashlib
from typing import Final, TypeAlias

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_SQRT_MINUS_ONE: Final = pow(2, (_P - 1) // 4, _P)

_POINT_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_SIGN_BIT: Final = 1 << 255

# extended homogeneous coordinates: x = X/Z, y = Y/Z, x * y = T/Z (RFC 8032 section 5.1.4)
_Point: TypeAlias = tuple[int, int, int, int]
_NEUTRAL: Final = (0, 1, 1, 0)


def verify_ed25519(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature is valid. No exception: whatever is malformed is not valid.

    Refused: lengths other than 32 and 64, points and S that are not reduced, and public keys of small order.
    """
    if len(public_key) != _POINT_BYTES or len(signature) != _SIGNATURE_BYTES:
        return False
    encoded_r, s = signature[:_POINT_BYTES], int.from_bytes(signature[_POINT_BYTES:], "little")
    if s >= _ORDER:  # RFC 8032 section 8.4: or the signature could be changed into another valid one
        return False
    a, r = _decode(public_key), _decode(encoded_r)
    if a is None or r is None or _is_same(_multiply(8, a), _NEUTRAL):
        return False
    k = int.from_bytes(hashlib.sha512(encoded_r + public_key + message).digest(), "little") % _ORDER
    return _is_same(_multiply(s, _BASE), _add(r, _multiply(k, a)))


def _decode(encoded: bytes) -> _Point | None:
    """RFC 8032 section 5.1.3; None if these bytes are not the encoding of a point."""
    number = int.from_bytes(encoded, "little")
    is_odd, y = bool(number & _SIGN_BIT), number & (_SIGN_BIT - 1)
    if y >= _P:
        return None
    x = _recover_x(y, is_odd=is_odd)
    return None if x is None else (x, y, 1, x * y % _P)


def _recover_x(y: int, *, is_odd: bool) -> int | None:
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P != 0:
        x = x * _SQRT_MINUS_ONE % _P
    if (x * x - square) % _P != 0:
        return None  # not a point of the curve
    if x == 0 and is_odd:
        return None  # there is no negative zero
    return _P - x if bool(x & 1) != is_odd else x


def _add(left: _Point, right: _Point) -> _Point:
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = 2 * t1 * t2 * _D % _P
    d = 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(scalar: int, point: _Point) -> _Point:
    result: _Point = _NEUTRAL
    while scalar > 0:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _is_same(left: _Point, right: _Point) -> bool:
    x1, y1, z1, _ = left
    x2, y2, z2, _ = right
    return (x1 * z2 - x2 * z1) % _P == 0 and (y1 * z2 - y2 * z1) % _P == 0


_BASE_Y: Final = 4 * pow(5, -1, _P) % _P
_BASE_X: Final = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_BASE: Final = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)
