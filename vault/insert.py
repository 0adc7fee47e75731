"""Insert unless it is there: the one statement that both databases know in their own dialect."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Table, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert
from sqlmodel import Session, SQLModel


def insert_if_absent(session: Session, model: type[SQLModel], values: Mapping[str, Any]) -> bool:
    """Insert one row; False if any unique constraint says that it is there already.

    On PostgreSQL this waits for a transaction that is inserting the same row, so that after
    False the winner's row can be read. Column defaults in Python do not apply: give every value.
    """
    return bool(insert_absent(session, model, [values]))


def insert_absent(
    session: Session, model: type[SQLModel], rows: Sequence[Mapping[str, Any]]
) -> set[tuple[Any, ...]]:
    """Insert those rows that are not there, as `insert_if_absent` does; the primary keys of what was new.

    Two writers of the same rows must give them in one order, or PostgreSQL lets each wait for the other.
    """
    if not rows:
        return set()
    inserted = session.execute(_statement(session, model), [dict(row) for row in rows])
    return {tuple(key) for key in inserted}


def _statement(session: Session, model: type[SQLModel]) -> ReturningInsert[Any]:
    table = cast("Table", inspect(model).local_table)
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    insert = sqlite.insert(table) if is_sqlite else postgresql.insert(table)
    return insert.on_conflict_do_nothing().returning(*table.primary_key)
