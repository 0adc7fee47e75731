"""Verifier keys, notes and checkpoints, read strictly (c2sp.org/signed-note, c2sp.org/tlog-checkpoint)."""

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from .ed25519 import verify_ed25519
from .faults import FalsifiedError, VerifierKeyInvalidError
from .tree import EMPTY_ROOT

_ED25519: Final = 0x01
_KEY_ID_BYTES: Final = 4
_PUBLIC_BYTES: Final = 33  # the algorithm's byte and the key
_ROOT_BYTES: Final = 32
_MAX_NAME: Final = 1024
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_SIGNATURE: Final = re.compile(r"\u2014 ([^ ]+) ([A-Za-z0-9+/=]+)")
_PLACE: Final = "checkpoint"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A log's public key under its name."""

    name: str
    key_id: bytes
    public: bytes


@dataclass(frozen=True, slots=True)
class SignedHead:
    """What a checkpoint says, and the key has signed."""

    origin: str
    size: int
    root: bytes


def parse_vkey(vkey: str) -> VerifierKey:
    """Read `name+keyid+base64(0x01 || key)`. Raises VerifierKeyInvalidError."""
    parts = vkey.split("+", 2)
    expected_parts = 3
    if len(parts) != expected_parts or not _is_name(parts[0]):
        raise VerifierKeyInvalidError
    name, key_id, encoded = parts
    public = decode_base64(encoded)
    if public is None or len(public) != _PUBLIC_BYTES or public[0] != _ED25519:
        raise VerifierKeyInvalidError
    expected = hashlib.sha256(name.encode() + b"\n" + public).digest()[:_KEY_ID_BYTES]
    if key_id != expected.hex():
        raise VerifierKeyInvalidError
    return VerifierKey(name, expected, public[1:])


def open_checkpoint(raw_note: bytes, key: VerifierKey) -> SignedHead:
    """The head in a checkpoint that this key signed. Raises FalsifiedError.

    Signatures of other keys are passed over; a bad one of this key is never.
    """
    text, signatures = _split_note(raw_note)
    is_signed = False
    for line in signatures:
        match = _SIGNATURE.fullmatch(line)
        signed = None if match is None else decode_base64(match[2])
        if match is None or signed is None or len(signed) <= _KEY_ID_BYTES or not _is_name(match[1]):
            raise FalsifiedError(_PLACE, "a signature line is malformed")
        if match[1] != key.name or signed[:_KEY_ID_BYTES] != key.key_id:
            continue
        if not verify_ed25519(key.public, signed[_KEY_ID_BYTES:], text.encode()):
            raise FalsifiedError(_PLACE, "the signature is not valid")
        is_signed = True
    if not is_signed:
        raise FalsifiedError(_PLACE, "it bears no signature of this key")
    return _read_head(text, key.name)


def decode_base64(encoded: str) -> bytes | None:
    """Standard base64 in its one canonical spelling, or None."""
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
    return decoded if base64.b64encode(decoded).decode("ascii") == encoded else None


def _split_note(raw_note: bytes) -> tuple[str, list[str]]:
    try:
        note = raw_note.decode()
    except UnicodeDecodeError:
        raise FalsifiedError(_PLACE, "it is not UTF-8") from None
    if any(character < " " and character != "\n" for character in note):
        raise FalsifiedError(_PLACE, "it holds control characters")
    text, blank, signatures = note.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise FalsifiedError(_PLACE, "it is not a signed note")
    return f"{text}\n", signatures[:-1].split("\n")


def _read_head(text: str, name: str) -> SignedHead:
    lines = text[:-1].split("\n")
    at_least = 3
    if len(lines) < at_least or "" in lines:
        raise FalsifiedError(_PLACE, "it has fewer than three lines, or an empty one")
    origin, size, encoded_root = lines[:at_least]  # lines after these are extensions (tlog-checkpoint)
    if origin != name:
        raise FalsifiedError(_PLACE, "its origin is not the name of the key")
    if _SIZE.fullmatch(size) is None:
        raise FalsifiedError(_PLACE, "its size is not a decimal number")
    root = decode_base64(encoded_root)
    if root is None or len(root) != _ROOT_BYTES:
        raise FalsifiedError(_PLACE, "its root is not 32 bytes in base64")
    if size == "0" and root != EMPTY_ROOT:
        raise FalsifiedError(_PLACE, "its root is not that of an empty tree")
    return SignedHead(origin, int(size), root)


def _is_name(name: str) -> bool:
    return 0 < len(name) <= _MAX_NAME and "+" not in name and not any(c.isspace() or c < " " for c in name)
