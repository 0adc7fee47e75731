"""A receipt, and the bundle that proves it is in the log: JWS (RFC 7515), tlog-proof, opened commitment.

A bundle is JSON: `format`, `receipt`, `jwks`, `entry` with `index`, `leaf` (base64) and `proof`, `log_key`,
and if the person wanted it `opening` with `key` and `detail` (base64), which opens the leaf's commitment.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .faults import FalsifiedError, UncheckableError
from .note import SignedHead, decode_base64
from .p256 import verify_es256
from .proof import verify_proof

FORMAT: Final = "mydata-receipt-bundle@v1"
_TYPE: Final = "consent-receipt+jws"
_AUDIENCE: Final = "urn:mydata:consent-receipt"
_SEGMENTS: Final = 3
_MAX_BYTES: Final = 1024 * 1024

# The event of the log that each kind of receipt belongs to, and where in the receipt its instant stands.
_EVENTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "grant": ("consent.given", ("given_at",)),
    "amendment": ("consent.amended", ("given_at",)),
    "reconsent": ("consent.amended", ("given_at",)),
    "renewal": ("consent.renewed", ("given_at",)),
    "narrowing": ("consent.narrowed", ("given_at",)),
    "fulfilment": ("consent.fulfilled", ("end", "at")),
    "expiry": ("consent.expired", ("end", "at")),
    "withdrawal": ("consent.withdrawn", ("end", "at")),
    "revocation": ("consent.revoked", ("end", "at")),
    "invalidation": ("consent.invalidated", ("end", "at")),
    "deletion": ("obligation.attested", ("obligation", "attested_at")),
}


@dataclass(frozen=True, slots=True)
class ReceiptReport:
    """What holds: the receipt's claims and, for a bundle, its place in the signed log."""

    claims: Mapping[str, Any]
    index: int | None = None
    head: SignedHead | None = None
    is_opened: bool = False
    has_own_keys: bool = False

    def lines(self) -> list[str]:
        """What was verified, in plain words."""
        claims = self.claims
        told = [
            "The receipt is unchanged: the signature by the issuer's receipt key is valid (ES256).",
            f"It was issued by {claims['iss']} for consent {claims['grant_id']} ({claims.get('kind')}).",
        ]
        if self.head is not None:
            told.append(
                f"It is in the log: entry {self.index} of {self.head.size}, signed by {self.head.origin}."
            )
            told.append(
                "The entry was opened: grant, terms and notice in the log are those of the receipt."
                if self.is_opened
                else "The entry is of this consent, of this kind and of this very instant; it was not opened."
            )
        if self.has_own_keys:
            told.append(
                "The keys came with the bundle. Compare them with the issuer's own, at /jwks and /log/key."
            )
        return told


def verify_receipt_file(
    raw: bytes, *, jwks: Mapping[str, Any] | None = None, vkey: str | None = None
) -> ReceiptReport:
    """Verify a receipt (compact JWS) or a bundle (JSON).

    Without `jwks` and `vkey` a bundle's own keys are taken, and the report says so. Raises FalsifiedError,
    UncheckableError if a key or the form is missing, VerifierKeyInvalidError.
    """
    if len(raw) > _MAX_BYTES:
        raise UncheckableError("file", "it is too large")
    text = raw.strip()
    if not text.startswith(b"{"):
        if text.count(b".") != _SEGMENTS - 1:
            raise UncheckableError("receipt", "it is not a receipt")
        if jwks is None:
            raise UncheckableError("receipt", "the issuer's key set is needed")
        return ReceiptReport(verify_receipt_jws(_ascii(text), jwks))
    bundle = _object(text, "bundle")
    if bundle.get("format") != FORMAT:
        raise UncheckableError("bundle", f"its format is not {FORMAT}")
    keys = bundle.get("jwks") if jwks is None else jwks
    log_key = bundle.get("log_key") if vkey is None else vkey
    if not isinstance(keys, Mapping) or not isinstance(log_key, str):
        raise UncheckableError("bundle", "it holds no keys")
    claims = verify_receipt_jws(str(bundle.get("receipt")), keys)
    entry = bundle.get("entry")
    if not isinstance(entry, dict):
        raise UncheckableError("bundle", "it holds no entry of the log")
    leaf = _bytes(entry, "leaf")
    index, head = verify_proof(str(entry.get("proof")).encode(), leaf, log_key.strip())
    if index != entry.get("index"):
        raise FalsifiedError("entry", "its index is not the proven one")
    said = _object(leaf, "entry")
    _check_same(claims, said)
    opening = bundle.get("opening")
    if opening is not None:
        _check_opening(claims, said, opening)
    return ReceiptReport(claims, index, head, opening is not None, jwks is None or vkey is None)


def verify_receipt_jws(unverified_receipt: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of a receipt that a key of the set signed. Raises FalsifiedError, UncheckableError."""
    segments = unverified_receipt.split(".")
    if len(segments) != _SEGMENTS:
        raise FalsifiedError("receipt", "it is no compact JWS")
    raw_header, raw_claims, signature = (_base64url(segment) for segment in segments)
    header = _object(raw_header, "receipt")
    if set(header) != {"alg", "typ", "kid"} or (header["alg"], header["typ"]) != ("ES256", _TYPE):
        raise FalsifiedError("receipt", "it is not an ES256 consent receipt")
    if not verify_es256(_key(jwks, header["kid"]), signature, ".".join(segments[:2]).encode("ascii")):
        raise FalsifiedError("receipt", "the signature does not match")
    claims = _object(raw_claims, "receipt")
    if claims.get("aud") != _AUDIENCE or not all(
        isinstance(claims.get(name), str) for name in ("iss", "grant_id")
    ):
        raise FalsifiedError("receipt", "it was made for another use")
    return claims


def _check_same(claims: Mapping[str, Any], leaf: Mapping[str, Any]) -> None:
    """The entry is of the receipt's consent, of its kind and of its very instant."""
    event, place = _EVENTS.get(str(claims.get("kind")), ("", ()))
    told = {
        "type": event,
        "at": _at(claims, *place),
        "handle": _at(claims, "data_subject", "ref"),
        "recipient": _at(claims, "recipient", "id"),
        "purpose": _at(claims, "process", "purpose", "code"),
    }
    for name, value in told.items():
        if value is None or leaf.get(name) != value:
            raise FalsifiedError("entry", f"its {name} is not the receipt's")


def _check_opening(claims: Mapping[str, Any], leaf: Mapping[str, Any], opening: object) -> None:
    """The detail is the one that the leaf commits to, and says what the receipt says."""
    if not isinstance(opening, dict):
        raise UncheckableError("opening", "it is malformed")
    key, detail = _bytes(opening, "key"), _bytes(opening, "detail")
    commitment = hmac.digest(key, detail, hashlib.sha256)
    encoded = base64.urlsafe_b64encode(commitment).rstrip(b"=").decode("ascii")
    if len(key) != hashlib.sha256().digest_size or not hmac.compare_digest(encoded, str(leaf.get("c"))):
        raise FalsifiedError("opening", "it is not what the entry commits to")
    said = _object(detail, "opening")
    notice = {"notice": _at(claims, "notice", "sha256"), "terms": claims.get("terms")}
    told = {"grant_id": claims["grant_id"], **{name: notice[name] for name in notice if name in said}}
    for name, value in told.items():
        if said.get(name) != value:
            raise FalsifiedError("opening", f"its {name} is not the receipt's")


def _key(jwks: Mapping[str, Any], kid: object) -> tuple[bytes, bytes]:
    keys = jwks.get("keys")
    found = [key for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []
    of_kid = [key for key in found if key.get("kid") == kid and key.get("crv") == "P-256"]
    if len(of_kid) != 1:
        raise FalsifiedError("receipt", "the key set has no receipt key of this id")
    return _base64url(str(of_kid[0].get("x"))), _base64url(str(of_kid[0].get("y")))


def _at(value: object, *names: str) -> object:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _bytes(holder: Mapping[str, Any], name: str) -> bytes:
    encoded = holder.get(name)
    decoded = decode_base64(encoded) if isinstance(encoded, str) else None
    if decoded is None:
        raise UncheckableError("bundle", f"{name} is not base64")
    return decoded


def _ascii(raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        raise UncheckableError("receipt", "it is not a receipt") from None


def _base64url(segment: str) -> bytes:
    try:
        decoded = base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise FalsifiedError("receipt", "a part of it is not base64url") from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode("ascii") != segment:
        raise FalsifiedError("receipt", "a part of it is not base64url")
    return decoded


def _object(raw: bytes, place: str) -> dict[str, Any]:
    try:
        loaded = json.loads(raw)
    except (ValueError, RecursionError):
        loaded = None
    if not isinstance(loaded, dict):
        raise UncheckableError(place, "it is not a JSON object")
    return loaded
