"""The inbox, a digest and the history: in words, page by page, and only the person's own."""

from datetime import timedelta
from typing import Final

import pytest

from broker.db import transaction
from broker.jobs.notifying import notify, summarise
from consent.evidence import record_consent_event
from consent.models import Consent, Delivery
from consent.notification_wishes import KST, Schedule, Wishes, save_wishes
from consent.versions import version_id_of
from consent.vocabulary import EventType
from tests.web.stage import Form, Stage, text_of
from vault.schema import random_id

RELEASED: Final = EventType.DELIVERY_RELEASED


def happens(stage: Stage, grant_id: str, event: EventType = RELEASED, **facts: str) -> None:
    with transaction(stage.installation.data) as work:
        consent = work.session.get_one(Consent, grant_id)
        keyring = stage.installation.keyring
        record_consent_event(work, keyring, consent, event, detail={}, facts=facts, now=stage.clock())
    notify(stage.installation, stage.clock())


def delivered(stage: Stage, grant_id: str) -> None:
    with transaction(stage.installation.data) as work:
        work.session.add(
            Delivery(
                delivery_id=random_id(),
                grant_id=grant_id,
                version_id=version_id_of(grant_id, 1),
                subject_id=stage.subject_id,
                recipient_id="hanbit-insurance",
                ordinal=1,
                key_digest=b"k",
                request_digest=b"r",
                payload_digest=b"p",
                nonce_sealed=b"n",
                record_count=3,
                as_of=stage.clock(),
            )
        )
    happens(stage, grant_id)


def choose(stage: Stage, wishes: Wishes) -> None:
    with transaction(stage.installation.data) as work:
        save_wishes(work.session, stage.subject_id, wishes, stage.clock(), hour=8)


@pytest.fixture
def grant_id(signed_in: Stage) -> str:
    return signed_in.agreed()


def test_an_empty_inbox_says_what_will_appear(signed_in: Stage) -> None:
    assert "아직 아무 일도 없었어요." in text_of(signed_in.http.get("/ko/inbox").text)
    assert 'id="unread"' not in signed_in.http.get("/ko").text


def test_who_took_what_and_why_not_is_said_in_words(signed_in: Stage, grant_id: str) -> None:
    happens(signed_in, grant_id)
    happens(signed_in, grant_id, EventType.DELIVERY_REFUSED, reason="no_place_left")
    page = signed_in.http.get("/ko/inbox").text
    words = text_of(page)
    for told in (
        "한빛손해보험: 자료를 보냈어요",
        "동의하신 횟수만큼 이미 보냈어요",
        "내 이름으로 동의했어요",
    ):
        assert told in words, told
    assert f'href="/ko/consents/{grant_id}"' in page
    english = text_of(signed_in.http.get("/en/inbox").text)
    assert "Hanbit Insurance: Data was sent" in english
    assert "Reason: it had been sent as often as agreed" in english
    assert words.index("거절") < words.index("자료를 보냈어요")


def test_the_home_counts_what_is_new_until_it_is_read(signed_in: Stage, grant_id: str) -> None:
    happens(signed_in, grant_id)
    assert "새 알림 2개" in text_of(signed_in.http.get("/ko").text)
    page = signed_in.http.get("/ko/inbox").text
    one = page.partition('/read">')[0]
    assert one.endswith("/ko/inbox")  # all of them; the next is one
    path = page.partition('/read">')[2].partition('/read">')[0].rpartition('action="')[2] + "/read"
    answer = signed_in.http.post(path, data=Form(page).fields)
    assert answer.headers["location"] == "/ko/inbox"
    assert "새 알림 1개" in text_of(signed_in.http.get("/ko").text)
    signed_in.http.post("/ko/inbox/read", data=Form(page).fields)
    assert 'id="unread"' not in signed_in.http.get("/ko").text
    assert "읽음으로 표시" not in signed_in.http.get("/ko/inbox").text


def test_pages_follow_one_another_without_a_gap(signed_in: Stage, grant_id: str) -> None:
    for _ in range(40):
        happens(signed_in, grant_id)
    first = signed_in.http.get("/ko/inbox").text
    older = _older(first)
    second = signed_in.http.get(older).text
    assert (first.count('/read">'), second.count('/read">')) == (1 + 30, 1 + 11)
    assert 'id="older"' not in second
    assert 'href="/ko/inbox">최신 알림' in second


@pytest.mark.parametrize("before", ["x", "1.2", "-1.0.a", "9" * 17 + ".1.a", "1.1.", "1.1.a/b"])
def test_a_place_that_is_none_is_the_first_page(signed_in: Stage, grant_id: str, before: str) -> None:
    happens(signed_in, grant_id)
    answer = signed_in.http.get("/ko/inbox", params={"before": before})
    assert answer.status_code == 200
    assert "자료를 보냈어요" in answer.text


def test_somebody_elses_notice_is_as_unknown(signed_in: Stage, grant_id: str) -> None:
    choose(signed_in, Wishes(Schedule.DAILY, Schedule.DAILY))
    happens(signed_in, grant_id)
    digest_id = _digest(signed_in)
    signed_in.http.cookies.clear()
    signed_in.sign_in(username="jeongsuk")
    assert "한빛손해보험" not in text_of(signed_in.http.get("/ko/inbox").text)
    assert "한빛손해보험" not in text_of(signed_in.http.get("/ko/history").text)
    assert signed_in.http.get(f"/ko/inbox/{digest_id}").status_code == 404
    assert signed_in.http.post(f"/ko/inbox/{digest_id}/read").status_code == 404


def test_a_digest_is_one_notice_that_lists_what_it_holds(signed_in: Stage, grant_id: str) -> None:
    choose(signed_in, Wishes(Schedule.DAILY, Schedule.DAILY))
    happens(signed_in, grant_id)
    happens(signed_in, grant_id)
    assert "자료를 보냈어요" not in text_of(signed_in.http.get("/ko/inbox").text)
    digest_id = _digest(signed_in)
    words = text_of(signed_in.http.get("/ko/inbox").text)
    assert "보낸 것과 거절한 것 모아 보기" in words
    assert "한빛손해보험: 자료를 보냈어요 · 2번" in words
    page = signed_in.http.get(f"/ko/inbox/{digest_id}")
    assert text_of(page.text).count("한빛손해보험: 자료를 보냈어요") == 2
    other = signed_in.http.get("/ko/inbox").text.rpartition('/read">')[0].rpartition("/")[2]
    assert signed_in.http.get(f"/ko/inbox/{other}").status_code == 404


def test_the_history_sums_up_a_year_and_lists_each_sending(signed_in: Stage, grant_id: str) -> None:
    delivered(signed_in, grant_id)
    choose(signed_in, Wishes(Schedule.WEEKLY, Schedule.WEEKLY))
    happens(signed_in, grant_id, EventType.DELIVERY_REFUSED, reason="no_place_left")
    words = text_of(signed_in.http.get("/ko/history").text)
    for told in ("실손보험금 청구와 심사", "1번 · 자료 3건", "받은 날부터 90일", "거절"):
        assert told in words, told
    assert "이 해에는 보낸 것이 없어요." in text_of(signed_in.http.get("/ko/history?year=2025").text)
    assert "1번 · 자료 3건" in text_of(signed_in.http.get("/ko/history?year=1999").text)


def test_the_yearly_notice_leads_to_its_year(signed_in: Stage, grant_id: str) -> None:
    delivered(signed_in, grant_id)
    signed_in.clock.now = signed_in.clock.now.astimezone(KST).replace(year=2027, month=1, day=2)
    assert summarise(signed_in.installation, signed_in.clock()) == 1
    signed_in.sign_in()
    page = signed_in.http.get("/ko/inbox").text
    assert "2026년에 내 정보를 받은 곳" in text_of(page)
    assert 'href="/ko/history?year=2026"' in page
    assert "1번 · 자료 3건" in text_of(signed_in.http.get("/ko/history?year=2026").text)


def test_three_years_before_a_leap_day_is_a_day(signed_in: Stage) -> None:
    signed_in.clock.now = signed_in.clock.now.replace(year=2028, month=2, day=29)
    signed_in.sign_in()
    assert "2025. 3. 1." in text_of(signed_in.http.get("/ko/history").text)


def _older(page: str) -> str:
    return page.partition('id="older" href="')[2].partition('"')[0].replace("&amp;", "&")


def _digest(stage: Stage) -> str:
    """The next digest of the signed-in person, who stays signed in."""
    stage.clock.advance(timedelta(days=1))
    assert summarise(stage.installation, stage.clock()) == 1
    stage.sign_in()
    page: str = stage.http.get("/ko/inbox").text
    return page.partition('<ol class="timeline"')[2].partition('href="/ko/inbox/')[2].partition('"')[0]
