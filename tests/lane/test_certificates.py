"""Pulls with tokens that are bound to a client certificate (RFC 8705 section 3)."""

from collections.abc import Iterator
from typing import Any

import pytest

from broker.db import transaction
from broker.installation import Installation
from broker.oauth.confirmation import of_certificate
from broker.oauth.tokens import Binding, Grant, issue_access
from tests.configured import configured
from tests.consent.details import HOSPITAL
from tests.consent.office import CLIENT
from tests.installation import Clock
from tests.lane.test_people import EMERGENCY, NUMBER, PRESCRIPTION, TEXT, prescribed
from tests.lane.world import ANYTHING, BILLS, Granted, World, opened
from tests.oauth.by_certificate import HEADER, INSURER, OTHER, PROXY, passed_on


@pytest.fixture
def world(installation: Installation, clock: Clock) -> Iterator[World]:
    """A lane behind a proxy that passes certificates on, on each kind of database."""
    changes: dict[str, object] = {"trusted_proxies": (PROXY,), "client_certificate_header": HEADER}
    with opened(configured(installation, "server", **changes), clock) as made:
        transport: Any = made.http._transport
        transport.client = (PROXY, 50000)
        yield made


def bound(world: World, granted: Granted) -> str:
    """A token of this consent that is bound to the insurer's certificate."""
    given, terms = granted.given, granted.given.terms
    grant = Grant(given.grant_id, given.version_id, world.office.subject_id, terms.access.valid_until, terms)
    binding = Binding(CLIENT, "records.read", of_certificate(INSURER.thumbprint), grant)
    with transaction(world.installation.data) as work:
        return issue_access(work.session, binding, seconds=300, now=world.clock())[0]


def bearing(token: str, sent: dict[str, str], key: str = "one") -> dict[str, str]:
    return {**sent, "Authorization": f"Bearer {token}", "Idempotency-Key": key}


def test_a_stranger_with_the_token_takes_nothing_and_leaves_no_trace(world: World) -> None:
    granted = world.granted()
    token = bound(world, granted)
    for sent in ({}, passed_on(OTHER), {HEADER: "broken"}):
        answer = world.http.get(ANYTHING, headers=bearing(token, sent))
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    by_proof = world.http.get(ANYTHING, headers=bearing(granted.token, passed_on(INSURER)))
    assert (by_proof.status_code, by_proof.json()["code"]) == (401, "invalid_token")
    assert world.pull(token).json()["code"] == "invalid_token"
    assert world.events(granted.grant_id) == []


def test_the_same_key_is_the_same_delivery(world: World) -> None:
    granted = world.granted()
    token = bound(world, granted)
    first, again = (world.http.get(BILLS, headers=bearing(token, passed_on(INSURER))) for _ in range(2))
    assert first.status_code == 200, first.text
    assert again.json()["payload_digest"] == first.json()["payload_digest"]
    assert len(world.deliveries(granted.grant_id)) == 1
    other = world.http.get(BILLS, headers=bearing(token, passed_on(INSURER), key="two"))
    assert (other.status_code, other.json()["code"]) == (403, "no_place_left")


def test_a_token_for_an_emergency_is_bound_as_the_one_that_asked(world: World) -> None:
    prescribed(world)
    binding = Binding(CLIENT, "emergency", of_certificate(INSURER.thumbprint))
    with transaction(world.installation.data) as work:
        token = issue_access(work.session, binding, seconds=300, now=world.clock())[0]
    body = {"subject": {"holder": HOSPITAL, "number": NUMBER}, "reason": "unconscious", "text": TEXT}
    answer = world.http.post(EMERGENCY, json=body, headers=bearing(token, passed_on(INSURER)))
    assert (answer.status_code, answer.json()["token_type"]) == (201, "Bearer")
    opened_token = answer.json()["access_token"]
    assert world.http.get(ANYTHING, headers=bearing(opened_token, passed_on(OTHER))).status_code == 401
    pulled = world.http.get(ANYTHING, headers=bearing(opened_token, passed_on(INSURER)))
    assert list(pulled.json()["records"]) == [PRESCRIPTION]
