"""The third revision of the data database: a decision of before is its delivery's first, and is whole."""

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from broker.db import Database
from migrations.run import _config, check, upgrade
from tests.postgres import Cluster

BEFORE = (
    "INSERT INTO subject (subject_id, created_at) VALUES ('s', 1)",
    (
        "INSERT INTO organisation (organisation_id, name_ko, name_en, registration_number, contact, "
        "is_recipient, is_holder, status, created_at) "
        "VALUES ('r', 'r', 'r', '1', 'c', true, false, 'active', 1)"
    ),
    (
        "INSERT INTO consent (grant_id, subject_id, recipient_id, client_id, purpose, handle, state, "
        "change_count, version_number, valid_from, valid_until, max_pulls, created_at) "
        "VALUES ('g', 's', 'r', 'c', 'p', 'h', 'GIVEN', 1, 1, 1, 2, 1, 1)"
    ),
    (
        "INSERT INTO consent_version (version_id, grant_id, number, terms_sealed, terms_digest, "
        "notice_digest, language, created_at) VALUES ('g.1', 'g', 1, '', '', '', 'ko', 1)"
    ),
    (
        "INSERT INTO delivery (delivery_id, grant_id, version_id, subject_id, recipient_id, ordinal, "
        "key_digest, request_digest, payload_digest, nonce_sealed, record_count, as_of) "
        "VALUES ('d', 'g', 'g.1', 's', 'r', 1, '', '', '', '', 1, 1)"
    ),
    (
        "INSERT INTO decision (decision_id, delivery_id, grant_id, subject_id, recipient_id, compartment_id, "
        "body_sealed, body_digest, received_at) VALUES ('e', 'd', 'g', 's', 'r', 'k', 'body', 'digest', 3)"
    ),
)
SECOND = (
    "INSERT INTO decision (decision_id, delivery_id, number, grant_id, subject_id, recipient_id, "
    "compartment_id, body_sealed, body_digest, received_at) "
    "VALUES ('{id}', '{delivery}', {number}, 'g', 's', 'r', 'k', '', '', 4)"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database at the second revision, with a decision in it, brought to the head."""
    if request.param == "sqlite":
        found = f"sqlite:///{tmp_path_factory.mktemp('second') / 'data.db'}"
    else:
        cluster: Cluster = request.getfixturevalue("postgres")
        cluster.drop_database("second_revision")
        found = cluster.create_database("second_revision")
    database = Database(found)
    with database.engine.connect() as connection, connection.begin():
        config = _config("data")
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for statement in BEFORE:
            connection.execute(text(statement))
    database.close()
    upgrade(found, "data")
    return found


@pytest.mark.parametrize(("number", "delivery"), [(1, "d"), (2, "no-such-delivery")])
def test_what_contradicts_is_refused_by_the_database(url: str, number: int, delivery: str) -> None:
    database = Database(url)
    statement = text(SECOND.format(id="f", delivery=delivery, number=number))
    with pytest.raises(IntegrityError), database.write() as session:
        session.connection().execute(statement)
    database.close()


def test_a_decision_of_before_is_the_first_and_a_second_fits(url: str) -> None:
    database = Database(url)
    with database.write() as session:
        session.connection().execute(text(SECOND.format(id="f", delivery="d", number=2)))
    with database.read() as session:
        found = session.connection().execute(
            text(
                "SELECT decision_id, number, body_sealed, body_digest, received_at, review_requested_at "
                "FROM decision ORDER BY number"
            )
        )
        first, second = (tuple(row) for row in found)
    database.close()
    assert (first[0], first[1], first[4], first[5]) == ("e", 1, 3, None)
    assert [value if isinstance(value, str) else bytes(value).decode() for value in first[2:4]] == [
        "body",
        "digest",
    ]
    assert second[:2] == ("f", 2)
    assert check(url, "data") == []
