"""Rotation as those who verify see it: nothing that we signed ever fails (OIDC Core section 10.1.1)."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from broker.installation import Installation
from broker.jobs.rotating import rotate_keys
from broker.receipt_signing import receipt_signer
from broker.service_keys import (
    OAUTH_KEY,
    OPENID_KEY,
    RECEIPT_KEY,
    ensure_service_keys,
    switch_at_once,
)
from broker.setting_sections import KeysSection
from consent.errors import ReceiptInvalidError
from consent.receipt_signature import verify_receipt
from tests.installation import Clock
from tests.oauth.conftest import made
from tests.oauth.world import World
from vault.errors import UntrustedTokenError
from vault.jose import check_public_jwks, peek, sign_jwt, verify_jwt

DAY = timedelta(days=1)
TYPE = "test+jwt"
PATIENCE = 120


@pytest.fixture
def openid_world(sqlite_installation: Installation, clock: Clock) -> Iterator[World]:
    """A world that serves clients of OpenID Connect, on SQLite only."""
    oauth = sqlite_installation.settings.oauth.model_copy(update={"oidc_clients": True})
    settings = sqlite_installation.settings.model_copy(update={"oauth": oauth})
    ensure_service_keys(sqlite_installation.keyring, clock(), oidc_clients=True)
    yield from made(replace(sqlite_installation, settings=settings), clock)


def published(world: World) -> dict[str, Any]:
    answer = world.http.get("/jwks")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    keys: dict[str, Any] = answer.json()
    check_public_jwks(keys)
    return keys


def kids(keys: Mapping[str, Any]) -> set[str]:
    return {key["kid"] for key in keys["keys"]}


def signed(world: World, name: str = OAUTH_KEY) -> str:
    """What we sign now, as every job and page does: with the first key."""
    key = world.installation.keyring.service_keys(name)[0]
    return sign_jwt({"day": str(world.clock())}, key.private_pem, kid=key.kid, typ=TYPE, alg=key.kind)


def verify(token: str, keys: Mapping[str, Any]) -> None:
    verify_jwt(token, keys, algorithms=["ES256", "RS256"], typ=TYPE)


def receipt(world: World) -> str:
    return receipt_signer(world.installation, world.clock())({"grant_id": "a consent"})


def switch(world: World, name: str, *, keeps_previous: bool = True) -> tuple[str, str]:
    """Switch at once; the ids of the old key and of the new one."""
    keyring = world.installation.keyring
    old = keyring.service_keys(name)[0].kid
    assert switch_at_once(keyring, name, old, keeps_previous=keeps_previous, now=world.clock())
    return old, keyring.service_keys(name)[0].kid


def turn(world: World) -> None:
    rotate_keys(world.installation, world.clock())


def test_after_a_compromise_nothing_that_the_old_key_signs_is_believed(world: World) -> None:
    before = signed(world)
    old, new = switch(world, OAUTH_KEY, keeps_previous=False)
    keys = published(world)
    assert (old in kids(keys), new in kids(keys)) == (False, True)
    with pytest.raises(UntrustedTokenError):
        verify(before, keys)
    verify(signed(world), keys)


def test_a_previous_key_leaves_the_key_set_when_its_time_is_over(world: World) -> None:
    before = signed(world)
    old, _ = switch(world, OAUTH_KEY)
    world.clock.advance(30 * DAY - timedelta(seconds=1))
    turn(world)
    verify(before, published(world))
    world.clock.advance(timedelta(seconds=1))
    turn(world)
    assert old not in kids(published(world))
    with pytest.raises(UntrustedTokenError):
        verify(before, published(world))


def test_server_rotate_keys(world: World) -> None:
    before, keys_before, receipt_before = signed(world), published(world), receipt(world)
    old, new = switch(world, OAUTH_KEY)
    switch(world, RECEIPT_KEY)
    keys = published(world)
    assert kids(keys_before) < kids(keys)
    assert new in kids(keys) - kids(keys_before)
    after = signed(world)
    assert (peek(before)[0]["kid"], peek(after)[0]["kid"]) == (old, new)
    for token in (before, after):
        verify(token, keys)
    for made_then in (receipt_before, receipt(world)):
        verify_receipt(made_then, keys)
    with pytest.raises(UntrustedTokenError):
        verify(after, keys_before)  # it is the new key indeed


def test_a_key_is_published_for_days_before_it_signs(world: World) -> None:
    keyring = world.installation.keyring
    world.clock.advance(83 * DAY)
    turn(world)
    current, following = keyring.service_keys(OAUTH_KEY)
    keys = published(world)
    assert {current.kid, following.kid} <= kids(keys)
    assert peek(signed(world))[0]["kid"] == current.kid
    world.clock.advance(7 * DAY - timedelta(seconds=1))
    turn(world)
    assert peek(signed(world))[0]["kid"] == current.kid
    world.clock.advance(timedelta(seconds=1))
    turn(world)
    assert peek(signed(world))[0]["kid"] == following.kid
    verify(signed(world), keys)  # by who fetched the keys a week ago
    assert kids(keys) == kids(published(world))


def test_pages_sign_receipts_with_the_new_key_at_once_and_all_of_them_verify_for_ever(world: World) -> None:
    receipts = []
    for _ in range(3):
        receipts.append(receipt(world))
        _, new = switch(world, RECEIPT_KEY)
        assert peek(receipt(world))[0]["kid"] == new
        world.clock.advance(4000 * DAY)
        turn(world)
    states = [key.state for key in world.installation.keyring.service_keys(RECEIPT_KEY)]
    assert states.count("retired") == 3
    keys = published(world)
    for made_then in receipts:
        verify_receipt(made_then, keys)
    with pytest.raises(ReceiptInvalidError):
        verify_receipt(
            receipts[0], {"keys": [key for key in keys["keys"] if key["kid"] != _kid(receipts[0])]}
        )


def _kid(token: str) -> str:
    kid: str = peek(token, max_bytes=1 << 18)[0]["kid"]
    return kid


def test_through_many_rotations_nothing_fails_for_a_verifier_that_rarely_asks(openid_world: World) -> None:
    keys = KeysSection(rotate_days=20, publish_before_days=4, keep_previous_days=8)
    settings = openid_world.installation.settings.model_copy(update={"keys": keys})
    world = replace(openid_world, installation=replace(openid_world.installation, settings=settings))
    known, sent = published(world), []
    for day in range(85):
        turn(world)
        if day % 3 == 0:  # less often than once in the days that a key is published before it signs
            known = published(world)
        for name in (OAUTH_KEY, OPENID_KEY):
            token = signed(world, name)
            verify(token, known)
            sent.append(token)
            verify(sent[-16:][0], known)  # what was signed up to eight days ago
        world.clock.advance(DAY)
    assert len({_kid(token) for token in sent}) == 10  # each of the two has turned four times


def test_workers_that_turn_at_once_and_operators_that_switch_leave_one_key_that_signs(world: World) -> None:
    installation = world.installation
    old = installation.keyring.service_keys(OAUTH_KEY)[0].kid
    world.clock.advance(83 * DAY)
    turn(world)
    world.clock.advance(7 * DAY)
    at_once = threading.Barrier(4)

    def work_here(number: int) -> None:
        at_once.wait(PATIENCE)
        if number % 2:
            rotate_keys(installation, world.clock())
        else:
            switch_at_once(installation.keyring, OAUTH_KEY, old, keeps_previous=True, now=world.clock())

    threads = [threading.Thread(target=work_here, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    states = [key.state for key in installation.keyring.service_keys(OAUTH_KEY)]
    assert states == ["current", "previous"]
    verify(signed(world), published(world))


def test_there_is_no_rsa_key_unless_clients_of_openid_connect_are_served(world: World) -> None:
    # Even if one was made when they were.
    world.installation.keyring.ensure_service_key(OPENID_KEY, "RS256", world.clock())
    assert {key["alg"] for key in published(world)["keys"]} == {"ES256"}


def test_clients_of_openid_connect_find_an_rsa_key_of_3072_bits(openid_world: World) -> None:
    keys = published(openid_world)
    (key,) = [key for key in keys["keys"] if key["kty"] == "RSA"]
    assert (key["alg"], key["use"], len(key["n"])) == ("RS256", "sig", 512)  # 384 bytes in base64url
    assert sorted(found["alg"] for found in keys["keys"]) == ["ES256", "ES256", "RS256"]
    before = signed(openid_world, OPENID_KEY)
    switch(openid_world, OPENID_KEY)
    keys = published(openid_world)
    for token in (before, signed(openid_world, OPENID_KEY)):
        verify(token, keys)
    assert all(not {"d", "p", "q", "dp", "dq", "qi"} & set(found) for found in keys["keys"])
