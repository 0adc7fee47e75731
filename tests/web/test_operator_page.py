"""The operator's page: for operators only, says what waits and which command acts on it, and names nobody."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any, Final

import pytest
import typer
from sqlmodel import select

from broker.cli import build_program
from broker.db import transaction
from broker.jobs.publishing import publish
from broker.web.i18n import LANGUAGES, Language, load_words
from broker.web.listing import time_left
from broker.web.operator import wording
from broker.web.signin.accounts import NewAccount, create_account
from broker.web.signin.models import Account
from consent import lifecycle
from consent.counting import statistics
from consent.models import Consent, Delivery, Duty, EmergencyAccess, Obligation
from consent.obligations import DAYS_AFTER_END
from consent.organisations import suspend
from consent.outbox import DutyKind, bury, owe
from consent.people_vocabulary import EmergencyState
from consent.rights import NewRight, file_right
from consent.versions import version_id_of
from consent.vocabulary import ObligationState, RightKind
from tests.web.stage import Stage, text_of
from vault.schema import random_id

RECIPIENT: Final = "hanbit-insurance"
HOLDER: Final = "seoul-hospital"
NAME: Final = "김하늘"
TOLD: Final = "김하늘의 진료일이 틀려요"
DAY: Final = timedelta(days=1)
WORDS: Final = load_words()


@pytest.fixture
def operated(stage: Stage) -> Stage:
    """A broker with an operator. Nobody is signed in."""
    with transaction(stage.installation.data) as work:
        auditor = work.session.exec(select(Account).where(Account.role == "auditor")).one()
        operator = NewAccount("operator", "operator-1", auditor.password_hash)
        create_account(work.session, stage.installation.keyring, operator, stage.clock())
    return stage


def page_of(
    stage: Stage, language: Language = "en", username: str = "operator-1", path: str = "operate"
) -> str:
    stage.sign_in(username=username)
    answer = stage.http.get(f"/{language}/{path}")
    assert answer.status_code == 200
    page: str = answer.text
    return page


def section(page: str, identifier: str) -> str:
    """The words of one list."""
    found = re.search(rf'<section aria-labelledby="{identifier}">.*?</section>', page, re.DOTALL)
    assert found is not None, identifier
    return unescape(text_of(found[0]))


def owing(stage: Stage, grant_id: str) -> str:
    """The recipient has got something that it may store; answers the obligation's id."""
    now, obligation_id = stage.clock(), random_id()
    about: dict[str, Any] = {
        "grant_id": grant_id,
        "subject_id": stage.subject_id,
        "recipient_id": RECIPIENT,
    }
    with transaction(stage.installation.data) as work:
        work.session.add(
            Delivery(
                delivery_id=random_id(),
                version_id=version_id_of(grant_id, 1),
                ordinal=1,
                key_digest=b"k",
                request_digest=b"r",
                payload_digest=b"p",
                nonce_sealed=b"n",
                record_count=3,
                retention_days=90,
                as_of=now,
                **about,
            )
        )
        work.session.add(
            Obligation(
                obligation_id=obligation_id,
                state=ObligationState.PENDING,
                days_after_end=DAYS_AFTER_END,
                opened_at=now,
                **about,
            )
        )
    return obligation_id


def withdrawn(stage: Stage) -> tuple[str, str]:
    """A consent that was ended after a delivery; answers its obligation's id and its own."""
    stage.sign_in()
    grant_id = stage.agreed()
    obligation_id = owing(stage, grant_id)
    with transaction(stage.installation.data) as work:
        lifecycle.withdraw(work, stage.installation.keyring, grant_id, stage.subject_id, stage.clock())
    return obligation_id, grant_id


def asked(stage: Stage, kind: RightKind = RightKind.CORRECT) -> str:
    new = NewRight(stage.subject_id, kind, TOLD, organisation_id=HOLDER)
    with transaction(stage.installation.data) as work:
        return file_right(work, stage.installation.keyring, new, answer_within=10 * DAY, now=stage.clock())


def broken_in(stage: Stage) -> str:
    """An access in an emergency that waits for its review."""
    emergency_id = random_id()
    with transaction(stage.installation.data) as work:
        work.session.add(
            EmergencyAccess(
                emergency_id=emergency_id,
                subject_id=stage.subject_id,
                recipient_id=RECIPIENT,
                client_id="hanbit-claims",
                grant_id=random_id(),
                statement_sealed=b"sealed",
                handle=random_id(),
                state=EmergencyState.OPEN,
                opened_at=stage.clock(),
                due_at=stage.clock() + 3 * DAY,
            )
        )
    return emergency_id


def given_up(stage: Stage, kind: DutyKind, target: str) -> str:
    with transaction(stage.installation.data) as work:
        owe(work.session, kind, target, stage.clock())
        work.session.flush()
        duty = work.session.exec(select(Duty).where(Duty.kind == kind, Duty.target == target)).one()
        duty.fault = "unreachable"
        bury(duty, stage.clock())
        return duty.duty_id


# Whose page it is.


def test_a_stranger_signs_in_first(operated: Stage) -> None:
    for language in LANGUAGES:
        answer = operated.http.get(f"/{language}/operate")
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/{language}/signin?next=/{language}/operate"


@pytest.mark.parametrize("username", ["haneul", "auditor-1"])
def test_a_citizen_and_an_auditor_are_refused(operated: Stage, username: str) -> None:
    right_id = asked(operated)
    operated.sign_in(username=username)
    for language in LANGUAGES:
        answer = operated.http.get(f"/{language}/operate")
        assert answer.status_code == 403
        assert right_id not in answer.text
        assert f'href="/{language}/operate"' not in answer.text


def test_an_operator_sees_nobody_elses_pages(operated: Stage) -> None:
    operated.sign_in(username="operator-1")
    assert [operated.http.get(path).status_code for path in ("/ko", "/ko/rights", "/ko/audit")] == [403] * 3


def test_an_operator_arrives_here_and_can_change_nothing(operated: Stage) -> None:
    assert operated.sign_in(username="operator-1").headers["location"] == "/ko/operate"
    page = operated.http.get("/ko/operate").text
    assert re.findall(r'<form [^>]*action="([^"]+)"', page) == ["/ko/signout"]
    assert re.search(r'<a href="/ko/operate" aria-current="page">', page)
    assert operated.http.post("/ko/operate", data={}).status_code == 405


# What it says.


@pytest.mark.parametrize("language", LANGUAGES)
def test_where_nothing_waits_each_list_says_so(operated: Stage, language: Language) -> None:
    page = page_of(operated, language)
    assert page.count('class="empty"') == 6
    assert "<code>mydata obligation" not in page
    nothing = {"en": "No recipient is late", "ko": "기한을 넘긴 파기도"}[language]
    assert nothing in section(page, "overdue-deletions")
    assert {"en": "None yet", "ko": "아직 없음"}[language] in text_of(page)


def test_a_deletion_is_near_and_then_overdue(operated: Stage) -> None:
    obligation_id, _ = withdrawn(operated)
    page = page_of(operated)
    near = section(page, "deletions-due-soon")
    for told in (obligation_id, RECIPIENT, "insurance.indemnity_claim", "4 Dec 2026", "obligation list"):
        assert told in near
    assert obligation_id not in section(page, "overdue-deletions")
    operated.clock.advance(3 * DAY)
    page = page_of(operated)
    overdue = section(page, "overdue-deletions")
    for told in (obligation_id, RECIPIENT, "Late: 1", "mydata obligation list --overdue"):
        assert told in overdue
    assert obligation_id not in section(page, "deletions-due-soon")


def test_a_request_by_right_with_its_time(operated: Stage) -> None:
    right_id = asked(operated)
    operated.clock.advance(8 * DAY + timedelta(hours=1))
    waiting = section(page_of(operated), "open-rights")
    for told in (right_id, "Correction", "1 day left", "mydata right answer"):
        assert told in waiting
    operated.clock.advance(4 * DAY)
    late = section(page_of(operated, "ko"), "open-rights")
    for told in (right_id, "정정", "2일 늦음", "늦음: 1건"):
        assert told in late


def test_an_emergency_past_its_review(operated: Stage) -> None:
    emergency_id = broken_in(operated)
    operated.clock.advance(3 * DAY)
    late = section(page_of(operated), "unreviewed-emergencies")
    for told in (emergency_id, RECIPIENT, "Less than a day late", "Late: 1", "mydata emergency review"):
        assert told in late


def test_what_was_given_up_and_who_is_suspended(operated: Stage) -> None:
    duty_id = given_up(operated, DutyKind.MAIL_NOTICE, operated.subject_id)
    with transaction(operated.installation.data) as work:
        suspend(work.session, RECIPIENT)
    page = page_of(operated)
    dead = section(page, "dead-duties")
    for told in (duty_id, "Mail a notice to a person", "unreachable", "mydata duty replay"):
        assert told in dead
    suspended = section(page, "suspended-organisations")
    for told in (RECIPIENT, "Recipient", "mydata org reinstate"):
        assert told in suspended
    assert HOLDER not in suspended


def test_the_checkpoints_age(operated: Stage) -> None:
    publish(operated.installation, operated.clock())
    operated.clock.advance(timedelta(minutes=150))
    asked(operated)
    told = text_of(page_of(operated))
    with operated.installation.data.read() as session:
        size = statistics(session, smallest=10)["size"]
    assert "2 hours ago" in told
    assert f"Signed: {size - 1} of {size} events." in told


def test_small_numbers_of_the_statistics_are_not_told(operated: Stage) -> None:
    operated.sign_in()
    operated.agreed()
    told = section(page_of(operated), "statistics")
    row = re.search(r"Consents in force activeAuthorisationCount.total (.*?) Consents in force for", told)
    assert row is not None
    assert row[1] == "not told: fewer than 10, or would give one away"
    assert re.search(r"Deliveries deliveryCount 0 ", told)


def test_at_most_fifty_are_shown_and_the_rest_is_counted(operated: Stage) -> None:
    for number in range(53):
        given_up(operated, DutyKind.TELL_ENDED, f"grant-{number}")
    page = page_of(operated)
    dead = section(page, "dead-duties")
    assert dead.count("Tell a recipient about a consent") == 50
    assert "3 more are not shown here." in dead
    assert "53" in dead


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_personal_is_on_it(operated: Stage, language: Language) -> None:
    obligation_id, grant_id = withdrawn(operated)
    right_id, emergency_id = asked(operated), broken_in(operated)
    given_up(operated, DutyKind.ERASE_SUBJECT, operated.subject_id)
    operated.clock.advance(12 * DAY)
    page = page_of(operated, language)
    for shown in (obligation_id, right_id, emergency_id):
        assert shown in page
    with operated.installation.data.read() as session:
        handle = session.get_one(Consent, grant_id).handle
    for hidden in (NAME, TOLD, "haneul", "P-0001", operated.subject_id, grant_id, handle):
        assert hidden not in page


def test_every_command_that_a_list_names_exists(operated: Stage) -> None:
    withdrawn(operated)
    asked(operated)
    broken_in(operated)
    given_up(operated, DutyKind.TELL_DUE, "grant")
    with transaction(operated.installation.data) as work:
        suspend(work.session, HOLDER)
    near = page_of(operated)
    operated.clock.advance(3 * DAY)
    named = set(re.findall(r"<code>mydata ([^<]+)</code>", near + page_of(operated)))
    assert len(named) == 11
    program: Any = typer.main.get_command(build_program())
    for command in named:
        found = program
        for word in command.split():
            if not word.startswith("-"):
                found = found.commands[word]
        options = {option for parameter in found.params for option in parameter.opts}
        assert {word for word in command.split() if word.startswith("-")} <= options


# What auditors see of it.


@pytest.mark.parametrize("language", LANGUAGES)
def test_auditors_see_overdue_deletions_with_ids_only(operated: Stage, language: Language) -> None:
    obligation_id, grant_id = withdrawn(operated)
    asked(operated)
    page = page_of(operated, language, "auditor-1", "audit")
    assert 'class="empty"' in page
    operated.clock.advance(3 * DAY)
    page = page_of(operated, language, "auditor-1", "audit")
    overdue = section(page, "overdue-deletions")
    assert obligation_id in overdue
    assert RECIPIENT in overdue
    assert "mydata" not in overdue
    for hidden in (NAME, operated.subject_id, grant_id):
        assert hidden not in page
    assert "overdue-deletions" not in operated.http.get(f"/{language}/audit?before=1").text


# Its words.


@pytest.mark.parametrize("language", LANGUAGES)
def test_codes_have_words_and_later_ones_stay(language: Language) -> None:
    words = WORDS[language]
    assert all(wording.right_kind(words, kind) != kind for kind in RightKind)
    for in_words in (wording.right_kind, wording.right_state, wording.duty_kind, wording.metric):
        assert in_words(words, "later.invention") == "later.invention"
    roles = [(True, True), (True, False), (False, True)]
    told = {wording.organisation_roles(words, is_recipient=one, is_holder=two) for one, two in roles}
    assert len(told) == 3


def test_every_metric_has_words(operated: Stage) -> None:
    with operated.installation.data.read() as session:
        total = statistics(session, smallest=10)["total"]
    for name in (name for name, counts in total.items() if not isinstance(counts, dict)):
        assert wording.metric(WORDS["en"], name) != name
    for stage in total["abandonmentsByStage"]:
        name = f"abandonmentsByStage.{stage}"
        assert wording.metric(WORDS["en"], name) != name
    assert wording.metric(WORDS["en"], "refusalsByReason.no_consent") == "Pulls refused: no_consent"


@pytest.mark.parametrize(
    ("past", "told"),
    [
        (timedelta(seconds=59), "less than a minute ago"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(minutes=119), "119 minutes ago"),
        (timedelta(hours=2), "2 hours ago"),
        (timedelta(hours=47), "47 hours ago"),
        (timedelta(days=2), "2 days ago"),
    ],
)
def test_ages(past: timedelta, told: str) -> None:
    assert wording.age(WORDS["en"], past) == told


@pytest.mark.parametrize(
    ("hours", "told"),
    [
        (0, "Less than a day late"),
        (-23, "Less than a day late"),
        (-24, "1 day late"),
        (-49, "2 days late"),
        (1, "Less than a day left"),
        (25, "1 day left"),
        (240, "10 days left"),
    ],
)
def test_time_left(hours: int, told: str) -> None:
    now = datetime(2026, 12, 1, tzinfo=UTC)
    assert time_left(WORDS["en"], now + timedelta(hours=hours), now) == told
