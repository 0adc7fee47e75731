"""What holds for every command: help with an example, quick start, exit codes, no tracebacks."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from broker.cli import build_program
from tests.cli.conftest import Mydata, run

ROOT = Path(__file__).parents[2]


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 - Typer's own click
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


EVERY = dict(commands(get_command(build_program())))
PROMISED = {
    ("demo",),
    ("serve",),
    ("worker",),
    ("migrate",),
    ("doctor",),
    *((group, name) for group in ("org",) for name in ("add", "list", "suspend")),
    *(("config", name) for name in ("check", "show")),
    *(("client", name) for name in ("add", "list", "show", "suspend")),
    *(("key", name) for name in ("init", "status")),
    *(("source", name) for name in ("list", "import")),
    *(("audit", name) for name in ("search", "export", "verify", "prove")),
    ("ledger", "status"),
    ("receipt", "verify"),
    ("claim", "compute"),
    ("subject", "add"),
}


def started(*arguments: str, environ: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """`mydata` as a process of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MYDATA")}
    return subprocess.run(
        [sys.executable, "-m", "broker", *arguments],
        env={**inherited, "PYTHONPATH": str(ROOT), **(environ or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def children_seconds() -> float:
    """The time on a processor of every child that has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_every_promised_command_is_there() -> None:
    assert set(EVERY) >= PROMISED


@pytest.mark.parametrize("path", sorted(EVERY), ids=" ".join)
def test_help_has_an_example_of_the_command_itself(path: tuple[str, ...]) -> None:
    ran = run({}, *path, "--help")
    assert ran.code == 0
    example = " ".join(ran.out.partition("Example:")[2].split())
    assert example
    assert " ".join(path) in example


def test_help_is_quick() -> None:
    def seconds() -> float:
        """What it costs the processor: how long it takes depends on who else is busy."""
        begun = children_seconds()
        assert started("--help").returncode == 0
        return children_seconds() - begun

    assert min(seconds() for _ in range(5)) < 0.5


@pytest.mark.usefixtures("elsewhere")
def test_a_command_that_is_none_is_wrong_usage() -> None:
    ran = started("fly")
    assert ran.returncode == 2
    assert "fly" in ran.stderr


@pytest.mark.usefixtures("elsewhere")
def test_a_wrong_configuration_starts_nothing_and_names_everything() -> None:
    ran = started("serve", environ={"MYDATA__SERVER__PORT": "none", "MYDATA__TYPO__X": "1"})
    assert ran.returncode == 2
    for key in ("server.port", "MYDATA__TYPO__X", "server.issuer", "keyring.passphrase"):
        assert key in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""


def test_a_wrong_passphrase_is_refused_and_says_what_to_do(environ: dict[str, str]) -> None:
    ran = started("serve", environ={**environ, "MYDATA__KEYRING__PASSPHRASE": "wrong"})
    assert ran.returncode == 1
    assert "passphrase does not open the root key" in ran.stderr
    assert "keyring.passphrase" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_database_that_is_away_could_not_be_checked(environ: dict[str, str]) -> None:
    ran = run({**environ, "MYDATA__DATABASE__URL": "postgresql://nobody@127.0.0.1:1/none"}, "org", "list")
    assert ran.code == 3
    assert "cannot be reached" in ran.err


def test_a_configuration_file_that_was_named_must_be_there(environ: dict[str, str], tmp_path: Path) -> None:
    ran = run(environ, "--config", str(tmp_path / "none.toml"), "org", "list")
    assert (ran.code, "no such file" in ran.err) == (2, True)


def test_the_file_in_the_working_folder_is_read(environ: dict[str, str], elsewhere: Path) -> None:
    (elsewhere / "config.toml").write_text("[server]\nport = 1234\n")
    assert run(environ, "config", "show", "-o", "json").json()["server.port"] == 1234


def test_a_pipe_gets_lines_and_no_colours(mydata: Mydata) -> None:
    ran = mydata("org", "list")
    assert ran.out == "organisation_id\tname_ko\tname_en\trecipient\tholder\tstatus\n"
