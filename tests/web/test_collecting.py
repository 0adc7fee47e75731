"""What a citizen sees of holders: refusals with their legal ground, records kept apart, in both languages."""

from datetime import timedelta

import pytest

from broker.db import transaction
from broker.web.auditor.wording import event_for_auditors
from broker.web.citizen.collecting import doubt_in_words, refusal_in_words
from broker.web.citizen.wording import event_in_words
from broker.web.i18n import load_words
from consent.collection import find_link
from consent.identity import Identity, match
from consent.pending import NewPending, hold
from consent.progress import connect, refuse, take
from consent.vocabulary import Doubt, EventType, RefusalReason
from tests.web.stage import BILL, Stage, text_of

HOSPITAL = "seoul-hospital"


def refused(stage: Stage, reason: RefusalReason) -> None:
    installation, now = stage.installation, stage.clock()
    with transaction(installation.data) as work:
        link = find_link(work.session, installation.keyring, HOSPITAL, "P-0001")
        assert link is not None
        connect(work.session, HOSPITAL, "https://hospital.example/t", now)
        work.session.flush()
        take(work, installation.keyring, link.link_id, now)
        refuse(work, installation.keyring, link, reason, now)


def held(stage: Stage, doubt: Doubt = Doubt.NAME_DIFFERS) -> None:
    installation, now = stage.installation, stage.clock()
    identity = Identity("P-0001", "이정숙")
    new = NewPending(HOSPITAL, BILL, "B-1", identity, "push: records[0]", {"bill_no": "B-1"})
    with transaction(installation.data) as work:
        found = match(work.session, installation.keyring, HOSPITAL, identity, now)
        doubtful = type(found)(found.link, doubt, is_number_linked=True)
        hold(work, installation.keyring, new, doubtful, keep_for=timedelta(days=1), now=now)


def test_nobody_else_sees_it(signed_in: Stage) -> None:
    refused(signed_in, RefusalReason.IDENTITY_UNVERIFIED)
    signed_in.http.cookies.clear()
    signed_in.sign_in(username="jeongsuk")
    assert "본인인지 확인하지 못했어요" not in signed_in.http.get("/ko/sources").text


def test_without_a_refusal_nothing_is_said_of_one(signed_in: Stage) -> None:
    assert "보내지 않겠다고" not in signed_in.http.get("/ko/sources").text


@pytest.mark.parametrize(
    ("language", "told"),
    [
        (
            "ko",
            (
                "이 기관이 자료를 보내지 않겠다고 했어요",
                "본인인지 확인하지 못했어요",
                "privacy@seoul-hospital.example",
            ),
        ),
        ("en", ("This organisation refuses to send your records", "it could not confirm that it is you")),
    ],
)
def test_a_refusal_is_on_the_sources_page_with_its_ground_and_in_its_timeline(
    signed_in: Stage, language: str, told: tuple[str, ...]
) -> None:
    refused(signed_in, RefusalReason.IDENTITY_UNVERIFIED)
    words = text_of(signed_in.http.get(f"/{language}/sources").text)
    for text in told:
        assert text in words
    assert words.count(told[1]) == 2  # in the notice, and in the timeline


def test_a_record_that_is_kept_apart_is_in_the_timeline_without_its_content(signed_in: Stage) -> None:
    held(signed_in)
    words = text_of(signed_in.http.get("/ko/sources").text)
    assert "담당자가 확인할 때까지 자료를 따로 두었어요" in words
    assert "이름이 달라요" in words
    assert "이정숙" not in words
    assert "P-0001" not in words


def test_a_record_with_mistakes_is_in_the_timeline_as_what_it_is(signed_in: Stage) -> None:
    held(signed_in, Doubt.RECORD_FAULTY)
    assert "기관이 고쳐야 할 오류가 있어요" in text_of(signed_in.http.get("/ko/sources").text)


def test_the_end_of_collecting_is_said(signed_in: Stage) -> None:
    words = text_of(signed_in.http.get("/ko/sources").text)
    assert "수집 기간 2027. 12. 1.(수) 09:00" in words


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_ground_doubt_and_event_has_words(language: str) -> None:
    words = load_words()["ko" if language == "ko" else "en"]
    for reason in RefusalReason:
        assert refusal_in_words(words, reason) != reason
    for doubt in (*Doubt, "foreign_person"):
        assert doubt_in_words(words, doubt) != doubt
    for event in EventType:
        assert event_in_words(words, event) != event
        assert event_for_auditors(words, event) != event
    assert (refusal_in_words(words, "LATER"), doubt_in_words(words, "later")) == ("LATER", "later")
