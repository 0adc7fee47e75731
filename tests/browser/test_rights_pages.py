"""The pages about a person's rights in a browser: nothing wrong by axe, nothing wider than 360 px."""

from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from broker.db import transaction
from consent.rights import NewRight, RightAnswer, answer_right, file_right
from consent.staff import Staff
from consent.vocabulary import RightKind
from tests.browser.test_pages import check, origin, sign_in
from tests.web.stage import PASSWORD, Stage

pytestmark = pytest.mark.browser

WORDS = "보험사가 진단서까지 가져갔어요. 필요하지 않았어요.\n지워 주세요."


def test_rights_pages(page: Page, lived_in: Stage) -> None:
    installation, now = lived_in.installation, lived_in.clock()
    grant_id = lived_in.consents()[0].grant_id
    ids = []
    for kind in (RightKind.COMPLAIN, RightKind.ERASE):
        new = NewRight(lived_in.subject_id, kind, WORDS, grant_id, for_authority=kind is RightKind.COMPLAIN)
        with transaction(installation.data) as work:
            ids.append(file_right(work, installation.keyring, new, answer_within=timedelta(days=10), now=now))
    with transaction(installation.data) as work:
        told = RightAnswer("의료법에 따라 10년 보관해야 해요.", "STATUTORY_RETENTION")
        answer_right(work, installation.keyring, ids[1], told, staff=Staff("minji", "r"), now=now)
    sign_in(page, lived_in)
    paths = ["/rights", f"/rights?about={grant_id}", "/rights/export", *(f"/rights/{one}" for one in ids)]
    assert [fault for path in paths for fault in check(page, lived_in, path)] == []


def test_a_complaint_from_the_consents_page_and_everything_downloaded(page: Page, stage: Stage) -> None:
    stage.sign_in()
    grant_id = stage.agreed()
    sign_in(page, stage)
    page.goto(f"{origin(stage)}/ko/consents/{grant_id}")
    page.get_by_role("link", name="이 기관에 대해 불만 내기").click()
    page.fill("#text", WORDS)
    page.check("#for_authority")
    page.click("#file-right")
    expect(page.locator(".badge")).to_have_text("요청을 접수했어요")
    with page.expect_download() as downloaded:
        page.get_by_role("link", name="보호 기관에 낼 파일").click()
    assert downloaded.value.suggested_filename.startswith("complaint-")
    page.goto(f"{origin(stage)}/ko/rights/export")
    page.fill("#password", PASSWORD)
    with page.expect_download() as everything:
        page.click("#export")
    assert everything.value.suggested_filename.endswith(".zip")
