"""Pushing notices: signed, patient, and never to an address that is private."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, Literal

import pytest

import broker.jobs.pushing
from broker.installation import Installation
from broker.jobs.hooking import CONFIRMATION, NOTICE, push_notices
from broker.jobs.notifying import notify, summarise
from connectors.http import Limits
from consent.contacts import NewContact, add_contact, contacts_of
from consent.ledger.models import LedgerEntry
from consent.models import Duty
from consent.notification_wishes import Channel, Schedule, Wishes
from consent.outbox import HELD_BACK, DutyKind
from consent.vocabulary import EventType
from tests.connectors.sources.double import Double, Reply, serving_double, silence
from tests.consent.office import RECIPIENT, Office, open_office
from tests.consent.telling import CODE, duties, happens, reachable, wish
from tests.installation import ISSUER, Clock
from vault.jose import public_jwks, verify_jwt

PATIENT: Final = Limits(read_seconds=60, total_seconds=60, response_bytes=1000, attempts=1)
SHORT: Final = replace(PATIENT, read_seconds=0.3, total_seconds=0.5)  # for who is silent on purpose
RELEASED: Final = EventType.DELIVERY_RELEASED
TAKEN: Final = Reply(202)


@dataclass
class Hook:
    """An office whose person has named an endpoint, which is a double."""

    office: Office
    double: Double
    grant_id: str

    @property
    def installation(self) -> Installation:
        return self.office.installation

    def push(self) -> int:
        notify(self.installation, self.office.clock())
        return push_notices(self.installation, self.office.clock())

    def claims(self) -> list[dict[str, Any]]:
        """What the double was sent, verified with the broker's published keys."""
        keys = public_jwks(self.installation.keyring.service_keys("oauth"))
        return [
            verify_jwt(token, keys, algorithms=["ES256"], typ="secevent+jwt")[1]
            for token in self.double.tokens
        ]

    def open_duties(self) -> list[Duty]:
        found = duties(self.office, DutyKind.PUSH_NOTICE, DutyKind.PUSH_CODE)
        return [duty for duty in found if duty.done_at is None and duty.dead_at is None]

    def fault(self) -> str | None:
        with self.installation.data.read() as session:
            office = self.office
            (found,) = contacts_of(session, office.keyring, office.subject_id, office.clock())
        return found.fault


def with_profile(bare: Installation, profile: Literal["demo", "production"]) -> Installation:
    server = bare.settings.server.model_copy(update={"profile": profile})
    return replace(bare, settings=bare.settings.model_copy(update={"server": server}))


def hooked(bare: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    monkeypatch.setattr(broker.jobs.pushing, "LIMITS", PATIENT)
    office = open_office(with_profile(bare, "demo"), clock)
    grant_id = office.agree().grant_id
    notify(office.installation, clock())
    with serving_double() as double:
        reachable(office, Channel.WEBHOOK, double.url)
        double.will(TAKEN)
        hook = Hook(office, double, grant_id)
        hook.push()  # the duty of the code, which is confirmed already
        assert double.tokens == []
        yield hook


@pytest.fixture
def hook(installation: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    yield from hooked(installation, clock, monkeypatch)


@pytest.fixture
def sqlite_hook(
    sqlite_installation: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hook]:
    """For what no database decides."""
    yield from hooked(sqlite_installation, clock, monkeypatch)


def test_a_notice_is_a_signed_event_without_a_record(hook: Hook) -> None:
    happens(hook.office, hook.grant_id, RELEASED, payload="deadbeef")
    assert hook.push() == 1
    assert hook.push() == 0
    (claims,) = hook.claims()
    assert (claims["iss"], claims["aud"]) == (ISSUER, hook.double.url)
    assert claims["events"] == {
        NOTICE: {
            "kind": "pulls",
            "event": RELEASED,
            "at": "2026-12-01T00:00:00Z",
            "page": f"{ISSUER}/ko/inbox",
            "organisation": RECIPIENT,
        }
    }
    assert "deadbeef" not in str(claims)


def test_one_that_is_away_is_tried_once_and_hears_everything_when_it_is_back(hook: Hook) -> None:
    for _ in range(3):
        happens(hook.office, hook.grant_id, RELEASED)
    hook.double.will(Reply(503))
    assert hook.push() == 0
    assert len(hook.double.tokens) == 1
    assert hook.fault() == "answered_503"
    assert sorted(str(duty.fault) for duty in hook.open_duties()) == ["answered_503", HELD_BACK, HELD_BACK]
    hook.double.will(TAKEN)
    hook.office.clock.advance(timedelta(seconds=10))
    assert hook.push() == 3
    assert hook.fault() is None
    jtis = [claims["jti"] for claims in hook.claims()]
    assert len(jtis) == 4
    assert len(set(jtis)) == 3


def test_one_that_never_answers_is_given_up_after_days(
    sqlite_hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = sqlite_hook
    monkeypatch.setattr(broker.jobs.pushing, "LIMITS", SHORT)
    happens(hook.office, hook.grant_id, RELEASED)
    hook.double.will(silence(1))
    assert hook.push() == 0
    hook.office.clock.advance(timedelta(days=5))
    assert hook.push() == 0
    assert hook.open_duties() == []
    (dead,) = (duty for duty in duties(hook.office, DutyKind.PUSH_NOTICE) if duty.dead_at)
    assert dead.fault == "timed_out"


@pytest.mark.parametrize(
    "address",
    [
        "https://127.0.0.1/in",
        "https://10.0.0.8/in",
        "https://169.254.169.254/latest",
        "http://127.0.0.1:1/in",
        "https://xn--a.kr/",  # no name of anything: once it ended the worker, again after each start
        "https://[::1",
    ],
)
def test_a_private_address_is_never_called(sqlite_hook: Hook, address: str) -> None:
    hook = sqlite_hook
    reachable(hook.office, Channel.WEBHOOK, address)
    happens(hook.office, hook.grant_id, RELEASED)
    production = with_profile(hook.installation, "production")
    notify(production, hook.office.clock())
    assert push_notices(production, hook.office.clock()) == 0
    assert hook.open_duties() == []  # another try would be no use
    assert hook.fault() in {"address_not_public", "address_refused"}
    assert hook.double.tokens == []


def test_a_code_goes_out_and_nothing_else_with_it(sqlite_hook: Hook) -> None:
    hook, office = sqlite_hook, sqlite_hook.office
    with office.work() as work:
        new = NewContact(office.subject_id, Channel.WEBHOOK, hook.double.url, CODE, "ko")
        add_contact(work.session, office.keyring, new, office.clock())
    assert hook.push() == 1
    (claims,) = hook.claims()
    assert claims["events"] == {CONFIRMATION: {"code": CODE}}


def test_a_code_for_an_address_that_is_none_stops_nobody(sqlite_hook: Hook) -> None:
    hook, office = sqlite_hook, sqlite_hook.office
    stranger = office.newcomer()
    with office.work() as work:
        new = NewContact(stranger, Channel.WEBHOOK, "https://xn--a.kr/", CODE, "ko")
        add_contact(work.session, office.keyring, new, office.clock())
    happens(office, hook.grant_id, RELEASED)
    assert hook.push() == 1
    assert hook.open_duties() == []


def test_a_digest_counts_what_it_holds(sqlite_hook: Hook) -> None:
    hook = sqlite_hook
    wish(hook.office, Wishes(Schedule.DAILY, Schedule.DAILY))
    for event in (RELEASED, RELEASED, EventType.DELIVERY_REFUSED):
        happens(hook.office, hook.grant_id, event)
    assert hook.push() == 0
    hook.office.clock.advance(timedelta(days=1))
    summarise(hook.installation, hook.office.clock())
    assert hook.push() == 1
    told = hook.claims()[0]["events"][NOTICE]
    assert told["kind"] == "digest"
    counted = {(line["event"], line["organisation"], line["count"]) for line in told["digest"]}
    assert counted == {(RELEASED, RECIPIENT, 2), (EventType.DELIVERY_REFUSED, RECIPIENT, 1)}


def test_what_cannot_be_read_holds_up_nobody(sqlite_hook: Hook) -> None:
    hook = sqlite_hook
    happens(hook.office, hook.grant_id, RELEASED)
    notify(hook.installation, hook.office.clock())
    with hook.installation.data.write() as session:
        row = session.get_one(LedgerEntry, hook.office.log_size() - 1)
        row.leaf = b"{"
    happens(hook.office, hook.grant_id, EventType.DELIVERY_REPEATED)
    assert hook.push() == 1
    (dead,) = (duty for duty in duties(hook.office, DutyKind.PUSH_NOTICE) if duty.dead_at)
    assert dead.fault == "unreadable"
