"""Sign-in, its sessions and its lock (broker/web/signin)."""

from datetime import timedelta

import pytest
from sqlmodel import select

from broker.web.signin.accounts import lock_time
from broker.web.signin.models import Account, AccountSession
from broker.web.signin.passwords import MAX_PASSWORD_CHARACTERS, hash_password, verify_password
from broker.web.signin.paths import safe_next
from broker.web.signin.sessions import cookie_name
from tests.web.stage import PASSWORD, Form, Stage


def test_a_wrong_password_and_an_unknown_name_are_one_answer(stage: Stage) -> None:
    wrong = stage.sign_in(password="wrong")
    unknown = stage.sign_in(username="nobody")
    assert (wrong.status_code, unknown.status_code) == (422, 422)
    assert wrong.text.replace('value="haneul"', "") == unknown.text.replace('value="nobody"', "")


def test_a_password_is_never_on_a_page(stage: Stage) -> None:
    assert "wrong-secret" not in stage.sign_in(password="wrong-secret").text


def test_after_five_failures_even_the_right_password_waits(stage: Stage) -> None:
    for _ in range(5):
        assert stage.sign_in(password="wrong").status_code == 422
    assert stage.sign_in().status_code == 422
    stage.clock.advance(timedelta(seconds=59))
    assert stage.sign_in().status_code == 422
    stage.clock.advance(timedelta(seconds=1))
    assert stage.sign_in().status_code == 303


def test_the_lock_grows_and_success_ends_it(stage: Stage) -> None:
    for _ in range(5):
        stage.sign_in(password="wrong")
    stage.clock.advance(timedelta(seconds=60))
    stage.sign_in(password="wrong")
    stage.clock.advance(timedelta(seconds=60))
    assert stage.sign_in().status_code == 422
    stage.clock.advance(timedelta(seconds=60))
    assert stage.sign_in().status_code == 303
    with stage.installation.data.read() as session:
        attempts = session.exec(select(Account.failed_attempts)).all()
    assert set(attempts) == {0}


def test_one_account_locked_leaves_the_others_open(stage: Stage) -> None:
    for _ in range(5):
        stage.sign_in(password="wrong")
    assert stage.sign_in(username="jeongsuk").status_code == 303


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (4, 0), (5, 60), (6, 120), (7, 240), (9, 960), (10, 1800), (500, 1800)]
)
def test_lock_time(failures: int, seconds: int) -> None:
    assert lock_time(failures) == timedelta(seconds=seconds)


def test_case_and_spaces_of_the_name_do_not_count(stage: Stage) -> None:
    for username in ("haneul", " HANEUL ", "Haneul"):
        assert stage.sign_in(username=username).status_code == 303
        stage.http.cookies.clear()


def test_each_role_lands_on_its_own_first_page(stage: Stage) -> None:
    assert stage.sign_in().headers["location"] == "/ko"
    stage.http.cookies.clear()
    assert stage.sign_in(username="auditor-1").headers["location"] == "/ko/audit"


def test_signing_in_changes_the_cookie(stage: Stage) -> None:
    stage.http.get("/ko/signin")
    before = stage.http.cookies["sid"]
    stage.sign_in()
    assert stage.http.cookies["sid"] != before
    assert stage.http.get("/ko").status_code == 200


def test_a_cookie_that_nobody_is_signed_in_with_opens_nothing(stage: Stage) -> None:
    stage.http.get("/ko/signin")
    assert stage.http.get("/ko").status_code == 303


def test_the_cookie_is_for_this_site_only(stage: Stage) -> None:
    cookie = stage.sign_in().headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie


@pytest.mark.parametrize(
    ("issuer", "name"), [("https://broker.example", "__Host-sid"), ("http://127.0.0.1:8000", "sid")]
)
def test_the_cookies_name_follows_the_scheme(issuer: str, name: str) -> None:
    assert cookie_name(issuer) == name


def test_the_database_does_not_hold_the_cookie(signed_in: Stage) -> None:
    raw_cookie = signed_in.http.cookies["sid"].encode()
    with signed_in.installation.data.read() as session:
        rows = session.exec(select(AccountSession)).all()
    assert len(rows) == 1
    assert raw_cookie not in rows[0].session_digest


def test_signing_out_ends_the_session_itself(signed_in: Stage) -> None:
    raw_cookie = signed_in.http.cookies["sid"]
    assert signed_in.http.post("/ko/signout").headers["location"] == "/ko/signin"
    signed_in.http.cookies.clear()
    signed_in.http.cookies.set("sid", raw_cookie)
    assert signed_in.http.get("/ko").status_code == 303


def test_an_idle_session_ends(signed_in: Stage) -> None:
    idle = timedelta(minutes=signed_in.installation.settings.session.idle_minutes)
    for _ in range(3):
        signed_in.clock.advance(idle - timedelta(seconds=1))
        assert signed_in.http.get("/ko").status_code == 200
    signed_in.clock.advance(idle)
    assert signed_in.http.get("/ko").status_code == 303


def test_a_session_ends_even_when_it_is_used(signed_in: Stage) -> None:
    step = timedelta(minutes=20)
    for _ in range(12 * 3 - 1):
        signed_in.clock.advance(step)
        assert signed_in.http.get("/ko").status_code == 200
    signed_in.clock.advance(step)
    assert signed_in.http.get("/ko").status_code == 303


def test_a_page_leads_to_sign_in_and_back(stage: Stage) -> None:
    sent = stage.http.get("/en/consents/abc").headers["location"]
    assert sent == "/en/signin?next=/en/consents/abc"
    page = stage.http.get(sent)
    assert Form(page.text).fields["next"] == "/en/consents/abc"
    assert stage.sign_in(next="/en/consents/abc").headers["location"] == "/ko/consents/abc"


ELSEWHERE = (
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "/ko//evil.example",
    "/ko/../v1/records",
    "/ko/%2e%2e/x",
    "/ko/a\r\nSet-Cookie: x=y",
    "/ko\n",
    "ko/consents",
    "/v1/records",
    "/kox",
    "javascript:alert(1)",
    "/ko/signout",
    "/ko/signin",
    "/ko/" + "a" * 600,
    "/ko?next=//evil.example/",
)


@pytest.mark.parametrize("target", ELSEWHERE)
def test_no_other_address_is_a_page_of_ours(target: str) -> None:
    assert safe_next(target) is None


def test_sign_in_leads_nowhere_else(stage: Stage) -> None:
    for target in ELSEWHERE[:4]:
        assert stage.sign_in(next=target).headers["location"] == "/ko"
        stage.http.cookies.clear()


def test_somebody_signed_in_is_led_nowhere_else_either(signed_in: Stage) -> None:
    assert signed_in.http.get("/ko/signin?next=//evil.example").headers["location"] == "/ko"
    assert signed_in.http.get("/ko/signin?next=/en/sources").headers["location"] == "/ko/sources"


@pytest.mark.parametrize("target", ["/ko", "/en/consents/a-B_9", "/ko/audit?before=50"])
def test_our_own_pages_are(target: str) -> None:
    assert safe_next(target) == target


def test_the_name_of_somebody_else_is_nowhere(signed_in: Stage) -> None:
    page = signed_in.http.get("/ko").text
    assert "김하늘" in page
    assert "이정숙" not in page


def test_a_password_matches_its_own_hash_only() -> None:
    password_hash = hash_password(PASSWORD)
    assert password_hash.startswith("$argon2id$")
    assert verify_password(PASSWORD, password_hash)
    assert not verify_password(PASSWORD + "x", password_hash)
    assert not verify_password(PASSWORD, None)
    assert not verify_password(PASSWORD, "not a hash")
    assert not verify_password("", None)


def test_a_password_that_is_too_long_is_wrong() -> None:
    too_long = "x" * (MAX_PASSWORD_CHARACTERS + 1)
    assert not verify_password(too_long, hash_password(too_long))
    assert not verify_password(too_long, hash_password(""))
