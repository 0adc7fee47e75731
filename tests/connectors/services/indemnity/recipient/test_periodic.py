"""The insurer and a consent that goes on: events that nobody sent, events again and again, a broker away."""

import base64
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from httpx import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import col, select

from broker.db import transaction
from broker.demo.people import HOSPITAL, INSTITUTION
from broker.jobs import telling
from broker.jobs.arriving import take_in
from broker.jobs.telling import tell_due
from broker.oauth.security_event import RECORD_AVAILABLE, REVIEW_REQUESTED, SecurityEvent, sign
from connectors.errors import UnreachableError
from connectors.http import Answer, OutboundClient
from connectors.services.indemnity.recipient.__main__ import _work
from connectors.services.indemnity.recipient.database import InsurerDatabase
from connectors.services.indemnity.recipient.desk import BILL
from connectors.services.indemnity.recipient.inbox import KeysAwayError
from connectors.services.indemnity.recipient.store import Case, Store
from connectors.sources.base import Person, SourceRecord
from connectors.sources.demo_people import DEMO_PEOPLE
from consent import lifecycle
from consent.delivery import open_decision
from consent.models import Consent, Decision, Duty
from consent.outbox import DutyKind
from consent.review import ask_for_review
from tests.connectors.services.indemnity.papers import bill, line, on
from tests.connectors.services.indemnity.recipient.conftest import BrokerInPlace, Insurer, set_up
from vault.jose import generate_private_jwk, sign_jwt, sign_with_jwk
from vault.record_types.catalogue import Catalogue

PULL: Final = "/v1/deliveries"
PATIENCE: Final = 30
MEDIA_TYPE: Final = "application/secevent+jwt"
PATIENT: Final = DEMO_PEOPLE[0]
DAYS: Final = count(1)
SAID: Final = {"ko": "담당자가 확인하여 지급합니다.", "en": "A person has checked it and pays."}


class PushWire(OutboundClient):
    """The broker's way to the insurer's door, without a socket."""

    insurer: Insurer

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        got = self.insurer.http.request(method, urlsplit(url).path, headers=dict(headers or {}), content=body)
        return Answer(got.status_code, dict(got.headers), got.content)


@dataclass
class Watch:
    """An insurer whom the first persona lets claim after every visit."""

    broker: BrokerInPlace
    insurer: Insurer
    case_id: str
    grant_id: str

    def visit(self, **changes: object) -> str:
        """A day at the hospital: a bill of 80,000 won; its number."""
        day = (date(2026, 11, 23) + timedelta(days=next(DAYS))).isoformat()
        number = f"N-{day}"
        self.arrives(number, 80_000, {**on(day), "issue_date": day, **changes})
        return number

    def arrives(self, number: str, covered: int, changes: Mapping[str, object]) -> None:
        """The hospital sends a bill, or another version of one."""
        catalogue = self.broker.installation.catalogue
        data = orjson.loads(orjson.dumps(_plain(catalogue.get(BILL).example)))
        shown = bill([line(covered_copay=covered, covered_nhis=1)], number)
        data |= {name: shown[name] for name in ("bill_no", "care_type", "lines")}
        data["institution"] |= {"hira_code": INSTITUTION}
        data["totals"] |= {"over_cap": 0, "patient_total": covered, "payable": covered, "total": covered + 1}
        data |= changes
        record = SourceRecord(
            place="1",
            record_type=BILL,
            person=Person(PATIENT.patient_no, PATIENT.name),
            natural_key=Catalogue.load().get(BILL).natural_key_of(data),
            data=data,
        )
        installation = self.broker.installation
        with transaction(installation.data) as work:
            (outcome,) = take_in(
                work, installation, [record], holder_id=HOSPITAL, origin="test", now=self.broker.clock()
            )
        assert outcome.what in {"added", "corrected"}

    def is_told(self) -> int:
        """The broker pushes what is due; how many events the insurer took."""
        return tell_due(self.broker.installation, self.broker.clock())

    def works(self) -> None:
        """The insurer's clerk, once round."""
        self.insurer.inbox.sort()
        self.insurer.desk.work()

    def waits(self, **time: float) -> None:
        self.broker.clock.advance(timedelta(**time))

    def pulls(self) -> list[Case]:
        """The standing case's pulls, the oldest first."""
        return [case for case in self.insurer.store.cases() if case.parent_id == self.case_id]

    def claims_of(self, number: str) -> list[dict[str, Any]]:
        claims = [case.claim for case in self.pulls() if case.claim is not None]
        return [claim for claim in claims if number in {entry["bill_no"] for entry in claim["lines"]}]

    def event(
        self,
        event_id: str,
        event_type: str = RECORD_AVAILABLE,
        *,
        grant_id: str | None = None,
        **members: str,
    ) -> str:
        """An event as the broker signs it."""
        client_id = self.insurer.configuration.client_id
        event = SecurityEvent(event_id, client_id, event_type, grant_id or self.grant_id, members)
        key = self.broker.installation.keyring.service_keys("oauth")[0]
        issuer = self.insurer.configuration.issuer
        return sign(event, issuer=issuer, key=key, now=self.broker.clock())

    def posts(self, token: str | bytes, media_type: str = MEDIA_TYPE) -> Response:
        answer: Response = self.insurer.http.post(
            "/events", content=token, headers={"Content-Type": media_type}
        )
        return answer

    def kept(self) -> list[str]:
        """The ids of the events that the insurer has kept."""
        with sqlite3.connect(self.insurer.configuration.store) as connection:
            return [event_id for (event_id,) in connection.execute("SELECT event_id FROM event")]

    def decisions(self, case: Case) -> list[dict[str, Any]]:
        """What the broker has of the insurer's decisions on a case, in their order."""
        with self.broker.installation.data.read() as session:
            found = session.exec(
                select(Decision)
                .where(Decision.delivery_id == case.delivery_id)
                .order_by(col(Decision.number))
            ).all()
            return [open_decision(self.broker.installation.keyring, one) for one in found]

    def person(self, step: str) -> None:
        """The person pauses, resumes or withdraws the consent."""
        installation = self.broker.installation
        with transaction(installation.data) as work:
            subject_id = work.session.get_one(Consent, self.grant_id).subject_id
            getattr(lifecycle, step)(
                work, installation.keyring, self.grant_id, subject_id, self.broker.clock()
            )

    def answers(self, case_id: str, body: object, **headers: str) -> Response:
        """Staff answer a review."""
        answer: Response = self.insurer.http.post(
            f"/staff/cases/{case_id}/review", json=body, headers=headers or self.insurer.staff
        )
        return answer


def _plain(frozen: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(frozen, Mapping):
        return {name: _plain(value) for name, value in frozen.items()}
    return [_plain(one) for one in frozen] if isinstance(frozen, list | tuple) else frozen


@pytest.fixture
def watch(broker: BrokerInPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """A standing case whose first pull is claimed; the consent ends with the test."""
    insurer = set_up(broker, tmp_path, acknowledge="at_once")
    case_id, came = insurer.agreed(access="periodic")
    assert "자동 청구를 시작했습니다" in insurer.comes_back(came).text
    grant_id = insurer.case(case_id).grant_id
    assert grant_id is not None
    insurer.desk.work()
    watch = Watch(broker, insurer, case_id, grant_id)
    monkeypatch.setattr(PushWire, "insurer", insurer, raising=False)
    monkeypatch.setattr(telling, "OutboundClient", PushWire)
    yield watch
    watch.person("withdraw")


# Events that the broker did not send.


def test_a_forged_event_is_refused_and_not_kept(watch: Watch) -> None:
    stranger = generate_private_jwk("ES256")
    (key, *_) = watch.broker.installation.keyring.service_keys("oauth")
    configuration = watch.insurer.configuration
    event = SecurityEvent("forged", configuration.client_id, RECORD_AVAILABLE, watch.grant_id, {})
    claims = orjson.loads(_decoded(watch.event("forged").split(".")[1]))
    own = {"alg": "ES256", "typ": "secevent+jwt", "kid": key.kid}
    now = watch.broker.clock()
    right = watch.event("forged")
    header, body, signature = right.split(".")
    forged = {
        "authentication_failed": [
            sign_with_jwk(claims, stranger, own),
            sign_with_jwk(claims, stranger, own | {"kid": stranger["kid"]}),
            sign_with_jwk(claims, stranger, {"alg": "ES256", "typ": "secevent+jwt"}),
            _signed(watch, claims, typ="JWT"),
            _signed(watch, claims, typ="dpop+jwt"),
            f"{header}.{body}.{signature[:-8]}AAAAAAAA",
            f"{header}.{body}.",
            f"{header}.{body}",
            "e30.e30.e30",
            "",
        ],
        "invalid_issuer": [
            sign(event, issuer="https://mix-up.example", key=key, now=now),
            sign(event, issuer=configuration.issuer + "/", key=key, now=now),
            _signed(watch, _without(claims, "iss")),
        ],
        "invalid_audience": [
            _signed(watch, claims | {"aud": "another"}),
            _signed(watch, claims | {"aud": [configuration.client_id, "another"]}),
            _signed(watch, _without(claims, "aud")),
        ],
        "invalid_request": [
            _signed(watch, _without(claims, "jti")),
            _signed(watch, claims | {"jti": 7}),
            _signed(watch, _without(claims, "events")),
            _signed(watch, claims | {"events": []}),
            _signed(watch, claims | {"events": {"urn:mydata:event:unknown": {"grant_id": watch.grant_id}}}),
            _signed(watch, claims | {"events": {RECORD_AVAILABLE: watch.grant_id}}),
            _signed(watch, claims | {"events": {RECORD_AVAILABLE: {}}}),
            _signed(watch, claims | {"events": {RECORD_AVAILABLE: {"grant_id": [watch.grant_id]}}}),
            watch.event("forged", REVIEW_REQUESTED),
            watch.event("forged", padding="x" * 16 * 1024),
            "é" + right,
        ],
    }
    before = watch.insurer.store.cases()
    for code, tokens in forged.items():
        for number, token in enumerate(tokens):
            answer = watch.posts(token.encode())
            assert (answer.status_code, answer.json()["err"]) == (400, code), (code, number)
            assert set(answer.json()) == {"err", "description"}
            assert watch.grant_id not in answer.text
    for media_type in ("application/jwt", "application/json", "text/plain", ""):
        refused = watch.posts(right, media_type)
        assert (refused.status_code, refused.json()["err"]) == (400, "invalid_request")
    assert watch.kept() == []
    watch.works()
    assert watch.insurer.store.cases() == before
    assert watch.posts(right, "Application/SecEvent+JWT; charset=utf-8").status_code == 202


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.one_of(st.binary(max_size=200), st.from_regex(rb"\A[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,40}\Z")))
def test_rubbish_at_the_door_is_refused(watch: Watch, raw: bytes) -> None:
    answer = watch.posts(raw)
    assert (answer.status_code, answer.json()["err"] in {"authentication_failed", "invalid_request"}) == (
        400,
        True,
    )
    assert watch.kept() == []


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"keys": ["key"]}', None])
def test_an_event_is_not_refused_while_the_keys_are_away(watch: Watch, answer: bytes | None) -> None:
    def without_keys(path: str, passed: Answer) -> Answer:
        if path != "/jwks":
            return passed
        if answer is None:
            raise UnreachableError("127.0.0.1")
        return Answer(200, {}, answer)

    watch.insurer.wire.tap = without_keys
    number = watch.visit()
    assert (watch.is_told(), watch.kept()) == (0, [])
    away = watch.posts(watch.event("once more"))
    assert (away.status_code, away.headers["retry-after"], away.content) == (503, "5", b"")
    with pytest.raises(KeysAwayError):
        watch.insurer.inbox.take(watch.event("once more"), watch.broker.clock())
    watch.insurer.wire.tap = lambda _, passed: passed
    watch.waits(hours=1)
    assert watch.is_told() == 1
    watch.works()
    assert len(watch.claims_of(number)) == 1


def test_a_stranger_cannot_have_the_keys_fetched_again_and_again(watch: Watch) -> None:
    stranger = generate_private_jwk("ES256")
    claims = orjson.loads(_decoded(watch.event("forged").split(".")[1]))
    header = {"alg": "ES256", "typ": "secevent+jwt", "kid": stranger["kid"]}
    for _ in range(5):
        assert watch.posts(sign_with_jwk(claims, stranger, header)).status_code == 400
    assert watch.insurer.wire.asked.count("/jwks") == 1
    watch.waits(seconds=11)
    assert watch.posts(sign_with_jwk(claims, stranger, header)).status_code == 400
    assert watch.insurer.wire.asked.count("/jwks") == 2


def test_an_event_of_a_consent_that_is_not_ours_waits_and_changes_nothing(watch: Watch) -> None:
    before = watch.insurer.store.cases()
    assert watch.posts(watch.event("unknown", grant_id="another")).status_code == 202
    assert (
        watch.posts(watch.event("unknown review", REVIEW_REQUESTED, delivery_id="another")).status_code == 202
    )
    asked = list(watch.insurer.wire.asked)
    for _ in range(3):
        watch.works()
    assert (watch.insurer.store.cases(), watch.insurer.wire.asked) == (before, asked)
    assert watch.kept() == ["unknown", "unknown review"]


def test_an_event_that_is_faster_than_the_persons_browser_waits_for_it(watch: Watch) -> None:
    before = grants(watch.broker)
    case_id, came = watch.insurer.agreed(access="periodic")
    (newest,) = grants(watch.broker) - before
    assert watch.posts(watch.event("fast", grant_id=newest)).status_code == 202
    watch.works()
    assert watch.insurer.case(case_id).state == "asked"
    watch.insurer.comes_back(came)
    watch.works()
    own = [case for case in watch.insurer.store.cases() if case.parent_id == case_id]
    assert [case.event_id for case in own] == [None, "fast"]
    assert {case.state for case in own} == {"closed"}
    Watch(watch.broker, watch.insurer, case_id, newest).person("withdraw")


# A visit, an event, a claim.


def test_what_there_is_already_is_claimed_at_once(watch: Watch) -> None:
    (first,) = watch.pulls()
    assert (first.state, first.event_id, watch.insurer.case(watch.case_id).state) == (
        "closed",
        None,
        "standing",
    )
    assert first.claim is not None
    assert len(first.claim["lines"]) > 1
    assert first.claim["already_paid"] == 0
    (decision,) = watch.decisions(first)
    assert (decision["payable"], decision["reference"]) == (first.claim["payable"], first.claim_no)


def test_a_new_bill_is_one_further_claim_with_that_visit_only(watch: Watch) -> None:
    number = watch.visit()
    assert watch.is_told() == 1
    watch.works()
    assert len(watch.pulls()) == 2
    further = watch.pulls()[1]
    assert further.claim is not None
    assert (further.state, further.claim["payable"], further.claim["status"]) == (
        "closed",
        60_000,
        "approved",
    )
    assert {entry["bill_no"] for entry in further.claim["lines"]} == {number}
    (decision,) = watch.decisions(further)
    assert (decision["status"], decision["payable"]) == ("approved", 60_000)
    assert (watch.is_told(), len(watch.pulls())) == (0, 2)


def test_the_same_event_many_times_is_one_claim(watch: Watch) -> None:
    number = watch.visit()
    token = watch.event("again and again")
    for turn in range(10):
        assert watch.posts(token).status_code == 202
        if turn % 3 == 0:
            watch.works()
    watch.works()
    assert (watch.kept(), len(watch.pulls()), len(watch.claims_of(number))) == (["again and again"], 2, 1)


def test_events_that_came_together_need_one_pull(watch: Watch) -> None:
    numbers = [watch.visit(), watch.visit()]
    for event_id in ("one", "two", "three"):
        assert watch.posts(watch.event(event_id)).status_code == 202
    watch.works()
    watch.works()
    _, further = watch.pulls()
    assert (further.state, further.claim is not None) == ("closed", True)
    assert [len(watch.claims_of(number)) for number in numbers] == [1, 1]


def test_another_event_about_the_same_bill_closes_without_a_claim(watch: Watch) -> None:
    """The cycle is not over and nothing has arrived: the broker refuses, and that ends nothing."""
    number = watch.visit()
    for event_id in ("one", "two", "three"):
        assert watch.posts(watch.event(event_id)).status_code == 202
        watch.works()
    first, *further = watch.pulls()
    assert [case.state for case in (first, *further)] == ["closed"] * 4
    assert [case.claim is not None for case in further] == [True, False, False]
    assert [case.refusal for case in further] == [None] * 3
    assert len(watch.claims_of(number)) == 1
    watch.works()
    assert (len(watch.pulls()), watch.insurer.case(watch.case_id).state) == (4, "standing")


def test_a_pull_after_the_cycle_that_finds_nothing_new_decides_nothing(watch: Watch) -> None:
    watch.waits(days=8)
    assert watch.posts(watch.event("a week later")).status_code == 202
    watch.works()
    later = watch.pulls()[1]
    assert later.claim is not None
    assert (later.state, later.claim["lines"], later.decision_id) == ("closed", [], None)
    assert watch.decisions(later) == []


def test_a_correction_is_paid_the_difference_and_the_person_is_told_so(watch: Watch) -> None:
    day = (date(2026, 11, 23) + timedelta(days=next(DAYS))).isoformat()
    changes = {**on(day), "issue_date": day}
    for covered in (80_000, 90_000):
        watch.arrives("N-corrected", covered, changes)
        assert watch.is_told() == 1
        watch.works()
    paid, difference = watch.claims_of("N-corrected")
    assert (paid["payable"], paid["already_paid"]) == (60_000, 0)
    assert (difference["payable"], difference["already_paid"]) == (10_000, 60_000)
    (decision,) = watch.decisions(watch.pulls()[2])
    (first,) = watch.decisions(watch.pulls()[1])
    assert decision["payable"] == 10_000
    for language in ("ko", "en"):
        assert "60,000" in decision["explanation"][language]
        assert "60,000" not in first["explanation"][language]


# Tokens and keys that are over, a broker that is away, deaths.


def test_a_token_of_an_older_version_of_the_consent_is_refreshed(watch: Watch) -> None:
    number, refused = watch.visit(), count()
    watch.is_told()
    watch.insurer.wire.tap = lambda path, answer: (
        Answer(401, {}, b'{"code": "consent_superseded"}') if path == PULL and next(refused) == 0 else answer
    )
    watch.works()
    assert (watch.pulls()[1].state, len(watch.claims_of(number))) == ("closed", 1)


@pytest.mark.parametrize("rubbish", [{}, {"nonce": 1}, {"nonce": "*"}, {"records": 2**60}])
def test_a_payload_that_is_damaged_is_not_claimed_and_asked_for_again(
    watch: Watch, rubbish: dict[str, object]
) -> None:
    number = watch.visit()
    watch.is_told()
    watch.insurer.wire.tap = lambda path, answer: (
        answer if path != PULL else _changed(answer, **rubbish) if rubbish else Answer(200, {}, b"{}")
    )
    for _ in range(3):
        watch.works()
        watch.waits(minutes=1)
    case = watch.pulls()[1]
    assert (case.state, case.records, watch.claims_of(number)) == ("granted", {}, [])
    watch.insurer.wire.tap = lambda _, answer: answer
    watch.works()
    assert (watch.pulls()[1].state, len(watch.claims_of(number))) == ("closed", 1)


def test_a_stale_access_token_is_refreshed(watch: Watch) -> None:
    before = watch.insurer.case(watch.case_id)
    number = watch.visit()
    watch.waits(hours=2)
    assert watch.is_told() == 1
    watch.works()
    assert len(watch.claims_of(number)) == 1
    after = watch.insurer.case(watch.case_id)
    assert after.access_token != before.access_token
    assert (after.state, after.refresh_token) == ("standing", before.refresh_token)


def test_a_case_without_a_refresh_token_ends_with_its_access_token(
    broker: BrokerInPlace, tmp_path: Path
) -> None:
    insurer = set_up(broker, tmp_path)
    case_id, came = insurer.agreed()

    def away(path: str, answer: Answer) -> Answer:
        if path == PULL:
            raise UnreachableError("127.0.0.1")
        return _changed(answer, refresh_token=None) if path == "/token" else answer

    insurer.wire.tap = away
    insurer.comes_back(came)
    assert insurer.case(case_id).state == "granted"
    insurer.wire.tap = lambda _, answer: answer
    broker.clock.advance(timedelta(hours=2))
    insurer.desk.work()
    assert (insurer.case(case_id).state, insurer.case(case_id).refusal) == ("refused", "token_expired")


def test_a_key_that_answers_no_more_is_replaced(watch: Watch) -> None:
    """The answer of a pull is lost, and the insurer is down for longer than the broker repeats it."""
    number = watch.visit()
    watch.is_told()
    watch.insurer.wire.tap = _lost(PULL)
    watch.works()
    watch.insurer.wire.tap = lambda _, answer: answer
    lost = watch.pulls()[1]
    assert (lost.state, lost.key_number) == ("granted", 1)
    watch.waits(hours=25)
    watch.works()
    case = watch.pulls()[1]
    assert (case.state, case.key_number, case.delivery_key == lost.delivery_key) == ("closed", 2, False)
    assert len(watch.claims_of(number)) == 1


def test_keys_are_not_replaced_for_ever(watch: Watch) -> None:
    watch.visit()
    watch.is_told()
    watch.insurer.wire.tap = lambda path, answer: (
        Answer(403, {}, b'{"code": "outside_window"}') if path == PULL else answer
    )
    asked = watch.insurer.wire.asked.count(PULL)
    watch.works()
    case = watch.pulls()[1]
    assert (case.state, case.refusal, case.key_number) == ("refused", "outside_window", 10)
    assert watch.insurer.wire.asked.count(PULL) == asked + 10


@pytest.mark.parametrize("lost_at", [PULL, "/decision", "/ack", "/token"])
@pytest.mark.parametrize(
    "how",
    [
        "not heard",
        *(
            pytest.param(how, marks=pytest.mark.slow)
            for how in ("not asked", "overloaded", "rubbish", "empty")
        ),
    ],
)
def test_a_broker_that_is_away_is_asked_again(watch: Watch, lost_at: str, how: str) -> None:
    number = watch.visit()
    watch.waits(hours=2)  # the access token is stale: the token endpoint is one of the steps
    watch.is_told()
    passes = watch.insurer.wire.request

    def away(method: str, url: str, **more: Any) -> Answer:  # noqa: ANN401 - as they came
        if not url.endswith(lost_at):
            return passes(method, url, **more)
        if how == "not heard":
            passes(method, url, **more)
        if how == "overloaded":
            return Answer(503, {}, b"")
        if how == "rubbish":
            return Answer(200, {}, b"<html>Sign in to this network")
        if how == "empty":
            return Answer(200, {}, b"{}" if lost_at != "/ack" else b"[]")
        raise UnreachableError("127.0.0.1")

    watch.insurer.wire.request = away  # type: ignore[method-assign]  # the wire is cut here, and mended below
    for _ in range(3):
        watch.works()
        watch.waits(seconds=30)
    assert watch.pulls()[1].state in {"granted", "filed", "decided"}
    watch.insurer.wire.request = passes  # type: ignore[method-assign]
    watch.works()
    assert (watch.pulls()[1].state, len(watch.claims_of(number))) == ("closed", 1)
    assert len(watch.decisions(watch.pulls()[1])) == 1


def test_a_case_that_is_held_up_waits_longer_each_time(watch: Watch) -> None:
    watch.visit()
    watch.is_told()
    asked = watch.insurer.wire.asked.count
    watch.insurer.wire.tap = lambda path, answer: Answer(503, {}, b"") if path == PULL else answer
    before = asked(PULL)
    for _ in range(600):
        watch.works()
        watch.waits(seconds=1)
    assert 5 < asked(PULL) - before < 15
    watch.insurer.wire.tap = lambda _, answer: answer
    watch.waits(minutes=10)
    watch.works()
    assert watch.pulls()[1].state == "closed"


def test_another_case_does_not_wait_with_one_that_is_held_up(watch: Watch) -> None:
    watch.visit()
    watch.is_told()
    watch.insurer.wire.tap = lambda path, answer: Answer(503, {}, b"") if path == PULL else answer
    watch.works()
    watch.insurer.wire.tap = lambda _, answer: answer
    assert watch.posts(watch.event("the next one")).status_code == 202
    watch.works()
    assert [case.state for case in watch.pulls()] == ["closed", "granted", "closed"]


@pytest.mark.parametrize(
    ("dies", "state", "refusal"),
    # A code is good once (RFC 6749 section 4.1.2): if the broker had it, the person has to begin again.
    [("before the code was sent", "standing", None), ("afterwards", "refused", "invalid_grant")],
)
def test_after_a_death_while_redeeming_the_browser_may_try_again(
    broker: BrokerInPlace, tmp_path: Path, dies: str, state: str, refusal: str | None
) -> None:
    insurer, before = set_up(broker, tmp_path), grants(broker)
    case_id, came = insurer.agreed(access="periodic")
    (grant_id,) = grants(broker) - before
    passes = insurer.wire.request

    def dying(method: str, url: str, **more: Any) -> Answer:  # noqa: ANN401 - as they came
        if dies == "afterwards":
            passes(method, url, **more)
        raise KeyboardInterrupt

    insurer.wire.request = dying  # type: ignore[method-assign]  # the process ends here
    with pytest.raises(KeyboardInterrupt):
        insurer.desk.come_back(came["state"], came["iss"], browser=None, code=came["code"])
    insurer.wire.request = passes  # type: ignore[method-assign]
    insurer.comes_back(came)
    assert insurer.case(case_id).state == "redeeming"  # nobody knows yet that the other is dead
    insurer.store.recover()
    assert insurer.case(case_id).state == "asked"
    insurer.comes_back(came)
    case = insurer.case(case_id)
    Watch(broker, insurer, case_id, grant_id).person("withdraw")
    assert (case.state, case.refusal) == (state, refusal)


def test_the_clerk_goes_on_after_a_fault_of_the_database(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    number, stop = watch.visit(), Event()
    watch.is_told()
    connection = sqlite3.connect(watch.insurer.configuration.store, isolation_level=None)
    connection.execute("ALTER TABLE event RENAME TO away")
    clerk = Thread(target=_work, args=(stop, watch.insurer.inbox, watch.insurer.desk))
    clerk.start()
    try:
        assert eventually(lambda: "clerk waits: SQLITE_ERROR" in caplog.text)
        connection.execute("ALTER TABLE away RENAME TO event")
        assert eventually(lambda: len(watch.pulls()) == 2 and watch.pulls()[1].state == "closed")
    finally:
        stop.set()
        clerk.join(PATIENCE)
        connection.close()
    assert not clerk.is_alive()
    assert len(watch.claims_of(number)) == 1


def test_it_runs_as_a_process_and_ends_when_told(broker: BrokerInPlace, tmp_path: Path) -> None:
    folder = broker.demo.insurer_config.parent
    told = orjson.loads(broker.demo.insurer_config.read_bytes())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    told |= {"port": port, "store": str(tmp_path / "insurer.db")}
    told |= {name: str(folder / told[name]) for name in ("private_jwks", "proof_jwks")}
    (tmp_path / "config.json").write_bytes(orjson.dumps(told))
    dead = Store(InsurerDatabase(tmp_path / "insurer.db"))
    dead.open_case("died", "state", "verifier")
    assert dead.begin_redeeming("died")
    module = "connectors.services.indemnity.recipient"
    arguments = [sys.executable, "-m", module, str(tmp_path / "config.json")]
    with subprocess.Popen(arguments) as process:
        try:
            assert eventually(lambda: _page_of(port))
            case = dead.case("died")
            assert case is not None
            assert case.state == "asked"
            # There is no broker at its address: an event may come again.
            answer = httpx.post(
                f"http://127.0.0.1:{port}/events",
                content=b"e30.e30.e30",
                headers={"Content-Type": MEDIA_TYPE},
            )
            assert answer.status_code == 503
        finally:
            process.terminate()
        process.wait(PATIENCE)
    assert process.returncode in {0, -signal.SIGTERM}


# What the person does meanwhile.


def test_withdrawal_ends_it_and_takes_nothing_back(watch: Watch) -> None:
    kept, first = watch.visit(), watch.pulls()[0]
    watch.is_told()
    watch.works()
    watch.visit()
    watch.is_told()
    watch.person("withdraw")
    watch.works()
    closed, claimed, refused = watch.pulls()
    assert (closed, claimed.state, len(watch.claims_of(kept))) == (first, "closed", 1)
    assert (refused.state, refused.claim, refused.records) == ("refused", None, {})
    assert refused.refusal in {"consent_withdrawn", "token_revoked", "invalid_grant"}
    asked = list(watch.insurer.wire.asked)
    watch.waits(days=1)
    watch.works()
    assert watch.insurer.wire.asked == asked


def test_a_pause_between_event_and_pull_loses_nothing(watch: Watch) -> None:
    number = watch.visit()
    watch.is_told()
    watch.person("pause")
    for _ in range(5):
        watch.works()
        watch.waits(hours=5)
    assert (watch.pulls()[1].state, watch.claims_of(number)) == ("granted", [])
    watch.person("resume")
    watch.works()
    assert (watch.pulls()[1].state, len(watch.claims_of(number))) == ("closed", 1)


# A person looks at it.


def test_a_claim_in_review_is_answered_by_staff(watch: Watch) -> None:
    number = watch.visit(patient_class="uninsured")
    watch.is_told()
    watch.works()
    case = watch.pulls()[1]
    assert case.claim is not None
    assert (case.state, case.review, case.claim["status"]) == ("closed", "waiting", "review")
    answer = {"status": "approved", "payable": 12_000, "explanation": SAID}
    assert watch.answers(case.case_id, answer).json() == {"answered": True}
    first, second = watch.decisions(case)
    assert (first["status"], first["payable"]) == ("review", 0)
    assert (second["status"], second["payable"], second["explanation"]) == ("approved", 12_000, SAID)
    assert second["reference"] == first["reference"] == case.claim_no
    after = watch.insurer.case(case.case_id)
    assert (after.review, after.decision_id != case.decision_id) == ("sent", True)
    again = watch.answers(case.case_id, answer | {"payable": 13_000})
    assert (again.status_code, again.json()) == (409, {"code": "nothing_to_review"})
    # What a person has decided, the rules do not decide again.
    watch.arrives(number, 99_000, {**_days_of(number), "patient_class": "national_health"})
    watch.is_told()
    watch.works()
    reopened = watch.pulls()[2]
    assert reopened.claim is not None
    assert [reason["rule_id"] for reason in reopened.claim["reasons"]] == ["review.reopened_care"]
    assert reopened.claim["payable"] == 0


def test_staff_answer_without_the_token_or_without_a_decision(watch: Watch) -> None:
    for patient_class in ("uninsured", "national_health"):
        watch.visit(patient_class=patient_class)
        watch.is_told()
        watch.works()
    _, case, without_review = watch.pulls()
    good = {"status": "approved", "payable": 1, "explanation": SAID}
    for authorization in ("Bearer wrong", "Basic x", watch.insurer.configuration.staff_token):
        refused = watch.answers(case.case_id, good, Authorization=authorization)
        assert (refused.status_code, refused.json()) == (401, {"code": "staff_only"})
    wrong: list[object] = [
        None,
        [],
        {},
        good | {"status": "review"},
        good | {"status": "received"},
        good | {"status": ["approved"]},
        good | {"payable": True},
        good | {"payable": "1"},
        good | {"payable": 1.5},
        good | {"payable": -1},
        good | {"explanation": "paid"},
        good | {"explanation": {"ko": "지급"}},
        good | {"explanation": SAID | {"en": ""}},
        good | {"explanation": SAID | {"fr": "payé"}},
        good | {"lines": []},
        _without(good, "explanation"),
    ]
    for body in wrong:
        refused = watch.answers(case.case_id, body)
        assert (refused.status_code, refused.json()) == (422, {"code": "no_decision"}), body
    raw = watch.insurer.http.post(
        f"/staff/cases/{case.case_id}/review", content=b"{", headers=watch.insurer.staff
    )
    assert raw.status_code == 422
    for case_id in ("nobody's", watch.case_id, without_review.case_id):
        assert watch.answers(case_id, good).status_code == 409
    assert watch.insurer.case(case.case_id) == case
    assert len(watch.decisions(case)) == 1


@pytest.mark.parametrize("how", ["unreachable", "overloaded"])
def test_an_answer_of_staff_waits_for_a_broker_that_is_away(watch: Watch, how: str) -> None:
    watch.visit(patient_class="uninsured")
    watch.is_told()
    watch.works()
    case = watch.pulls()[1]

    def away(path: str, answer: Answer) -> Answer:
        if not path.endswith("/decision"):
            return answer
        if how == "unreachable":
            raise UnreachableError("127.0.0.1")
        return Answer(503, {}, b"")

    watch.insurer.wire.tap = away
    answer = {"status": "rejected", "payable": 0, "explanation": SAID}
    assert watch.answers(case.case_id, answer).status_code == 200
    assert watch.insurer.case(case.case_id).review == "answered"
    # The person asks for a review at this moment: a person has just made one.
    assert watch.posts(_review_of(watch, case)).status_code == 202
    watch.works()
    assert watch.insurer.case(case.case_id).review == "answered"
    watch.insurer.wire.tap = lambda _, passed: passed
    watch.waits(minutes=1)
    watch.works()
    assert watch.insurer.case(case.case_id).review == "sent"
    assert [one["status"] for one in watch.decisions(case)] == ["review", "rejected"]


def test_an_answer_that_the_broker_refuses_goes_back_to_staff(watch: Watch) -> None:
    watch.visit(patient_class="uninsured")
    watch.is_told()
    watch.works()
    case = watch.pulls()[1]
    long = {"status": "approved", "payable": 1, "explanation": SAID | {"en": "x" * 1001}}
    assert watch.answers(case.case_id, long).status_code == 200
    refused = watch.insurer.case(case.case_id)
    assert (refused.state, refused.review, refused.decision_id) == ("closed", "waiting", case.decision_id)
    assert refused.refusal
    shown = watch.insurer.http.get(f"/staff/cases/{case.case_id}", headers=watch.insurer.staff).json()
    assert (shown["review"], shown["refusal"]) == ("waiting", refused.refusal)
    assert watch.answers(case.case_id, long | {"explanation": SAID}).status_code == 200
    assert (watch.insurer.case(case.case_id).review, watch.insurer.case(case.case_id).refusal) == (
        "sent",
        None,
    )
    assert len(watch.decisions(case)) == 2


def test_an_acknowledgement_that_is_refused_keeps_no_answer_back(watch: Watch) -> None:
    watch.insurer.wire.tap = lambda path, answer: (
        Answer(403, {}, b'{"code": "no"}') if path.endswith("/ack") else answer
    )
    watch.visit(patient_class="uninsured")
    watch.is_told()
    watch.works()
    case = watch.pulls()[1]
    assert (case.state, case.review) == ("decided", "waiting")
    answer = {"status": "approved", "payable": 5_000, "explanation": SAID}
    assert watch.answers(case.case_id, answer).status_code == 200
    assert watch.insurer.case(case.case_id).review == "sent"
    watch.insurer.wire.tap = lambda _, passed: passed
    watch.waits(minutes=1)
    watch.works()
    assert watch.insurer.case(case.case_id).state == "closed"


def test_a_person_who_asks_for_a_review_gets_one(watch: Watch) -> None:
    watch.visit()
    watch.is_told()
    watch.works()
    case = watch.pulls()[1]
    assert (case.state, case.review, case.decision_id is not None) == ("closed", None, True)
    installation = watch.broker.installation
    with transaction(installation.data) as work:
        subject_id = work.session.get_one(Consent, watch.grant_id).subject_id
        ask_for_review(work, installation.keyring, case.decision_id or "", subject_id, watch.broker.clock())
    assert watch.is_told() == 1
    for _ in range(2):
        watch.works()
        assert watch.insurer.case(case.case_id).review == "waiting"
    answer = {"status": "approved", "payable": 61_000, "explanation": SAID}
    assert watch.answers(case.case_id, answer).status_code == 200
    assert [one["payable"] for one in watch.decisions(case)] == [60_000, 61_000]
    with installation.data.read() as session:
        asked = session.exec(select(Duty).where(Duty.kind == DutyKind.ASK_REVIEW)).all()
    assert {duty.done_at is not None for duty in asked} == {True}


def grants(broker: BrokerInPlace) -> set[str]:
    """Every consent that was ever given."""
    with broker.installation.data.read() as session:
        return set(session.exec(select(Consent.grant_id).where(col(Consent.given_at).is_not(None))))


def eventually(happens: Callable[[], object]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not happens():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _page_of(port: int) -> bool:
    try:
        return 'action="/cases"' in httpx.get(f"http://127.0.0.1:{port}/").text
    except httpx.TransportError:
        return False


def _review_of(watch: Watch, case: Case) -> str:
    return watch.event(
        f"review {case.case_id}",
        REVIEW_REQUESTED,
        delivery_id=case.delivery_id or "",
        decision_id=case.decision_id or "",
    )


def _days_of(number: str) -> dict[str, object]:
    day = number.removeprefix("N-")
    return {**on(day), "issue_date": day}


def _signed(watch: Watch, claims: Mapping[str, Any], typ: str = "secevent+jwt") -> str:
    """Whatever claims, with the broker's own key."""
    (key, *_) = watch.broker.installation.keyring.service_keys("oauth")
    return sign_jwt(claims, key.private_pem, kid=key.kid, typ=typ, alg=key.kind)


def _lost(path: str) -> Any:  # noqa: ANN401 - a tap
    """The broker answers, and nobody hears it."""

    def tap(asked: str, answer: Answer) -> Answer:
        if asked == path:
            raise UnreachableError("127.0.0.1")
        return answer

    return tap


def _changed(answer: Answer, **members: object) -> Answer:
    return Answer(answer.status, answer.headers, orjson.dumps(orjson.loads(answer.body) | members))


def _without(whole: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in whole.items() if key != name}


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
