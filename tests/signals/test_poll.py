"""Polling of security events (RFC 8936), and what is not taken."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

import broker.signals.poll
from broker.db import transaction
from consent.outbox import replay
from consent.vocabulary import VersionKind
from tests.jobs.breaking import damaged_key
from tests.oauth.world import PURPOSE
from tests.signals.receiver import PUSH, REVOKED, TOKEN_REVOKED, Receiver, types_of
from tests.signals.test_verification import verify

BROKEN: list[dict[str, Any]] = [
    {"maxEvents": -1},
    {"maxEvents": True},
    {"maxEvents": "1"},
    {"maxEvents": 1.5},
    {"returnImmediately": "yes"},
    {"ack": "one"},
    {"ack": [1]},
    {"ack": ["x"] * 1001},
    {"setErrs": []},
    {"setErrs": {"one": "wrong"}},
    {"setErrs": {"one": {"description": "wrong"}}},
    {"surprise": 1},
]


def ended(receiver: Receiver) -> str:
    """A consent that was given, and is stopped now."""
    grant_id = str(receiver.world.tokens()["grant_id"])
    receiver.withdraw(grant_id)
    return grant_id


def test_a_poll_that_is_none(small_receiver: Receiver) -> None:
    stream_id = small_receiver.polling()
    for broken in BROKEN:
        answer = small_receiver.call("POST", f"/ssf/poll/{stream_id}", broken)
        assert answer.status_code == 400, broken


def test_a_stream_that_is_pushed_is_not_polled(small_receiver: Receiver) -> None:
    stream_id = small_receiver.pushing()
    assert small_receiver.call("POST", f"/ssf/poll/{stream_id}", {}).status_code == 404


def test_what_is_not_the_clients_own_is_not_acknowledged(receiver: Receiver) -> None:
    stream_id = receiver.polling(events_requested=[REVOKED])
    ended(receiver)
    stranger = receiver.world.stranger
    foreign = receiver.create(stranger).json()["stream_id"]
    (event,) = receiver.polled(stream_id)
    body = {"ack": [event["jti"], "unknown"], "setErrs": {"unknown": {"err": "invalid_key"}}}
    answer = receiver.call("POST", f"/ssf/poll/{foreign}", body, recipient=stranger)
    assert answer.json() == {"sets": {}}
    assert receiver.polled(stream_id) == [event]


def test_what_was_never_told_cannot_be_acknowledged(small_receiver: Receiver) -> None:
    stream_id = small_receiver.polling(events_requested=[REVOKED])
    ended(small_receiver)
    (duty,) = small_receiver.duties()
    small_receiver.poll(stream_id, ack=[duty.duty_id], maxEvents=0)
    assert [event["jti"] for event in small_receiver.polled(stream_id)] == [duty.duty_id]


def test_what_a_program_of_before_owes_is_found_once_the_worker_has_seen_it(receiver: Receiver) -> None:
    """While both run: it does not know that a duty names its client."""
    stream_id = receiver.polling(events_requested=[REVOKED])
    grant_id = ended(receiver)
    with transaction(receiver.installation.data) as work:
        work.session.connection().execute(text("UPDATE duty SET client_id = NULL"))
    assert receiver.polled(stream_id) == []
    assert receiver.tell() == 0
    (event,) = receiver.polled(stream_id)
    assert event["events"][REVOKED]["grant_id"] == grant_id


def test_what_a_client_finds_wrong_is_kept_for_an_operator(receiver: Receiver) -> None:
    stream_id = receiver.polling()
    verify(receiver, stream_id)
    verify(receiver, stream_id)
    first, second = receiver.poll(stream_id)["sets"]
    errors = {first: {"err": "invalid_key", "description": "?"}, second: {"err": "<script>"}}
    assert receiver.poll(stream_id, setErrs=errors) == {"sets": {}}
    faults = {duty.duty_id: duty.fault for duty in receiver.duties() if duty.dead_at is not None}
    assert faults == {first: "receiver_error_invalid_key", second: "receiver_error_other"}
    with transaction(receiver.installation.data) as work:
        assert replay(work.session, None, receiver.world.clock()) == 2
    assert set(receiver.poll(stream_id)["sets"]) == {first, second}


def test_what_cannot_be_put_on_record_comes_again_and_does_not_stop_the_others(receiver: Receiver) -> None:
    stream_id = receiver.polling(events_requested=[REVOKED])
    ended(receiver)
    verify(receiver, stream_id)
    with damaged_key(receiver.installation, receiver.world.subject_id):
        told = receiver.polled(stream_id)
        assert len(told) == 2
        again = receiver.polled(stream_id, ack=[event["jti"] for event in told])
        assert types_of(again) == [REVOKED]
    assert receiver.polled(stream_id, ack=[event["jti"] for event in again]) == []


def test_a_client_that_does_not_poll_is_given_up(receiver: Receiver) -> None:
    stream_id = receiver.polling(events_requested=[REVOKED])
    grant_id = ended(receiver)
    receiver.tell()
    receiver.world.clock.advance(timedelta(days=14))
    receiver.tell()
    (duty,) = [one for one in receiver.duties() if one.done_at is None]
    assert (duty.target, duty.fault, duty.dead_at) == (grant_id, "not_polled", receiver.world.clock())
    assert receiver.poll(stream_id) == {"sets": {}}
    with transaction(receiver.installation.data) as work:
        replay(work.session, duty.duty_id, receiver.world.clock())
    assert types_of(receiver.polled(stream_id)) == [REVOKED]


@pytest.mark.parametrize("status", ["paused", "disabled"])
def test_nothing_is_given_out_unless_the_stream_is_enabled(small_receiver: Receiver, status: str) -> None:
    stream_id = small_receiver.polling(events_requested=[REVOKED])
    small_receiver.set_status(stream_id, status)
    ended(small_receiver)
    assert small_receiver.poll(stream_id) == {"sets": {}}
    small_receiver.tell()
    small_receiver.set_status(stream_id, "enabled")
    assert types_of(small_receiver.polled(stream_id)) == ([REVOKED] if status == "paused" else [])


def test_events_come_in_the_order_of_what_happened_and_no_more_than_asked_for(receiver: Receiver) -> None:
    stream_id = receiver.polling(events_requested=[REVOKED])
    grants = []
    for _ in range(3):
        grants.append(ended(receiver))
        receiver.world.clock.advance(timedelta(seconds=1))
    first = receiver.poll(stream_id, maxEvents=2)
    assert first["moreAvailable"] is True
    claims = [receiver.verified(token) for token in first["sets"].values()]
    assert [claim["events"][REVOKED]["grant_id"] for claim in claims] == grants[:2]
    rest = receiver.poll(stream_id, ack=list(first["sets"]), maxEvents=2)
    assert "moreAvailable" not in rest
    assert len(rest["sets"]) == 1


def test_an_acknowledgement_is_on_record(receiver: Receiver) -> None:
    stream_id = receiver.polling()
    ended(receiver)
    receiver.polled(stream_id)
    events = receiver.polled(stream_id)
    assert sorted(types_of(events)) == sorted([REVOKED, TOKEN_REVOKED])
    receiver.poll(stream_id, ack=[event["jti"] for event in events], maxEvents=0)
    assert all(duty.done_at is not None for duty in receiver.duties())
    assert receiver.recorded("recipient.told") == 2
    receiver.poll(stream_id, ack=[event["jti"] for event in events], maxEvents=0)
    assert receiver.recorded("recipient.told") == 2


def test_what_waits_goes_by_the_way_that_the_client_wants_now(receiver: Receiver) -> None:
    stream_id = receiver.polling(events_requested=[REVOKED])
    ended(receiver)
    assert receiver.tell() == 0
    receiver.will(202)
    delivery = {"method": PUSH, "endpoint_url": receiver.double.url}
    receiver.call("PATCH", "/ssf/stream", {"stream_id": stream_id, "delivery": delivery})
    assert receiver.tell() == 1
    assert types_of(receiver.pushed()) == [REVOKED]
    assert PURPOSE not in str(receiver.pushed())


def test_one_poll_looks_at_so_many_and_the_next_one_goes_on(
    small_receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the client does not want is dropped, each in a commit: not all of a backlog within one answer."""
    monkeypatch.setattr(broker.signals.poll, "_MOST_LOOKED_AT", 1)
    stream_id = small_receiver.polling(events_requested=[REVOKED])
    grant_id = str(small_receiver.world.tokens()["grant_id"])
    small_receiver.supersede(grant_id, VersionKind.NARROWING)
    small_receiver.world.clock.advance(timedelta(seconds=1))
    small_receiver.withdraw(grant_id)
    assert small_receiver.poll(stream_id, maxEvents=1) == {"sets": {}, "moreAvailable": True}
    assert types_of(small_receiver.polled(stream_id)) == [REVOKED]
