"""Security headers and caching (broker/web/security_headers.py, static_files.py)."""

import re

import pytest

from broker.web.security_headers import content_security_policy, origin_of
from tests.installation import ISSUER
from tests.web.stage import Stage

STRICT = (
    "default-src 'none'; script-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def test_every_answer_bears_the_headers(stage: Stage) -> None:
    for path in ("/ko/signin", "/en/signin", "/ko", "/ko/nothing", "/", "/livez", "/static/x"):
        headers = stage.http.get(path).headers
        assert headers["content-security-policy"] == STRICT
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in headers


def test_only_the_consent_page_lets_its_form_leave(signed_in: Stage) -> None:
    interaction_id = signed_in.request()
    policy = signed_in.http.get(f"/ko/consent/{interaction_id}").headers["content-security-policy"]
    assert policy == STRICT.replace("form-action 'self'", "form-action 'self' https://insurer.example")


def test_a_static_file_is_kept_for_ever_under_its_hash(stage: Stage) -> None:
    page = stage.http.get("/ko/signin").text
    found = re.search(r'href="(/static/app\.[0-9a-f]{16}\.css)"', page)
    assert found is not None
    answer = stage.http.get(found.group(1))
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert stage.http.get("/static/app.css").status_code == 404


def test_pages_ship_no_script_and_no_inline_style(signed_in: Stage) -> None:
    interaction_id = signed_in.request()
    for path in ("/ko", "/ko/sources", f"/ko/consent/{interaction_id}", "/ko/nothing"):
        page = signed_in.http.get(path).text
        assert "<script" not in page
        assert " style=" not in page
        assert re.search(r"\son[a-z]+=", page) is None


def test_the_stylesheet_fetches_nothing(stage: Stage) -> None:
    page = stage.http.get("/ko/signin").text
    found = re.search(r'href="(/static/app\.[^"]+)"', page)
    assert found is not None
    sheet = stage.http.get(found.group(1)).text
    assert "@import" not in sheet
    assert "url(" not in sheet


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "https://",
        "https://user@host/",
        "https://host;script-src *",
        "https://ho st/",
        "https://한국.example/",
        "com.example.app:/callback",
    ],
)
def test_what_is_no_origin_never_enters_the_policy(url: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        origin_of(url)


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin_of("https://insurer.example:8443/callback?flow=claim#x") == "https://insurer.example:8443"
    assert "form-action 'self' https://a.example;" in content_security_policy(form_target="https://a.example")


ACCEPTED = {
    "ko-KR,ko;q=0.9,en;q=0.8": "/ko",
    "en-US,en;q=0.9": "/en",
    "fr,en;q=0.5,ko;q=0.4": "/en",
    "fr": "/ko",
    "": "/ko",
    "en;q=nonsense, ko;q=0.1": "/ko",
    "en;q=nan": "/ko",
}


def test_the_root_leads_to_the_preferred_language(stage: Stage) -> None:
    for accepted, home in ACCEPTED.items():
        answer = stage.http.get("/", headers={"Accept-Language": accepted})
        assert (answer.status_code, answer.headers["location"]) == (303, home), accepted


def test_a_page_opened_under_another_name_of_ours_may_post(stage: Stage) -> None:
    local = ISSUER.replace("127.0.0.1", "localhost")
    answer = stage.http.post(f"{local}/ko/signin", data={"username": "x"}, headers={"Origin": local})
    assert answer.status_code == 422
