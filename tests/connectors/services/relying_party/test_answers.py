"""Signed answers: whatever is not wholly the broker's word to this recipient in this delivery is refused."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from connectors.errors import UnreachableError
from connectors.http import Answer, OutboundClient
from connectors.services.relying_party.answers import AnswerNotSignedError, Answers
from connectors.services.relying_party.broker_client import Delivered
from connectors.services.relying_party.broker_keys import BrokerKeys, KeysAwayError
from vault.jose import generate_private_jwk, public_jwk, sign_with_jwk

ISSUER = "https://broker.example"
WORK = "employment.history"
PURPOSE = "lending.credit"
COUNTED = {
    "sub": "who they are to us",
    "holders": ["nhis"],
    "data_period": {"from": "2025-11-26", "to": "2026-11-26"},
}
NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
KEY = generate_private_jwk("ES256")
SAID = {
    "predicate": {"name": "employed_now"},
    "answer": True,
    "as_of": "2026-11-26",
    "rule": "employed_now@1",
    "padding": "0000",
}


class Broker(OutboundClient):
    """Publishes a key set, if it is not away."""

    def __init__(self) -> None:
        super().__init__()
        self.published: bytes | None = orjson.dumps({"keys": [public_jwk(KEY)]})
        self.asked = 0

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        del method, headers, body
        self.asked += 1
        assert url == f"{ISSUER}/jwks"
        if self.published is None:
            raise UnreachableError("broker.example")
        return Answer(200, {}, self.published)


def signed(claims: Mapping[str, Any], key: dict[str, Any] = KEY, **header: Any) -> str:  # noqa: ANN401 - a JSON value
    head = {"alg": "ES256", "typ": "mydata-answer+jwt", "kid": KEY["kid"], **header}
    return sign_with_jwk(dict(claims), key, head)


def claims_with(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - a JSON value
    bearings = {"iss": ISSUER, "recipient": "nuri-bank", "grant_id": "g", "delivery_id": "d"}
    return {**SAID, **bearings, **COUNTED, "record_type": WORK, "purpose": PURPOSE, **changes}


def delivered(*entries: Mapping[str, Any]) -> Delivered:
    return Delivered("d", "g", "digest", {WORK: [dict(one) for one in entries]})


def entry(signature: object, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - a JSON value
    return {
        "record_id": "r",
        "version": 1,
        "holder": ISSUER,
        "data": {**SAID, "signature": signature, **changes},
    }


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def answers(broker: Broker) -> Answers:
    return Answers(ISSUER, "nuri-bank", BrokerKeys(ISSUER, broker))


STRANGER = generate_private_jwk("ES256")
FORGED: dict[str, Callable[[], dict[str, Any]]] = {
    "no signature": lambda: entry(None),
    "no JWS": lambda: entry("e30.e30.e30"),
    "another key": lambda: entry(signed(claims_with(), STRANGER)),
    "another key of ours": lambda: entry(signed(claims_with(), STRANGER, kid="other")),
    "another type": lambda: entry(signed(claims_with(), typ="JWT")),
    "another answer": lambda: entry(signed(claims_with(answer=False))),
    "one for true": lambda: entry(signed(claims_with()), answer=1),
    "another rule": lambda: entry(signed(claims_with()), rule="employed_now@2"),
    "another day": lambda: entry(signed(claims_with(as_of="2020-01-01"))),
    "another question": lambda: entry(signed(claims_with()), predicate={"name": "retired"}),
    "more than was signed": lambda: entry(signed(claims_with()), surprise=1),
    "less than was signed": lambda: entry(signed(claims_with(surprise=1))),
    "another issuer": lambda: entry(signed(claims_with(iss="https://mix-up.example"))),
    "another recipient": lambda: entry(signed(claims_with(recipient="other-bank"))),
    "another consent": lambda: entry(signed(claims_with(grant_id="h"))),
    "another delivery": lambda: entry(signed(claims_with(delivery_id="e"))),
    "another purpose": lambda: entry(signed(claims_with(purpose="lending.marketing"))),
    "nobody's": lambda: entry(signed(claims_with(sub=None))),
    "of no holder": lambda: entry(signed(claims_with(holders=[]))),
    "over no days": lambda: entry(signed(claims_with(data_period=None))),
    "another record type": lambda: entry(signed(claims_with(record_type="income.certificate"))),
}


@pytest.mark.parametrize("how", FORGED)
def test_what_is_not_the_brokers_word_to_us_is_refused(answers: Answers, how: str) -> None:
    with pytest.raises(AnswerNotSignedError):
        answers.of(delivered(FORGED[how]()), WORK, PURPOSE, NOW)


def test_two_answers_are_none(answers: Answers) -> None:
    good = entry(signed(claims_with()))
    with pytest.raises(AnswerNotSignedError):
        answers.of(delivered(good, good), WORK, PURPOSE, NOW)


def test_the_brokers_answer_is_taken_with_its_question(answers: Answers) -> None:
    found = answers.of(delivered(entry(signed(claims_with()))), WORK, PURPOSE, NOW)
    assert found is not None
    assert (found.answer, found.asked, found.rule) == (True, None, "employed_now@1")
    assert found.counted == COUNTED
    said = {"predicate": {"name": "income_at_least", "value": 30_000_000}, "answer": None}
    found = answers.of(delivered(entry(signed(claims_with(**said)), **said)), WORK, PURPOSE, NOW)
    assert found is not None
    assert (found.answer, found.asked) == (None, 30_000_000)


def test_what_the_person_left_off_is_nothing(answers: Answers) -> None:
    assert answers.of(Delivered("d", "g", "digest", {}), WORK, PURPOSE, NOW) is None
    assert answers.of(delivered(), WORK, PURPOSE, NOW) is None


def test_keys_that_are_away_refuse_nothing(answers: Answers, broker: Broker) -> None:
    good, key_set = delivered(entry(signed(claims_with()))), broker.published
    for broken in (None, b"not json", b"[]", b'{"keys": [1]}', b'{"keys": []}'):
        broker.published = broken
        fresh = Answers(ISSUER, "nuri-bank", BrokerKeys(ISSUER, broker))
        with pytest.raises(KeysAwayError):
            fresh.of(good, WORK, PURPOSE, NOW)
    broker.published = key_set
    assert answers.of(good, WORK, PURPOSE, NOW) is not None


def test_a_key_that_nobody_knows_is_looked_for_now_and_then_only(answers: Answers, broker: Broker) -> None:
    forged = delivered(entry(signed(claims_with(), STRANGER, kid="unknown")))
    for seconds, asked in ((0, 1), (9, 1), (10, 2)):
        with pytest.raises(AnswerNotSignedError):
            answers.of(forged, WORK, PURPOSE, NOW + timedelta(seconds=seconds))
        assert broker.asked == asked
