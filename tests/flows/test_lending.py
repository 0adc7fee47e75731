"""The loan from end to end, as processes: `mydata demo --once --service lending`."""

import json
from pathlib import Path

import pytest

from consent.ledger.verify.__main__ import main as verify_log
from tests.flows.demos import Told, mydata


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    directory = tmp_path_factory.mktemp("loan") / "demo"
    ran = mydata("demo", "--once", "--json", "--service", "lending", "--dir", directory)
    assert ran.code == 0, ran.err
    return Told(json.loads(ran.out.splitlines()[-1]), directory, f"sqlite:///{directory / 'data.db'}")


def test_the_object_is_the_one_that_was_promised(told: Told) -> None:
    job = told.object
    assert job.keys() == {
        "service",
        "issuer",
        "subject",
        "consent",
        "asked",
        "pull",
        "decision",
        "redelivery_same_payload",
        "second_pull_refused",
        "withdrawn",
        "pull_after_withdrawal",
        "deletion_attested",
        "receipt",
        "ledger",
    }
    assert (job["service"], job["subject"], job["consent"]["state"]) == ("lending", "haneul", "WITHDRAWN")
    assert (job["redelivery_same_payload"], job["second_pull_refused"]) == (True, "no_place_left")
    assert (job["withdrawn"], job["pull_after_withdrawal"], job["deletion_attested"]) == (True, 401, True)
    assert job["receipt"]["verified"] is True
    assert job["ledger"]["verified"] is True


def test_the_loan_is_decided_over_answers_alone(told: Told) -> None:
    job = told.object
    assert job["asked"] == {
        "income.certificate": "predicate",
        "employment.history": "predicate",
        "credit.loan_balance": "predicate",
        "finance.account": "derived",
    }
    assert set(job["pull"]["records"]) == set(job["asked"])
    assert set(job["pull"]["records"].values()) == {1}
    assert job["decision"] == {
        "status": "approved",
        "amount": 15_000_000,
        "rate": 540,
        "rules": ["LN-EMPLOYED", "LN-NOT-OVERDUE", "LN-INCOME"],
    }


def test_the_export_stands_alone_and_no_amount_lies_at_the_bank(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    export = Path(told.object["ledger"]["export"])
    vkey = (export / "log.vkey").read_text("utf-8").strip()
    assert verify_log([str(export), "--vkey", vkey]) == 0, capsys.readouterr().out
    kept = b"".join(file.read_bytes() for file in (told.directory / "bank").glob("bank.db*"))
    assert b"LN-INCOME" in kept
    for amount in (b"34120000", b"34,120,000", b"3600000", b"3,600,000"):
        assert amount not in kept
