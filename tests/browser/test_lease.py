"""A lease in Chromium: three people in three sessions; nothing is shown before all have signed."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from broker.app import create_app
from broker.demo.installing import DemoPlan, install
from broker.demo.lease.service import HOME, PEOPLE
from broker.installation import open_installation
from broker.settings import load_settings
from connectors.http import Limits, OutboundClient
from connectors.services.lease.recipient.app import create_service
from connectors.services.lease.recipient.configuration import load_configuration
from connectors.services.lease.recipient.desk import Desk
from connectors.services.lease.recipient.store import Store
from connectors.services.relying_party.answers import Answers
from connectors.services.relying_party.broker_client import BrokerClient
from connectors.services.relying_party.broker_keys import BrokerKeys
from connectors.services.relying_party.deleting import Deletion
from tests.browser.conftest import ARGUMENTS, BROWSER_PATIENCE, CHROMIUM, DESKTOP, MOBILE, _serving
from tests.browser.test_pages import violations

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDTHS: tuple[ViewportSize, ...] = (DESKTOP, MOBILE)


@dataclass(frozen=True)
class Site:
    """A broker and a contract service that listen, and the one password of the demo's people."""

    issuer: str
    service: str
    password: str


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        broker, service = (stack.enter_context(socket.socket()) for _ in range(2))
        for listener in (broker, service):
            listener.bind(("127.0.0.1", 0))
        plan = DemoPlan(
            directory=tmp_path / "demo",
            database_url=f"sqlite:///{tmp_path / 'demo' / 'data.db'}",
            keyring_url=f"sqlite:///{tmp_path / 'demo' / 'keyring.db'}",
            port=broker.getsockname()[1],
            insurer_port=1,
            client_port=2,
            acknowledge="at_once",
            contracts_port=service.getsockname()[1],
        )
        demo = install(plan, now)
        installation = open_installation(load_settings(demo.config, {}), now)
        stack.callback(installation.close)
        (installed,) = demo.recipients
        configuration = load_configuration(installed.config)
        http = stack.enter_context(OutboundClient(Limits(attempts=1), allow_loopback=True))
        client, store = BrokerClient(configuration, http), Store(configuration.store)
        keys = BrokerKeys(configuration.issuer, http)
        desk = Desk(configuration, store, client, Answers(plan.issuer, "zipsign", keys), now)
        app = create_service(configuration, store, desk, Deletion(client, store, now))
        for served, listener in ((create_app(installation), broker), (app, service)):
            server = uvicorn.Server(uvicorn.Config(served, log_level="error"))
            stack.enter_context(_serving(server, listener))
        yield Site(plan.issuer, installed.recipient.url, demo.password)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    arguments = [one.replace("EXCLUDE localhost", "EXCLUDE 127.0.0.1") for one in ARGUMENTS]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=arguments, timeout=BROWSER_PATIENCE
        )
        yield chromium
        chromium.close()


@pytest.fixture
def pages(browser: Browser) -> Iterator[dict[str, Page]]:
    """A browser session for each of the three."""
    contexts = {
        role: browser.new_context(
            viewport=DESKTOP, locale="ko-KR", timezone_id="Asia/Seoul", reduced_motion="reduce"
        )
        for role in PEOPLE
    }
    for context in contexts.values():
        context.set_default_timeout(BROWSER_PATIENCE)
    yield {role: context.new_page() for role, context in contexts.items()}
    for context in contexts.values():
        context.close()


def look(page: Page, name: str, folder: Path) -> list[str]:
    """A picture at both widths; what is wrong with the page."""
    wrong = []
    for size in WIDTHS:
        page.set_viewport_size(size)
        page.screenshot(path=folder / f"{name}-{size['width']}.png", full_page=True)
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wrong.append(f"{name}: wider than {size['width']}")
    page.set_viewport_size(DESKTOP)
    return wrong + [f"{name}: {found}" for found in violations(page)]


def test_three_people_sign_a_lease(site: Site, pages: dict[str, Page], tmp_path: Path) -> None:
    wrong: list[str] = []
    agent = pages["agent"]
    agent.goto(site.service)
    wrong += look(agent, "start", tmp_path)
    for name, value in HOME.items():
        agent.fill(f"#{name}", value)
    agent.click("#begin")
    links = {
        "agent": agent.url,
        **{role: agent.input_value(f"#link-{role}") for role in ("tenant", "landlord")},
    }
    wrong += look(agent, "agent-invites", tmp_path)
    for role in ("agent", "tenant", "landlord"):
        page = pages[role]
        page.goto(links[role])
        expect(page.locator("#findings")).to_have_count(0)
        wrong += look(page, f"{role}-link", tmp_path)
        page.click("#sign")
        page.fill("#username", PEOPLE[role])
        page.fill("#password", site.password)
        page.click("#login")
        expect(page.locator("#deal")).to_contain_text(HOME["address"])
        wrong += look(page, f"{role}-consent", tmp_path)
        page.click("#allow")
        page.wait_for_url(f"{site.service}/in/*")
        if role != "landlord":
            expect(page.locator("#waiting")).to_be_visible()
            wrong += look(page, f"{role}-waiting", tmp_path)
    wrong += broker_pages(pages["tenant"], site, tmp_path)
    for role, page in pages.items():
        page.goto(links[role])
        expect(page.locator("#findings")).to_be_visible()
        wrong += look(page, f"{role}-findings", tmp_path)
        page.click("#contract")
        expect(page.locator("h1")).to_have_text("주택 임대차 계약서")
    assert wrong == []


def broker_pages(page: Page, site: Site, folder: Path) -> list[str]:
    """The tenant's consent and the deal's page at the broker: roles and kinds, no items of others."""
    page.goto(f"{site.issuer}/ko")
    page.locator("a[href*='/ko/consents/']").first.click()
    wrong = look(page, "tenant-detail", folder)
    page.click("#deal")
    assert urlsplit(page.url).path.startswith("/ko/deals/")
    body = page.locator("main")
    expect(body).to_contain_text(HOME["address"])
    expect(body).to_contain_text("모두 동의함")
    for private in ("납세증명", "등기사항전부증명서", "확정일자 기록", "최영수", "오세라"):
        expect(body).not_to_contain_text(private)
    wrong += look(page, "tenant-deal", folder)
    return wrong


def test_one_who_says_no_ends_it_and_a_stranger_to_the_role_is_turned_away(
    site: Site, pages: dict[str, Page], tmp_path: Path
) -> None:
    agent, tenant = pages["agent"], pages["tenant"]
    agent.goto(site.service)
    for name, value in HOME.items():
        agent.fill(f"#{name}", value)
    agent.click("#begin")
    own, link = agent.url, agent.input_value("#link-tenant")
    for page, address, username in ((tenant, link, "haneul"), (agent, link, "sera")):
        page.goto(address)
        page.click("#sign")
        page.fill("#username", username)
        page.fill("#password", site.password)
        page.click("#login")
        if page is agent:
            wrong = look(page, "turned-away", tmp_path)
            assert wrong == []
            page.click("#return")
            page.wait_for_url(f"{site.service}/in/*")
    tenant.click("#deny")
    tenant.wait_for_url(f"{site.service}/in/*")
    expect(tenant.locator("#ended")).to_be_visible()
    assert look(tenant, "ended", tmp_path) == []
    agent.goto(own)
    expect(agent.locator("#ended")).to_be_visible()
