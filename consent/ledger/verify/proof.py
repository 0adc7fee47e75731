"""Proof that one entry is in a signed log (c2sp.org/tlog-proof, version 1), read strictly and verified."""

import re
from typing import Final

from .faults import FalsifiedError
from .note import SignedHead, decode_base64, open_checkpoint, parse_vkey
from .tree import hash_leaf, verify_inclusion

_HEADER: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")
_EXTRA: Final = "extra "
_HASH_BYTES: Final = 32
_PLACE: Final = "proof"


def verify_proof(raw_proof: bytes, entry: bytes, vkey: str) -> tuple[int, SignedHead]:
    """The index of the entry, and the signed head that the proof leads to.

    Raises FalsifiedError if the proof or its checkpoint does not hold, VerifierKeyInvalidError for a bad key.
    """
    key = parse_vkey(vkey)
    body, blank, note = raw_proof.partition(b"\n\n")
    try:
        lines = body.decode("ascii").split("\n")
    except UnicodeDecodeError:
        lines = []
    if not blank or not lines or lines.pop(0) != _HEADER:
        raise FalsifiedError(_PLACE, "it is not a tlog-proof of version 1")
    if lines and lines[0].startswith(_EXTRA) and decode_base64(lines.pop(0)[len(_EXTRA) :]) is None:
        raise FalsifiedError(_PLACE, "its extra line is not base64")
    index = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if index is None:
        raise FalsifiedError(_PLACE, "it has no index")
    path = [_hash(line) for line in lines]
    head = open_checkpoint(note, key)
    at = int(index[1])
    if not verify_inclusion(hash_leaf(entry), at, size=head.size, path=path, root=head.root):
        raise FalsifiedError(_PLACE, f"the entry is not at index {at} of the signed log")
    return at, head


def _hash(line: str) -> bytes:
    decoded = decode_base64(line)
    if decoded is None or len(decoded) != _HASH_BYTES:
        raise FalsifiedError(_PLACE, "a hash is not 32 bytes in base64")
    return decoded
