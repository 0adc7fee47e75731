"""Subjects that a client adds to its stream, or removes from it (OpenID SSF 1.0 section 8.1.3)."""

from collections.abc import Mapping
from typing import Any

import pytest

from broker.signals import subjects
from tests.signals.receiver import REVOKED, Receiver

ISSUER = "http://127.0.0.1:8000"
BROKEN: list[Any] = [
    None,
    "someone",
    [],
    {},
    {"format": 7},
    {"format": "nickname", "nickname": "x"},
    {"format": "email"},
    {"format": "email", "email": ""},
    {"format": "email", "email": 7},
    {"format": "iss_sub", "iss": ISSUER},
    {"format": "aliases", "identifiers": "x"},
    {"format": "complex"},
    {"format": "complex", "user": "someone"},
    {"format": "complex", "user": {"format": "complex", "user": {"format": "opaque", "id": "x"}}},
    {"format": "opaque", "id": "x"} | {f"member-{number}": "x" for number in range(20)},
]
NOBODY_OF_OURS: list[dict[str, Any]] = [
    {"format": "email", "email": "person@example.com"},
    {"format": "phone_number", "phone_number": "+821012345678"},
    {"format": "opaque", "id": "x"},
    {"format": "aliases", "identifiers": [{"format": "email", "email": "person@example.com"}]},
    {"format": "iss_sub", "iss": "https://another.example", "sub": "a" * 43},
    {"format": "iss_sub", "iss": ISSUER, "sub": "too-short"},
    {"format": "complex", "device": {"format": "opaque", "id": "x"}},
    {"format": "complex", "application": {"format": "opaque", "id": "another-client"}},
]


def ask(receiver: Receiver, how: str, stream_id: str, subject: object, **others: object) -> int:
    body = {"stream_id": stream_id, "subject": subject} | others
    return receiver.call("POST", f"/ssf/subjects/{how}", body).status_code


def told(receiver: Receiver, stream_id: str) -> bool:
    """Whether the end of a fresh consent of the person is told."""
    receiver.withdraw(str(receiver.world.tokens()["grant_id"]))
    events = receiver.polled(stream_id)
    receiver.poll(stream_id, ack=[event["jti"] for event in events], maxEvents=0)
    return bool(events)


def person(receiver: Receiver, stream_id: str) -> dict[str, Any]:
    """The subject of an event, as the receiver was told it."""
    receiver.withdraw(str(receiver.world.tokens()["grant_id"]))
    (event,) = receiver.polled(stream_id)
    receiver.poll(stream_id, ack=[event["jti"]], maxEvents=0)
    found: dict[str, Any] = event["sub_id"]
    return found


@pytest.mark.parametrize("how", ["add", "remove"])
def test_what_is_no_subject_is_refused(small_receiver: Receiver, how: str) -> None:
    stream_id = small_receiver.polling()
    for broken in BROKEN:
        assert ask(small_receiver, how, stream_id, broken) == 400, broken
    assert small_receiver.call("POST", f"/ssf/subjects/{how}", {"stream_id": stream_id}).status_code == 400
    fine = {"format": "opaque", "id": "x"}
    assert ask(small_receiver, how, stream_id, fine, verified="yes") == 400
    assert ask(small_receiver, how, stream_id, fine, more=1) == 400


def test_the_answer_does_not_tell_who_is_known(small_receiver: Receiver) -> None:
    stream_id = small_receiver.polling(events_requested=[REVOKED])
    known = person(small_receiver, stream_id)["user"]
    for subject in (known, *NOBODY_OF_OURS):
        assert ask(small_receiver, "add", stream_id, subject, verified=False) == 200, subject
        assert ask(small_receiver, "remove", stream_id, subject) == 204, subject
    assert not told(small_receiver, stream_id)


def test_removing_somebody_else_changes_nothing(small_receiver: Receiver) -> None:
    stream_id = small_receiver.polling(events_requested=[REVOKED])
    for subject in NOBODY_OF_OURS:
        ask(small_receiver, "remove", stream_id, subject)
    another = {"format": "iss_sub", "iss": ISSUER, "sub": "a" * 43}
    assert ask(small_receiver, "remove", stream_id, another) == 204
    assert told(small_receiver, stream_id)


def test_what_is_kept_of_subjects_has_a_limit(
    small_receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subjects, "_MOST_SUBJECTS", 2)
    stream_id = small_receiver.polling()
    answers = [
        ask(small_receiver, "remove", stream_id, {"format": "iss_sub", "iss": ISSUER, "sub": one * 43})
        for one in "aabbc"
    ]
    assert answers == [204, 204, 204, 204, 429]


def test_transmitter_add_and_remove_subject(receiver: Receiver) -> None:
    stream_id = receiver.polling(events_requested=[REVOKED])
    subject = person(receiver, stream_id)
    named: Mapping[str, object]
    for named in (subject, subject["user"], {"format": "complex", "user": subject["user"]}):
        assert ask(receiver, "remove", stream_id, named) == 204
        assert not told(receiver, stream_id)
        assert ask(receiver, "add", stream_id, named) == 200
        assert told(receiver, stream_id)


def test_everybody_can_be_removed_and_one_added(receiver: Receiver) -> None:
    stream_id = receiver.polling(events_requested=[REVOKED])
    subject = person(receiver, stream_id)
    everybody = {"format": "complex", "application": subject["application"]}
    assert ask(receiver, "remove", stream_id, everybody) == 204
    assert not told(receiver, stream_id)
    ask(receiver, "add", stream_id, subject["user"])
    assert told(receiver, stream_id)
    ask(receiver, "remove", stream_id, everybody)
    assert not told(receiver, stream_id)
    ask(receiver, "add", stream_id, everybody)
    assert told(receiver, stream_id)
