"""Verification of a stream, by push and by poll (OpenID SSF 1.0 section 8.1.4)."""

from datetime import timedelta

from sqlmodel import select

from broker.db import transaction
from broker.signals.models import StreamNotice
from consent.outbox import replay
from tests.signals.receiver import VERIFICATION, Receiver, event_in, types_of

STATE = "VGhpcyBpcyBhbiBleGFtcGxlIHN0YXRlIHZhbHVlLgo="


def verify(receiver: Receiver, stream_id: str, **members: object) -> int:
    return receiver.call("POST", "/ssf/verify", {"stream_id": stream_id} | members).status_code


def test_what_cannot_be_echoed_is_refused(small_receiver: Receiver) -> None:
    stream_id = small_receiver.polling()
    for members in ({"state": 1}, {"state": ""}, {"state": "x" * 501}, {"more": "x"}):
        assert verify(small_receiver, stream_id, **members) == 400, members
    assert small_receiver.poll(stream_id) == {"sets": {}}


def test_too_many_at_once_are_refused_until_some_were_told(small_receiver: Receiver) -> None:
    stream_id = small_receiver.polling()
    assert [verify(small_receiver, stream_id) for _ in range(11)] == [204] * 10 + [429]
    told = list(small_receiver.poll(stream_id, maxEvents=1)["sets"])
    small_receiver.poll(stream_id, ack=told, maxEvents=0)
    assert verify(small_receiver, stream_id) == 204


def test_what_verifies_another_stream_is_not_told_on_this_one(small_receiver: Receiver) -> None:
    verify(small_receiver, small_receiver.polling(), state=STATE)
    gone = small_receiver.call("GET", "/ssf/stream").json()[0]["stream_id"]
    small_receiver.call("DELETE", f"/ssf/stream?stream_id={gone}")
    assert small_receiver.poll(small_receiver.polling()) == {"sets": {}}


def test_transmitter_verification_push(receiver: Receiver) -> None:
    stream_id = receiver.pushing()
    receiver.call(
        "PATCH",
        "/ssf/stream",
        {
            "stream_id": stream_id,
            "delivery": {
                "method": "urn:ietf:rfc:8935",
                "endpoint_url": receiver.double.url,
                "authorization_header": "Bearer of-the-receiver",
            },
        },
    )
    assert verify(receiver, stream_id, state=STATE) == 204
    assert receiver.pushed() == []  # by a duty, not while the client waits
    assert receiver.tell() == 1
    (claims,) = receiver.pushed()
    assert claims == {
        "iss": "http://127.0.0.1:8000",
        "aud": "insurer-claims",
        "iat": int(receiver.world.clock().timestamp()),
        "jti": receiver.duties()[0].duty_id,
        "txn": receiver.duties()[0].duty_id,
        "sub_id": {"format": "opaque", "id": stream_id},
        "events": {VERIFICATION: {"state": STATE}},
    }
    (headers,) = receiver.headers
    assert headers["authorization"] == "Bearer of-the-receiver"
    assert headers["content-type"] == "application/secevent+jwt"
    assert headers["accept"] == "application/json"
    assert receiver.tell() == 0


def test_transmitter_verification_push_no_auth_header(receiver: Receiver) -> None:
    verify(receiver, receiver.pushing())
    assert receiver.tell() == 1
    assert event_in(receiver.pushed()[0]) == {}
    assert "authorization" not in receiver.headers[0]


def test_transmitter_verification_poll_only(receiver: Receiver) -> None:
    stream_id = receiver.polling()
    verify(receiver, stream_id, state=STATE)
    (first,) = receiver.polled(stream_id)
    (again,) = receiver.polled(stream_id)
    assert first == again
    assert event_in(first) == {"state": STATE}


def test_transmitter_verification_poll_and_ack(receiver: Receiver) -> None:
    stream_id = receiver.polling()
    verify(receiver, stream_id, state="one")
    (first,) = receiver.polled(stream_id)
    verify(receiver, stream_id, state="two")
    (second,) = receiver.polled(stream_id, ack=[first["jti"]])
    assert event_in(second) == {"state": "two"}
    assert receiver.polled(stream_id, ack=[second["jti"]]) == []


def test_transmitter_verification_ack_only(receiver: Receiver) -> None:
    stream_id = receiver.polling()
    verify(receiver, stream_id)
    (claims,) = receiver.polled(stream_id)
    assert receiver.poll(stream_id, ack=[claims["jti"]], maxEvents=0) == {"sets": {}}
    assert receiver.poll(stream_id) == {"sets": {}}


def test_one_that_nobody_took_can_be_tried_again(small_receiver: Receiver) -> None:
    stream_id = small_receiver.pushing()
    small_receiver.will(503)
    verify(small_receiver, stream_id, state=STATE)
    small_receiver.tell()
    small_receiver.world.clock.advance(timedelta(days=15))
    small_receiver.tell()
    (dead,) = small_receiver.duties()
    assert (dead.dead_at, dead.fault) == (small_receiver.world.clock(), "answered_503")
    small_receiver.will(202)
    with transaction(small_receiver.installation.data) as work:
        assert replay(work.session, dead.duty_id, small_receiver.world.clock()) == 1
    assert small_receiver.tell() == 1
    assert types_of(small_receiver.pushed()) == [VERIFICATION] * 3


def test_one_that_was_dropped_does_not_count_for_ever(receiver: Receiver) -> None:
    """A stream that is disabled is told nothing: what was asked for meanwhile is gone, with its state."""
    stream_id = receiver.pushing()
    receiver.set_status(stream_id, "disabled")
    assert [verify(receiver, stream_id, state=STATE) for _ in range(10)] == [204] * 10
    assert receiver.tell() == 0
    assert receiver.set_status(stream_id, "enabled").status_code == 200
    assert verify(receiver, stream_id) == 204
    assert receiver.tell() == 1
    with receiver.installation.data.read() as session:
        assert session.exec(select(StreamNotice)).all() == []
