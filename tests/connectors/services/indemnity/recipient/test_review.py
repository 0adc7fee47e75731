"""A person looks at a claim: where the rules are silent, and where the citizen wants it."""

import pytest
from sqlmodel import select

from broker.db import transaction
from connectors.errors import UnreachableError
from connectors.http import Answer
from consent.models import Consent, Duty
from consent.outbox import DutyKind
from consent.review import ask_for_review
from tests.connectors.services.indemnity.recipient.watch import (
    SAID,
    Watch,
    _days_of,
    _review_of,
    _without,
)

# A person looks at it.


def test_a_claim_in_review_is_answered_by_staff(watch: Watch) -> None:
    number = watch.visit(patient_class="uninsured")
    watch.is_told()
    watch.works()
    case = watch.pulls()[1]
    assert case.claim is not None
    assert (case.state, case.review, case.claim["status"]) == ("closed", "waiting", "review")
    answer = {"status": "approved", "payable": 12_000, "explanation": SAID}
    assert watch.answers(case.case_id, answer).json() == {"answered": True}
    first, second = watch.decisions(case)
    assert (first["status"], first["payable"]) == ("review", 0)
    assert (second["status"], second["payable"], second["explanation"]) == ("approved", 12_000, SAID)
    assert second["reference"] == first["reference"] == case.claim_no
    after = watch.insurer.case(case.case_id)
    assert (after.review, after.decision_id != case.decision_id) == ("sent", True)
    again = watch.answers(case.case_id, answer | {"payable": 13_000})
    assert (again.status_code, again.json()) == (409, {"code": "nothing_to_review"})
    # What a person has decided, the rules do not decide again.
    watch.arrives(number, 99_000, {**_days_of(number), "patient_class": "national_health"})
    watch.is_told()
    watch.works()
    reopened = watch.pulls()[2]
    assert reopened.claim is not None
    assert [reason["rule_id"] for reason in reopened.claim["reasons"]] == ["review.reopened_care"]
    assert reopened.claim["payable"] == 0


def test_staff_answer_without_the_token_or_without_a_decision(watch: Watch) -> None:
    for patient_class in ("uninsured", "national_health"):
        watch.visit(patient_class=patient_class)
        watch.is_told()
        watch.works()
    _, case, without_review = watch.pulls()
    good = {"status": "approved", "payable": 1, "explanation": SAID}
    for authorization in ("Bearer wrong", "Basic x", watch.insurer.configuration.staff_token):
        refused = watch.answers(case.case_id, good, Authorization=authorization)
        assert (refused.status_code, refused.json()) == (401, {"code": "staff_only"})
    wrong: list[object] = [
        None,
        [],
        {},
        good | {"status": "review"},
        good | {"status": "received"},
        good | {"status": ["approved"]},
        good | {"payable": True},
        good | {"payable": "1"},
        good | {"payable": 1.5},
        good | {"payable": -1},
        good | {"explanation": "paid"},
        good | {"explanation": {"ko": "지급"}},
        good | {"explanation": SAID | {"en": ""}},
        good | {"explanation": SAID | {"fr": "payé"}},
        good | {"lines": []},
        _without(good, "explanation"),
    ]
    for body in wrong:
        refused = watch.answers(case.case_id, body)
        assert (refused.status_code, refused.json()) == (422, {"code": "no_decision"}), body
    raw = watch.insurer.http.post(
        f"/staff/cases/{case.case_id}/review", content=b"{", headers=watch.insurer.staff
    )
    assert raw.status_code == 422
    for case_id in ("nobody's", watch.case_id, without_review.case_id):
        assert watch.answers(case_id, good).status_code == 409
    assert watch.insurer.case(case.case_id) == case
    assert len(watch.decisions(case)) == 1


@pytest.mark.parametrize("how", ["unreachable", "overloaded"])
def test_an_answer_of_staff_waits_for_a_broker_that_is_away(watch: Watch, how: str) -> None:
    watch.visit(patient_class="uninsured")
    watch.is_told()
    watch.works()
    case = watch.pulls()[1]

    def away(path: str, answer: Answer) -> Answer:
        if not path.endswith("/decision"):
            return answer
        if how == "unreachable":
            raise UnreachableError("127.0.0.1")
        return Answer(503, {}, b"")

    watch.insurer.wire.tap = away
    answer = {"status": "rejected", "payable": 0, "explanation": SAID}
    assert watch.answers(case.case_id, answer).status_code == 200
    assert watch.insurer.case(case.case_id).review == "answered"
    # The person asks for a review at this moment: a person has just made one.
    assert watch.posts(_review_of(watch, case)).status_code == 202
    watch.works()
    assert watch.insurer.case(case.case_id).review == "answered"
    watch.insurer.wire.tap = lambda _, passed: passed
    watch.waits(minutes=1)
    watch.works()
    assert watch.insurer.case(case.case_id).review == "sent"
    assert [one["status"] for one in watch.decisions(case)] == ["review", "rejected"]


def test_an_answer_that_the_broker_refuses_goes_back_to_staff(watch: Watch) -> None:
    watch.visit(patient_class="uninsured")
    watch.is_told()
    watch.works()
    case = watch.pulls()[1]
    long = {"status": "approved", "payable": 1, "explanation": SAID | {"en": "x" * 1001}}
    assert watch.answers(case.case_id, long).status_code == 200
    refused = watch.insurer.case(case.case_id)
    assert (refused.state, refused.review, refused.decision_id) == ("closed", "waiting", case.decision_id)
    assert refused.refusal
    shown = watch.insurer.http.get(f"/staff/cases/{case.case_id}", headers=watch.insurer.staff).json()
    assert (shown["review"], shown["refusal"]) == ("waiting", refused.refusal)
    assert watch.answers(case.case_id, long | {"explanation": SAID}).status_code == 200
    assert (watch.insurer.case(case.case_id).review, watch.insurer.case(case.case_id).refusal) == (
        "sent",
        None,
    )
    assert len(watch.decisions(case)) == 2


def test_an_acknowledgement_that_is_refused_keeps_no_answer_back(watch: Watch) -> None:
    watch.insurer.wire.tap = lambda path, answer: (
        Answer(403, {}, b'{"code": "no"}') if path.endswith("/ack") else answer
    )
    watch.visit(patient_class="uninsured")
    watch.is_told()
    watch.works()
    case = watch.pulls()[1]
    assert (case.state, case.review) == ("decided", "waiting")
    answer = {"status": "approved", "payable": 5_000, "explanation": SAID}
    assert watch.answers(case.case_id, answer).status_code == 200
    assert watch.insurer.case(case.case_id).review == "sent"
    watch.insurer.wire.tap = lambda _, passed: passed
    watch.waits(minutes=1)
    watch.works()
    assert watch.insurer.case(case.case_id).state == "closed"


def test_a_person_who_asks_for_a_review_gets_one(watch: Watch) -> None:
    watch.visit()
    watch.is_told()
    watch.works()
    case = watch.pulls()[1]
    assert (case.state, case.review, case.decision_id is not None) == ("closed", None, True)
    installation = watch.broker.installation
    with transaction(installation.data) as work:
        subject_id = work.session.get_one(Consent, watch.grant_id).subject_id
        ask_for_review(work, installation.keyring, case.decision_id or "", subject_id, watch.broker.clock())
    assert watch.is_told() == 1
    for _ in range(2):
        watch.works()
        assert watch.insurer.case(case.case_id).review == "waiting"
    answer = {"status": "approved", "payable": 61_000, "explanation": SAID}
    assert watch.answers(case.case_id, answer).status_code == 200
    assert [one["payable"] for one in watch.decisions(case)] == [60_000, 61_000]
    with installation.data.read() as session:
        asked = session.exec(select(Duty).where(Duty.kind == DutyKind.ASK_REVIEW)).all()
    assert {duty.done_at is not None for duty in asked} == {True}
