"""The page of a sign-in alone: what it says in both languages, and that nobody gets around it."""

from collections.abc import Iterator

import pytest
from httpx import Response
from sqlmodel import select

from broker.installation import Installation
from consent.models import Representation
from tests.installation import Clock
from tests.oauth.openid_world import OpenIDWorld, build
from tests.oauth.world import answer_in, refused
from tests.web.stage import Form, text_of


@pytest.fixture
def world(sqlite_installation: Installation, clock: Clock) -> Iterator[OpenIDWorld]:
    yield from build(sqlite_installation, clock)


def opened(world: OpenIDWorld, **changes: object) -> str:
    world.sign_in()
    return world.arrive(world.push(**changes))


def test_a_stranger_is_led_to_the_sign_in_page_and_back(world: OpenIDWorld) -> None:
    path = world.arrive(world.push())
    answer = world.browser.get(path)
    assert (answer.status_code, "/ko/signin?next=" in answer.headers["Location"]) == (303, True)
    assert "누가 무엇을 요청하는지" in world.browser.get(answer.headers["Location"]).text


def test_a_form_of_another_site_is_refused(world: OpenIDWorld) -> None:
    path = opened(world)
    fields = Form(world.browser.get(path).text).fields | {"decision": "allow"}
    foreign = world.browser.post(path, data=fields, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert world.decide(path).startswith(world.insurer.redirect_uri)


@pytest.mark.parametrize("decision", ["", "show", "ALLOW"])
def test_what_is_no_decision_decides_nothing(world: OpenIDWorld, decision: str) -> None:
    path = opened(world)
    fields = Form(world.browser.get(path).text).fields | {"decision": decision}
    assert world.browser.post(path, data=fields).status_code == 400
    assert world.browser.get(path).status_code == 200


def test_a_request_is_of_the_person_who_opened_it(world: OpenIDWorld) -> None:
    path = opened(world)
    assert world.browser.get(path).status_code == 200
    world.sign_in("jeongsuk")
    assert world.browser.get(path).status_code == 410
    assert world.browser.post(path, data={"decision": "allow"}).status_code == 410


def test_a_request_for_records_is_none_for_a_sign_in_nor_the_other_way_round(world: OpenIDWorld) -> None:
    alone = opened(world)
    records = world.arrive(world.push_records())
    for path in (alone.replace("recognise", "consent"), records.replace("consent", "recognise")):
        assert world.browser.get(path).status_code == 410
        assert world.browser.post(path, data={"decision": "allow"}).status_code == 410


def test_unknown_and_answered_are_one_answer(world: OpenIDWorld) -> None:
    path = opened(world)
    world.decide(path)
    for gone in (path, "/ko/recognise/unknown"):
        assert world.browser.get(gone).status_code == 410


def test_the_same_form_twice_leads_to_the_same_place(world: OpenIDWorld) -> None:
    for decision in ("allow", "deny"):
        path = opened(world)
        fields = Form(world.browser.get(path).text).fields | {"decision": decision}
        first, second = (world.browser.post(path, data=fields) for _ in range(2))
        assert first.headers["Location"] == second.headers["Location"]
    assert world.browser.post(path, data=fields | {"decision": "allow"}).status_code == 410


def test_a_code_that_was_redeemed_is_not_handed_out_again(world: OpenIDWorld) -> None:
    path = opened(world)
    fields = Form(world.browser.get(path).text).fields | {"decision": "allow"}
    world.redeemed(world.browser.post(path, data=fields).headers["Location"])
    assert world.browser.post(path, data=fields).status_code == 410


def test_the_page_in_korean(world: OpenIDWorld) -> None:
    page = world.browser.get(opened(world))
    text = text_of(page.text)
    assert "한빛손해보험에서 로그인할까요?" in text
    assert "그곳에서만 쓰는 식별 번호" in text
    assert "이름은 알려 주지 않고, 기록도 보내지 않아요." in text
    assert [button["id"] for button in Form(page.text).buttons if button.get("name") == "decision"] == [
        "deny",
        "allow",
    ]
    assert "<script" not in page.text
    assert "form-action 'self' https://insurer.example" in page.headers["Content-Security-Policy"]


def test_the_page_in_english(world: OpenIDWorld) -> None:
    path = opened(world, ui_locales="en")
    text = text_of(world.browser.get(path).text)
    assert path.startswith("/en/")
    assert "Sign in at Hanbit Insurance?" in text
    assert "It does not learn your name, and gets no records." in text


def test_whoever_is_not_expected_is_told_so(world: OpenIDWorld) -> None:
    world.sign_in("jeongsuk")
    hint = world.signed_in_at()["id_token"]
    page = world.browser.get(opened(world, id_token_hint=hint))
    assert page.status_code == 409
    assert "다른 분을 위한 요청이에요" in text_of(page.text)
    assert 'id="return"' in page.text


def test_both_decisions_are_on_the_persons_record(world: OpenIDWorld) -> None:
    world.decide(opened(world))
    assert answer_in(world.decide(opened(world), "deny"))["error"] == "access_denied"
    text = text_of(world.browser.get("/ko/rights").text)
    assert text.count("이 계정으로 다른 곳에 로그인하셨어요") == 1
    assert text.count("다른 곳에 로그인하지 않기로 하셨어요") == 1
    assert "한빛손해보험" in text


def acts_for_haneul(world: OpenIDWorld) -> None:
    """The second person gets a mandate of the first for everything, and acts under it from now on."""
    browser = world.browser

    def post(path: str, **fields: object) -> Response:
        token = Form(browser.get("/ko/representation").text).fields
        kept = {name: value for name, value in token.items() if name != "representation"}
        answer: Response = browser.post(path, data=kept | fields)
        assert answer.status_code == 303, answer.text
        return answer

    world.sign_in("haneul")
    post(
        "/ko/representation",
        username="jeongsuk",
        action=["consent", "withdraw"],
        purposes="all",
        days="30",
    )
    with world.installation.data.read() as session:
        representation_id = session.exec(select(Representation.representation_id)).one()
    world.sign_in("jeongsuk")
    post(f"/ko/representation/{representation_id}/accept")
    post("/ko/acting", representation=representation_id)


def test_nobody_signs_in_as_somebody_else(world: OpenIDWorld) -> None:
    acts_for_haneul(world)
    silent = answer_in(world.arrive(world.push(prompt="none")))
    assert silent["error"] == "login_required"
    alone, records = world.arrive(world.push()), world.arrive(world.push_records())
    for path in (alone, records):
        assert world.browser.get(path).status_code == 403
        assert world.browser.post(path, data={"decision": "allow"}).status_code == 403
    # Without a sign-in the same is theirs to decide.
    plain = world.arrive(world.push_records(scope="records.read"))
    tokens = world.redeemed(world.decide(plain))
    assert "id_token" not in tokens
    refreshed = world.insurer.refresh(tokens["refresh_token"], scope="openid")
    assert refused(refreshed, "invalid_scope")


def test_the_consent_page_says_what_else_its_recipient_learns(world: OpenIDWorld) -> None:
    world.sign_in()
    asking, plain = (
        world.arrive(world.push_records(**changes)) for changes in ({}, {"scope": "records.read"})
    )
    assert 'id="signs-in"' in world.browser.get(asking).text
    assert 'id="signs-in"' not in world.browser.get(plain).text
