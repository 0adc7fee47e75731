"""Telling recipients: signed, at least once, patiently, and nobody who may not know."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import pytest
from sqlmodel import select

import broker.jobs.pushing
import broker.jobs.telling
from broker.db import transaction
from broker.installation import Installation
from broker.jobs.telling import tell_due
from broker.oauth import clients
from broker.oauth.clients import ClientRegistration
from broker.oauth.security_event import RECORD_AVAILABLE, REVIEW_REQUESTED
from connectors.http import Limits
from consent.models import Decision, Duty
from consent.organisations import suspend
from consent.outbox import DutyKind, owe, replay
from tests.connectors.sources.double import Double, Reply, hanging_up, serving_double, silence
from tests.consent.details import PURPOSE, terms_with
from tests.consent.office import CLIENT, RECIPIENT, Office, open_office
from tests.consent.test_news import WEEKLY, bill
from tests.installation import ISSUER, Clock
from vault.jose import generate_private_jwk, public_jwk, public_jwks, verify_jwt

TAKEN: Final = Reply(202)
PATIENT: Final = Limits(read_seconds=60, total_seconds=60, response_bytes=1000, attempts=1)
SHORT: Final = replace(PATIENT, read_seconds=0.3, total_seconds=0.5)  # for who is silent on purpose


@dataclass(frozen=True)
class Post:
    """An office whose recipient's endpoint is a double, and a standing consent."""

    office: Office
    double: Double
    link_id: str
    grant_id: str

    @property
    def installation(self) -> Installation:
        return self.office.installation

    def arrives(self, number: str) -> None:
        self.office.collect(self.link_id, bill(number))

    def tell(self) -> int:
        return tell_due(self.installation, self.office.clock())

    def duties(self) -> list[Duty]:
        """News and wishes; what changes in a consent itself is told by tests/jobs/test_ending.py."""
        kinds = {DutyKind.TELL_RECIPIENT, DutyKind.ASK_REVIEW}
        return [duty for duty in self.all_duties() if duty.kind in kinds]

    def all_duties(self) -> list[Duty]:
        with self.installation.data.read() as session:
            return sorted(session.exec(select(Duty)), key=lambda duty: duty.created_at)

    def news(self) -> list[dict[str, Any]]:
        """The events that tell of a new record."""
        return [event for event in self.events() if RECORD_AVAILABLE in event["events"]]

    def events(self) -> list[dict[str, Any]]:
        """The claims of what the double was sent, verified with the broker's published keys."""
        keys = public_jwks(self.installation.keyring.service_keys("oauth"))
        return [
            verify_jwt(token, keys, algorithms=["ES256"], typ="secevent+jwt")[1]
            for token in self.double.tokens
        ]

    def told(self) -> list[str]:
        own = {"recipient.told", "recipient.unreachable"}
        return [event for event in self.office.event_types(self.grant_id) if event in own]


@pytest.fixture
def post(installation: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    yield from opened(installation, clock, monkeypatch)


@pytest.fixture
def sqlite_post(
    sqlite_installation: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Post]:
    """For what no database decides."""
    yield from opened(sqlite_installation, clock, monkeypatch)


def opened(
    bare: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch, *, has_endpoint: bool = True
) -> Iterator[Post]:
    monkeypatch.setattr(broker.jobs.pushing, "LIMITS", PATIENT)
    server = bare.settings.server.model_copy(update={"profile": "demo"})
    office = open_office(replace(bare, settings=bare.settings.model_copy(update={"server": server})), clock)
    with serving_double() as double:
        registration = ClientRegistration(
            client_id=CLIENT,
            organisation_id=RECIPIENT,
            name="Hanbit claims",
            jwks={"keys": [public_jwk(generate_private_jwk("ES256"))]},
            redirect_uris=("https://insurer.example/cb",),
            scope="records.read deliveries ssf",
            purposes=(PURPOSE,),
            events_endpoint=double.url if has_endpoint else None,
        )
        with office.work() as work:
            clients.add(work.session, registration, is_loopback_allowed=True, now=clock())
        link_id = office.link()
        double.will(TAKEN)
        yield Post(office, double, link_id, office.agree(terms_with(WEEKLY)).grant_id)


class Died(BaseException):
    """What a kill is to a test in one process."""


def died(*_: object) -> str | None:
    raise Died


def slowly(seconds: float) -> Reply:
    return Reply(202, before=lambda _: time.sleep(seconds))


def with_decision(post: Post) -> Decision:
    delivery_id = post.office.deliver(post.grant_id)
    decision = Decision(
        decision_id="decision",
        delivery_id=delivery_id,
        number=1,
        grant_id=post.grant_id,
        subject_id=post.office.subject_id,
        recipient_id=RECIPIENT,
        compartment_id="c",
        body_sealed=b"s",
        body_digest=b"d" * 32,
        received_at=post.office.clock(),
    )
    with post.office.work() as work:
        work.session.add(decision.model_copy())
        owe(work.session, DutyKind.ASK_REVIEW, "decision", post.office.clock())
    return decision


# Nothing is told that may not be.


def test_a_consent_that_has_ended_is_not_told_of(sqlite_post: Post) -> None:
    sqlite_post.arrives("B-1")
    sqlite_post.office.withdraw(sqlite_post.grant_id)
    assert sqlite_post.tell() == 1  # that it has ended, and nothing else
    assert sqlite_post.news() == []
    (duty,) = sqlite_post.duties()
    assert (duty.done_at, duty.dead_at) == (sqlite_post.office.clock(), None)


def test_nor_one_whose_time_is_over(sqlite_post: Post) -> None:
    sqlite_post.arrives("B-1")
    sqlite_post.office.clock.now = sqlite_post.office.consent(sqlite_post.grant_id).valid_until
    assert (sqlite_post.tell(), sqlite_post.double.tokens) == (0, [])
    assert sqlite_post.duties()[0].done_at is not None


def test_one_that_begins_later_is_told_of_then(sqlite_post: Post) -> None:
    office = sqlite_post.office
    begins = office.clock() + timedelta(days=2)
    later = office.agree(terms_with({**WEEKLY, "access.valid_from": begins.isoformat()})).grant_id
    sqlite_post.arrives("B-1")
    assert sqlite_post.tell() == 1
    assert [event["sub_id"]["id"] for event in sqlite_post.events()] == [sqlite_post.grant_id]
    office.clock.now = begins
    assert sqlite_post.tell() == 1
    assert sqlite_post.events()[-1]["sub_id"]["id"] == later


def test_a_pause_of_a_day_loses_nothing(post: Post) -> None:
    post.office.pause(post.grant_id)
    post.arrives("B-1")
    for _ in range(24):
        post.tell()
        post.office.clock.advance(timedelta(hours=1))
    assert post.news() == []
    (duty,) = post.duties()
    assert (duty.attempts, duty.done_at, duty.dead_at) == (0, None, None)
    post.office.clock.advance(timedelta(seconds=1))
    post.tell()
    post.office.resume(post.grant_id)
    assert post.tell() == 2  # with that it goes on
    assert post.news()[0]["sub_id"]["id"] == post.grant_id


def test_a_pause_that_its_end_overtakes_is_not_told_of(sqlite_post: Post) -> None:
    sqlite_post.office.pause(sqlite_post.grant_id)
    sqlite_post.arrives("B-1")
    sqlite_post.office.clock.now = sqlite_post.office.consent(sqlite_post.grant_id).valid_until
    sqlite_post.tell()
    assert sqlite_post.news() == []
    assert sqlite_post.duties()[0].done_at is not None


def test_a_suspended_recipient_hears_nothing_until_it_is_back(sqlite_post: Post) -> None:
    sqlite_post.arrives("B-1")
    with sqlite_post.office.work() as work:
        suspend(work.session, RECIPIENT)
    assert (sqlite_post.tell(), sqlite_post.double.tokens) == (0, [])
    (duty,) = sqlite_post.duties()
    assert (duty.fault, duty.done_at, duty.dead_at) == ("recipient_suspended", None, None)


def test_a_recipient_without_an_endpoint_asks_by_itself_but_a_review_is_not_lost(
    sqlite_installation: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for post in opened(sqlite_installation, clock, monkeypatch, has_endpoint=False):
        post.arrives("B-1")
        with_decision(post)
        assert (post.tell(), post.double.tokens) == (0, [])
        by_kind = {duty.kind: duty for duty in post.duties()}
        assert by_kind[DutyKind.TELL_RECIPIENT].done_at is not None
        assert by_kind[DutyKind.ASK_REVIEW].dead_at is not None
        assert by_kind[DutyKind.ASK_REVIEW].fault == "no_events_endpoint"
        assert post.told() == ["recipient.unreachable"]


def test_what_is_gone_is_not_told_of(sqlite_post: Post) -> None:
    with sqlite_post.office.work() as work:
        owe(work.session, DutyKind.TELL_RECIPIENT, "no-such-grant", sqlite_post.office.clock())
        owe(work.session, DutyKind.ASK_REVIEW, "no-such-decision", sqlite_post.office.clock())
    assert (sqlite_post.tell(), sqlite_post.double.tokens) == (0, [])
    assert all(duty.done_at is not None for duty in sqlite_post.duties())


# A recipient that does not take it.


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (silence(1), "timed_out"),
        (hanging_up(), "unreachable"),
        (Reply(503), "answered_503"),
        (Reply(400, body=b'{"err": "invalid_key"}'), "answered_400_invalid_key"),
        (Reply(302, {"Location": "http://169.254.169.254/"}), "answer_redirects_or_is_encoded"),
        (Reply(202, body=b" " * 5000), "answer_too_large"),
    ],
)
def test_an_event_that_is_not_taken_comes_again(
    sqlite_post: Post, monkeypatch: pytest.MonkeyPatch, reply: Reply, fault: str
) -> None:
    sqlite_post.double.will(reply)
    sqlite_post.arrives("B-1")
    with monkeypatch.context() as hurried:
        if fault == "timed_out":
            hurried.setattr(broker.jobs.pushing, "LIMITS", SHORT)
        assert sqlite_post.tell() == 0
    (duty,) = sqlite_post.duties()
    assert (duty.fault, duty.attempts, duty.done_at) == (fault, 1, None)
    assert sqlite_post.tell() == 0
    assert len(sqlite_post.double.tokens) == 1  # not before its time
    sqlite_post.double.will(TAKEN)
    sqlite_post.office.clock.advance(timedelta(seconds=2))
    assert sqlite_post.tell() == 1
    first, second = sqlite_post.events()
    assert first["jti"] == second["jti"] == duty.duty_id
    assert (sqlite_post.duties()[0].fault, sqlite_post.told()) == (None, ["recipient.told"])


def test_a_recipient_that_is_away_for_a_day_misses_nothing(post: Post) -> None:
    post.double.will(Reply(503))
    numbers = [f"B-{number}" for number in range(3)]
    began = post.office.clock()
    for number in numbers:
        post.arrives(number)
        post.office.clock.advance(timedelta(minutes=1))
    while post.office.clock() < began + timedelta(days=1):
        post.tell()
        post.office.clock.advance(timedelta(minutes=20))
    assert post.told() == []
    asked = len(post.double.tokens)
    assert asked < 100  # it is not hammered either
    post.double.will(TAKEN)
    post.office.clock.advance(timedelta(hours=1))
    assert post.tell() == 3
    assert len({event["jti"] for event in post.events()[asked:]}) == 3
    assert all(duty.done_at is not None for duty in post.duties())


def test_one_that_fails_is_asked_once_and_what_comes_later_waits_with_the_rest(sqlite_post: Post) -> None:
    sqlite_post.double.will(Reply(503))
    for number in range(5):
        sqlite_post.arrives(f"B-{number}")
    sqlite_post.tell()
    assert len(sqlite_post.double.tokens) == 1
    assert sorted(duty.fault or "" for duty in sqlite_post.duties()) == ["answered_503", *["held_back"] * 4]
    sqlite_post.office.clock.advance(timedelta(seconds=1))
    sqlite_post.arrives("B-6")
    sqlite_post.tell()
    assert len(sqlite_post.double.tokens) == 1
    assert len({duty.due_at for duty in sqlite_post.duties()}) == 1


def test_one_that_listens_again_hears_everything_at_once(sqlite_post: Post) -> None:
    sqlite_post.double.will(Reply(503))
    for number in range(3):
        sqlite_post.arrives(f"B-{number}")
        sqlite_post.tell()
    office = sqlite_post.office
    while max(duty.attempts for duty in sqlite_post.duties()) < 8:
        office.clock.now = min(duty.due_at for duty in sqlite_post.duties())
        sqlite_post.tell()
    sqlite_post.double.will(TAKEN)
    office.clock.now = min(duty.due_at for duty in sqlite_post.duties())
    assert sqlite_post.tell() == 3


def test_two_workers_do_not_send_the_same_at_once(post: Post) -> None:
    post.double.will(slowly(0.25))
    post.arrives("B-1")
    with ThreadPoolExecutor(2) as workers:
        told = list(workers.map(lambda _: post.tell(), range(2)))
    assert (sorted(told), len(post.double.tokens)) == ([0, 1], 1)
    assert post.told() == ["recipient.told"]


def test_a_push_that_nobody_finished_comes_again(sqlite_post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker died between the lease and the answer."""
    sqlite_post.arrives("B-1")
    with monkeypatch.context() as dying:
        dying.setattr(broker.jobs.telling, "_push", died)
        with pytest.raises(Died):
            sqlite_post.tell()
    assert sqlite_post.tell() == 0
    sqlite_post.office.clock.advance(timedelta(seconds=15))
    assert sqlite_post.tell() == 1


def test_a_long_pause_does_not_use_up_the_patience(sqlite_post: Post) -> None:
    sqlite_post.office.pause(sqlite_post.grant_id)
    sqlite_post.arrives("B-1")
    sqlite_post.office.clock.advance(timedelta(days=20))
    sqlite_post.office.resume(sqlite_post.grant_id)
    sqlite_post.double.will(Reply(503))
    sqlite_post.tell()
    (duty,) = sqlite_post.duties()
    assert duty.fault is not None
    assert duty.dead_at is None


def test_it_is_given_up_in_the_end_and_an_operator_can_have_it_tried_again(sqlite_post: Post) -> None:
    sqlite_post.double.will(Reply(503))
    sqlite_post.arrives("B-1")
    sqlite_post.office.clock.advance(timedelta(days=14))
    sqlite_post.tell()
    (dead,) = sqlite_post.duties()
    assert (dead.dead_at, dead.done_at) == (sqlite_post.office.clock(), None)
    assert sqlite_post.told() == ["recipient.unreachable"]
    sqlite_post.double.will(TAKEN)
    sqlite_post.office.clock.advance(timedelta(days=1))
    assert sqlite_post.tell() == 0
    with transaction(sqlite_post.installation.data) as work:
        assert replay(work.session, "another", sqlite_post.office.clock()) == 0
        assert replay(work.session, dead.duty_id, sqlite_post.office.clock()) == 1
    assert sqlite_post.tell() == 1
    assert sqlite_post.told() == ["recipient.unreachable", "recipient.told"]


def test_an_address_that_is_not_public_is_not_called(sqlite_post: Post) -> None:
    """Outside the demo this machine's own addresses are not a recipient's."""
    server = sqlite_post.installation.settings.server.model_copy(update={"profile": "production"})
    settings = sqlite_post.installation.settings.model_copy(update={"server": server})
    sqlite_post.arrives("B-1")
    tell_due(replace(sqlite_post.installation, settings=settings), sqlite_post.office.clock())
    assert sqlite_post.double.tokens == []
    assert sqlite_post.duties()[0].fault == "address_refused"


def test_it_stops_when_it_is_told_to(sqlite_post: Post) -> None:
    sqlite_post.arrives("B-1")
    assert tell_due(sqlite_post.installation, sqlite_post.office.clock(), should_stop=lambda: True) == 0
    assert sqlite_post.double.tokens == []


# What is told.


def test_the_event_says_that_there_is_something_and_not_what(post: Post) -> None:
    post.arrives("B-1")
    assert post.tell() == 1
    (event,) = post.events()
    (duty,) = post.duties()
    assert event == {
        "iss": ISSUER,
        "aud": CLIENT,
        "iat": int(post.office.clock().timestamp()),
        "jti": duty.duty_id,
        "sub_id": {"format": "opaque", "id": post.grant_id},
        "events": {"urn:mydata:event:record-available": {"grant_id": post.grant_id}},
    }
    assert post.told() == ["recipient.told"]
    assert post.tell() == 0


def test_a_persons_wish_for_a_review_reaches_the_recipient_also_after_the_end(post: Post) -> None:
    decision = with_decision(post)
    post.office.withdraw(post.grant_id)
    assert post.tell() == 2  # with that it has ended
    (event,) = (one for one in post.events() if REVIEW_REQUESTED in one["events"])
    assert event["events"] == {
        "urn:mydata:event:review-requested": {
            "grant_id": post.grant_id,
            "delivery_id": decision.delivery_id,
            "decision_id": "decision",
        }
    }
