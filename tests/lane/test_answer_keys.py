"""The keys of answers in a rotation: one for each instant in every process, and the same answer for good."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from broker.installation import Installation
from broker.jobs.rotating import rotate_keys
from broker.service_keys import ANSWERS_FOLLOW_AFTER, RECEIPT_KEY, AnswerSigner, switch_at_once
from tests.consent.details import BILL
from tests.installation import ISSUER, Clock
from tests.lane.test_answers import asking, granted
from tests.lane.world import Granted, World, opened
from vault.jose import peek, verify_jwt
from vault.keys.keyring import Keyring
from vault.keys.service_keys import ServiceKey

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
TYPE = "mydata-answer+jwt"


@pytest.fixture
def world(installation: Installation, clock: Clock) -> Iterator[World]:
    with opened(installation, clock) as world:
        yield world


def keys(world: World) -> list[str]:
    """The receipt keys' ids, the current one first."""
    return [key.kid for key in world.installation.keyring.service_keys(RECEIPT_KEY)]


def switch(world: World) -> None:
    keyring = world.installation.keyring
    assert switch_at_once(keyring, RECEIPT_KEY, keys(world)[0], keeps_previous=True, now=world.clock())


def answer(world: World, consent: Granted, name: str) -> dict[str, Any]:
    pulled = world.pull(world.token(consent.given), idempotency_key=name)
    assert pulled.status_code == 200, pulled.text
    body: dict[str, Any] = pulled.json()
    return body


def signature_of(body: Mapping[str, Any]) -> str:
    (entry,) = body["records"][BILL]
    signature: str = entry["data"]["signature"]
    return signature


def kid_of(body: Mapping[str, Any]) -> str:
    kid: str = peek(signature_of(body))[0]["kid"]
    return kid


def verify(world: World, body: Mapping[str, Any]) -> None:
    verify_jwt(signature_of(body), world.http.get("/jwks").json(), algorithms=["ES256"], typ=TYPE)


def test_the_event_loop_waits_for_no_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys are read in a thread, before a flush decides; nothing reads them within it."""
    read_in: list[bool] = []
    service_keys = Keyring.service_keys

    def noted(self: Keyring, name: str) -> list[ServiceKey]:
        with contextlib.suppress(RuntimeError):  # no loop runs here
            read_in.append(asyncio.get_running_loop().is_running())
        return service_keys(self, name)

    monkeypatch.setattr(Keyring, "service_keys", noted)
    consent, later = granted(world, asking()), granted(world, asking())
    answer(world, consent, "one")
    world.clock.advance(timedelta(minutes=1))
    verify(world, answer(world, later, "two"))
    assert read_in == []


def test_before_there_was_a_key_nothing_is_signed(world: World) -> None:
    signer = AnswerSigner(world.installation.keyring, ISSUER, world.clock)
    with pytest.raises(LookupError):
        signer.sign({}, world.clock() - SECOND)


def test_the_same_answer_is_the_same_after_its_key_was_replaced_and_a_new_one_has_the_new_key(
    world: World,
) -> None:
    consent, later = granted(world, asking()), granted(world, asking())
    first = answer(world, consent, "one")
    switch(world)
    old, new = keys(world)[1], keys(world)[0]
    world.clock.advance(ANSWERS_FOLLOW_AFTER)
    second = answer(world, later, "two")
    assert (kid_of(first), kid_of(second)) == (old, new)
    world.clock.advance(timedelta(hours=23) - ANSWERS_FOLLOW_AFTER)
    assert answer(world, consent, "one") == first
    assert answer(world, later, "two") == second
    for body in (first, second):
        verify(world, body)


def test_processes_that_read_their_keys_at_different_times_sign_the_same_instant_with_the_same_key(
    world: World,
) -> None:
    keyring = world.installation.keyring
    signers = []
    for _ in range(3):  # the oldest has read its keys twenty seconds before the switch
        signers.append(AnswerSigner(keyring, ISSUER, world.clock))
        signers[-1].sign({}, world.clock())
        world.clock.advance(10 * SECOND)
    switch(world)
    old, new = keys(world)[1], keys(world)[0]
    seen = set()
    for _ in range(2 * int(ANSWERS_FOLLOW_AFTER.total_seconds())):
        as_of = world.clock()
        signed = {signer.sign({"a": 1}, as_of) for signer in signers}
        assert len(signed) == 1
        seen.add(peek(signed.pop())[0]["kid"])
        world.clock.advance(SECOND)
    assert seen == {old, new}


def test_by_the_schedule_answers_change_their_key_at_the_planned_instant_though_the_worker_is_late(
    world: World,
) -> None:
    signer = AnswerSigner(world.installation.keyring, ISSUER, world.clock)
    (old,) = keys(world)
    world.clock.advance(83 * DAY)
    rotate_keys(world.installation, world.clock())
    (planned,) = set(keys(world)) - {old}
    begin = world.clock() + 7 * DAY
    world.clock.advance(7 * DAY + SECOND)
    assert [peek(signer.sign({}, begin + by))[0]["kid"] for by in (-SECOND, 0 * SECOND)] == [old, planned]
    rotate_keys(world.installation, world.clock())
    assert keys(world)[0] == planned
    world.clock.advance(timedelta(minutes=1))
    assert [peek(signer.sign({}, begin + by))[0]["kid"] for by in (-SECOND, 0 * SECOND)] == [old, planned]


def test_an_answer_verifies_though_its_key_was_retired_long_ago(world: World) -> None:
    consent = granted(world, asking())
    first = answer(world, consent, "one")
    for _ in range(500):
        world.clock.advance(DAY)
        rotate_keys(world.installation, world.clock())
    states = {key.kid: key.state for key in world.installation.keyring.service_keys(RECEIPT_KEY)}
    assert states[kid_of(first)] == "retired"
    verify(world, first)
