"""Files: who may read them, and whether there is room for more."""

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sqlalchemy import make_url

from broker.cli.diagnosis.finding import Finding, failed, ok, unchecked, warning
from broker.settings import Settings

_OPEN_TO_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MIB: Final = 1 << 20
_TOO_LITTLE: Final = 64 * _MIB
_LITTLE: Final = 1024 * _MIB

# An SQLite database is these files: together they hold every row that a backup would.
_SUFFIXES: Final = ("", "-wal", "-shm", ".lock")

# Byte 18 and 19 of an SQLite file: the version that is needed to write and to read it (2 is WAL).
_VERSIONS_AT: Final = 18
_WAL: Final = b"\x02\x02"


def sqlite_files(settings: Settings) -> dict[str, Path]:
    """The SQLite databases of an installation, by name; none on PostgreSQL."""
    urls = {"data": make_url(settings.database.url), "keyring": make_url(settings.keyring.url)}
    return {
        name: Path(url.database or "")
        for name, url in urls.items()
        if url.get_backend_name() == "sqlite" and Path(url.database or "").is_file()
    }


def check_root_file(file: Path, *, user: int) -> Finding:
    """The root key is the user's own, a plain file, and closed to everybody else."""
    check = "root key file"
    try:
        found = file.stat(follow_symlinks=False)
    except OSError:
        return failed(
            check, f"There is no root key file at {file}.", "Run `mydata key init`, or put it back."
        )
    if not stat.S_ISREG(found.st_mode) or found.st_mode & _OPEN_TO_OTHERS:
        cure = f"Look at who could read it, then: chmod 600 {file}"
        return failed(check, "The root key file is open to others, or no plain file.", cure)
    if found.st_uid != user:
        detail = f"The root key file belongs to user {found.st_uid}, and this is user {user}."
        return failed(check, detail, f"Run the doctor as the broker's user; else: chown {user} {file}")
    return ok(check)


def check_modes(files: Iterable[Path]) -> Finding:
    """Nobody else reads the databases: what is sealed in them is, but who shares with whom is not."""
    check = "SQLite files"
    every = [path.with_name(path.name + suffix) for path in files for suffix in _SUFFIXES]
    is_open = [path for path in every if path.is_file() and path.stat().st_mode & _OPEN_TO_OTHERS]
    if not is_open:
        return ok(check)
    named = " ".join(str(path) for path in is_open)
    return failed(check, "Database files are open to other users.", f"chmod 600 {named}")


def check_journal(check: str, file: Path) -> Finding:
    """Readers must not stop the writer: write-ahead logging, which only local disks can do."""
    with file.open("rb") as opened:
        head = opened.read(_VERSIONS_AT + len(_WAL))
    if len(head) < _VERSIONS_AT or head[_VERSIONS_AT:] == _WAL:  # an empty one was never migrated
        return ok(check)
    cure = f"Keep {file.name} on a local disk; `mydata migrate` sets the mode again."
    return failed(check, "The database is not in WAL mode: every reader stops the writer.", cure)


def check_secrets(settings: Settings, configuration: Path | None) -> Finding:
    """What holds a secret is not for everybody to read."""
    check = "secrets"
    sources = settings.sources()
    is_secret = {"keyring.passphrase"} | {
        f"{section}.url"
        for section, url in (("database", settings.database.url), ("keyring", settings.keyring.url))
        if make_url(url).password is not None
    }
    files = {
        configuration if sources[key] == "config.toml" else (settings.secrets.directory or Path()) / key
        for key in is_secret
        if sources[key] in {"config.toml", "secret file"}
    }
    is_open = sorted(str(path) for path in files if path is not None and _is_readable_by_all(path))
    if not is_open:
        return ok(check)
    return failed(check, "Files with secrets can be read by every user.", f"chmod 600 {' '.join(is_open)}")


def check_disk(folders: Iterable[Path], *, too_little: int = _TOO_LITTLE, little: int = _LITTLE) -> Finding:
    """Room to write: a full disk stops every consent and every withdrawal. Limits are in bytes."""
    check = "disk space"
    free = {folder: shutil.disk_usage(folder).free for folder in folders if folder.is_dir()}
    if not free:
        return ok(check, "Nothing is written on this machine.")
    tightest = min(free, key=lambda folder: free[folder])
    detail = f"{free[tightest] // _MIB} MiB are free at {tightest}."
    cure = "Make room, or move the databases to a larger disk."
    if free[tightest] < too_little:
        return failed(check, detail, cure)
    return warning(check, detail, cure) if free[tightest] < little else ok(check, detail)


def check_anchor_place(anchor: Path | None) -> Finding:
    """The anchor's folder is there and can be written to; without an anchor, a rollback goes unseen."""
    check = "anchor file"
    if anchor is None:
        cure = "Set ledger.anchor_file to a file on a disk that the databases are not on."
        return warning(check, "There is none: a database that was put back goes unnoticed.", cure)
    if not anchor.parent.is_dir() or not os.access(anchor.parent, os.W_OK):
        return failed(
            check, f"Nothing can be written in {anchor.parent}.", "Make it, or give it to the broker."
        )
    if anchor.exists() and not os.access(anchor, os.R_OK):
        return unchecked(check, f"{anchor} cannot be read.")
    return ok(check)


def _is_readable_by_all(path: Path) -> bool:
    return path.is_file() and bool(path.stat().st_mode & stat.S_IROTH)
