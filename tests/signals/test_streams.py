"""Stream management (OpenID SSF 1.0 sections 8.1.1 and 8.1.2), named after the certification's modules."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlmodel import select

from broker.signals.models import EventStream
from tests.signals.receiver import POLL, PUSH, REVOKED, TOKEN_REVOKED, Receiver

ENDPOINT = "https://receiver.example/events"
CALLS = [
    ("POST", "/ssf/stream", {}),
    ("GET", "/ssf/stream?stream_id=x", None),
    ("PATCH", "/ssf/stream", {"stream_id": "x"}),
    ("PUT", "/ssf/stream", {"stream_id": "x"}),
    ("DELETE", "/ssf/stream?stream_id=x", None),
    ("GET", "/ssf/status?stream_id=x", None),
    ("POST", "/ssf/status", {"stream_id": "x", "status": "paused"}),
    ("POST", "/ssf/subjects/add", {"stream_id": "x", "subject": {"format": "opaque", "id": "y"}}),
    ("POST", "/ssf/subjects/remove", {"stream_id": "x", "subject": {"format": "opaque", "id": "y"}}),
    ("POST", "/ssf/verify", {"stream_id": "x"}),
    ("POST", "/ssf/poll/x", {}),
]
BROKEN: list[dict[str, Any]] = [
    {"delivery": "push"},
    {"delivery": {}},
    {"delivery": {"method": "urn:ietf:rfc:9999"}},
    {"delivery": {"method": ["urn:ietf:rfc:8935"]}},
    {"delivery": {"method": PUSH}},
    {"delivery": {"method": PUSH, "endpoint_url": ""}},
    {"delivery": {"method": PUSH, "endpoint_url": 7}},
    {"delivery": {"method": PUSH, "endpoint_url": "receiver"}},
    {"delivery": {"method": PUSH, "endpoint_url": f"{ENDPOINT}#part"}},
    {"delivery": {"method": PUSH, "endpoint_url": f"https://{'a' * 2000}.example/"}},
    {"delivery": {"method": PUSH, "endpoint_url": ENDPOINT, "more": 1}},
    {"delivery": {"method": PUSH, "endpoint_url": ENDPOINT, "authorization_header": "a\r\nHost: b"}},
    {"delivery": {"method": PUSH, "endpoint_url": ENDPOINT, "authorization_header": "비밀"}},
    {"delivery": {"method": POLL, "endpoint_url": "https://receiver.example/poll"}},
    {"delivery": {"method": POLL, "authorization_header": "Bearer x"}},
    {"events_requested": REVOKED},
    {"events_requested": None},
    {"events_requested": [1]},
    {"events_requested": [""]},
    {"events_requested": [REVOKED] * 101},
    {"description": 1},
    {"description": "a" * 501},
    {"description": "a\0b"},
    {"iss": "https://another.example"},
    {"aud": "another-client"},
    {"surprise": True},
]


def test_stream_configuration_create_broken_input(small_receiver: Receiver) -> None:
    token = small_receiver.token()
    answers = [(broken, small_receiver.call("POST", "/ssf/stream", broken, token=token)) for broken in BROKEN]
    assert [broken for broken, answer in answers if answer.status_code != 400] == []
    assert {answer.headers["Content-Type"] for _, answer in answers} == {"application/problem+json"}
    assert small_receiver.call("GET", "/ssf/stream").json() == []


UNREADABLE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"description":"a","description":"b"}',
    b"\xff",
    b"[" * 10_000,
    b'{"a":NaN}',
]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_body_that_cannot_be_parsed(small_receiver: Receiver, method: str) -> None:
    token = small_receiver.token()
    for raw in UNREADABLE:
        answer = small_receiver.call(method, "/ssf/stream", raw=raw, token=token)
        assert answer.status_code == 400, raw


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_stream_configuration_update_and_replace_broken_input(small_receiver: Receiver, method: str) -> None:
    stream_id = small_receiver.polling(description="as it was")
    before = small_receiver.call("GET", "/ssf/stream").json()
    token = small_receiver.token()
    for broken in [*BROKEN, {"events_delivered": [REVOKED]}, {"events_supported": []}]:
        named = {"stream_id": stream_id} | broken
        answer = small_receiver.call(method, "/ssf/stream", named, token=token)
        assert answer.status_code == 400, broken
    assert small_receiver.call("GET", "/ssf/stream").json() == before


def test_a_change_must_name_its_stream(small_receiver: Receiver) -> None:
    small_receiver.polling()
    for method in ("PUT", "PATCH"):
        for named in ({}, {"stream_id": 7}, {"stream_id": ""}, {"stream_id": None}):
            assert small_receiver.call(method, "/ssf/stream", named).status_code == 400, (method, named)


def test_a_status_that_there_is_not(small_receiver: Receiver) -> None:
    stream_id = small_receiver.polling()
    for body in ({}, {"status": "gone"}, {"status": 1}, {"status": "paused", "more": 1}):
        answer = small_receiver.call("POST", "/ssf/status", {"stream_id": stream_id} | body)
        assert answer.status_code == 400, body


def test_a_query_must_name_the_stream(small_receiver: Receiver) -> None:
    for method, path in (("DELETE", "/ssf/stream"), ("GET", "/ssf/status")):
        assert small_receiver.call(method, path).status_code == 400


def test_an_address_that_is_not_public_cannot_be_registered(strict_receiver: Receiver) -> None:
    for url in ("https://10.0.0.1/e", "https://127.0.0.1/e", "https://169.254.169.254/e", "https://[::1]/e"):
        answer = strict_receiver.create(delivery={"method": PUSH, "endpoint_url": url})
        assert answer.status_code == 400, url
        assert answer.json()["errors"] == [{"path": "delivery.endpoint_url", "rule": "address_not_public"}]


def test_an_address_that_is_not_called_cannot_be_registered(strict_receiver: Receiver) -> None:
    for url in ("http://receiver.example/e", "http://127.0.0.1:9/e", "https://u:p@receiver.example/e", "a:b"):
        answer = strict_receiver.create(delivery={"method": PUSH, "endpoint_url": url})
        assert answer.status_code == 400, url


def test_stream_configuration_invalid_token(small_receiver: Receiver) -> None:
    for method, path, body in CALLS:
        answer = small_receiver.call(method, path, body, token="mda_of-nobody")
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token"), (method, path)
        assert answer.headers["WWW-Authenticate"].startswith("DPoP")
        assert small_receiver.world.http.request(method, path, json=body).status_code == 401
        assert small_receiver.world.http.request(method, path, content=b"{").status_code == 401


def test_a_token_without_the_scope_opens_nothing(small_receiver: Receiver) -> None:
    token = small_receiver.token(scope="deliveries")
    for method, path, body in CALLS:
        answer = small_receiver.call(method, path, body, token=token)
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope"), (method, path)


def test_a_token_of_a_person_is_not_the_clients_own(small_receiver: Receiver) -> None:
    token = small_receiver.world.tokens()["access_token"]
    assert small_receiver.call("GET", "/ssf/stream", token=token).status_code == 401


def test_stream_configuration_unknown_stream(receiver: Receiver) -> None:
    for method, path, body in CALLS[1:]:
        answer = receiver.call(method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_stream"), (method, path)


def test_another_clients_stream_is_as_unknown(small_receiver: Receiver) -> None:
    stream_id, stranger = small_receiver.polling(), small_receiver.world.stranger
    for method, path, body in CALLS[1:]:
        named = body and {**body, **({"stream_id": stream_id} if "stream_id" in body else {})}
        where = path.replace("=x", f"={stream_id}").replace("/x", f"/{stream_id}")
        answer = small_receiver.call(method, where, named, recipient=stranger)
        unknown = small_receiver.call(method, path, body, recipient=stranger)
        assert (answer.status_code, answer.json()["code"]) == (404, unknown.json()["code"]), (method, path)
    assert small_receiver.call("GET", f"/ssf/status?stream_id={stream_id}").json()["status"] == "enabled"


def test_stream_configuration_create_duplicate(receiver: Receiver) -> None:
    stream_id = receiver.polling()
    again = receiver.create(delivery={"method": POLL})
    assert (again.status_code, again.json()["code"]) == (409, "stream_exists")
    assert [one["stream_id"] for one in receiver.call("GET", "/ssf/stream").json()] == [stream_id]
    assert receiver.create(receiver.world.stranger).status_code == 201


def test_of_many_at_once_one_makes_the_stream(receiver: Receiver) -> None:
    token = receiver.token()
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda _: receiver.call("POST", "/ssf/stream", {}, token=token), range(16))
        )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 15


def test_the_secret_of_a_push_is_nowhere_in_the_database(small_receiver: Receiver) -> None:
    secret = "Bearer a-secret-of-the-receiver"
    delivery = {"method": PUSH, "endpoint_url": ENDPOINT, "authorization_header": secret}
    assert small_receiver.create(delivery=delivery).json()["delivery"] == delivery
    with small_receiver.installation.data.read() as session:
        row = session.exec(select(EventStream)).one()
    assert secret not in str(row)
    assert secret.encode() not in (row.authorization_sealed or b"")
    assert row.authorization_sealed


def test_stream_configuration_create_poll_by_default(receiver: Receiver) -> None:
    answer = receiver.create()
    made = answer.json()
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    assert made == {
        "stream_id": made["stream_id"],
        "iss": "http://127.0.0.1:8000",
        "aud": "insurer-claims",
        "delivery": {"method": POLL, "endpoint_url": f"http://127.0.0.1:8000/ssf/poll/{made['stream_id']}"},
        "events_supported": made["events_supported"],
        "events_delivered": made["events_supported"],
    }
    assert {TOKEN_REVOKED, REVOKED} <= set(made["events_supported"])


def test_only_what_there_is_is_delivered_of_what_is_asked_for(small_receiver: Receiver) -> None:
    made = small_receiver.create(events_requested=["urn:of:nobody", REVOKED]).json()
    assert made["events_requested"] == ["urn:of:nobody", REVOKED]
    assert made["events_delivered"] == [REVOKED]


def test_stream_configuration_read(receiver: Receiver) -> None:
    assert receiver.call("GET", "/ssf/stream").json() == []
    made = receiver.create(description="claims").json()
    assert receiver.call("GET", f"/ssf/stream?stream_id={made['stream_id']}").json() == made
    assert receiver.call("GET", "/ssf/stream").json() == [made]


def test_stream_configuration_update_changes_what_is_named(receiver: Receiver) -> None:
    delivery = {"method": PUSH, "endpoint_url": ENDPOINT, "authorization_header": "Bearer x"}
    made = receiver.create(delivery=delivery, description="claims", events_requested=[REVOKED]).json()
    changed = receiver.call("PATCH", "/ssf/stream", {"stream_id": made["stream_id"], "description": "new"})
    assert changed.status_code == 200
    assert changed.json() == made | {"description": "new"}
    assert receiver.call("GET", "/ssf/stream").json() == [changed.json()]


def test_stream_configuration_replace_takes_away_what_is_not_named(receiver: Receiver) -> None:
    delivery = {"method": PUSH, "endpoint_url": ENDPOINT, "authorization_header": "Bearer x"}
    made = receiver.create(delivery=delivery, description="claims", events_requested=[REVOKED]).json()
    asked = {"stream_id": made["stream_id"], "delivery": {"method": PUSH, "endpoint_url": f"{ENDPOINT}/2"}}
    replaced = receiver.call("PUT", "/ssf/stream", asked)
    assert replaced.status_code == 200
    assert replaced.json()["delivery"] == asked["delivery"]
    assert replaced.json()["events_delivered"] == made["events_supported"]
    assert replaced.json().keys() == made.keys() - {"description", "events_requested"}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_what_was_read_can_be_sent_back_as_it_is(receiver: Receiver, method: str) -> None:
    made = receiver.create(description="claims", events_requested=[REVOKED]).json()
    answer = receiver.call(method, "/ssf/stream", made)
    assert (answer.status_code, answer.json()) == (200, made)


def test_stream_configuration_delete(receiver: Receiver) -> None:
    stream_id = receiver.polling()
    subject = {"format": "complex", "application": {"format": "opaque", "id": "insurer-claims"}}
    receiver.call("POST", "/ssf/subjects/remove", {"stream_id": stream_id, "subject": subject})
    receiver.call("POST", "/ssf/verify", {"stream_id": stream_id})
    answer = receiver.call("DELETE", f"/ssf/stream?stream_id={stream_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert receiver.call("GET", f"/ssf/stream?stream_id={stream_id}").status_code == 404
    assert receiver.call("DELETE", f"/ssf/stream?stream_id={stream_id}").status_code == 404
    assert receiver.tell() == 0
    assert all(duty.done_at is not None for duty in receiver.duties())
    assert receiver.polling() != stream_id


def test_stream_status(receiver: Receiver) -> None:
    stream_id = receiver.polling()
    for status in ("paused", "disabled", "enabled"):
        answer = receiver.set_status(stream_id, status, reason="a test")
        told = {"stream_id": stream_id, "status": status, "reason": "a test"}
        assert (answer.status_code, answer.json()) == (200, told)
        assert receiver.call("GET", f"/ssf/status?stream_id={stream_id}").json() == told
    assert receiver.set_status(stream_id, "enabled").json() == {"stream_id": stream_id, "status": "enabled"}


def test_metadata(small_receiver: Receiver) -> None:
    answer = small_receiver.world.http.get("/.well-known/ssf-configuration")
    assert answer.status_code == 200
    described = answer.json()
    issuer = "http://127.0.0.1:8000"
    assert (described["spec_version"], described["issuer"]) == ("1_0", issuer)
    assert described["jwks_uri"] == f"{issuer}/jwks"
    assert described["delivery_methods_supported"] == [PUSH, POLL]
    assert described["authorization_schemes"] == [{"spec_urn": "urn:ietf:rfc:6749"}]
    assert described["default_subjects"] == "ALL"
    paths = {path.partition("?")[0] for _, path, _ in CALLS} - {"/ssf/poll/x"}
    named = {url.removeprefix(issuer) for name, url in described.items() if name.endswith("_endpoint")}
    assert named == paths
