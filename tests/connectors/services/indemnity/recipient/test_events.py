"""Events at the insurer's door: what nobody sent, what comes again, and keys that are away."""

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.oauth.security_event import RECORD_AVAILABLE, REVIEW_REQUESTED, SecurityEvent, sign
from connectors.errors import UnreachableError
from connectors.http import Answer
from connectors.services.relying_party.broker_keys import KeysAwayError
from tests.connectors.services.indemnity.recipient.watch import (
    Watch,
    _decoded,
    _signed,
    _without,
    grants,
)
from vault.jose import generate_private_jwk, sign_with_jwk

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
