"""A broker with two recipients and a person, for the tests of the authorization server."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi import FastAPI

from broker.db import transaction
from broker.errors import install_error_handlers
from broker.installation import Installation
from broker.oauth import clients
from broker.oauth.clients import ClientRegistration
from broker.oauth.routes import create_router
from consent.models import Subject
from consent.organisations import NewOrganisation, register
from consent.purposes import Purposes
from tests.installation import ISSUER, Clock
from tests.oauth.transport import serving
from tests.oauth.world import OTHER_REDIRECT_URI, PURPOSE, PURPOSE_DECLARATION, REDIRECT_URI, Recipient, World
from vault.jose import public_jwk
from vault.schema import random_id


@pytest.fixture
def world(installation: Installation, clock: Clock) -> Iterator[World]:
    """A world on each kind of database."""
    yield from made(installation, clock)


@pytest.fixture
def small_world(sqlite_installation: Installation, clock: Clock) -> Iterator[World]:
    """A world on SQLite only: for tests of rules that no database decides."""
    yield from made(sqlite_installation, clock)


def made(bare: Installation, clock: Clock) -> Iterator[World]:
    installation = replace(bare, purposes=Purposes.load([PURPOSE_DECLARATION]))
    app = FastAPI()
    app.state.installation = installation
    app.include_router(create_router())
    install_error_handlers(app)
    with serving(app, ISSUER) as http:
        insurer = Recipient(http, clock, "insurer-claims", REDIRECT_URI)
        stranger = Recipient(http, clock, "other-app", OTHER_REDIRECT_URI)
        subject_id = random_id()
        with transaction(installation.data) as work:
            for name in ("insurer", "other", "hospital"):
                register(work.session, organisation(name), clock())
            work.session.add(Subject(subject_id=subject_id, created_at=clock()))
            work.session.flush()
            for recipient, owner in ((insurer, "insurer"), (stranger, "other")):
                clients.add(
                    work.session, registration(recipient, owner), is_loopback_allowed=False, now=clock()
                )
        yield World(installation, clock, http, insurer, stranger, subject_id)


def organisation(name: str) -> NewOrganisation:
    return NewOrganisation(
        organisation_id=name,
        name_ko=name,
        name_en=name,
        registration_number="000-00-00000",
        contact="privacy@example",
        is_recipient=name != "hospital",
        is_holder=name == "hospital",
    )


def registration(recipient: Recipient, owner: str) -> ClientRegistration:
    return ClientRegistration(
        client_id=recipient.client_id,
        organisation_id=owner,
        name=owner,
        jwks={"keys": [public_jwk(recipient.key)]},
        redirect_uris=(recipient.redirect_uri,),
        scope="records.read deliveries obligations",
        purposes=(PURPOSE,),
    )
