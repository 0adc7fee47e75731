"""Introspection beside pulls: both stores alike, two workers, a withdrawal under fire, a flush that fails."""

import asyncio
import hashlib
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from httpx import Response
from starlette.testclient import TestClient

from broker.app import create_app
from broker.lane.introspecting import Inquiry, InquiryStore, Known
from broker.lane.introspection_stores import PostgresInquiries, SqliteInquiries
from broker.lane.postgres import open_pool
from broker.oauth import clients
from broker.oauth.client_assertion import ASSERTION_TYPE, Assertion, Proven
from broker.oauth.clients import ClientRegistration
from broker.oauth.tokens import TokenKind
from consent.organisations import NewOrganisation, register
from tests.consent.details import PURPOSE
from tests.consent.office import CLIENT, RECIPIENT
from tests.databases import Databases
from tests.installation import ISSUER
from tests.lane.test_concurrency import at_once
from tests.lane.test_failures import impatient, locked
from tests.lane.test_stores import Twins, copied, twins
from tests.lane.world import REDIRECT_URI, World
from vault.jose import Jwk, generate_private_jwk, public_jwk, sign_with_jwk
from vault.schema import random_id

T = TypeVar("T")

GATEWAY = "hanbit-gateway"
KEY: Jwk = generate_private_jwk("ES256")
INACTIVE = {"active": False}

__all__ = ["impatient", "twins"]  # fixtures


def furnish(world: World, client_id: str = GATEWAY, organisation_id: str = RECIPIENT) -> None:
    """Another client, whose key we have."""
    registration = ClientRegistration(
        client_id=client_id,
        organisation_id=organisation_id,
        name=client_id,
        jwks={"keys": [public_jwk(KEY)]},
        redirect_uris=(REDIRECT_URI,),
        scope="records.read deliveries",
        purposes=(PURPOSE,),
    )
    with world.office.work() as work:
        clients.add(work.session, registration, is_loopback_allowed=False, now=world.clock())


def assertion(world: World, client_id: str = GATEWAY) -> str:
    seconds = int(world.clock().timestamp())
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": ISSUER,
        "jti": random_id(),
        "exp": seconds + 60,
    }
    return sign_with_jwk(claims, KEY, {"alg": KEY["alg"], "kid": KEY["kid"], "typ": "JWT"})


def inquiry(world: World, http: TestClient, token: str, signed: str | None = None) -> Callable[[], Response]:
    """A request that is ready to be sent."""
    form = {
        "token": token,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": signed or assertion(world),
    }
    return lambda: http.post("/introspect", data=form)


def ask(world: World, token: str) -> Any:  # noqa: ANN401 - any JSON
    answer = inquiry(world, world.http, token)()
    assert answer.status_code == 200, answer.text
    return answer.json()


# A flush that fails


def test_a_lock_that_comes_too_late(impatient: World) -> None:
    """On PostgreSQL nothing of ours waits for the head; on SQLite every writer waits for the other."""
    furnish(impatient)
    send = inquiry(impatient, impatient.http, impatient.granted().token)
    with locked(impatient):
        answer = send()
    if impatient.installation.data.is_sqlite:
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert answer.headers["retry-after"]
        assert answer.headers["cache-control"] == "no-store"
        answer = send()  # nothing was committed: the assertion is still good
    assert answer.json()["active"] is True


def test_nobody_is_answered_while_their_assertion_cannot_be_remembered(world: World) -> None:
    furnish(world)
    sends = [inquiry(world, world.http, world.granted().token) for _ in range(6)]
    world.tamper("ALTER TABLE seen_jti RENAME TO gone")
    answers = at_once(sends)
    world.tamper("ALTER TABLE gone RENAME TO seen_jti")
    assert {answer.status_code for answer in answers} == {500}
    assert [answer.json()["active"] for answer in at_once(sends)] == [True] * 6


def test_a_keyring_that_is_away_uses_nothing_up(world: World) -> None:
    furnish(world)
    send = inquiry(world, world.http, world.granted().token)
    world.tamper_keyring("ALTER TABLE audit_key RENAME TO gone")
    assert send().status_code == 500
    world.tamper_keyring("ALTER TABLE gone RENAME TO audit_key")
    assert send().json()["active"] is True


def test_a_key_set_that_nobody_can_read_fails_alone(world: World) -> None:
    furnish(world)
    furnish(world, "hanbit-other")
    world.tamper("UPDATE client SET jwks = '{' WHERE client_id = 'hanbit-other'")
    token = world.granted().token
    bad = inquiry(world, world.http, token, assertion(world, "hanbit-other"))
    answers = at_once([bad, *(inquiry(world, world.http, token) for _ in range(3))])
    assert [answer.status_code for answer in answers] == [500, 200, 200, 200]


# Withdrawal


def test_no_inquiry_that_begins_after_a_withdrawal_is_told_active(world: World) -> None:
    """Two workers are asked all the time, while the consent is withdrawn."""
    furnish(world)
    granted = world.granted()
    tokens = [granted.token, world.token(granted.given), world.token(granted.given, kind=TokenKind.REFRESH)]
    withdrawn = threading.Event()
    late: list[Any] = []
    early: list[Any] = []

    def hammer(http: TestClient, token: str) -> None:
        for _ in range(400):
            send = inquiry(world, http, token)
            was_withdrawn = withdrawn.is_set()
            (late if was_withdrawn else early).append(send().json())
            if len(late) > 12:
                return

    with TestClient(create_app(world.installation), base_url=ISSUER) as other:
        threads = [
            threading.Thread(target=hammer, args=(http, token))
            for http in (world.http, other)
            for token in tokens
        ]
        for thread in threads:
            thread.start()
        while len(early) < 6 and any(thread.is_alive() for thread in threads):
            time.sleep(0.005)
        world.office.withdraw(granted.grant_id)
        withdrawn.set()
        for thread in threads:
            thread.join(timeout=60)
    assert early[0]["active"] is True
    assert late
    assert late == [INACTIVE] * len(late)


def test_two_workers_take_an_assertion_once(world: World) -> None:
    furnish(world)
    token = world.granted().token
    signed = assertion(world)
    with TestClient(create_app(world.installation), base_url=ISSUER) as other:
        answers = at_once(
            [inquiry(world, (world.http, other)[number % 2], token, signed) for number in range(12)]
        )
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 11


def test_asking_takes_no_place_and_leaves_no_record(world: World) -> None:
    furnish(world)
    granted = world.granted()
    size = world.value("SELECT size FROM ledger_head")
    assert ask(world, granted.token)["active"] is True
    assert world.value("SELECT size FROM ledger_head") == size
    assert world.pull(granted.token).status_code == 200
    # The place is taken, but the same key may still take it again.
    assert ask(world, granted.token)["active"] is True


# Both stores


def asked(client_id: str, token: str) -> Inquiry:
    return Inquiry(Assertion("raw", client_id, None), hashlib.sha256(token.encode()).digest())


def on_both(twins: Twins, work: Callable[[InquiryStore], Awaitable[T]]) -> list[T]:
    async def run(store: InquiryStore) -> T:
        try:
            return await work(store)
        finally:
            await store.close()

    async def on_postgresql(copy: Databases) -> T:
        return await run(PostgresInquiries(await open_pool(copy.data_url)))

    async def on_sqlite() -> T:
        return await run(SqliteInquiries(twins.world.installation.data.path))

    return [asyncio.run(on_sqlite()), asyncio.run(on_postgresql(twins.copy))]


def test_both_know_the_same(twins: Twins) -> None:
    world = twins.world
    granted, used = world.granted(), world.granted()
    assert world.pull(used.token).status_code == 200
    with world.office.work() as work:
        other = NewOrganisation("other", "남", "Other", "1", "x@example", is_recipient=True, is_holder=False)
        register(work.session, other, world.clock())
    furnish(world)
    furnish(world, "other-app", "other")
    furnish(world, "suspended-app")
    world.tamper("UPDATE client SET status = 'suspended' WHERE client_id = 'suspended-app'")
    tokens = {
        "access": granted.token,
        "refresh": world.token(granted.given, kind=TokenKind.REFRESH),
        "used": used.token,
        "own": world.own_token(),
        "unknown": "mda_unknown",
    }
    copied(twins)
    inquiries = [
        asked(client_id, token)
        for client_id in (GATEWAY, CLIENT, "other-app", "suspended-app", "nobody")
        for token in tokens.values()
    ]

    async def look_up(store: InquiryStore) -> dict[int, Known]:
        assert await store.look_up([asked("nobody", "x")]) == {}
        return await store.look_up(inquiries)

    one, same = on_both(twins, look_up)
    assert one == same
    known = [one.get(place) for place in range(len(inquiries))]
    own, foreign, nobody = known[:10], known[10:15], known[15:]
    assert nobody == [None] * 10
    assert [it.client_id for it in own + foreign if it] == [GATEWAY] * 5 + [CLIENT] * 5 + ["other-app"] * 5
    assert [it.token for it in foreign if it] == [None] * 5
    assert [it.token for it in own[:5] if it] == [it.token for it in own[5:] if it]
    found = {name: it.token for name, it in zip(tokens, own, strict=False) if it}
    assert found.pop("unknown") is None
    assert {name: it.client_id for name, it in found.items() if it} == dict.fromkeys(found, CLIENT)
    assert {name: it.found.grant is None for name, it in found.items() if it} == {
        "access": False,
        "refresh": False,
        "used": False,
        "own": True,
    }


def test_both_use_up_the_same(twins: Twins) -> None:
    one, two, three = (Proven(name.ljust(32, b"-"), twins.world.clock()) for name in (b"1", b"2", b"3"))
    copied(twins)

    async def use_up(store: InquiryStore) -> list[set[bytes]]:
        return [await store.use_up(proven) for proven in ([two, one], [one, three, three], [one, two, three])]

    assert on_both(twins, use_up) == [[{one.jti_digest, two.jti_digest}, {three.jti_digest}, set()]] * 2
    on_sqlite, on_postgresql = twins.rows("seen_jti")
    assert on_sqlite == on_postgresql
