"""The deal in the pages: strangers find nothing, people see roles and kinds, never the others' items."""

from collections.abc import Iterator

import pytest

from broker.installation import Installation
from tests.api.deal_office import MATTER, DealOffice, deal_office
from tests.installation import Clock
from tests.web.stage import text_of

PRIVATE = ("납세증명", "등기사항전부증명서", "확정일자 기록", "realestate.registry", "tax.clearance")


@pytest.fixture
def deals(sqlite_installation: Installation, clock: Clock) -> Iterator[DealOffice]:
    yield from deal_office(sqlite_installation, clock)


@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_stranger_and_an_unknown_deal_get_the_same_answer(deals: DealOffice, language: str) -> None:
    opened = deals.open()
    deals.sign("tenant", opened["roles"]["tenant"])
    stranger = deals.people["stranger"]
    found = stranger.get(f"/{language}/deals/{opened['deal_id']}")
    unknown = stranger.get(f"/{language}/deals/nothing")
    assert found.status_code == unknown.status_code == 404
    assert MATTER not in found.text
    # So does who has a role in it that they have not opened yet.
    assert deals.people["landlord"].get(f"/{language}/deals/{opened['deal_id']}").status_code == 404


def test_the_consent_page_says_with_whom_about_what_until_when_and_only_kinds(deals: DealOffice) -> None:
    opened = deals.open()
    deals.sign("landlord", opened["roles"]["landlord"])
    page = deals.people["tenant"].get(deals.page_of(deals.push("tenant", opened["roles"]["tenant"])))
    shown = text_of(page.text)
    for told in (
        MATTER,
        "세입자 (나)",
        "집주인",
        "공인중개사",
        "임대차 계약: 집주인과 집 확인",
        "동의하고 서명하기",
    ):
        assert told in shown
    for private in PRIVATE:
        assert private not in page.text
    assert deals.people["landlord"].subject_id not in page.text


def test_the_deal_page_shows_who_has_yet_to_sign_and_what_one_shares_oneself(deals: DealOffice) -> None:
    opened = deals.open()
    grant_id = deals.sign("tenant", opened["roles"]["tenant"])["grant_id"]
    tenant, path = deals.people["tenant"], f"/ko/deals/{opened['deal_id']}"
    shown = text_of(tenant.get(path).text)
    assert "아직 모두 동의하지 않음" in shown
    assert "아직 동의하지 않은 사람 집주인, 공인중개사" in shown
    assert "본인 확인 정보" in shown
    for private in PRIVATE:
        assert private not in shown
    detail = tenant.get(f"/ko/consents/{grant_id}").text
    assert f'href="{path}"' in detail
    assert "내 동의 거두기" in detail
    english = text_of(tenant.get(f"/en/deals/{opened['deal_id']}").text)
    assert "Who has yet to sign Landlord, Estate agent" in english


def test_an_ended_deal_says_why_without_saying_who(deals: DealOffice) -> None:
    opened = deals.open()
    grant_id = deals.sign("tenant", opened["roles"]["tenant"])["grant_id"]
    page = deals.page_of(deals.push("landlord", opened["roles"]["landlord"]))
    deals.decide(deals.people["landlord"], page, "deny")
    tenant = deals.people["tenant"]
    shown = text_of(tenant.get(f"/ko/deals/{opened['deal_id']}").text)
    assert "없던 일이 됨: 누군가 거절함" in shown
    assert "계약을 함께하는 다른 사람이 거절해서 없던 일이 됐어요" in text_of(
        tenant.get(f"/ko/consents/{grant_id}").text
    )


def test_taking_a_signature_back_takes_no_more_steps_than_giving_it(deals: DealOffice) -> None:
    """Giving: the page and its button. Taking back: the page that asks once, and its button."""
    opened = deals.open()
    grant_id = deals.sign("tenant", opened["roles"]["tenant"])["grant_id"]
    tenant = deals.people["tenant"]
    answer = tenant.post(f"/ko/consents/{grant_id}/stop")
    assert answer.headers["Location"].endswith("/stopped")
    assert deals.status(opened["deal_id"]).json()["state"] == "REFUSED"
