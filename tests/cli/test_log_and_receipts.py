"""`mydata source`, `ledger`, `audit`, `receipt`, `claim`: what is read, handed out and checked."""

import json
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from broker.db import transaction
from broker.installation import Installation
from connectors.sources.demo_hospital import write_exports
from connectors.sources.demo_people import DEMO_PEOPLE
from consent.collection import NewLink, add_subject, link
from consent.organisations import NewOrganisation, register
from consent.receipt_signature import ReceiptSigner
from tests.cli.conftest import Mydata, run

HOSPITAL = "seoul-hospital"


@pytest.fixture
def exports(environ: dict[str, str], sqlite_installation: Installation, elsewhere: Path) -> Path:
    """The demo hospital's export; its people are linked, so the log has entries."""
    del environ
    opened = sqlite_installation
    now = opened.clock()
    with transaction(opened.data) as work:
        names = {
            "name_ko": "서울한빛병원",
            "name_en": "Seoul Hanbit",
            "registration_number": "1",
            "contact": "x",
        }
        register(work.session, NewOrganisation(HOSPITAL, **names, is_recipient=False, is_holder=True), now)
        work.session.flush()
        for person in DEMO_PEOPLE:
            subject_id = add_subject(work, opened.keyring, now)
            new = NewLink(subject_id, HOSPITAL, person.patient_no, ("health.medical_bill",), "ko")
            link(work, opened.keyring, new, now)
    return write_exports(elsewhere / "exports").hospital


@pytest.fixture
def log(mydata: Mydata, exports: Path) -> Path:
    """An exported log with entries."""
    del exports
    assert mydata("audit", "export", "log").code == 0
    return Path("log")


def test_a_file_that_is_not_there_is_wrong_usage(mydata: Mydata) -> None:
    assert mydata("source", "import", "none.jsonl").code == 2


def test_bad_records_are_named_and_the_good_ones_kept(mydata: Mydata, exports: Path) -> None:
    lines = exports.read_text(encoding="utf-8").splitlines()
    bill = json.loads(lines[3])
    lines[3] = json.dumps({**bill, "TOT_AMT": "1"}, ensure_ascii=False)
    lines[5] = "{"
    broken = exports.with_name("broken.jsonl")
    broken.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ran = mydata("source", "import", str(broken))
    assert ran.code == 1
    assert any(fault.startswith("broken.jsonl:line 4 $") for fault in ran.err.splitlines())
    assert any(fault.startswith("broken.jsonl:line 6, column 2 $") for fault in ran.err.splitlines())
    assert "김하늘" not in ran.err
    good = len(lines) - 3
    assert f"added {good}," in ran.out
    mended = mydata("source", "import", str(exports), "-o", "json")
    assert mended.code == 0
    assert mended.json() == {"added": 2, "corrected": 0, "unchanged": good, "faults": [], "warnings": []}


def test_a_file_of_no_known_format_is_refused(mydata: Mydata, elsewhere: Path) -> None:
    (elsewhere / "odd.jsonl").write_text('{"format": "odd"}\n')
    ran = mydata("source", "import", "odd.jsonl", "-o", "json")
    assert (ran.code, ran.json()["faults"][0]["file"]) == (1, "odd.jsonl")


@pytest.mark.usefixtures("exports")
def test_holders_are_listed(mydata: Mydata) -> None:
    assert [row["holder_id"] for row in mydata("source", "list", "-o", "json").json()] == [HOSPITAL]


def test_a_log_that_was_changed_is_falsified(mydata: Mydata, log: Path) -> None:
    bundle = next((log / "tile" / "entries").rglob("*.p/*"))
    content = bytearray(bundle.read_bytes())
    content[-2] ^= 1
    bundle.write_bytes(content)
    ran = mydata("audit", "verify", str(log), "-o", "json")
    assert (ran.code, ran.json()["outcome"]) == (1, "falsified")
    assert ran.json()["place"]


def test_a_log_with_a_piece_missing_could_not_be_checked(mydata: Mydata, log: Path) -> None:
    shutil.rmtree(log / "tile" / "entries")
    assert mydata("audit", "verify", str(log)).code == 3
    assert mydata("audit", "verify", "nowhere").code == 3


def test_a_key_that_is_none_is_wrong_usage_and_a_foreign_one_falsifies(mydata: Mydata, log: Path) -> None:
    assert mydata("audit", "verify", str(log), "--vkey", "x").code == 2
    own = (log / "log.vkey").read_text().strip()
    foreign = own.replace("127.0.0.1", "127.0.0.2")
    assert mydata("audit", "verify", str(log), "--vkey", foreign).code in {1, 2}
    assert mydata("audit", "verify", str(log), "--vkey", own, "-o", "json").json()["key_is_pinned"] is True


def test_an_exported_log_verifies_without_an_installation(log: Path) -> None:
    ran = run({}, "audit", "verify", str(log), "-o", "json")
    assert (ran.code, ran.json()["outcome"], ran.json()["size"]) == (0, "verified", len(DEMO_PEOPLE))


def test_nothing_is_written_over(mydata: Mydata, log: Path) -> None:
    ran = mydata("audit", "export", str(log))
    assert (ran.code, "nothing was written" in ran.err) == (1, True)


@pytest.mark.usefixtures("log")
def test_the_status_is_the_export(mydata: Mydata) -> None:
    status = mydata("ledger", "status", "-o", "json").json()
    assert status["size"] == status["signed_size"] == len(DEMO_PEOPLE)
    assert status["root"] == status["signed_root"]


@pytest.mark.usefixtures("exports")
def test_events_are_found_by_what_they_are(mydata: Mydata) -> None:
    found = mydata("audit", "search", "--type", "source.linked", "-o", "json").json()
    assert [event["index"] for event in found] == [4, 3, 2, 1, 0]
    assert mydata("audit", "search", "--handle", found[0]["handle"], "-o", "json").json() == [found[0]]
    assert mydata("audit", "search", "--type", "consent.given", "-o", "json").json() == []
    assert mydata("audit", "search", "--since", "2027-01-01T00:00:00+09:00", "-o", "json").json() == []
    assert mydata("audit", "search", "--until", "2026-01-01T00:00:00+09:00", "-o", "json").json() == []
    assert "--limit" in mydata("audit", "search", "--limit", "2").err


@pytest.mark.parametrize("instant", ["yesterday", "2026-11-01", "2026-11-01T00:00:00"])
def test_an_instant_needs_a_zone(mydata: Mydata, instant: str) -> None:
    assert mydata("audit", "search", "--since", instant).code == 2


@pytest.mark.usefixtures("exports")
def test_an_entry_is_proven_and_one_that_is_not_there_is_not(mydata: Mydata) -> None:
    assert mydata("audit", "prove", "2").out.startswith("c2sp.org/tlog-proof@v1\nindex 2\n")
    assert mydata("audit", "prove", "2", "-o", "json").json()["index"] == 2
    assert mydata("audit", "prove", "5").code == 1


@pytest.fixture
def receipt(environ: dict[str, str], sqlite_installation: Installation) -> Path:
    """A receipt with the key set beside it."""
    del environ
    (key, *_) = sqlite_installation.keyring.service_keys("receipt")
    signer = ReceiptSigner(key.private_pem, key.kid, "http://127.0.0.1:8000")
    signed = signer.sign({"grant_id": "g-1", "purpose": "p"}, receipt_id="r-1", issued_at=1)
    Path("receipt.jws").write_text(f"{signed}\n")
    Path("jwks.json").write_text(json.dumps({"keys": [key.public_jwk]}))
    return Path("receipt.jws")


def test_an_edited_receipt_is_falsified(receipt: Path) -> None:
    header, payload, signature = receipt.read_text().strip().split(".")
    receipt.write_text(f"{header}.{payload[:-4]}AAAA.{signature}")
    ran = run({}, "receipt", "verify", str(receipt))
    assert (ran.code, "does not hold" in ran.err) == (1, True)
    assert run({}, "receipt", "verify", str(receipt), "-o", "json").json()["verified"] is False


def test_a_receipt_without_its_key_set_could_not_be_checked(receipt: Path) -> None:
    Path("jwks.json").rename("keys.json")
    assert run({}, "receipt", "verify", str(receipt)).code == 3
    assert run({}, "receipt", "verify", str(receipt), "--jwks", "keys.json").code == 0
    for text in ("{", "[]"):
        Path("jwks.json").write_text(text)
        assert run({}, "receipt", "verify", str(receipt)).code == 3
    assert run({}, "receipt", "verify", "none.jws").code == 3


def test_a_receipt_verifies_offline_and_without_configuration(receipt: Path) -> None:
    ran = run({}, "receipt", "verify", str(receipt), "-o", "json")
    assert (ran.code, ran.json()["verified"], ran.json()["receipt"]["grant_id"]) == (0, True, "g-1")
    assert "g-1" in run({}, "receipt", "verify", str(receipt)).out


@pytest.fixture
def claim_files(sqlite_installation: Installation, elsewhere: Path) -> tuple[Path, Path]:
    catalogue = sqlite_installation.catalogue
    files = elsewhere / "policy.json", elsewhere / "bill.json"
    for file, code in zip(files, ("insurance.indemnity_policy", "health.medical_bill"), strict=True):
        file.write_bytes(orjson.dumps(catalogue.get(code).example, default=dict))
    return files


def claim(*arguments: str) -> Any:  # noqa: ANN401 - any JSON
    ran = run({}, "claim", "compute", *arguments, "-o", "json")
    assert ran.code == 0
    return ran.json()


def test_a_claim_is_computed_offline(claim_files: tuple[Path, Path]) -> None:
    policy, bill = map(str, claim_files)
    computed = claim("--policy", policy, "--bill", bill)
    assert computed["payable"] == sum(line["paid"] for line in computed["lines"]) > 0
    assert (
        f"payable {computed['payable']} won"
        in run({}, "claim", "compute", "--policy", policy, "--bill", bill).out
    )


def test_bills_come_in_one_file_or_in_several(claim_files: tuple[Path, Path]) -> None:
    policy, bill = claim_files
    other = json.loads(bill.read_text()) | {"bill_no": "20261111-0001"}
    second, both = bill.with_name("second.json"), bill.with_name("both.json")
    second.write_text(json.dumps(other))
    both.write_text(json.dumps([json.loads(bill.read_text()), other]))
    one_file = claim("--policy", str(policy), "--bill", str(both))
    assert claim("--policy", str(policy), "--bill", str(bill), str(second)) == one_file
    assert claim("--policy", str(policy), "--bill", str(bill), "--bill", str(second)) == one_file


@pytest.mark.parametrize("text", ["{", "1", "[1]"])
def test_a_bill_that_is_no_record_could_not_be_computed(claim_files: tuple[Path, Path], text: str) -> None:
    policy, bill = claim_files
    bill.write_text(text)
    assert run({}, "claim", "compute", "--policy", str(policy), "--bill", str(bill)).code == 3
    assert run({}, "claim", "compute", "--policy", str(bill), "--bill", str(policy)).code == 3
