"""The canary test's story: the planted data goes every way in and out, and into every request that fails."""

import json
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest

from broker.demo.citizen import Citizen
from broker.demo.hospital.store import Store
from connectors.services.relying_party.broker_client import BrokerRefusedError
from connectors.sources import hospital
from tests.faults.canaries import (
    ADDRESS,
    BARE_RRN,
    CLINIC_NO,
    EVERYTHING,
    KEY,
    LATIN_NAME,
    NAME,
    PATIENT_NO,
    PHONE,
    PUSHED,
    REASON,
    RRN,
    STRANGER,
    USERNAME,
    bill,
    doubtful_bills,
    header,
    write_files,
)
from tests.faults.canary_stage import CLINIC_HOLDER, PATIENCE, Stage

FORM: Final = {
    "client_id": LATIN_NAME,
    "client_assertion": EVERYTHING,
    "token": EVERYTHING,
    "code": RRN,
    "state": NAME,
    "authorization_details": json.dumps([{"type": NAME, "purpose": EVERYTHING}]),
    NAME: PHONE,
}
HEADERS: Final = {
    "User-Agent": LATIN_NAME,
    "Referer": f"https://example.org/?name={quote(NAME)}",
    "X-Forwarded-For": PHONE,
    "X-Trace-Id": BARE_RRN,
    "Cookie": f"sid={USERNAME}; name={quote(NAME)}",
    "Authorization": f"DPoP {RRN}",
    "Idempotency-Key": KEY,
}
# A multipart body is where a server would use temporary files.
UPLOAD: Final = {"files": {NAME: (f"{NAME}.csv", EVERYTHING.encode() * 1000, "text/csv")}, "data": FORM}
STRANGE_REQUESTS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("GET", "/ko/signin", {"params": {"next": f"/ko/{NAME}", "name": EVERYTHING}}),
    ("GET", "/authorize", {"params": {"client_id": NAME, "request_uri": EVERYTHING}}),
    ("GET", f"/{quote(NAME)}/{RRN}", {}),
    ("GET", f"/ko/consents/{quote(NAME)}", {"params": {"name": EVERYTHING}}),
    ("GET", "/v1/records", {"params": {"name": EVERYTHING}}),
    ("GET", f"/v1/records/{quote(NAME)}", {}),
    ("GET", f"/log/tile/{quote(NAME)}", {}),
    ("POST", "/par", {"data": FORM}),
    ("POST", "/token", {"data": FORM}),
    ("POST", "/revoke", {"data": FORM}),
    ("POST", "/introspect", {"data": FORM}),
    ("POST", "/ko/signin", UPLOAD),
    ("POST", "/ko/signin", {"data": FORM}),
    ("POST", f"/v1/deliveries/{RRN}/ack", {"content": EVERYTHING.encode("cp949")}),
    ("POST", f"/v1/deliveries/{RRN}/decision", {"content": f'{{"status": "{EVERYTHING}'.encode()}),
    ("POST", f"/v1/decisions/{quote(NAME)}/review", {"data": FORM}),
    ("POST", "/v1/holders/records", {"content": f'{{"header": "{EVERYTHING}'.encode()}),
    ("PUT", "/v1/records", {"json": {NAME: EVERYTHING}}),
)
BROKEN_PUSHES: Final = (
    f'{{"header": "{EVERYTHING}'.encode(),
    EVERYTHING.encode("cp949"),
    json.dumps({"header": {NAME: EVERYTHING}, "records": [NAME]}).encode(),
    json.dumps({"header": {"format": NAME}, "records": [EVERYTHING]}).encode(),
    json.dumps({"header": header() | {NAME: EVERYTHING, "biz_no": RRN}, "records": [bill(PUSHED)]}).encode(),
)


def arrive(stage: Stage) -> None:
    """By asking (done when the processes were up), by push, and by file, good and bad."""
    with stage.citizen() as citizen:
        _link_the_clinic(stage, citizen)
    store = Store(stage.hospital.store)
    store.put([(hospital.FORMAT, bill(PUSHED))])
    _wait_until_pushed(store)
    body = {"header": header(), "records": doubtful_bills()}
    answer = stage.push(json.dumps(body, ensure_ascii=False).encode())
    assert {result["outcome"] for result in answer.json()["results"]} == {"refused", "held"}
    answers = [stage.push(content) for content in BROKEN_PUSHES]
    assert {answer.status_code for answer in answers} <= {400, 422}
    ran = stage.mydata_as_a_process("source", "import", *write_files(stage.folders.inputs), "-o", "json")
    report = json.loads(ran.out)
    assert (ran.code, report["added"] >= 3) == (1, True), ran.err  # of each file that has a good one
    assert {fault["rule"] for fault in report["faults"]} >= {
        "total_adds_up",
        "name_differs",
        "person_not_linked",
        "contains_resident_registration_number",
        "unknown_member",
        "unknown_column",
        "not_json",
        "not_a_date",
    }


def claim(stage: Stage) -> dict[str, Any]:
    """Consent, pull, decision, repeats, review, acknowledgement, withdrawal; the case, with two secrets."""
    insurer = stage.insurer
    opened = insurer.post("/staff/cases")
    path = f"/staff/cases/{opened['case_id']}"
    with stage.citizen() as citizen:
        citizen.agree(opened["authorization_url"])
        case = insurer.get(path)
        assert case["state"] == "decided", case
        token = stage.access_token
        assert insurer.post(f"{path}/pull?key=same")["payload_digest"] == case["payload_digest"]
        with stage.recipient() as client:
            with pytest.raises(BrokerRefusedError, match="no_place_left"):
                client.pull(token, KEY, datetime.now(UTC))
            with pytest.raises(BrokerRefusedError, match="422"):
                client.send_decision(
                    case["delivery_id"], {"status": NAME, RRN: EVERYTHING}, datetime.now(UTC)
                )
            with pytest.raises(BrokerRefusedError, match="invalid_authorization_details"):
                client.start(stage.demo.terms | {"purpose": NAME, RRN: EVERYTHING}, datetime.now(UTC))
        insurer.post(f"{path}/ack")
        for page in ("/ko", "/ko/sources", f"/ko/consents/{case['grant_id']}"):
            citizen.download(page)
        assert NAME in citizen.download("/ko")
        assert citizen.download(f"/ko/consents/{case['grant_id']}/receipt.jws")
        review = f"{stage.issuer}/v1/decisions/{case['decision_id']}/review"
        assert citizen._http.post(review, headers={"Origin": stage.issuer}).status_code == 202
        held = files_of(stage.folders.broker / "insurer")  # what is stopped, the insurer deletes
        citizen.stop(case["grant_id"])
        cookie = citizen._http.cookies["sid"]
    assert insurer.post(f"{path}/pull?key=same")["code"] == "consent_withdrawn"
    return case | {"access token": token, "session cookie": cookie, "held": held}


def files_of(folder: Path) -> bytes:
    """Everything that lies in a folder, one file after the other."""
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def disturb(stage: Stage) -> None:
    """Requests that nobody can understand or that are nobody's to make, full of what must not be written."""
    with httpx.Client(base_url=stage.issuer, timeout=PATIENCE) as http:
        for username, password in ((USERNAME, NAME), (RRN, EVERYTHING), (EVERYTHING, PHONE)):
            data = {"username": username, "password": password, "next": f"/ko?name={NAME}"}
            answer = http.post("/ko/signin", data=data, headers={"Origin": stage.issuer})
            assert answer.status_code == 422
        for method, path, request in STRANGE_REQUESTS:
            for headers in ({}, HEADERS | {"Origin": stage.issuer}):
                answer = http.request(method, path, headers=headers, **request)
                assert answer.status_code < 500, (method, path)
                assert path.startswith("/ko/") or answer.status_code >= 400, (method, path)
    address = ("127.0.0.1", stage.demo.plan.port)
    for noise in (f"GET /{NAME} HTTP/9.9\r\n\r\n", f"{EVERYTHING}\r\n\r\n"):
        with socket.create_connection(address, PATIENCE) as line:
            line.sendall(noise.encode())
            line.recv(1000)


def look_for_a_hospital(stage: Stage) -> None:
    """The one search that takes words from anybody, and looks for them among the holders' names."""
    for words in (NAME, f"{RRN} {ADDRESS}"):
        answer = httpx.get(f"{stage.issuer}/ko/coverage", params={"q": words}, timeout=PATIENCE)
        assert (answer.status_code, words in answer.text) == (200, True)


def decide(stage: Stage) -> str:
    """The staff looks at what is kept apart, and decides; what was shown to them."""
    listed = json.loads(stage.mydata("source", "pending", "list", "-o", "json").out)
    by_rule = {one["rule"]: one["pending_id"] for one in listed}
    shown = [
        stage.mydata("source", "pending", "show", one, "--reason", REASON, is_kept=False)
        for one in by_rule.values()
    ]
    assert STRANGER in "".join(ran.out for ran in shown)
    admitted = stage.mydata("source", "pending", "accept", by_rule["name_differs"], "--reason", REASON)
    dismissed = stage.mydata("source", "pending", "reject", by_rule["person_not_linked"], "--reason", REASON)
    search = ("subject", "find", "--holder", "seoul-hospital", "--number", PATIENT_NO, "--reason", REASON)
    found = stage.mydata(*search)
    exported = stage.mydata("audit", "export", stage.folders.broker / "log-export")
    codes = [ran.code for ran in (*shown, admitted, dismissed, found, exported)]
    assert set(codes) == {0}, codes
    stage.mydata("doctor")
    return "".join(ran.out for ran in shown)


def _link_the_clinic(stage: Stage, citizen: Citizen) -> None:
    """By the page's form."""
    citizen.download("/ko/sources")
    answer = citizen._http.post(
        f"{stage.issuer}/ko/sources",
        data={
            "holder": CLINIC_HOLDER,
            "patient_no": CLINIC_NO,
            "record_type": "health.medical_bill",
            "agree": "yes",
        },
        headers={"Origin": stage.issuer},
    )
    assert answer.status_code == 303, answer.status_code


def _wait_until_pushed(store: Store) -> None:
    deadline = time.monotonic() + PATIENCE
    while not any(one.number == PUSHED.bill_no and one.is_pushed for one in store.documents()):
        assert time.monotonic() < deadline, "the hospital did not push"
        time.sleep(0.1)
