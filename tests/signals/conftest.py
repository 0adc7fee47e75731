"""A broker over HTTP with two recipients, a person, and a server that events are pushed to."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

import broker.jobs.pushing
from broker.app import create_app
from broker.db import transaction
from broker.installation import Installation
from broker.oauth import clients
from connectors.http import Limits
from consent.collection import add_subject
from consent.organisations import register
from consent.purposes import Purposes
from tests.connectors.sources.double import serving_double
from tests.installation import ISSUER, Clock
from tests.oauth.conftest import organisation, registration
from tests.oauth.world import OTHER_REDIRECT_URI, PURPOSE_DECLARATION, REDIRECT_URI, Recipient, World
from tests.signals.receiver import Receiver

SCOPE = "records.read deliveries obligations ssf"
PATIENT = Limits(read_seconds=60, total_seconds=60, response_bytes=1000, attempts=1)


@pytest.fixture
def receiver(installation: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver on each kind of database, in the demo profile, where this machine can be called."""
    monkeypatch.setattr(broker.jobs.pushing, "LIMITS", PATIENT)
    yield from made(installation, clock, "demo")


@pytest.fixture
def small_receiver(
    sqlite_installation: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Receiver]:
    """A receiver on SQLite only: for rules that no database decides."""
    monkeypatch.setattr(broker.jobs.pushing, "LIMITS", PATIENT)
    yield from made(sqlite_installation, clock, "demo")


@pytest.fixture
def strict_receiver(
    sqlite_installation: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Receiver]:
    """A receiver of a broker in production, which calls nobody on this machine."""
    monkeypatch.setattr(broker.jobs.pushing, "LIMITS", PATIENT)
    yield from made(sqlite_installation, clock, "production")


def made(bare: Installation, clock: Clock, profile: str) -> Iterator[Receiver]:
    server = bare.settings.server.model_copy(update={"profile": profile})
    settings = bare.settings.model_copy(update={"server": server})
    installation = replace(bare, settings=settings, purposes=Purposes.load([PURPOSE_DECLARATION]))
    with (
        serving_double() as double,
        TestClient(create_app(installation), base_url=ISSUER, follow_redirects=False) as http,
    ):
        insurer = Recipient(http, clock, "insurer-claims", REDIRECT_URI)
        stranger = Recipient(http, clock, "other-app", OTHER_REDIRECT_URI)
        with transaction(installation.data) as work:
            for name in ("insurer", "other", "hospital"):
                register(work.session, organisation(name), clock())
            subject_id = add_subject(work, installation.keyring, clock())
            for recipient, owner in ((insurer, "insurer"), (stranger, "other")):
                new = registration(recipient, owner).model_copy(update={"scope": SCOPE})
                clients.add(work.session, new, is_loopback_allowed=False, now=clock())
        yield Receiver(World(installation, clock, http, insurer, stranger, subject_id), double)
