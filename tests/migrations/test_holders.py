"""The second revision of the data database: links that were there before have an end, and lose nothing."""

import pytest
from alembic import command
from sqlalchemy import text

from broker.db import Database
from migrations.run import _config, check, upgrade
from tests.postgres import Cluster

YEAR = 365 * 24 * 60 * 60 * 1_000_000
GIVEN_AT = 1_800_000_000_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database at the first revision."""
    if request.param == "sqlite":
        found = f"sqlite:///{tmp_path_factory.mktemp('first') / 'data.db'}"
    else:
        cluster: Cluster = request.getfixturevalue("postgres")
        cluster.drop_database("first_revision")
        found = cluster.create_database("first_revision")
    database = Database(found)
    with database.engine.connect() as connection, connection.begin():
        config = _config("data")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    database.close()
    return found


def test_a_link_of_before_ends_a_year_after_it_was_given(url: str) -> None:
    database = Database(url)
    with database.write() as session:
        for statement in (
            "INSERT INTO subject (subject_id, created_at) VALUES ('s', 1)",
            (
                "INSERT INTO organisation (organisation_id, name_ko, name_en, registration_number, contact, "
                "is_recipient, is_holder, status, created_at) "
                "VALUES ('h', 'h', 'h', '1', 'c', false, true, 'active', 1)"
            ),
            (
                "INSERT INTO source_link (link_id, subject_id, holder_id, handle, terms_sealed,"
                f" terms_digest, given_at) VALUES ('l', 's', 'h', 'x', '', '', {GIVEN_AT})"
            ),
        ):
            session.connection().execute(text(statement))
    upgrade(url, "data")
    with database.read() as session:
        found = session.connection().execute(
            text("SELECT valid_until, identity_sealed, person_index, ended_at FROM source_link")
        )
        assert [tuple(row) for row in found] == [(GIVEN_AT + YEAR, None, None, None)]
    database.close()
    assert check(url, "data") == []
