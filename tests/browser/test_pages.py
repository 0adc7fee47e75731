"""Pages in Chromium: accessibility, no foreign request, no overflow, and the flows without JavaScript."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from consent.vocabulary import ConsentState
from tests.browser.conftest import BROWSER_PATIENCE
from tests.web.stage import BILL, PASSWORD, POLICY, Stage

pytestmark = pytest.mark.browser

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LANGUAGES = ("ko", "en")
FIRST_SCREEN = 740


def origin(stage: Stage) -> str:
    return stage.installation.settings.server.issuer


def sign_in(page: Page, stage: Stage, username: str = "haneul") -> None:
    page.goto(f"{origin(stage)}/ko/signin")
    page.fill("#username", username)
    page.fill("#password", PASSWORD)
    page.click("#login")
    expect(page.locator("#logout")).to_be_visible()


def paths(stage: Stage) -> dict[str, str]:
    grants = {consent.state: consent.grant_id for consent in stage.consents()}
    given, withdrawn = grants[ConsentState.GIVEN], grants[ConsentState.WITHDRAWN]
    return {
        "home": "",
        "consent": f"/consent/{stage.request()}",
        "detail": f"/consents/{given}",
        "receipt": f"/consents/{given}/receipt",
        "text": f"/consents/{given}/text",
        "stop": f"/consents/{given}/stop",
        "stopped": f"/consents/{withdrawn}/stopped",
        "sources": "/sources",
    }


def violations(page: Page) -> list[str]:
    page.evaluate(AXE)
    script = "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}, preload: false})"
    result = page.evaluate(script, RULES)
    return [
        f"{found['id']}: {node['target']} {node['failureSummary']}"
        for found in result["violations"]
        for node in found["nodes"]
    ]


def check(page: Page, stage: Stage, path: str) -> list[str]:
    """Everything that is wrong with a page, in both languages."""
    faults: list[str] = []
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: requests.append(request.url))
    for language in LANGUAGES:
        complaints.clear()
        requests.clear()
        page.goto(f"{origin(stage)}/{language}{path}")
        expect(page.locator("html")).to_have_attribute("lang", language)
        expect(page.locator("h1")).to_have_count(1)
        for details in page.locator("details").all():
            details.locator("summary").click()
        foreign = [url for url in requests if not url.startswith(f"{origin(stage)}/")]
        faults += [f"{language}{path}: {said}" for said in (*complaints, *foreign)]
        if (wider := page.evaluate("document.documentElement.scrollWidth - innerWidth")) > 0:
            faults.append(f"{language}{path}: {wider} px wider than the screen")
        # axe adds complaints of its own about our policy: it runs last.
        faults += [f"{language}{path}: {fault}" for fault in violations(page)]
    return faults


def test_every_page_of_the_citizen(page: Page, lived_in: Stage) -> None:
    sign_in(page, lived_in)
    assert [fault for path in paths(lived_in).values() for fault in check(page, lived_in, path)] == []


def test_pages_for_everybody_and_for_auditors(page: Page, lived_in: Stage) -> None:
    for path in ("/signin", "/verify", "/coverage", "/coverage?q=11100079", "/coverage?q=nowhere"):
        assert check(page, lived_in, path) == []
    sign_in(page, lived_in, "auditor-1")
    assert check(page, lived_in, "/audit") == []


def test_an_error_page(page: Page, stage: Stage) -> None:
    page.goto(f"{origin(stage)}/ko/signin")
    page.fill("#username", "haneul")
    page.fill("#password", "wrong")
    page.click("#login")
    expect(page.get_by_role("alert")).to_contain_text("로그인하지 못했어요.")
    assert violations(page) == []
    page.goto(f"{origin(stage)}/ko/coverage?q=x")
    expect(page.get_by_role("alert")).to_contain_text("두 글자 이상")
    assert violations(page) == []
    sign_in(page, stage)
    page.goto(f"{origin(stage)}/ko/consent/unknown")
    expect(page.get_by_role("heading", level=1)).to_have_text("이 요청은 열 수 없어요")
    assert violations(page) == []


def test_the_first_screenful_of_a_request(browser: Browser, stage: Stage) -> None:
    context = browser.new_context(viewport={"width": 360, "height": FIRST_SCREEN})
    context.set_default_timeout(BROWSER_PATIENCE)
    page = context.new_page()
    sign_in(page, stage)
    interaction_id = stage.request()
    for language, told in {
        "ko": ("한빛손해보험", "실손보험금 청구와 심사", "2가지", "2026. 12. 31.(목) 00:00까지"),
        "en": (
            "Hanbit Insurance",
            "Indemnity insurance claim",
            "2 kinds of records",
            "Until 31 Dec 2026 (Thu) 00:00",
        ),
    }.items():
        page.goto(f"{origin(stage)}/{language}/consent/{interaction_id}")
        for words in told:
            box = page.locator(".facts").get_by_text(words, exact=True).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= FIRST_SCREEN, words
    context.close()


def test_what_the_law_wants_seen_is_larger_and_bolder(page: Page, stage: Stage) -> None:
    sign_in(page, stage)
    page.goto(f"{origin(stage)}/ko/consent/{stage.request()}")
    measured = page.evaluate(
        """() => [...document.querySelectorAll('.facts .key, .badge-sensitive')].map(element => {
          const style = getComputedStyle(element);
          return [element.textContent, parseFloat(style.fontSize), Number(style.fontWeight)];
        })"""
    )
    body = page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)")
    assert len(measured) == 4
    for words, size, weight in measured:
        assert size >= max(1.2 * body, 12), words
        assert weight >= 700, words


def test_yes_and_no_look_the_same(page: Page, stage: Stage) -> None:
    sign_in(page, stage)
    page.goto(f"{origin(stage)}/ko/consent/{stage.request()}")
    look = """id => {
      const element = document.getElementById(id);
      const { width, height, top } = element.getBoundingClientRect();
      const { font, color, backgroundColor, border } = getComputedStyle(element);
      return [width, height, top, font, color, backgroundColor, border, element.tabIndex];
    }"""
    assert page.evaluate(look, "allow") == page.evaluate(look, "deny")
    assert page.evaluate("document.getElementById('deny').getBoundingClientRect().height") >= 44


def test_everything_can_be_pressed_with_a_thumb(page: Page, lived_in: Stage) -> None:
    sign_in(page, lived_in)
    for path in paths(lived_in).values():
        page.goto(f"{origin(lived_in)}/ko{path}")
        # WCAG 2.5.8: 24 px; links within a sentence are exempt.
        small = page.evaluate(
            """() => [...document.querySelectorAll('button, summary, .button, .tool, [type=checkbox]')]
              .map(element => [element.outerHTML.slice(0, 80), element.getBoundingClientRect()])
              .filter(([, { width, height }]) => width > 0 && Math.min(width, height) < 24)
              .map(([html]) => html)"""
        )
        assert small == []


def test_the_keyboard_begins_at_the_skip_link(page: Page, stage: Stage) -> None:
    sign_in(page, stage)
    page.goto(f"{origin(stage)}/ko")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_the_keyboard_reaches_tick_no_and_yes_in_order(page: Page, stage: Stage) -> None:
    sign_in(page, stage)
    page.goto(f"{origin(stage)}/ko/consent/{stage.request()}")
    order = []
    for _ in range(30):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id"))
        if order[-1] == "allow":
            break
    assert [name for name in order if name in {f"item-{POLICY}", "deny", "allow"}] == [
        f"item-{POLICY}",
        "deny",
        "allow",
    ]


@pytest.fixture
def without_javascript(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": FIRST_SCREEN})
    context.set_default_timeout(BROWSER_PATIENCE)
    yield context.new_page()
    context.close()


def test_the_whole_story_without_javascript(without_javascript: Page, stage: Stage) -> None:
    page = without_javascript
    arrived: list[str] = []

    def insurer(route: Route) -> None:
        arrived.append(route.request.url)
        route.fulfill(body="ok")

    # The insurer is another origin: the page's policy must let its form go there.
    page.route("http://127.0.0.1:9/**", insurer)
    page.goto(f"{origin(stage)}/ko/consent/{stage.request(redirect_uri='http://127.0.0.1:9/callback')}")
    page.fill("#username", "haneul")
    page.fill("#password", PASSWORD)
    page.click("#login")
    page.check(f"[id='item-{POLICY}']")
    page.get_by_role("button", name="English").click()
    expect(page.locator(f"[id='item-{POLICY}']")).to_be_checked()
    page.click("#allow")
    page.wait_for_url("http://127.0.0.1:9/callback?*")
    assert "code=mdc_" in urlsplit(arrived[0]).query

    page.goto(f"{origin(stage)}/ko")
    page.get_by_role("link", name="그만 보내기").click()
    page.click("#stop")
    expect(page.get_by_role("heading", level=1)).to_have_text("이제 보내지 않아요")
    consent = stage.consents()[0]
    assert consent.state is ConsentState.WITHDRAWN
    assert [item.record_type for item in consent.terms.items] == [BILL, POLICY]


def test_the_structure_that_a_screen_reader_hears(page: Page, stage: Stage) -> None:
    sign_in(page, stage)
    page.goto(f"{origin(stage)}/ko/consent/{stage.request()}")
    expect(page.get_by_role("main")).to_match_aria_snapshot(
        """
        - heading "진료비 계산서·영수증 외 1건 자료를 한빛손해보험에 보내도 될까요?" [level=1]
        - region "보내는 자료":
          - heading "보내는 자료" [level=2]
          - checkbox "실손의료보험 계약"
          - heading "실손의료보험 계약" [level=3]
        - region "건강정보는 따로 결정해 주세요":
          - heading "건강정보는 따로 결정해 주세요" [level=2]
          - heading "진료비 계산서·영수증" [level=3]
        - region "동의하지 않으면"
        - region "안내문 전체"
        - region "내 결정":
          - button "동의하지 않음"
          - button "동의하고 보내기"
        """
    )
