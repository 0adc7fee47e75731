"""Inbox, history, settings, representation, shared accounts and changes in a browser: as the other pages."""

import pytest
from playwright.sync_api import Page

from consent.vocabulary import ConsentState
from tests.browser.test_pages import check, sign_in
from tests.web.stage import Stage

pytestmark = pytest.mark.browser


def test_pages_of_notices_people_and_changes(page: Page, lived_in: Stage) -> None:
    given = next(one.grant_id for one in lived_in.consents() if one.state is ConsentState.GIVEN)
    sign_in(page, lived_in)
    paths = [
        "/inbox",
        "/history",
        "/notifications",
        "/representation",
        "/acting",
        "/approvals",
        "/emergencies",
    ]
    paths.append(f"/consents/{given}/change")
    assert [fault for path in paths for fault in check(page, lived_in, path)] == []
