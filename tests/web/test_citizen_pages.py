"""The citizen's other pages: home, one consent, receipt, stopping, sources."""

import pytest

from consent.receipt_signature import verify_receipt
from consent.vocabulary import ConsentState
from tests.web.stage import BILL, Form, Stage, text_of


@pytest.fixture
def grant_id(signed_in: Stage) -> str:
    return signed_in.agreed()


def test_somebody_elses_consent_is_as_unknown(signed_in: Stage, grant_id: str) -> None:
    signed_in.http.cookies.clear()
    signed_in.sign_in(username="jeongsuk")
    for page in ("", "/stop", "/stopped", "/receipt", "/receipt.jws"):
        foreign = signed_in.http.get(f"/ko/consents/{grant_id}{page}")
        unknown = signed_in.http.get(f"/ko/consents/unknown{page}")
        assert (foreign.status_code, unknown.status_code) == (404, 404)
        assert _without_ids(foreign.text, grant_id) == _without_ids(unknown.text, "unknown")


def test_nobody_else_can_stop_it(signed_in: Stage, grant_id: str) -> None:
    signed_in.http.cookies.clear()
    signed_in.sign_in(username="jeongsuk")
    assert signed_in.http.post(f"/ko/consents/{grant_id}/stop").status_code == 404
    assert signed_in.consents()[0].state is ConsentState.GIVEN


def test_an_empty_home_says_what_will_appear(signed_in: Stage) -> None:
    words = text_of(signed_in.http.get("/ko").text)
    assert "지금 내 정보를 받을 수 있는 곳은 없어요." in words
    assert "서울한빛병원" in words


def test_a_consent_appears_with_its_stop_button(signed_in: Stage, grant_id: str) -> None:
    page = signed_in.http.get("/ko").text
    words = text_of(page)
    assert f'href="/ko/consents/{grant_id}/stop"' in page
    for told in (
        "한빛손해보험",
        "실손보험금 청구와 심사",
        "2026. 12. 31.(목) 00:00",
        "마지막 전송 아직 없음",
    ):
        assert told in words, told


def test_an_open_request_can_be_found_again(signed_in: Stage) -> None:
    interaction_id = signed_in.request()
    signed_in.http.get(f"/ko/consent/{interaction_id}")
    assert f'href="/ko/consent/{interaction_id}"' in signed_in.http.get("/ko").text


def test_stopping_takes_one_confirmation(signed_in: Stage, grant_id: str) -> None:
    confirmation = signed_in.http.get(f"/ko/consents/{grant_id}/stop")
    words = text_of(confirmation.text)
    for told in ("멈추는 것", "버튼을 누르면 바로", "한빛손해보험에서 받은 자료를 바로 지워야 해요."):
        assert told in words, told
    fields = Form(confirmation.text).fields
    answer = signed_in.http.post(f"/ko/consents/{grant_id}/stop", data=fields)
    assert answer.headers["location"] == f"/ko/consents/{grant_id}/stopped"
    stopped = text_of(signed_in.http.get(answer.headers["location"]).text)
    assert "이제 보내지 않아요" in stopped
    assert grant_id in stopped
    assert signed_in.consents()[0].state is ConsentState.WITHDRAWN


def test_stopping_twice_is_stopping_once(signed_in: Stage, grant_id: str) -> None:
    for _ in range(2):
        answer = signed_in.http.post(f"/ko/consents/{grant_id}/stop")
        assert answer.headers["location"] == f"/ko/consents/{grant_id}/stopped"
    events = [event.type for event in signed_in.consents()[0].timeline]
    assert events.count("consent.withdrawn") == 1


def test_pausing_and_going_on_take_one_press_each(signed_in: Stage, grant_id: str) -> None:
    path = f"/ko/consents/{grant_id}"
    for step, state in (("pause", ConsentState.PAUSED), ("resume", ConsentState.GIVEN)):
        page = signed_in.http.get(path).text
        assert f'action="{path}/{step}"' in page
        answer = signed_in.http.post(f"{path}/{step}", data=Form(page).fields)
        assert answer.headers["location"] == path
        assert signed_in.consents()[0].state is state


def test_nobody_else_can_pause_it(signed_in: Stage, grant_id: str) -> None:
    signed_in.http.cookies.clear()
    signed_in.sign_in(username="jeongsuk")
    for step in ("pause", "resume"):
        assert signed_in.http.post(f"/ko/consents/{grant_id}/{step}").status_code == 404
    assert signed_in.consents()[0].state is ConsentState.GIVEN


def test_what_has_ended_is_neither_paused_nor_resumed(signed_in: Stage, grant_id: str) -> None:
    signed_in.http.post(f"/ko/consents/{grant_id}/stop")
    path = f"/ko/consents/{grant_id}"
    for step in ("pause", "resume"):
        assert signed_in.http.post(f"{path}/{step}").headers["location"] == path
    assert signed_in.consents()[0].state is ConsentState.WITHDRAWN


def test_what_was_declined_cannot_be_stopped(signed_in: Stage) -> None:
    signed_in.decide(signed_in.request(), "deny")
    grant_id = signed_in.consents()[0].grant_id
    path = f"/ko/consents/{grant_id}"
    assert signed_in.http.get(f"{path}/stop").headers["location"] == path
    assert signed_in.http.post(f"{path}/stop").headers["location"] == path
    assert signed_in.http.get(f"{path}/stopped").headers["location"] == path
    assert signed_in.http.get(f"{path}/receipt").status_code == 404


def test_the_timeline_tells_what_happened(signed_in: Stage, grant_id: str) -> None:
    signed_in.http.post(f"/ko/consents/{grant_id}/stop")
    words = text_of(signed_in.http.get(f"/ko/consents/{grant_id}").text)
    assert (
        words.index("그만 보내기로 하셨어요")
        < words.index("동의하셨어요")
        < words.index("동의를 요청받았어요")
    )


def test_the_receipt_is_the_signed_file_byte_for_byte(signed_in: Stage, grant_id: str) -> None:
    first = signed_in.http.get(f"/ko/consents/{grant_id}/receipt.jws")
    again = signed_in.http.get(f"/en/consents/{grant_id}/receipt.jws")
    assert first.content == again.content
    assert first.headers["content-type"] == "application/jose"
    assert first.headers["content-disposition"] == f'attachment; filename="consent-receipt-{grant_id}.jws"'
    keys = [key.public_jwk for key in signed_in.installation.keyring.service_keys("receipt")]
    claims = verify_receipt(first.text, {"keys": keys})
    assert claims["grant_id"] == grant_id


def test_the_receipt_page_shows_what_was_signed(signed_in: Stage, grant_id: str) -> None:
    words = text_of(signed_in.http.get(f"/ko/consents/{grant_id}/receipt").text)
    for told in (
        "동의 영수증",
        "한빛손해보험",
        "서울한빛병원",
        "받은 날부터 90일",
        "2026-11-26 개정",
        "한국어",
        grant_id,
    ):
        assert told in words, told


def test_unlinking_takes_one_confirmation(signed_in: Stage) -> None:
    link = signed_in.http.get("/ko/sources").text.partition('/unlink">')[0].rpartition("/")[2]
    path = f"/ko/sources/{link}/unlink"
    assert "그만 모을까요?" in text_of(signed_in.http.get(path).text)
    for _ in range(2):
        assert signed_in.http.post(path).headers["location"] == "/ko/sources"
    assert "연결을 끊은 기관" in signed_in.http.get("/ko/sources").text
    assert signed_in.http.get(path).status_code == 404


def test_nobody_else_can_unlink(signed_in: Stage) -> None:
    link = signed_in.http.get("/ko/sources").text.partition('/unlink">')[0].rpartition("/")[2]
    signed_in.http.cookies.clear()
    signed_in.sign_in(username="jeongsuk")
    for call in (signed_in.http.get, signed_in.http.post):
        assert call(f"/ko/sources/{link}/unlink").status_code == 404


def _link_form(**changes: object) -> dict[str, object]:
    form = {"holder": "seoul-hospital", "patient_no": "P-0002", "record_type": [BILL], "agree": "yes"}
    return {name: value for name, value in (form | changes).items() if value is not None}


def test_linking_needs_everything_and_an_agreement(stage: Stage) -> None:
    stage.sign_in(username="jeongsuk")
    for missing in ("holder", "patient_no", "record_type", "agree"):
        answer = stage.http.post("/ko/sources", data=_link_form(**{missing: None}))
        assert answer.status_code == 422
        assert "빠진 내용이 있어요" in answer.text
    assert stage.http.post("/ko/sources", data=_link_form()).status_code == 303
    assert "서울한빛병원" in stage.http.get("/ko").text


def test_a_number_that_is_taken_and_a_holder_that_is_none_are_one_answer(stage: Stage) -> None:
    stage.sign_in(username="jeongsuk")
    for changes in ({"patient_no": "P-0001"}, {"holder": "nobody"}, {"holder": "hanbit-insurance"}):
        answer = stage.http.post("/ko/sources", data=_link_form(**changes))
        assert (answer.status_code, "linking_closed" in answer.text) == (409, True)


def test_a_number_is_proof_of_nothing_outside_a_demonstration(production_stage: Stage) -> None:
    production_stage.sign_in(username="jeongsuk")
    assert 'id="link-source"' not in production_stage.http.get("/ko/sources").text
    assert production_stage.http.post("/ko/sources", data=_link_form()).status_code == 409


def test_an_error_page_answers_four_questions(signed_in: Stage) -> None:
    words = text_of(signed_in.http.get("/ko/no/such/page").text)
    for told in ("어떤 일이 있었나요", "내 정보는 안전한가요?", "이제 어떻게 하나요?", "추적 번호"):
        assert told in words, told


def test_citizens_do_not_see_the_auditors_list(signed_in: Stage) -> None:
    assert signed_in.http.get("/ko/audit").status_code == 403


def test_auditors_do_not_see_citizens_pages(stage: Stage) -> None:
    stage.sign_in(username="auditor-1")
    for path in ("/ko", "/ko/sources", "/ko/consents/x"):
        assert stage.http.get(path).status_code == 403


def test_the_auditors_list_says_what_it_covers(signed_in: Stage) -> None:
    grant_ids = [signed_in.agreed() for _ in range(25)]
    signed_in.http.cookies.clear()
    signed_in.sign_in(username="auditor-1")
    page = signed_in.http.get("/en/audit").text
    words = text_of(page)
    # Two links, then a request and a consent each.
    assert "Events 2 to 51 of the whole log of 52, without filter and without gaps" in words
    assert 'href="/en/audit?before=2"' in page
    older = signed_in.http.get("/en/audit?before=2").text
    assert "Events 0 to 1 of the whole log of 52" in text_of(older)
    assert 'href="/en/audit?before=52"' in older
    assert not any(grant_id in page for grant_id in grant_ids)
    assert "김하늘" not in page


def test_a_place_that_is_none_is_refused(stage: Stage) -> None:
    stage.sign_in(username="auditor-1")
    for before in ("0", "-1", "x", "99999999999999999999"):
        assert stage.http.get(f"/ko/audit?before={before}").status_code == 422


def _without_ids(page: str, grant_id: str) -> str:
    trace = page.partition("추적 번호 <code>")[2].partition("</code>")[0]
    return page.replace(grant_id, "").replace(trace, "") if trace else page.replace(grant_id, "")
