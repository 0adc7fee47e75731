"""Pulls where people act for people: the hand-over to a young person, and an access in an emergency."""

from datetime import timedelta
from typing import Any

from httpx import Response

from broker.db import transaction
from broker.installation import Installation
from broker.oauth.confirmation import of_key
from broker.oauth.tokens import Binding, issue_access
from consent.collection import Arrival, NewLink, collect, link
from consent.models import SourceLink
from tests.configured import configured
from tests.consent.details import HOSPITAL
from tests.consent.office import CLIENT
from tests.installation import ISSUER, Clock
from tests.lane.proofs import proof
from tests.lane.world import World, _example, opened
from vault.jose import thumbprint

EMERGENCY = "/v1/emergency-access"
PRESCRIPTION = "health.prescription"
NUMBER = "E-0001"
TEXT = "Found unconscious on the street; which medicines?"


def test_what_a_guardian_gave_is_refused_from_the_hand_over_on_without_any_job(world: World) -> None:
    granted = world.granted()
    handover = world.clock() + timedelta(minutes=1)
    microseconds = int(handover.timestamp()) * 1_000_000
    world.tamper(
        "UPDATE consent SET pause_at = :at WHERE grant_id = :id", at=microseconds, id=granted.grant_id
    )
    assert world.pull(granted.token, idempotency_key="one").status_code == 200
    world.clock.now = handover
    for key in ("one", "two"):
        refused = world.pull(granted.token, idempotency_key=key)
        assert (refused.status_code, refused.json()["code"]) == (403, "consent_paused")
    assert world.told(granted.grant_id)[-2:] == [("delivery.refused", "consent_paused")] * 2


def prescribed(world: World) -> None:
    """The hospital delivers what the person was prescribed."""
    office = world.office
    new = NewLink(office.subject_id, HOSPITAL, NUMBER, (PRESCRIPTION,), "ko")
    with office.work() as work:
        link_id = link(work, office.keyring, new, office.clock())
    data = _example(PRESCRIPTION)
    with office.work() as work:
        row = work.session.get_one(SourceLink, link_id)
        arrival = Arrival(PRESCRIPTION, data["issue_no"], data)
        collect(
            work, office.keyring, office.installation.catalogue, row, arrivals=[arrival], now=office.clock()
        )


def asked(world: World, *, scope: str = "emergency", **changes: Any) -> Response:  # noqa: ANN401 - JSON
    binding = Binding(CLIENT, scope, of_key(thumbprint(world.key)))
    with transaction(world.installation.data) as work:
        token = issue_access(work.session, binding, seconds=300, now=world.clock())[0]
    proven = proof(world.key, "POST", ISSUER + EMERGENCY, access_token=token, now=world.clock())
    body = {"subject": {"holder": HOSPITAL, "number": NUMBER}, "reason": "unconscious", "text": TEXT}
    answer: Response = world.http.post(
        EMERGENCY, json=body | changes, headers={"Authorization": f"DPoP {token}", "DPoP": proven}
    )
    return answer


def test_only_who_was_granted_it_and_only_with_a_reason(world: World) -> None:
    prescribed(world)
    assert asked(world, scope="deliveries").json()["code"] == "insufficient_scope"
    assert asked(world, reason="curious").status_code == 422
    assert asked(world, text="short").status_code == 422
    unknown = asked(world, subject={"holder": HOSPITAL, "number": "E-9999"})
    foreign = asked(world, subject={"holder": "nowhere", "number": NUMBER})
    assert unknown.status_code == foreign.status_code == 404
    assert {k: v for k, v in unknown.json().items() if k != "trace_id"} == {
        k: v for k, v in foreign.json().items() if k != "trace_id"
    }
    assert world.value("SELECT count(*) FROM emergency_access") == 0
    assert world.value("SELECT count(*) FROM consent") == 0


def test_one_pull_in_an_emergency(world: World) -> None:
    prescribed(world)
    accessed = asked(world)
    assert accessed.status_code == 201, accessed.text
    token, grant_id = accessed.json()["access_token"], accessed.json()["grant_id"]
    pulled = world.pull(token, idempotency_key="one")
    assert pulled.status_code == 200, pulled.text
    assert list(pulled.json()["records"]) == [PRESCRIPTION]
    assert len(pulled.json()["records"][PRESCRIPTION]) == 1
    second = world.pull(token, idempotency_key="two")
    assert (second.status_code, second.json()["code"]) == (403, "no_place_left")
    world.clock.advance(timedelta(days=1))
    assert world.pull(token, idempotency_key="one").status_code == 401
    assert world.told(grant_id)[0] == ("delivery.released", None)


def test_in_an_emergency_nobody_is_asked_to_sign_in(sqlite_installation: Installation, clock: Clock) -> None:
    """RFC 9470 is for those who can: whoever lies unconscious cannot answer a challenge."""
    with opened(configured(sqlite_installation, "oauth", step_up_seconds=60), clock) as world:
        prescribed(world)
        token = asked(world).json()["access_token"]
        assert world.pull(token, idempotency_key="one").status_code == 200


def test_a_client_that_tries_numbers_is_told_to_wait(world: World) -> None:
    prescribed(world)
    assert asked(world).status_code == 201
    again = asked(world)
    assert (again.status_code, again.json()["code"]) == (409, "emergency_open")
    for _ in range(19):
        assert asked(world, subject={"holder": HOSPITAL, "number": "E-9999"}).status_code == 404
    limited = asked(world)
    assert (limited.status_code, limited.json()["code"]) == (429, "too_many_emergencies")
    assert 0 < int(limited.headers["Retry-After"]) <= 24 * 3600
    assert world.value("SELECT count(*) FROM emergency_refusal") == 20
