"""The thirteenth revision of the data database: what was owed before has the instant of what owed it."""

import pytest
from alembic import command
from sqlalchemy import text

from broker.db import Database
from migrations.run import _config, check, upgrade
from tests.postgres import Cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database at the revision before."""
    if request.param == "sqlite":
        found = f"sqlite:///{tmp_path_factory.mktemp('twelfth') / 'data.db'}"
    else:
        cluster: Cluster = request.getfixturevalue("postgres")
        cluster.drop_database("twelfth_revision")
        found = cluster.create_database("twelfth_revision")
    database = Database(found)
    with database.engine.connect() as connection, connection.begin():
        config = _config("data")
        config.attributes["connection"] = connection
        command.upgrade(config, "0012")
    database.close()
    return found


def test_a_duty_of_before_happened_when_it_was_owed(url: str) -> None:
    database = Database(url)
    with database.write() as session:
        session.connection().execute(
            text(
                "INSERT INTO duty (duty_id, kind, target, due_at, attempts, created_at) "
                "VALUES ('d', 'tell_ended', 'g', 9, 3, 5)"
            )
        )
    upgrade(url, "data")
    with database.read() as session:
        rows = session.connection().execute(
            text("SELECT due_at, created_at, happened_at, told_type, told_due FROM duty")
        )
        assert [tuple(row) for row in rows] == [(9, 5, 5, None, None)]
    database.close()
    assert check(url, "data") == []
