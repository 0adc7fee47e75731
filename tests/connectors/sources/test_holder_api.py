"""Asking a holder that misbehaves, over real HTTP: late, broken, changed, endless; then one that is good."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import (
    HolderFaultError,
    HolderRefusedError,
    ResponseRefusedError,
    ResponseTooLargeError,
    TimedOutError,
    UnreachableError,
    UrlRefusedError,
)
from connectors.http import Limits, OutboundClient
from connectors.sources.base import SourceFault
from connectors.sources.catalog import SEOUL_HOSPITAL
from connectors.sources.holder_api import HolderApi, Page, Question
from connectors.sources.transmission import MEDIA_TYPE, PageWish, SigningKey, Transmission
from tests.connectors.sources.double import (
    JSON,
    Double,
    Exported,
    Reply,
    hanging_up,
    page,
    refusal,
    serving_double,
    silence,
)
from vault.jose import public_jwk_of_pem
from vault.keys.service_keys import _generate
from vault.record_types.catalogue import Catalogue

CATALOGUE = Catalogue.load()
NOW = datetime(2026, 12, 1, tzinfo=UTC)
ISSUER = "https://broker.example"
PATIENT = Limits(read_seconds=60, total_seconds=60, response_bytes=200_000, attempts=1)
SHORT = replace(PATIENT, read_seconds=0.3, total_seconds=0.6)  # for who is silent on purpose
PEM = _generate("ES256")
TRANSMISSION = Transmission(
    purpose="vault.collection",
    holder="seoul-hospital",
    recipient=ISSUER,
    record_types=("health.medical_bill",),
    number="P-0001",
    cycle="P1D",
    until=NOW + timedelta(days=365),
    retention="until_erased",
)
Ask = Callable[..., Page]


@pytest.fixture
def double() -> Iterator[Double]:
    with serving_double() as found:
        yield found


@pytest.fixture
def exported(tmp_path: Path) -> Exported:
    return Exported(tmp_path)


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def ask(double: Double, slept: list[float]) -> Iterator[Ask]:
    """Ask the double for one page."""
    yield from asking(double, slept, PATIENT)


@pytest.fixture
def ask_in_haste(double: Double, slept: list[float]) -> Iterator[Ask]:
    yield from asking(double, slept, SHORT)


def asking(double: Double, slept: list[float], limits: Limits) -> Iterator[Ask]:
    key = SigningKey(public_jwk_of_pem(PEM)["kid"], PEM)
    with OutboundClient(limits, allow_loopback=True) as http:
        api = HolderApi(http, key, ISSUER, clock=lambda: NOW, sleep=slept.append)

        def ask_for(since: int = 0, cursor: str | None = None, *, url: str | None = None) -> Page:
            question = Question(url or double.url, (SEOUL_HOSPITAL,), TRANSMISSION)
            return api.ask(question, PageWish(since, cursor, 20), CATALOGUE)

        yield ask_for


def fault(ask: Ask, *arguments: object) -> str:
    with pytest.raises(HolderFaultError) as caught:
        ask(*arguments)
    return caught.value.rule


# Late, away, broken


def test_a_holder_that_is_silent_is_asked_three_times_and_given_up(
    double: Double, ask_in_haste: Ask, slept: list[float]
) -> None:
    double.will(silence(1))
    with pytest.raises(TimedOutError):
        ask_in_haste()
    assert len(slept) == 2


def test_a_holder_that_hangs_up_is_asked_again(double: Double, ask: Ask, exported: Exported) -> None:
    double.will(hanging_up(), page(exported.header, []))
    assert ask().records == ()
    double.will(hanging_up())
    with pytest.raises(UnreachableError):
        ask()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_holder_that_is_busy_is_asked_again_with_another_request(
    double: Double, ask: Ask, exported: Exported, slept: list[float], status: int
) -> None:
    double.will(Reply(status), Reply(status), page(exported.header, []))
    assert ask().mark == 7
    assert len(slept) == 2
    assert len({asked["jti"] for asked in double.asked}) == 3


@pytest.mark.parametrize("status", [503, 429])
def test_a_holder_that_stays_busy_is_given_up(double: Double, ask: Ask, status: int) -> None:
    double.will(Reply(status))
    assert fault(ask) == f"status_{status}"
    assert len(double.asked) == 3


@pytest.mark.parametrize("status", [201, 204, 400, 401, 404, 410, 500])
def test_any_other_status_is_a_fault_at_once(double: Double, ask: Ask, status: int) -> None:
    double.will(Reply(status))
    assert (fault(ask), len(double.asked)) == (f"status_{status}", 1)


def test_a_redirect_is_not_followed(double: Double, ask: Ask) -> None:
    double.will(Reply(307, {"Location": "http://169.254.169.254/latest"}))
    with pytest.raises(ResponseRefusedError):
        ask()
    assert len(double.asked) == 1


def test_a_huge_answer_is_cut_off(double: Double, ask: Ask) -> None:
    double.will(Reply(body=b" " * 300_000))
    with pytest.raises(ResponseTooLargeError):
        ask()


def test_an_encoded_answer_is_not_opened(double: Double, ask: Ask) -> None:
    double.will(Reply(headers=JSON | {"Content-Encoding": "gzip"}, body=b"x"))
    with pytest.raises(ResponseRefusedError):
        ask()


def test_plain_http_to_elsewhere_is_not_called(ask: Ask) -> None:
    with pytest.raises(UrlRefusedError):
        ask(url="ftp://hospital.example/transmissions")


# Rubbish


@pytest.mark.parametrize("content_type", ["text/html", "application/xml", "", "text/json"])
def test_a_wrong_content_type(double: Double, ask: Ask, content_type: str) -> None:
    double.will(Reply(headers={"Content-Type": content_type}, body=b"{}"))
    assert fault(ask) == "wrong_content_type"


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "not_json"),
        (b"<html>", "not_json"),
        (b"[]", "not_an_object"),
        (b"\xff\xfe{}", "not_utf8"),
        (b'{"header":{},"header":{}}', "member_twice"),
        (b"[" * 100_000, "nested_too_deeply"),
        (b'{"mark":NaN}', "number_refused"),
        (b"{}", "page_malformed"),
    ],
)
def test_rubbish_has_a_rule(double: Double, ask: Ask, body: bytes, rule: str) -> None:
    double.will(Reply(body=body))
    assert fault(ask) == rule


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"surprise": 1}, "page_malformed"),
        ({"header": []}, "page_malformed"),
        ({"records": {}}, "page_malformed"),
        ({"search_timestamp": -1}, "page_malformed"),
        ({"search_timestamp": "7"}, "page_malformed"),
        ({"search_timestamp": True}, "page_malformed"),
        ({"search_timestamp": 2**53}, "page_malformed"),
        ({"next_cursor": ""}, "page_malformed"),
        ({"next_cursor": 2}, "page_malformed"),
        ({"next_cursor": "x" * 501}, "page_malformed"),
        ({"next_cursor": "가"}, "page_malformed"),
        ({"next_cursor": "here"}, "cursor_repeats"),
        ({"records": [{}] * 21}, "too_many_records"),
    ],
)
def test_a_page_of_another_shape(
    double: Double, ask: Ask, exported: Exported, changes: dict[str, Any], rule: str
) -> None:
    double.will(page(exported.header, [], **changes))
    assert fault(ask, 0, "here") == rule


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"format": "other-export"}, "unknown_format"),
        ({"format": ["x"]}, "unknown_format"),
        ({"version": 2}, "wrong_version"),
        ({"hira_code": "31100079"}, "foreign_institution"),
        ({"new_member": "1"}, "unknown_member"),
    ],
)
def test_a_header_of_somebody_else_or_of_another_version(
    double: Double, ask: Ask, exported: Exported, changes: dict[str, Any], rule: str
) -> None:
    double.will(page(exported.header | changes, []))
    assert fault(ask) == rule


def test_a_schema_that_changed_is_named_record_by_record_and_the_others_are_kept(
    double: Double, ask: Ask, exported: Exported
) -> None:
    one, two, three = exported.of("P-0001")[:3]
    double.will(page(exported.header, [one | {"NEW_FIELD": "x"}, two, [], three | {"TOT_AMT": "-1"}]))
    found = ask()
    assert [record.natural_key for record in found.records] == [two["RCPT_NO"]]
    assert {(fault.place, fault.path, fault.rule) for fault in found.faults} >= {
        ("records[0]", "$.NEW_FIELD", "unknown_member"),
        ("records[2]", "$", "not_an_object"),
        ("records[3]", "$.TOT_AMT", "not_a_whole_number"),
    }
    assert all(isinstance(one, SourceFault) for one in found.faults)


# Refusals


def test_a_refusal_bears_its_reason(double: Double, ask: Ask) -> None:
    double.will(refusal("THIRD_PARTY_RIGHTS"))
    with pytest.raises(HolderRefusedError) as caught:
        ask()
    assert caught.value.reason == "THIRD_PARTY_RIGHTS"


@pytest.mark.parametrize("reason", [None, 1, "", "no", "x" * 50, "<b>"])
def test_a_refusal_without_a_reason_is_a_fault(double: Double, ask: Ask, reason: object) -> None:
    double.will(refusal(reason))
    assert fault(ask) == "refusal_without_reason"


def test_a_refusal_that_is_rubbish_is_a_fault(double: Double, ask: Ask) -> None:
    double.will(Reply(403, body=b"no"))
    assert fault(ask) == "not_json"
    double.will(Reply(403, {"Content-Type": "text/plain"}, b"no"))
    assert fault(ask) == "status_403"


# A good one


def test_what_is_asked_stands_in_the_signed_body_and_nowhere_else(
    double: Double, ask: Ask, exported: Exported
) -> None:
    double.will(page(exported.header, []))
    ask(5, "a cursor")
    (asked,) = double.asked
    assert (asked["iss"], asked["aud"]) == (ISSUER, "seoul-hospital")
    assert asked["transmission"]["data"] == {"record_types": ["health.medical_bill"], "number": "P-0001"}
    assert asked["page"] == {"since": 5, "cursor": "a cursor", "limit": 20}
    assert "P-0001" not in double.url
    assert MEDIA_TYPE == "application/transmission-request+jwt"


def test_a_page_is_read_by_the_tables_of_the_export(double: Double, ask: Ask, exported: Exported) -> None:
    bills = exported.of("P-0001")
    double.will(page(exported.header, bills, next_cursor="next", mark=40))
    found = ask()
    assert (found.faults, found.next_cursor, found.mark) == ((), "next", 40)
    assert [record.natural_key for record in found.records] == [bill["RCPT_NO"] for bill in bills]
    assert {record.person.number for record in found.records} == {"P-0001"}
    assert {record.person.name for record in found.records} == {"김하늘"}
    assert "김하늘" not in repr(found)
    assert json.loads(double.replies[0].body)["records"]
