"""The text of a checkpoint (c2sp.org/tlog-checkpoint) in a signed note (c2sp.org/signed-note)."""

import base64
import binascii
from dataclasses import dataclass
from typing import Final, Self

from consent.ledger.errors import NoteInvalidError
from consent.ledger.tree import HASH_BYTES

_SIGNATURE_PREFIX: Final = "\u2014 "  # em dash and space (signed-note)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed head: `note` is the whole signed text, `root` is 32 bytes."""

    origin: str
    size: int
    root: bytes
    note: str

    @classmethod
    def parse(cls, note: str) -> Self:
        """Read a note in the one spelling that we write. Raises NoteInvalidError; no signature is checked."""
        try:
            text, signatures = note.split("\n\n")
            origin, size, encoded_root = text.split("\n")
            parsed = cls(origin, int(size), base64.b64decode(encoded_root, validate=True), note)
        except ValueError as error:
            raise NoteInvalidError from error
        if parsed.text != f"{text}\n" or parsed.size < 0 or len(parsed.root) != HASH_BYTES:
            raise NoteInvalidError
        if not signatures.startswith(_SIGNATURE_PREFIX) or not signatures.endswith("\n"):
            raise NoteInvalidError
        return parsed

    @property
    def text(self) -> str:
        """The part that is signed, with its last newline."""
        return checkpoint_text(self.origin, self.size, self.root)

    def signatures(self, name: str) -> list[bytes]:
        """What stands in the signature lines of this name: four bytes of key id, then the signature."""
        prefix = f"{_SIGNATURE_PREFIX}{name} "
        lines = self.note.partition("\n\n")[2].splitlines()
        try:
            return [
                base64.b64decode(line.removeprefix(prefix), validate=True)
                for line in lines
                if line.startswith(prefix)
            ]
        except binascii.Error as error:
            raise NoteInvalidError from error


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """Origin, size and root, each on its line."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode('ascii')}\n"


def signature_line(name: str, key_id: bytes, signature: bytes) -> str:
    """One signature line of a note."""
    return f"{_SIGNATURE_PREFIX}{name} {base64.b64encode(key_id + signature).decode('ascii')}\n"
