"""Insert a row unless it is there: the same statement on SQLite and PostgreSQL, each by its own dialect."""

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel


def insert_once(session: Session, table: type[SQLModel], **values: Any) -> None:  # noqa: ANN401 - column values
    """Insert unless the row's key is taken. A concurrent writer is waited for, never doubled."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(postgresql.insert(table).values(**values).on_conflict_do_nothing())
    else:
        connection.execute(sqlite.insert(table).values(**values).on_conflict_do_nothing())
