"""The broker's own private keys (access to the outside, receipts, the log): made once, stored sealed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlmodel import Session, col, select

from vault.insert import insert_if_absent
from vault.jose import public_jwk_of_pem
from vault.keys.models import ServiceKeyRow
from vault.seal import SealingKey, context_of, open_sealed, seal

ServiceKeyKind = Literal["ES256", "Ed25519"]

_CURRENT: Final = "current"


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A private key of the broker. `public_jwk` bears kid, use and alg; the PEM is PKCS#8, in no repr."""

    name: str
    kid: str
    kind: str
    state: str
    created_at: datetime
    public_jwk: dict[str, Any]
    private_pem: bytes = field(repr=False)


def make_service_key(
    session: Session, sealing_key: SealingKey, name: str, *, kind: ServiceKeyKind, now: datetime
) -> None:
    """Make and store a current key of this name, unless there is one."""
    private_pem = _generate(kind)
    public_jwk = public_jwk_of_pem(private_pem)
    kid, public_text = public_jwk["kid"], json.dumps(public_jwk, sort_keys=True)
    values = {
        "kid": kid,
        "name": name,
        "kind": kind,
        "state": _CURRENT,
        "sealed": seal(sealing_key, _context(name, kid, public_text), private_pem),
        "public_jwk": public_text,
        "created_at": now,
    }
    insert_if_absent(session, ServiceKeyRow, values)


def read_service_keys(session: Session, sealing_key: SealingKey, name: str) -> list[ServiceKey]:
    """Every key of this name: the current one, then the retired ones, newest first."""
    rows = session.exec(select(ServiceKeyRow).where(col(ServiceKeyRow.name) == name)).all()
    return [_open(row, sealing_key) for row in _current_first(rows)]


def _current_first(rows: Sequence[ServiceKeyRow]) -> list[ServiceKeyRow]:
    return sorted(rows, key=lambda row: (row.state == _CURRENT, row.created_at), reverse=True)


def _open(row: ServiceKeyRow, sealing_key: SealingKey) -> ServiceKey:
    context = _context(row.name, row.kid, row.public_jwk)
    return ServiceKey(
        name=row.name,
        kid=row.kid,
        kind=row.kind,
        state=row.state,
        created_at=row.created_at,
        public_jwk=json.loads(row.public_jwk),
        private_pem=open_sealed(sealing_key, context, row.sealed),
    )


def _context(name: str, kid: str, public_jwk: str) -> bytes:
    """Binds the public key too: an exchanged one would make us publish a stranger's key as ours."""
    return context_of("service-key@v1", name, kid, public_jwk)


def _generate(kind: ServiceKeyKind) -> bytes:
    key = generate_ec_key(SECP256R1()) if kind == "ES256" else Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
