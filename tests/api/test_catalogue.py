"""The catalogue: what may be asked for, open to everybody, and true to what the broker then takes."""

import hashlib
from typing import Any

import jsonschema_rs
import pytest

from broker.db import transaction
from consent.errors import InvalidTermsError
from consent.organisations import suspend
from consent.revisions import publish
from consent.terms import parse
from tests.api.conftest import Office
from tests.oauth.world import PURPOSE, details

BILL = "health.medical_bill"


def test_what_it_does_not_have_is_not_found(small_office: Office) -> None:
    for path, code in (
        ("record-types/health.nothing", "unknown_record_type"),
        ("record-types/..%2F..%2Fpyproject", "not_found"),
        ("purposes/insurance.marketing", "unknown_purpose"),
        ("authorization-details-types/other", "not_found"),
    ):
        answer = small_office.http.get(f"/v1/catalogue/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, code), path


def test_record_types_come_with_schema_and_an_example_that_fits(small_office: Office) -> None:
    listed = small_office.http.get("/v1/catalogue/record-types").json()
    assert {BILL, "insurance.indemnity_policy"} <= {one["code"] for one in listed}
    for summary in listed:
        assert summary.keys() == {"code", "revision", "sensitivity", "label"}
        shown = small_office.http.get(f"/v1/catalogue/record-types/{summary['code']}").json()
        assert summary.items() <= shown.items()
        assert shown["label"].keys() == {"ko", "en"}
        assert set(shown["fields"]) == set(shown["schema"]["properties"])
        for field in shown["fields"].values():
            assert field["label"]["ko"]
            assert field["label"]["en"]
        jsonschema_rs.validate(shown["schema"], shown["example"])
        small_office.world.installation.catalogue.validate(summary["code"], shown["example"])


def test_purposes_come_with_caps_and_texts(small_office: Office) -> None:
    (listed,) = small_office.http.get("/v1/catalogue/purposes").json()
    assert listed == small_office.http.get(f"/v1/catalogue/purposes/{PURPOSE}").json()
    assert listed["code"] == PURPOSE
    assert listed["caps"]["max_pulls"] == 1
    assert listed["notice"].keys() >= {"revision", "ko", "en"}


def test_the_schema_of_the_details_takes_what_the_broker_takes(small_office: Office) -> None:
    shown = small_office.http.get("/v1/catalogue/authorization-details-types/mydata_consent").json()
    assert shown["type"] == "mydata_consent"
    schema: dict[str, Any] = shown["schema"]
    jsonschema_rs.validate(schema, details())
    parse([details()])
    wrong: list[dict[str, Any]] = [
        {"unheard_of": 1},
        {"items": []},
        {"actions": ["write"]},
        {"retention": {"store": True}},
    ]
    for changes in wrong:
        with pytest.raises(jsonschema_rs.ValidationError):
            jsonschema_rs.validate(schema, details(**changes))
        with pytest.raises(InvalidTermsError):
            parse([details(**changes)])


def test_a_text_is_found_by_the_digest_that_receipts_name(small_office: Office) -> None:
    world = small_office.world
    purpose = world.installation.purposes.get(PURPOSE)
    with transaction(world.installation.data) as work:
        publish(work.session, purpose, world.clock())
    digest = purpose.notice_digest("ko").hex()
    shown = small_office.http.get(f"/v1/catalogue/notices/{digest}").json()
    assert hashlib.sha256(shown["canonical"].encode()).hexdigest() == digest == shown["sha256"]
    assert (shown["language"], shown["predecessor"]) == ("ko", None)
    for unknown in ("00" * 32, "no hex"):
        assert small_office.http.get(f"/v1/catalogue/notices/{unknown}").status_code == 404


def test_the_registry_says_who_may_ask_for_what(small_office: Office) -> None:
    world = small_office.world
    listed = {one["organisation_id"]: one for one in small_office.http.get("/v1/catalogue/recipients").json()}
    assert "hospital" not in listed
    insurer = next(one for one in listed.values() if PURPOSE in one["purposes"])
    assert insurer["status"] == "active"
    with transaction(world.installation.data) as work:
        suspend(work.session, insurer["organisation_id"])
    again = {one["organisation_id"]: one for one in small_office.http.get("/v1/catalogue/recipients").json()}
    assert again[insurer["organisation_id"]]["status"] == "suspended"
