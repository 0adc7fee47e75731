"""From nothing to an installation: `migrate` and `key init`, and every refusal on the way."""

from pathlib import Path

import pytest
from sqlalchemy import text

from broker.db import Database
from tests.cli.conftest import Mydata, run
from tests.databases import Databases


@pytest.fixture
def fresh(elsewhere: Path) -> dict[str, str]:
    """The environment of an installation of which nothing exists yet."""
    del elsewhere
    return {
        "MYDATA__SERVER__ISSUER": "http://127.0.0.1:9",  # nobody listens there
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


def _set_revision(database: Database, revision: str) -> None:
    with database.write() as session:
        session.connection().execute(
            text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision}
        )
