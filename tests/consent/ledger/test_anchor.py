"""The anchor outside the database: a restored database is noticed, and signs nothing."""

import os
import stat
from pathlib import Path

import pytest
from sqlmodel import delete, update

from broker.db import Database
from consent.ledger.anchor import read_anchor, write_anchor
from consent.ledger.checkpoint import check_anchor
from consent.ledger.entries import append
from consent.ledger.errors import AnchorInvalidError, LogForkError, NoteInvalidError
from consent.ledger.models import LedgerCheckpoint, LedgerEntry, LedgerHead
from tests.consent.ledger.making import fill, made_entry, made_key, sign
from tests.databases import Databases


def forget_everything(database: Database) -> None:
    """As if the database had been restored from before the first entry."""
    with database.write() as session:
        session.exec(delete(LedgerEntry))
        session.exec(delete(LedgerCheckpoint))
        session.exec(update(LedgerHead).values(size=0, frontier=b""))


def test_a_restored_database_is_not_signed(databases: Databases, tmp_path: Path) -> None:
    key, anchor = made_key(), tmp_path / "anchor"
    fill(databases.data, 5)
    write_anchor(anchor, sign(databases.data, key, anchor).note)
    forget_everything(databases.data)
    with pytest.raises(LogForkError), databases.data.read() as session:
        check_anchor(session, key, anchor)
    with pytest.raises(LogForkError):
        sign(databases.data, key, anchor)


def test_another_log_of_the_same_or_a_larger_size_is_not_signed(databases: Databases, tmp_path: Path) -> None:
    key, anchor = made_key(), tmp_path / "anchor"
    fill(databases.data, 5)
    write_anchor(anchor, sign(databases.data, key, anchor).note)
    forget_everything(databases.data)
    for numbers in (range(10, 15), range(3)):
        with databases.data.write() as session:
            append(session, [made_entry(number) for number in numbers])
        with pytest.raises(LogForkError):
            sign(databases.data, key, anchor)


def test_a_log_that_continues_its_anchor_is_signed(databases: Databases, tmp_path: Path) -> None:
    key, anchor = made_key(), tmp_path / "anchor"
    with databases.data.read() as session:
        assert check_anchor(session, key, anchor) is None
    for _ in range(3):
        fill(databases.data, 100)
        checkpoint = sign(databases.data, key, anchor)
        write_anchor(anchor, checkpoint.note)
        with databases.data.read() as session:
            assert check_anchor(session, key, anchor) == checkpoint
    assert checkpoint.size == 300


@pytest.mark.parametrize("content", [b"", b"\xff", b"no checkpoint"])
def test_a_file_that_is_no_checkpoint_stops_everything(
    content: bytes, sqlite_databases: Databases, tmp_path: Path
) -> None:
    key, anchor = made_key(), tmp_path / "anchor"
    anchor.write_bytes(content)
    with pytest.raises(AnchorInvalidError):
        sign(sqlite_databases.data, key, anchor)
    with pytest.raises(AnchorInvalidError):
        write_anchor(anchor, key.sign(0, bytes(32)).note)
    assert anchor.read_bytes() == content


def test_an_anchor_of_another_key_is_refused(sqlite_databases: Databases, tmp_path: Path) -> None:
    anchor = tmp_path / "anchor"
    write_anchor(anchor, sign(sqlite_databases.data, made_key()).note)
    with pytest.raises(AnchorInvalidError):
        sign(sqlite_databases.data, made_key(), anchor)


def test_an_anchor_never_goes_back(tmp_path: Path) -> None:
    key, anchor = made_key(), tmp_path / "anchor"
    write_anchor(anchor, key.sign(7, bytes(32)).note)
    write_anchor(anchor, key.sign(3, bytes(32)).note)
    present = read_anchor(anchor)
    assert present is not None
    assert present.size == 7
    write_anchor(anchor, key.sign(8, bytes(32)).note)
    assert anchor.read_text() == key.sign(8, bytes(32)).note
    assert [path.name for path in tmp_path.iterdir()] == ["anchor"]


def test_only_a_checkpoint_becomes_an_anchor(tmp_path: Path) -> None:
    with pytest.raises(NoteInvalidError):
        write_anchor(tmp_path / "anchor", "no checkpoint")
    assert list(tmp_path.iterdir()) == []


def test_an_anchor_is_durable_before_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File first, then the name, then the folder: in this order, or a crash could leave an empty anchor."""
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def spied_fsync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def spied_replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", spied_fsync)
    monkeypatch.setattr(Path, "replace", spied_replace)
    write_anchor(tmp_path / "anchor", made_key().sign(1, bytes(32)).note)
    assert steps == ["file", "rename", "folder"]
