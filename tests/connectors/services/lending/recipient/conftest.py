"""A broker with the demo's people in it, and a bank that talks to it: both whole, in one process."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import pytest
from httpx import Response
from starlette.testclient import TestClient

from broker.app import create_app
from broker.demo.citizen import Citizen, _form_with
from broker.demo.installing import Demo, DemoPlan, install
from broker.installation import Installation, open_installation
from broker.settings import load_settings
from connectors.services.lending.recipient.app import create_bank
from connectors.services.lending.recipient.configuration import Configuration, load_configuration
from connectors.services.lending.recipient.desk import Desk
from connectors.services.lending.recipient.store import Application, Store
from connectors.services.relying_party.answers import Answers
from connectors.services.relying_party.broker_client import BrokerClient
from connectors.services.relying_party.broker_keys import BrokerKeys
from connectors.services.relying_party.deleting import Deletion
from tests.connectors.services.indemnity.recipient.conftest import Wire
from tests.installation import Clock

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@dataclass(frozen=True)
class BrokerInPlace:
    """A broker that runs for a whole module, how it was made, and the clock that it shares with banks."""

    demo: Demo
    http: TestClient
    installation: Installation
    clock: Clock
    browsers: dict[str, TestClient] = field(default_factory=dict)


@dataclass
class Bank:
    """One bank: its pages, its desk, its store, its wire; and a person in front of it."""

    configuration: Configuration
    store: Store
    desk: Desk
    deletion: Deletion
    wire: Wire
    http: TestClient
    broker: BrokerInPlace

    @property
    def staff(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.configuration.staff_token}"}

    def opens(self, amount: int) -> tuple[str, str]:
        """A new application; its id, and the address that the person is sent to."""
        opened = self.http.post(f"/staff/applications?amount={amount}", headers=self.staff)
        assert opened.status_code == 201, opened.text
        return opened.json()["application_id"], opened.json()["authorization_url"]

    def person_says(
        self, button: str, address: str, username: str = "haneul", without: tuple[str, ...] = ()
    ) -> dict[str, str]:
        """The person signs in and presses a button; what their browser comes back with.

        `without`: values of the consent page's boxes that are left alone.
        """
        citizen = Citizen(self.configuration.issuer, username, self.broker.demo.password)
        citizen._http.close()
        citizen._http = self.broker.browsers.setdefault(
            username,
            TestClient(self.broker.http.app, base_url=self.configuration.issuer, follow_redirects=False),
        )
        page = citizen._go(address)
        form = _form_with(page.text, button)
        for name, value in list(form.values.items()):
            if isinstance(value, list):
                form.values[name] = [one for one in value if one not in without]
            elif value in without:
                del form.values[name]
        answer = citizen._post(page, form, button)
        location = answer.headers["location"]
        assert location.startswith(self.configuration.redirect_uri), location
        return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}

    def comes_back(self, parameters: Mapping[str, str]) -> Response:
        """The person's browser follows the redirect."""
        answer: Response = self.http.get("/callback", params=dict(parameters))
        return answer

    def applied(self, amount: int, username: str = "haneul", without: tuple[str, ...] = ()) -> Application:
        """An application that the person agreed to and came back from."""
        application_id, address = self.opens(amount)
        self.comes_back(self.person_says("allow", address, username, without))
        return self.application(application_id)

    def application(self, application_id: str) -> Application:
        found = self.store.find(application_id)
        assert found is not None
        return found

    def withdraws(self, grant_id: str, username: str = "haneul") -> None:
        """The person stops sharing."""
        citizen = Citizen(self.configuration.issuer, username, self.broker.demo.password)
        citizen._http.close()
        citizen._http = self.broker.browsers[username]
        citizen.stop(grant_id)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerInPlace]:
    directory = tmp_path_factory.mktemp("bank") / "demo"
    plan = DemoPlan(
        directory=directory,
        database_url=f"sqlite:///{directory / 'data.db'}",
        keyring_url=f"sqlite:///{directory / 'keyring.db'}",
        port=1,
        insurer_port=2,
        client_port=3,
        bank_port=4,
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
def bank(broker: BrokerInPlace, tmp_path: Path) -> Bank:
    """A bank with an empty store; the broker remembers those before it."""
    return set_up(broker, tmp_path)


def set_up(
    broker: BrokerInPlace, folder: Path, acknowledge: Literal["at_once", "when_told"] = "when_told"
) -> Bank:
    (installed,) = broker.demo.recipients
    configuration = replace(
        load_configuration(installed.config), store=folder / "bank.db", acknowledge=acknowledge
    )
    store, wire = Store(configuration.store), Wire(broker.http)
    client = BrokerClient(configuration, wire)
    answers = Answers(
        configuration.issuer, configuration.organisation, BrokerKeys(configuration.issuer, wire)
    )
    desk = Desk(configuration, store, client, answers, broker.clock)
    deletion = Deletion(client, store, broker.clock)
    http = TestClient(create_bank(configuration, store, desk, deletion), follow_redirects=False)
    return Bank(configuration, store, desk, deletion, wire, http, broker)
