"""A whole broker over HTTP, with its lane: two recipients, a person, and deliveries made by real pulls."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from broker.app import create_app
from broker.db import transaction
from broker.installation import Installation
from broker.oauth import clients
from broker.web.signin import sessions
from broker.web.signin.accounts import NewAccount, Role, create_account
from consent.collection import add_subject
from consent.organisations import register
from consent.purposes import Purposes
from tests.installation import ISSUER, Clock
from tests.oauth.conftest import organisation, registration
from tests.oauth.world import (
    OTHER_REDIRECT_URI,
    PURPOSE_DECLARATION,
    REDIRECT_URI,
    Recipient,
    World,
    access_token_hash,
)
from vault.schema import random_id


@dataclass(frozen=True)
class Office:
    """The world, and what a recipient does after a consent: pull, and speak about deliveries."""

    world: World

    @property
    def http(self) -> httpx.Client:
        return self.world.http

    def grant(self) -> dict[str, Any]:
        """The token answer of a consent that was just given."""
        return self.world.tokens()

    def pull(self, access_token: str, key: str = "one") -> httpx.Response:
        insurer = self.world.insurer
        headers = bound(insurer, "/v1/deliveries", access_token) | {"Idempotency-Key": key}
        return self.http.post("/v1/deliveries", headers=headers)

    def delivery(self) -> tuple[str, str]:
        """A fresh delivery of the insurer's, and its consent."""
        answer = self.pull(self.grant()["access_token"])
        assert answer.status_code == 200, answer.text
        return answer.json()["delivery_id"], answer.json()["grant_id"]

    def own_token(self, recipient: Recipient | None = None, scope: str = "deliveries") -> str:
        answer = (recipient or self.world.insurer).own_token(scope=scope)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def say(
        self, path: str, body: object = None, *, token: str | None = None, recipient: Recipient | None = None
    ) -> httpx.Response:
        """A call on a client's own business, by default with a fresh token and proof of the insurer's."""
        speaker = recipient or self.world.insurer
        used = token or self.own_token(speaker)
        return self.http.post(path, json=body, headers=bound(speaker, path, used))

    def sign_in(self, role: Role, subject_id: str | None = None) -> dict[str, str]:
        """A cookie of somebody in this role: a new person, if none is named."""
        installation, now = self.world.installation, self.world.clock()
        with transaction(installation.data) as work:
            if role == "citizen" and subject_id is None:
                subject_id = add_subject(work, installation.keyring, now)
            new = NewAccount(role, random_id(), "no password", subject_id)
            account_id = create_account(work.session, installation.keyring, new, now)
            work.session.flush()
            cookie = sessions.open_session(work.session, account_id, now, lifetime=timedelta(hours=1))
        return {"Cookie": f"{sessions.cookie_name(ISSUER)}={cookie}"}


def bound(speaker: Recipient, path: str, access_token: str, **changes: object) -> dict[str, str]:
    """The headers of a call with a token bound to a key (RFC 9449 section 7.1)."""
    claims: dict[str, Any] = {"ath": access_token_hash(access_token)} | changes
    return {"Authorization": f"DPoP {access_token}", "DPoP": speaker.proof(path, **claims)}


@pytest.fixture
def office(installation: Installation, clock: Clock) -> Iterator[Office]:
    """An office on each kind of database."""
    yield from made(installation, clock)


@pytest.fixture
def small_office(sqlite_installation: Installation, clock: Clock) -> Iterator[Office]:
    """An office on SQLite only: for rules that no database decides."""
    yield from made(sqlite_installation, clock)


def made(bare: Installation, clock: Clock) -> Iterator[Office]:
    installation = replace(bare, purposes=Purposes.load([PURPOSE_DECLARATION]))
    with TestClient(create_app(installation), base_url=ISSUER, follow_redirects=False) as http:
        insurer = Recipient(http, clock, "insurer-claims", REDIRECT_URI)
        stranger = Recipient(http, clock, "other-app", OTHER_REDIRECT_URI)
        with transaction(installation.data) as work:
            for name in ("insurer", "other", "hospital"):
                register(work.session, organisation(name), clock())
            subject_id = add_subject(work, installation.keyring, clock())
            for recipient, owner in ((insurer, "insurer"), (stranger, "other")):
                new = registration(recipient, owner)
                clients.add(work.session, new, is_loopback_allowed=False, now=clock())
        yield Office(World(installation, clock, http, insurer, stranger, subject_id))
