"""`mydata receipt verify` on receipts and proofs of a real consent; docs/verify.md, run as it is written."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from broker.installation import Installation
from broker.jobs.publishing import log_key, publish
from consent.receipt_reading import bundle_of, receipts_of
from tests.cli.conftest import run
from tests.consent.office import open_office
from tests.installation import Clock

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "verify.md"


@pytest.fixture
def files(environ: dict[str, str], sqlite_installation: Installation, clock: Clock, elsewhere: Path) -> Path:
    """A folder with a receipt, its proof, and the issuer's keys."""
    del environ
    office = open_office(sqlite_installation, clock)
    grant_id = office.agree().grant_id
    publish(sqlite_installation, clock())
    vkey = log_key(sqlite_installation).vkey
    with sqlite_installation.data.read() as session:
        (view,) = receipts_of(session, office.keyring, office.subject_id, grant_id)
        keys = office.receipt_jwks()["keys"]
        made = bundle_of(
            session, office.keyring, office.subject_id, view, jwks=keys, log_key=vkey, is_opened=True
        )
    (elsewhere / "receipt.jws").write_text(view.jws + "\n")
    (elsewhere / "jwks.json").write_text(json.dumps(office.receipt_jwks()))
    (elsewhere / "log.vkey").write_text(vkey)
    (elsewhere / "proof.json").write_text(json.dumps(made))
    return elsewhere


def change(file: Path, **members: Any) -> None:  # noqa: ANN401 - any JSON
    file.write_text(json.dumps(json.loads(file.read_text()) | members))


def test_a_proof_that_was_changed_is_falsified(files: Path) -> None:
    entry = json.loads((files / "proof.json").read_text())["entry"]
    change(files / "proof.json", entry=entry | {"index": entry["index"] + 1})
    ran = run({}, "receipt", "verify", "proof.json")
    assert (ran.code, "does not hold" in ran.err) == (1, True)
    assert run({}, "receipt", "verify", "proof.json", "-o", "json").json()["verified"] is False


def test_keys_beside_a_proof_are_stronger_than_its_own(files: Path) -> None:
    (files / "jwks.json").write_text('{"keys": []}')
    assert run({}, "receipt", "verify", "proof.json").code == 1
    (files / "jwks.json").unlink()
    assert run({}, "receipt", "verify", "proof.json").code == 0


def test_a_proof_with_a_piece_missing_could_not_be_checked(files: Path) -> None:
    change(files / "proof.json", entry=None)
    assert run({}, "receipt", "verify", "proof.json").code == 3
    (files / "proof.json").write_text("{")
    assert run({}, "receipt", "verify", "proof.json").code == 3


def test_a_log_key_that_is_none_is_wrong_usage_and_a_foreign_one_falsifies(files: Path) -> None:
    assert run({}, "receipt", "verify", "proof.json", "--vkey", "x").code == 2
    foreign = (files / "log.vkey").read_text().replace("127.0.0.1", "127.0.0.2")
    assert run({}, "receipt", "verify", "proof.json", "--vkey", foreign).code in {1, 2}


def test_what_was_verified_is_told_in_plain_words(files: Path) -> None:
    ran = run({}, "receipt", "verify", "receipt.jws")
    assert ran.code == 0
    assert "The receipt is unchanged" in ran.out
    ran = run({}, "receipt", "verify", "proof.json")
    assert "It is in the log: entry" in ran.out
    assert "The entry was opened" in ran.out
    assert "keys came with the bundle" in ran.out
    ran = run({}, "receipt", "verify", "proof.json", "--vkey", (files / "log.vkey").read_text())
    assert "keys came with the bundle" not in ran.out


def test_a_proof_is_told_as_json(files: Path) -> None:
    del files
    told = run({}, "receipt", "verify", "proof.json", "-o", "json").json()
    assert (told["verified"], told["opened"], told["keys_are_its_own"]) == (True, True, True)
    assert told["log"]["index"] < told["log"]["size"]
    assert told["receipt"]["kind"] == "grant"


# Programs that are not ours, as the document says to use them


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", [0, 1], ids=["python-jose", "joserfc"])
def test_other_libraries_read_the_same_receipt(files: Path, number: int) -> None:
    (files / "check.py").write_text(snippets("python")[number])
    done = subprocess.run([sys.executable, "check.py"], cwd=files, capture_output=True, text=True, check=True)
    ours = run({}, "receipt", "verify", "receipt.jws", "-o", "json").json()["receipt"]
    assert json.loads(done.stdout) == ours


def test_openssl_verifies_a_receipt_and_refuses_an_edited_one(files: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    for outcome in ("Verified OK", "Verification failure"):
        done = subprocess.run(
            ["sh", "-c", snippets("sh")[0]], cwd=files, capture_output=True, text=True, check=False
        )
        assert outcome in done.stdout + done.stderr
        header, claims, signature = (files / "receipt.jws").read_text().split(".")
        (files / "receipt.jws").write_text(f"{header}.{claims[:-4]}AAAA.{signature}")
