"""A client that gives up the scope `ssf` (RFC 7592 section 2.2) has no event stream from then on."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from broker.db import transaction
from broker.oauth.invitations import NewInvitation, invite
from broker.oauth.models import Client
from broker.signals.models import EventStream
from tests.oauth.registering import Newcomer, credentials_of, path_of
from tests.oauth.world import PURPOSE, Recipient
from tests.signals.receiver import Receiver

SCOPE = "records.read deliveries ssf"
LESS = "records.read deliveries"


def registered(receiver: Receiver) -> tuple[Newcomer, dict[str, Any], Recipient]:
    """Software of the insurer's that has registered itself, and its registration."""
    members = {"organisation_id": "insurer", "scope": SCOPE, "purposes": (PURPOSE,)}
    with transaction(receiver.installation.data) as work:
        issued = invite(work.session, NewInvitation.model_validate(members), receiver.world.clock())
    newcomer = Newcomer(receiver.world)
    told = newcomer.register(issued.raw_token).json()
    return newcomer, told, newcomer.recipient(told["client_id"])


def change(newcomer: Newcomer, told: dict[str, Any], scope: str) -> int:
    body = newcomer.metadata(client_id=told["client_id"], scope=scope)
    answer = newcomer.world.http.put(path_of(told), json=body, headers=credentials_of(told))
    return int(answer.status_code)


def streams(receiver: Receiver) -> set[str]:
    """The clients that have one."""
    with receiver.installation.data.read() as session:
        return set(session.exec(select(EventStream.client_id)))


def test_its_stream_and_all_that_waits_on_it_end_at_once(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    newcomer, told, client = registered(receiver)
    client_id = told["client_id"]
    receiver.will(202)
    delivery = {"method": "urn:ietf:rfc:8935", "endpoint_url": receiver.double.url}
    stream_id = receiver.create(client, delivery=delivery).json()["stream_id"]
    receiver.polling()  # of another client of the same organisation
    raw_token = receiver.token(client)
    asked = {"stream_id": stream_id, "state": "waits"}
    assert receiver.call("POST", "/ssf/verify", asked, recipient=client).status_code == 204
    with caplog.at_level(logging.INFO):
        assert change(newcomer, told, LESS) == 200
    assert streams(receiver) == {receiver.insurer.client_id}
    (line,) = [record for record in caplog.records if record.getMessage() == "stream removed"]
    assert line.__dict__["client_id"] == client_id
    assert (receiver.tell(), receiver.double.tokens) == (0, [])
    answer = receiver.call("GET", f"/ssf/stream?stream_id={stream_id}", recipient=client, token=raw_token)
    assert answer.status_code == 401
    assert change(newcomer, told, SCOPE) == 200, "it may have the scope again, and makes a stream anew"
    assert receiver.create(client, delivery=delivery).status_code == 201


def test_a_change_that_keeps_the_scope_keeps_the_stream(
    small_receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    newcomer, told, client = registered(small_receiver)
    assert small_receiver.create(client, delivery={"method": "urn:ietf:rfc:8936"}).status_code == 201
    with caplog.at_level(logging.INFO):
        assert change(newcomer, told, "records.read ssf") == 200
    assert streams(small_receiver) == {told["client_id"]}
    assert "stream removed" not in caplog.messages


def test_who_gives_up_the_scope_without_a_stream_loses_none(
    small_receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    newcomer, told, _ = registered(small_receiver)
    small_receiver.polling()
    with caplog.at_level(logging.INFO):
        assert change(newcomer, told, LESS) == 200
    assert streams(small_receiver) == {small_receiver.insurer.client_id}
    assert "stream removed" not in caplog.messages


def test_a_stream_that_the_change_did_not_see_is_not_told_on(small_receiver: Receiver) -> None:
    """It was made by a token of before while the change was under way."""
    stream_id = small_receiver.pushing()
    assert small_receiver.call("POST", "/ssf/verify", {"stream_id": stream_id}).status_code == 204
    assert small_receiver.tell() == 1, "while it has the scope, it is told"
    small_receiver.world.clock.advance(timedelta(minutes=5))
    assert small_receiver.call("POST", "/ssf/verify", {"stream_id": stream_id}).status_code == 204
    with transaction(small_receiver.installation.data) as work:
        row = work.session.get_one(Client, small_receiver.insurer.client_id)
        row.scope = row.scope.replace("ssf.read", "").replace("ssf", "").strip()
    assert small_receiver.tell() == 0
    assert len(small_receiver.pushed()) == 1
