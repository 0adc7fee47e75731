"""The log as a directory that anybody can verify without us: checkpoint, tiles, bundles, verifier key."""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlmodel import Session

from consent.ledger.checkpoint import newest_checkpoint
from consent.ledger.errors import DirectoryNotEmptyError, NotInLogError
from consent.ledger.notes import Checkpoint
from consent.ledger.tiles import read_tile, tiles_of

EXPORT_FORMAT: Final = "mydata-log-export@v1"


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote."""

    checkpoint: Checkpoint
    files: int


def export_log(session: Session, directory: Path, *, vkey: str) -> Exported:
    """Write the log under its newest checkpoint into a directory that is not there yet, or is empty.

    All or nothing: it is written beside the directory and renamed. Streams, one tile in memory at a time.
    Raises DirectoryNotEmptyError, NotInLogError if nothing is signed yet, OSError.
    """
    checkpoint = newest_checkpoint(session)
    if checkpoint is None:
        raise NotInLogError
    target = directory.resolve()
    if target.exists() and any(target.iterdir()):
        raise DirectoryNotEmptyError(str(directory))
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        files = _write_all(session, unfinished, checkpoint=checkpoint, vkey=vkey)
        unfinished.replace(target)  # over an empty directory too; one that was filled meanwhile makes it fail
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # gone already if it became the target
    _sync(target.parent)
    return Exported(checkpoint, files)


def manifest(checkpoint: Checkpoint, vkey: str) -> bytes:
    """What the directory holds, in words a program can read. Fixed bytes: a verifier rebuilds them."""
    content = {
        "format": EXPORT_FORMAT,
        "origin": checkpoint.origin,
        "root": checkpoint.root.hex(),
        "size": checkpoint.size,
        "vkey": vkey,
    }
    return f"{json.dumps(content, indent=2, sort_keys=True)}\n".encode()


def _write_all(session: Session, directory: Path, *, checkpoint: Checkpoint, vkey: str) -> int:
    _write(directory / "checkpoint", checkpoint.note.encode())
    _write(directory / "log.vkey", f"{vkey}\n".encode())
    _write(directory / "manifest.json", manifest(checkpoint, vkey))
    files = 3
    for tile in tiles_of(checkpoint.size):
        _write(directory / str(tile), read_tile(session, tile, checkpoint.size))
        files += 1
    return files


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
