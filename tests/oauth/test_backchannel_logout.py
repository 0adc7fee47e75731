"""OpenID Connect Back-Channel Logout 1.0: who was told of a session hears of its end, over real HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Event, Thread
from typing import Any, Literal

import pytest
from sqlmodel import col, select

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.logging_out import end_overdue_sessions, tell_logouts
from broker.oauth import clients
from broker.oauth.models import SessionClient
from broker.oauth.session_clients import end, goes_on
from broker.oauth.tokens import SignedIn
from broker.web.signin.accounts import close_account
from consent.models import Duty
from consent.outbox import HELD_BACK, DutyKind, replay
from tests.installation import ISSUER, Clock
from tests.oauth.logging_out import SIGNED_OUT, end_session, is_signed_in, portal_of, signed_in_at
from tests.oauth.logout_receiver import Receiver, receiving
from tests.oauth.openid_world import OpenIDWorld, build
from tests.oauth.world import Recipient

EVENT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass
class Told:
    """A world with a client that hears of logouts; a person is signed in here."""

    world: OpenIDWorld
    receiver: Receiver
    portal: Recipient

    @property
    def installation(self) -> Installation:
        return self.world.installation

    def sign_in(self, client: Recipient | None = None) -> dict[str, Any]:
        """The claims of the ID token of a sign-in at the client."""
        return self.world.claims(signed_in_at(self.world, client or self.portal))

    def sign_out(self) -> None:
        assert self.world.browser.post("/ko/signout").status_code == 303

    def tell(self) -> int:
        return tell_logouts(self.installation, self.world.clock())

    def logouts(self) -> list[dict[str, Any]]:
        return self.receiver.logouts(self.world.insurer.http)

    def duties(self) -> list[Duty]:
        logouts = select(Duty).where(Duty.kind == DutyKind.TELL_LOGOUT)
        with self.installation.data.read() as session:
            return list(session.exec(logouts.order_by(col(Duty.created_at), col(Duty.duty_id))))

    def rows(self) -> int:
        with self.installation.data.read() as session:
            return len(session.exec(select(SessionClient)).all())


def told_in(
    bare: Installation, clock: Clock, profile: Literal["demo", "production"] = "demo"
) -> Iterator[Told]:
    server = bare.settings.server.model_copy(update={"profile": profile})
    installation = replace(bare, settings=bare.settings.model_copy(update={"server": server}))
    with receiving() as receiver:
        for world in build(installation, clock):
            world.sign_in()
            yield Told(world, receiver, portal_of(world, told_at=receiver.url))


@pytest.fixture
def told(installation: Installation, clock: Clock) -> Iterator[Told]:
    """On each kind of database."""
    yield from told_in(installation, clock)


@pytest.fixture
def small_told(sqlite_installation: Installation, clock: Clock) -> Iterator[Told]:
    """On SQLite only: for tests of rules that no database decides."""
    yield from told_in(sqlite_installation, clock)


def test_nobody_hears_of_a_session_that_goes_on(told: Told) -> None:
    told.sign_in()
    assert end_overdue_sessions(told.installation, told.world.clock()) == 0
    assert told.tell() == 0
    assert told.duties() == []


def test_backchannel_rp_initiated_logout(told: Told) -> None:
    told.sign_in()
    tokens = signed_in_at(told.world, told.portal)  # twice in one session is one to tell
    signed_in = told.world.claims(tokens)
    assert end_session(told.world, id_token_hint=tokens["id_token"]).headers["location"] == SIGNED_OUT
    assert told.receiver.bodies == []  # the answer waits for nobody
    assert told.tell() == 1
    (claims,) = told.logouts()
    now = int(told.world.clock().timestamp())
    assert claims.pop("jti")
    assert claims == {
        "iss": ISSUER,
        "aud": "portal",
        "sub": signed_in["sub"],
        "sid": signed_in["sid"],
        "iat": now,
        "exp": now + 120,
        "events": {EVENT: {}},
    }
    assert [duty.done_at for duty in told.duties()] == [told.world.clock()]
    assert told.rows() == 0
    assert told.tell() == 0


def test_signing_out_on_our_own_page_tells_each_client_its_own(told: Told) -> None:
    other = portal_of(told.world, "kiosk", "insurer", told_at=told.receiver.url)
    told.sign_in(told.world.stranger)  # has no address, and is in nobody's way
    one, two = told.sign_in(), told.sign_in(other)
    told.sign_out()
    told.sign_out()
    assert told.tell() == 2
    found = {claims["aud"]: (claims["sub"], claims["sid"]) for claims in told.logouts()}
    assert found == {"portal": (one["sub"], one["sid"]), "kiosk": (two["sub"], two["sid"])}
    assert one["sid"] != two["sid"]
    assert told.rows() == 0


def test_a_consent_with_a_sign_in_takes_part_too_and_stands(told: Told) -> None:
    world = told.world
    world.decide(world.arrive(world.push_records()))
    assert told.rows() == 1
    with transaction(told.installation.data) as work:
        row = work.session.exec(select(SessionClient)).one()
        assert (row.client_id, row.subject_id) == ("insurer-claims", world.subject_id)
    told.sign_out()
    assert told.rows() == 0


def test_a_code_that_is_redeemed_before_the_client_hears_signs_nobody_in(told: Told) -> None:
    world = told.world
    kiosk = portal_of(world, "kiosk", "insurer", told_at=told.receiver.url)
    asked = kiosk.push(scope="openid records.read", nonce="n-0S6_WzA2Mj")
    address = world.decide(world.arrive(asked, kiosk))
    told.sign_out()
    tokens = world.redeemed(address, kiosk)
    assert (tokens["grant_id"] != "", "id_token" in tokens) == (True, False)
    assert told.tell() == 1


def test_who_ends_a_session_waits_for_who_is_being_told_of_it(told: Told) -> None:
    """Else a client could get an ID token after it has heard that the session is over."""
    told.sign_in()
    data, now = told.installation.data, told.world.clock()
    with data.read() as session:
        row = session.exec(select(SessionClient)).one()
    signed_in, has_ended = SignedIn(row.subject_id, now, "any", row.sid_digest), Event()

    def sign_out() -> None:
        with transaction(data) as work:
            end(work.session, row.session_digest, now)
        has_ended.set()

    other = Thread(target=sign_out)
    with transaction(data) as work:
        assert goes_on(work.session, row.client_id, signed_in)
        other.start()
        assert not has_ended.wait(0.5)
    assert has_ended.wait(120)
    other.join()
    with transaction(data) as work:
        assert not goes_on(work.session, row.client_id, signed_in)


def test_a_suspended_client_hears_of_it_too(told: Told) -> None:
    """It is refused whatever it asks; that somebody has signed out is for them, and not for it."""
    claims = told.sign_in()
    with transaction(told.installation.data) as work:
        clients.suspend(work.session, told.portal.client_id)
    told.sign_out()
    assert told.tell() == 1
    assert [logout["sid"] for logout in told.logouts()] == [claims["sid"]]


def test_a_refused_sign_in_takes_no_part(small_told: Told) -> None:
    world = small_told.world
    world.decide(world.arrive(world.push(small_told.portal), small_told.portal), "deny")
    assert small_told.rows() == 0


def test_an_account_that_is_erased_signs_out_everywhere(told: Told) -> None:
    claims = told.sign_in()
    with transaction(told.installation.data) as work:
        close_account(work.session, told.world.subject_id, told.world.clock())
    assert told.tell() == 1
    assert [logout["sid"] for logout in told.logouts()] == [claims["sid"]]
    assert not is_signed_in(told.world)


@pytest.mark.parametrize("over", ["idle_minutes", "absolute_hours"])
def test_a_session_that_time_has_ended_is_told_of(told: Told, over: str) -> None:
    claims = told.sign_in()
    rules = told.installation.settings.session
    is_idle = over == "idle_minutes"
    life = timedelta(minutes=rules.idle_minutes) if is_idle else timedelta(hours=rules.absolute_hours)
    told.world.clock.advance(life + timedelta(seconds=1))
    assert end_overdue_sessions(told.installation, told.world.clock()) == 1
    assert end_overdue_sessions(told.installation, told.world.clock()) == 0
    assert told.tell() == 1
    assert [logout["sid"] for logout in told.logouts()] == [claims["sid"]]


def test_who_signs_in_again_stays_signed_in_elsewhere_until_the_end(told: Told) -> None:
    world = told.world
    before = told.sign_in()
    page = world.browser.get(world.arrive(world.push(told.portal, prompt="login"), told.portal))
    world.sign_in(page=page.headers["location"])
    assert told.tell() == 0
    after = told.sign_in()
    told.sign_out()
    assert told.tell() == 2
    assert {logout["sid"] for logout in told.logouts()} == {before["sid"], after["sid"]}


def test_somebody_else_who_signs_in_takes_no_session_over(small_told: Told) -> None:
    """The first one's ends, since no cookie leads to it any more; nothing of it becomes the second one's."""
    first = small_told.sign_in()
    small_told.world.sign_in("jeongsuk", page="/ko/signin?again=1")
    assert small_told.tell() == 1
    second = small_told.sign_in()
    small_told.sign_out()
    assert small_told.tell() == 1
    assert [logout["sid"] for logout in small_told.logouts()] == [first["sid"], second["sid"]]
    assert first["sub"] != second["sub"]


@pytest.mark.parametrize("status", [204, 200])
def test_answers_that_take_it(small_told: Told, status: int) -> None:
    small_told.receiver.will(status)
    small_told.sign_in()
    small_told.sign_out()
    assert small_told.tell() == 1


@pytest.mark.parametrize("status", [201, 202, 302, 400, 500, 503])
def test_what_is_not_taken_is_tried_again_with_a_new_token(small_told: Told, status: int) -> None:
    small_told.receiver.will(status, 200)
    small_told.sign_in()
    small_told.sign_out()
    assert small_told.tell() == 0
    (duty,) = small_told.duties()
    assert duty.fault is not None
    assert small_told.tell() == 0  # not before its time
    small_told.world.clock.advance(timedelta(seconds=3))
    assert small_told.tell() == 1
    first, second = small_told.logouts()
    assert first["jti"] != second["jti"]
    assert first["sid"] == second["sid"]


def test_one_that_is_away_costs_one_try_and_is_given_up_in_the_end(told: Told) -> None:
    told.receiver.will(500)
    for _ in range(2):
        told.sign_in()
        told.sign_out()
        told.world.sign_in()
    assert told.tell() == 0
    assert len(told.receiver.bodies) == 1
    assert {duty.fault for duty in told.duties()} == {"answered_500", HELD_BACK}
    days = told.installation.settings.events.give_up_days
    told.world.clock.advance(timedelta(days=days))
    assert told.tell() == 0
    dead = [duty for duty in told.duties() if duty.dead_at is not None]
    assert [duty.fault for duty in dead] == ["answered_500"]
    told.receiver.will(200)
    with transaction(told.installation.data) as work:
        assert replay(work.session, dead[0].duty_id, told.world.clock()) == 1
    assert told.tell() == 2  # what was held back is due as well
    assert told.rows() == 0


def test_a_private_address_is_never_called_in_production(
    sqlite_installation: Installation, clock: Clock
) -> None:
    for told in told_in(sqlite_installation, clock, "production"):
        told.sign_in()
        told.sign_out()
        assert told.tell() == 0
        assert told.receiver.bodies == []
        assert [duty.fault is None for duty in told.duties()] == [False]
