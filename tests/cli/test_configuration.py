"""`mydata config`."""

from tests.cli.conftest import Mydata, run
from tests.installation import PASSPHRASE


def test_check_names_every_fault_and_ends_with_one(environ: dict[str, str]) -> None:
    ran = run(
        {**environ, "MYDATA__SERVER__PORT": "x", "MYDATA__LOG__LEVEL": "loud"},
        "config",
        "check",
        "-o",
        "json",
    )
    assert ran.code == 1
    assert {fault["setting"] for fault in ran.json()} == {"server.port", "log.level"}


def test_check_of_a_right_one_is_empty(mydata: Mydata) -> None:
    assert (mydata("config", "check").code, mydata("config", "check", "-o", "json").json()) == (0, [])


def test_show_masks_secrets_and_tells_sources(mydata: Mydata) -> None:
    for ran in (
        mydata("config", "show"),
        mydata("config", "show", "--sources"),
        mydata("config", "show", "-o", "json"),
    ):
        assert ran.code == 0
        assert PASSPHRASE not in ran.out
        assert "keyring.passphrase" in ran.out
    rows = mydata("config", "show", "--sources", "-o", "json").json()
    assert {row["setting"]: row["source"] for row in rows}["keyring.passphrase"] == "environment"
