"""A broker with two recipients and a person, for the tests of the authorization server."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import cache

import pytest
from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute

from broker.db import transaction
from broker.errors import install_error_handlers
from broker.installation import Installation
from broker.lane.routes import lane_routes, open_lane
from broker.logs import quiet_authlib
from broker.oauth import clients, grant_routes, registration_routes
from broker.oauth.clients import ClientRegistration
from broker.oauth.routes import create_router
from consent.models import Subject
from consent.organisations import NewOrganisation, register
from consent.purposes import Purposes
from tests.installation import ISSUER, Clock
from tests.oauth.asking import Asking
from tests.oauth.asking import build as build_asking
from tests.oauth.openid_world import OpenIDWorld
from tests.oauth.openid_world import build as build_openid_world
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


@pytest.fixture
def lane_world(installation: Installation, clock: Clock) -> Iterator[World]:
    """A world whose lane runs, on each kind of database."""
    yield from made(installation, clock, lifespan=run_lane)


@pytest.fixture
def small_lane_world(sqlite_installation: Installation, clock: Clock) -> Iterator[World]:
    """A world whose lane runs, on SQLite only."""
    yield from made(sqlite_installation, clock, lifespan=run_lane)


@asynccontextmanager
async def run_lane(app: FastAPI) -> AsyncIterator[None]:
    async with open_lane(app.state.installation) as lane:
        app.state.lane = lane
        yield


@cache
def _routes() -> tuple[BaseRoute, ...]:
    router = APIRouter()
    router.routes.extend(lane_routes())
    for part in (create_router(), grant_routes.router, registration_routes.router):
        router.include_router(part)
    return tuple(router.routes)


def made(
    bare: Installation,
    clock: Clock,
    *,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
) -> Iterator[World]:
    installation = replace(bare, purposes=Purposes.load([PURPOSE_DECLARATION]))
    quiet_authlib()
    app = FastAPI(lifespan=lifespan)
    app.state.installation = installation
    app.router.routes.extend(_routes())
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


@pytest.fixture
def openid(installation: Installation, clock: Clock) -> Iterator[OpenIDWorld]:
    """The whole broker with people who sign in, on each kind of database."""
    yield from build_openid_world(installation, clock)


@pytest.fixture
def small_openid(sqlite_installation: Installation, clock: Clock) -> Iterator[OpenIDWorld]:
    """The same on SQLite only: for tests of rules that no database decides."""
    yield from build_openid_world(sqlite_installation, clock)


@pytest.fixture
def asking(openid: OpenIDWorld) -> Iterator[Asking]:
    """A recipient that asks without a browser, on each kind of database."""
    yield from build_asking(openid)


@pytest.fixture
def small_asking(small_openid: OpenIDWorld) -> Iterator[Asking]:
    """The same on SQLite only: for tests of rules that no database decides."""
    yield from build_asking(small_openid)
