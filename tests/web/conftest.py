"""The stage on which the tests of the pages play."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import pytest
from starlette.testclient import TestClient

from broker.app import create_app
from broker.installation import Installation
from tests.installation import ISSUER, Clock
from tests.web.stage import Stage, build


@pytest.fixture
def stage(sqlite_installation: Installation, clock: Clock) -> Iterator[Stage]:
    """A demo broker, and a browser that says where its forms come from. Nobody is signed in."""
    yield from _staged(_with_profile(sqlite_installation, "demo"), clock)


@pytest.fixture
def production_stage(sqlite_installation: Installation, clock: Clock) -> Iterator[Stage]:
    """The same broker in the production profile."""
    yield from _staged(sqlite_installation, clock)


@pytest.fixture
def signed_in(stage: Stage) -> Stage:
    """The stage with the first citizen signed in."""
    assert stage.sign_in().status_code == 303
    return stage


def _staged(installation: Installation, clock: Clock) -> Iterator[Stage]:
    app = create_app(installation)
    # The lane is not started: no page needs it.
    http = TestClient(app, base_url=ISSUER, headers={"Origin": ISSUER}, follow_redirects=False)
    yield build(installation, clock, http)
    http.close()


def _with_profile(installation: Installation, profile: Literal["demo", "production"]) -> Installation:
    server = installation.settings.server.model_copy(update={"profile": profile})
    return replace(installation, settings=installation.settings.model_copy(update={"server": server}))
