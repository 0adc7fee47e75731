"""Tiles and entry bundles of the log (c2sp.org/tlog-tiles): built when full, computed while partial.

A tile is 256 hashes of one level, a bundle the entries under a tile of level 0. Full hash tiles are kept
once they are built; whatever is asked for before that is computed from the entries, with the same bytes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from sqlalchemy import func, select
from sqlmodel import Session, col

from consent.ledger.entries import read_head
from consent.ledger.errors import LogDamagedError, NotInLogError
from consent.ledger.models import LedgerEntry, LedgerTile
from consent.ledger.once import insert_once
from consent.ledger.tree import HASH_BYTES, perfect_root

TILE_WIDTH: Final = 256
_TILE_HEIGHT: Final = 8  # levels of the tree in one level of tiles: 2^8 is the width
_ENTRIES: Final = "entries"
_PATH: Final = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True)
class TilePath:
    """Where a tile lies. `level` is None for an entry bundle; a `width` of 256 is a full tile."""

    level: int | None
    n: int
    width: int = TILE_WIDTH

    @classmethod
    def parse(cls, path: str) -> Self:
        """Read `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`. Raises NotInLogError otherwise."""
        match = _PATH.fullmatch(path)
        if match is None:
            raise NotInLogError
        level, groups, width = match.groups()
        parsed = cls(
            level=None if level == _ENTRIES else int(level),
            n=int(groups.replace("x", "").replace("/", "")),
            width=TILE_WIDTH if width is None else int(width),
        )
        if str(parsed) != path or parsed.width == 0:  # leading zeros, a width of 0 or over 255
            raise NotInLogError
        return parsed

    def __str__(self) -> str:
        """The path in its one canonical spelling: N in groups of three digits, all but the last with an x."""
        digits = str(self.n)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        *first, last = (digits[at : at + 3] for at in range(0, len(digits), 3))
        groups = "".join(f"x{group}/" for group in first) + last
        suffix = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{_ENTRIES if self.level is None else self.level}/{groups}{suffix}"


def tiles_of(size: int) -> Iterator[TilePath]:
    """Every tile and bundle of a tree of this size, level by level from the leaves up."""
    level, width = 0, size
    while width > 0:
        full, partial = divmod(width, TILE_WIDTH)
        kinds = (None, 0) if level == 0 else (level,)
        for kind in kinds:
            yield from (TilePath(kind, n) for n in range(full))
            if partial:
                yield TilePath(kind, full, partial)
        level, width = level + 1, full


def tile_bytes(session: Session, path: str) -> bytes:
    """The bytes of a tile or bundle, full or partial, of the committed log.

    Raises NotInLogError if the path is malformed or asks for more than the log has.
    """
    tile = TilePath.parse(path)
    size, _ = read_head(session)
    return read_tile(session, tile, size)


def read_tile(session: Session, tile: TilePath, size: int) -> bytes:
    """The bytes of a tile of the log at `size`. Raises NotInLogError if it does not lie in that tree."""
    level = tile.level or 0
    if tile.n * TILE_WIDTH + tile.width > size >> (_TILE_HEIGHT * level):
        raise NotInLogError
    if tile.level is None:
        return b"".join(_framed(leaf) for leaf in _column(session, "leaf", tile))
    return b"".join(_hashes(session, tile))


def build_tiles(session: Session, *, limit: int | None = None) -> int:
    """Keep every full hash tile that is not kept yet, at most `limit` of them; how many were built.

    Idempotent and resumable: each tile depends on committed entries alone, and two builders agree.
    """
    size, _ = read_head(session)
    built = 0
    for tile in _missing(session, size):
        if built == limit:
            break
        insert_once(session, LedgerTile, level=tile.level, n=tile.n, data=b"".join(_hashes(session, tile)))
        built += 1
    return built


class HashReader:
    """Roots of perfect subtrees out of tiles: the lookup of the tree's functions. Lives for one task."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._read: dict[TilePath, list[bytes]] = {}

    def lookup(self, level: int, index: int) -> bytes:
        """The root over the leaves [index * 2^level, (index + 1) * 2^level), which must be in the log."""
        tile_level, height = divmod(level, _TILE_HEIGHT)
        n, start = divmod(index << height, TILE_WIDTH)
        end = start + (1 << height)
        tile = TilePath(tile_level, n, end)
        if tile not in self._read:
            self._read[tile] = _hashes(self._session, tile)
        return perfect_root(self._read[tile][start:end])


def _missing(session: Session, size: int) -> Iterator[TilePath]:
    level, full = 0, size // TILE_WIDTH
    while full > 0:
        last = session.scalar(select(func.max(col(LedgerTile.n))).where(col(LedgerTile.level) == level))
        yield from (TilePath(level, n) for n in range(0 if last is None else last + 1, full))
        level, full = level + 1, full // TILE_WIDTH


def _hashes(session: Session, tile: TilePath) -> list[bytes]:
    level = tile.level or 0
    stored = session.scalar(
        select(col(LedgerTile.data)).where(col(LedgerTile.level) == level, col(LedgerTile.n) == tile.n)
    )
    if stored is not None:
        if len(stored) != TILE_WIDTH * HASH_BYTES:
            raise LogDamagedError(str(tile))
        return [stored[at : at + HASH_BYTES] for at in range(0, tile.width * HASH_BYTES, HASH_BYTES)]
    if level == 0:
        return _column(session, "leaf_hash", tile)
    first = tile.n * TILE_WIDTH
    return [perfect_root(_hashes(session, TilePath(level - 1, first + place))) for place in range(tile.width)]


def _column(session: Session, name: str, tile: TilePath) -> list[bytes]:
    """One column of the entries under a tile of level 0, in their order and without a gap."""
    first = tile.n * TILE_WIDTH
    index = col(LedgerEntry.idx)
    column = col(LedgerEntry.leaf) if name == "leaf" else col(LedgerEntry.leaf_hash)
    statement = select(column).where(index >= first, index < first + tile.width).order_by(index)
    values = list(session.scalars(statement))
    if len(values) != tile.width:
        raise LogDamagedError(str(tile))
    return values


def _framed(leaf: bytes) -> bytes:
    return len(leaf).to_bytes(2, "big") + leaf
