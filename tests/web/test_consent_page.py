"""The consent page (experience C, korea L1-L7)."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from consent.vocabulary import ConsentState
from tests.installation import Clock
from tests.web.stage import BILL, POLICY, REDIRECT_URI, Form, Stage, bill, policy, text_of


def test_a_stranger_signs_in_first(stage: Stage) -> None:
    interaction_id = stage.request()
    answer = stage.http.get(f"/ko/consent/{interaction_id}")
    assert answer.headers["location"] == f"/ko/signin?next=/ko/consent/{interaction_id}"
    assert stage.consents() == []


def test_an_unknown_request_is_a_blocking_page(signed_in: Stage) -> None:
    answer = signed_in.http.get("/ko/consent/unknown")
    assert answer.status_code == 410
    assert "request_gone" in answer.text


def test_an_expired_request_is_a_blocking_page(signed_in: Stage) -> None:
    interaction_id = signed_in.request()
    signed_in.clock.advance(timedelta(minutes=61))
    signed_in.sign_in()
    assert signed_in.http.get(f"/ko/consent/{interaction_id}").status_code == 410


def test_somebody_else_cannot_open_or_answer_it(signed_in: Stage) -> None:
    interaction_id = signed_in.request()
    fields = Form(signed_in.http.get(f"/ko/consent/{interaction_id}").text).fields
    signed_in.http.cookies.clear()
    signed_in.sign_in(username="jeongsuk")
    path = f"/ko/consent/{interaction_id}"
    assert signed_in.http.get(path).status_code == 410
    for decision in ("allow", "deny"):
        assert signed_in.http.post(path, data=fields | {"decision": decision}).status_code == 410
    assert [consent.state for consent in signed_in.consents()] == [ConsentState.REQUESTED]


def test_an_auditor_has_no_business_here(stage: Stage) -> None:
    interaction_id = stage.request()
    stage.sign_in(username="auditor-1")
    assert stage.http.get(f"/ko/consent/{interaction_id}").status_code == 403


def test_a_text_that_has_changed_is_shown_again(signed_in: Stage) -> None:
    interaction_id = signed_in.request()
    answer = signed_in.decide(interaction_id, "allow", notice="00" * 32)
    assert answer.status_code == 409
    assert "읽으시는 동안 안내문이 바뀌었어요." in answer.text
    assert [consent.state for consent in signed_in.consents()] == [ConsentState.REQUESTED]


def test_the_korean_text_is_not_the_english_one(signed_in: Stage) -> None:
    interaction_id = signed_in.request()
    fields = Form(signed_in.http.get(f"/ko/consent/{interaction_id}").text).fields
    answer = signed_in.http.post(f"/en/consent/{interaction_id}", data=fields | {"decision": "allow"})
    assert answer.status_code == 409


@pytest.mark.parametrize("fields", [{"notice": "zz"}, {"item": "no.such_type"}, {"decision": "perhaps"}])
def test_a_form_that_our_page_does_not_make_is_refused(signed_in: Stage, fields: dict[str, str]) -> None:
    answer = signed_in.decide(signed_in.request(), **{"decision": "allow"} | fields)
    assert answer.status_code == 400
    assert [consent.state for consent in signed_in.consents()] == [ConsentState.REQUESTED]


def test_opening_it_again_makes_no_second_consent(signed_in: Stage) -> None:
    interaction_id = signed_in.request()
    for language in ("ko", "en", "ko"):
        assert signed_in.http.get(f"/{language}/consent/{interaction_id}").status_code == 200
    assert len(signed_in.consents()) == 1


@pytest.mark.parametrize(("first", "second"), [("allow", "deny"), ("deny", "allow")])
def test_another_answer_afterwards_changes_nothing(signed_in: Stage, first: str, second: str) -> None:
    interaction_id = signed_in.request()
    path = f"/ko/consent/{interaction_id}"
    fields = Form(signed_in.http.get(path).text).fields
    assert signed_in.http.post(path, data=fields | {"decision": first}).status_code == 303
    state = signed_in.consents()[0].state
    assert signed_in.http.post(path, data=fields | {"decision": second}).status_code == 410
    assert signed_in.http.get(path).status_code == 410
    assert [consent.state for consent in signed_in.consents()] == [state]


@pytest.mark.parametrize("decision", ["allow", "deny"])
def test_the_same_answer_twice_leads_to_the_same_address(
    signed_in: Stage, clock: Clock, decision: str
) -> None:
    interaction_id = signed_in.request()
    path = f"/ko/consent/{interaction_id}"
    fields = Form(signed_in.http.get(path).text).fields | {"decision": decision}
    first = signed_in.http.post(path, data=fields)
    second = signed_in.http.post(path, data=fields)
    assert (first.status_code, second.status_code) == (303, 303)
    assert first.headers["location"] == second.headers["location"]
    assert len(signed_in.consents()) == 1
    clock.advance(timedelta(seconds=61))
    assert signed_in.http.post(path, data=fields).status_code == 410


def test_the_page_shows_all_seven_items_of_the_law(signed_in: Stage) -> None:
    words = text_of(signed_in.http.get(f"/ko/consent/{signed_in.request()}").text)
    for told in (
        "실손보험금 청구와 심사",  # purpose
        "서울한빛병원",  # holder
        "한빛손해보험",  # recipient
        "101-81-00017",
        "진료비 계산서·영수증",  # data
        "한 번만 보내요(정기 전송 아님)",  # regular or not
        "2026. 12. 31.(목) 00:00까지",  # end
        "받은 날부터 90일",  # retention
        "요양기관기호 11100079",  # filter
        "2026. 11. 1.(일)부터 2026. 11. 30.(월)까지",
        "동의하지 않으셔도 됩니다",  # what refusing means
        "건강정보(민감정보)",
    ):
        assert told in words, told


def test_no_field_code_appears(signed_in: Stage) -> None:
    words = text_of(signed_in.http.get(f"/en/consent/{signed_in.request()}").text)
    for code in (
        "bill_no",
        "hira_code",
        "ytd_used",
        "covered_copay",
        "health.medical_bill",
        "national_health",
    ):
        assert code not in words


def test_the_title_is_a_question_that_names_recipient_and_thing(signed_in: Stage) -> None:
    interaction_id = signed_in.request()
    korean = signed_in.http.get(f"/ko/consent/{interaction_id}").text
    assert "진료비 계산서·영수증 외 1건 자료를 한빛손해보험에 보내도 될까요?" in korean
    english = signed_in.http.get(f"/en/consent/{interaction_id}").text
    assert "Send your Medical bill and 1 more to Hanbit Insurance?" in english


def test_nothing_is_ticked_and_what_is_needed_has_no_box(signed_in: Stage) -> None:
    form = Form(signed_in.http.get(f"/ko/consent/{signed_in.request()}").text)
    boxes = [named for named in form.inputs if named.get("type") == "checkbox"]
    assert [named["value"] for named in boxes] == [POLICY]
    assert "checked" not in boxes[0]


def test_yes_and_no_are_equal(signed_in: Stage) -> None:
    buttons = Form(signed_in.http.get(f"/ko/consent/{signed_in.request()}").text).buttons
    allow, deny = ({**next(b for b in buttons if b.get("id") == name)} for name in ("allow", "deny"))
    differing = {"id", "value"}
    assert {k: v for k, v in allow.items() if k not in differing} == {
        k: v for k, v in deny.items() if k not in differing
    }


def test_agreeing_without_the_optional_item(signed_in: Stage) -> None:
    answer = signed_in.decide(signed_in.request(), "allow")
    target = urlsplit(answer.headers["location"])
    assert f"{target.scheme}://{target.netloc}{target.path}" == "https://insurer.example/callback"
    query = parse_qs(target.query)
    assert query["flow"] == ["claim"]
    assert query["state"] == ["a state"]
    assert query["code"][0].startswith("mdc_")
    consent = signed_in.consents()[0]
    assert consent.state is ConsentState.GIVEN
    assert [item.record_type for item in consent.terms.items] == [BILL]


def test_agreeing_with_the_optional_item(signed_in: Stage) -> None:
    signed_in.decide(signed_in.request(), "allow", item=[POLICY])
    assert [item.record_type for item in signed_in.consents()[0].terms.items] == [BILL, POLICY]


def test_declining_goes_back_without_a_code(signed_in: Stage) -> None:
    answer = signed_in.decide(signed_in.request(), "deny")
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["error"] == ["access_denied"]
    assert "code" not in query
    assert answer.headers["location"].startswith(REDIRECT_URI.partition("?")[0])
    assert signed_in.consents()[0].state is ConsentState.REFUSED


def test_switching_the_language_keeps_the_ticks(signed_in: Stage) -> None:
    interaction_id = signed_in.request()
    signed_in.http.get(f"/ko/consent/{interaction_id}")
    shown = signed_in.http.post(f"/en/consent/{interaction_id}", data={"decision": "show", "item": POLICY})
    form = Form(shown.text)
    assert "checked" in form.input(f"item-{POLICY}")
    answer = signed_in.http.post(
        f"/en/consent/{interaction_id}", data=form.fields | {"decision": "allow", "item": POLICY}
    )
    assert answer.status_code == 303
    assert signed_in.consents()[0].language == "en"


def test_optional_health_data_is_decided_separately(signed_in: Stage) -> None:
    interaction_id = signed_in.request(policy(required=True), bill(required=False))
    page = signed_in.http.get(f"/ko/consent/{interaction_id}").text
    sensitive = page[page.index('class="sensitive"') :]
    assert f'id="item-{BILL}"' in sensitive
    signed_in.decide(interaction_id, "allow")
    assert [item.record_type for item in signed_in.consents()[0].terms.items] == [POLICY]
