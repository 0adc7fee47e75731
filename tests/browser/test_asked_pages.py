"""What is asked without a browser of the client's, in the person's own: as the other pages, to its end."""

import json
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from broker.db import transaction
from broker.oauth.client_metadata import ClientMetadata
from broker.oauth.models import Client
from broker.oauth.pairwise import pairwise_subject
from tests.browser.test_pages import check, origin, sign_in
from tests.oauth.world import Recipient
from tests.web.stage import POLICY, REDIRECT_URI, Stage, detail
from vault.jose import public_jwk, sign_with_jwk
from vault.schema import random_id

pytestmark = pytest.mark.browser

MESSAGE = "접수번호 4711"


def asker(stage: Stage) -> Recipient:
    """The insurer's software, which knows the citizen by a consent, and may ask this way."""
    stage.sign_in()
    stage.agreed()
    stage.http.cookies.clear()
    found = Recipient(stage.http, stage.clock, "hanbit-claims", REDIRECT_URI)
    with transaction(stage.installation.data) as work:
        row = work.session.get_one(Client, found.client_id)
        row.jwks = json.dumps({"keys": [public_jwk(found.key)]})
        row.scope = "openid records.read deliveries"
        metadata = ClientMetadata(backchannel_token_delivery_mode="poll")
        row.client_metadata = metadata.model_dump_json(exclude_defaults=True)
    return found


def ask(stage: Stage, by: Recipient, **asked: Any) -> None:  # noqa: ANN401 - claims
    keyring, issuer = stage.installation.keyring, origin(stage)
    claims = {
        "iss": by.client_id,
        "aud": issuer,
        "iat": by.seconds,
        "nbf": by.seconds,
        "exp": by.seconds + 300,
        "jti": random_id(),
        "login_hint": pairwise_subject(keyring, "hanbit-insurance", stage.subject_id),
        "binding_message": MESSAGE,
    }
    request = sign_with_jwk(claims | asked, by.key, {"alg": "ES256", "kid": by.key["kid"]})
    form = by.authentication(by.assertion(aud=issuer)) | {"request": request}
    answer = by.post("/bc-authorize", form)
    assert answer.status_code == 200, answer.text
    stage.clock.advance(timedelta(seconds=1))


def test_what_is_asked_from_elsewhere_is_read_and_decided(page: Page, stage: Stage) -> None:
    by = asker(stage)
    ask(stage, by, scope="openid")
    wanted = detail() | {"locations": [f"{origin(stage)}/v1/records"]}
    ask(stage, by, scope="records.read", authorization_details=[wanted])
    sign_in(page, stage)
    faults = check(page, stage, "/asked")
    page.goto(f"{origin(stage)}/ko/asked")
    expect(page.get_by_text(MESSAGE)).to_have_count(2)
    links = [one.get_attribute("href") or "" for one in page.locator("article .button-primary").all()]
    paths = [link.removeprefix("/ko") for link in links]
    assert [path.split("/")[1] for path in paths] == ["recognise", "consent"]
    for path, decision, heading in (
        (paths[0], "deny", "동의하지 않으셨어요"),
        (paths[1], "allow", "동의하셨어요"),
    ):
        faults += check(page, stage, path)
        page.goto(f"{origin(stage)}/ko{path}")
        expect(page.locator("#binding-message")).to_have_text(MESSAGE)
        if decision == "allow":
            page.check(f"[id='item-{POLICY}']")
        page.click(f"#{decision}")
        page.wait_for_url(f"{origin(stage)}/ko/asked/*")
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        faults += check(page, stage, f"/asked/{path.rpartition('/')[2]}")
    page.goto(f"{origin(stage)}/ko/asked")
    expect(page.locator("article")).to_have_count(0)
    assert faults == []
