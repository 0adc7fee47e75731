"""The demo hospital as a process: what it refuses, on which ground, and a new bill's way into the vault."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from broker.db import Database
from broker.demo.hospital.app import create_hospital
from broker.demo.hospital.configuration import load_configuration
from broker.demo.hospital.desk import BrokerKeys, Desk
from broker.demo.hospital.installing import install_hospital
from broker.demo.hospital.pushing import Pusher, PushRefusedError
from broker.demo.hospital.store import Store
from broker.demo.installing import Demo, DemoPlan, install
from broker.demo.processes import free_port, running
from connectors.errors import OutboundError
from connectors.http import OutboundClient
from connectors.sources.demo_hospital import write_exports
from connectors.sources.transmission import (
    MEDIA_TYPE,
    PageWish,
    SigningKey,
    Transmission,
    sign_transmission,
)
from consent.vocabulary import RefusalReason
from tests.flows.demos import PATIENCE, environment
from vault.jose import public_jwk_of_pem
from vault.keys.service_keys import _generate

ISSUER: Final = "https://broker.example"
HOLDER: Final = "seoul-hospital"
NOW: Final = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
BILL: Final = "health.medical_bill"
PEM: Final = _generate("ES256")
OTHER_PEM: Final = _generate("ES256")


class Keys(BrokerKeys):
    """The broker's keys, as if they had been fetched; how often somebody doubted them is counted."""

    def __init__(self) -> None:
        self.doubts = 0
        self.is_away = False

    def get(self, *, are_doubted: bool = False) -> dict[str, Any]:
        self.doubts += are_doubted
        if self.is_away:
            raise OutboundError("broker.example", "away")
        return {"keys": [public_jwk_of_pem(PEM)]}


@dataclass(frozen=True)
class Ward:
    """A hospital in this process."""

    http: TestClient
    store: Store
    keys: Keys
    staff: dict[str, str]

    def ask(self, token: str, media_type: str = MEDIA_TYPE) -> httpx.Response:
        headers = {"Content-Type": media_type}
        answer: httpx.Response = self.http.post("/transmissions", content=token, headers=headers)
        return answer

    def page(self, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - items and wishes
        answer = self.ask(request(**changes))
        assert answer.status_code == 200, answer.text
        members: dict[str, Any] = answer.json()
        return members


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    exports = write_exports(tmp_path / "exports")
    install_hospital(
        tmp_path / "hospital",
        issuer=ISSUER,
        holder_id=HOLDER,
        port=1,
        exports=[exports.hospital, exports.details, exports.prescriptions],
    )
    configuration = load_configuration(tmp_path / "hospital" / "config.json")
    store, keys = Store(configuration.store), Keys()
    desk = Desk(configuration, store, keys, lambda: NOW)
    http = TestClient(create_hospital(configuration, store, desk))
    return Ward(http, store, keys, {"Authorization": f"Bearer {configuration.staff_token}"})


def request(
    *,
    since: int = 0,
    cursor: str | None = None,
    limit: int = 100,
    pem: bytes = PEM,
    issuer: str = ISSUER,
    now: datetime = NOW,
    **items: Any,  # noqa: ANN401 - any of the seven
) -> str:
    members: dict[str, Any] = {
        "purpose": "vault.collection",
        "holder": HOLDER,
        "recipient": issuer,
        "record_types": (BILL,),
        "number": "P-0001",
        "cycle": "P1D",
        "until": NOW + timedelta(days=365),
        "retention": "until_erased",
    }
    key = SigningKey(public_jwk_of_pem(pem)["kid"], pem)
    wish = PageWish(since, cursor, limit)
    return sign_transmission(Transmission(**members | items), wish, key, issuer=issuer, now=now)


def ground(answer: httpx.Response) -> str:
    assert answer.status_code == 403, answer.text
    reason = str(answer.json()["refusal"])
    assert reason in set(RefusalReason)
    return reason


# What it refuses


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("rubbish", "RECEIVER_NOT_ELIGIBLE"),
        (request(pem=OTHER_PEM), "RECEIVER_NOT_ELIGIBLE"),
        (request(issuer="https://other.example"), "RECEIVER_NOT_ELIGIBLE"),
        (request(recipient="https://other.example"), "RECEIVER_NOT_ELIGIBLE"),
        (request(holder="other-hospital"), "REQUEST_NOT_SPECIFIC"),
        (request(now=NOW - timedelta(minutes=2)), "REQUEST_NOT_SPECIFIC"),
        (request(until=NOW), "REQUEST_NOT_SPECIFIC"),
        (request(record_types=("insurance.indemnity_policy",)), "REQUEST_NOT_SPECIFIC"),
        (request(number="P-9999"), "IDENTITY_UNVERIFIED"),
    ],
)
def test_a_request_that_is_not_in_order_is_refused_on_a_legal_ground(
    ward: Ward, token: str, reason: str
) -> None:
    assert ground(ward.ask(token)) == reason
    assert ward.store.to_push(NOW, 9) == []


def test_a_request_is_taken_once(ward: Ward) -> None:
    token = request()
    assert ward.ask(token).status_code == 200
    assert ground(ward.ask(token)) == "EXCESSIVE_REPEAT"


def test_keys_that_do_not_fit_are_fetched_again_before_it_says_no(ward: Ward) -> None:
    ward.ask(request())
    assert ward.keys.doubts == 0
    ward.ask(request(pem=OTHER_PEM))
    assert ward.keys.doubts == 1


def test_without_the_brokers_keys_it_cannot_answer_yet(ward: Ward) -> None:
    ward.keys.is_away = True
    assert ward.ask(request()).status_code == 503


def test_another_media_type_and_a_huge_body_are_not_read(ward: Ward) -> None:
    assert ward.ask(request(), "application/json").status_code == 415
    assert ward.ask("x" * 70_000).status_code == 413


@pytest.mark.parametrize("cursor", ["x", "1", "1.2.3", "-1.2", "1.2;"])
def test_a_cursor_of_nobody_leads_nowhere(ward: Ward, cursor: str) -> None:
    assert ward.ask(request(cursor=cursor)).status_code == 410


def test_staff_may_refuse_a_patient_on_one_of_the_eleven_grounds_and_take_it_back(ward: Ward) -> None:
    path = "/staff/patients/P-0001/refusal"
    assert ward.http.put(path, json={"reason": "THIRD_PARTY_RIGHTS"}).status_code == 401
    for reason in ("BECAUSE", 1, ""):
        assert ward.http.put(path, json={"reason": reason}, headers=ward.staff).status_code == 422
    assert ward.http.put(path, content=b"x", headers=ward.staff).status_code == 422
    unknown = "/staff/patients/P-9999/refusal"
    assert ward.http.put(unknown, json={"reason": None}, headers=ward.staff).status_code == 404
    for reason in RefusalReason:
        assert ward.http.put(path, json={"reason": reason}, headers=ward.staff).status_code == 200
        assert ground(ward.ask(request())) == reason
    ward.http.put(path, json={"reason": None}, headers=ward.staff)
    assert ward.ask(request()).status_code == 200


def test_the_staffs_interface_is_for_the_staff(ward: Ward) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}):
        assert ward.http.get("/staff/visits", headers=headers).status_code == 401
        assert ward.http.post("/staff/visits", json={}, headers=headers).status_code == 401
    answer = ward.http.post("/staff/visits", json={"patient_no": "P-9999"}, headers=ward.staff)
    assert answer.status_code == 404


# What it sends


def test_pages_hold_the_patients_own_documents_in_order_and_end(ward: Ward) -> None:
    numbers: list[str] = []
    cursor, marks = None, set()
    while True:
        page = ward.page(cursor=cursor, limit=5)
        assert {record["PT_NO"] for record in page["records"]} == {"P-0001"}
        numbers += [record["RCPT_NO"] for record in page["records"]]
        marks.add(page["search_timestamp"])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert (len(numbers), len(set(numbers)), len(marks)) == (12, 12, 1)
    assert ward.page(since=marks.pop())["records"] == []


def test_each_page_is_of_one_format(ward: Ward) -> None:
    wanted = (BILL, "health.medical_bill_detail", "health.prescription")
    cursor, formats = None, []
    while True:
        page = ward.page(cursor=cursor, record_types=wanted)
        formats.append(page["header"]["format"])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert formats == [
        "seoul-hospital-export",
        "seoul-hospital-details-export",
        "seoul-hospital-prescriptions-export",
    ]


def test_a_new_visit_is_pushed_for_whom_it_is_wanted_until_it_ends(ward: Ward) -> None:
    add = ward.http.post("/staff/visits", json={"patient_no": "P-0001"}, headers=ward.staff)
    assert (add.status_code, ward.store.to_push(NOW, 9)) == (201, [])  # nobody has asked yet
    mark = ward.page()["search_timestamp"]
    (waiting,) = ward.store.to_push(NOW, 9)
    assert waiting.number == add.json()["bill_no"]
    assert ward.store.to_push(NOW + timedelta(days=366), 9) == []
    ward.store.end_transmission("P-0001")
    assert ward.store.to_push(NOW, 9) == []
    assert mark > 0
    ward.page(cycle=None)
    assert ward.store.to_push(NOW, 9) == []  # asked for once only


def test_visits_of_one_day_have_numbers_of_their_own(ward: Ward) -> None:
    added = [
        ward.http.post("/staff/visits", json={"patient_no": "P-0001"}, headers=ward.staff).json()["bill_no"]
        for _ in range(3)
    ]
    assert len(set(added)) == 3
    listed = ward.http.get("/staff/visits", headers=ward.staff).json()
    assert set(added) <= {one["number"] for one in listed if not one["is_pushed"]}


def test_a_broker_that_is_away_or_says_no_leaves_the_bill_to_be_pushed(ward: Ward, tmp_path: Path) -> None:
    ward.page()
    ward.http.post("/staff/visits", json={"patient_no": "P-0001"}, headers=ward.staff)
    configuration = load_configuration(tmp_path / "hospital" / "config.json")
    with OutboundClient() as http:
        pusher = Pusher(configuration, ward.store, http, lambda: NOW)
        with pytest.raises((OutboundError, PushRefusedError)):
            pusher.push_once()
    assert len(ward.store.to_push(NOW, 9)) == 1


def test_its_page_says_what_it_is(ward: Ward) -> None:
    answer = ward.http.get("/")
    assert (answer.status_code, "서울한빛병원" in answer.text) == (200, True)
    assert answer.headers["content-type"].startswith("text/html")


def test_wrong_usage_of_the_process() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "broker.demo.hospital"],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (ran.returncode, b"usage" in ran.stderr) == (2, True)


# As a process, beside the others


@dataclass(frozen=True)
class Staff:
    """The staff of a running demo's hospital."""

    url: str
    token: str

    def add_visit(self, patient_no: str) -> str:
        answer = httpx.post(
            f"{self.url}/staff/visits",
            json={"patient_no": patient_no},
            headers=self._headers,
            timeout=PATIENCE,
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["bill_no"])

    def refuse(self, patient_no: str, reason: str | None) -> None:
        path = f"{self.url}/staff/patients/{patient_no}/refusal"
        assert (
            httpx.put(path, json={"reason": reason}, headers=self._headers, timeout=PATIENCE).status_code
            == 200
        )

    def unpushed(self) -> set[str]:
        listed = httpx.get(f"{self.url}/staff/visits", headers=self._headers, timeout=PATIENCE).json()
        bills = [one for one in listed if one["format"] == "seoul-hospital-export"]
        return {one["number"] for one in bills if not one["is_pushed"]}

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True)
class Site:
    """A demo's processes, started by the test itself, which may kill them."""

    demo: Demo
    processes: list["subprocess.Popen[bytes]"]

    @property
    def staff(self) -> Staff:
        return Staff(
            self.demo.plan.hospital_url, load_configuration(self.demo.plan.hospital_config).staff_token
        )

    @property
    def hospital(self) -> "subprocess.Popen[bytes]":
        return self.processes[-1]

    def restart_hospital(self) -> None:
        command = [sys.executable, "-m", "broker.demo.hospital", str(self.demo.plan.hospital_config)]
        self.processes[-1] = subprocess.Popen(command, cwd="/", env=environment())

    def count(
        self, query: str = "SELECT count(*) FROM record WHERE record_type = 'health.medical_bill'"
    ) -> int:
        database = Database(self.demo.plan.database_url, pool_size=1)
        try:
            with database.read() as session:
                return int(session.connection().execute(text(query)).scalar_one())
        finally:
            database.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site") / "demo"
    plan = DemoPlan(
        directory=directory,
        database_url=f"sqlite:///{directory / 'data.db'}",
        keyring_url=f"sqlite:///{directory / 'keyring.db'}",
        port=free_port(),
        insurer_port=free_port(),
        client_port=free_port(),
        acknowledge="at_once",
        hospital_port=free_port(),
    )
    demo = install(plan, lambda: datetime.now(UTC))
    with running(demo) as processes:
        yield Site(demo, processes)


def wait_for(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_everybodys_bills_are_there_when_the_processes_are_up(site: Site) -> None:
    assert site.count() >= 40
    assert site.count("SELECT count(*) FROM pending_record") == 0


def test_a_new_bill_is_in_the_vault_soon_after_the_visit(site: Site) -> None:
    before, staff = site.count(), site.staff
    number = staff.add_visit("P-0003")
    assert wait_for(lambda: number not in staff.unpushed())
    assert site.count() == before + 1


def test_a_bill_of_a_hospital_that_was_killed_is_pushed_when_it_is_back(site: Site) -> None:
    before, staff = site.count(), site.staff
    os.kill(site.processes[0].pid, signal.SIGSTOP)  # a broker that does not answer: it cannot be pushed yet
    try:
        number = staff.add_visit("P-0004")
        site.hospital.kill()
        site.hospital.wait(PATIENCE)
    finally:
        os.kill(site.processes[0].pid, signal.SIGCONT)
    site.restart_hospital()
    assert wait_for(lambda: _answers(staff.url))
    assert wait_for(lambda: number not in staff.unpushed())
    assert site.count() == before + 1


def test_what_the_hospital_wrote_is_for_its_owner_alone(site: Site) -> None:
    folder = site.demo.plan.hospital_config.parent
    files = [file for file in folder.iterdir() if file.is_file()]
    assert {"config.json", "hospital.db", "private.jwks.json"} <= {file.name for file in files}
    assert [file.name for file in files if file.stat().st_mode & 0o077] == []


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1).is_success
    except httpx.TransportError:
        return False
