"""An exported log: whole at every edge of a tile, and falsified by one byte in any of its files."""

import json
import os
import shutil
from pathlib import Path

import pytest

from broker.db import Database
from consent.ledger.tiles import build_tiles
from consent.ledger.tree import leaf_hash
from consent.ledger.verify import VerifierKeyInvalidError, verify_export
from tests.consent.ledger.making import ORIGIN, export, fill, fill_fast, fixed_key, made_entry, made_key, sign
from tests.databases import Databases

KEY = fixed_key()


@pytest.fixture
def exported(sqlite_databases: Databases, tmp_path: Path) -> Path:
    """A log of 513 entries: two full tiles, a partial one, a second level."""
    fill(sqlite_databases.data, 513)
    return export(sqlite_databases.data, KEY, tmp_path / "log")


def flip(path: Path, at: int, mask: int = 1) -> bytes:
    """Change one byte and tell what was there before."""
    before = path.read_bytes()
    changed = bytearray(before)
    changed[at] ^= mask
    path.write_bytes(changed)
    return before


@pytest.mark.parametrize("name", ["checkpoint", "log.vkey", "manifest.json"])
@pytest.mark.parametrize("vkey", [KEY.vkey, None], ids=["given", "own"])
def test_one_byte_of_a_small_file(name: str, vkey: str | None, exported: Path) -> None:
    path = exported / name
    for at in range(0, path.stat().st_size, 7):
        for mask in (1, 0x20, 0x80):
            before = flip(path, at, mask)
            assert verify_export(exported, vkey).exit_code == 1, (at, mask)
            path.write_bytes(before)
    assert verify_export(exported, vkey).exit_code == 0


@pytest.mark.parametrize(
    "name",
    [
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002.p/1",
        "tile/0/000",
        "tile/0/001",
        "tile/0/002.p/1",
        "tile/1/000.p/2",
    ],
)
def test_one_byte_of_a_tile_or_a_bundle(name: str, exported: Path) -> None:
    path = exported / name
    size = path.stat().st_size
    for at in {0, 1, 2, size // 2, size - 2, size - 1, *range(3, size, 1 + size // 6)} & set(range(size)):
        before = flip(path, at)
        report = verify_export(exported, KEY.vkey)
        assert report.exit_code == 1
        assert report.place is not None
        assert report.place.rpartition("/")[2] == path.name  # the bundle, or the tile that contradicts it
        path.write_bytes(before)


@pytest.mark.parametrize("change", ["cut", "append", "empty"])
def test_a_file_of_another_length(change: str, exported: Path) -> None:
    for path in [path for path in exported.rglob("*") if path.is_file()]:
        before = path.read_bytes()
        path.write_bytes({"cut": before[:-1], "append": before + b"\n", "empty": b""}[change])
        assert verify_export(exported, KEY.vkey).exit_code == 1, path
        path.write_bytes(before)


def test_a_file_that_is_missing_cannot_be_checked(exported: Path) -> None:
    for path in [path for path in exported.rglob("*") if path.is_file()]:
        aside = path.with_name("aside")
        path.rename(aside)
        report = verify_export(exported, KEY.vkey)
        assert report.exit_code == 3
        assert report.place == str(path.relative_to(exported))
        aside.rename(path)


def test_what_cannot_be_read_cannot_be_checked(tmp_path: Path) -> None:
    assert verify_export(tmp_path / "nothing").exit_code == 3
    (tmp_path / "file").write_text("")
    assert verify_export(tmp_path / "file").exit_code == 3
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "log.vkey").write_text(f"{KEY.vkey}\n")
    report = verify_export(tmp_path)
    assert (report.exit_code, report.place) == (3, "checkpoint")
    assert verify_export(tmp_path / ("x" * 300)).exit_code == 3


def test_a_file_too_many_is_no_part_of_the_log(exported: Path) -> None:
    (exported / "tile" / "entries" / "003").write_bytes(b"")
    report = verify_export(exported, KEY.vkey)
    assert (report.exit_code, report.place) == (1, "tile")


def test_another_key_than_the_one_that_was_given(exported: Path) -> None:
    report = verify_export(exported, made_key().vkey)
    assert (report.exit_code, report.place) == (1, "log.vkey")
    with pytest.raises(VerifierKeyInvalidError):
        verify_export(exported, "no key")


@pytest.mark.parametrize(
    "content",
    [b"\xff\n", b"no key\n", KEY.vkey.encode(), KEY.vkey.encode() + b"\n\n", KEY.vkey.encode() + b"\r\n"],
)
def test_an_own_key_that_is_none(content: bytes, exported: Path) -> None:
    (exported / "log.vkey").write_bytes(content)
    report = verify_export(exported)
    assert (report.exit_code, report.place) == (1, "log.vkey")


def test_a_file_that_is_far_too_large_is_not_read_to_its_end(exported: Path) -> None:
    os.truncate(exported / "tile/0/000", 1 << 40)
    report = verify_export(exported, KEY.vkey)
    assert (report.exit_code, report.reason) == (1, "it is too large")


def test_entries_in_another_order_are_noticed(exported: Path) -> None:
    bundle = exported / "tile/entries/000"
    content = bundle.read_bytes()
    length = 2 + int.from_bytes(content[:2], "big")
    second = 2 + int.from_bytes(content[length : length + 2], "big")
    bundle.write_bytes(content[length : length + second] + content[:length] + content[length + second :])
    report = verify_export(exported, KEY.vkey)
    assert (report.place, report.reason) == ("tile/0/000", "entry 0 is not what this tile says")


def test_an_edit_carried_through_all_tiles_meets_the_signed_root(
    sqlite_databases: Databases, tmp_path: Path
) -> None:
    """Somebody who rewrites every hash still cannot sign: only the root tells."""
    fill(sqlite_databases.data, 2)
    directory = export(sqlite_databases.data, KEY, tmp_path / "log")
    leaves = [made_entry(0).leaf().replace(b"hanbit", b"other!"), made_entry(1).leaf()]
    (directory / "tile/entries/000.p/2").write_bytes(
        b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)
    )
    (directory / "tile/0/000.p/2").write_bytes(b"".join(leaf_hash(leaf) for leaf in leaves))
    report = verify_export(directory, KEY.vkey)
    assert (report.exit_code, report.place) == (1, "checkpoint")
    assert str(report) == "falsified: checkpoint: its root is not the root of the entries"


def test_a_log_signed_anew_by_another_key_is_another_log(sqlite_databases: Databases, tmp_path: Path) -> None:
    """Without a key from elsewhere an export vouches for itself; the report says so."""
    fill(sqlite_databases.data, 1)
    directory = export(sqlite_databases.data, made_key(), tmp_path / "log")
    own = verify_export(directory)
    assert (own.exit_code, own.key_is_pinned) == (0, False)
    assert str(own).endswith("with the export's own key")
    assert verify_export(directory, KEY.vkey).exit_code == 1


def test_the_manifest_must_say_what_was_signed(exported: Path) -> None:
    manifest = json.loads((exported / "manifest.json").read_bytes())
    (exported / "manifest.json").write_text(
        json.dumps(manifest | {"size": 512}, indent=2, sort_keys=True) + "\n"
    )
    assert verify_export(exported, KEY.vkey).place == "manifest.json"


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 513])
def test_a_log_of_any_size_is_whole(size: int, sqlite_databases: Databases, tmp_path: Path) -> None:
    fill(sqlite_databases.data, size)
    report = verify_export(export(sqlite_databases.data, KEY, tmp_path / "log"), KEY.vkey)
    assert (report.exit_code, report.outcome, report.key_is_pinned) == (0, "verified", True)
    assert report.head is not None
    assert report.head.size == size
    assert str(report).startswith(
        f"verified: {size} entries of {ORIGIN}, root {report.head.root.hex()}, with the given"
    )


def test_a_log_on_either_database_is_whole(databases: Databases, tmp_path: Path) -> None:
    fill(databases.data, 300)
    with databases.data.write() as session:
        build_tiles(session)
    assert verify_export(export(databases.data, KEY, tmp_path / "log"), KEY.vkey).exit_code == 0


def test_a_second_level_that_is_full(sqlite_databases: Databases, tmp_path: Path) -> None:
    fill_fast(sqlite_databases.data, 65_536)
    with sqlite_databases.data.write() as session:
        build_tiles(session)
    directory = export(sqlite_databases.data, KEY, tmp_path / "log")
    report = verify_export(directory, KEY.vkey)
    assert (report.exit_code, str(report).split(" ")[1]) == (0, "65536")
    flip(directory / "tile/1/000", 8000)
    assert verify_export(directory, KEY.vkey).place == "tile/1/000"


@pytest.mark.slow
def test_sizes_around_a_full_second_level(sqlite_databases: Databases, tmp_path: Path) -> None:
    database: Database = sqlite_databases.data
    fill_fast(database, 65_534)
    for size in (65_535, 65_536, 65_537):
        fill_fast(database, 1)
        with database.write() as session:
            build_tiles(session)
        directory = export(database, KEY, tmp_path / str(size))
        report = verify_export(directory, KEY.vkey)
        assert (report.exit_code, str(report).split(" ")[1]) == (0, str(size))
        shutil.rmtree(directory)
    assert sign(database, KEY).size == 65_537
