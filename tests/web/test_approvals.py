"""Shared accounts in pages (feature rows 16 and 40): two people, one account, and what each of them sees."""

from datetime import timedelta
from typing import Any

import pytest
from httpx import Response
from sqlmodel import col, select

from broker.db import transaction
from broker.receipt_signing import receipt_signer
from consent import coholding, collection
from consent.collection import NewLink
from consent.emergency import PURPOSE, NewEmergency, OpenedEmergency, open_access
from consent.emergency_limits import Limits
from consent.models import Consent, Shield
from consent.people_vocabulary import EmergencyReason
from consent.staff import Staff
from consent.vocabulary import ConsentState
from tests.web.stage import BILL, POLICY, Form, Stage, bill, text_of
from tests.web.test_acting import as_other, as_own

STAFF = Staff("jimin", "notice 7")


@pytest.fixture
def shared(stage: Stage) -> Stage:
    """The policy of the register is the two people's together."""
    with transaction(stage.installation.data) as work:
        coholding.add_account(
            work,
            stage.installation.keyring,
            "insurance-register",
            POLICY,
            [stage.subject_id, stage.other_subject_id],
            staff=STAFF,
            now=stage.clock(),
        )
    return stage


def post(stage: Stage, path: str, **fields: Any) -> Response:  # noqa: ANN401 - a form value or several
    names = {"other", "decision"}
    token = {k: v for k, v in Form(stage.http.get("/ko/approvals").text).fields.items() if k not in names}
    token |= {k: v for k, v in Form(stage.http.get("/ko/rights").text).fields.items() if k not in names}
    answer: Response = stage.http.post(path, data=token | fields)
    return answer


def consent(stage: Stage) -> Consent:
    with stage.installation.data.read() as session:
        return session.exec(select(Consent).order_by(col(Consent.created_at).desc())).first()  # type: ignore[return-value]


def signed(stage: Stage) -> str:
    assert as_own(stage).decide(stage.request(), "allow", item=[POLICY]).status_code == 303
    return consent(stage).grant_id


def test_the_person_is_told_that_somebody_else_is_asked(shared: Stage) -> None:
    page = as_own(shared).http.get(f"/ko/consent/{shared.request()}").text
    assert 'id="shared"' in page
    without = shared.http.get(f"/ko/consent/{shared.request(bill())}").text
    assert 'id="shared"' not in without


def test_the_co_holder_decides_and_sees_nothing_private(shared: Stage) -> None:
    grant_id = signed(shared)
    assert consent(shared).state == ConsentState.PARTIALLY_SIGNED
    page = as_other(shared).http.get("/ko/approvals").text
    words = text_of(page)
    assert "한빛손해보험" in words
    assert "보험계약정보원" in words
    assert "김하늘" in words
    assert "서울한빛병원" not in words
    assert shared.installation.catalogue.get(BILL).label("ko") not in words
    assert post(shared, f"/ko/approvals/{grant_id}", decision="approve").status_code == 303
    assert consent(shared).state == ConsentState.GIVEN
    assert shared.http.get(f"/ko/consents/{grant_id}").status_code == 404
    assert post(shared, f"/ko/approvals/{grant_id}", decision="stop").status_code == 303
    assert consent(shared).state == ConsentState.WITHDRAWN


def test_a_no_is_a_no_for_both(shared: Stage) -> None:
    grant_id = signed(shared)
    as_other(shared)
    assert post(shared, f"/ko/approvals/{grant_id}", decision="maybe").status_code == 400
    assert post(shared, f"/ko/approvals/{grant_id}", decision="refuse").status_code == 303
    assert consent(shared).state == ConsentState.REFUSED
    assert post(shared, f"/ko/approvals/{grant_id}", decision="approve").status_code == 303
    assert consent(shared).state == ConsentState.REFUSED


def test_a_yes_after_a_third_holder_turned_up_gives_nothing_and_says_so(shared: Stage) -> None:
    grant_id = signed(shared)
    with transaction(shared.installation.data) as work:
        keyring, now = shared.installation.keyring, shared.clock()
        third = collection.add_subject(work, keyring, now)
        coholding.add_account(
            work,
            keyring,
            "insurance-register",
            POLICY,
            [shared.subject_id, third],
            staff=STAFF,
            now=now,
        )
    as_other(shared)
    answer = post(shared, f"/ko/approvals/{grant_id}", decision="approve")
    assert answer.status_code == 409
    assert consent(shared).state == ConsentState.PARTIALLY_SIGNED


def test_strangers_and_unknown_ones_are_one_answer(shared: Stage) -> None:
    grant_id = signed(shared)
    for path in (grant_id, "unknown"):
        assert post(shared, f"/ko/approvals/{path}", decision="approve").status_code == 404


def test_a_shield_leaves_no_trace_for_the_other(shared: Stage) -> None:
    before = text_of(as_other(shared).http.get("/ko/approvals").text)
    grant_id = signed(shared)
    assert post(shared, "/ko/approvals/shields", other=shared.other_subject_id).status_code == 303
    assert consent(shared).state == ConsentState.PARTIALLY_SIGNED  # their yes is needed as before
    assert 'id="shields"' in shared.http.get("/ko/approvals").text
    assert "다시 묻게 할 때까지 기다려요" in shared.http.get("/ko/approvals").text
    assert 'id="shared"' in shared.http.get(f"/ko/consent/{shared.request()}").text
    as_other(shared)
    assert text_of(shared.http.get("/ko/approvals").text) == before
    for decision in ("approve", "refuse", "stop"):
        foreign = post(shared, f"/ko/approvals/{grant_id}", decision=decision)
        unknown = post(shared, "/ko/approvals/unknown", decision=decision)
        assert foreign.status_code == unknown.status_code == 404
        assert text_of(foreign.text).split("추적 번호")[0] == text_of(unknown.text).split("추적 번호")[0]


def test_a_shield_is_taken_away_by_its_person_only(shared: Stage) -> None:
    as_own(shared)
    assert post(shared, "/ko/approvals/shields", other="somebody").status_code == 404
    post(shared, "/ko/approvals/shields", other=shared.other_subject_id)
    with shared.installation.data.read() as session:
        shield_id = session.exec(select(Shield.shield_id)).one()
    as_other(shared)
    assert post(shared, f"/ko/approvals/shields/{shield_id}/end").status_code == 404
    as_own(shared)
    assert post(shared, f"/ko/approvals/shields/{shield_id}/end").status_code == 303
    signed(shared)
    assert consent(shared).state == ConsentState.PARTIALLY_SIGNED


def test_what_was_opened_in_an_emergency_is_answered_by_its_person(stage: Stage) -> None:
    new = NewEmergency(
        "seoul-hospital",
        "E-0001",
        EmergencyReason.UNCONSCIOUS,
        "Found unconscious; which medicines?",
        "hanbit-insurance",
        "hanbit-claims",
    )
    keyring, now = stage.installation.keyring, stage.clock()
    with transaction(stage.installation.data) as work:
        link = NewLink(stage.subject_id, "seoul-hospital", "E-0001", ("health.prescription",), "ko")
        collection.link(work, keyring, link, now)
        opened = open_access(
            work,
            keyring,
            new,
            purpose=stage.installation.purposes.get(PURPOSE),
            sign_receipt=receipt_signer(stage.installation, now),
            review_within=timedelta(days=3),
            limits=Limits(5, 20),
            now=now,
        )
    assert isinstance(opened, OpenedEmergency)
    assert 'id="emergencies"' in as_own(stage).http.get("/ko/representation").text
    page = text_of(stage.http.get("/ko/emergencies").text)
    assert "Found unconscious" in page
    assert "검토하고 있어요" in page
    assert "응급 상황에서" in text_of(stage.http.get(f"/ko/consents/{opened.grant_id}").text)
    path = f"/ko/emergencies/{opened.emergency_id}"
    assert post(stage, path, answer="perhaps").status_code == 400
    assert post(stage, path, answer="objected").status_code == 303
    stage.clock.advance(timedelta(days=3))
    page = text_of(as_own(stage).http.get("/ko/emergencies").text)
    assert "맞지 않았다고 했어요" in page
    assert "검토가 늦어지고 있어요" in page
    as_other(stage)
    assert post(stage, path, answer="objected").status_code == 404
    assert "Found" not in stage.http.get("/ko/emergencies").text
