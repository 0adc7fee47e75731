"""The pages on which a person answers what was asked without a browser (OpenID CIBA Core)."""

from collections.abc import Iterator

import pytest

from broker.db import transaction
from broker.installation import Installation
from broker.oauth import clients
from tests.installation import Clock
from tests.oauth.asking import Asking
from tests.oauth.asking import build as build_asking
from tests.oauth.openid_world import build as build_world
from tests.oauth.world import refused
from tests.web.stage import Form


@pytest.fixture
def asking(sqlite_installation: Installation, clock: Clock) -> Iterator[Asking]:
    """A recipient that asks, and the browser of the person whom it knows."""
    for world in build_world(sqlite_installation, clock):
        yield from build_asking(world)


def test_somebody_else_cannot_open_it_and_ends_nothing(asking: Asking) -> None:
    auth_req_id = asking.asked()
    path = f"/ko/recognise/{asking.interaction_id()}"
    led = asking.world.browser.get(path)
    asking.world.sign_in("jeongsuk", led.headers["Location"])
    for page in (path, path.replace("recognise", "consent"), path.replace("recognise", "asked")):
        assert asking.world.browser.get(page).status_code >= 400
    assert "한빛" not in asking.world.browser.get("/ko/asked").text
    assert refused(asking.poll(auth_req_id), "authorization_pending")


def test_a_browser_that_was_left_open_is_not_enough(asking: Asking) -> None:
    asking.asked()
    path = f"/ko/recognise/{asking.interaction_id()}"
    answer = asking.world.browser.get(path)
    assert answer.status_code == 303
    assert "again=1" in answer.headers["Location"]


def test_the_person_is_told_and_finds_it(asking: Asking) -> None:
    asking.asked(binding_message="말 7")
    inbox = asking.world.browser.get("/en/inbox").text
    assert "An organisation asks for your decision" in inbox
    assert 'href="/en/asked"' in inbox
    for language, name in (("en", "Hanbit Insurance"), ("ko", "한빛손해보험")):
        listed = asking.world.browser.get(f"/{language}/asked").text
        assert name in listed
        assert "말 7" in listed
        assert f"/{language}/recognise/{asking.interaction_id()}" in listed
    asking.decide()
    assert "Hanbit" not in asking.world.browser.get("/en/asked").text


def test_the_same_form_twice_leads_to_the_same_page(asking: Asking) -> None:
    asking.asked()
    address = asking.decide()
    path = f"/ko/recognise/{asking.interaction_id()}"
    form = Form(asking.world.browser.get("/ko/inbox").text).fields | {"decision": "allow"}
    again = asking.world.browser.post(path, data=form)
    assert again.headers.get("location") == address


@pytest.mark.parametrize("message", ["1234", "<b>가" + "가" * 60, "안녕 \U0001f44d\U0001f3ff 品川"])
def test_what_the_client_shows_is_shown_as_it_is(asking: Asking, message: str) -> None:
    asking.asked(binding_message=message)
    path = f"/en/recognise/{asking.interaction_id()}"
    led = asking.world.browser.get(path)
    asking.world.sign_in(page=led.headers["Location"])
    page = asking.world.browser.get(path).text
    shown = message.replace("<", "&lt;").replace(">", "&gt;")
    assert f"<bdi>{shown}</bdi></strong>" in page
    listed = asking.world.browser.get("/en/asked").text
    assert f"<bdi>{shown}</bdi>" in listed


def test_what_a_suspended_client_asked_can_no_longer_be_decided(asking: Asking) -> None:
    asking.asked()
    path = f"/en/asked/{asking.interaction_id()}"
    assert "Hanbit Insurance" in asking.world.browser.get("/en/asked").text
    with transaction(asking.installation.data) as work:
        clients.suspend(work.session, asking.insurer.client_id)
    assert "Nothing waits for you" in asking.world.browser.get("/en/asked").text
    assert "The time for this request is over" in asking.world.browser.get(path).text
    assert asking.world.browser.get(path.replace("asked", "recognise")).status_code >= 400


def test_who_decided_once_cannot_decide_again(asking: Asking) -> None:
    auth_req_id = asking.asked()
    asking.decide("deny")
    path = f"/ko/recognise/{asking.interaction_id()}"
    form = Form(asking.world.browser.get("/ko/inbox").text).fields | {"decision": "allow"}
    assert asking.world.browser.post(path, data=form).status_code >= 400
    assert refused(asking.poll(auth_req_id), "access_denied")
