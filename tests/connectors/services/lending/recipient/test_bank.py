"""The reference bank: wrong answers, forged answers, brokers that are away; then the loan, decided once."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from broker.demo.citizen import _Forms
from connectors.errors import UnreachableError
from connectors.http import Answer
from connectors.services.lending.decision import ACCOUNTS, INCOME, LOANS
from connectors.services.lending.recipient.__main__ import main
from tests.connectors.services.lending.recipient.conftest import Bank, BrokerInPlace, set_up

PULL = "/v1/deliveries"
SMALL, LARGE = 15_000_000, 30_000_000
REVIEWED = {
    "status": "approved",
    "payable": 5_000_000,
    "explanation": {"ko": "사람이 봄", "en": "Seen by a person"},
}


# Responses that no application waits for.


def test_a_wrong_state_or_another_issuer_takes_nothing(bank: Bank) -> None:
    application_id, address = bank.opens(SMALL)
    came, asked = bank.person_says("allow", address), list(bank.wire.asked)
    for wrong in (
        {"state": ""},
        {"state": came["state"] + "x"},
        {"iss": "https://mix-up.example"},
        {"iss": came["iss"] + "/"},
    ):
        answer = bank.comes_back(came | wrong)
        assert (answer.status_code, "nothing was taken" in answer.text) == (400, True)
    assert bank.wire.asked == asked
    assert bank.application(application_id).state == "asked"


def test_an_answer_in_another_browser_takes_nothing(bank: Bank) -> None:
    started = bank.http.post("/applications", data={"amount": "15,000,000"})
    assert started.status_code == 303
    came = bank.person_says("allow", started.headers["location"])
    cookies = dict(bank.http.cookies)
    bank.http.cookies.clear()
    assert bank.comes_back(came).status_code == 400
    bank.http.cookies.update(cookies)
    assert "대출을 받으실 수 있습니다" in bank.comes_back(came).text


def test_a_person_who_says_no_is_told_so(bank: Bank) -> None:
    application_id, address = bank.opens(SMALL)
    came = bank.person_says("deny", address, "minseo") | {"error_description": "<script>"}
    answer = bank.comes_back(came)
    assert (answer.status_code, "We received nothing (access_denied)" in answer.text) == (200, True)
    assert bank.application(application_id).refusal == "access_denied"
    assert PULL not in bank.wire.asked


def test_a_code_that_is_none_ends_the_application(bank: Bank) -> None:
    application_id, address = bank.opens(SMALL)
    came = bank.person_says("allow", address)
    assert "invalid_grant" in bank.comes_back(came | {"code": "mdc_invented"}).text
    assert bank.comes_back(came).status_code == 200  # too late
    assert bank.application(application_id).state == "refused"


@pytest.mark.parametrize("amount", ["", "0", "-1", "999999", "100000001", "1e7", "15,00,000", "₩15000000"])
def test_amounts_that_are_none_are_refused_before_anybody_is_asked(bank: Bank, amount: str) -> None:
    page = bank.http.post("/applications", data={"amount": amount})
    assert (page.status_code, 'role="alert"' in page.text) == (422, True)
    staffs = bank.http.post("/staff/applications", params={"amount": amount}, headers=bank.staff)
    assert (staffs.status_code, staffs.json()) == (422, {"code": "amount_refused"})
    assert bank.wire.asked == []


# The staff's interface.


def test_staff_calls_need_the_token(bank: Bank) -> None:
    application_id, _ = bank.opens(SMALL)
    wrong = bank.configuration.staff_token[:-1] + "!"
    for header in (None, f"Bearer {wrong}", bank.configuration.staff_token, "Bearer é"):
        for method, path in (
            ("GET", "/staff/applications"),
            ("POST", "/staff/applications"),
            ("GET", f"/staff/applications/{application_id}"),
            ("POST", f"/staff/applications/{application_id}/pull"),
            ("POST", f"/staff/applications/{application_id}/ack"),
            ("POST", f"/staff/applications/{application_id}/decision"),
            ("POST", "/staff/deletions"),
        ):
            headers = {} if header is None else {"Authorization": header.encode("latin-1")}
            answer = bank.http.request(method, path, headers=headers)
            assert (answer.status_code, answer.json()) == (401, {"code": "staff_only"}), path
    assert len(bank.store.all()) == 1


def test_an_application_that_is_not_there_or_not_so_far(bank: Bank) -> None:
    application_id, _ = bank.opens(SMALL)
    assert bank.http.get("/staff/applications/none", headers=bank.staff).status_code == 404
    for one in ("none", application_id):
        path = f"/staff/applications/{one}"
        pulled = bank.http.post(f"{path}/pull?key=same", headers=bank.staff)
        assert pulled.json() == {"status": 404, "code": "no_such_application"}
        assert bank.http.post(f"{path}/ack", headers=bank.staff).status_code == 409
        reviewed = bank.http.post(f"{path}/decision", headers=bank.staff, json=REVIEWED)
        assert (reviewed.status_code, reviewed.json()["code"]) == (409, "no_such_application")
    for raw in (b"not json", b"[]", b'{"status": "approved"}'):
        path = f"/staff/applications/{application_id}/decision"
        assert bank.http.post(path, headers=bank.staff, content=raw).status_code == 422


def test_staff_see_no_token_and_no_answer(bank: Bank) -> None:
    loan = bank.applied(SMALL)
    shown = bank.http.get(f"/staff/applications/{loan.application_id}", headers=bank.staff).text
    listed = bank.http.get("/staff/applications", headers=bank.staff).text
    assert loan.access_token is not None
    for secret in (loan.access_token, loan.code_verifier, "signature", "padding", "16820000"):
        assert secret not in shown + listed + repr(loan)


# Deliveries that cannot be right, and brokers that are away.

Damage = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body["records"][INCOME][0]["data"].update(answer=False),
        lambda body: body["records"].pop(LOANS),
        lambda body: body.update(payload_digest="0" * 64),
    ],
)
def test_a_damaged_payload_is_refused(bank: Bank, damage: Damage) -> None:
    bank.wire.tap = lambda path, answer: _with(answer, damage) if path == PULL else answer
    loan = bank.applied(SMALL)
    assert (loan.state, loan.refusal, loan.records) == ("refused", "payload_damaged", {})


def test_an_answer_that_the_broker_did_not_sign_is_not_kept(bank: Bank) -> None:
    """The digest tells of damage; who said it, only the signature tells."""
    key_set = orjson.loads(bank.broker.http.get("/jwks").content)
    for key in key_set["keys"]:
        key["kid"] += "-another"

    def other_keys(path: str, answer: Answer) -> Answer:
        return Answer(200, {}, orjson.dumps(key_set)) if path == "/jwks" else answer

    bank.wire.tap = other_keys
    loan = bank.applied(SMALL)
    assert (loan.state, loan.refusal, loan.records, loan.decision) == (
        "refused",
        "answer_not_signed",
        {},
        None,
    )
    assert not [path for path in bank.wire.asked if path.endswith("/decision")]


@pytest.mark.parametrize(
    ("away_at", "how"),
    [
        *((path, "unreachable") for path in ("/token", PULL, "/jwks", "/decision", "/ack")),
        (PULL, "overloaded"),
        ("/jwks", "overloaded"),
    ],
)
def test_a_broker_that_is_away_for_a_while_costs_nothing(
    broker: BrokerInPlace, tmp_path: Path, away_at: str, how: str
) -> None:
    bank = set_up(broker, tmp_path, acknowledge="at_once")
    application_id, address = bank.opens(SMALL)
    came, before = bank.person_says("allow", address), bank.wire.request

    def away(method: str, url: str, **more: object) -> Answer:
        if not url.endswith(away_at):
            return before(method, url, **more)  # type: ignore[arg-type]  # as they came
        if how == "overloaded":
            return Answer(503, {}, b"overloaded")
        raise UnreachableError("127.0.0.1")

    bank.wire.request = away  # type: ignore[method-assign]  # the wire is cut here, and mended below
    assert bank.comes_back(came).status_code == 200
    assert bank.application(application_id).state in {"asked", "granted", "received", "decided"}
    bank.desk.work()
    bank.wire.request = before  # type: ignore[method-assign]
    broker.clock.advance(timedelta(seconds=11))  # keys are looked for again after ten
    if away_at == "/token":
        bank.comes_back(came)
    else:
        bank.desk.work()
    assert bank.application(application_id).state == "closed"


# The loan.


def test_a_small_loan_is_decided_by_yes_and_no(bank: Bank) -> None:
    loan = bank.applied(SMALL)
    assert loan.decision is not None
    assert (loan.state, loan.decision["status"], loan.decision["payable"]) == ("decided", "approved", SMALL)
    assert loan.rate == 540  # twelve and more millions saved
    told = {record_type: found[0]["data"]["answer"] for record_type, found in loan.records.items()}
    assert told[INCOME] is True
    assert told[LOANS] is True
    assert told[ACCOUNTS] == {"total": 16_820_000, "accounts": 2}
    assert not re.search("34.?120.?000|3.?600.?000|한빛디자인", orjson.dumps(loan.records).decode())


def test_what_is_optional_may_be_left_off(bank: Bank) -> None:
    loan = bank.applied(SMALL, without=(ACCOUNTS,))
    assert (loan.state, loan.rate, ACCOUNTS in loan.records) == ("decided", 590, False)


def test_a_large_loan_is_decided_by_totals(bank: Bank) -> None:
    loan = bank.applied(LARGE)
    assert loan.decision is not None
    assert loan.decision["status"] == "approved"
    assert loan.records[LOANS][0]["data"]["answer"] == {"total": 3_600_000, "loans": 1, "overdue_loans": 0}
    refused = bank.applied(50_000_000)
    assert refused.decision is not None
    assert (refused.decision["status"], refused.decision["payable"]) == ("rejected", 0)


def test_who_is_overdue_or_out_of_work_is_told_by_which_rule(bank: Bank) -> None:
    for username, part in (("minseo", "overdue"), ("jeongsuk", "employment")):
        loan = bank.applied(5_000_000, username)
        assert loan.decision is not None
        assert loan.decision["status"] == "rejected"
        page = _consent_page(bank, username, loan.grant_id or "")
        assert "다시 봐 달라고" in page or "ask-review" in page, username
        assert any(
            line["part"] == part and line["explanation"]["ko"] in page for line in loan.decision["lines"]
        )


def test_the_person_reads_the_decision_as_that_of_a_loan(bank: Bank) -> None:
    loan = bank.applied(SMALL)
    page = _consent_page(bank, "haneul", loan.grant_id or "")
    assert "빌릴 수 있는 금액" in page
    assert "15,000,000원" in page
    assert "LN-INCOME" in page
    assert "보험금" not in page.split("빌릴 수 있는 금액")[1].split("</ul>")[0]


def test_a_review_is_answered_by_a_person(bank: Bank) -> None:
    loan = bank.applied(5_000_000, "jeongsuk")
    path = f"/staff/applications/{loan.application_id}/decision"
    too_early = bank.http.post(path, headers=bank.staff, json=REVIEWED)
    assert too_early.status_code == 409
    _press_review(bank, "jeongsuk", loan.grant_id or "")
    answered = bank.http.post(path, headers=bank.staff, json=REVIEWED)
    assert (answered.status_code, answered.json()) == (200, {"answered": True})
    page = _consent_page(bank, "jeongsuk", loan.grant_id or "")
    assert "사람이 봄" in page
    assert bank.application(loan.application_id).decision == {
        "kind": "loan",
        "reference": loan.reference,
        "lines": [],
        **REVIEWED,
    }


def test_coming_back_twice_decides_once(bank: Bank) -> None:
    application_id, address = bank.opens(SMALL)
    came = bank.person_says("allow", address)
    first, asked = bank.comes_back(came), list(bank.wire.asked)
    assert bank.comes_back(came).text == first.text
    assert bank.wire.asked == asked
    assert bank.application(application_id).state == "decided"


def test_after_a_withdrawal_the_bank_deletes_and_signs_it(bank: Bank) -> None:
    loan = bank.applied(SMALL)
    bank.http.post(f"/staff/applications/{loan.application_id}/ack", headers=bank.staff)
    bank.withdraws(loan.grant_id or "")
    pulled = bank.http.post(f"/staff/applications/{loan.application_id}/pull?key=same", headers=bank.staff)
    assert pulled.json() == {"status": 401, "code": "consent_withdrawn"}
    deleted = bank.http.post("/staff/deletions", headers=bank.staff).json()["deleted"]
    assert deleted >= 1  # earlier tests' loans are not this bank's to have kept, and are attested as well
    after = bank.application(loan.application_id)
    assert (after.records, after.state) == ({}, "closed")
    assert after.decision == loan.decision, "what was decided is the bank's own record"
    assert bank.http.post("/staff/deletions", headers=bank.staff).json() == {"deleted": 0}


def test_an_application_that_was_not_decided_ends_with_its_deletion(bank: Bank) -> None:
    bank.wire.tap = lambda path, answer: Answer(503, {}, b"") if path.endswith("/decision") else answer
    loan = bank.applied(SMALL)
    assert loan.state == "received"
    bank.withdraws(loan.grant_id or "")
    bank.http.post("/staff/deletions", headers=bank.staff)
    after = bank.application(loan.application_id)
    assert (after.state, after.refusal, after.records) == ("refused", "deleted_before_a_decision", {})


def test_the_pages_stand_alone(bank: Bank) -> None:
    start = bank.http.get("/")
    assert start.status_code == 200
    assert "default-src 'none'" in start.headers["content-security-policy"]
    assert "24,000,000원 이상" in start.text, "the rules are published"
    assert bank.http.get("/bank.css").headers["content-type"].startswith("text/css")


def test_wrong_usage_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bank"]) == 2
    assert "usage" in capsys.readouterr().err


def _with(answer: Answer, damage: Damage) -> Answer:
    body = orjson.loads(answer.body)
    damage(body)
    return Answer(answer.status, answer.headers, orjson.dumps(body))


def _consent_page(bank: Bank, username: str, grant_id: str) -> str:
    answer = bank.broker.browsers[username].get(f"/ko/consents/{grant_id}")
    assert answer.status_code == 200
    return str(answer.text)


def _press_review(bank: Bank, username: str, grant_id: str) -> None:
    page = _consent_page(bank, username, grant_id)
    action = re.search(r'class="review"[^>]*action="([^"]+)"', page)
    assert action is not None
    form = next(one for one in _all_forms(page) if one.action == action[1])
    answer = bank.broker.browsers[username].post(
        action[1], data=form.values, headers={"Origin": bank.configuration.issuer}
    )
    assert answer.status_code in {200, 303}


def _all_forms(page: str) -> list[Any]:
    parser = _Forms()
    parser.feed(page)
    return list(parser.forms)
