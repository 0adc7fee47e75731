"""Migrations on both databases: no drift from the models, nothing touched that a newer program made."""

import pytest
from sqlalchemy import text
from sqlmodel import Session

from broker.db import Database
from migrations.run import NewerDatabaseError, Which, check, current, head, is_newer_than_program, upgrade
from migrations.tables import METADATA
from tests.databases import WHICH, Databases
from tests.postgres import Cluster


def url_of(databases: Databases, which: Which) -> str:
    return databases.data_url if which == "data" else databases.keyring_url


def set_revision(url: str, revision: str) -> None:
    database = Database(url)
    with database.write() as session:
        session.connection().execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})
    database.close()


@pytest.mark.parametrize("which", WHICH)
class TestNewerDatabase:
    def test_upgrade_refuses_it(self, databases: Databases, which: Which) -> None:
        set_revision(url_of(databases, which), "9999")
        with pytest.raises(NewerDatabaseError) as refused:
            upgrade(url_of(databases, which), which)
        assert (refused.value.which, refused.value.revision) == (which, "9999")
        assert current(url_of(databases, which)) == "9999"

    def test_it_is_told_apart_from_one_at_head(self, databases: Databases, which: Which) -> None:
        url = url_of(databases, which)
        assert not is_newer_than_program(url, which)
        set_revision(url, "9999")
        assert is_newer_than_program(url, which)


@pytest.mark.parametrize("which", WHICH)
def test_models_and_revisions_agree(databases: Databases, which: Which) -> None:
    assert check(url_of(databases, which), which) == []


@pytest.mark.parametrize("which", WHICH)
def test_drift_is_found(databases: Databases, which: Which) -> None:
    url = url_of(databases, which)
    database = databases.data if which == "data" else databases.keyring
    table = "delivery_record" if which == "data" else "erased_subject"
    with database.write() as session:
        session.connection().execute(text(f"DROP TABLE {table}"))
    assert any("add_table" in difference and table in difference for difference in check(url, which))


@pytest.mark.parametrize("which", WHICH)
def test_upgrade_at_head_changes_nothing(databases: Databases, which: Which) -> None:
    url = url_of(databases, which)
    upgrade(url, which)
    assert current(url) == head(which)


def test_a_database_that_was_never_migrated_has_no_revision(postgres: Cluster) -> None:
    url = postgres.create_database("never_migrated")
    assert current(url) is None
    assert not is_newer_than_program(url, "data")
    postgres.drop_database("never_migrated")


def test_the_log_begins_with_one_empty_head(databases: Databases) -> None:
    with databases.data.read() as session:
        assert heads(session) == [("log", 0, b"")]


def test_a_failed_upgrade_leaves_nothing_behind(postgres: Cluster) -> None:
    url = postgres.create_database("half_way")
    database = Database(url)
    with database.write() as session:
        session.connection().execute(text("CREATE TABLE ledger_head (name text)"))
    with pytest.raises(Exception, match="already exists"):
        upgrade(url, "data")
    with database.read() as session:
        tables = session.connection().execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        )
        assert [name for (name,) in tables] == ["ledger_head"]
    database.close()
    postgres.drop_database("half_way")


def test_both_databases_have_tables_of_their_own() -> None:
    assert not set(METADATA["data"].tables) & set(METADATA["keyring"].tables)


def heads(session: Session) -> list[tuple[str, int, bytes]]:
    rows = session.connection().execute(text("SELECT name, size, frontier FROM ledger_head"))
    return [(name, size, bytes(frontier)) for name, size, frontier in rows]
