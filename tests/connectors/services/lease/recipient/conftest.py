"""A broker with the demo's people in it, and a contract service that talks to it: both in one process."""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest
from httpx import Response
from starlette.testclient import TestClient

from broker.app import create_app
from broker.demo.citizen import Citizen, _form_with
from broker.demo.installing import Demo, DemoPlan, install
from broker.demo.lease.service import HOME, PEOPLE
from broker.installation import Installation, open_installation
from broker.settings import load_settings
from connectors.http import Answer, OutboundClient
from connectors.services.lease.recipient.app import create_service
from connectors.services.lease.recipient.configuration import Configuration, load_configuration
from connectors.services.lease.recipient.desk import Desk
from connectors.services.lease.recipient.store import Lease, Store
from connectors.services.relying_party.answers import Answers
from connectors.services.relying_party.broker_client import BrokerClient
from connectors.services.relying_party.broker_keys import BrokerKeys
from connectors.services.relying_party.deleting import Deletion
from tests.installation import Clock

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
_LINK: Final = re.compile(r'id="link-(tenant|landlord)" value="[^"]*(/in/[^"]+)"')

Tap = Callable[[str, Answer], Answer]


class Wire(OutboundClient):
    """The service's way to the broker, without a socket. `tap` may hold, change or cut what passes."""

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


@dataclass(frozen=True)
class BrokerInPlace:
    """A broker that runs for a whole module, how it was made, and the clock that it shares with services."""

    demo: Demo
    http: TestClient
    installation: Installation
    clock: Clock
    browsers: dict[str, TestClient]


@dataclass
class Service:
    """One contract service: its desk, store and wire, and a browser at it for each persona."""

    configuration: Configuration
    store: Store
    desk: Desk
    deletion: Deletion
    wire: Wire
    app: object
    broker: BrokerInPlace
    browsers: dict[str, TestClient]

    @property
    def staff(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.configuration.staff_token}"}

    def browser(self, role: str) -> TestClient:
        """The browser of whoever has this role, at the service; cookies stay in it."""
        return self.browsers.setdefault(
            role,
            TestClient(self.app, base_url="http://contracts.test", follow_redirects=False),  # type: ignore[arg-type]
        )

    def begins(self, **changes: str) -> tuple[Lease, dict[str, str]]:
        """The agent begins; the lease, and the path of each person's page."""
        agent = self.browser("agent")
        begun = agent.post("/leases", data=dict(HOME) | changes)
        assert begun.status_code == 303, begun.text
        own = begun.headers["location"]
        links = {"agent": own, **dict(_LINK.findall(agent.get(own).text))}
        party = self.store.party_of(own.rpartition("/")[2])
        assert party is not None
        lease = self.store.lease(party.lease_id)
        assert lease is not None
        return lease, links

    def goes(self, role: str, link: str) -> str:
        """The person presses the button; the address at the broker that they are sent to."""
        answer = self.browser(role).post(f"{link}/sign")
        assert answer.status_code == 303
        return str(answer.headers["location"])

    def decides(self, role: str, address: str, button: str = "allow") -> dict[str, str]:
        """The person decides at the broker; the parameters that the browser comes back with."""
        username = PEOPLE[role]
        citizen = Citizen(self.configuration.issuer, username, self.broker.demo.password)
        citizen._http.close()
        citizen._http = self.broker.browsers.setdefault(
            username,
            TestClient(self.broker.http.app, base_url=self.configuration.issuer, follow_redirects=False),
        )
        page = citizen._go(address)
        answer = citizen._post(page, _form_with(page.text, button), button)
        location = answer.headers["location"]
        assert location.startswith(self.configuration.redirect_uri), location
        return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}

    def comes_back(self, role: str, parameters: Mapping[str, str]) -> Response:
        answer: Response = self.browser(role).get("/callback", params=dict(parameters))
        return answer

    def signs(self, role: str, link: str, button: str = "allow") -> None:
        answer = self.comes_back(role, self.decides(role, self.goes(role, link), button))
        assert answer.status_code == 303
        assert answer.headers["location"] == link

    def all_sign(self) -> tuple[Lease, dict[str, str]]:
        lease, links = self.begins()
        for role, link in links.items():
            self.signs(role, link)
        return self.lease(lease.lease_id), links

    def sees(self, role: str, link: str) -> str:
        return str(self.browser(role).get(link).text)

    def lease(self, lease_id: str) -> Lease:
        found = self.store.lease(lease_id)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerInPlace]:
    directory = tmp_path_factory.mktemp("contracts") / "demo"
    plan = DemoPlan(
        directory=directory,
        database_url=f"sqlite:///{directory / 'data.db'}",
        keyring_url=f"sqlite:///{directory / 'keyring.db'}",
        port=1,
        insurer_port=2,
        client_port=3,
        acknowledge="when_told",
        contracts_port=4,
    )
    clock = Clock()
    clock.now = NOW
    demo = install(plan, clock)
    installation = open_installation(load_settings(demo.config, {}), clock)
    with TestClient(create_app(installation), base_url=plan.issuer, follow_redirects=False) as http:
        yield BrokerInPlace(demo, http, installation, clock, {})
    installation.close()
    shutil.rmtree(directory)


@pytest.fixture
def service(broker: BrokerInPlace, tmp_path: Path) -> Service:
    """A service with an empty store; the broker remembers those before it."""
    (installed,) = broker.demo.recipients
    configuration = replace(load_configuration(installed.config), store=tmp_path / "contracts.db")
    wire, store = Wire(broker.http), Store(configuration.store)
    client = BrokerClient(configuration, wire)
    keys = BrokerKeys(configuration.issuer, wire)
    answers = Answers(configuration.issuer, configuration.recipient_id, keys)
    desk = Desk(configuration, store, client, answers, broker.clock)
    deletion = Deletion(client, store, broker.clock)
    app = create_service(configuration, store, desk, deletion)
    return Service(configuration, store, desk, deletion, wire, app, broker, {})
