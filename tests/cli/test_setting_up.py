"""From nothing to an installation: `migrate` and `key init`, and every refusal on the way."""

from pathlib import Path

import pytest
from sqlalchemy import text

from broker.db import Database
from broker.installation import Installation
from broker.jobs.publishing import log_key
from tests.cli.conftest import Mydata, run
from tests.databases import Databases


@pytest.fixture
def fresh(elsewhere: Path) -> dict[str, str]:
    """The environment of an installation of which nothing exists yet."""
    del elsewhere
    return {
        "MYDATA__SERVER__ISSUER": "http://127.0.0.1:8000",
        "MYDATA__KEYRING__PASSPHRASE": "only for tests",
    }


def test_before_migrating_every_command_refuses_and_makes_no_file(
    fresh: dict[str, str], elsewhere: Path
) -> None:
    for command in (("org", "list"), ("key", "init"), ("serve",), ("worker",), ("ledger", "status")):
        ran = run(fresh, *command)
        assert (ran.code, "mydata migrate" in ran.err) == (1, True)
    assert list(elsewhere.iterdir()) == []


def test_before_key_init_nothing_opens(fresh: dict[str, str]) -> None:
    assert run(fresh, "migrate").code == 0
    ran = run(fresh, "org", "list")
    assert (ran.code, "mydata key init" in ran.err) == (1, True)


def test_an_installation_is_made_in_two_commands(fresh: dict[str, str], elsewhere: Path) -> None:
    assert run(fresh, "migrate", "-o", "json").json().keys() == {"data", "keyring"}
    assert run(fresh, "key", "init", "-o", "json").json() == {"root_file": "made", "epoch": "made"}
    keys = run(fresh, "key", "status", "-o", "json").json()
    assert [(key["key"], key["kind"]) for key in keys] == [
        ("epoch", "local"),
        ("oauth", "ES256"),
        ("receipt", "ES256"),
        ("log", "Ed25519"),
    ]
    for name in ("mydata.db", "keyring.db", "root.key"):
        assert (elsewhere / name).stat().st_mode & 0o077 == 0
    assert run(fresh, "doctor").code == 0


def test_key_init_twice_changes_nothing(mydata: Mydata) -> None:
    before = mydata("key", "status").out
    assert mydata("key", "init", "-o", "json").json() == {"root_file": "was there", "epoch": "was there"}
    assert mydata("key", "status").out == before


def test_a_lost_root_key_is_not_replaced(environ: dict[str, str]) -> None:
    root_file = Path(environ["MYDATA__KEYRING__ROOT_FILE"])
    root_file.unlink()
    for command in (("key", "init"), ("org", "list")):
        ran = run(environ, *command)
        assert (ran.code, "put the root key file back" in ran.err) == (1, True)
    assert not root_file.exists()


def test_a_root_key_that_others_can_read_is_refused(environ: dict[str, str]) -> None:
    Path(environ["MYDATA__KEYRING__ROOT_FILE"]).chmod(0o644)
    ran = run(environ, "org", "list")
    assert (ran.code, "chmod 600" in ran.err) == (1, True)


@pytest.mark.parametrize("which", ["data", "keyring"])
def test_a_database_of_a_newer_program_is_not_touched(
    environ: dict[str, str], sqlite_databases: Databases, which: str
) -> None:
    database: Database = getattr(sqlite_databases, which)
    _set_revision(database, "9999")
    for command in (("org", "list"), ("migrate",), ("serve",)):
        ran = run(environ, *command)
        assert ran.code == 1
        assert f"The {which} database was written by a newer program" in ran.err
        assert "Install that program again" in ran.err


def test_the_doctor_names_what_is_wrong(environ: dict[str, str], sqlite_databases: Databases) -> None:
    _set_revision(sqlite_databases.data, "9999")
    Path(environ["MYDATA__KEYRING__ROOT_FILE"]).chmod(0o644)
    ran = run(environ, "doctor", "-o", "json")
    assert ran.code == 1
    outcomes = {row["check"]: row["outcome"] for row in ran.json()}
    assert outcomes == {
        "configuration": "ok",
        "data database": "failed",
        "keyring database": "ok",
        "root key file": "failed",
        "keyring": "unchecked",
    }


def test_the_doctor_tells_broken_from_unknown(environ: dict[str, str]) -> None:
    ran = run(
        {**environ, "MYDATA__DATABASE__URL": "postgresql://nobody@127.0.0.1:1/none"}, "doctor", "-o", "json"
    )
    assert ran.code == 3
    assert {row["check"]: row["outcome"] for row in ran.json()}["data database"] == "unchecked"


def test_the_doctor_of_a_wrong_configuration_and_a_wrong_passphrase(environ: dict[str, str]) -> None:
    wrong = run({**environ, "MYDATA__SERVER__PORT": "x"}, "doctor", "-o", "json")
    assert (wrong.code, [row["check"] for row in wrong.json()]) == (1, ["configuration"])
    locked = run({**environ, "MYDATA__KEYRING__PASSPHRASE": "wrong"}, "doctor", "-o", "json")
    assert locked.code == 1
    assert {row["check"]: row["outcome"] for row in locked.json()}["keyring"] == "failed"


def test_the_doctor_finds_a_missing_signing_key(environ: dict[str, str], sqlite_databases: Databases) -> None:
    with sqlite_databases.keyring.write() as session:
        session.connection().execute(text("DELETE FROM service_key WHERE name = 'receipt'"))
    ran = run(environ, "doctor", "-o", "json")
    assert "receipt" in {row["check"]: row["detail"] for row in ran.json()}["signing keys"]
    assert run(environ, "key", "init").code == 0
    assert run(environ, "doctor").code == 0


def test_the_doctor_finds_a_checkpoint_that_was_edited(
    environ: dict[str, str], sqlite_databases: Databases
) -> None:
    assert run(environ, "audit", "export", "before").code == 0
    assert run(environ, "doctor").code == 0
    larger = "UPDATE ledger_checkpoint SET size = 5, note = replace(note, :zero, :five)"
    with sqlite_databases.data.write() as session:
        session.connection().execute(text(larger), {"zero": "\n0\n", "five": "\n5\n"})
    ran = run(environ, "doctor", "-o", "json")
    assert ran.code == 1
    assert {row["check"]: row["outcome"] for row in ran.json()}["log"] == "failed"


def test_the_doctor_finds_an_anchor_that_is_ahead_of_the_log(
    environ: dict[str, str], sqlite_installation: Installation, elsewhere: Path
) -> None:
    anchored = environ | {"MYDATA__LEDGER__ANCHOR_FILE": str(elsewhere / "anchor.txt")}
    key = log_key(sqlite_installation)
    (elsewhere / "anchor.txt").write_text(key.sign(7, bytes(32)).note)
    ran = run(anchored, "doctor", "-o", "json")
    assert ran.code == 1
    assert "restore the newest backup" in {row["check"]: row["detail"] for row in ran.json()}["log"]
    assert run(anchored, "audit", "export", "log").code == 1


def _set_revision(database: Database, revision: str) -> None:
    with database.write() as session:
        session.connection().execute(
            text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision}
        )
