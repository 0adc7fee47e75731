"""Verification of an exported log: entries, tiles, root and signature (c2sp.org/tlog-tiles)."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from .faults import FalsifiedError, UncheckableError, VerifierKeyInvalidError
from .note import SignedHead, open_checkpoint, parse_vkey
from .tree import EMPTY_ROOT, hash_leaf, merkle_root

_WIDTH: Final = 256
_HASH_BYTES: Final = 32
_MAX_NOTE_BYTES: Final = 1_000_000
_MAX_BUNDLE_BYTES: Final = _WIDTH * (2 + 65_535)
_FORMAT: Final = "mydata-log-export@v1"
_EXIT_CODES: Final = {"verified": 0, "falsified": 1, "unchecked": 3}


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What came out. `place` and `reason` name the first thing that is wrong or missing.

    With `key_is_pinned` false the key came out of the export itself: the log is whole, but whose it is
    was not checked.
    """

    outcome: Literal["verified", "falsified", "unchecked"]
    head: SignedHead | None
    key_is_pinned: bool
    place: str | None = None
    reason: str | None = None

    @property
    def exit_code(self) -> int:
        """0 verified, 1 falsified, 3 could not check."""
        return _EXIT_CODES[self.outcome]

    def __str__(self) -> str:
        """The report as one line for people."""
        if self.head is None or self.outcome != "verified":
            return f"{self.outcome}: {self.place}: {self.reason}"
        key = "with the given key" if self.key_is_pinned else "with the export's own key"
        return f"verified: {self.head.size} entries of {self.head.origin}, root {self.head.root.hex()}, {key}"


def verify_export(path: Path | str, vkey: str | None = None) -> VerifyReport:
    """Check an exported log against the given verifier key, or against the one that lies in it.

    Raises VerifierKeyInvalidError if the given key is no verifier key; everything else is in the report.
    """
    if vkey is not None:
        parse_vkey(vkey)
    is_pinned = vkey is not None
    directory = Path(path)
    head = None
    try:
        head = _check_head(directory, vkey)
        _check_tree(directory, head)
    except FalsifiedError as fault:
        return VerifyReport("falsified", head, is_pinned, fault.place, fault.reason)
    except UncheckableError as fault:
        return VerifyReport("unchecked", head, is_pinned, fault.place, fault.reason)
    return VerifyReport("verified", head, is_pinned)


def _check_head(directory: Path, vkey: str | None) -> SignedHead:
    raw_vkey = _read(directory, "log.vkey", limit=_MAX_NOTE_BYTES)
    if vkey is not None and raw_vkey != f"{vkey}\n".encode():
        raise FalsifiedError("log.vkey", "it is not the given key")
    try:
        own_vkey = raw_vkey.decode().removesuffix("\n")
        key = parse_vkey(own_vkey)
    except (UnicodeDecodeError, VerifierKeyInvalidError):
        raise FalsifiedError("log.vkey", "it is not a verifier key") from None
    if raw_vkey != f"{own_vkey}\n".encode():
        raise FalsifiedError("log.vkey", "it does not end with its one line")
    head = open_checkpoint(_read(directory, "checkpoint", limit=_MAX_NOTE_BYTES), key)
    manifest = {
        "format": _FORMAT,
        "origin": head.origin,
        "root": head.root.hex(),
        "size": head.size,
        "vkey": own_vkey,
    }
    expected = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    if _read(directory, "manifest.json", limit=_MAX_NOTE_BYTES) != expected.encode():
        raise FalsifiedError("manifest.json", "it does not say what checkpoint and key say")
    return head


def _check_tree(directory: Path, head: SignedHead) -> None:
    """Hash every entry, build every tile again, and compare each with its file; at last the root."""
    levels: list[list[bytes]] = [[]]
    files = 0
    for n in range(-(-head.size // _WIDTH)):
        width = min(_WIDTH, head.size - n * _WIDTH)
        levels[0] = [hash_leaf(entry) for entry in _entries(directory, n, width)]
        _compare(directory, 0, n, levels[0])
        files += 2
        files += _carry(directory, levels, n)
    for level, hashes in enumerate(levels[1:], start=1):
        if hashes:
            _compare(directory, level, (head.size // _WIDTH**level) // _WIDTH, hashes)
            files += 1
    if _root(levels) != head.root:
        raise FalsifiedError("checkpoint", "its root is not the root of the entries")
    _check_nothing_else(directory, files)


def _carry(directory: Path, levels: list[list[bytes]], n: int) -> int:
    """Give a full tile's root to the level above, and so on while that fills a tile; the files compared."""
    files, level = 0, 0
    while len(levels[level]) == _WIDTH:
        if level + 1 == len(levels):
            levels.append([])
        levels[level + 1].append(merkle_root(levels[level]))
        levels[level] = []
        level += 1
        if len(levels[level]) == _WIDTH:
            n //= _WIDTH
            _compare(directory, level, n, levels[level])
            files += 1
    return files


def _root(levels: list[list[bytes]]) -> bytes:
    """The root of what each level has left over: what is smaller stands to the right."""
    root: list[bytes] = []
    for hashes in levels:
        nodes = [*hashes, *root]
        root = [merkle_root(nodes)] if nodes else []
    return root[0] if root else EMPTY_ROOT


def _entries(directory: Path, n: int, width: int) -> Iterator[bytes]:
    name = _name("entries", n, width)
    bundle = _read(directory, name, limit=_MAX_BUNDLE_BYTES)
    at = 0
    for _ in range(width):
        start = at + 2
        at = start + int.from_bytes(bundle[at:start], "big")
        if at > len(bundle) or start > len(bundle):
            raise FalsifiedError(name, "it ends inside an entry")
        yield bundle[start:at]
    if at != len(bundle):
        raise FalsifiedError(name, "something stands after its last entry")


def _compare(directory: Path, level: int, n: int, hashes: list[bytes]) -> None:
    name = _name(str(level), n, len(hashes))
    tile = _read(directory, name, limit=_WIDTH * _HASH_BYTES)
    if len(tile) != len(hashes) * _HASH_BYTES:
        raise FalsifiedError(name, f"it does not hold {len(hashes)} hashes")
    for place, expected in enumerate(hashes):
        if tile[place * _HASH_BYTES : (place + 1) * _HASH_BYTES] != expected:
            what = "entry" if level == 0 else "hash"
            raise FalsifiedError(name, f"{what} {n * _WIDTH + place} is not what this tile says")


def _check_nothing_else(directory: Path, files: int) -> None:
    found = sum(len(names) for _, _, names in os.walk(directory / "tile"))
    if found != files:
        raise FalsifiedError("tile", f"{found - files} files belong to no tree of this size")


def _name(kind: str, n: int, width: int) -> str:
    digits = str(n)
    while len(digits) % 3:
        digits = f"0{digits}"
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return f"tile/{kind}/{path}" if width == _WIDTH else f"tile/{kind}/{path}.p/{width}"


def _read(directory: Path, name: str, *, limit: int) -> bytes:
    path = directory / name
    try:
        if not path.is_file():
            raise UncheckableError(name, "there is no such file")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise UncheckableError(name, f"it cannot be read ({error.strerror})") from error
    if len(content) > limit:
        raise FalsifiedError(name, "it is too large")
    return content
