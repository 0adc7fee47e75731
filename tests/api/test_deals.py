"""`/v1/deals`, invitations in pushed requests, and pulls: nothing leaves before everybody has signed."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.dealing import end_overdue_deals
from broker.jobs.duties import drain
from broker.oauth.models import Client
from consent import lifecycle
from consent.models import Consent
from tests.api.deal_office import MATTER, ROLES, DealOffice, deal_office
from tests.installation import Clock
from tests.oauth.world import answer_in, details, refused
from tests.web.stage import Form

BODY = {"kind": "lease", "matter": MATTER}


@pytest.fixture
def deals(installation: Installation, clock: Clock) -> Iterator[DealOffice]:
    yield from deal_office(installation, clock)


@pytest.fixture
def small_deals(sqlite_installation: Installation, clock: Clock) -> Iterator[DealOffice]:
    yield from deal_office(sqlite_installation, clock)


# Opening


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"kind": "marriage"}, "kind"),
        ({"matter": "한 줄\n두 줄"}, "matter"),
        ({"deadline": "2026-12-15T00:00:01Z"}, "deadline"),
        ({"deadline": "2026-12-01T00:00:00Z"}, "deadline"),
        ({"clients": {"witness": "zipsign-contracts"}}, "clients.witness"),
        ({"clients": {"tenant": "nuri-loans"}}, "clients.tenant"),
        ({"clients": {"tenant": "nobody"}}, "clients.tenant"),
    ],
)
def test_a_deal_that_cannot_be_is_refused_with_the_place(
    small_deals: DealOffice, changes: dict[str, object], path: str
) -> None:
    answer = small_deals.say("POST", "/v1/deals", BODY | changes)
    assert (answer.status_code, answer.json()["code"]) == (422, "deal_invalid")
    assert [error["path"] for error in answer.json()["errors"]] == [path]
    assert MATTER not in answer.text


@pytest.mark.parametrize(
    "changes", [{"deadline": "2026-12-02T00:00:00"}, {"subject": "somebody"}, {"matter": ""}, {"kind": 1}]
)
def test_a_body_of_another_form_is_refused(small_deals: DealOffice, changes: dict[str, object]) -> None:
    answer = small_deals.say("POST", "/v1/deals", BODY | changes)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_client_without_the_purposes_or_the_scope_opens_nothing(small_deals: DealOffice) -> None:
    answer = small_deals.say("POST", "/v1/deals", BODY, who=small_deals.bank)
    assert {error["path"] for error in answer.json()["errors"]} == {f"clients.{role}" for role in ROLES}
    answer = small_deals.say("POST", "/v1/deals", BODY, scope="deliveries")
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


def test_another_client_s_deal_is_unknown(small_deals: DealOffice) -> None:
    opened = small_deals.open()
    path = f"/v1/deals/{opened['deal_id']}"
    found = small_deals.say("GET", path, who=small_deals.bank)
    missing = small_deals.say("GET", "/v1/deals/nothing", who=small_deals.bank)
    cancelled = small_deals.say("POST", f"{path}/cancel", who=small_deals.bank)
    assert [answer.status_code for answer in (found, missing, cancelled)] == [404] * 3
    assert found.json()["detail"] == missing.json()["detail"]


def test_a_bank_sees_the_sale_that_it_lends_for_and_does_not_call_it_off(small_deals: DealOffice) -> None:
    opened = small_deals.open("sale", clients={"mortgage": "nuri-loans"})
    path = f"/v1/deals/{opened['deal_id']}"
    assert set(opened["roles"]) == {"seller", "buyer", "mortgage"}
    seen = small_deals.say("GET", path, who=small_deals.bank)
    assert seen.json()["roles"] == {role: {"signed": False} for role in opened["roles"]}
    assert small_deals.say("POST", f"{path}/cancel", who=small_deals.bank).status_code == 404


def test_a_sale_without_a_loan_is_one_of_two(small_deals: DealOffice) -> None:
    assert set(small_deals.open("sale")["roles"]) == {"seller", "buyer"}


# Invitations


def test_what_is_asked_for_in_deals_is_not_asked_for_alone(small_deals: DealOffice) -> None:
    answer = small_deals.push("landlord", None)
    assert refused(answer, "invalid_request")
    assert "deal_invitation" in answer.json()["error_description"]


@pytest.mark.parametrize("invitation", ["mdi_unknown", "with space", "ü", "x" * 201])
def test_an_unknown_invitation_is_refused(small_deals: DealOffice, invitation: str) -> None:
    assert refused(small_deals.push("tenant", invitation), "invalid_request")


def test_an_invitation_is_for_its_role_and_its_client(small_deals: DealOffice) -> None:
    opened = small_deals.open("sale", clients={"mortgage": "nuri-loans"})
    lease = small_deals.open()
    assert refused(small_deals.push("tenant", lease["roles"]["landlord"]), "invalid_request")
    assert refused(small_deals.push("tenant", opened["roles"]["mortgage"]), "invalid_request")
    with transaction(small_deals.installation.data) as work:
        row = work.session.get_one(Client, "nuri-loans")
        row.purposes = '["lending.mortgage_for_sale", "realestate.lease_tenant"]'
    stolen = small_deals.push("tenant", lease["roles"]["tenant"], who=small_deals.bank)
    assert refused(stolen, "invalid_request")
    assert "not one of this client" in stolen.json()["error_description"]


def test_an_invitation_does_not_open_a_purpose_that_stands_alone(small_deals: DealOffice) -> None:
    opened = small_deals.open()
    with transaction(small_deals.installation.data) as work:
        row = work.session.get_one(Client, "zipsign-contracts")
        row.purposes = row.purposes.replace("[", '["insurance.indemnity_claim", ')
    asked = details(
        purpose="insurance.indemnity_claim",
        holders=["city-hall"],
        items=[
            {
                "record_type": "health.medical_bill",
                "mode": "fields",
                "fields": ["institution"],
                "required": True,
            },
            {"record_type": "insurance.indemnity_policy", "mode": "document", "required": True},
        ],
    )
    answer = small_deals.push("tenant", opened["roles"]["tenant"], **asked)
    assert refused(answer, "invalid_request", "invalid_authorization_details")


def test_a_used_invitation_and_one_of_an_ended_deal_are_refused(small_deals: DealOffice) -> None:
    opened = small_deals.open()
    invitation = opened["roles"]["tenant"]
    small_deals.sign("tenant", invitation)
    assert "was used" in small_deals.push("tenant", invitation).json()["error_description"]
    cancelled = small_deals.say("POST", f"/v1/deals/{opened['deal_id']}/cancel")
    assert (cancelled.json()["state"], cancelled.json()["reason"]) == ("REFUSED", "deal_cancelled")
    ended = small_deals.push("agent", opened["roles"]["agent"])
    assert "has ended" in ended.json()["error_description"]


def test_who_has_a_role_that_excludes_this_one_is_turned_away_and_the_client_hears_no(
    deals: DealOffice,
) -> None:
    opened = deals.open()
    deals.sign("tenant", opened["roles"]["tenant"])
    tenant = deals.people["tenant"]
    page = deals.page_of(deals.push("landlord", opened["roles"]["landlord"]))
    shown = tenant.get(page)
    assert shown.status_code == 409
    assert 'id="return"' in shown.text
    assert "error=access_denied" in shown.text
    assert tenant.get(page).status_code == 410  # it was answered
    # The right person is not kept out by that.
    assert (
        deals.people["landlord"]
        .get(deals.page_of(deals.push("landlord", opened["roles"]["landlord"])))
        .status_code
        == 200
    )


# All or nothing


def test_nothing_can_be_pulled_before_everybody_has_signed_and_then_each_consent_once(
    deals: DealOffice,
) -> None:
    opened = deals.open()
    tokens: dict[str, dict[str, Any]] = {}
    for role in ROLES:
        for early in tokens.values():
            answer = deals.pull(early["access_token"])
            assert (answer.status_code, answer.json()["code"]) == (403, "consent_partially_signed")
        tokens[role] = deals.sign(role, opened["roles"][role])
        signed = deals.status(opened["deal_id"]).json()
        assert [signed["roles"][one]["signed"] for one in ROLES] == [one in tokens for one in ROLES]
    assert deals.status(opened["deal_id"]).json()["state"] == "COMPLETE"
    for one in tokens.values():
        assert deals.pull(one["access_token"]).status_code == 200
        assert deals.pull(one["access_token"], "two").json()["code"] == "no_place_left"


@pytest.mark.parametrize("way", ["deny", "stop"])
def test_one_no_ends_it_for_everybody_and_their_tokens_open_nothing(deals: DealOffice, way: str) -> None:
    opened = deals.open()
    token = deals.sign("tenant", opened["roles"]["tenant"])["access_token"]
    landlord = deals.people["landlord"]
    if way == "deny":
        page = deals.page_of(deals.push("landlord", opened["roles"]["landlord"]))
        answer = deals.decide(landlord, page, "deny")
        assert answer_in(answer.headers["Location"])["error"] == "access_denied"
    else:
        grant_id = deals.sign("landlord", opened["roles"]["landlord"])["grant_id"]
        path = f"/ko/consents/{grant_id}/stop"
        assert 'id="off-for-all"' in landlord.get(path).text
        assert landlord.post(path).status_code == 303
    assert deals.status(opened["deal_id"]).json()["state"] == "REFUSED"
    answer = deals.pull(token)
    assert (answer.status_code, answer.json()["code"]) == (401, "consent_refused")


def test_the_same_form_twice_leads_to_the_same_place(small_deals: DealOffice) -> None:
    opened = small_deals.open()
    page = small_deals.page_of(small_deals.push("tenant", opened["roles"]["tenant"]))
    tenant = small_deals.people["tenant"]
    fields = Form(tenant.get(page).text).fields | {"decision": "allow"}
    first, second = (tenant.http.post(page, data=fields) for _ in range(2))
    assert first.status_code == second.status_code == 303
    assert first.headers["Location"] == second.headers["Location"]


def test_the_deadline_is_read_before_a_job_has_seen_it_and_then_put_on_record(deals: DealOffice) -> None:
    opened = deals.open(deadline="2026-12-01T00:20:00Z")
    token = deals.sign("tenant", opened["roles"]["tenant"])["access_token"]
    page = deals.page_of(deals.push("agent", opened["roles"]["agent"]))
    assert deals.people["agent"].get(page).status_code == 200
    deals.clock.advance(timedelta(minutes=20))
    assert deals.status(opened["deal_id"]).json()["state"] == "EXPIRED"
    assert deals.decide(deals.people["agent"], page).status_code == 410
    assert end_overdue_deals(deals.installation, deals.clock()) == 1
    assert end_overdue_deals(deals.installation, deals.clock()) == 0
    assert deals.status(opened["deal_id"]).json()["reason"] == "deal_expired"
    assert deals.pull(token).status_code == 401


def test_after_a_death_the_duty_ends_the_others(deals: DealOffice) -> None:
    opened = deals.open()
    tenant = deals.sign("tenant", opened["roles"]["tenant"])
    agent = deals.sign("agent", opened["roles"]["agent"])
    installation = deals.installation
    with transaction(installation.data) as work:
        subject_id = deals.people["tenant"].subject_id
        lifecycle.withdraw(work, installation.keyring, tenant["grant_id"], subject_id, deals.clock())
    drain(installation, deals.clock())
    with installation.data.read() as session:
        assert session.get_one(Consent, agent["grant_id"]).state_reason == "deal_refused"
    assert deals.status(opened["deal_id"]).json()["state"] == "REFUSED"
