"""Attestations of deletion: what a recipient signs over what it deleted, and what the person may say to it.

A compact JWS of type `mydata-attestation+jwt` by a key that the recipient has registered at that time
(invariant 10). It may come before the end of the consent: then the consent stays as it is, and a later
delivery opens the obligation again. A refused attestation is on record.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlmodel import select

from consent.disclosure import instant
from consent.errors import NotFoundError, WrongStateError
from consent.evidence import Work
from consent.lifecycle import lock
from consent.models import Consent, Obligation
from consent.obligations import ANSWERED, LOOK_AGAIN, Standing, find, kept_deliveries, record, standing
from consent.receipt_issue import owe_receipt
from consent.terms import InstantOfTerms
from consent.vocabulary import AttestationFault, DeletionMethod, EventType, ObligationState
from vault.errors import UntrustedTokenError
from vault.jose import peek, verify_jwt
from vault.keys.keyring import Keyring
from vault.seal import context_of, open_sealed, seal

TYPE: Final = "mydata-attestation+jwt"
ALGORITHMS: Final = ("ES256", "PS256", "EdDSA", "Ed25519")
MAX_BYTES: Final = 512 * 1024
"""Room for some thousand digests of 64 characters, in base64url."""

_FRESH: Final = timedelta(minutes=10)
_AHEAD: Final = timedelta(seconds=60)
_LAST_SECOND: Final = 253402300799  # of the year 9999


class Claims(BaseModel):
    """What is signed. `deliveries` are the payload digests as they were delivered, sorted; nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    iss: str
    aud: str
    iat: Annotated[int, Field(strict=True, ge=0, le=_LAST_SECOND)]
    jti: Annotated[str, Field(min_length=1, max_length=256)]
    obligation_id: str
    grant_id: str
    deliveries: list[str]
    deleted_at: InstantOfTerms
    method: DeletionMethod


@dataclass(frozen=True, slots=True)
class Attestor:
    """A recipient's client, whose keys are those that it has registered now, and to whom it speaks."""

    client_id: str
    recipient_id: str
    jwks: Mapping[str, Any] = field(repr=False)
    issuer: str


@dataclass(frozen=True, slots=True)
class Attested:
    """The obligation as the attestation left it; `is_repeated` if it had been attested before."""

    obligation_id: str
    state: ObligationState
    attested_at: datetime
    is_repeated: bool


@dataclass(frozen=True, slots=True)
class AttestationRefused:
    """Not accepted, and on record."""

    fault: AttestationFault


@dataclass(frozen=True, slots=True)
class AttestationView:
    """An accepted attestation, opened."""

    client_id: str
    deleted_at: datetime
    method: DeletionMethod
    deliveries: int
    jws: str


def attest(  # noqa: PLR0913 - who attests what about which obligation, and when
    work: Work, keyring: Keyring, obligation_id: str, raw_jws: str, attestor: Attestor, *, now: datetime
) -> Attested | AttestationRefused:
    """Close an obligation by its recipient's attestation; a refused one is put on record instead.

    Once it is attested, another good attestation changes nothing. After a dispute one that differs closes it
    again. Raises NotFoundError, for another recipient's obligation too.
    """
    consent, row = _locked(work, obligation_id, attestor.recipient_id)
    found = standing(consent, row, kept_deliveries(work.session, row.grant_id))
    digest = hashlib.sha256(raw_jws.encode()).digest()
    is_the_same = row.attestation_digest is not None and compare_digest(row.attestation_digest, digest)
    if found.state in ANSWERED and row.attested_at is not None and is_the_same:
        return Attested(obligation_id, found.state, row.attested_at, is_repeated=True)
    claims = _verified(raw_jws, row, found, attestor, now)
    if isinstance(claims, AttestationFault):
        facts = {"reason": str(claims)}
        detail = {"client_id": attestor.client_id, "sha256": digest.hex()}
        record(work, keyring, consent, row, EventType.ATTESTATION_REFUSED, now, facts=facts, detail=detail)
        return AttestationRefused(claims)
    if found.state is ObligationState.ATTESTED and row.attested_at is not None:
        return Attested(obligation_id, found.state, row.attested_at, is_repeated=True)
    _close(work, keyring, consent, row, claims, raw_jws, now)
    return Attested(obligation_id, ObligationState.ATTESTED, now, is_repeated=False)


def dispute(work: Work, keyring: Keyring, grant_id: str, subject_id: str, now: datetime) -> None:
    """The person does not believe an attestation: that is on record, and stands until another one comes.

    Idempotent. Raises NotFoundError, and WrongStateError unless it is attested.
    """
    consent = lock(work, grant_id)
    row = find(work.session, grant_id)
    if consent.subject_id != subject_id or row is None:
        raise NotFoundError
    found = standing(consent, row, kept_deliveries(work.session, grant_id))
    if found.state is ObligationState.DISPUTED:
        return
    if found.state is not ObligationState.ATTESTED:
        raise WrongStateError(found.state, "dispute")
    row.state, row.disputed_at = ObligationState.DISPUTED, now
    row.check_at = now + LOOK_AGAIN if consent.ended_at is None else None  # it doubts no later delivery
    record(work, keyring, consent, row, EventType.OBLIGATION_DISPUTED, now)


def open_attestation(keyring: Keyring, row: Obligation) -> AttestationView | None:
    """The attestation that an obligation holds; None if there is none. Raises TamperedError."""
    if row.attestation_sealed is None:
        return None
    key, context = keyring.audit_key(row.subject_id), _context(row.obligation_id)
    jws = open_sealed(key, context, row.attestation_sealed).decode()
    _, kept_claims = peek(jws, max_bytes=MAX_BYTES)  # verified when it came
    claims = Claims.model_validate(kept_claims)
    return AttestationView(claims.iss, claims.deleted_at, claims.method, len(claims.deliveries), jws)


def _locked(work: Work, obligation_id: str, recipient_id: str) -> tuple[Consent, Obligation]:
    """The obligation of this recipient, read under its consent's lock; foreign is as unknown."""
    where = (Obligation.obligation_id == obligation_id, Obligation.recipient_id == recipient_id)
    grant_id = work.session.exec(select(Obligation.grant_id).where(*where)).one_or_none()
    if grant_id is None:
        raise NotFoundError
    consent = lock(work, grant_id)
    query = select(Obligation).where(*where).execution_options(populate_existing=True)
    return consent, work.session.exec(query).one()


def _verified(
    raw_jws: str, row: Obligation, found: Standing, attestor: Attestor, now: datetime
) -> Claims | AttestationFault:
    claims = _read(raw_jws, attestor)
    if isinstance(claims, AttestationFault):
        return claims
    return _fault(claims, row, found, attestor, now) or claims


def _read(raw_jws: str, attestor: Attestor) -> Claims | AttestationFault:
    """The claims of an attestation by one of the recipient's keys."""
    try:
        unverified_header, _ = peek(raw_jws, max_bytes=MAX_BYTES)
    except UntrustedTokenError:
        return AttestationFault.MALFORMED
    media_type = str(unverified_header.get("typ")).lower().removeprefix("application/")
    if media_type != TYPE or unverified_header.get("alg") not in ALGORITHMS:
        return AttestationFault.MALFORMED
    try:
        _, claims = verify_jwt(raw_jws, attestor.jwks, algorithms=ALGORITHMS, typ=TYPE, max_bytes=MAX_BYTES)
    except UntrustedTokenError:
        return AttestationFault.KEY_UNKNOWN
    try:
        return Claims.model_validate(claims)
    except ValidationError:
        return AttestationFault.MALFORMED


def _fault(
    claims: Claims, row: Obligation, found: Standing, attestor: Attestor, now: datetime
) -> AttestationFault | None:
    """What is wrong with what was signed, if anything."""
    if (claims.iss, claims.aud) != (attestor.client_id, attestor.issuer):
        return AttestationFault.MISADDRESSED
    if (claims.obligation_id, claims.grant_id) != (row.obligation_id, row.grant_id):
        return AttestationFault.OF_ANOTHER
    age = now.timestamp() - claims.iat
    if not -_AHEAD.total_seconds() <= age <= _FRESH.total_seconds():
        return AttestationFault.NOT_FRESH
    if claims.deleted_at > now + _AHEAD:
        return AttestationFault.IN_FUTURE
    if claims.deleted_at < max(one.as_of for one in found.kept):
        return AttestationFault.TOO_EARLY
    if claims.deliveries != sorted(one.payload_digest.hex() for one in found.kept):
        return AttestationFault.DIGESTS_DIFFER
    return None


def _close(  # noqa: PLR0913, PLR0917 - what is closed, by what, and when
    work: Work,
    keyring: Keyring,
    consent: Consent,
    row: Obligation,
    claims: Claims,
    raw_jws: str,
    now: datetime,
) -> None:
    key, context = keyring.audit_key(row.subject_id), _context(row.obligation_id)
    row.state, row.attested_at, row.attested_count = ObligationState.ATTESTED, now, len(claims.deliveries)
    row.attestation_digest = hashlib.sha256(raw_jws.encode()).digest()
    row.attestation_sealed = seal(key, context, raw_jws.encode())
    row.disputed_at, row.check_at = None, None
    if consent.ended_at is None:
        # It deleted before it had to: a later delivery begins anew.
        row.cause, row.due_at, row.acknowledged_at = None, None, None
        row.check_at = now + LOOK_AGAIN
    detail = {
        "client_id": claims.iss,
        "sha256": row.attestation_digest.hex(),
        "deleted_at": instant(claims.deleted_at),
        "method": claims.method,
        "deliveries": claims.deliveries,
    }
    record(work, keyring, consent, row, EventType.OBLIGATION_ATTESTED, now, detail=detail)
    owe_receipt(work.session, consent, EventType.OBLIGATION_ATTESTED, now)


def _context(obligation_id: str) -> bytes:
    return context_of("mydata/consent/attestation@v1", obligation_id)
