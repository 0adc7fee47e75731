"""The eighteenth revision of the data database: what a client is still to be told has the client's id."""

from collections.abc import Iterator

import pytest
from alembic import command
from sqlalchemy import text

from broker.db import Database
from consent.outbox import PUSHED, DutyKind
from migrations.run import _config, check, upgrade
from tests.migrations.test_decisions import BEFORE
from tests.postgres import Cluster

GIVEN = "g"
"""A consent of the client `c`, on which the decision `e` was made."""

TOLD = sorted(PUSHED - {DutyKind.ASK_REVIEW, DutyKind.TELL_STREAM})
"""What is told of a consent."""


@pytest.fixture(params=["sqlite", "postgresql"])
def before(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database at the revision before, with a consent and a decision."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('seventeenth') / 'data.db'}"
    else:
        cluster: Cluster = request.getfixturevalue("postgres")
        cluster.drop_database("seventeenth_revision")
        url = cluster.create_database("seventeenth_revision")
    database = Database(url)
    with database.engine.connect() as connection, connection.begin():
        config = _config("data")
        config.attributes["connection"] = connection
        command.upgrade(config, "0017")
        for statement in BEFORE:
            connection.execute(text(statement))
    yield database
    database.close()


def upgraded(database: Database) -> dict[str, str | None]:
    """The clients of all duties, after the upgrade."""
    url = database.url.render_as_string(hide_password=False)
    upgrade(url, "data")
    assert check(url, "data") == []
    with database.read() as session:
        found = session.connection().execute(text("SELECT duty_id, client_id FROM duty"))
        return {row.duty_id: row.client_id for row in found}


def owed(database: Database, duty_id: str, kind: str, target: str, *, done_at: int | None = None) -> None:
    with database.write() as session:
        session.connection().execute(
            text(
                "INSERT INTO duty (duty_id, kind, target, due_at, attempts, created_at, done_at) "
                "VALUES (:duty_id, :kind, :target, 9, 3, 5, :done_at)"
            ),
            {"duty_id": duty_id, "kind": kind, "target": target, "done_at": done_at},
        )


def test_what_is_about_nobodys_software_or_is_gone_has_none(before: Database) -> None:
    others = [kind for kind in DutyKind if kind not in PUSHED]
    for kind in others:
        owed(before, kind, kind, GIVEN)
    owed(before, "unknown consent", DutyKind.TELL_ENDED, "no-such-grant")
    owed(before, "unknown decision", DutyKind.ASK_REVIEW, "no-such-decision")
    expected = [*others, "unknown consent", "unknown decision"]
    assert upgraded(before) == dict.fromkeys(expected)


def test_what_is_told_has_the_client_of_what_it_is_about(before: Database) -> None:
    for kind in TOLD:
        owed(before, kind, kind, GIVEN)
    owed(before, "review", DutyKind.ASK_REVIEW, "e")
    owed(before, "stream", DutyKind.TELL_STREAM, "of-another")
    expected = dict.fromkeys(TOLD, "c") | {"review": "c", "stream": "of-another"}
    assert upgraded(before) == expected


def test_of_what_is_done_nothing_is_asked_any_more(before: Database) -> None:
    owed(before, "done", DutyKind.TELL_ENDED, GIVEN, done_at=7)
    assert upgraded(before) == {"done": None}
