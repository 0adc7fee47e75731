"""The exported directory: all or nothing, never over something else, and the same bytes as the log serves."""

import json
from pathlib import Path

import pytest
from sqlmodel import col, delete

from consent.ledger.entries import append
from consent.ledger.errors import DirectoryNotEmptyError, LogDamagedError, NotInLogError
from consent.ledger.export import export_log
from consent.ledger.models import LedgerEntry
from consent.ledger.tiles import build_tiles, tile_bytes
from consent.ledger.verify import verify_export
from tests.consent.ledger.making import ORIGIN, export, fill, made_entry, made_key, sign
from tests.databases import Databases


def test_a_log_that_was_never_signed_is_not_exported(databases: Databases, tmp_path: Path) -> None:
    fill(databases.data, 1)
    with databases.data.read() as session, pytest.raises(NotInLogError):
        export_log(session, tmp_path / "log", vkey=made_key().vkey)
    assert not (tmp_path / "log").exists()


def test_a_directory_that_holds_something_is_left_alone(sqlite_databases: Databases, tmp_path: Path) -> None:
    directory = tmp_path / "log"
    directory.mkdir()
    (directory / "mine").write_text("mine")
    with pytest.raises(DirectoryNotEmptyError):
        export(sqlite_databases.data, made_key(), directory)
    assert [path.name for path in directory.iterdir()] == ["mine"]


def test_a_file_in_the_place_of_the_directory_is_left_alone(
    sqlite_databases: Databases, tmp_path: Path
) -> None:
    (tmp_path / "log").write_text("mine")
    with pytest.raises(NotADirectoryError):
        export(sqlite_databases.data, made_key(), tmp_path / "log")
    assert (tmp_path / "log").read_text() == "mine"


def test_an_export_that_fails_leaves_nothing_behind(sqlite_databases: Databases, tmp_path: Path) -> None:
    key, folder = made_key(), tmp_path / "exports"
    fill(sqlite_databases.data, 300)
    sign(sqlite_databases.data, key)
    with sqlite_databases.data.write() as session:
        session.exec(delete(LedgerEntry).where(col(LedgerEntry.idx) == 299))
    with sqlite_databases.data.read() as session, pytest.raises(LogDamagedError):
        export_log(session, folder / "log", vkey=key.vkey)
    assert list(folder.iterdir()) == []


def test_the_export_holds_the_log_of_its_checkpoint(databases: Databases, tmp_path: Path) -> None:
    key, directory = made_key(), tmp_path / "exports" / "log"
    fill(databases.data, 257)
    checkpoint = sign(databases.data, key)
    with databases.data.write() as session:
        append(session, [made_entry(number) for number in range(500)])  # not signed yet: not exported
        build_tiles(session)
    with databases.data.read() as session:
        exported = export_log(session, directory, vkey=key.vkey)
        files = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
        tiles = {name for name in files if name.startswith("tile/")}
        for name in tiles:
            assert (directory / name).read_bytes() == tile_bytes(session, name)
    assert exported.checkpoint == checkpoint
    assert exported.files == len(files)
    assert files - tiles == {"checkpoint", "log.vkey", "manifest.json"}
    assert tiles == {
        "tile/entries/000",
        "tile/entries/001.p/1",
        "tile/0/000",
        "tile/0/001.p/1",
        "tile/1/000.p/1",
    }
    assert (directory / "checkpoint").read_text() == checkpoint.note
    assert (directory / "log.vkey").read_text() == f"{key.vkey}\n"
    assert json.loads((directory / "manifest.json").read_bytes()) == {
        "format": "mydata-log-export@v1",
        "origin": ORIGIN,
        "root": checkpoint.root.hex(),
        "size": 257,
        "vkey": key.vkey,
    }
    assert [path.name for path in directory.parent.iterdir()] == ["log"]


def test_an_empty_directory_is_filled_and_an_empty_log_can_be_exported(
    sqlite_databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    key = made_key()
    export(sqlite_databases.data, key, Path("empty"))
    assert verify_export(tmp_path / "empty", key.vkey).exit_code == 0
