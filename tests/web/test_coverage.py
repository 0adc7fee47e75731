"""The coverage check: open to anybody, in both languages, and about hospitals only."""

from datetime import UTC, datetime, timedelta

import pytest

from broker.db import transaction
from broker.web.pace import Pace
from consent.organisations import NewOrganisation, register, suspend
from tests.web.stage import Stage, text_of

NOW = datetime(2026, 12, 1, tzinfo=UTC)
NOT_YET = "아직 연결되지 않았어요."
CONNECTED = "서울한빛병원 연결됨"


def ask(stage: Stage, words: str, language: str = "ko") -> str:
    answer = stage.http.get(f"/{language}/coverage", params={"q": words})
    assert answer.status_code == 200, answer.text
    return text_of(answer.text)


@pytest.mark.parametrize("words", ["x", "가", "병" * 61, "\x00\x00", "ab\x7f"])
def test_too_little_too_much_and_what_is_no_text(stage: Stage, words: str) -> None:
    for language in ("ko", "en"):
        answer = stage.http.get(f"/{language}/coverage", params={"q": words})
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
        assert 'id="result"' not in answer.text


def test_what_is_typed_is_shown_as_text(stage: Stage) -> None:
    page = stage.http.get("/ko/coverage", params={"q": '"><script>alert(1)</script>'}).text
    assert "<script" not in page
    assert "&#34;&gt;&lt;script&gt;" in page


@pytest.mark.parametrize("words", ["%%", "__", "서울%병원", "\\%"])
def test_no_character_stands_for_others(stage: Stage, words: str) -> None:
    assert NOT_YET in ask(stage, words)


@pytest.mark.parametrize("words", ["부산한빛병원", "31100023", "999-99-99999", "김하늘", "haneul"])
def test_what_is_not_registered_is_not_connected_yet(stage: Stage, words: str) -> None:
    told = ask(stage, words)
    assert NOT_YET in told
    assert "직접 내실 수 있어요" in told
    assert "연결됨" not in told


@pytest.mark.parametrize("words", ["한빛손해보험", "Hanbit Insurance", "101-81-00017"])
def test_a_recipient_is_no_holder(stage: Stage, words: str) -> None:
    assert NOT_YET in ask(stage, words)


def test_a_suspended_holder_says_so(stage: Stage) -> None:
    with transaction(stage.installation.data) as work:
        suspend(work.session, "seoul-hospital")
    told = ask(stage, "서울한빛병원")
    assert "서울한빛병원 지금은 연결되어 있지 않음" in told
    assert "직접 내실 수 있어요" in told


@pytest.mark.parametrize(
    "words",
    [
        *("서울한빛병원", "한빛", "서울 한빛 병원", " 서울한빛병원 ", "\u1112\u1161\u11ab\u1107\u1175\u11be"),
        *("Seoul Hanbit Hospital", "hanbit hosp", "ＨＡＮＢＩＴ　ＨＯＳＰ"),
        *("11100079", "1110 0079", "220-82-10073", "2208210073"),
    ],
)
def test_a_connected_hospital_is_found_by_name_and_by_number(stage: Stage, words: str) -> None:
    told = ask(stage, words)
    assert CONNECTED in told
    assert NOT_YET not in told


def test_in_english(stage: Stage) -> None:
    assert "Seoul Hanbit Hospital Connected" in ask(stage, "11100079", "en")
    assert "Not connected yet." in ask(stage, "nowhere", "en")


def test_nothing_is_searched_before_it_is_asked(stage: Stage) -> None:
    page = stage.http.get("/ko/coverage")
    assert page.status_code == 200
    assert 'id="result"' not in page.text
    assert "서울한빛병원" not in page.text


def test_a_long_list_is_cut_and_says_so(stage: Stage) -> None:
    with transaction(stage.installation.data) as work:
        for number in range(21):
            new = NewOrganisation(
                organisation_id=f"clinic-{number}",
                name_ko=f"나무의원{number}",
                name_en=f"Tree {number}",
                registration_number="1",
                contact="x",
                is_recipient=False,
                is_holder=True,
            )
            register(work.session, new, stage.clock())
    page = stage.http.get("/ko/coverage", params={"q": "나무의원"}).text
    assert page.count("나무의원") == 21  # twenty, and what was typed
    assert "이름을 더 자세히" in page


def test_it_is_linked_where_people_wonder(signed_in: Stage) -> None:
    assert 'href="/ko/coverage"' in signed_in.http.get("/ko/sources").text
    page = signed_in.http.get("/ko/coverage", params={"q": "한빛"}).text
    assert 'id="logout"' in page
    signed_in.http.cookies.clear()
    assert 'href="/en/coverage"' in signed_in.http.get("/en/signin").text
    assert 'href="/en/coverage?q=%ED%95%9C%EB%B9%9B"' in signed_in.http.get(
        "/ko/coverage", params={"q": "한빛"}
    ).text.replace("&amp;", "&")


def test_too_many_at_once_are_told_to_wait(stage: Stage) -> None:
    answers = [stage.http.get("/ko/coverage", params={"q": "한빛"}) for _ in range(41)]
    assert [answer.status_code for answer in answers] == [200] * 40 + [429]
    assert answers[-1].headers["retry-after"] == "1"
    # The page itself stays, and so does everything else.
    assert stage.http.get("/ko/coverage").status_code == 200
    assert stage.sign_in().status_code == 303
    stage.clock.advance(timedelta(seconds=1))
    assert CONNECTED in ask(stage, "한빛")


def test_a_pace_gives_back_with_time_and_never_more_than_its_burst() -> None:
    pace = Pace(per_second=2, burst=3)
    assert [pace.takes_one(NOW) for _ in range(4)] == [True, True, True, False]
    assert not pace.takes_one(NOW - timedelta(hours=1))
    assert not pace.takes_one(NOW - timedelta(hours=1))
    later = NOW - timedelta(hours=1) + timedelta(seconds=1)
    assert [pace.takes_one(later) for _ in range(3)] == [True, True, False]
    assert [pace.takes_one(NOW + timedelta(days=1)) for _ in range(4)] == [True, True, True, False]
