"""Rich authorization requests: over-asking is refused before a person sees anything (RFC 9396)."""

import logging
from typing import Any

import orjson
import pytest

from broker.oauth import clients
from tests.oauth.conftest import registration
from tests.oauth.world import LEFT_OUT, REDIRECT_URI, Recipient, World, details, item, refused

ACCESS: dict[str, Any] = {
    "kind": "once",
    "max_pulls": 1,
    "valid_from": "2026-12-01T00:00:00Z",
    "valid_until": "2026-12-31T00:00:00Z",
}

REFUSED: dict[str, list[Any]] = {
    "none": [],
    "two objects": [details(), details()],
    "not an object": ["mydata_consent"],
    "unknown type": [details(type="payment_initiation")],
    "missing type": [details(type=LEFT_OUT)],
    "unknown field": [details(extra=1)],
    "unknown field of an item": [details(items=[item(extra=1)])],
    "unknown field in Korean": [details(추가='"\\')],
    "unknown action": [details(actions=["write"])],
    "no actions": [details(actions=[])],
    "location elsewhere": [details(locations=["https://other.example/v1/records"])],
    "unknown purpose": [details(purpose="insurance.anything")],
    "purpose of nobody": [details(purpose="")],
    "no items": [details(items=[])],
    "one type twice": [details(items=[item(), item()])],
    "unknown record type": [details(items=[item(record_type="health.genome")])],
    "a record type beyond the purpose": [
        details(items=[item(record_type="insurance.indemnity_policy", fields=["product"])])
    ],
    "unknown mode": [details(items=[item(mode="predicate")])],
    "a mode beyond the purpose": [details(items=[item(mode="document", fields=LEFT_OUT)])],
    "fields beyond the purpose": [details(items=[item(fields=["totals", "patient"])])],
    "unknown fields": [details(items=[item(fields=["anything"])])],
    "no fields": [details(items=[item(fields=[])])],
    "lone surrogate": [details(items=[item(fields=["REPLACED"])])],
    "required as text": [details(items=[item(required="true")])],
    "unknown holder": [details(holders=["nowhere"])],
    "a holder that is none": [details(holders=["insurer"])],
    "a holder with a NUL": [details(holders=["hos\x00pital"])],
    "access too long": [details(access=ACCESS | {"valid_until": "2027-02-01T00:00:00Z"})],
    "access over already": [
        details(access=ACCESS | {"valid_from": "2026-10-01T00:00:00Z", "valid_until": "2026-11-30T00:00:00Z"})
    ],
    "access without zone": [details(access=ACCESS | {"valid_until": "2026-12-31T00:00:00"})],
    "two pulls": [details(access=ACCESS | {"max_pulls": 2})],
    "pulls as a fraction": [details(access=ACCESS | {"max_pulls": 1.0})],
    "periodic": [details(access=ACCESS | {"kind": "periodic"})],
    "data too old": [details(data_period={"from": "2020-01-01", "to": "2026-11-30"})],
    "data period backwards": [details(data_period={"from": "2026-11-30", "to": "2026-01-01"})],
    "kept too long": [details(retention={"store": True, "period": "P91D", "on_end": "delete"})],
    "kept in months": [details(retention={"store": True, "period": "P3M", "on_end": "delete"})],
    "kept for ever": [details(retention={"store": True, "period": "P90D", "on_end": "keep"})],
}

NOT_JSON = {
    "not JSON": "{",
    "a single object": orjson.dumps(details()).decode(),
    "null": "null",
    "NaN": "[NaN]",
    "a member twice": '[{"type": "mydata_consent", "type": "mydata_consent"}]',
    "deep": "[" * 10_000,
    "deep and closed": "[" * 9_000 + "]" * 9_000,
    "long": '["' + "x" * 20_000 + '"]',
    "a huge number": "[" + "9" * 5_000 + "]",
}


@pytest.mark.parametrize("asked", REFUSED.values(), ids=REFUSED.keys())
def test_what_may_not_be_asked_is_refused(small_world: World, asked: list[Any]) -> None:
    raw = orjson.dumps(asked).decode().replace("REPLACED", "\\ud800")
    answer = small_world.insurer.push(authorization_details=raw)
    assert refused(answer, "invalid_authorization_details")
    assert answer.json()["error_description"].isascii()


@pytest.mark.parametrize("raw", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_no_list_of_objects_is_refused(small_world: World, raw: str) -> None:
    assert refused(small_world.insurer.push(authorization_details=raw), "invalid_authorization_details")


def test_a_purpose_of_another_client_is_as_good_as_none(small_world: World) -> None:
    insurer = small_world.insurer
    answers = [
        insurer.push_details(details(purpose=code)) for code in ("insurance.indemnity_claim", "nothing")
    ]
    assert answers[0].json() == answers[1].json()


def test_a_purpose_that_no_service_declares_is_refused(small_world: World) -> None:
    insurer = Recipient(small_world.http, small_world.clock, "hopeful-app", REDIRECT_URI)
    hopeful = registration(insurer, "insurer").model_copy(update={"purposes": ("insurance.someday",)})
    with small_world.installation.data.write() as session:
        clients.add(session, hopeful, is_loopback_allowed=False, now=small_world.clock())
    answer = insurer.push_details(details(purpose="insurance.someday"))
    assert answer.json() == small_world.insurer.push_details(details(purpose="nothing")).json()
    assert refused(answer, "invalid_authorization_details")


def test_every_fault_is_named(small_world: World) -> None:
    answer = small_world.insurer.push_details(
        details(
            access=ACCESS | {"max_pulls": 5},
            retention={"store": True, "period": "P900D", "on_end": "delete"},
            items=[item(fields=["patient"])],
        )
    )
    description = answer.json()["error_description"]
    assert all(path in description for path in ("access.max_pulls", "retention.period", "items.0.fields"))


def test_over_asking_is_logged_without_what_was_asked(
    small_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        small_world.insurer.push_details(details(items=[item(fields=["patient"])]))
    (line,) = [record for record in caplog.records if record.name == "broker.oauth.rich_authorization"]
    assert vars(line)["client_id"] == "insurer-claims"
    assert "patient" not in repr(vars(line))


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(details(), id="plain"),
        pytest.param(details(locations=LEFT_OUT), id="without locations"),
        pytest.param(details(holders=LEFT_OUT), id="without holders"),
        pytest.param(details(items=[item(filter={"institution": ["11100079"]})]), id="filtered"),
        pytest.param(
            details(retention={"store": False, "period": "P0D", "on_end": "delete"}), id="nothing kept"
        ),
    ],
)
def test_what_lies_within_the_purpose_is_taken(small_world: World, asked: dict[str, Any]) -> None:
    assert small_world.insurer.push_details(asked).status_code == 201


def test_the_token_answer_says_what_was_granted(world: World) -> None:
    tokens = world.tokens()
    (granted,) = tokens["authorization_details"]
    assert granted == details() | {"grant_id": tokens["grant_id"]}


@pytest.mark.parametrize("grant", ["code", "refresh", "own"])
def test_details_cannot_be_changed_at_the_token_endpoint(small_world: World, grant: str) -> None:
    insurer, raw = small_world.insurer, orjson.dumps([details()]).decode()
    match grant:
        case "code":
            answer = insurer.redeem(small_world.code(), authorization_details=raw)
        case "refresh":
            answer = insurer.refresh(small_world.tokens()["refresh_token"], authorization_details=raw)
        case _:
            answer = insurer.own_token(authorization_details=raw)
    assert refused(answer, "invalid_authorization_details")
