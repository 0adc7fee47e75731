"""The broker's own private keys (access to the outside, receipts, the log), stored sealed.

How one follows another is in `vault.keys.rotation`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal, cast

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlmodel import Session, col, select

from vault.insert import insert_if_absent
from vault.jose import public_jwk_of_pem
from vault.keys.models import ServiceKeyRow
from vault.seal import SealingKey, context_of, open_sealed, seal

ServiceKeyKind = Literal["ES256", "Ed25519", "RS256"]

_RSA_BITS: Final = 3072
_RSA_EXPONENT: Final = 65537


class KeyState(StrEnum):
    """The life of a key: published, signing, published still, no longer published."""

    NEXT = "next"
    CURRENT = "current"
    PREVIOUS = "previous"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A private key of the broker. `public_jwk` bears kid, use and alg; the PEM is PKCS#8, in no repr.

    `state` is a `KeyState`. `signs_from` is known before it comes; `signed_until` is None until another
    took over.
    """

    name: str
    kid: str
    kind: str
    state: str
    created_at: datetime
    signs_from: datetime
    signed_until: datetime | None
    public_jwk: dict[str, Any]
    private_pem: bytes = field(repr=False)


def make_first_key(
    session: Session, sealing_key: SealingKey, name: str, *, kind: ServiceKeyKind, now: datetime
) -> None:
    """Make and store a current key of this name, unless there is one."""
    values = _new_values(sealing_key, name, kind, now)
    insert_if_absent(session, ServiceKeyRow, values | {"state": KeyState.CURRENT, "signs_from": now})


def make_next_key(
    session: Session, sealing_key: SealingKey, current: ServiceKeyRow, *, signs_from: datetime, now: datetime
) -> ServiceKeyRow:
    """Make and store the key that follows `current`, of the same name and kind. The name has none yet."""
    kind = cast("ServiceKeyKind", current.kind)
    values = _new_values(sealing_key, current.name, kind, now)
    row = ServiceKeyRow(**values, state=KeyState.NEXT, signs_from=signs_from)
    session.add(row)
    session.flush()
    return row


def read_service_keys(session: Session, sealing_key: SealingKey, name: str) -> list[ServiceKey]:
    """Every key of this name: the current one, then the others, newest first."""
    rows = session.exec(select(ServiceKeyRow).where(col(ServiceKeyRow.name) == name)).all()
    return [_open(row, sealing_key) for row in _current_first(rows)]


def _current_first(rows: Sequence[ServiceKeyRow]) -> list[ServiceKeyRow]:
    return sorted(rows, key=lambda row: (row.state == KeyState.CURRENT, row.created_at), reverse=True)


def _new_values(sealing_key: SealingKey, name: str, kind: ServiceKeyKind, now: datetime) -> dict[str, Any]:
    """The columns of a new key, without its state."""
    private_pem = _generate(kind)
    public_jwk = public_jwk_of_pem(private_pem)
    kid, public_text = public_jwk["kid"], json.dumps(public_jwk, sort_keys=True)
    return {
        "kid": kid,
        "name": name,
        "kind": kind,
        "sealed": seal(sealing_key, _context(name, kid, public_text), private_pem),
        "public_jwk": public_text,
        "created_at": now,
        "signed_until": None,
    }


def _open(row: ServiceKeyRow, sealing_key: SealingKey) -> ServiceKey:
    context = _context(row.name, row.kid, row.public_jwk)
    return ServiceKey(
        name=row.name,
        kid=row.kid,
        kind=row.kind,
        state=row.state,
        created_at=row.created_at,
        signs_from=row.signs_from,
        signed_until=row.signed_until,
        public_jwk=json.loads(row.public_jwk),
        private_pem=open_sealed(sealing_key, context, row.sealed),
    )


def _context(name: str, kid: str, public_jwk: str) -> bytes:
    """Binds the public key too: an exchanged one would make us publish a stranger's key as ours."""
    return context_of("service-key@v1", name, kid, public_jwk)


def _generate(kind: ServiceKeyKind) -> bytes:
    key: EllipticCurvePrivateKey | Ed25519PrivateKey | RSAPrivateKey
    if kind == "ES256":
        key = generate_ec_key(SECP256R1())
    elif kind == "RS256":
        key = generate_rsa_key(_RSA_EXPONENT, _RSA_BITS)
    else:
        key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
