"""How a person is told: chosen on a page, and addresses that work once the code sent there was entered."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest
from httpx import Response
from sqlmodel import select

from broker.db import transaction
from broker.installation import Installation
from consent.contacts import MOST_A_DAY, destination_of, note_fault, unconfirmed
from consent.models import Duty
from consent.notification_wishes import Channel, Schedule, Wishes, wishes_of
from consent.outbox import DutyKind
from tests.installation import Clock
from tests.web.conftest import _staged, _with_profile
from tests.web.stage import Form, Stage, text_of

PAGE: Final = "/ko/notifications"
MAIL: Final = "haneul@example.org"
HOOK: Final = "https://hook.example/in"


@pytest.fixture
def mailing(sqlite_installation: Installation, clock: Clock) -> Iterator[Stage]:
    """A production broker with a mail server, and the first citizen signed in."""
    settings = sqlite_installation.settings
    mail = settings.mail.model_copy(update={"host": "mail.example", "sender": "a@broker.example"})
    installation = replace(sqlite_installation, settings=settings.model_copy(update={"mail": mail}))
    for stage in _staged(_with_profile(installation, "production"), clock):
        assert stage.sign_in().status_code == 303
        yield stage


def add(stage: Stage, address: str, channel: str = "mail") -> Response:
    fields = Form(stage.http.get(PAGE).text).fields | {"channel": channel, "address": address}
    answer: Response = stage.http.post(f"{PAGE}/contacts", data=fields)
    return answer


def enter(stage: Stage, code: str, channel: str = "mail") -> Response:
    fields = Form(stage.http.get(PAGE).text).fields | {"channel": channel, "code": code}
    answer: Response = stage.http.post(f"{PAGE}/contacts/confirm", data=fields)
    return answer


def sent_code(stage: Stage) -> str:
    """The code as the job that sends it would read it."""
    with stage.installation.data.read() as session:
        kinds = (DutyKind.MAIL_CODE, DutyKind.PUSH_CODE)
        *_, duty = sorted(
            (duty for duty in session.exec(select(Duty)) if duty.kind in kinds),
            key=lambda one: one.created_at,
        )
        found = unconfirmed(session, stage.installation.keyring, duty.target, stage.clock())
    assert found is not None
    return found.code


def address(stage: Stage, channel: Channel = Channel.MAIL) -> str | None:
    with stage.installation.data.read() as session:
        found = destination_of(session, stage.installation.keyring, stage.subject_id, channel)
    return None if found is None else found.address


def test_everything_is_told_at_once_until_somebody_chooses(signed_in: Stage) -> None:
    form = Form(signed_in.http.get(PAGE).text)
    for name in ("pulls", "refusals"):
        assert "checked" in form.input(f"{name}-at_once")
    assert "checked" in form.input("yearly")


def test_what_was_chosen_is_kept(signed_in: Stage) -> None:
    fields = Form(signed_in.http.get("/en/notifications").text).fields
    chosen = fields | {"pulls": "daily", "refusals": "weekly"}
    assert signed_in.http.post("/en/notifications", data=chosen).status_code == 303
    with signed_in.installation.data.read() as session:
        found = wishes_of(session, [signed_in.subject_id, signed_in.other_subject_id])
    wishes = Wishes(Schedule.DAILY, Schedule.WEEKLY, wants_yearly=False, language="en")
    assert found == {signed_in.subject_id: wishes}
    form = Form(signed_in.http.get(PAGE).text)
    assert "checked" in form.input("pulls-daily")
    assert "checked" not in form.input("yearly")


@pytest.mark.parametrize("fields", [{}, {"pulls": "never", "refusals": "daily"}, {"pulls": "daily"}])
def test_a_choice_that_the_page_does_not_offer_is_refused(signed_in: Stage, fields: dict[str, str]) -> None:
    form = Form(signed_in.http.get(PAGE).text).fields | fields
    assert signed_in.http.post(PAGE, data=form).status_code == 400


def test_a_code_that_was_sent_there_opens_an_address_and_no_other_does(mailing: Stage) -> None:
    assert add(mailing, MAIL).headers["location"] == PAGE
    page = mailing.http.get(PAGE).text
    code = sent_code(mailing)
    assert code not in page
    assert f"{MAIL}로 확인 번호를 보냈어요" in text_of(page)
    answer = enter(mailing, "00000000" if code != "00000000" else "11111111")
    assert answer.status_code == 422
    assert 'href="#mail-code"' in answer.text
    assert 'href="/en/notifications"' in answer.text
    assert address(mailing) is None
    assert enter(mailing, f"{code[:4]} {code[4:]}").status_code == 303
    assert address(mailing) == MAIL
    assert MAIL in mailing.http.get(PAGE).text


def test_five_wrong_codes_are_committed_though_each_was_refused(mailing: Stage) -> None:
    add(mailing, MAIL)
    code = sent_code(mailing)
    for _ in range(5):
        assert enter(mailing, "wrong").status_code == 422
    assert enter(mailing, code).status_code == 422
    assert address(mailing) is None


def test_somebody_else_cannot_confirm_it(mailing: Stage) -> None:
    add(mailing, MAIL)
    code = sent_code(mailing)
    mailing.http.cookies.clear()
    mailing.sign_in(username="jeongsuk")
    assert enter(mailing, code).status_code == 422
    assert address(mailing) is None
    assert MAIL not in mailing.http.get(PAGE).text


@pytest.mark.parametrize(
    "wrong",
    ["", "haneul", "@example.org", "a@b", "a@b.example, c@d.example", "김@example.org", "a b@c.example",
     "<a@b.c>", "a@b.example\r\nBcc: c@d.example", "x" * 250 + "@example.org",
     "a@-.-", "a@-b.example", "a@b-.example", "a@b_c.example", "a@b..example", "a@b.example.",
     "a@10.1.2.3", "a@[10.1.2.3]",
     "a@" + "b" * 64 + ".example", "x" * 65 + "@example.org", "a@xn--a.kr"],
)  # fmt: skip
def test_what_is_no_mail_address_is_refused(mailing: Stage, wrong: str) -> None:
    answer = add(mailing, wrong)
    assert answer.status_code == 422
    assert "메일 주소를 입력해 주세요" in answer.text


@pytest.mark.parametrize(
    "wrong",
    ["", "hook", "http://hook.example/in", "https://127.0.0.1/in", "https://localhost/in", "https://10.1.2.3/in",
     "https://[::1]/in", "https://[fd00::1]/in", "https://169.254.169.254/", "https://intranet/in", "https://[bad/in",
     "https://user:pass@hook.example/in", "https://hook.example/in#part", "ftp://hook.example/in", "https://hook.example:x/",
     "https://xn--a.kr/", "https://-.-/", "https://a_b.example/", "https://hook..example/", "https://a%41.example/",
     "https://hook.example:99999/"],
)  # fmt: skip
def test_an_endpoint_that_is_private_or_none_is_refused(mailing: Stage, wrong: str) -> None:
    assert add(mailing, wrong, "webhook").status_code == 422
    assert address(mailing, Channel.WEBHOOK) is None


def test_an_endpoint_is_confirmed_and_ended_like_a_mail_address(mailing: Stage) -> None:
    assert add(mailing, HOOK, "webhook").status_code == 303
    assert enter(mailing, sent_code(mailing), "webhook").status_code == 303
    assert address(mailing, Channel.WEBHOOK) == HOOK
    fields = Form(mailing.http.get(PAGE).text).fields | {"channel": "webhook"}
    for _ in range(2):
        assert mailing.http.post(f"{PAGE}/contacts/end", data=fields).status_code == 303
    assert address(mailing, Channel.WEBHOOK) is None


def test_in_a_demonstration_this_machine_will_do(signed_in: Stage) -> None:
    assert add(signed_in, "http://127.0.0.1:9000/in", "webhook").status_code == 303


def test_without_a_mail_server_there_is_no_mail_to_choose(signed_in: Stage) -> None:
    assert 'id="mail-add"' not in signed_in.http.get(PAGE).text
    assert add(signed_in, MAIL).status_code == 400


def test_a_day_has_an_end_of_codes(mailing: Stage) -> None:
    for number in range(MOST_A_DAY):
        assert add(mailing, f"stranger-{number}@example.org").status_code == 303
    answer = add(mailing, MAIL)
    assert answer.status_code == 422
    assert "오늘은 더 신청할 수 없어요" in answer.text


def test_a_fault_is_shown_to_its_person(mailing: Stage) -> None:
    add(mailing, MAIL)
    enter(mailing, sent_code(mailing))
    with transaction(mailing.installation.data) as work:
        found = destination_of(work.session, mailing.installation.keyring, mailing.subject_id, Channel.MAIL)
        assert found is not None
        note_fault(work.session, found.contact_id, "mail_refused_550")
    assert "지난번 알림이 닿지 않았어요." in text_of(mailing.http.get(PAGE).text)


@pytest.mark.parametrize("path", ["/contacts", "/contacts/confirm", "/contacts/end"])
def test_a_channel_that_is_none_is_refused(signed_in: Stage, path: str) -> None:
    fields = Form(signed_in.http.get(PAGE).text).fields | {"channel": "pigeon"}
    assert signed_in.http.post(f"{PAGE}{path}", data=fields).status_code == 400
