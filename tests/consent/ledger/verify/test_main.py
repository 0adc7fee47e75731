"""The verifier as a program: exit codes, and that it needs nothing but Python."""

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import consent.ledger.verify
from consent.ledger.verify.__main__ import main
from tests.consent.ledger.making import export, fill, made_key
from tests.databases import Databases

KEY = made_key()


@pytest.fixture
def exported(sqlite_databases: Databases, tmp_path: Path) -> Path:
    fill(sqlite_databases.data, 3)
    return export(sqlite_databases.data, KEY, tmp_path / "log")


def test_wrong_usage(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], [str(exported), "--vkey", "no key"], [str(exported), "--unknown"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    assert "--vkey is not an Ed25519 verifier key" in capsys.readouterr().err


def test_falsified(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (exported / "tile/0/000.p/3").write_bytes(bytes(96))
    assert main([str(exported)]) == 1
    assert capsys.readouterr().out == "falsified: tile/0/000.p/3: entry 0 is not what this tile says\n"


def test_could_not_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 3
    assert capsys.readouterr().out == "unchecked: log.vkey: there is no such file\n"


def test_verified(
    exported: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "consent.ledger.verify.__main__")  # as in a process that starts with it
    monkeypatch.setattr(sys, "argv", ["verify", str(exported), "--vkey", KEY.vkey])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("consent.ledger.verify", run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("verified: 3 entries")


def test_the_folder_runs_alone_on_bare_python(exported: Path, tmp_path: Path) -> None:
    """Copied away from us, without site-packages: a stranger can read all of it and run it."""
    shutil.copytree(Path(consent.ledger.verify.__file__).parent, tmp_path / "alone" / "verify")
    done = subprocess.run(
        [sys.executable, "-S", "-m", "verify", str(exported), "--vkey", KEY.vkey],
        cwd=tmp_path / "alone",
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("verified: 3 entries")
