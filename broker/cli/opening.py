"""From a configuration file to an open installation, and each refusal on the way."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from broker.cli.failures import ExitCode, StopError

if TYPE_CHECKING:
    from broker.installation import Installation
    from broker.settings import Settings

DEFAULT_CONFIGURATION = Path("config.toml")


@dataclass(frozen=True, slots=True)
class Invocation:
    """What stands before the command: `--config`."""

    config: Path | None

    def configuration_file(self) -> Path | None:
        """The file to read: the one named, else ./config.toml if there is one."""
        if self.config is None and not DEFAULT_CONFIGURATION.exists():
            return None
        return self.config or DEFAULT_CONFIGURATION


def read_clock() -> datetime:
    """The time, aware and in UTC."""
    return datetime.now(UTC)


def read_settings(context: typer.Context) -> "Settings":
    """The settings of this invocation. Raises ConfigurationError with every fault."""
    from broker.settings import load_settings

    invocation: Invocation = context.obj
    return load_settings(invocation.configuration_file())


@contextmanager
def installation(context: typer.Context) -> "Iterator[Installation]":
    """The installation of this invocation, opened and closed again."""
    opened = open_installation(read_settings(context))
    try:
        yield opened
    finally:
        opened.close()


def open_installation(settings: "Settings") -> "Installation":
    """Open an installation, or say why not.

    Raises StopError for a database that was never migrated or is behind, NewerDatabaseError for one that
    is ahead, KeyringMissingError, KeyFileUnsafeError and WrongPassphraseError.
    """
    from broker.installation import open_installation as opened

    require_migrated(settings.database.url, "data")
    require_migrated(settings.keyring.url, "keyring")
    return opened(settings, read_clock)


def require_migrated(database_url: str, which: Literal["data", "keyring"]) -> None:
    """Refuse a database that is not at this program's schema."""
    from migrations.run import NewerDatabaseError, current, head, is_newer_than_program

    remedy = "Run `mydata migrate` (after a backup, if there is anything in it)"
    if not exists(database_url):
        raise StopError(f"The {which} database does not exist yet", "Run `mydata migrate` to make it")
    revision = current(database_url)
    if revision is None:
        raise StopError(f"The {which} database was never migrated", remedy)
    if is_newer_than_program(database_url, which):
        raise NewerDatabaseError(which, revision)
    if revision != head(which):
        raise StopError(f"The {which} database is older than this program (revision {revision})", remedy)


def exists(database_url: str) -> bool:
    """Whether a SQLite file is there: opening would make it. A server's databases are asked later."""
    from sqlalchemy.engine import make_url

    url = make_url(database_url)
    return url.get_backend_name() != "sqlite" or Path(url.database or "").is_file()


def read_text(path: Path) -> str:
    """A text file that a command was given; StopError with `could not check` if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise StopError(f"{path} cannot be read: {reason}", code=ExitCode.COULD_NOT_CHECK) from None
