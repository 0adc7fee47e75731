"""Signing the head of the log (c2sp.org/tlog-checkpoint, c2sp.org/signed-note, Ed25519).

There is one note for a size, for ever, and none is signed by a log that does not continue the newest:
a restored or edited database is refused, by its own checkpoints and by the anchor outside it.
"""

import base64
import hashlib
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from sqlalchemy import select
from sqlmodel import Session, col

from consent.ledger.anchor import read_anchor
from consent.ledger.entries import read_head
from consent.ledger.errors import (
    AnchorInvalidError,
    LogDamagedError,
    LogForkError,
    LogKeyInvalidError,
    NoteInvalidError,
)
from consent.ledger.models import LedgerCheckpoint
from consent.ledger.notes import Checkpoint, checkpoint_text, signature_line
from consent.ledger.once import insert_once
from consent.ledger.tiles import HashReader
from consent.ledger.tree import frontier_at, root, root_at

_ED25519: Final = b"\x01"  # the algorithm's byte in key ids and verifier keys (signed-note)
_KEY_ID_BYTES: Final = 4


class NoteKey:
    """The log's Ed25519 signing key under its name, which is the log's origin (tlog-checkpoint).

    Raises LogKeyInvalidError for another kind of key, and for an origin that is empty or has a plus,
    white space or control characters in it.
    """

    def __init__(self, private_pem: bytes, origin: str) -> None:
        if not origin or "+" in origin or not origin.isprintable() or any(map(str.isspace, origin)):
            raise LogKeyInvalidError
        try:
            key = load_pem_private_key(private_pem, password=None)
        except (ValueError, TypeError) as error:
            raise LogKeyInvalidError from error
        if not isinstance(key, Ed25519PrivateKey):
            raise LogKeyInvalidError
        self.origin = origin
        self._key = key
        self._public = _ED25519 + key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._key_id = hashlib.sha256(origin.encode() + b"\n" + self._public).digest()[:_KEY_ID_BYTES]

    def __repr__(self) -> str:
        """Name and key id; the key itself is never shown."""
        return f"NoteKey({self.origin!r}, {self._key_id.hex()})"

    @property
    def vkey(self) -> str:
        """The verifier key: name, key id and public key, joined by plus signs (signed-note)."""
        return f"{self.origin}+{self._key_id.hex()}+{base64.b64encode(self._public).decode('ascii')}"

    def sign(self, size: int, tree_root: bytes) -> Checkpoint:
        """A checkpoint of this head, with one signature line."""
        text = checkpoint_text(self.origin, size, tree_root)
        line = signature_line(self.origin, self._key_id, self._key.sign(text.encode()))
        return Checkpoint(self.origin, size, tree_root, f"{text}\n{line}")

    def check(self, checkpoint: Checkpoint) -> None:
        """Raises NoteInvalidError unless this key signed the checkpoint."""
        text = checkpoint.text.encode()
        for signed in checkpoint.signatures(self.origin):
            if signed[:_KEY_ID_BYTES] == self._key_id:
                try:
                    self._key.public_key().verify(signed[_KEY_ID_BYTES:], text)
                except InvalidSignature as error:
                    raise NoteInvalidError from error
                return
        raise NoteInvalidError


def newest_checkpoint(session: Session) -> Checkpoint | None:
    """The checkpoint of the largest signed size, or None before the first."""
    statement = select(col(LedgerCheckpoint.note)).order_by(col(LedgerCheckpoint.size).desc()).limit(1)
    note = session.connection().execute(statement).scalar_one_or_none()
    return None if note is None else Checkpoint.parse(note)


def sign_head(session: Session, key: NoteKey, *, now: datetime, anchor: Path | None = None) -> Checkpoint:
    """The checkpoint of the committed head, signed unless its size was signed before.

    Give it a writing session of its own; once that has committed, the caller writes the anchor
    (`write_anchor`) and publishes. Raises LogForkError if the log does not continue its newest checkpoint
    or the anchor, AnchorInvalidError if the anchor is not this key's, and LogDamagedError if head and
    entries differ.
    """
    if anchor is not None:
        check_anchor(session, key, anchor)
    # before the head is read: another signer may be ahead of us, and a head never is behind what was signed
    newest = newest_checkpoint(session)
    size, frontier = read_head(session)
    if newest is not None:
        _check_continues(session, newest, origin=key.origin)
    if frontier_at(HashReader(session).lookup, size) != frontier:
        raise LogDamagedError("the head")
    signed = key.sign(size, root(size, frontier))
    insert_once(session, LedgerCheckpoint, size=size, note=signed.note, signed_at=now)
    stored = select(col(LedgerCheckpoint.note)).where(col(LedgerCheckpoint.size) == size)
    return Checkpoint.parse(session.connection().execute(stored).scalar_one())


def check_anchor(session: Session, key: NoteKey, path: Path) -> Checkpoint | None:
    """Start-up: the log must continue the checkpoint in the anchor file. None if there is no anchor yet.

    Raises AnchorInvalidError if the file is not a checkpoint signed by this key, LogForkError if the log
    is behind it or another one. The session must be a fresh one: the file is read before the head.
    """
    anchored = read_anchor(path)
    if anchored is None:
        return None
    try:
        key.check(anchored)
    except NoteInvalidError as error:
        raise AnchorInvalidError from error
    _check_continues(session, anchored, origin=key.origin)
    return anchored


def _check_continues(session: Session, signed: Checkpoint, *, origin: str) -> None:
    size, _ = read_head(session)
    if signed.origin != origin or signed.size > size:
        raise LogForkError(signed.size, size)
    if root_at(HashReader(session).lookup, signed.size) != signed.root:
        raise LogForkError(signed.size, size)
