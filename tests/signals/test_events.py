"""What a stream is told, and when: each event with its change, or not at all."""

import base64
import hashlib
from collections.abc import Iterator
from datetime import timedelta

import pytest

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.expiry import end_overdue
from broker.signals import poll, streams
from broker.signals.streams import DeliveryMethod, Stream, Wishes
from consent import lifecycle
from consent.disclosure import instant
from consent.models import Consent
from consent.vocabulary import ObligationState, StateReason, VersionKind
from tests.consent.changes import agreed, narrow_down, periodic, propose, sign
from tests.consent.keeping import Keeper
from tests.consent.office import CLIENT
from tests.installation import Clock
from tests.jobs.breaking import damaged_key
from tests.jobs.test_telling import Post, opened
from tests.signals.receiver import (
    EXPIRED,
    PAUSED,
    RECORD,
    REPLACED,
    RESUMED,
    REVOKED,
    TOKEN_REVOKED,
    Receiver,
    event_in,
    types_of,
)
from vault.jose import public_jwks, verify_jwt

DUE = "urn:mydata:event:obligation-due"


class MistakeError(Exception):
    """What undoes a transaction."""


def withdraw_in_vain(receiver: Receiver, grant_id: str) -> None:
    installation, world = receiver.installation, receiver.world
    with transaction(installation.data) as work:
        lifecycle.withdraw(work, installation.keyring, grant_id, world.subject_id, world.clock())
        raise MistakeError


def hash_of(token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def post(installation: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    """A client with an `events_endpoint` and a standing consent, which makes a stream in each test."""
    yield from opened(installation, clock, monkeypatch)


def streaming(post: Post, *asked: str, method: DeliveryMethod = DeliveryMethod.PUSH) -> Stream:
    url = post.double.url if method is DeliveryMethod.PUSH else None
    wishes = Wishes(method, url, events_requested=asked or None)
    with post.office.work() as work:
        return streams.create(work.session, post.office.keyring, CLIENT, wishes, post.office.clock())


def test_what_is_rolled_back_is_not_told(receiver: Receiver) -> None:
    stream_id = receiver.polling()
    grant_id = str(receiver.world.tokens()["grant_id"])
    with pytest.raises(MistakeError):
        withdraw_in_vain(receiver, grant_id)
    assert receiver.duties() == []
    assert receiver.poll(stream_id) == {"sets": {}}


def test_a_request_that_nobody_signed_is_not_told_of(small_receiver: Receiver) -> None:
    stream_id = small_receiver.polling()
    pushed = small_receiver.insurer.push()
    small_receiver.world.interaction_of(pushed)
    assert small_receiver.poll(stream_id) == {"sets": {}}


def test_a_withdrawal_tells_of_the_consent_and_of_its_refresh_token(receiver: Receiver) -> None:
    receiver.pushing()
    tokens, clock = receiver.world.tokens(), receiver.world.clock
    clock.advance(timedelta(minutes=5))
    happened_at = int(clock().timestamp())
    receiver.withdraw(tokens["grant_id"])
    clock.advance(timedelta(seconds=3))
    assert receiver.tell() == 2
    ended, token = receiver.pushed()
    assert (types_of([ended, token])) == [REVOKED, TOKEN_REVOKED]
    user = ended["sub_id"]["user"]
    introspected = receiver.insurer.introspect(receiver.world.tokens()["access_token"]).json()
    assert ended == {
        "iss": "http://127.0.0.1:8000",
        "aud": "insurer-claims",
        "iat": happened_at + 3,
        "jti": ended["jti"],
        "txn": ended["txn"],
        "sub_id": {
            "format": "complex",
            "user": {"format": "iss_sub", "iss": "http://127.0.0.1:8000", "sub": introspected["sub"]},
            "application": {"format": "opaque", "id": "insurer-claims"},
        },
        "events": {
            REVOKED: {
                "grant_id": tokens["grant_id"],
                "state": "WITHDRAWN",
                "event_timestamp": happened_at,
                "initiating_entity": "user",
            }
        },
    }
    assert (token["txn"], token["sub_id"]["user"]) == (ended["txn"], user)
    assert event_in(token) == {
        "grant_id": tokens["grant_id"],
        "event_timestamp": happened_at,
        "subject": {
            "subject_type": "oauth_token",
            "token_type": "refresh_token",
            "token_identifier_alg": "hash_base64url_sha256",
            "token": hash_of(tokens["refresh_token"]),
        },
        "reason": "user",
    }
    assert receiver.tell() == 0


def test_a_token_that_is_given_back_is_told_of_once(receiver: Receiver) -> None:
    stream_id = receiver.polling()
    tokens = receiver.world.tokens()
    receiver.insurer.revoke(tokens["access_token"])
    assert receiver.poll(stream_id) == {"sets": {}}
    receiver.insurer.revoke(tokens["refresh_token"])
    (event,) = receiver.polled(stream_id)
    assert event_in(event)["subject"]["token"] == hash_of(tokens["refresh_token"])
    assert event_in(event)["reason"] == "api"
    receiver.poll(stream_id, ack=[event["jti"]], maxEvents=0)
    receiver.withdraw(tokens["grant_id"])
    assert types_of(receiver.polled(stream_id)) == [REVOKED]


def test_an_end_by_somebody_else_and_an_end_by_itself_are_told_apart(receiver: Receiver) -> None:
    stream_id = receiver.polling(events_requested=[REVOKED, EXPIRED, TOKEN_REVOKED])
    installation, clock = receiver.installation, receiver.world.clock
    first, second = (receiver.world.tokens() for _ in range(2))
    with transaction(installation.data) as work:
        lifecycle.revoke(work, installation.keyring, first["grant_id"], StateReason.SECURITY, clock())
    told = {next(iter(event["events"])): event_in(event) for event in receiver.settled(stream_id)}
    assert (told[REVOKED]["initiating_entity"], told[TOKEN_REVOKED]["reason"]) == ("admin", "issuer")
    with installation.data.read() as session:
        clock.now = session.get_one(Consent, second["grant_id"]).valid_until
    end_overdue(installation, clock())
    (event,) = receiver.settled(stream_id)  # its tokens have ended by themselves
    assert types_of([event]) == [EXPIRED]
    assert (event_in(event)["state"], event_in(event)["initiating_entity"]) == ("EXPIRED", "system")


def test_a_pause_is_told_with_no_more_than_its_recipient_may_know(receiver: Receiver) -> None:
    stream_id = receiver.polling()
    grant_id = str(receiver.world.tokens()["grant_id"])
    receiver.pause(grant_id)
    (paused,) = receiver.settled(stream_id)
    receiver.resume(grant_id)
    (resumed,) = receiver.settled(stream_id)
    assert (types_of([paused]), event_in(paused)["initiating_entity"]) == ([PAUSED], "user")
    assert (types_of([resumed]), "initiating_entity" in event_in(resumed)) == ([RESUMED], False)
    told = set()
    for reason in (StateReason.INACTIVITY, StateReason.RECONSENT):
        with transaction(receiver.installation.data) as work:
            consent = lifecycle.lock(work, grant_id)
            lifecycle.pause_locked(
                work, receiver.installation.keyring, consent, reason, receiver.world.clock()
            )
        (event,) = receiver.settled(stream_id)
        told.add(event_in(event)["initiating_entity"])
    assert told == {"policy"}  # which of the two it was stays the person's


def test_a_replacement_ends_the_tokens_of_before_and_a_narrowing_does_not(receiver: Receiver) -> None:
    """What a version is like is the domain's; which tokens it ends is asked of the tokens themselves."""
    stream_id = receiver.polling()
    narrowed, replaced = (receiver.world.tokens() for _ in range(2))
    for tokens, kind in ((narrowed, VersionKind.NARROWING), (replaced, VersionKind.AMENDMENT)):
        receiver.supersede(tokens["grant_id"], kind)
    events = receiver.settled(stream_id)
    assert sorted(types_of(events)) == sorted([REPLACED, REPLACED, TOKEN_REVOKED])
    (token,) = [event for event in events if TOKEN_REVOKED in event["events"]]
    assert event_in(token)["subject"]["token"] == hash_of(replaced["refresh_token"])
    assert {event_in(event).get("version") for event in events} == {2, None}


def test_a_change_that_a_person_signs_is_told(post: Post) -> None:
    streaming(post, REPLACED)
    grant_id = agreed(post.office).grant_id
    narrow_down(post.office, grant_id)
    assert post.tell() == 1
    sign(post.office, propose(post.office, grant_id, periodic({"access.max_pulls": 9})))
    assert post.tell() == 1
    told = [event_in(event) for event in post.events()]
    assert [(one["version"], one["initiating_entity"]) for one in told] == [(2, "user"), (3, "user")]


def test_a_client_without_a_stream_is_told_what_it_was_told_before(post: Post) -> None:
    grant_id = agreed(post.office).grant_id
    narrow_down(post.office, grant_id)
    assert post.tell() == 0
    post.office.withdraw(grant_id)
    assert post.tell() == 1
    (event,) = post.events()
    assert (list(event["events"]), event["sub_id"]) == (
        ["urn:mydata:event:consent-ended"],
        {"format": "opaque", "id": grant_id},
    )
    assert "txn" not in event


def test_a_record_that_arrives_is_told_once_a_pull_would_be_allowed(post: Post) -> None:
    stream = streaming(post, RECORD, method=DeliveryMethod.POLL)
    office = post.office
    office.pause(post.grant_id)
    post.arrives("B-1")
    asked = poll.Poll()
    assert poll.answer(post.installation, stream, asked, office.clock()).sets == {}
    office.resume(post.grant_id)
    found = poll.answer(post.installation, stream, asked, office.clock())
    assert len(found.sets) == 1
    again = poll.answer(post.installation, stream, poll.Poll(acknowledged=tuple(found.sets)), office.clock())
    assert again.sets == {}
    assert post.told() == ["recipient.told"]


def test_what_must_be_deleted_is_told_and_its_acknowledgement_counts(post: Post) -> None:
    stream = streaming(post, REVOKED, DUE, method=DeliveryMethod.POLL)
    keeper = Keeper(post.office)
    post.office.withdraw(post.grant_id)
    keeper.deliver(post.grant_id)  # committed at the very moment of the end
    with damaged_key(post.installation, post.office.subject_id):
        # What is due cannot be put on record: nothing is told of it, and nothing is lost.
        assert poll.answer(post.installation, stream, poll.Poll(), post.office.clock()).sets == {}
    post.office.clock.advance(timedelta(seconds=2))
    found = poll.answer(post.installation, stream, poll.Poll(), post.office.clock())
    keys = public_jwks(post.installation.keyring.service_keys("oauth"))
    (event,) = [
        verify_jwt(token, keys, algorithms=["ES256"], typ="secevent+jwt")[1] for token in found.sets.values()
    ]
    due = keeper.view(post.grant_id)
    members = event["events"][REVOKED]
    assert members["obligation_id"] == due.obligation_id
    assert (members["retention_action"], members["cause"]) == ("delete", "withdrawn")
    assert members["delete_by"] == instant(due.due_at)
    assert "due_at" not in members
    assert due.state is ObligationState.PENDING
    poll.answer(post.installation, stream, poll.Poll(acknowledged=tuple(found.sets)), post.office.clock())
    assert keeper.view(post.grant_id).state is ObligationState.NOTIFIED
