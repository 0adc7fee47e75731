"""The doctor's checks that look into databases: on SQLite and PostgreSQL, each breaking exactly one thing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import Session

from broker.cli.diagnosis import databases as checks
from broker.cli.diagnosis import log, registry, work
from broker.cli.diagnosis.finding import Finding, checked, in_words
from broker.cli.opening import read_clock
from broker.db import Database
from broker.installation import Installation
from broker.jobs.lapsing import lapse_pending
from broker.jobs.publishing import publish
from broker.settings import Settings
from consent.identity import Identity, Match
from consent.organisations import suspend
from consent.pending import NewPending, hold
from consent.progress import connect
from consent.vocabulary import Doubt
from tests.cli.conftest import run
from tests.consent.details import BILL, HOSPITAL
from tests.consent.office import Office, open_office
from tests.databases import Databases
from tests.installation import Clock, _installed, environment
from tests.postgres import Cluster

PATIENCE = timedelta(minutes=5)
LATE = timedelta(minutes=6)


@pytest.fixture
def office(installation: Installation, clock: Clock) -> Office:
    """An installation with a person, holders and a recipient, whose log is signed."""
    made = open_office(installation, clock)
    publish(installation, clock())
    return made


def change(office: Office, statement: str, **values: object) -> None:
    with office.installation.data.write() as session:
        session.connection().execute(text(statement), values)


def outcome(office: Office, look: Callable[..., Finding]) -> str:
    """What a check says with five minutes of patience; whoever complains has a cure."""
    with office.installation.data.read() as session:
        found = look(session, office.clock(), patience=PATIENCE)
    assert found.outcome == "ok" or (found.detail and found.cure)
    return found.outcome


def outcomes(office: Office) -> dict[str, str]:
    looks = {
        "checkpoint": log.check_checkpoint,
        "duties": work.check_duties,
        "expiry": work.check_expiry,
        "holders": work.check_asking,
        "pending records": work.check_pending,
        "worker": work.check_worker,
    }
    return {name: said for name, look in looks.items() if (said := outcome(office, look)) != "ok"}


# Work that was not done


def test_nothing_is_wrong_where_nothing_is_due(office: Office) -> None:
    office.clock.advance(timedelta(days=30))
    assert outcomes(office) == {}


def test_entries_that_nobody_signs(office: Office) -> None:
    office.request()
    office.clock.advance(PATIENCE)
    assert outcomes(office) == {}
    office.clock.advance(timedelta(seconds=1))
    assert outcomes(office) == {"checkpoint": "failed", "worker": "failed"}
    publish(office.installation, office.clock())
    assert outcomes(office) == {}


def test_a_log_that_was_never_signed(office: Office) -> None:
    office.request()
    change(office, "DELETE FROM ledger_checkpoint")
    office.clock.advance(LATE)
    assert outcomes(office) == {"checkpoint": "failed", "worker": "failed"}


def duty(office: Office, *, attempts: int = 0, done: bool = False) -> None:
    statement = """
        INSERT INTO duty (duty_id, kind, target, due_at, attempts, created_at, done_at)
        VALUES (:id, 'destroy_shares', 'g', :at, :attempts, :at, :done)
    """
    at = int(office.clock().timestamp()) * 1_000_000
    done_at = at if done else None
    change(office, statement, id=f"{at} {attempts} {done}", at=at, attempts=attempts, done=done_at)


def test_a_duty_that_nobody_does(office: Office) -> None:
    duty(office)
    office.clock.advance(PATIENCE)
    assert outcomes(office) == {}
    office.clock.advance(timedelta(seconds=1))
    assert outcomes(office) == {"duties": "failed", "worker": "failed"}
    # One that was done since shows that there is a worker: then it is the duty that is wrong.
    duty(office, done=True)
    assert outcomes(office) == {"duties": "failed"}


def test_a_duty_that_fails_again_and_again(office: Office) -> None:
    duty(office, attempts=5)
    change(office, "UPDATE duty SET due_at = due_at + 3600000000")
    assert outcomes(office) == {"duties": "failed"}


def test_a_consent_that_nobody_ends(office: Office) -> None:
    given = office.agree()
    publish(office.installation, office.clock())
    office.clock.now = given.terms.access.valid_until + PATIENCE
    assert outcomes(office) == {}
    office.clock.advance(timedelta(seconds=1))
    assert outcomes(office) == {"expiry": "failed", "worker": "failed"}
    office.expire(given.grant_id)
    publish(office.installation, office.clock())
    assert outcomes(office) == {}


def linked(office: Office, **progress: int) -> None:
    """A link of a source that is to be asked now."""
    office.link()
    publish(office.installation, office.clock())
    at = int(office.clock().timestamp()) * 1_000_000
    values = {"attempts": 0, "next_at": at, "since": 0} | progress
    statement = """
        INSERT INTO source_progress (link_id, since, has_faults, attempts, next_at)
        SELECT link_id, :since, FALSE, :attempts, :next_at FROM source_link
    """
    change(office, statement, **values)
    connected(office)


def connected(office: Office) -> None:
    with office.work() as work_:
        connect(work_.session, HOSPITAL, "https://hospital.example/transmissions", office.clock())


def test_a_link_that_nobody_ends(office: Office) -> None:
    linked(office)
    change(office, "UPDATE source_link SET valid_until = :at", at=int(office.clock().timestamp()) * 1_000_000)
    office.clock.advance(LATE)
    assert outcomes(office) == {"expiry": "failed", "worker": "failed"}


def test_a_holder_that_nobody_asks(office: Office) -> None:
    linked(office)
    assert outcomes(office) == {}
    office.clock.advance(LATE)
    assert outcomes(office) == {"holders": "failed"}


def test_a_holder_that_was_never_asked(office: Office) -> None:
    office.link()
    publish(office.installation, office.clock())
    office.clock.advance(LATE)
    assert outcomes(office) == {}  # without an address it is not to be asked
    connected(office)
    assert outcomes(office) == {"holders": "failed"}


def test_a_holder_that_is_suspended_is_not_waited_for(office: Office) -> None:
    linked(office, attempts=5)
    with office.work() as work_:
        suspend(work_.session, HOSPITAL)
    office.clock.advance(LATE)
    assert outcomes(office) == {}


def kept_apart(office: Office) -> timedelta:
    """A record of nobody waits; for how long."""
    keep_for = timedelta(days=7)
    told = NewPending(HOSPITAL, BILL, "B-1", Identity("P-9"), "x.jsonl: line 2", {})
    with office.work() as work_:
        nobody = Match(None, Doubt.PERSON_NOT_LINKED, is_number_linked=False)
        hold(work_, office.keyring, told, nobody, keep_for=keep_for, now=office.clock())
    publish(office.installation, office.clock())
    return keep_for


def test_a_record_that_nobody_decides_on(office: Office) -> None:
    keep_for = kept_apart(office)
    office.clock.advance(keep_for - timedelta(days=2))
    assert outcomes(office) == {}
    office.clock.advance(timedelta(seconds=1))
    assert outcomes(office) == {"pending records": "warning"}
    change(office, "UPDATE pending_record SET state = 'dismissed'")
    assert outcomes(office) == {}


def test_a_record_that_is_kept_apart_for_too_long(office: Office) -> None:
    office.clock.advance(kept_apart(office) + LATE)
    assert outcomes(office) == {"pending records": "failed"}
    lapse_pending(office.installation, office.clock())
    assert outcomes(office) == {}


def test_a_holder_that_does_not_answer(office: Office) -> None:
    linked(office, attempts=5)
    assert outcomes(office) == {"holders": "warning"}


# Clocks


def test_a_clock_behind_the_log(office: Office) -> None:
    office.request()
    for off, said in ((0, "ok"), (-1, "ok"), (-3, "failed"), (86_400, "ok")):
        with office.installation.data.read() as session:
            now = office.clock() + timedelta(seconds=off)
            assert checks.check_clock_and_log(session, now).outcome == said


@pytest.fixture
def on_postgresql(postgresql_databases: Databases, clock: Clock, tmp_path: Path) -> Iterator[Installation]:
    yield from _installed(postgresql_databases, clock, tmp_path)


def test_a_clock_that_is_not_the_databases(on_postgresql: Installation) -> None:
    for off, said in (
        (0, "ok"),
        (1, "ok"),
        (10, "warning"),
        (-10, "warning"),
        (60, "failed"),
        (-60, "failed"),
    ):
        with on_postgresql.data.read() as session:
            theirs = session.connection().execute(text("SELECT clock_timestamp()")).scalar_one()
            assert checks.check_clock(session, theirs + timedelta(seconds=off)).outcome == said


def test_sqlite_has_no_clock_of_its_own(sqlite_installation: Installation) -> None:
    with sqlite_installation.data.read() as session:
        assert checks.check_clock(session, sqlite_installation.clock()).outcome == "ok"


# Durability, versions, connections


@pytest.mark.parametrize("pragma", ["synchronous=OFF", "synchronous=NORMAL", "foreign_keys=OFF"])
def test_sqlite_that_does_not_keep_its_word(sqlite_installation: Installation, pragma: str) -> None:
    with sqlite_installation.data.read() as session:
        assert checks.check_durability("x", session).outcome == "ok"
    with sqlite_installation.data.engine.connect() as connection:
        connection.connection.driver_connection.execute(f"PRAGMA {pragma}")  # type: ignore[union-attr]  # sqlite3's
        found = checks.check_durability("x", Session(connection))
    assert found.outcome == "failed"
    assert pragma.partition("=")[0] in found.cure


def test_postgresql_that_does_not_keep_its_word(on_postgresql: Installation) -> None:
    """The cluster of the tests runs without fsync: that is found, and what a session turns off."""
    with on_postgresql.data.read() as session:
        found = checks.check_durability("x", session)
        assert found.outcome == "warning"
        assert "fsync, full_page_writes is off" in found.detail
        session.connection().execute(text("SET synchronous_commit = off"))
        assert "synchronous_commit is off" in checks.check_durability("x", session).detail
        session.connection().execute(text("RESET synchronous_commit"))


def test_an_encoding_that_does_not_hold_every_text(installation: Installation, postgres: Cluster) -> None:
    with installation.data.read() as session:
        assert checks.check_encoding("data encoding", session).outcome == "ok"
    postgres.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    database = Database(postgres.url("latin"), pool_size=1)
    try:
        with database.read() as session:
            found = checks.check_encoding("data encoding", session)
    finally:
        database.close()
        postgres.drop_database("latin")
    assert (found.outcome, "LATIN1" in found.detail, "UTF8" in found.cure) == ("failed", True, True)


def test_a_server_that_is_too_old(installation: Installation) -> None:
    assert checks.judge_version("x", 149_999, 150_000).outcome == "failed"
    with installation.data.read() as session:
        assert checks.check_version("x", session).outcome == "ok"


def with_workers(settings: Settings, workers: int) -> Settings:
    return settings.model_copy(update={"server": settings.server.model_copy(update={"workers": workers})})


def test_more_connections_than_the_server_takes(installation: Installation) -> None:
    said = {True: "ok", False: "warning"}[installation.data.is_sqlite]
    with installation.data.read() as session:
        assert checks.check_connections("x", session, with_workers(installation.settings, 50)).outcome == said
        assert checks.check_connections("x", session, installation.settings).outcome == "ok"


# Two clusters


def separate(data: Database, keyring: Database, *, is_production: bool) -> str:
    with data.read() as one, keyring.read() as other:
        return checks.check_separation(one, other, is_production=is_production).outcome


def test_a_keyring_in_the_cluster_of_the_data(on_postgresql: Installation) -> None:
    data, keyring = on_postgresql.data, on_postgresql.keyring_database
    assert separate(data, keyring, is_production=True) == "failed"
    assert separate(data, keyring, is_production=False) == "warning"


def test_a_keyring_in_a_cluster_of_its_own(
    on_postgresql: Installation, postgres_with_fsync: Cluster, tmp_path: Path
) -> None:
    for url in (postgres_with_fsync.url("postgres"), f"sqlite:///{tmp_path}/keyring.db"):
        other = Database(url)
        assert separate(on_postgresql.data, other, is_production=True) == "ok"
        other.close()


def test_whoever_may_not_ask_cannot_tell(on_postgresql: Installation, postgres: Cluster) -> None:
    """An ordinary role can ask for the cluster's identity; one that cannot is told to be given its rights."""
    with plain_role(postgres, on_postgresql.data) as database, database.read() as session:
        assert checks._system(session)
        found = checked("clients", lambda: registry.check_clients(session, on_postgresql.purposes))
    assert found.outcome == "failed"
    assert "rights" in found.cure


@contextmanager
def plain_role(cluster: Cluster, database: Database) -> Iterator[Database]:
    cluster.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
    opened = Database(
        database.url.set(username="plain", password="plain").render_as_string(hide_password=False)
    )
    try:
        yield opened
    finally:
        opened.close()
        cluster.execute("DROP ROLE plain")


def test_two_files_in_one_folder(sqlite_installation: Installation, tmp_path: Path) -> None:
    data, keyring = sqlite_installation.data, sqlite_installation.keyring_database
    assert separate(data, keyring, is_production=True) == "warning"
    assert separate(data, keyring, is_production=False) == "ok"
    (tmp_path / "elsewhere").mkdir()
    other = Database(f"sqlite:///{tmp_path}/elsewhere/keyring.db")
    assert separate(data, other, is_production=True) == "ok"
    other.close()


# The command on PostgreSQL


def test_the_command_on_postgresql(
    on_postgresql: Installation,
    postgresql_databases: Databases,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    elsewhere: Path,
) -> None:
    monkeypatch.setattr("broker.cli.doctor.read_clock", read_clock)  # the database has a clock of its own
    environ = environment(postgresql_databases, tmp_path / "root.key") | {
        "MYDATA__SERVER__ISSUER": "http://127.0.0.1:9"
    }
    ran = run(environ, "doctor", "-o", "json")
    rows = {row["check"]: row["outcome"] for row in ran.json()}
    assert ran.code == 1
    assert [name for name, said in rows.items() if said == "failed"] == ["separate keyring"]
    assert not {"SQLite files", "data journal"} & set(rows)
    assert run(environ | {"MYDATA__SERVER__PROFILE": "demo"}, "doctor").code == 0


def test_ages_in_words() -> None:
    told = {
        timedelta(seconds=59): "0 min",
        timedelta(minutes=59): "59 min",
        timedelta(hours=3, minutes=5): "3 h 5 min",
        timedelta(days=2, hours=4, minutes=59): "2 d 4 h",
    }
    assert {age: in_words(age) for age in told} == told
