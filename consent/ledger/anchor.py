"""The anchor: the newest checkpoint in a file outside the database: it shows that a database was restored."""

import fcntl
import os
from pathlib import Path
from typing import Final

from consent.ledger.errors import AnchorInvalidError, NoteInvalidError
from consent.ledger.notes import Checkpoint

_MAX_BYTES: Final = 65_536


def write_anchor(path: Path, note: str) -> None:
    """Put a committed checkpoint into the anchor file, durably; an anchor of a larger log stays.

    Raises AnchorInvalidError if the file there is no checkpoint, OSError if it cannot be written.
    """
    size = Checkpoint.parse(note).size
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)  # two signers must not put the older anchor last
        present = read_anchor(path)
        if present is None or present.size < size:
            _replace(path, note.encode())
            os.fsync(directory)
    finally:
        os.close(directory)


def read_anchor(path: Path) -> Checkpoint | None:
    """The checkpoint in the anchor file, its signature unchecked; None if there is no file yet."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES)
    except FileNotFoundError:
        return None
    try:
        return Checkpoint.parse(raw.decode())
    except (UnicodeDecodeError, NoteInvalidError) as error:
        raise AnchorInvalidError from error


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
