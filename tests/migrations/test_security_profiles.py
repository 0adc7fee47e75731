"""From the eleventh revision of the data database on, with rows that others point to: all are kept."""

from collections.abc import Iterator
from typing import Any

import pytest
from alembic import command
from sqlalchemy import inspect, text

from broker.db import Database
from migrations.run import BrokenReferenceError, _config, check, current, upgrade
from tests.postgres import Cluster

ROWS: list[tuple[str, dict[str, Any]]] = [
    ("organisation", {"organisation_id": "o"}),
    ("client", {"client_id": "c", "organisation_id": "o", "name": "n"}),
    ("pushed_request", {"request_id": "open", "client_id": "c", "uri_digest": b"1", "created_at": 5}),
    (
        "pushed_request",
        {"request_id": "used", "client_id": "c", "uri_digest": b"2", "used_at": 7, "state": "s"},
    ),
    ("interaction", {"interaction_id": "i", "request_id": "used", "client_id": "c"}),
    ("code", {"code_hash": b"k", "client_id": "c", "grant_id": "g", "version_id": "g.1"}),
    ("token", {"token_hash": b"t", "client_id": "c", "jkt": "thumb"}),
    ("duty", {"duty_id": "d", "created_at": 5}),
]
TABLES = sorted({table for table, _ in ROWS})


@pytest.fixture(params=["sqlite", "postgresql"])
def before(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database at the eleventh revision, with rows."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('eleventh') / 'data.db'}"
    else:
        cluster: Cluster = request.getfixturevalue("postgres")
        cluster.drop_database("eleventh_revision")
        url = cluster.create_database("eleventh_revision")
    database = Database(url)
    with database.engine.connect() as connection, connection.begin():
        config = _config("data")
        config.attributes["connection"] = connection
        command.upgrade(config, "0011")
    with database.write() as session:
        for table, members in ROWS:
            columns = inspect(session.connection()).get_columns(table)
            row = {one["name"]: _filling(one) for one in columns if not one["nullable"]} | members
            names, places = ", ".join(row), ", ".join(f":{name}" for name in row)
            session.connection().execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), row)
    yield database
    database.close()


def _filling(column: Any) -> object:  # noqa: ANN401 - what SQLAlchemy tells of a column
    kind = column["type"].python_type
    return {int: 1, bytes: b"x", bool: True}.get(kind, "x")


def url_of(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)


def constraints(database: Database) -> list[tuple[str, list[str], list[Any]]]:
    """The indexes and references of the tables that had rows, without what the revisions add."""
    with database.read() as session:
        found = inspect(session.connection())
        return [
            (
                table,
                sorted(one["name"] or "" for one in found.get_indexes(table)),
                sorted(
                    (one["constrained_columns"], one["referred_table"])
                    for one in found.get_foreign_keys(table)
                ),
            )
            for table in TABLES
        ]


def rows(database: Database, columns: str, table: str) -> list[tuple[Any, ...]]:
    with database.read() as session:
        found = session.connection().execute(text(f"SELECT {columns} FROM {table} ORDER BY 1"))
        return [tuple(row) for row in found]


def test_rows_that_others_point_to_are_kept(before: Database) -> None:
    upgrade(url_of(before), "data")
    counts = {table: len(rows(before, "1", table)) for table in TABLES}
    assert counts == dict.fromkeys(TABLES, 1) | {"pushed_request": 2}
    assert rows(before, "client_id, name, security_profile, client_metadata", "client") == [
        ("c", "n", "fapi2", "{}")
    ]
    assert rows(before, "cnf, session_digest", "token") == [("jkt:thumb", None)]
    assert rows(before, "grant_id, version_id, request_id", "code") == [("g", "g.1", None)]
    assert check(url_of(before), "data") == []


def test_a_request_of_before_is_over_and_one_that_was_used_stays_so(before: Database) -> None:
    upgrade(url_of(before), "data")
    assert rows(before, "request_id, used_at, kept_sealed", "pushed_request") == [
        ("open", 5, None),
        ("used", 7, None),
    ]


def test_references_and_indexes_are_there_as_before_and_enforced(before: Database) -> None:
    old = constraints(before)
    upgrade(url_of(before), "data")
    new = constraints(before)
    added = {
        "ix_code_grant_id",
        "ix_code_session_digest",
        "ix_token_session_digest",
        "ix_duty_client_id_done_at",
    }
    assert [(table, [name for name in names if name not in added], keys) for table, names, keys in new] == old


@pytest.mark.parametrize("before", ["sqlite"], indirect=True)
def test_an_upgrade_that_would_leave_a_row_pointing_to_nothing_changes_nothing(before: Database) -> None:
    with before.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA foreign_keys=OFF")
        driver.execute("DELETE FROM pushed_request WHERE request_id = 'used'")
        driver.execute("PRAGMA foreign_keys=ON")
    with pytest.raises(BrokenReferenceError) as refused:
        upgrade(url_of(before), "data")
    assert refused.value.table == "interaction"
    assert current(url_of(before)) == "0011"
