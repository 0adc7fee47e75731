"""Insert unless it is there: the one statement that both databases know in their own dialect."""

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import Table, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel


def insert_if_absent(session: Session, model: type[SQLModel], values: Mapping[str, Any]) -> bool:
    """Insert one row; False if any unique constraint says that it is there already.

    On PostgreSQL this waits for a transaction that is inserting the same row, so that after
    False the winner's row can be read. Column defaults in Python do not apply: give every value.
    """
    table = cast("Table", inspect(model).local_table)
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    insert = sqlite.insert(table) if is_sqlite else postgresql.insert(table)
    statement = insert.values(values).on_conflict_do_nothing().returning(*table.primary_key)
    return session.execute(statement).first() is not None
