"""The second revision of the keyring: a key of before signs on, from when it was made."""

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from broker.db import Database
from migrations.run import _config, check, upgrade
from tests.postgres import Cluster

BEFORE = (
    "INSERT INTO service_key (kid, name, kind, state, sealed, public_jwk, created_at) "
    "VALUES ('k', 'oauth', 'ES256', 'current', 'sealed', '{}', 7)"
)
AFTER = (
    "INSERT INTO service_key (kid, name, kind, state, sealed, public_jwk, created_at, signs_from) "
    "VALUES (:kid, 'oauth', 'ES256', :state, 'sealed', '{}', 8, 9)"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A keyring at the first revision, with a signing key in it, brought to the head."""
    if request.param == "sqlite":
        found = f"sqlite:///{tmp_path_factory.mktemp('first') / 'keyring.db'}"
    else:
        cluster: Cluster = request.getfixturevalue("postgres")
        cluster.drop_database("first_keyring")
        found = cluster.create_database("first_keyring")
    database = Database(found)
    with database.engine.connect() as connection, connection.begin():
        config = _config("keyring")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(BEFORE)
    database.close()
    upgrade(found, "keyring")
    return found


@pytest.mark.parametrize("state", ["current", "next"])
def test_a_second_key_of_this_state_is_refused_by_the_database(url: str, state: str) -> None:
    database = Database(url)
    if state == "next":
        with database.write() as session:
            session.connection().execute(text(AFTER), {"kid": "n", "state": state})
    with pytest.raises(IntegrityError), database.write() as session:
        session.connection().execute(text(AFTER), {"kid": "x", "state": state})
    database.close()


def test_a_key_of_before_signs_from_when_it_was_made(url: str) -> None:
    database = Database(url)
    with database.read() as session:
        columns = "kid, state, sealed, created_at, signs_from, signed_until"
        found = session.connection().execute(text(f"SELECT {columns} FROM service_key")).one()
    database.close()
    sealed = found[2] if isinstance(found[2], str) else bytes(found[2]).decode()
    assert (*found[:2], sealed, *found[3:]) == ("k", "current", "sealed", 7, 7, None)
    assert check(url, "keyring") == []
