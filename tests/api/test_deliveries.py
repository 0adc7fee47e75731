"""What a recipient says about a delivery: acknowledgement and decision, under a token of its own."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlmodel import select

from broker.db import transaction
from broker.oauth.models import Client
from consent.auditing import events
from consent.models import Consent, Decision, Delivery, Organisation
from consent.reading import consent_of
from tests.api.conftest import Office, bound
from tests.oauth.world import LEFT_OUT
from vault.jose import generate_private_jwk
from vault.schema import random_id

DECISION: dict[str, Any] = {
    "status": "approved",
    "reference": "C-0001",
    "payable": 121_840,
    "lines": [
        {
            "bill_no": "20260826-0108",
            "part": "covered",
            "billed": 152_300,
            "deductible": 30_460,
            "over_limit": 0,
            "paid": 121_840,
            "rule_id": "gen4.covered.outpatient",
            "explanation": {"ko": "뺐습니다.", "en": "Deducted."},
        }
    ],
    "explanation": {"ko": "끝났습니다.", "en": "Done."},
}
LINE = DECISION["lines"][0]


def logged(office: Office) -> list[str]:
    with office.world.installation.data.read() as session:
        return [event.type for event in reversed(events(session))]


def acknowledged_at(office: Office, delivery_id: str) -> object:
    with office.world.installation.data.read() as session:
        return session.get_one(Delivery, delivery_id).acknowledged_at


def is_refused(answer: httpx.Response, status: int, code: str) -> bool:
    return (
        answer.status_code == status
        and answer.headers["content-type"] == "application/problem+json"
        and answer.json()["code"] == code
        and "trace_id" in answer.json()
    )


# Who may speak.


def test_without_a_token_nobody_speaks(small_office: Office) -> None:
    delivery_id, _ = small_office.delivery()
    token = small_office.own_token()
    for headers in (
        {},
        {"Authorization": "DPoP"},
        {"Authorization": f"Bearer {token}"},
        {"Authorization": f"Basic {token}"},
    ):
        for what in ("ack", "decision"):
            answer = small_office.http.post(f"/v1/deliveries/{delivery_id}/{what}", headers=headers)
            assert is_refused(answer, 401, "invalid_token"), (headers, answer.text)
            assert answer.headers["www-authenticate"].startswith("DPoP ")
    assert acknowledged_at(small_office, delivery_id) is None


def test_a_wrong_proof_is_refused(small_office: Office) -> None:
    delivery_id, _ = small_office.delivery()
    path, insurer = f"/v1/deliveries/{delivery_id}/ack", small_office.world.insurer
    token = small_office.own_token()
    wrong: list[dict[str, Any]] = [
        {"htm": "GET"},
        {"htu": "http://127.0.0.1:8000/v1/deliveries"},
        {"htu": f"https://other.example{path}"},
        {"iat": insurer.seconds - 61},
        {"iat": insurer.seconds + 61},
        {"ath": LEFT_OUT},
        {"ath": "x"},
        {"jti": LEFT_OUT},
        {"header": {"typ": "JWT"}},
    ]
    for changes in wrong:
        headers = bound(insurer, path, token, **changes)
        assert is_refused(small_office.http.post(path, headers=headers), 401, "invalid_dpop_proof"), changes
    whole = bound(insurer, path, token)
    for proofs in ([], ["x"], [whole["DPoP"].rpartition(".")[0] + "."], [whole["DPoP"], insurer.proof(path)]):
        several = [("Authorization", whole["Authorization"]), *(("DPoP", proof) for proof in proofs)]
        assert is_refused(small_office.http.post(path, headers=several), 401, "invalid_dpop_proof"), proofs
    assert acknowledged_at(small_office, delivery_id) is None


def test_a_token_under_another_key_opens_nothing(small_office: Office) -> None:
    delivery_id, _ = small_office.delivery()
    path, insurer = f"/v1/deliveries/{delivery_id}/ack", small_office.world.insurer
    token = small_office.own_token()
    headers = bound(insurer, path, token, key=generate_private_jwk("ES256"))
    assert is_refused(small_office.http.post(path, headers=headers), 401, "invalid_token")
    assert small_office.say(path, token=token).status_code == 200


def test_a_replayed_proof_is_refused(office: Office) -> None:
    delivery_id, _ = office.delivery()
    path = f"/v1/deliveries/{delivery_id}/ack"
    headers = bound(office.world.insurer, path, office.own_token())
    assert office.http.post(path, headers=headers).status_code == 200
    assert is_refused(office.http.post(path, headers=headers), 401, "invalid_dpop_proof")


def test_a_token_that_is_over_revoked_or_unknown_opens_nothing(small_office: Office) -> None:
    delivery_id, _ = small_office.delivery()
    path, world = f"/v1/deliveries/{delivery_id}/ack", small_office.world
    revoked = small_office.own_token()
    assert world.insurer.revoke(revoked).status_code == 200
    late = small_office.own_token()
    assert is_refused(small_office.say(path, token=revoked), 401, "invalid_token")
    assert is_refused(small_office.say(path, token="mda_" + "x" * 43), 401, "invalid_token")
    world.clock.advance(timedelta(days=1))
    assert is_refused(small_office.say(path, token=late), 401, "invalid_token")


@pytest.mark.parametrize("table", [Client, Organisation])
def test_a_suspended_recipient_is_a_stranger(
    small_office: Office, table: type[Client] | type[Organisation]
) -> None:
    delivery_id, _ = small_office.delivery()
    token = small_office.own_token()
    name = "insurer-claims" if table is Client else "insurer"
    with transaction(small_office.world.installation.data) as work:
        work.session.get_one(table, name).status = "suspended"
    answer = small_office.say(f"/v1/deliveries/{delivery_id}/ack", token=token)
    assert is_refused(answer, 401, "invalid_token")


def test_a_token_for_a_persons_records_is_not_for_this(small_office: Office) -> None:
    tokens = small_office.grant()
    delivery_id = small_office.pull(tokens["access_token"]).json()["delivery_id"]
    for token in (tokens["access_token"], tokens["refresh_token"]):
        answer = small_office.say(f"/v1/deliveries/{delivery_id}/ack", token=token)
        assert is_refused(answer, 401, "invalid_token")


def test_without_the_scope_it_is_403(small_office: Office) -> None:
    delivery_id, _ = small_office.delivery()
    token = small_office.own_token(scope="obligations")
    for what, body in (("ack", None), ("decision", DECISION)):
        answer = small_office.say(f"/v1/deliveries/{delivery_id}/{what}", body, token=token)
        assert is_refused(answer, 403, "insufficient_scope")


# What they may speak about.


def test_a_foreign_delivery_is_as_an_unknown_one(office: Office) -> None:
    delivery_id, _ = office.delivery()
    stranger = office.world.stranger
    for what, body in (("ack", None), ("decision", DECISION)):
        foreign = office.say(f"/v1/deliveries/{delivery_id}/{what}", body, recipient=stranger)
        unknown = office.say(f"/v1/deliveries/{random_id()}/{what}", body, recipient=stranger)
        assert is_refused(foreign, 404, "not_found")
        assert is_refused(unknown, 404, "not_found")
        assert _without_trace(foreign) == _without_trace(unknown)
    assert acknowledged_at(office, delivery_id) is None


def test_a_second_acknowledgement_changes_nothing(office: Office) -> None:
    delivery_id, grant_id = office.delivery()
    path = f"/v1/deliveries/{delivery_id}/ack"
    first = office.say(path)
    assert (first.status_code, first.json()) == (200, {"delivery_id": delivery_id, "acknowledged": True})
    at, log = acknowledged_at(office, delivery_id), logged(office)
    office.world.clock.advance(timedelta(minutes=1))
    assert office.say(path).json() == first.json()
    assert (acknowledged_at(office, delivery_id), logged(office)) == (at, log)
    assert log[-3:] == ["delivery.acknowledged", "consent.fulfilled", "obligation.due"]
    with office.world.installation.data.read() as session:
        assert session.get_one(Consent, grant_id).state == "FULFILLED"


def test_after_the_withdrawal_both_still_work(office: Office) -> None:
    delivery_id, grant_id = office.delivery()
    office.world.withdraw(grant_id)
    assert office.say(f"/v1/deliveries/{delivery_id}/decision", DECISION).status_code == 201
    assert office.say(f"/v1/deliveries/{delivery_id}/ack").status_code == 200
    with office.world.installation.data.read() as session:
        assert session.get_one(Consent, grant_id).state == "WITHDRAWN"
    assert logged(office)[-2:] == ["decision.received", "delivery.acknowledged"]


def test_the_same_decision_again_is_the_first_one(office: Office) -> None:
    delivery_id, _ = office.delivery()
    path = f"/v1/deliveries/{delivery_id}/decision"
    first = office.say(path, DECISION)
    assert first.status_code == 201
    log = logged(office)
    shuffled = dict(reversed(DECISION.items()))
    left_off = DECISION | {"lines": [{name: LINE[name] for name in LINE if name != "over_limit"}]}
    for same in (DECISION, shuffled, left_off):
        again = office.say(path, same)
        assert (again.status_code, again.json()) == (200, first.json())
    assert logged(office) == log


def test_another_decision_is_a_conflict(office: Office) -> None:
    delivery_id, grant_id = office.delivery()
    path = f"/v1/deliveries/{delivery_id}/decision"
    assert office.say(path, DECISION).status_code == 201
    log = logged(office)
    answer = office.say(path, DECISION | {"payable": 1})
    assert is_refused(answer, 409, "already_decided")
    assert logged(office) == log
    installation = office.world.installation
    with installation.data.read() as session:
        view = consent_of(
            session, installation.keyring, office.world.subject_id, grant_id, office.world.clock()
        )
    assert [decision.body for decision in view.decisions] == [DECISION]


def test_a_decision_lies_sealed(office: Office) -> None:
    delivery_id, _ = office.delivery()
    assert office.say(f"/v1/deliveries/{delivery_id}/decision", DECISION).status_code == 201
    with office.world.installation.data.read() as session:
        row = session.exec(select(Decision)).one()
    assert b"20260826" not in row.body_sealed
    assert "뺐습니다".encode() not in row.body_sealed


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"status": "paid"}, "body.status"),
    ({"payable": -1}, "body.payable"),
    ({"payable": 1.5}, "body.payable"),
    ({"payable": "1000"}, "body.payable"),
    ({"payable": True}, "body.payable"),
    ({"payable": 10**13}, "body.payable"),
    ({"reference": ""}, "body.reference"),
    ({"reference": "x" * 101}, "body.reference"),
    ({"explanation": {"ko": "하나"}}, "body.explanation.en"),
    ({"lines": [LINE | {"paid": -5}]}, "body.lines.0.paid"),
    ({"lines": [LINE | {"memo": "a-secret-word"}]}, "body.lines.0.memo"),
    ({"lines": [LINE] * 501}, "body.lines"),
    ({"patient": "a-secret-word"}, "body.patient"),
    ({"explanation": "a-secret-word"}, "body.explanation"),
]


def test_an_invalid_decision_is_told_by_place_and_not_repeated(small_office: Office) -> None:
    path = f"/v1/deliveries/{random_id()}/decision"
    for changes, place in INVALID:
        answer = small_office.say(path, DECISION | changes)
        assert is_refused(answer, 422, "invalid_request"), changes
        assert place in [fault["path"] for fault in answer.json()["errors"]]
        assert "a-secret-word" not in answer.text


def test_a_body_that_is_no_json_is_refused(small_office: Office) -> None:
    path, insurer = f"/v1/deliveries/{random_id()}/decision", small_office.world.insurer
    headers = bound(insurer, path, small_office.own_token()) | {"Content-Type": "application/json"}
    answer = small_office.http.post(path, content=b'{"status": a-secret-word', headers=headers)
    assert is_refused(answer, 400, "invalid_request")
    assert "a-secret-word" not in answer.text


def _without_trace(answer: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "trace_id"}
