"""A broker with the demo's people in it, and an insurer that talks to it: both whole, in one process."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import pytest
from httpx import Response
from starlette.testclient import TestClient

from broker.app import create_app
from broker.demo.citizen import Citizen, _form_with
from broker.demo.installing import Demo, DemoPlan, install
from broker.installation import Installation, open_installation
from broker.settings import load_settings
from connectors.http import Answer, OutboundClient
from connectors.services.indemnity.recipient.app import create_insurer
from connectors.services.indemnity.recipient.book import Book
from connectors.services.indemnity.recipient.configuration import Configuration, load_configuration
from connectors.services.indemnity.recipient.database import InsurerDatabase
from connectors.services.indemnity.recipient.desk import Desk
from connectors.services.indemnity.recipient.inbox import Inbox
from connectors.services.indemnity.recipient.store import AccessWish, Case, Store
from connectors.services.relying_party.broker_client import BrokerClient
from tests.installation import Clock

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)

Tap = Callable[[str, Answer], Answer]


class Wire(OutboundClient):
    """The insurer's way to the broker, without a socket. `tap` may hold, change or cut what passes."""

    def __init__(self, broker: TestClient) -> None:
        super().__init__()
        self._broker = broker
        self.asked: list[str] = []
        self.tap: Tap = lambda _, answer: answer

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        path = urlsplit(url).path
        self.asked.append(path)
        got = self._broker.request(method, url, headers=dict(headers or {}), content=body)
        return self.tap(path, Answer(got.status_code, dict(got.headers), got.content))


@dataclass
class Insurer:
    """One insurer: its pages, its desk, its store, its wire; and the first persona in front of it."""

    configuration: Configuration
    store: Store
    book: Book
    desk: Desk
    inbox: Inbox
    wire: Wire
    http: TestClient
    broker: TestClient
    browsers: dict[str, TestClient]
    password: str

    @property
    def staff(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.configuration.staff_token}"}

    def opens_case(self, access: AccessWish = "once") -> tuple[str, str]:
        """A new case; its id, and the address that the person is sent to."""
        opened = self.http.post(f"/staff/cases?access={access}", headers=self.staff)
        assert opened.status_code == 201
        return opened.json()["case_id"], opened.json()["authorization_url"]

    def person_says(self, button: str, address: str, username: str = "haneul") -> dict[str, str]:
        """The person signs in and presses a button; the parameters that their browser comes back with.

        Each person has one browser for all tests of a module: they need not sign in every time.
        """
        citizen = Citizen(self.configuration.issuer, username, self.password)
        citizen._http.close()
        citizen._http = self.browsers.setdefault(
            username,
            TestClient(self.broker.app, base_url=self.configuration.issuer, follow_redirects=False),
        )
        page = citizen._go(address)
        answer = citizen._post(page, _form_with(page.text, button), button)
        location = answer.headers["location"]
        assert location.startswith(self.configuration.redirect_uri)
        return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}

    def comes_back(self, parameters: Mapping[str, str]) -> Response:
        """The person's browser follows the redirect."""
        answer: Response = self.http.get("/callback", params=dict(parameters))
        return answer

    def agreed(self, username: str = "haneul", access: AccessWish = "once") -> tuple[str, dict[str, str]]:
        """A case that the person agreed to, before the insurer knows of it."""
        case_id, address = self.opens_case(access)
        return case_id, self.person_says("allow", address, username)

    def case(self, case_id: str) -> Case:
        found = self.store.case(case_id)
        assert found is not None
        return found


@dataclass(frozen=True)
class BrokerInPlace:
    """A broker that runs for a whole module, how it was made, and the clock that it shares with insurers.

    `days` numbers the days of the visits that its tests make. It is the broker's own: one for a whole process
    would go on from module to module, beyond the policy year that ends 47 days after the first one.
    """

    demo: Demo
    http: TestClient
    installation: Installation
    clock: Clock
    browsers: dict[str, TestClient] = field(default_factory=dict)
    days: Iterator[int] = field(default_factory=lambda: count(1))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerInPlace]:
    directory = tmp_path_factory.mktemp("recipient") / "demo"
    plan = DemoPlan(
        directory=directory,
        database_url=f"sqlite:///{directory / 'data.db'}",
        keyring_url=f"sqlite:///{directory / 'keyring.db'}",
        port=1,
        insurer_port=2,
        client_port=3,
        acknowledge="when_told",
    )
    clock = Clock()
    clock.now = NOW
    demo = install(plan, clock)
    installation = open_installation(load_settings(demo.config, {}), clock)
    with TestClient(create_app(installation), base_url=plan.issuer, follow_redirects=False) as http:
        yield BrokerInPlace(demo, http, installation, clock)
    installation.close()
    shutil.rmtree(directory)


@pytest.fixture
def insurer(broker: BrokerInPlace, tmp_path: Path) -> Insurer:
    """An insurer with an empty store; the broker remembers those before it."""
    return set_up(broker, tmp_path)


def set_up(
    broker: BrokerInPlace, folder: Path, acknowledge: Literal["at_once", "when_told"] = "when_told"
) -> Insurer:
    configuration = replace(
        load_configuration(broker.demo.insurer_config), store=folder / "insurer.db", acknowledge=acknowledge
    )
    database, wire = InsurerDatabase(configuration.store), Wire(broker.http)
    store, book = Store(database), Book(database)
    desk = Desk(configuration, store, book, BrokerClient(configuration, wire), broker.clock)
    inbox = Inbox(configuration, wire, database)
    http = TestClient(create_insurer(configuration, store, desk, inbox), follow_redirects=False)
    return Insurer(
        configuration,
        store,
        book,
        desk,
        inbox,
        wire,
        http,
        broker.http,
        browsers=broker.browsers,
        password=broker.demo.password,
    )


@pytest.fixture
def watch(broker: BrokerInPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A `Watch` of this test's own."""
    from tests.connectors.services.indemnity.recipient.watch import watching  # noqa: PLC0415 - it builds on this file

    yield from watching(broker, tmp_path, monkeypatch)
