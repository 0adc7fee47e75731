"""Tiles: their paths, their bytes at every edge of a tile, and building them in any number of steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session, col, delete, select, update

from broker.db import Database
from consent.ledger.entries import read_head
from consent.ledger.errors import LogDamagedError, NotInLogError
from consent.ledger.models import LedgerEntry, LedgerTile
from consent.ledger.tiles import HashReader, TilePath, build_tiles, tile_bytes, tiles_of
from consent.ledger.tree import frontier_at, leaf_hash, perfect_root, root, root_at
from tests.consent.ledger.making import fill, fill_fast, made_entry
from tests.databases import Databases

MALFORMED = [
    "",
    "tile",
    "tile/0",
    "tile/0/",
    "tile/0/0",
    "tile/0/0000",
    "tile/0/1000",
    "tile/0/x000/000",
    "tile/0/x001",
    "tile/0/x001/",
    "tile/0/001/234",
    "tile/0/X001/234",
    "tile/00/000",
    "tile/01/000",
    "tile/-1/000",
    "tile/100/000",
    "tile/data/000",
    "tile/0/000.p",
    "tile/0/000.p/",
    "tile/0/000.p/0",
    "tile/0/000.p/01",
    "tile/0/000.p/256",
    "tile/0/000.p/999",
    "tile/0/000.p/1/",
    "tile/0/000\n",
    "/tile/0/000",
    "tile/0/../000",
    "tile/0/٠٠٠",
    "tile/0/" + "x001/" * 7 + "000",
]


def hashes_of(count: int) -> list[bytes]:
    return [leaf_hash(made_entry(number).leaf()) for number in range(count)]


@pytest.mark.parametrize("path", MALFORMED)
def test_a_malformed_path_is_in_no_log(path: str, sqlite_databases: Databases) -> None:
    with sqlite_databases.data.read() as session, pytest.raises(NotInLogError):
        tile_bytes(session, path)


@pytest.mark.parametrize(
    ("n", "path"),
    [
        (0, "tile/0/000"),
        (999, "tile/0/999"),
        (1000, "tile/0/x001/000"),
        (1_000_000, "tile/0/x001/x000/000"),
        (1_234_067, "tile/0/x001/x234/067"),
    ],
)
def test_paths_at_the_edges_of_their_groups(n: int, path: str) -> None:
    assert str(TilePath(0, n)) == path
    assert TilePath.parse(path) == TilePath(0, n)


@given(st.one_of(st.none(), st.integers(0, 63)), st.integers(0, 10**18 - 1), st.integers(1, 256))
def test_a_path_is_read_as_it_is_written(level: int | None, n: int, width: int) -> None:
    tile = TilePath(level, n, width)
    assert TilePath.parse(str(tile)) == tile


@pytest.mark.parametrize(
    ("size", "paths"),
    [
        (0, []),
        (1, ["tile/entries/000.p/1", "tile/0/000.p/1"]),
        (2, ["tile/entries/000.p/2", "tile/0/000.p/2"]),
        (255, ["tile/entries/000.p/255", "tile/0/000.p/255"]),
        (256, ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]),
        (
            257,
            ["tile/entries/000", "tile/entries/001.p/1", "tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"],
        ),
    ],
)
def test_the_tiles_of_small_trees(size: int, paths: list[str]) -> None:
    assert [str(tile) for tile in tiles_of(size)] == paths


@pytest.mark.parametrize(
    ("size", "count", "top"),
    [
        (65_535, 256 + 1, "tile/1/000.p/255"),
        (65_536, 256 + 2, "tile/2/000.p/1"),
        (65_537, 257 + 2, "tile/2/000.p/1"),
        (256**3, 256**2 + 256 + 1 + 1, "tile/3/000.p/1"),
    ],
)
def test_the_tiles_of_large_trees(size: int, count: int, top: str) -> None:
    tiles = [tile for tile in tiles_of(size) if tile.level is not None]
    assert len(tiles) == count
    assert str(tiles[-1]) == top


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 511, 512, 513])
@pytest.mark.parametrize("is_built", [True, False])
def test_tiles_hold_the_hashes_of_the_entries(
    size: int, *, is_built: bool, sqlite_databases: Databases
) -> None:
    database = sqlite_databases.data
    fill(database, size)
    if is_built:
        with database.write() as session:
            assert build_tiles(session) == size // 256
    hashes = hashes_of(size)
    with database.read() as session:
        for tile in tiles_of(size):
            content = tile_bytes(session, str(tile))
            inside = hashes[tile.n * 256 : tile.n * 256 + tile.width]
            if tile.level == 0:
                assert content == b"".join(inside)
            elif tile.level == 1:
                assert content == b"".join(
                    perfect_root(hashes[at * 256 : (at + 1) * 256]) for at in range(tile.width)
                )
        reader = HashReader(session)
        assert frontier_at(reader.lookup, size) == read_head(session)[1]
        for old_size in range(0, size, 37):
            assert root_at(reader.lookup, old_size) == root_at(HashReader(session).lookup, old_size)


def test_a_bundle_holds_the_entries_with_their_lengths(databases: Databases) -> None:
    fill(databases.data, 3)
    leaves = [made_entry(number).leaf() for number in range(3)]
    with databases.data.read() as session:
        framed = [len(leaf).to_bytes(2, "big") + leaf for leaf in leaves]
        assert tile_bytes(session, "tile/entries/000.p/3") == b"".join(framed)
        assert tile_bytes(session, "tile/entries/000.p/2") == b"".join(framed[:2])


def test_a_tile_is_served_in_every_width_that_the_log_has_had(sqlite_databases: Databases) -> None:
    fill(sqlite_databases.data, 300)
    hashes = hashes_of(300)
    with sqlite_databases.data.write() as session:
        build_tiles(session)
        for width in (1, 44):
            assert tile_bytes(session, f"tile/0/000.p/{width}") == b"".join(hashes[:width])
            assert tile_bytes(session, f"tile/0/001.p/{width}") == b"".join(hashes[256 : 256 + width])
        for path in ("tile/0/001.p/45", "tile/0/001", "tile/0/002.p/1", "tile/1/000", "tile/1/000.p/2"):
            with pytest.raises(NotInLogError):
                tile_bytes(session, path)
        for path in ("tile/2/000.p/1", "tile/99/000.p/1", "tile/entries/001.p/45", "tile/entries/001"):
            with pytest.raises(NotInLogError):
                tile_bytes(session, path)


def stored(session: Session) -> dict[tuple[int, int], bytes]:
    return {(tile.level, tile.n): tile.data for tile in session.exec(select(LedgerTile))}


def test_tiles_are_built_once_and_in_any_number_of_steps(databases: Databases) -> None:
    fill(databases.data, 1100)
    with databases.data.write() as session:
        assert build_tiles(session, limit=0) == 0
        assert build_tiles(session, limit=3) == 3
    with databases.data.write() as session:
        assert build_tiles(session, limit=3) == 1
        assert build_tiles(session) == 0
    hashes = hashes_of(1100)
    with databases.data.read() as session:
        assert stored(session) == {(0, n): b"".join(hashes[n * 256 : (n + 1) * 256]) for n in range(4)}


def test_two_builders_build_the_same_tile_once(databases: Databases) -> None:
    fill(databases.data, 256)
    with databases.data.write() as session:
        build_tiles(session)
        before = stored(session)
        session.exec(delete(LedgerTile))
    with databases.data.write() as session:
        build_tiles(session)
        assert stored(session) == before


def test_a_missing_entry_is_noticed(sqlite_databases: Databases) -> None:
    fill(sqlite_databases.data, 300)
    with sqlite_databases.data.write() as session:
        session.exec(delete(LedgerEntry).where(col(LedgerEntry.idx) == 7))
        for path in ("tile/0/000", "tile/entries/000", "tile/0/000.p/8", "tile/1/000.p/1"):
            with pytest.raises(LogDamagedError):
                tile_bytes(session, path)
        with pytest.raises(LogDamagedError):
            build_tiles(session)
        assert tile_bytes(session, "tile/0/000.p/7") == b"".join(hashes_of(7))


def test_a_stored_tile_of_another_length_is_noticed(sqlite_databases: Databases) -> None:
    fill(sqlite_databases.data, 256)
    with sqlite_databases.data.write() as session:
        build_tiles(session)
        session.exec(update(LedgerTile).values(data=b"short"))
        with pytest.raises(LogDamagedError):
            tile_bytes(session, "tile/0/000")


@pytest.mark.slow
def test_two_levels_of_tiles(sqlite_databases: Databases) -> None:
    database: Database = sqlite_databases.data
    fill_fast(database, 65_537)
    with database.read() as session:
        size, frontier = read_head(session)
        assert root_at(HashReader(session).lookup, size) == root(size, frontier)  # nothing is built yet
    with database.write() as session:
        assert build_tiles(session) == 257
    with database.read() as session:
        whole = tile_bytes(session, "tile/2/000.p/1")
        assert whole == perfect_root(
            tile_bytes(session, "tile/1/000")[at : at + 32] for at in range(0, 8192, 32)
        )
        reader = HashReader(session)
        assert frontier_at(reader.lookup, size) == frontier
        assert root_at(reader.lookup, 65_536) == whole
