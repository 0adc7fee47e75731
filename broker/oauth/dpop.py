"""Proof of possession, RFC 9449: a proof is verified, compared with its request, and taken once.

Pure but for `take_jti` and `accept_proof`, so the hot lane verifies with the same function.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Any, Final
from urllib.parse import urlsplit

from sqlmodel import Session

from broker.oauth.errors import InvalidProofError, NonceNeededError
from broker.oauth.models import SeenJti
from vault.errors import UntrustedTokenError
from vault.insert import insert_if_absent
from vault.jose import thumbprint, verify_self_signed
from vault.seal import context_of
from vault.untrusted import instant_claim

HEADER: Final = "DPoP"
ALGORITHMS: Final = ("ES256", "PS256", "EdDSA", "Ed25519")
WINDOW: Final = timedelta(seconds=60)
_KEEP: Final = 2 * WINDOW  # a proof of a minute ahead stays good for two
_MAX_BYTES: Final = 8192
_MAX_JTI: Final = 256
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class ProofRules:
    """What an installation wants of proofs: their size, and one of these nonces (None: no nonce).

    `alias`: another address that this very request may have been sent to (RFC 8705 section 5).
    """

    max_bytes: int = _MAX_BYTES
    nonces: tuple[str, ...] | None = None
    alias: str | None = None


ANY_NONCE: Final = ProofRules()


@dataclass(frozen=True, slots=True)
class Proof:
    """A verified proof: the key's thumbprint (RFC 7638), and what replay is told by."""

    jkt: str
    jti_digest: bytes
    expires_at: datetime


def verify_proof(  # noqa: PLR0913 - what a proof is compared with
    raw_proofs: Sequence[str],
    *,
    method: str,
    url: str,
    access_token: str | None,
    now: datetime,
    rules: ProofRules = ANY_NONCE,
) -> Proof:
    """Check the proofs of a request, one for each `DPoP` header: there must be exactly one.

    `url` is built from the issuer, never from Host. `access_token` is given at resources, where `ath`
    must match it. Replay is the caller's: `take_jti`. Raises InvalidProofError; NonceNeededError if only the
    nonce is wrong.
    """
    if len(raw_proofs) != 1:
        raise InvalidProofError("exactly one DPoP header is needed")
    try:
        jwk, claims = verify_self_signed(
            raw_proofs[0], typ="dpop+jwt", algorithms=ALGORITHMS, max_bytes=rules.max_bytes
        )
    except UntrustedTokenError as error:
        raise InvalidProofError(error.reason) from error
    urls = [url] if rules.alias is None else [url, rules.alias]
    _check_request(claims, method=method, urls=urls, access_token=access_token)
    _check_times(claims, now)
    _check_nonce(claims, rules.nonces)
    jkt = thumbprint(jwk)
    return Proof(jkt, _jti_digest(jkt, claims.get("jti")), now + _KEEP)


def take_jti(session: Session, jti_digest: bytes, expires_at: datetime) -> bool:
    """Use a token id up, atomically; False if it was used before."""
    return insert_if_absent(session, SeenJti, {"jti_digest": jti_digest, "expires_at": expires_at})


def accept_proof(  # noqa: PLR0913 - as above
    session: Session,
    raw_proofs: Sequence[str],
    *,
    method: str,
    url: str,
    now: datetime,
    rules: ProofRules = ANY_NONCE,
) -> Proof:
    """Verify the proof of a request without an access token, and use it up. Raises InvalidProofError."""
    proof = verify_proof(raw_proofs, method=method, url=url, access_token=None, now=now, rules=rules)
    if not take_jti(session, proof.jti_digest, proof.expires_at):
        raise InvalidProofError("the proof was used before")
    return proof


def _check_request(
    claims: Mapping[str, Any], *, method: str, urls: Sequence[str], access_token: str | None
) -> None:
    # RFC 9449 section 4.3, checks 8 and 9: methods are case-sensitive, URIs are compared normalised.
    if claims.get("htm") != method:
        raise InvalidProofError("htm is not the method of this request")
    if _target(claims.get("htu")) not in [_target(url) for url in urls]:
        raise InvalidProofError("htu is not the address of this request")
    if access_token is None:
        return
    ath = claims.get("ath")
    digest = hashlib.sha256(access_token.encode()).digest()
    expected = base64.urlsafe_b64encode(digest).rstrip(b"=")
    if not isinstance(ath, str) or not compare_digest(ath.encode(), expected):
        raise InvalidProofError("ath is not the hash of this access token")


def _check_times(claims: Mapping[str, Any], now: datetime) -> None:
    issued_at, expires_at, starts_at = (_instant(claims, name) for name in ("iat", "exp", "nbf"))
    if issued_at is None or abs(now - issued_at) > WINDOW:
        raise InvalidProofError("iat is missing, or more than 60 seconds away")
    if expires_at is not None and expires_at <= now:
        raise InvalidProofError("exp has passed")
    if starts_at is not None and starts_at > now + WINDOW:
        raise InvalidProofError("nbf lies more than 60 seconds ahead")


def _check_nonce(claims: Mapping[str, Any], nonces: Sequence[str] | None) -> None:
    # RFC 9449 section 4.3, check 10.
    if nonces is None:
        return
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not any(
        compare_digest(nonce.encode(), good.encode()) for good in nonces
    ):
        raise NonceNeededError


def _instant(claims: Mapping[str, Any], name: str) -> datetime | None:
    try:
        return instant_claim(claims, name) if name in claims else None
    except UntrustedTokenError as error:
        raise InvalidProofError(error.reason) from error


def _jti_digest(jkt: str, jti: object) -> bytes:
    # The key is part of it: nobody can use up another key's ids.
    if not isinstance(jti, str) or not 0 < len(jti) <= _MAX_JTI:
        raise InvalidProofError("jti is missing or too long")
    return hashlib.sha256(context_of("mydata/oauth/dpop-jti@v1", jkt, jti)).digest()


def _target(url: object) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path; query and fragment say nothing (RFC 9449 section 4.3)."""
    if not isinstance(url, str):
        raise InvalidProofError("htu is missing")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidProofError("htu is not a URL") from error
    if parts.username is not None or not parts.hostname:
        raise InvalidProofError("htu is not the address of this request")
    return parts.scheme, parts.hostname, port or _DEFAULT_PORTS.get(parts.scheme), parts.path or "/"
