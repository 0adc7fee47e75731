"""The command line as a person uses it: arguments in, text and exit code out."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from broker.cli import build_program
from broker.installation import Installation
from tests.databases import Databases
from tests.installation import Clock, environment


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:  # noqa: ANN401 - any JSON
        return json.loads(self.out)


Mydata = Callable[..., Ran]


def run(environ: dict[str, str], *arguments: str, stdin: str = "") -> Ran:
    """Run `mydata` in this process; an error that nobody expected is raised here."""
    before = os.umask(0o022)
    try:
        result = CliRunner(env=environ).invoke(build_program(), list(arguments), input=stdin)
    finally:
        os.umask(before)  # the demo narrows it, and the tests that follow would make other files than alone
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and nothing of ours in the environment."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MYDATA_CONFIG", raising=False)
    return folder


@pytest.fixture(autouse=True)
def _standing_clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands read the clock of the test: what it laid does not grow old with the calendar."""
    for module in ("opening", "doctor", "keys"):
        monkeypatch.setattr(f"broker.cli.{module}.read_clock", clock)


@pytest.fixture
def environ(
    sqlite_databases: Databases, sqlite_installation: Installation, tmp_path: Path, elsewhere: Path
) -> dict[str, str]:
    """The environment of an installation that is set up."""
    del sqlite_installation, elsewhere
    return environment(sqlite_databases, tmp_path / "root.key")


@pytest.fixture
def mydata(environ: dict[str, str]) -> Mydata:
    """`mydata(*arguments, stdin=...)` on that installation."""

    def run_on_installation(*arguments: str, stdin: str = "") -> Ran:
        return run(environ, *arguments, stdin=stdin)

    return run_on_installation
