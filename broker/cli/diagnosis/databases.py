"""Databases: durable, of a version that we know, with room for us, on two clusters, with the right time."""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlmodel import Session, col, func, select

from broker.cli.diagnosis.finding import Finding, failed, ok, warning
from broker.settings import Settings
from consent.ledger.models import LedgerEntry
from migrations.run import check

_OLDEST_POSTGRES: Final = 150_000
_OLDEST_SQLITE: Final = 3_035_000  # RETURNING
_FULL: Final = 2  # PRAGMA synchronous: FULL, and above it EXTRA
_LANE_CONNECTIONS: Final = 5  # of one server process: two for pulls, one for introspection, two for keys
_TOLERATED: Final = timedelta(seconds=2)
_TOO_FAR: Final = timedelta(seconds=30)  # half of what a proof's time may be off (broker/oauth/dpop.py)


def is_sqlite(session: Session) -> bool:
    """Which of the two it is."""
    return session.get_bind().dialect.name == "sqlite"


def check_schema(settings: Settings) -> Finding:
    """No table, column or index of this program is missing or another, whatever the revision says."""
    title = "schema"
    differences = check(settings.database.url, "data") + check(settings.keyring.url, "keyring")
    # What would be removed is somebody's own addition, such as an index.
    missing = [one for one in differences if not one.startswith("('remove_")]
    if not missing:
        return ok(title)
    detail = f"{len(missing)} tables, columns or indexes are not as this program makes them."
    return failed(title, detail, "The schema was changed by hand: undo that, or restore the newest backup.")


def check_durability(title: str, session: Session) -> Finding:
    """What was committed survives a power cut: nothing is worse than a withdrawal that is forgotten."""
    if is_sqlite(session):
        if _number(session, "PRAGMA synchronous") < _FULL:
            return failed(title, "SQLite does not wait for the disk.", "Take out what sets synchronous.")
        if not _number(session, "PRAGMA foreign_keys"):
            return failed(title, "SQLite does not check foreign keys.", "Take out what sets foreign_keys.")
        return ok(title)
    is_off = [
        name
        for name in ("fsync", "full_page_writes", "synchronous_commit")
        if str(_value(session, f"SHOW {name}")) == "off"
    ]
    if not is_off:
        return ok(title)
    cure = "Set it to on in postgresql.conf, or with ALTER ROLE … RESET, and reload."
    return warning(title, f"A power cut may lose commits: {', '.join(is_off)} is off.", cure)


def check_version(title: str, session: Session) -> Finding:
    """The server is new enough."""
    if is_sqlite(session):
        major, minor, patch = str(_value(session, "SELECT sqlite_version()")).split(".")[:3]
        return judge_version(title, int(major) * 1_000_000 + int(minor) * 1000 + int(patch), _OLDEST_SQLITE)
    return judge_version(title, _number(session, "SHOW server_version_num"), _OLDEST_POSTGRES)


def judge_version(title: str, version: int, oldest: int) -> Finding:
    """Compare version numbers as the databases count them."""
    if version >= oldest:
        return ok(title)
    return failed(title, f"It is of version {version}, and {oldest} is needed.", "Upgrade it.")


def check_encoding(title: str, session: Session) -> Finding:
    """Korean names can be stored as they are written."""
    statement = "PRAGMA encoding" if is_sqlite(session) else "SHOW server_encoding"
    encoding = str(_value(session, statement))
    if encoding.replace("-", "").upper().startswith("UTF"):
        return ok(title)
    cure = "Make a database with ENCODING 'UTF8' and TEMPLATE template0, and move the data into it."
    return failed(title, f"The database is encoded in {encoding}, which does not hold every text.", cure)


def check_connections(title: str, session: Session, settings: Settings) -> Finding:
    """The server lets in as many connections as the broker may open. One pool more is the worker's."""
    if is_sqlite(session):
        return ok(title)
    pool = settings.database.pool_size
    needed = settings.server.workers * (pool + _LANE_CONNECTIONS) + pool
    allowed = _number(session, "SHOW max_connections")
    if needed <= allowed:
        return ok(title)
    detail = f"The broker may open {needed} connections, and the server takes {allowed}."
    return warning(title, detail, "Lower server.workers or database.pool_size, or raise max_connections.")


def check_separation(data: Session, keyring: Session, *, is_production: bool) -> Finding:
    """Keys and what they open are not in one cluster: a shared backup would undo every erasure."""
    title = "separate keyring"
    cure = "Move the keyring to a server of its own, with backups of its own, and set keyring.url."
    if is_sqlite(data) and is_sqlite(keyring):
        folders = {str(_value(one, "SELECT file FROM pragma_database_list")) for one in (data, keyring)}
        if len({path.rpartition("/")[0] for path in folders}) == 1 and is_production:
            return warning(title, "Both databases lie in one folder, so one backup holds both.", cure)
        return ok(title)
    if is_sqlite(data) or is_sqlite(keyring) or _system(data) != _system(keyring):
        return ok(title)
    detail = "The keyring is in the same database cluster as the data."
    return failed(title, detail, cure) if is_production else warning(title, detail, cure)


def check_clock(session: Session, now: datetime) -> Finding:
    """The database's clock and ours agree. SQLite has no clock of its own."""
    title = "clock"
    if is_sqlite(session):
        return ok(title)
    theirs = _value(session, "SELECT clock_timestamp()")
    if not isinstance(theirs, datetime):
        return failed(title, "The database does not tell the time.", "Look at the server.")
    apart = abs(theirs.astimezone(UTC) - now)
    detail = f"The database's clock and ours are {apart.total_seconds():.0f} s apart."
    cure = "Let a time service set both clocks."
    if apart > _TOO_FAR:
        return failed(title, detail, cure)
    return warning(title, detail, cure) if apart > _TOLERATED else ok(title)


def check_clock_and_log(session: Session, now: datetime) -> Finding:
    """Our clock is not behind what is on record: it was set back, or was ahead when that was written."""
    title = "clock and log"
    newest: datetime | None = session.exec(select(func.max(col(LedgerEntry.at)))).one()
    if newest is None or newest <= now + _TOLERATED:
        return ok(title)
    detail = f"The newest entry of the log is {(newest - now).total_seconds():.0f} s in the future."
    return failed(title, detail, "Let a time service set the clock; do not serve before it is right.")


def _system(session: Session) -> object:
    """What tells one cluster from another; copies made by replication have it in common, as they should."""
    return _value(session, "SELECT system_identifier FROM pg_control_system()")


def _value(session: Session, statement: str) -> object:
    return session.connection().execute(text(statement)).scalar_one()


def _number(session: Session, statement: str) -> int:
    return int(str(_value(session, statement)))
