"""Introspection: a client's organisation asks about its own tokens, and is told what is so now (RFC 7662)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from httpx import Response
from sqlalchemy import text

from broker.db import transaction
from broker.oauth import clients
from consent import lifecycle
from consent.organisations import suspend as suspend_organisation
from tests.installation import ISSUER
from tests.oauth.conftest import registration
from tests.oauth.test_grant_management import renewed
from tests.oauth.test_rfc7523 import ACCEPTED, REFUSED, Make
from tests.oauth.world import RECORD_TYPE, REDIRECT_URI, Recipient, World, refused
from vault.jose import generate_private_jwk

INACTIVE = {"active": False}
FORM = {"content-type": "application/x-www-form-urlencoded"}


def told(answer: Response) -> Any:  # noqa: ANN401 - any JSON
    """The body of an answer in RFC 7662's own form."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()


def in_data(world: World, statement: str, **values: object) -> None:
    with world.installation.data.write() as session:
        session.connection().execute(text(statement), values)


# Who may ask


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_an_assertion_that_does_not_hold(small_lane_world: World, make: Make) -> None:
    insurer = small_lane_world.insurer
    answer = insurer.introspect("mda_x", **insurer.authentication(make(insurer)))
    assert refused(answer, "invalid_client")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'private_key_jwt realm="mydata"'  # RFC 9110 section 15.5.2


def test_every_assertion_that_holds(small_lane_world: World) -> None:
    insurer = small_lane_world.insurer
    for make in ACCEPTED.values():
        assert told(insurer.introspect("mda_x", **insurer.authentication(make(insurer)))) == INACTIVE


def test_no_assertion_at_all(lane_world: World) -> None:
    for form in (
        {"token": "x"},
        {"other": "x"},
        {"token": "x", "client_id": "insurer-claims", "client_secret": "y"},
    ):
        answer = lane_world.insurer.post("/introspect", form)
        assert refused(answer, "invalid_client")


def test_an_assertion_is_good_once_here_and_everywhere(lane_world: World) -> None:
    insurer = lane_world.insurer
    form = insurer.authentication()
    assert told(insurer.introspect("mda_x", **form)) == INACTIVE
    for answer in (insurer.introspect("mda_x", **form), insurer.revoke("mda_x", **form)):
        assert refused(answer, "invalid_client")
        assert answer.json()["error_description"] == "the assertion was used before"
    other = insurer.authentication()
    assert insurer.revoke("mda_x", **other).status_code == 200
    assert refused(insurer.introspect("mda_x", **other), "invalid_client")


def test_a_clients_name_must_be_its_own(small_lane_world: World) -> None:
    insurer = small_lane_world.insurer
    assert refused(insurer.introspect("mda_x", client_id="other-app"), "invalid_client")
    assert told(insurer.introspect("mda_x", client_id="insurer-claims")) == INACTIVE


@pytest.mark.parametrize("what", ["client", "organisation"])
def test_who_is_suspended_is_a_stranger(lane_world: World, what: str) -> None:
    token = lane_world.tokens()["access_token"]
    with transaction(lane_world.installation.data) as work:
        if what == "client":
            clients.suspend(work.session, "insurer-claims")
        else:
            suspend_organisation(work.session, "insurer")
    answer = lane_world.insurer.introspect(token)
    assert refused(answer, "invalid_client")
    assert answer.json() == lane_world.insurer.introspect(token, **stranger(lane_world)).json()


def stranger(world: World) -> dict[str, str]:
    """An assertion with a key that nobody registered."""
    insurer = world.insurer
    return insurer.authentication(insurer.assertion(key=generate_private_jwk("ES256")))


# The form of the request


def test_only_a_post_asks(lane_world: World) -> None:
    query = lane_world.insurer.authentication() | {"token": lane_world.tokens()["access_token"]}
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert lane_world.http.request(method, "/introspect", params=query).status_code == 405, method


def test_a_parameter_in_the_address_is_no_parameter(small_lane_world: World) -> None:
    insurer = small_lane_world.insurer
    answer = small_lane_world.http.post(
        "/introspect", params={"token": "mda_x"}, data=insurer.authentication()
    )
    assert refused(answer, "invalid_request")


def test_a_missing_or_empty_token(lane_world: World) -> None:
    for form in ({}, {"token": ""}):
        assert refused(
            lane_world.insurer.post("/introspect", lane_world.insurer.authentication() | form),
            "invalid_request",
        )


@pytest.mark.parametrize("name", ["token", "client_assertion", "client_id", "anything"])
def test_a_parameter_that_comes_twice(lane_world: World, name: str) -> None:
    insurer = lane_world.insurer
    form = insurer.authentication() | {"token": "x", "client_id": insurer.client_id, "anything": "y"}
    answer = lane_world.http.post("/introspect", data=form | {name: [form[name], form[name]]})
    assert refused(answer, "invalid_request")
    # Refused for its form, before the assertion is looked at: it is still good.
    assert told(lane_world.http.post("/introspect", data=form)) == INACTIVE


def test_a_body_that_is_no_form(lane_world: World) -> None:
    for body, headers in (
        (b'{"token": "x"}', {"content-type": "application/json"}),
        (b"token=x", {}),
        (b"token=%ff", FORM),
        (b"token", FORM),
        ("&".join(f"a{n}=1" for n in range(300)).encode(), FORM),
    ):
        answer = lane_world.http.post("/introspect", content=body, headers=headers)
        assert refused(answer, "invalid_request"), body[:20]


def test_a_body_that_is_too_large(lane_world: World) -> None:
    limit = lane_world.installation.settings.limits.body_bytes
    form = lane_world.insurer.authentication() | {"token": "x" * limit}
    answer = lane_world.http.post("/introspect", data=form)
    assert (answer.status_code, answer.json()["error"]) == (413, "invalid_request")


# What is not told


def test_a_foreign_token_is_as_an_unknown_one(lane_world: World) -> None:
    tokens = lane_world.tokens()
    for token in (tokens["access_token"], tokens["refresh_token"], "mda_unknown", "no token at all"):
        answer = lane_world.stranger.introspect(token)
        assert told(answer) == INACTIVE
        assert answer.content == b'{"active":false}'
    assert told(lane_world.insurer.introspect(tokens["access_token"]))["active"] is True


def test_a_code_is_no_token(lane_world: World) -> None:
    assert told(lane_world.insurer.introspect(lane_world.code())) == INACTIVE


def test_an_expired_token(lane_world: World) -> None:
    tokens = lane_world.tokens()
    lane_world.clock.advance(timedelta(seconds=299))
    assert told(lane_world.insurer.introspect(tokens["access_token"]))["active"] is True
    lane_world.clock.advance(timedelta(seconds=1))
    assert told(lane_world.insurer.introspect(tokens["access_token"])) == INACTIVE
    assert told(lane_world.insurer.introspect(tokens["refresh_token"]))["active"] is True


def test_a_revoked_token(lane_world: World) -> None:
    tokens = lane_world.tokens()
    lane_world.insurer.revoke(tokens["access_token"])
    assert told(lane_world.insurer.introspect(tokens["access_token"])) == INACTIVE
    assert told(lane_world.insurer.introspect(tokens["refresh_token"]))["active"] is True
    lane_world.insurer.revoke(tokens["refresh_token"])
    assert told(lane_world.insurer.introspect(tokens["refresh_token"])) == INACTIVE


def _fulfil(world: World, grant_id: str) -> None:
    with transaction(world.installation.data) as work:
        consent = lifecycle.lock(work, grant_id)
        lifecycle.fulfil(work, world.installation.keyring, consent, world.clock())


def _expire_unnoticed(world: World, grant_id: str) -> None:
    """Its time is over, and no worker has come by: the state still says GIVEN."""
    in_data(world, "UPDATE consent SET valid_until = valid_from WHERE grant_id = :id", id=grant_id)


def _use_up_unnoticed(world: World, grant_id: str) -> None:
    """Every place is taken and the redelivery window is over, and no worker has come by."""
    statement = """
        INSERT INTO delivery (delivery_id, grant_id, version_id, subject_id, recipient_id, ordinal,
                              key_digest, request_digest, payload_digest, nonce_sealed, record_count, as_of)
        SELECT 'one', grant_id, grant_id || '.' || version_number, subject_id, recipient_id, 1, :b, :b, :b,
               :b, 0, valid_from - 86400000000
        FROM consent WHERE grant_id = :id
    """
    in_data(world, statement, id=grant_id, b=b"x")


ENDS: dict[str, Callable[[World, str], None]] = {
    "withdrawn in the same second": World.withdraw,
    "fulfilled": _fulfil,
    "used up, which nobody noticed yet": _use_up_unnoticed,
    "expired, which nobody noticed yet": _expire_unnoticed,
    "superseded": lambda world, grant_id: in_data(
        world, "UPDATE consent SET version_number = 2 WHERE grant_id = :id", id=grant_id
    ),
    "not begun": lambda world, grant_id: in_data(
        world, "UPDATE consent SET valid_from = valid_until - 1 WHERE grant_id = :id", id=grant_id
    ),
    "terms that were changed": lambda world, grant_id: in_data(
        world, "UPDATE consent_version SET terms_sealed = :x WHERE grant_id = :id", id=grant_id, x=b"x" * 99
    ),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_every_token_of_a_consent_that_opens_nothing(
    lane_world: World, end: Callable[[World, str], None]
) -> None:
    tokens, others = lane_world.tokens(), lane_world.tokens()
    end(lane_world, tokens["grant_id"])
    for name in ("access_token", "refresh_token"):
        answer = lane_world.insurer.introspect(tokens[name])
        assert told(answer) == INACTIVE
        assert answer.content == b'{"active":false}'
        assert told(lane_world.insurer.introspect(others[name]))["active"] is True


def test_without_its_audit_key_a_consent_permits_nothing(lane_world: World) -> None:
    tokens = lane_world.tokens()
    with lane_world.installation.keyring_database.write() as session:
        session.connection().execute(text("DELETE FROM audit_key"))
    assert told(lane_world.insurer.introspect(tokens["access_token"])) == INACTIVE


# What is told


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "something_else"])
def test_an_access_token(lane_world: World, hint: str) -> None:
    tokens = lane_world.tokens()
    answer = told(lane_world.insurer.introspect(tokens["access_token"], token_type_hint=hint))
    subject = answer.pop("sub")
    assert answer == {
        "active": True,
        "iss": ISSUER,
        "client_id": "insurer-claims",
        "scope": tokens["scope"],
        "token_type": "DPoP",
        "iat": lane_world.insurer.seconds,
        "exp": lane_world.insurer.seconds + 300,
        "cnf": {"jkt": lane_world.insurer.jkt},
        "grant_id": tokens["grant_id"],
        "authorization_details": tokens["authorization_details"],
    }
    assert [item["record_type"] for item in answer["authorization_details"][0]["items"]] == [RECORD_TYPE]
    assert len(subject) == 43
    assert lane_world.subject_id not in subject


def test_a_refresh_token_has_no_type(lane_world: World) -> None:
    tokens = lane_world.tokens()
    answer = told(lane_world.insurer.introspect(tokens["refresh_token"]))
    assert "token_type" not in answer
    assert (answer["grant_id"], answer["cnf"]) == (tokens["grant_id"], {"jkt": lane_world.insurer.jkt})


def test_a_token_of_the_clients_own_business_says_nothing_of_a_person(lane_world: World) -> None:
    tokens = lane_world.insurer.own_token(scope="deliveries").json()
    answer = told(lane_world.insurer.introspect(tokens["access_token"]))
    assert (answer["active"], answer["scope"], answer["token_type"]) == (True, "deliveries", "DPoP")
    assert not {"sub", "grant_id", "authorization_details"} & set(answer)


def sister(world: World, name: str, owner: str) -> Recipient:
    """Another client, of this organisation."""
    made = Recipient(world.http, world.clock, name, REDIRECT_URI)
    with transaction(world.installation.data) as work:
        clients.add(work.session, registration(made, owner), is_loopback_allowed=False, now=world.clock())
    return made


def test_another_client_of_the_organisation_may_ask(lane_world: World) -> None:
    tokens = lane_world.tokens()
    answer = told(sister(lane_world, "insurer-gateway", "insurer").introspect(tokens["access_token"]))
    assert (answer["active"], answer["client_id"]) == (True, "insurer-claims")


@pytest.mark.parametrize("kind", ["of a consent", "of its own"])
def test_a_token_of_a_suspended_client(lane_world: World, kind: str) -> None:
    gateway = sister(lane_world, "insurer-gateway", "insurer")
    tokens = lane_world.tokens() if kind == "of a consent" else lane_world.insurer.own_token().json()
    with transaction(lane_world.installation.data) as work:
        clients.suspend(work.session, "insurer-claims")
    assert told(gateway.introspect(tokens["access_token"])) == INACTIVE


def test_a_person_is_the_same_to_one_organisation_and_another_to_the_next(lane_world: World) -> None:
    first, second = lane_world.tokens(), lane_world.tokens()
    subjects = {
        told(lane_world.insurer.introspect(tokens["access_token"]))["sub"] for tokens in (first, second)
    }
    assert len(subjects) == 1
    in_data(
        lane_world, "UPDATE consent SET recipient_id = 'other' WHERE grant_id = :id", id=first["grant_id"]
    )
    assert told(lane_world.insurer.introspect(first["access_token"]))["sub"] not in subjects


# Many at once


def at_once(requests: list[Callable[[], Response]]) -> list[Response]:
    barrier = Barrier(len(requests))

    def send(request: Callable[[], Response]) -> Response:
        barrier.wait(timeout=120)
        return request()

    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(send, requests))


def test_one_of_many_uses_an_assertion(lane_world: World) -> None:
    insurer, token = lane_world.insurer, lane_world.tokens()["access_token"]
    form = insurer.authentication()
    same_id = [insurer.authentication(insurer.assertion(jti="one")) for _ in range(8)]
    for forms in ([form] * 16, same_id):
        answers = at_once([lambda it=it: insurer.introspect(token, **it) for it in forms])  # type: ignore[misc]  # a default binds it
        assert sorted(answer.status_code for answer in answers) == [200] + [401] * (len(forms) - 1)


def test_everybody_in_a_batch_gets_their_own_answer(lane_world: World) -> None:
    """Good and bad ones, of two clients, at the same moment."""
    insurer, other = lane_world.insurer, lane_world.stranger
    token = lane_world.tokens()["access_token"]
    asked: list[tuple[Callable[[], Response], object]] = []
    for _ in range(6):
        good, foreign, bad = insurer.authentication(), other.authentication(), stranger(lane_world)
        asked += [
            (lambda it=good: insurer.introspect(token, **it), True),  # type: ignore[misc]  # a default binds it
            (lambda it=foreign: other.introspect(token, **it), False),  # type: ignore[misc]  # a default binds it
            (lambda it=bad: insurer.introspect(token, **it), None),  # type: ignore[misc]  # a default binds it
        ]
    answers = at_once([request for request, _ in asked])
    assert [answer.json().get("active") for answer in answers] == [active for _, active in asked]


def test_a_refresh_token_that_a_renewal_keeps_is_active_and_says_what_stands(lane_world: World) -> None:
    """It opens the version that stands (docs/decisions/0023), so introspection says what that one allows."""
    insurer, tokens = lane_world.insurer, lane_world.tokens()
    lane_world.clock.advance(timedelta(days=3))
    renewed(lane_world, tokens["grant_id"])
    assert told(insurer.introspect(tokens["access_token"])) == INACTIVE
    answer = told(insurer.introspect(tokens["refresh_token"]))
    fresh = insurer.refresh(tokens["refresh_token"]).json()
    assert (answer["active"], answer["authorization_details"]) == (True, fresh["authorization_details"])
    assert answer["authorization_details"] != tokens["authorization_details"]
    later = told(insurer.introspect(fresh["refresh_token"]))
    assert later["exp"] > answer["exp"]
    lane_world.withdraw(tokens["grant_id"])
    assert told(insurer.introspect(tokens["refresh_token"])) == INACTIVE
