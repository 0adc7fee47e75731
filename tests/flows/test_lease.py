"""The lease from end to end, as processes: `mydata demo --once --service lease`."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from broker.demo.installing import DemoPlan, install
from consent.ledger.verify.__main__ import main as verify_log
from tests.flows.demos import Told, mydata


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    directory = tmp_path_factory.mktemp("lease") / "demo"
    ran = mydata("demo", "--once", "--json", "--service", "lease", "--dir", directory)
    assert ran.code == 0, ran.err
    return Told(json.loads(ran.out.splitlines()[-1]), directory, f"sqlite:///{directory / 'data.db'}")


def test_what_can_be_signed_together_is_told_apart_from_what_can_be_granted_alone(tmp_path: Path) -> None:
    plan = DemoPlan(
        directory=tmp_path / "demo",
        database_url=f"sqlite:///{tmp_path / 'demo' / 'data.db'}",
        keyring_url=f"sqlite:///{tmp_path / 'demo' / 'keyring.db'}",
        port=1,
        insurer_port=2,
        client_port=3,
        acknowledge="at_once",
        contracts_port=4,
    )
    announced = install(plan, lambda: datetime.now(UTC)).announcement()
    assert [client["client_id"] for client in announced["clients"]] == ["hanbit-claims"]
    (deal,) = announced["deals"]
    assert (deal["client_id"], deal["kind"]) == ("zipsign-contracts", "lease")
    assert "deals" in deal["scope"].split()
    assert {role: asked["persona"] for role, asked in deal["roles"].items()} == {
        "tenant": "haneul",
        "landlord": "youngsu",
        "agent": "sera",
    }
    assert announced["pages"]["contracts"] == "http://127.0.0.1:4"


def test_three_sign_and_each_is_pulled_once(told: Told) -> None:
    job = told.object
    assert (job["service"], job["subject"]) == ("lease", "haneul")
    assert (job["deal"]["state"], job["deal"]["signed"]) == ("COMPLETE", ["agent", "tenant", "landlord"])
    assert job["early_pull_refused"] == "consent_partially_signed"
    assert {role: set(records) for role, records in job["pulls"].items()} == {
        "tenant": {"person.identity", "income.certificate"},
        "landlord": {"tax.clearance", "realestate.registry", "realestate.fixed_date"},
        "agent": {"realestate.agent_licence"},
    }
    assert (job["contract_opened"], job["deposit_at_risk"]) == (True, False)
    assert (job["redelivery_same_payload"], job["second_pull_refused"]) == (True, "no_place_left")


def test_the_tenant_stops_and_only_the_tenant_s_is_deleted(told: Told) -> None:
    job = told.object
    assert (job["consent"]["state"], job["withdrawn"], job["deletion_attested"]) == ("WITHDRAWN", True, True)
    assert job["pull_after_withdrawal"] == 401
    assert job["receipt"]["verified"] is True


def test_the_log_that_was_exported_verifies(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    export = Path(told.object["ledger"]["export"])
    vkey = (export / "log.vkey").read_text("utf-8").strip()
    assert verify_log([str(export), "--vkey", vkey]) == 0, capsys.readouterr().out
