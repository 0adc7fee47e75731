"""A recipient's decisions on the citizen's page, and the button that asks for a person to look again."""

from typing import Any

import pytest

from broker.db import transaction
from consent.delivery import receive_decision
from consent.models import Consent, Delivery
from consent.reading import DecisionView
from tests.web.stage import Form, Stage, text_of
from vault.schema import random_id

ASK = "사람이 다시 살펴봐 주세요"

LINE: dict[str, Any] = {
    "bill_no": "20261110-0031",
    "part": "covered",
    "billed": 44_200,
    "deductible": 20_000,
    "over_limit": 0,
    "paid": 24_200,
    "rule_id": "gen4.covered.outpatient",
    "explanation": {"ko": "공제금액을 뺐습니다.", "en": "Less the deductible."},
}
APPROVED: dict[str, Any] = {
    "status": "approved",
    "reference": "HB-0007",
    "payable": 24_200,
    "lines": [LINE],
    "explanation": {"ko": "규칙으로 계산했습니다.", "en": "Computed by the rules."},
}
WAITING = APPROVED | {
    "status": "review",
    "payable": 0,
    "lines": [],
    "explanation": {"ko": "담당자가 확인하고 있습니다.", "en": "Somebody is checking."},
}
UPHELD = APPROVED | {"explanation": {"ko": "담당자가 확인했습니다.", "en": "Somebody has checked."}}


@pytest.fixture
def grant_id(signed_in: Stage) -> str:
    return signed_in.agreed()


def deliver(stage: Stage, grant_id: str, ordinal: int = 1) -> str:
    """A delivery's row as a pull leaves it."""
    delivery_id = random_id()
    with transaction(stage.installation.data) as work:
        consent = work.session.get_one(Consent, grant_id)
        work.session.add(
            Delivery(
                delivery_id=delivery_id,
                grant_id=grant_id,
                version_id=f"{grant_id}.1",
                subject_id=consent.subject_id,
                recipient_id=consent.recipient_id,
                ordinal=ordinal,
                key_digest=bytes([ordinal]) * 32,
                request_digest=bytes(32),
                payload_digest=bytes(32),
                nonce_sealed=bytes(32),
                record_count=2,
                as_of=stage.clock(),
            )
        )
    return delivery_id


def decide(stage: Stage, delivery_id: str, body: dict[str, Any] = APPROVED) -> str:
    with transaction(stage.installation.data) as work:
        recipient_id = "hanbit-insurance"
        received = receive_decision(
            work,
            stage.installation.keyring,
            delivery_id,
            recipient_id=recipient_id,
            body=body,
            now=stage.clock(),
        )
    return received.decision_id


def path_of(grant_id: str, decision_id: str) -> str:
    return f"/ko/consents/{grant_id}/decisions/{decision_id}/review"


def page(stage: Stage, grant_id: str, language: str = "ko") -> str:
    answer = stage.http.get(f"/{language}/consents/{grant_id}")
    assert answer.status_code == 200
    return str(answer.text)


def seen(stage: Stage, grant_id: str) -> tuple[DecisionView, ...]:
    return next(consent.decisions for consent in stage.consents() if consent.grant_id == grant_id)


# Refused


def test_somebody_elses_decision_is_as_unknown(signed_in: Stage, grant_id: str) -> None:
    decision_id = decide(signed_in, deliver(signed_in, grant_id))
    signed_in.http.cookies.clear()
    signed_in.sign_in(username="jeongsuk")
    for grant, decision in ((grant_id, decision_id), (grant_id, "unknown"), ("unknown", "unknown")):
        answer = signed_in.http.post(path_of(grant, decision))
        assert (answer.status_code, "not_found" in answer.text) == (404, True)
    assert seen(signed_in, grant_id)[0].review_requested_at is None


def test_a_decision_under_another_consent_is_not_found_there(signed_in: Stage, grant_id: str) -> None:
    other = signed_in.agreed()
    decision_id = decide(signed_in, deliver(signed_in, grant_id))
    for wrong in (other, "unknown"):
        assert signed_in.http.post(path_of(wrong, decision_id)).status_code == 404
    assert seen(signed_in, grant_id)[0].review_requested_at is None


def test_another_site_cannot_press_the_button(signed_in: Stage, grant_id: str) -> None:
    decision_id = decide(signed_in, deliver(signed_in, grant_id))
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}):
        assert signed_in.http.post(path_of(grant_id, decision_id), headers=headers).status_code == 403
    assert seen(signed_in, grant_id)[0].review_requested_at is None


def test_a_page_that_was_too_old_shows_what_stands_now(signed_in: Stage, grant_id: str) -> None:
    delivery_id = deliver(signed_in, grant_id)
    older = decide(signed_in, delivery_id, WAITING)
    decide(signed_in, delivery_id)
    answer = signed_in.http.post(path_of(grant_id, older))
    assert answer.headers["location"] == f"/ko/consents/{grant_id}"
    assert signed_in.http.post(path_of("unknown", older)).status_code == 404
    assert [decision.review_requested_at for decision in seen(signed_in, grant_id)] == [None, None]


# Shown


def test_a_decision_is_shown_with_its_lines_and_its_rule(signed_in: Stage, grant_id: str) -> None:
    decide(signed_in, deliver(signed_in, grant_id))
    for language, told in {
        "ko": (
            "24,200원",
            "지급 결정",
            "규칙으로 계산했습니다.",
            "급여",
            "20,000원",
            "공제금액을 뺐습니다.",
            ASK,
        ),
        "en": ("₩24,200", "Approved", "Computed by the rules.", "Covered care", "₩20,000", "Ask a person to"),
    }.items():
        words = text_of(page(signed_in, grant_id, language))
        assert [text for text in told if text not in words] == []
        assert "gen4.covered.outpatient" in words
        assert "HB-0007" in words


def test_what_a_limit_cut_off_is_told_where_there_is_some(signed_in: Stage, grant_id: str) -> None:
    delivery_id = deliver(signed_in, grant_id)
    decide(signed_in, delivery_id, WAITING | {"lines": [LINE]})
    assert "한도 초과" not in page(signed_in, grant_id)
    decide(signed_in, delivery_id, APPROVED | {"lines": [LINE, LINE | {"over_limit": 4_200, "paid": 20_000}]})
    words = text_of(page(signed_in, grant_id))
    assert "한도 초과" in words
    assert "4,200원" in words


def test_while_a_person_looks_there_is_nothing_to_ask(signed_in: Stage, grant_id: str) -> None:
    decide(signed_in, deliver(signed_in, grant_id), WAITING)
    shown = page(signed_in, grant_id)
    assert "지금 그 기관의 담당자가 살펴보고 있어요." in shown
    assert "프로그램이 내린 결정이에요." not in shown
    assert ASK not in shown
    assert "A person at the organisation is looking at it now." in page(signed_in, grant_id, "en")


def test_the_button_needs_no_script_and_works_once(signed_in: Stage, grant_id: str) -> None:
    delivery_id = deliver(signed_in, grant_id)
    decision_id = decide(signed_in, delivery_id)
    shown = page(signed_in, grant_id)
    assert f'action="{path_of(grant_id, decision_id)}"' in shown
    del signed_in.http.headers["Origin"]
    for _ in range(2):  # with nothing but the fields of the form
        answer = signed_in.http.post(path_of(grant_id, decision_id), data=Form(shown).fields)
        assert answer.headers["location"] == f"/ko/consents/{grant_id}"
    asked = text_of(page(signed_in, grant_id))
    assert f"{signed_in.clock().year}." in asked
    assert "에 재검토를 부탁하셨어요" in asked
    assert "사람이 결정을 다시 살펴봐 달라고 하셨어요" in asked
    assert ASK not in asked
    assert "Review asked on" in page(signed_in, grant_id, "en")
    events = [event.type for event in signed_in.consents()[0].timeline]
    assert events.count("decision.review_requested") == 1


def test_after_the_review_both_decisions_are_there(signed_in: Stage, grant_id: str) -> None:
    delivery_id = deliver(signed_in, grant_id)
    signed_in.http.post(path_of(grant_id, decide(signed_in, delivery_id)))
    second = decide(signed_in, delivery_id, UPHELD)
    shown = page(signed_in, grant_id)
    words = text_of(shown)
    assert "에 부탁하신 재검토 뒤에 나온 결정" in words
    assert words.index("담당자가 확인했습니다.") < words.index("앞선 결정 1건")
    assert words.index("앞선 결정 1건") < words.index("규칙으로 계산했습니다.")
    assert "받는 곳이 다시 살펴본 뒤 결정을 알려 왔어요" in words
    assert "프로그램이 내린 결정이에요." not in words
    assert f'action="{path_of(grant_id, second)}"' in shown
    assert "1 earlier decision" in text_of(page(signed_in, grant_id, "en"))


def test_after_a_person_has_looked_unasked_the_page_says_so(signed_in: Stage, grant_id: str) -> None:
    delivery_id = deliver(signed_in, grant_id)
    decide(signed_in, delivery_id, WAITING)
    decide(signed_in, delivery_id, UPHELD)
    words = text_of(page(signed_in, grant_id))
    assert "사람이 살펴본 뒤에 나온 결정" in words
    assert "부탁하신 재검토" not in words
    assert "받는 곳이 결정을 알려 왔어요" in words
    assert "받는 곳이 다시 살펴본 뒤 결정을 알려 왔어요" not in words


def test_each_delivery_has_its_own_outcome_the_newest_first(signed_in: Stage, grant_id: str) -> None:
    first, second = deliver(signed_in, grant_id, 1), deliver(signed_in, grant_id, 2)
    decide(signed_in, first, APPROVED | {"reference": "HB-0001"})
    decide(signed_in, second, APPROVED | {"reference": "HB-0002"})
    shown = page(signed_in, grant_id)
    assert shown.index("HB-0002") < shown.index("HB-0001")
    assert shown.count(ASK) == 2
    assert "앞선 결정" not in shown


def test_an_erased_decision_leaves_its_place_and_no_button(signed_in: Stage, grant_id: str) -> None:
    delivery_id = deliver(signed_in, grant_id)
    decide(signed_in, delivery_id, WAITING)
    decide(signed_in, delivery_id)
    signed_in.installation.keyring.erase_subject(signed_in.subject_id, signed_in.clock())
    shown = page(signed_in, grant_id)
    assert shown.count("이 결정은 지웠어요.") == 1
    assert ASK not in shown
