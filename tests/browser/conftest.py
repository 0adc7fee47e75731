"""A running broker and Chromium. Nothing but localhost resolves: a page that fetched elsewhere would fail."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright
from starlette.testclient import TestClient

from broker.app import create_app
from broker.installation import Installation
from tests.browser.life import live
from tests.installation import Clock
from tests.web.stage import Stage, build

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
]
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
MOBILE: ViewportSize = {"width": 360, "height": 740}
BROWSER_PATIENCE = 120_000  # ms: a busy machine is no fault of a page
expect.set_options(timeout=BROWSER_PATIENCE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=ARGUMENTS, timeout=BROWSER_PATIENCE
        )
        yield chromium
        chromium.close()


@pytest.fixture
def stage(sqlite_installation: Installation, clock: Clock) -> Iterator[Stage]:
    """A demo broker that listens; the citizen has agreed, was pulled from, and was paid."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        issuer = f"http://localhost:{listener.getsockname()[1]}"
        installation = _issued_by(sqlite_installation, issuer)
        app = create_app(installation)
        http = TestClient(app, base_url=issuer, headers={"Origin": issuer}, follow_redirects=False)
        stage = build(installation, clock, http)
        with _serving(uvicorn.Server(uvicorn.Config(app, log_level="error")), listener):
            yield stage
        http.close()


@pytest.fixture
def lived_in(stage: Stage) -> Stage:
    """The stage after some weeks: consents in several states, pulls, a refusal, a decision."""
    live(stage)
    return stage


@pytest.fixture(params=[DESKTOP, MOBILE], ids=["desktop", "mobile"])
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A page of a browser in Korea, without JavaScript errors allowed to pass unseen."""
    context = browser.new_context(
        viewport=request.param, locale="ko-KR", timezone_id="Asia/Seoul", reduced_motion="reduce"
    )
    context.set_default_timeout(BROWSER_PATIENCE)
    yield context.new_page()
    context.close()


def _issued_by(installation: Installation, issuer: str) -> Installation:
    server = installation.settings.server.model_copy(update={"profile": "demo", "issuer": issuer})
    return replace(installation, settings=installation.settings.model_copy(update={"server": server}))


@contextmanager
def _serving(server: uvicorn.Server, listener: socket.socket) -> Iterator[None]:
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 120
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield
    server.should_exit = True
    thread.join(timeout=120)
