"""`POST /v1/holders/records`: who may deliver, what is refused and how it is named, and what is kept."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from broker.app import create_app
from broker.db import transaction
from broker.installation import Installation
from broker.oauth import clients
from broker.oauth.clients import ClientRegistration
from broker.oauth.errors import ClientInvalidError
from consent.collection import NewLink, link
from consent.models import Organisation, PendingRecord
from consent.organisations import suspend
from consent.pending import pending_records
from tests.api.conftest import bound
from tests.connectors.sources.double import Exported
from tests.consent.details import BILL, HOSPITAL
from tests.consent.office import Office, open_office
from tests.installation import ISSUER, Clock
from tests.oauth.world import Recipient
from vault.jose import public_jwk
from vault.store import Record

PATH = "/v1/holders/records"
SCOPE = "holders.records"


@dataclass(frozen=True)
class Hospital:
    """A broker over HTTP, the hospital's software, and one person who is linked."""

    office: Office
    http: httpx.Client
    software: Recipient
    exported: Exported

    def token(self) -> str:
        answer = self.software.own_token(scope=SCOPE)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def push(self, body: object, *, raw: bytes | None = None, token: str | None = None) -> httpx.Response:
        content = json.dumps(body, ensure_ascii=False).encode() if raw is None else raw
        headers = bound(self.software, PATH, token or self.token()) | {"Content-Type": "application/json"}
        return self.http.post(PATH, content=content, headers=headers)

    def deliver(self, records: list[Any], **header: object) -> httpx.Response:
        return self.push({"header": self.exported.header | header, "records": records})

    def record_count(self) -> int:
        with self.office.installation.data.read() as session:
            return len(session.exec(select(Record)).all())


@pytest.fixture
def hospital(installation: Installation, clock: Clock, tmp_path: Path) -> Iterator[Hospital]:
    yield from made(installation, clock, tmp_path)


@pytest.fixture
def small_hospital(sqlite_installation: Installation, clock: Clock, tmp_path: Path) -> Iterator[Hospital]:
    """On SQLite only: for what no database decides."""
    yield from made(sqlite_installation, clock, tmp_path)


def made(installation: Installation, clock: Clock, folder: Path) -> Iterator[Hospital]:
    office = open_office(installation, clock)
    with TestClient(create_app(installation), base_url=ISSUER) as http:
        software = Recipient(http, clock, "hospital-records", "")
        with office.work() as work:
            clients.add(work.session, registration(software), is_loopback_allowed=False, now=clock())
            new = NewLink(office.subject_id, HOSPITAL, "P-0001", (BILL,), "ko", "김하늘")
            link(work, office.keyring, new, clock())
        yield Hospital(office, http, software, Exported(folder / "exports"))


def registration(
    software: Recipient, organisation_id: str = HOSPITAL, scope: str = SCOPE
) -> ClientRegistration:
    return ClientRegistration(
        client_id=software.client_id,
        organisation_id=organisation_id,
        name="records",
        jwks={"keys": [public_jwk(software.key)]},
        scope=scope,
    )


def add(hospital: Hospital, new: ClientRegistration) -> None:
    with hospital.office.work() as work:
        clients.add(work.session, new, is_loopback_allowed=False, now=hospital.office.clock())


def results(answer: httpx.Response) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Place, outcome, and path and rule of each fault."""
    assert answer.status_code == 200, answer.text
    return [
        (one["place"], one["outcome"], [(fault["path"], fault["rule"]) for fault in one["faults"]])
        for one in answer.json()["results"]
    ]


# Who may not


def test_a_stranger_is_refused_before_the_body_is_read(small_hospital: Hospital) -> None:
    answer = small_hospital.http.post(PATH, content=b"rubbish")
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


def test_a_recipients_token_opens_nothing_here(small_hospital: Hospital) -> None:
    hospital = small_hospital
    insurer = Recipient(hospital.http, hospital.office.clock, "insurer-claims", "")
    with hospital.office.work() as work:
        new = registration(insurer, "hanbit-insurance", "deliveries")
        clients.add(work.session, new, is_loopback_allowed=False, now=hospital.office.clock())
    token = insurer.own_token(scope="deliveries").json()["access_token"]
    answer = hospital.http.post(PATH, content=b"{}", headers=bound(insurer, PATH, token))
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert insurer.own_token(scope=SCOPE).json()["error"] == "invalid_scope"


@pytest.mark.parametrize("organisation_id", ["hanbit-insurance", "nobody"])
def test_only_a_holders_software_can_have_the_scope(small_hospital: Hospital, organisation_id: str) -> None:
    other = Recipient(small_hospital.http, small_hospital.office.clock, "other-app", "")
    with pytest.raises(ClientInvalidError):
        add(small_hospital, registration(other, organisation_id))


@pytest.mark.parametrize("scope", ["deliveries", f"deliveries {SCOPE}"])
def test_a_holder_that_receives_nothing_cannot_have_a_recipients_scope(
    small_hospital: Hospital, scope: str
) -> None:
    other = Recipient(small_hospital.http, small_hospital.office.clock, "other-app", "")
    with pytest.raises(ClientInvalidError):
        add(small_hospital, registration(other, HOSPITAL, scope))


def test_a_suspended_holder_is_refused(small_hospital: Hospital) -> None:
    token = small_hospital.token()
    with small_hospital.office.work() as work:
        suspend(work.session, HOSPITAL)
    assert small_hospital.push({}, token=token).status_code == 401


def test_who_is_no_holder_any_more_is_refused(small_hospital: Hospital) -> None:
    with small_hospital.office.work() as work:
        work.session.get_one(Organisation, HOSPITAL).is_holder = False
    answer = small_hospital.deliver(small_hospital.exported.of("P-0001")[:1])
    assert (answer.status_code, answer.json()["errors"]) == (422, [{"path": "$", "rule": "not_a_holder"}])


# What cannot be read at all


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        (b"", "not_json"),
        (b"[]", "not_an_object"),
        (b"\xff", "not_utf8"),
        (b'{"header":{},"header":{}}', "member_twice"),
        (b"[" * 50_000, "nested_too_deeply"),
        (b"{}", "header_and_records_needed"),
        (b'{"header":[],"records":[]}', "header_and_records_needed"),
        (b'{"header":{},"records":{}}', "header_and_records_needed"),
        (b'{"header":{},"records":[],"more":1}', "header_and_records_needed"),
        (b'{"header":{},"records":[]}', "number_of_records"),
        (b'{"header":{},"records":[' + b"{}," * 500 + b"{}]}", "number_of_records"),
        (b'{"header":{},"records":[{}]}', "unknown_format"),
    ],
)
def test_a_body_of_another_shape(small_hospital: Hospital, raw: bytes, rule: str) -> None:
    answer = small_hospital.push(None, raw=raw)
    assert (answer.status_code, answer.json()["code"]) == (422, "delivery_invalid")
    assert [error["rule"] for error in answer.json()["errors"]] == [rule]


def test_a_body_that_is_too_large_is_refused(small_hospital: Hospital) -> None:
    assert small_hospital.push(None, raw=b" " * ((1 << 20) + 1)).status_code == 413


@pytest.mark.parametrize(
    ("header", "path", "rule"),
    [
        ({"hira_code": "31100079"}, "$.header.hira_code", "foreign_institution"),
        ({"version": 2}, "$.header.version", "wrong_version"),
        ({"exported_on": "20260230"}, "$.header.exported_on", "impossible_date"),
        ({"format": "insurance-register-export"}, "$.header.format", "unknown_format"),
    ],
)
def test_a_wrong_header_refuses_the_delivery(
    small_hospital: Hospital, header: dict[str, object], path: str, rule: str
) -> None:
    answer = small_hospital.deliver(small_hospital.exported.of("P-0001")[:1], **header)
    assert (answer.status_code, answer.json()["errors"]) == (422, [{"path": path, "rule": rule}])
    assert small_hospital.record_count() == 0


# What is refused or kept apart, record by record


def test_each_record_has_its_result_and_the_good_ones_are_kept(hospital: Hospital) -> None:
    own = hospital.exported.of("P-0001")
    stranger = hospital.exported.of("P-0005")[0]
    records = [
        own[0],
        own[1] | {"TOT_AMT": "1"},
        stranger,
        own[2] | {"PT_NM": "이정숙"},
        "nothing",
        own[3] | {"NEW_FIELD": "x", "ISS_YMD": "20260230"},
        own[4],
    ]
    answer = hospital.deliver(records)
    found = results(answer)
    assert [(place, outcome) for place, outcome, _ in found] == [
        ("records[0]", "added"),
        ("records[1]", "refused"),
        ("records[2]", "held"),
        ("records[3]", "held"),
        ("records[4]", "refused"),
        ("records[5]", "refused"),
        ("records[6]", "added"),
    ]
    assert found[1][2] == [("$.TOT_AMT", "total_adds_up")]
    assert found[2][2] == [("$", "person_not_linked")]
    assert found[3][2] == [("$", "name_differs")]
    assert found[4][2] == [("$", "not_an_object")]
    assert {("$.NEW_FIELD", "unknown_member"), ("$.ISS_YMD", "impossible_date")} <= set(found[5][2])
    assert answer.json()["counts"] == {"added": 2, "refused": 3, "held": 2}
    assert hospital.record_count() == 2
    for value in ("P-0005", "이정숙", "20260230", own[1]["RCPT_NO"]):
        assert value not in answer.text
    with hospital.office.installation.data.read() as session:
        kept = sorted(
            (row.rule, row.content_sealed is not None) for row in session.exec(select(PendingRecord))
        )
    assert kept == [
        ("name_differs", True),
        ("person_not_linked", False),
        ("record_faulty", False),  # nothing says whose it is
        ("record_faulty", True),
        ("record_faulty", True),
    ]


def test_two_versions_in_one_delivery_both_wait_and_neither_is_taken(hospital: Hospital) -> None:
    one, other, *_ = hospital.exported.of("P-0001")
    twice = [one, other, one | {"DEPT_NM": "가정의학과"}]
    found = results(hospital.deliver(twice))
    at_odds = [("$", "contradicts_another")]
    assert found == [
        ("records[0]", "held", at_odds),
        ("records[1]", "added", []),
        ("records[2]", "held", at_odds),
    ]
    assert hospital.record_count() == 1
    size = hospital.office.log_size()
    assert results(hospital.deliver(twice)) == [found[0], ("records[1]", "unchanged", []), found[2]]
    assert hospital.office.log_size() == size
    assert results(hospital.deliver([one])) == [("records[0]", "added", [])]


def test_a_check_digit_that_does_not_hold_warns_and_refuses_nothing(small_hospital: Hospital) -> None:
    bill = small_hospital.exported.of("P-0001")[0]
    answer = small_hospital.push(
        {"header": small_hospital.exported.header | {"biz_no": "220-82-10074"}, "records": [bill]}
    )
    (result,) = answer.json()["results"]
    assert (result["outcome"], result["faults"]) == ("added", [])
    assert result["warnings"] == [{"path": "$.institution.brn", "rule": "business_number_checksum"}]
    (result,) = small_hospital.deliver([bill]).json()["results"]
    assert result["warnings"] == []


def test_a_faulty_record_that_was_mended_waits_no_longer(hospital: Hospital) -> None:
    bill = hospital.exported.of("P-0001")[0]
    for _ in range(2):
        assert hospital.deliver([bill | {"TOT_AMT": "1"}]).json()["counts"] == {"refused": 1}
    with hospital.office.installation.data.read() as session:
        (view,) = pending_records(session, hospital.office.keyring)
    assert view.place == "push: records[0] $.TOT_AMT total_adds_up"
    assert hospital.deliver([bill]).json()["counts"] == {"added": 1}
    with hospital.office.installation.data.read() as session:
        assert session.exec(select(PendingRecord)).all() == []


def test_a_type_that_was_not_agreed_to_is_refused_and_nothing_is_kept(hospital: Hospital) -> None:
    with hospital.office.work() as work:
        new = NewLink(hospital.office.newcomer(), HOSPITAL, "P-0002", ("health.prescription",), "ko")
        link(work, hospital.office.keyring, new, hospital.office.clock())
    found = results(hospital.deliver(hospital.exported.of("P-0002")[:1]))
    rule = "record_type_not_covered_by_collection_consent"
    assert found == [("records[0]", "refused", [("$", rule)])]
    with hospital.office.installation.data.read() as session:
        assert session.exec(select(PendingRecord)).all() == []


# What is kept


def test_the_same_delivery_again_changes_nothing(hospital: Hospital) -> None:
    bills = hospital.exported.of("P-0001")
    assert hospital.deliver(bills).json()["counts"] == {"added": len(bills)}
    size = hospital.office.log_size()
    assert hospital.deliver(bills).json()["counts"] == {"unchanged": len(bills)}
    assert (hospital.record_count(), hospital.office.log_size()) == (len(bills), size)


def test_a_corrected_bill_becomes_a_version(hospital: Hospital) -> None:
    bill = hospital.exported.of("P-0001")[0]
    hospital.deliver([bill])
    assert hospital.deliver([bill | {"DEPT_NM": "가정의학과"}]).json()["counts"] == {"corrected": 1}
    assert hospital.record_count() == 1


def test_one_record_twice_in_one_delivery_is_one_record(small_hospital: Hospital) -> None:
    bill = small_hospital.exported.of("P-0001")[0]
    assert small_hospital.deliver([bill, bill]).json()["counts"] == {"added": 1, "unchanged": 1}


def test_a_large_delivery_is_taken_in_several_commits(small_hospital: Hospital) -> None:
    bill = small_hospital.exported.of("P-0001")[0]
    records = [bill | {"RCPT_NO": f"NEW-{number:04}"} for number in range(250)]
    assert small_hospital.deliver(records).json()["counts"] == {"added": 250}
    with transaction(small_hospital.office.installation.data):
        assert small_hospital.record_count() == 250
