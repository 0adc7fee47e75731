"""The pages of signing out at somebody's wish: in both languages, and nobody else's to post."""

import json
import re

import pytest

from broker.db import transaction
from broker.oauth.clients import show
from broker.oauth.models import Client
from tests.web.stage import Form, Stage

BACK = "https://insurer.example/bye"
ASKED = {"client_id": "hanbit-claims", "post_logout_redirect_uri": BACK, "state": 'a "state" <b>'}


@pytest.fixture
def known(signed_in: Stage) -> Stage:
    """The stage, whose client has registered where people come back to."""
    with transaction(signed_in.installation.data) as work:
        row = work.session.get_one(Client, "hanbit-claims")
        row.client_metadata = json.dumps({"post_logout_redirect_uris": [BACK]})
        work.session.flush()
        assert show(work.session, "hanbit-claims").metadata.post_logout_redirect_uris == (BACK,)
    return signed_in


def is_signed_in(stage: Stage) -> bool:
    return bool(stage.http.get("/ko").status_code == 200)


def test_the_question_in_korean(known: Stage) -> None:
    page = known.http.get("/ko/logout", params=ASKED)
    assert page.status_code == 200
    for text in ("로그아웃할까요?", "로그인 상태 유지", "로그아웃한 뒤 다음 기관으로 돌아가요: 한빛손해보험"):
        assert text in page.text
    for identifier in ("logout-question", "logout-form", "logout-back", "confirm-logout", "stay"):
        assert f'id="{identifier}"' in page.text
    assert "<script" not in page.text
    assert page.headers["Content-Language"] == "ko"


def test_the_question_in_english_and_the_switch_between(known: Stage) -> None:
    page = known.http.get("/en/logout", params=ASKED)
    assert "Sign out?" in page.text
    assert "Stay signed in" in page.text
    switch = re.search(r'href="(/ko/logout\?[^"]+)"', page.text)
    assert switch is not None
    korean = known.http.get(switch[1].replace("&amp;", "&"))
    assert Form(korean.text).fields["state"] == ASKED["state"]


def test_what_was_asked_comes_back_as_it_was(known: Stage) -> None:
    fields = Form(known.http.get("/ko/logout", params=ASKED).text).fields
    assert {name: fields[name] for name in ASKED} == ASKED
    answer = known.http.post("/ko/logout", data=fields)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{BACK}?state=a+%22state%22+%3Cb%3E"
    assert not is_signed_in(known)


def test_without_anywhere_to_go_it_says_that_it_is_done(signed_in: Stage) -> None:
    page = signed_in.http.get("/ko/logout")
    assert 'id="logout-back"' not in page.text
    answer = signed_in.http.post("/ko/logout", data=Form(page.text).fields)
    assert answer.headers["location"] == "/ko/signed-out"
    done = signed_in.http.get("/ko/signed-out")
    assert 'id="signed-out"' in done.text
    assert "로그아웃했어요" in done.text
    assert not is_signed_in(signed_in)


def test_who_is_signed_in_is_not_told_otherwise(signed_in: Stage) -> None:
    page = signed_in.http.get("/ko/signed-out")
    assert 'id="still-signed-in"' in page.text
    assert "로그인되어 있어요" in page.text


def test_nobody_who_is_not_signed_in_is_asked(known: Stage) -> None:
    known.http.post("/ko/signout")
    assert known.http.get("/ko/logout", params=ASKED).headers["location"] == "/ko/signed-out"


def test_what_is_wrong_is_told_in_korean(known: Stage) -> None:
    wrong = ASKED | {"post_logout_redirect_uri": f"{BACK}?more=1"}
    for answer in (known.http.get("/ko/logout", params=wrong), known.http.post("/ko/logout", data=wrong)):
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "요청" in answer.text
        assert BACK not in re.sub(r'href="[^"]*"', "", answer.text)
    assert is_signed_in(known)


def test_a_form_without_its_token_is_refused_where_the_browser_says_nothing(known: Stage) -> None:
    known.http.headers.pop("Origin")
    fields = Form(known.http.get("/ko/logout", params=ASKED).text).fields
    refused = known.http.post("/ko/logout", data=ASKED)
    assert refused.status_code == 403
    assert is_signed_in(known)
    assert known.http.post("/ko/logout", data=fields).status_code == 303
    assert not is_signed_in(known)
