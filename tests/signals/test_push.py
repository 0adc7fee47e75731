"""Pushing to a stream (RFC 8935): what counts as taken, what is tried again, and what is kept."""

import json
from datetime import timedelta
from threading import Event, Thread

import pytest

from broker.db import transaction
from broker.jobs.worker import work_until
from consent.outbox import replay
from tests.connectors.sources.double import Reply
from tests.signals.receiver import PAUSED, PUSH, RESUMED, REVOKED, VERIFICATION, Receiver, types_of
from tests.signals.test_verification import verify


def given(receiver: Receiver) -> str:
    return str(receiver.world.tokens()["grant_id"])


def test_an_address_on_this_machine_is_not_called_in_production(strict_receiver: Receiver) -> None:
    """Not even through a name that was registered when it looked well."""
    receiver = strict_receiver
    url = receiver.double.url.replace("http://127.0.0.1", "https://localhost")
    answer = receiver.create(delivery={"method": PUSH, "endpoint_url": url})
    assert answer.status_code == 201
    verify(receiver, answer.json()["stream_id"])
    assert receiver.tell() == 0
    assert (receiver.double.tokens, receiver.duties()[0].fault) == ([], "address_not_public")


def test_of_several_verifications_one_is_tried_until_the_receiver_listens(receiver: Receiver) -> None:
    """Whoever is slow, or away, costs all others one try, however many times it asks for an event."""
    stream_id = receiver.pushing()
    receiver.will(503)
    for _ in range(5):
        verify(receiver, stream_id)
    assert (receiver.tell(), len(receiver.double.tokens)) == (0, 1)
    assert sorted(duty.fault or "" for duty in receiver.duties()) == ["answered_503", *["held_back"] * 4]
    receiver.will(202)
    receiver.world.clock.advance(timedelta(seconds=2))
    assert receiver.tell() == 5


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (200, b"", "answered_200"),  # some page, and no receiver
        (204, b"", "answered_204"),
        (302, b"", "answer_redirects_or_is_encoded"),
        (400, b'{"err":"invalid_issuer","description":"a name"}', "answered_400_invalid_issuer"),
        (400, b'{"err":"<script>"}', "answered_400"),
        (400, b'{"err":["invalid_key"]}', "answered_400"),
        (400, b"not json", "answered_400"),
        (400, b'"invalid_key"', "answered_400"),
        (400, b"[" * 900, "answered_400"),
        (500, b'{"err":"invalid_key"}', "answered_500"),
    ],
)
def test_only_202_is_an_acknowledgement(
    small_receiver: Receiver, status: int, body: bytes, fault: str
) -> None:
    stream_id = small_receiver.pushing()
    small_receiver.double.will(*small_receiver.replies(status, body))
    verify(small_receiver, stream_id)
    assert small_receiver.tell() == 0
    (duty,) = small_receiver.duties()
    assert (duty.fault, duty.done_at, duty.attempts) == (fault, None, 1)


def test_what_is_not_taken_comes_later_with_the_same_jti_and_is_given_up_in_the_end(
    receiver: Receiver,
) -> None:
    receiver.pushing(events_requested=[REVOKED])
    receiver.will(503)
    receiver.withdraw(given(receiver))
    assert receiver.tell() == 0
    assert receiver.tell() == 0
    assert len(receiver.double.tokens) == 1  # not before its time
    receiver.world.clock.advance(timedelta(seconds=2))
    receiver.tell()
    first, second = receiver.pushed()
    assert first["jti"] == second["jti"]
    receiver.world.clock.advance(timedelta(days=14))
    receiver.tell()
    (dead,) = [duty for duty in receiver.duties() if duty.done_at is None]
    assert (dead.dead_at, dead.fault) == (receiver.world.clock(), "answered_503")
    assert receiver.recorded("recipient.unreachable") == 1
    receiver.will(202)
    assert receiver.tell() == 0
    with transaction(receiver.installation.data) as work:
        assert replay(work.session, dead.duty_id, receiver.world.clock()) == 1
    assert receiver.tell() == 1
    assert receiver.recorded("recipient.told") == 1


def test_the_worker_tells_it(small_receiver: Receiver) -> None:
    stream_id = small_receiver.pushing(events_requested=[REVOKED])
    arrived, stop = Event(), Event()
    small_receiver.double.will(Reply(202, before=lambda _: arrived.set()))
    worker = Thread(target=work_until, args=(stop, small_receiver.installation), daemon=True)
    worker.start()
    try:
        verify(small_receiver, stream_id)
        assert arrived.wait(60)
    finally:
        stop.set()
        worker.join(60)
    assert types_of(small_receiver.pushed()) == [VERIFICATION]
    assert small_receiver.duties()[0].done_at is not None


def test_a_paused_stream_keeps_what_happens_and_tells_it_in_order(receiver: Receiver) -> None:
    stream_id = receiver.pushing(events_requested=[REVOKED])
    receiver.set_status(stream_id, "paused")
    grants = []
    for _ in range(3):
        grants.append(given(receiver))
        receiver.withdraw(grants[-1])
        receiver.tell()
        receiver.world.clock.advance(timedelta(days=10))
    verify(receiver, stream_id)
    assert (receiver.tell(), receiver.pushed()) == (0, [])
    receiver.set_status(stream_id, "enabled")
    assert receiver.tell() == 4
    assert types_of(receiver.pushed()) == [REVOKED] * 3 + [VERIFICATION]
    told = [event["events"].get(REVOKED, {}).get("grant_id") for event in receiver.pushed()]
    assert told[:3] == grants


def test_a_disabled_stream_keeps_nothing(receiver: Receiver) -> None:
    stream_id = receiver.pushing()
    receiver.set_status(stream_id, "disabled")
    receiver.withdraw(given(receiver))
    assert receiver.tell() == 0
    receiver.set_status(stream_id, "enabled")
    assert (receiver.tell(), receiver.pushed()) == (0, [])
    assert all(duty.done_at is not None for duty in receiver.duties())


def test_only_what_was_asked_for_is_told(receiver: Receiver) -> None:
    receiver.pushing(events_requested=[PAUSED, RESUMED])
    grant_id = given(receiver)
    receiver.pause(grant_id)
    receiver.tell()
    receiver.resume(grant_id)
    receiver.tell()
    receiver.withdraw(grant_id)
    receiver.tell()
    assert types_of(receiver.pushed()) == [PAUSED, RESUMED]


def test_a_client_with_a_stream_is_told_on_it_only(small_receiver: Receiver) -> None:
    """Without one it is told at its `events_endpoint`, which it has none of here."""
    stream_id = small_receiver.pushing(events_requested=[REVOKED])
    small_receiver.withdraw(given(small_receiver))
    assert small_receiver.tell() == 1
    small_receiver.call("DELETE", f"/ssf/stream?stream_id={stream_id}")
    small_receiver.withdraw(given(small_receiver))
    assert small_receiver.tell() == 0
    assert types_of(small_receiver.pushed()) == [REVOKED]


def test_the_header_of_a_receiver_is_in_no_log(
    small_receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    delivery = {
        "method": PUSH,
        "endpoint_url": small_receiver.double.url,
        "authorization_header": "Bearer of-the-receiver",
    }
    stream_id = small_receiver.create(delivery=delivery).json()["stream_id"]
    small_receiver.will(500)
    verify(small_receiver, stream_id)
    small_receiver.tell()
    assert small_receiver.headers[0]["authorization"] == "Bearer of-the-receiver"
    written = json.dumps([str(record.__dict__) for record in caplog.records])
    assert "event not taken" in written
    assert "of-the-receiver" not in written
