"""Bring a database to the program's schema, and tell how far it is: the one door to Alembic."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from broker.db import Database
from migrations.tables import METADATA

Which = Literal["data", "keyring"]

_ADVISORY_LOCK: Final = 0x6D796461  # any number of ours: two processes must not migrate at once


class NewerDatabaseError(Exception):
    """The database has a revision that this program does not know: a newer program wrote it."""

    def __init__(self, which: Which, revision: str) -> None:
        self.which = which
        self.revision = revision
        super().__init__(f"the {which} database is at revision {revision}, which this program does not know")


class BrokenReferenceError(Exception):
    """A revision would have left rows of this table without what they point to; nothing was changed."""

    def __init__(self, table: str) -> None:
        self.table = table
        super().__init__(f"rows of {table} would point to nothing")


def upgrade(database_url: str, which: Which) -> None:
    """Run every revision that the database lacks, in one transaction.

    Raises NewerDatabaseError rather than touch what a newer program has made, BrokenReferenceError rather
    than leave a row that points to nothing.
    """
    with _writing(database_url) as connection, _without_references(connection), connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        revision = _revision_of(connection)
        if not _is_known(which, revision):
            raise NewerDatabaseError(which, str(revision))
        config = _config(which)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if connection.dialect.name == "sqlite":
            _check_references(connection)


def current(database_url: str) -> str | None:
    """The revision that the database is at; None if it was never migrated."""
    with _reading(database_url) as connection:
        return _revision_of(connection)


def head(which: Which) -> str:
    """The revision that this program needs."""
    return str(_scripts(which).get_current_head())


def is_newer_than_program(database_url: str, which: Which) -> bool:
    """The database is at a revision that this program does not have."""
    return not _is_known(which, current(database_url))


def check(database_url: str, which: Which) -> list[str]:
    """What autogenerate would still change: differences between the database and the models."""
    with _reading(database_url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [repr(difference) for difference in compare_metadata(context, METADATA[which])]


def write_revision(database_url: str, which: Which, *, name: str, revision_id: str) -> None:
    """Write a new revision file by comparing an upgraded database with the models, for developers."""
    with _writing(database_url) as connection, connection.begin():
        config = _config(which)
        config.attributes["connection"] = connection
        command.revision(config, name, autogenerate=True, rev_id=revision_id)


@contextmanager
def _reading(database_url: str) -> Iterator[Connection]:
    """A connection that takes no lock: health probes look at the revision while others write."""
    database = Database(database_url, pool_size=1)
    try:
        with database.read() as session:
            yield session.connection()
    finally:
        database.close()


@contextmanager
def _writing(database_url: str) -> Iterator[Connection]:
    database = Database(database_url, pool_size=1)
    if database.is_sqlite and database.path.parent.is_dir():
        # A new one is for us alone; SQLite gives the files beside it (-wal, -shm) the same mode.
        database.path.touch(mode=0o600)
    try:
        with database.engine.connect() as connection:
            yield connection
    finally:
        database.close()


@contextmanager
def _without_references(connection: Connection) -> Iterator[None]:
    """SQLite changes a column by making its table anew, and dropping one that rows point to is refused.

    So references are not enforced meanwhile, and all are checked before the commit: the way of
    https://www.sqlite.org/lang_altertable.html, section 7. No transaction may be open when that is said.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def _check_references(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise BrokenReferenceError(str(broken[0]))


def _config(which: Which) -> Config:
    config = Config()
    # Config reads % as the start of a placeholder, and a folder's name may hold one.
    config.set_main_option("script_location", str(Path(__file__).parent / which).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _scripts(which: Which) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(which))


def _revision_of(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _is_known(which: Which, revision: str | None) -> bool:
    if revision is None:
        return True
    try:
        return _scripts(which).get_revision(revision) is not None
    except CommandError:
        return False
