"""The transmitter plan of the OpenID Foundation's suite, lived in its order, by poll and by push.

Each function is a module of the plan (`openid-ssf-…`), by its name. What a module only warns of is held too.
"""

from collections.abc import Callable, Iterator
from typing import Final

import pytest
from httpx import Response

import broker.jobs.pushing
from broker.installation import Installation
from tests.installation import ISSUER, Clock
from tests.oauth.plain_world import served
from tests.oauth.streaming import streaming
from tests.signals.conftest import PATIENT, made
from tests.signals.receiver import POLL, PUSH
from tests.signals.transmitter_plan import (
    HEADER,
    INVALID,
    SESSION_REVOKED,
    UNKNOWN,
    Plan,
    challenges,
    states,
)

EMAIL: Final = {"format": "email", "email": "example.user@example.com"}
BROKEN: Final = b";{ broken"


@pytest.fixture(params=[POLL, PUSH], ids=["poll", "push"])
def plan(
    request: pytest.FixtureRequest, installation: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Plan]:
    monkeypatch.setattr(broker.jobs.pushing, "LIMITS", PATIENT)
    for receiver in made(served(installation, clock), clock, "demo"):
        client = streaming(receiver.installation, clock, receiver.world.http, "the-suite")
        yield Plan(receiver, client, request.param)


def transmitter_metadata(plan: Plan) -> None:
    document = plan.client.plain.http.get("/.well-known/ssf-configuration")
    assert document.headers["content-type"] == "application/json"
    found = document.json()
    assert found["issuer"] == ISSUER
    assert {"jwks_uri", "configuration_endpoint", "status_endpoint", "verification_endpoint"} <= set(found)
    assert set(found["delivery_methods_supported"]) == {PUSH, POLL}
    assert found["default_subjects"] in {"ALL", "NONE"}
    assert all(one["spec_urn"].startswith("urn:") for one in found["authorization_schemes"])
    assert [] not in found.values()
    keys = plan.client.plain.http.get(found["jwks_uri"]).json()["keys"]
    assert {key["alg"] for key in keys} <= {"ES256", "RS256"}
    assert all("d" not in key for key in keys)


def stream_control_error_read_stream_without_token(plan: Plan) -> None:
    plan.token = ""
    answer = plan.configuration("GET")
    assert (answer.status_code, challenges(answer)) == (401, ["Bearer"])


def stream_control_error_token_in_uri_query(plan: Plan) -> None:
    raw, plan.token = plan.token, ""
    answer = plan.call("GET", f"{plan.metadata['configuration_endpoint']}?access_token={raw}")
    assert answer.status_code == 400


def stream_control_error_create_stream_with_read_only_token(plan: Plan) -> None:
    plan.token = plan.client.token("ssf.read")
    answer = plan.create()
    assert (answer.status_code, challenges(answer)) == (403, ['Bearer error="insufficient_scope"'])


def stream_control_error_invalid_tokens(plan: Plan) -> None:
    """…-create-, -read-, -update-, -replace-, -delete-stream-with-invalid-token, -read-stream-status-…"""
    assert plan.create().status_code == 201
    plan.token = INVALID
    stream_id, changed = plan.stream["stream_id"], plan.wishes(**plan.named)
    for answer in (
        plan.create(),
        plan.configuration("GET", stream_id=stream_id),
        plan.configuration("PATCH", changed),
        plan.configuration("PUT", changed),
        plan.configuration("DELETE", stream_id=stream_id),
        plan.status(),
        plan.verify("a state"),
    ):
        assert is_unproven(answer)


def is_unproven(answer: Response) -> bool:
    return (answer.status_code, challenges(answer)) == (401, ['Bearer error="invalid_token"'])


def stream_control_error_unknown_streams(plan: Plan) -> None:
    """…-read-, -update-, -replace-, -delete-unknown-stream, -read-status-of-unknown-stream, verification."""
    plan.create_and_delete()
    stream_id, changed = plan.stream["stream_id"], plan.wishes(**plan.named)
    for answer in (
        plan.configuration("GET", stream_id=stream_id),
        plan.configuration("PATCH", changed),
        plan.configuration("PUT", changed),
        plan.configuration("DELETE", stream_id=stream_id),
        plan.status(),
        plan.verify("a state"),
    ):
        assert answer.status_code == 404


def stream_control_error_broken_input(plan: Plan) -> None:
    """…-create-stream-with-broken-input, -update-, -replace-…-invalid-body, stream-verification-error-…"""
    for method in ("POST", "PATCH", "PUT"):
        answer = plan.call(method, plan.metadata["configuration_endpoint"], raw=BROKEN)
        assert answer.status_code == 400
    assert plan.create().status_code == 201
    answer = plan.call("POST", plan.metadata["verification_endpoint"], raw=b'{"stream_id": ')
    assert answer.status_code == 400


def transmitter_poll_endpoint_authorization(plan: Plan) -> None:
    if plan.is_push:
        return
    assert plan.create().status_code == 201
    plan.token = ""
    bare = plan.poll()
    assert (bare.status_code, challenges(bare)) == (401, ["Bearer"])
    plan.token = INVALID
    assert is_unproven(plan.poll())


def stream_control_create_stream_without_delivery(plan: Plan) -> None:
    answer = plan.configuration("POST", {"description": "a stream", "events_requested": [SESSION_REVOKED]})
    assert answer.status_code == 201
    delivery = answer.json()["delivery"]
    assert delivery["method"] == POLL
    assert delivery["endpoint_url"].endswith(answer.json()["stream_id"])


def stream_control_error_create_stream_with_duplicate_config(plan: Plan) -> None:
    assert (plan.create().status_code, plan.create().status_code) == (201, 409)


def stream_control_happy_path(plan: Plan) -> None:
    requested = [*plan.wishes()["events_requested"], UNKNOWN]
    assert plan.create(events_requested=requested).status_code == 201
    reflects(plan, plan.stream, plan.wishes(events_requested=requested))
    assert UNKNOWN not in plan.stream["events_delivered"] + plan.stream["events_supported"]
    stream_id = plan.stream["stream_id"]
    assert plan.configuration("GET", stream_id=stream_id).json() == plan.stream
    assert plan.configuration("GET").json() == [plan.stream]

    for method, description in (("PATCH", "updated"), ("PUT", "replaced")):
        wishes = plan.wishes(description=description, **plan.named)
        changed = plan.configuration(method, wishes)
        assert changed.status_code == 200
        reflects(plan, changed.json(), wishes)
        assert plan.configuration("GET", stream_id=stream_id).json() == changed.json()
    less = plan.wishes(events_requested=[SESSION_REVOKED], **plan.named)
    del less["description"]
    reduced = plan.configuration("PUT", less)
    reflects(plan, reduced.json(), less)
    assert plan.configuration("GET", stream_id=stream_id).json() == reduced.json()

    assert plan.status().json() == {"stream_id": stream_id, "status": "enabled"}
    for status in ("enabled", "paused", "disabled"):
        answer = plan.status(status)
        assert answer.status_code == 200
        assert answer.json() == {"stream_id": stream_id, "status": status, "reason": f"now {status}"}
    assert plan.configuration("DELETE", stream_id=stream_id).status_code == 204
    assert plan.configuration("GET").json() == []


def reflects(plan: Plan, shown: dict[str, object], wishes: dict[str, object]) -> None:
    assert {"stream_id", "iss", "aud", "events_delivered", "delivery"} <= set(shown)
    assert (shown["iss"], shown["aud"]) == (ISSUER, "the-suite")
    assert shown.get("description") == wishes.get("description")
    assert shown["events_requested"] == wishes["events_requested"]
    # Nothing of ours can come to it, so nothing is named that the suite does not know either.
    assert (shown["events_supported"], shown["events_delivered"]) == ([], [])
    delivery = shown["delivery"]
    assert isinstance(delivery, dict)
    assert delivery["method"] == plan.method
    if plan.is_push:
        assert delivery == plan.delivery()
        assert delivery["authorization_header"] == HEADER
    else:
        assert delivery["endpoint_url"] == f"{ISSUER}/ssf/poll/{shown['stream_id']}"


def stream_subject_control(plan: Plan) -> None:
    assert plan.create().status_code == 201
    body = plan.named | {"subject": EMAIL}
    added = plan.call("POST", plan.metadata["add_subject_endpoint"], body | {"verified": True})
    removed = plan.call("POST", plan.metadata["remove_subject_endpoint"], body)
    assert (added.status_code, removed.status_code) == (200, 204)


def stream_verification(plan: Plan) -> None:
    """…-push, -poll-only, -poll-and-ack, -ack-only: acknowledged ones do not come again."""
    assert plan.create().status_code == 201
    assert plan.verify("one").status_code == 204
    first = plan.arrived()
    assert states(first) == ["one"]
    assert plan.verify("two").status_code == 204
    second = plan.arrived(ack=list(first))
    assert states(second) == ["two"]
    if not plan.is_push:
        assert plan.arrived() == second
        assert plan.poll(maxEvents=0, ack=list(second)).json() == {"sets": {}}
    assert plan.arrived() == {}


def stream_verification_long_poll(plan: Plan) -> None:
    """`returnImmediately` false: what is there comes at once, and nothing comes as nothing."""
    if plan.is_push:
        return
    assert plan.create().status_code == 201
    assert plan.arrived(returnImmediately=False) == {}
    assert plan.verify("long").status_code == 204
    assert states(plan.arrived(returnImmediately=False)) == ["long"]


def stream_verification_set_errs(plan: Plan) -> None:
    if plan.is_push:
        return
    assert plan.create().status_code == 201
    assert plan.verify("wrong").status_code == 204
    found = plan.arrived()
    errors = {jti: {"err": "invalid_request", "description": "it is not"} for jti in found}
    assert plan.poll(maxEvents=0, setErrs=errors).json() == {"sets": {}}
    assert plan.arrived() == {}


def stream_verification_error_push_no_auth(plan: Plan) -> None:
    if not plan.is_push:
        return
    assert plan.create(delivery=plan.delivery(is_authorized=False)).status_code == 201
    assert plan.verify("open").status_code == 204
    assert states(plan.arrived(is_authorized=False)) == ["open"]


def paused_stream_holds_events(plan: Plan) -> None:
    assert plan.create().status_code == 201
    assert plan.status("paused").json()["status"] == "paused"
    assert plan.verify("held").status_code == 204
    assert [plan.arrived() for _ in range(2)] == [{}, {}]
    assert plan.status("enabled").json()["status"] == "enabled"
    assert states(plan.arrived()) == ["held"]


def disabled_stream_drops_events(plan: Plan) -> None:
    assert plan.create().status_code == 201
    assert plan.status("disabled").json()["status"] == "disabled"
    assert plan.verify("dropped").status_code == 204
    assert [plan.arrived() for _ in range(2)] == [{}, {}]
    assert plan.status("enabled").json()["status"] == "enabled"
    assert plan.verify("new").status_code == 204
    assert states(plan.arrived()) == ["new"]


MODULES: Final[tuple[Callable[[Plan], None], ...]] = (
    transmitter_metadata,
    stream_control_error_read_stream_without_token,
    stream_control_error_token_in_uri_query,
    stream_control_error_create_stream_with_read_only_token,
    transmitter_poll_endpoint_authorization,
    stream_control_happy_path,
    stream_control_create_stream_without_delivery,
    stream_control_error_broken_input,
    stream_control_error_create_stream_with_duplicate_config,
    stream_control_error_invalid_tokens,
    stream_control_error_unknown_streams,
    stream_subject_control,
    stream_verification,
    stream_verification_long_poll,
    stream_verification_set_errs,
    stream_verification_error_push_no_auth,
    paused_stream_holds_events,
    disabled_stream_drops_events,
)


def test_the_whole_plan_finds_nothing(plan: Plan) -> None:
    for module in MODULES:
        plan.begin()
        module(plan)
