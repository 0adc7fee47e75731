"""Receipts as ES256 JWS over canonical JSON (RFC 7515, RFC 8785): the only door to python-jose.

Only receipts that this broker itself issued pass here. python-jose accepts an unknown `crit`, a
missing audience and a foreign key type, so the header is checked by our own parser first, the key is
chosen from our own table, and the audience is compared here.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

import orjson
import rfc8785
from jose import jwk, jws
from jose.backends import ECKey
from jose.exceptions import JOSEError

from consent.errors import ReceiptInvalidError

RECEIPT_TYPE: Final = "consent-receipt+jws"
RECEIPT_AUDIENCE: Final = "urn:mydata:consent-receipt"
_ALGORITHM: Final = "ES256"
_SEGMENTS: Final = 3
_MAX_BYTES: Final = 256 * 1024
_CLAIM_TYPES: Final = {"iss": str, "aud": str, "jti": str, "iat": int, "grant_id": str}


class ReceiptSigner:
    """Signs receipts with one key: built once, since python-jose parses a PEM anew on every call."""

    def __init__(self, private_pem: bytes, kid: str, issuer: str) -> None:
        if ECKey.__name__ != "CryptographyECKey":
            message = "python-jose runs without its cryptography backend"
            raise RuntimeError(message)
        self._key = jwk.construct(private_pem.decode(), _ALGORITHM)
        self._kid = kid
        self._issuer = issuer

    def sign(self, content: Mapping[str, Any], *, receipt_id: str, issued_at: int) -> str:
        """The receipt as compact JWS. `issued_at` in whole seconds since 1970.

        Where the content names an address of this broker by its path, it gets the issuer before it.
        """
        claims = {
            **_with_addresses(content, self._issuer),
            "iss": self._issuer,
            "aud": RECEIPT_AUDIENCE,
            "jti": receipt_id,
            "iat": issued_at,
        }
        signed: str = jws.sign(
            rfc8785.dumps(claims),
            self._key,
            headers={"typ": RECEIPT_TYPE, "kid": self._kid},
            algorithm=_ALGORITHM,
        )
        return signed


def verify_receipt(unverified_receipt: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of a receipt whose signature, type, key and claim types hold.

    `jwks` is the broker's key set (retired receipt keys included). Raises ReceiptInvalidError with
    the first check that failed; nothing of the content is in it.
    """
    header = _header(unverified_receipt)
    key = _key(jwks, header["kid"])
    try:
        content = jws.verify(unverified_receipt, key, algorithms=[_ALGORITHM])
    except JOSEError as error:
        reason = "the signature does not match: the receipt was changed, or another key signed it"
        raise ReceiptInvalidError(reason) from error
    claims = _object(content)
    for name, kind in _CLAIM_TYPES.items():
        if type(claims.get(name)) is not kind:
            reason = f"the claim {name} is missing or has the wrong type"
            raise ReceiptInvalidError(reason)
    if claims["aud"] != RECEIPT_AUDIENCE:
        reason = "it was made for another use"
        raise ReceiptInvalidError(reason)
    _require_canonical(claims, content)
    return claims


def claims_of(receipt_jws: str) -> dict[str, Any]:
    """What a receipt of our own store says (RFC 7515 section 3.1); doubters verify the file.

    Raises ReceiptInvalidError for what is no compact JWS.
    """
    segments = receipt_jws.split(".")
    if len(segments) != _SEGMENTS:
        reason = "it is no compact JWS"
        raise ReceiptInvalidError(reason)
    return _object(_decoded(segments[1]))


def _with_addresses(value: Any, issuer: str) -> Any:  # noqa: ANN401 - any JSON
    """The same JSON, every path in an `@id` made an address (JSON-LD 1.1 section 3.3)."""
    if isinstance(value, Mapping):
        return {
            name: issuer + member
            if name == "@id" and isinstance(member, str) and member.startswith("/")
            else _with_addresses(member, issuer)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [_with_addresses(member, issuer) for member in value]
    return value


def _header(unverified_receipt: str) -> dict[str, str]:
    segments = unverified_receipt.split(".")
    if len(unverified_receipt) > _MAX_BYTES or len(segments) != _SEGMENTS:
        reason = "it is no compact JWS"
        raise ReceiptInvalidError(reason)
    raw_header, *_ = [_decoded(segment) for segment in segments]
    header = _object(raw_header)
    if set(header) != {"alg", "typ", "kid"} or not isinstance(header["kid"], str):
        reason = "its header has members that a receipt does not have"
        raise ReceiptInvalidError(reason)
    if (header["alg"], header["typ"]) != (_ALGORITHM, RECEIPT_TYPE):
        reason = "it is not an ES256 consent receipt"
        raise ReceiptInvalidError(reason)
    _require_canonical(header, raw_header)
    return header


def _decoded(segment: str) -> bytes:
    """base64url without padding, in its one canonical spelling: python-jose skips what it does not know."""
    try:
        decoded = base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        reason = "a part of it is not base64url"
        raise ReceiptInvalidError(reason) from error
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != segment:
        reason = "a part of it is not base64url"
        raise ReceiptInvalidError(reason)
    return decoded


def _require_canonical(content: Mapping[str, Any], raw: bytes) -> None:
    try:
        canonical = rfc8785.dumps(dict(content))
    except (rfc8785.CanonicalizationError, RecursionError):
        canonical = None
    if canonical != raw:
        reason = "its content is not canonical JSON"
        raise ReceiptInvalidError(reason)


def _key(jwks: Mapping[str, Any], kid: str) -> Any:  # noqa: ANN401 - python-jose has no types
    keys = jwks.get("keys")
    candidates = (
        [key for key in keys if isinstance(key, dict) and key.get("kid") == kid]
        if isinstance(keys, list)
        else []
    )
    if len(candidates) != 1 or (candidates[0].get("kty"), candidates[0].get("crv")) != ("EC", "P-256"):
        reason = "the key set has no receipt key of this id"
        raise ReceiptInvalidError(reason)
    numbers = {name: str(candidates[0].get(name)) for name in ("x", "y")}
    try:
        return jwk.construct({"kty": "EC", "crv": "P-256", **numbers}, _ALGORITHM)
    except (JOSEError, ValueError) as error:
        reason = "the receipt key in the key set is malformed"
        raise ReceiptInvalidError(reason) from error


def _object(raw: bytes) -> dict[str, Any]:
    try:
        loaded = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        reason = "a part of it is not JSON"
        raise ReceiptInvalidError(reason) from error
    if not isinstance(loaded, dict):
        reason = "a part of it is not a JSON object"
        raise ReceiptInvalidError(reason)
    return loaded
